"""Walks from one position of a row to another: vectors as long as there are whole ones, then what is left."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Any

from graphc.ir import Node
from graphc.native.code import elementwise
from graphc.native.code.indices import larger
from graphc.native.code.scalars import I64, Value
from graphc.native.code.writer import Code
from graphc.native.kernel.folding import folded
from graphc.native.kernel.kernel import Kernel
from graphc.native.kernel.lanes import Lanes, cut, first_lanes, widened, widths
from graphc.native.kernel.phases import identity, reduction_of
from graphc.native.kernel.structure import may_mask
from graphc.windows import LARGEST_STEP

Element = Callable[[Lanes, list[Value]], list[Value]]
"""Writes the code for some lanes; takes the totals of reductions before them, and gives those after."""


class Traversal:
    """The walks of one kernel."""

    def __init__(self, code: Code, kernel: Kernel) -> None:
        self.code, self.width, self.form = code, kernel.width, kernel.form
        self.may_mask = may_mask(kernel.form.steps, kernel.form.staged)

    def along(self, start: Any, end: Any, element: Element, carried: Sequence[Node],
              within: tuple[Any, Any] | None = None) -> list[Value]:  # fmt: skip
        """Write the code of all elements; gives the totals of the reductions that it carries.

        `within` is the part of the row in which no box begins or ends, if some do in the row.
        """
        if isinstance(end, int):
            return self._short(end, element, carried)
        width, b = self.width, self.code.b
        if width.native == 1:
            return self._loop(start, end, Lanes(0, 1), element, self._starts(carried, 1))
        rest = Lanes(0, width.native, "some") if width.masked and self.may_mask else Lanes(0, 1)
        if width.once and rest.mask:
            rest = Lanes(0, width.whole, "some")
            return self._folded(carried, self._loop(start, end, rest, element, self._starts(carried, rest.width)))
        first, until = (start, end) if within is None else self._aligned(start, end, *within)
        whole = b.sub(until, b.urem(b.sub(until, first), I64(width.whole)))
        lanes = Lanes(0, width.whole, within=within is not None)
        totals = self._loop(first, whole, lanes, element, self._starts(carried, width.whole))
        known, gap = self._folded(carried, totals), None
        if within is None:
            start = whole
        else:
            gap = first, b.sub(whole, first)
            end = b.sub(end, gap[1])
        if rest.width == 1:
            return self._loop(start, end, rest, element, known, gap)
        left = self._folded(carried, self._loop(start, end, rest, element, self._starts(carried, rest.width), gap))
        return self._both(carried, known, left)

    def _aligned(self, start: Any, end: Any, first: Any, last: Any) -> tuple[Any, Any]:
        """The same between two positions, whole vectors after the start."""
        b, unit = self.code.b, max(self.width.native, LARGEST_STEP)
        before = larger(b, b.sub(first, start), 0)
        first = b.add(start, b.mul(b.udiv(b.add(before, I64(unit - 1)), I64(unit)), I64(unit)))
        last = b.select(b.icmp_signed("<", last, end), last, end)
        return first, b.select(b.icmp_signed("<", last, first), first, last)

    def _loop(self, start: Any, end: Any, lanes: Lanes, element: Element, totals: Sequence[Value],
              gap: tuple[Any, Any] | None = None) -> list[Value]:  # fmt: skip
        """A loop over vectors that leaves a gap out, which begins somewhere and is so long."""
        b, dtypes = self.code.b, [total.dtype for total in totals]
        if gap is not None:
            at, length = gap

        def step(position: Any, *raws: Any) -> list[Any]:
            mask = lanes.mask and first_lanes(self.code, lanes.width, b.sub(end, position))
            if gap is not None:
                position = b.add(position, b.select(b.icmp_signed("<", position, at), I64(0), length))
            found = element(lanes._replace(position=position, mask=mask), list(map(Value, raws, dtypes)))
            return [value.ir for value in found]

        return list(map(Value, self.code.loop(start, end, lanes.width, step, [t.ir for t in totals]), dtypes))

    def _short(self, length: int, element: Element, carried: Sequence[Node]) -> list[Value]:
        """A row of known length, without a loop. The totals of vectors of one width are kept in vectors."""
        known: list[Value] = []
        totals: list[Value] = []
        before = 0
        for lanes in _pieces(self.code, length, self.width.native, masks=self.width.masked and self.may_mask):
            if lanes.width != before:
                known = self._both(carried, known, self._folded(carried, totals)) if before else known
                totals, before = self._starts(carried, lanes.width), lanes.width
            totals = element(lanes, totals)
        return self._both(carried, known, self._folded(carried, totals))

    def _both(self, carried: Sequence[Node], known: list[Value], found: list[Value]) -> list[Value]:
        if not known:
            return found
        return [combined(self.code, *three) for three in zip(carried, known, found, strict=True)]

    def _starts(self, carried: Sequence[Node], width: int) -> list[Value]:
        starts = (identity(reduction_of(node), node.array_type.dtype) for node in carried)
        return [widened(self.code, start, width) for start in starts]

    def _folded(self, carried: Sequence[Node], totals: Sequence[Value]) -> list[Value]:
        return [folded(self.code, reduction_of(node), total) for node, total in zip(carried, totals, strict=True)]

    @cached_property
    def widths(self) -> set[int]:
        """The widths of all vectors that the walks write."""
        return widths(self.width, self.form.length, may_mask=self.may_mask) - {1}


def _pieces(code: Code, length: int, native: int, *, masks: bool) -> Iterable[Lanes]:
    for position, width, active in cut(length, native, masks=masks):
        yield Lanes(position, width, first_lanes(code, width, active) if active < width else None)


def combined(code: Code, node: Node, total: Value, term: Value) -> Value:
    """A reduction's total with one more term."""
    return elementwise.combine(code.b, reduction_of(node).combine, node.array_type.dtype, total, term)
