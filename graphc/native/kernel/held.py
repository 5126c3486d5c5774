"""Totals of what short rows add up element by element, as sums down few columns are: registers hold them.

In memory, each row would wait for what the one before has stored. Several rows are walked at once, each with totals of
its own, so that none waits for the one before. Where there are axes before, each index of these has its own, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from graphc.facts import is_place
from graphc.ir import Node
from graphc.native.code.indices import Index, larger, plus, smaller, times
from graphc.native.code.scalars import I64, Value, stored_type
from graphc.native.kernel.lanes import Lanes, write
from graphc.native.kernel.totals import Total, raws, refilled, totals_of

if TYPE_CHECKING:
    from graphc.native.kernel.rows import Writer

MOST_TOTALS = 16
"""So many vectors leave registers for what is computed."""


class Held:
    """Writes all rows of a kernel whose totals are held."""

    def __init__(self, of: Writer) -> None:
        self.of, self.code, self.b = of, of.code, of.b
        self.length = of.kernel.form.length
        self.places = [(node, lanes) for node in of.kernel.held for lanes in of.traversal.pieces(self.length)]
        """Of each total whose it is, and of which elements of the row."""
        self.totals: dict[tuple[Node, int], Total] = {}
        """Those of the row reached, by the node and the first element."""
        self.outer: Sequence[Any] = ()
        """The coordinates reached along the axes before those of the rows that add to the same totals."""

    def walk(self, first: Any, last: Any) -> None:
        """All rows, those of each index of the axes before one after the other."""
        axes, b = len(self.of.kernel.space.sizes), self.b
        if axes == 2:
            self._neighbours(first, last, 0)
            return
        sizes = [self.of.word["size", 0, axis] for axis in range(1, axes - 1)]

        def neighbours(number: Any) -> None:
            inner, outermost = self.of.split(number, sizes[:-1])
            self.outer, start = [outermost, *inner], b.mul(number, sizes[-1])
            begin, end = larger(b, b.sub(first, start), I64(0)), smaller(b, b.sub(last, start), sizes[-1])
            self._neighbours(begin, end, number)

        beyond = b.udiv(b.add(last, b.sub(sizes[-1], I64(1))), sizes[-1])
        self.code.loop(b.udiv(first, sizes[-1]), beyond, 1, neighbours)

    def add(self, node: Node, term: Value, lanes: Lanes) -> None:
        """Add to the total of some elements of a row."""
        key, where = (node, lanes.position), self.of.where(node, lanes) if is_place(node) else None
        self.totals[key] = totals_of(self.code, node).added(self.totals[key], term, where, None)

    def _neighbours(self, first: Any, last: Any, number: Index) -> None:
        """Rows of one index of the axes before."""
        totals = [totals_of(self.code, node).start(lanes.width) for node, lanes in self.places]
        few = self.of.kernel.form.neighbours
        for row in range(few) if few > 1 else ():
            totals = self._row(I64(row), totals)
        if few == 1:
            totals = self._abreast(first, last, totals)
        for place, total in zip(self.places, totals, strict=True):
            self._store(*place, total, number)

    def _abreast(self, first: Any, last: Any, starts: list[Total]) -> list[Total]:
        """As many rows at once as there may be, then what is left."""
        b, count = self.b, len(starts)
        abreast = max(min(self.of.kernel.rows_abreast, MOST_TOTALS // len(raws(starts))), 1)
        whole = b.sub(last, b.urem(b.sub(last, first), I64(abreast)))
        found = self._rows(first, whole, starts * abreast)
        totals = found[:count]
        for start in range(count, len(found), count):
            both = zip(self.places, totals, found[start : start + count], strict=True)
            totals = [totals_of(self.code, node).both(*two) for (node, _), *two in both]
        return self._rows(whole, last, totals)

    def _rows(self, first: Any, last: Any, starts: Sequence[Total]) -> list[Total]:
        """Rows from the first to the last, as many at once as there are totals for."""
        count = len(self.places)

        def rows(number: Any, *found: Any) -> list[Any]:
            before = refilled(starts, found)
            after = (self._row(plus(self.b, number, start // count), before[start : start + count])
                     for start in range(0, len(starts), count))  # fmt: skip
            return [raw for totals in after for raw in raws(totals)]

        return refilled(starts, self.code.loop(first, last, len(starts) // count, rows, raws(starts)))

    def _row(self, number: Any, totals: Iterable[Total]) -> list[Total]:
        """One row; gives the totals after it."""
        keys = [(node, lanes.position) for node, lanes in self.places]
        self.of.coordinates, self.totals = [*self.outer, number], dict(zip(keys, totals, strict=True))
        self.of.row(0, self.length)
        return [self.totals[key] for key in keys]

    def _store(self, node: Node, lanes: Lanes, total: Total, number: Index) -> None:
        """Of an index of the axes before; of places that blocks share the extremes, and behind them where they are."""
        kinds = totals_of(self.code, node)
        result, at = kinds.result(total), plus(self.b, times(self.b, number, self.length), lanes.position)
        for i in self.of.results[node]:
            pointer = self.of.pointers[i]
            if is_place(node) and not self.outer:
                write(self.code, total[0], self.code.at(pointer, at, stored_type(total[0].dtype)), lanes)
                pointer = self.code.at(pointer, self.length, stored_type(result.dtype))
            write(self.code, result, self.code.at(pointer, at, stored_type(result.dtype)), lanes)
