"""Totals of what short rows add up element by element, as sums down few columns are: registers hold them.

In memory, each row would wait for what the one before has stored. Several rows are walked at once, each with totals of
its own, so that none waits for the one before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from graphc.ir import Node
from graphc.native.code.indices import plus
from graphc.native.code.scalars import I64, Value, stored_type
from graphc.native.kernel.lanes import Lanes, widened, write
from graphc.native.kernel.phases import identity, reduction_of
from graphc.native.kernel.totals import combined

if TYPE_CHECKING:
    from graphc.native.kernel.rows import Writer

MOST_TOTALS = 16
"""So many vectors leave registers for what is computed."""


class Held:
    """Writes all rows of a kernel whose totals are held."""

    def __init__(self, of: Writer) -> None:
        self.of, self.code, self.b = of, of.code, of.b
        self.places = [(node, lanes) for node in of.kernel.held for lanes in of.traversal.pieces(of.kernel.form.length)]
        """Of each total whose it is, and of which elements of the row."""
        self.totals: dict[tuple[Node, int], Value] = {}
        """Those of the row reached, by the node and the first element."""

    def walk(self, first: Any, last: Any) -> None:
        """All rows, as many at once as there may be, then what is left."""
        b, count = self.b, len(self.places)
        abreast = max(min(self.of.kernel.rows_abreast, MOST_TOTALS // count), 1)
        whole = b.sub(last, b.urem(b.sub(last, first), I64(abreast)))
        found = self._rows(first, whole, [self._nothing(*place) for place in self.places] * abreast)
        totals = found[:count]
        for start in range(count, len(found), count):
            both = zip(self.places, totals, found[start : start + count], strict=True)
            totals = [combined(self.code, node, one, other) for (node, _), one, other in both]
        for place, total in zip(self.places, self._rows(whole, last, totals), strict=True):
            self._store(*place, total)

    def add(self, node: Node, term: Value, lanes: Lanes) -> None:
        """Add to the total of some elements of a row."""
        key = node, lanes.position
        self.totals[key] = combined(self.code, node, self.totals[key], term)

    def _rows(self, first: Any, last: Any, starts: Sequence[Value]) -> list[Value]:
        """Rows from the first to the last, as many at once as there are totals for."""
        count = len(self.places)

        def rows(number: Any, *found: Any) -> list[Any]:
            before = _values(found, starts)
            after = (self._row(plus(self.b, number, start // count), before[start : start + count])
                     for start in range(0, len(starts), count))  # fmt: skip
            return [total.ir for totals in after for total in totals]

        return _values(self.code.loop(first, last, len(starts) // count, rows, [start.ir for start in starts]), starts)

    def _row(self, number: Any, totals: Sequence[Value]) -> list[Value]:
        """One row; gives the totals after it."""
        keys = [(node, lanes.position) for node, lanes in self.places]
        self.of.coordinates, self.totals = [number], dict(zip(keys, totals, strict=True))
        self.of.row(0, self.of.kernel.form.length)
        return [self.totals[key] for key in keys]

    def _nothing(self, node: Node, lanes: Lanes) -> Value:
        return widened(self.code, identity(reduction_of(node), node.array_type.dtype), lanes.width)

    def _store(self, node: Node, lanes: Lanes, total: Value) -> None:
        for i in self.of.results[node]:
            place = self.code.at(self.of.pointers[i], lanes.position, stored_type(total.dtype))
            write(self.code, total, place, lanes)


def _values(found: Sequence[Any], like: Sequence[Value]) -> list[Value]:
    return [Value(raw, value.dtype) for raw, value in zip(found, like, strict=True)]
