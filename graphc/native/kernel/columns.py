"""Walks down columns: reductions over an axis that is not the last, where what follows needs them.

A vector holds an element of each of several neighbouring columns, so that what is read lies side by side, and a total
is a vector, too. All phases go over the same columns, which are near from the second on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from graphc.ir import Node
from graphc.native.code.indices import smaller
from graphc.native.code.scalars import I64, Value
from graphc.native.kernel.folding import folded
from graphc.native.kernel.lanes import Lanes
from graphc.native.kernel.phases import reduction_of
from graphc.native.kernel.stages import GROUP, Tile
from graphc.native.kernel.totals import Total, raws, refilled, totals_of

if TYPE_CHECKING:
    from graphc.native.kernel.rows import Writer


class Columns(Tile):
    """Writes the walks of a kernel down an axis. What lies along columns passes the stack."""

    def __init__(self, of: Writer, down: int) -> None:
        super().__init__(of, down, (GROUP, max(of.kernel.abreast, GROUP)))
        self.plan, self.start, self.rows = of.plan, I64(0), of.kernel.form.column
        self.totals = [node for node in self.plan.accumulators if not of.kernel.is_spread(node)]
        """What is accumulated over all columns."""

    def walk(self, first: Any, last: Any) -> None:
        """All groups of columns from the first to the last."""
        starts = [totals_of(self.code, node).start(1) for node in self.totals]
        found = self.code.loop(first, last, 1, self._group, raws(starts))
        for node, total in zip(self.totals, refilled(starts, found), strict=True):
            self.of.store_part(node, total)

    def _group(self, number: Any, *known: Any) -> list[Any]:
        """As many columns as vectors hold, or what is left of the last."""
        of, b = self.of, self.b
        sizes = [of.word["size", 0, axis] for axis in range(self.axes)]
        others = [axis for axis in range(self.axes - 1) if axis != self.axis]
        counted = [*(sizes[axis] for axis in others), of.word["chunks", 0, 0]]
        found, outermost = of.split(number, counted[1:])
        *outer, chunk = [outermost, *found]
        at = dict(zip(others, outer, strict=True))
        of.coordinates = [at.get(axis) for axis in range(self.axes - 1)]
        start = b.mul(chunk, I64(of.kernel.abreast))
        end = smaller(b, b.add(start, I64(of.kernel.abreast)), sizes[-1])
        self.begin, self.columns = start, b.sub(end, start)
        self.fetch()
        totals = of.traversal.along(start, end, self._columns, self.totals)
        self.bring_back()
        both = zip(self.totals, refilled(totals, known), totals, strict=True)
        return raws([totals_of(self.code, node).both(*two) for node, *two in both])

    def _columns(self, lanes: Lanes, totals: list[Total]) -> list[Total]:
        """Everything that happens down some columns, phase by phase."""
        of, plan = self.of, self.plan
        values, wide = dict(of.values), dict(of.wide)
        known = dict(zip(self.totals, totals, strict=True))
        for phase in range(plan.phases):
            of.compute((node for node in plan.body.nodes if plan.is_per_row(node, phase)), lanes)
            of.lookups.begin(phase, lanes)
            reduced = [node for node in plan.row_reductions if plan.phase[node] == phase + 1]
            added = [node for node in plan.accumulators if plan.phase[node] == phase]
            each = [node for node in added if plan.is_inner(node)]
            carried = [*reduced, *(node for node in added if node not in each)]
            starts = [known.get(node) or totals_of(self.code, node).start(lanes.width) for node in carried]
            for node, total in zip(carried, self._down(phase, lanes, carried, starts, each), strict=True):
                known[node] = total
                if node in reduced:
                    of.know(node, totals_of(self.code, node).result(total))
                elif node not in self.totals:
                    self._leave(node, total[0], lanes)
        of.store_row(lanes)
        of.values, of.wide = values, wide
        return [known[node] for node in self.totals]

    def _leave(self, node: Node, total: Value, lanes: Lanes) -> None:
        """Add a column's totals to one of several numbers, or to those of other columns."""
        if self.plan.is_wide(node):
            self.of.accumulate(node, total, lanes)
        else:
            self.of.accumulate(node, folded(self.code, reduction_of(node), total), Lanes(0, 1))

    def _down(self, phase: int, lanes: Lanes, carried: Sequence[Node], starts: Sequence[Total],
              each: Sequence[Node]) -> list[Total]:  # fmt: skip
        """One walk down the columns: what a walk along a row does, with a total for each column."""
        of, roots = self.of, self.plan.roots(phase)
        if not roots and not carried:
            return []
        kept = dict(of.values)

        def step(i: Any, *found: Any) -> list[Any]:
            of.coordinates[self.axis], of.values = i, dict(kept)
            return raws(of.element(phase, lanes, roots, each, carried, refilled(starts, found)))

        length = self.rows or of.word["size", 0, self.axis]
        found = self.code.loop(0, length, 1, step, raws(starts), some=True)
        of.values, of.coordinates[self.axis] = kept, None
        return refilled(starts, found)
