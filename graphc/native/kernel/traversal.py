"""Walks from one position of a row to another: vectors as long as there are whole ones, then what is left."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Any

from graphc.ir import Node
from graphc.native.code.indices import larger, smaller
from graphc.native.code.scalars import I64, Value
from graphc.native.code.writer import Code
from graphc.native.kernel.kernel import Kernel
from graphc.native.kernel.lanes import Lanes, cut, first_lanes, widths
from graphc.native.kernel.phases import is_counted
from graphc.native.kernel.structure import may_mask
from graphc.native.kernel.totals import Total, raws, refilled, totals_of
from graphc.windows import LARGEST_STEP

Element = Callable[[Lanes, list[Total]], list[Total]]
"""Writes the code for some lanes; takes the totals of reductions before them, and gives those after."""
COUNTED = 256
"""So many vectors a byte counts."""
Gap = tuple[Any, Any]
"""What a loop leaves out: from where on, and how much."""


class Traversal:
    """The walks of one kernel."""

    def __init__(self, code: Code, kernel: Kernel, where: Callable[[Node, Lanes], Value]) -> None:
        """`where` tells where elements stand that a reduction is over."""
        self.code, self.width, self.form, self.where = code, kernel.width, kernel.form, where
        self.masks = self.width.masked and may_mask(kernel.form.steps, kernel.form.staged)
        self.only = self._only()

    def _only(self) -> Lanes | None:
        """The lanes of all vectors, if these are alike."""
        if self.width.native == 1:
            return Lanes(0, 1)
        return Lanes(0, self.width.whole, "some") if self.width.once and self.masks else None

    def along(self, start: Any, end: Any, element: Element, carried: Sequence[Node],
              within: tuple[Any, Any] | None = None) -> list[Total]:  # fmt: skip
        """Write the code of all elements; gives the totals of the reductions that it carries.

        `within` is the part of the row in which no box begins or ends, if some do in the row. A row is walked in the
        first of these ways that fits. Each [ ] is a loop; `=` are whole vectors, and `~` masked ones, or elements:

             ======|======|===|=            known length: no loop, and shorter vectors, or a masked one, at the end
            [~~~~~~|~~~~~~|~~~~~~|~~]       all vectors are written alike
            [======|======|======][~~~|~~]  whole vectors, then the rest
            [~~~[======|======]~~~|~~~|~~]  whole vectors within, then the rest: one loop, which leaves that gap out
        """
        if isinstance(end, int):
            return self._short(end, element, carried)
        if self.only is not None:
            return self._walk(start, end, self.only, element, carried)
        first, last = self._whole(start, end, within)
        known = self._walk(first, last, Lanes(0, self.width.whole, within=within is not None), element, carried)
        if within is None:
            return self._rest(last, end, known, element, carried)
        length = self.code.b.sub(last, first)
        return self._rest(start, self.code.b.sub(end, length), known, element, carried, gap=(first, length))

    def _whole(self, start: Any, end: Any, within: tuple[Any, Any] | None) -> tuple[Any, Any]:
        """From where to where there are whole vectors."""
        b = self.code.b
        first, last = (start, end) if within is None else self._aligned(start, end, *within)
        return first, b.sub(last, b.urem(b.sub(last, first), I64(self.width.whole)))

    def _aligned(self, start: Any, end: Any, first: Any, last: Any) -> tuple[Any, Any]:
        """The part between two positions, so much shorter that it begins whole vectors after the start."""
        b, unit = self.code.b, max(self.width.native, LARGEST_STEP)
        before = larger(b, b.sub(first, start), 0)
        first = b.add(start, b.mul(b.udiv(b.add(before, I64(unit - 1)), I64(unit)), I64(unit)))
        last = b.select(b.icmp_signed("<", last, end), last, end)
        return first, b.select(b.icmp_signed("<", last, first), first, last)

    def _rest(self, start: Any, end: Any, known: list[Total], element: Element, carried: Sequence[Node],
              gap: Gap | None = None) -> list[Total]:  # fmt: skip
        """What whole vectors have left, in masked ones or one element after the other, with the totals known."""
        if not self.masks and gap is None:
            return self._loop(start, end, Lanes(0, 1), element, known)
        lanes = Lanes(0, self.width.native, "some") if self.masks else Lanes(0, 1)
        return self._both(carried, known, self._walk(start, end, lanes, element, carried, gap))

    def _walk(self, start: Any, end: Any, lanes: Lanes, element: Element, carried: Sequence[Node],
              gap: Gap | None = None) -> list[Total]:  # fmt: skip
        """A loop with totals of its own, folded to one number each."""
        if lanes.mask is None and lanes.width > 1 and self.form.down is None and any(map(is_counted, carried)):
            return self._counted(start, end, lanes, element, carried)
        starts = self._starts(carried, lanes.width)
        return self._folded(carried, self._loop(start, end, lanes, element, starts, gap))

    def _counted(self, start: Any, end: Any, lanes: Lanes, element: Element, carried: Sequence[Node]) -> list[Total]:
        """The same over parts of as many vectors as a byte counts."""
        code, b, length = self.code, self.code.b, COUNTED * lanes.width
        kinds = [totals_of(code, node, counted=True) for node in carried]

        def part(first: Any, *known: Any) -> list[Any]:
            last, among = smaller(b, b.add(first, I64(length)), end), lanes._replace(counted=first)
            found = self._loop(first, last, among, element, [kind.start(lanes.width) for kind in kinds])
            totals = [kind.placed(total, lambda node: self.where(node, Lanes(first, lanes.width)))
                      for kind, total in zip(kinds, found, strict=True)]  # fmt: skip
            return raws(self._both(carried, refilled(starts, known), self._folded(carried, totals)))

        starts = self._starts(carried, 1)
        return refilled(starts, code.loop(start, end, length, part, raws(starts)))

    def _loop(self, start: Any, end: Any, lanes: Lanes, element: Element, totals: Sequence[Total],
              gap: Gap | None = None) -> list[Total]:  # fmt: skip
        """A loop over vectors from totals on."""
        b = self.code.b
        if gap is not None:
            at, length = gap

        def step(position: Any, *found: Any) -> list[Any]:
            mask = lanes.mask and first_lanes(self.code, lanes.width, b.sub(end, position))
            if gap is not None:
                position = b.add(position, b.select(b.icmp_signed("<", position, at), I64(0), length))
            return raws(element(lanes._replace(position=position, mask=mask), refilled(totals, found)))

        return refilled(totals, self.code.loop(start, end, lanes.width, step, raws(totals)))

    def _short(self, length: int, element: Element, carried: Sequence[Node]) -> list[Total]:
        """A row of known length, without a loop. The totals of vectors of one width are kept in vectors."""
        known: list[Total] = []
        totals: list[Total] = []
        before = 0
        for lanes in self.pieces(length):
            if lanes.width != before:
                known = self._both(carried, known, self._folded(carried, totals)) if before else known
                totals, before = self._starts(carried, lanes.width), lanes.width
            totals = element(lanes, totals)
        return self._both(carried, known, self._folded(carried, totals))

    def pieces(self, length: int) -> Iterable[Lanes]:
        """The vectors of such a row."""
        for position, width, active in cut(length, self.width.native, masks=self.masks):
            yield Lanes(position, width, first_lanes(self.code, width, active) if active < width else None)

    def _both(self, carried: Sequence[Node], known: list[Total], found: list[Total]) -> list[Total]:
        if not known:
            return found
        return [totals_of(self.code, node).both(*two) for node, *two in zip(carried, known, found, strict=True)]

    def _starts(self, carried: Sequence[Node], width: int) -> list[Total]:
        return [totals_of(self.code, node).start(width) for node in carried]

    def _folded(self, carried: Sequence[Node], totals: Sequence[Total]) -> list[Total]:
        return [totals_of(self.code, node).folded(total) for node, total in zip(carried, totals, strict=True)]

    @cached_property
    def widths(self) -> set[int]:
        """The widths of all vectors that the walks write."""
        return widths(self.width, self.form.length, may_mask=self.masks) - {1}


