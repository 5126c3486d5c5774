"""Walks over tiles: some rows along one axis, and of each some elements; in the order of the kernel's form.

What lies across the rows has lines of memory that many rows share; it passes the stack.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from graphc.native.code.indices import smaller
from graphc.native.code.scalars import I64
from graphc.native.kernel.kernel import TILE
from graphc.native.kernel.stages import Tile

if TYPE_CHECKING:
    from graphc.native.kernel.rows import Writer

ROWS, COLUMNS = TILE


class Tiles(Tile):
    """Writes the walk of a kernel over its tiles."""

    def __init__(self, of: Writer, tiled: int) -> None:
        super().__init__(of, tiled, TILE)

    def walk(self, first: Any, last: Any) -> None:
        """All tiles from the first to the last."""
        self.code.loop(first, last, 1, self._tile)

    def _tile(self, number: Any) -> None:
        """Bring the operands that lie across its rows, walk the rows, and bring such results back."""
        stop, end = self._enter(number)

        def row(at: Any) -> None:
            self.of.coordinates[self.axis] = at
            self.of.row(self.begin, end)

        self.fetch()
        self.code.loop(self.start, stop, 1, row)
        self.bring_back()

    def _enter(self, number: Any) -> tuple[Any, Any]:
        """Find where a tile begins, and how large it is; gives where its rows end, and its columns."""
        b, of = self.b, self.of
        sizes = [of.word["size", 0, axis] for axis in range(self.axes)]
        groups = b.udiv(b.add(sizes[self.axis], I64(ROWS - 1)), I64(ROWS))
        counts = [*sizes[:-1], of.word["chunks", 0, 0]]
        counts[self.axis] = groups
        order = of.kernel.form.order
        found, outermost = of.split(number, [counts[axis] for axis in order[1:]])
        known = dict(zip(order, [outermost, *found], strict=True))
        of.coordinates = [None if axis == self.axis else known[axis] for axis in range(self.axes - 1)]
        self.start, self.begin = b.mul(known[self.axis], I64(ROWS)), b.mul(known[self.axes - 1], I64(COLUMNS))
        stop = smaller(b, b.add(self.start, I64(ROWS)), sizes[self.axis])
        end = smaller(b, b.add(self.begin, I64(COLUMNS)), sizes[-1])
        self.rows, self.columns = b.sub(stop, self.start), b.sub(end, self.begin)
        return stop, end
