"""Walks over tiles: some rows along one axis, and of each some elements, then the next elements of the same rows.

A value that lies across the rows, as a transposed matrix does, has elements of many rows in each line of memory. What
lies side by side across the rows of a tile is first brought to the stack, line by line: read where it is, lines a power
of two apart would drive one another out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from graphc.native.code.indices import as_value, plus, smaller, times
from graphc.native.code.scalars import I64, stored_type
from graphc.native.code.vectors import host_unit
from graphc.native.kernel.form import TILE
from graphc.native.kernel.lanes import Lanes, first_lanes, read, write

if TYPE_CHECKING:
    from graphc.native.kernel.rows import Writer

ROWS, COLUMNS = TILE
PITCH = ROWS + 1
"""Elements from one column of a stage to the next: an odd number, so that those of a row lie in lines of their own."""


class Tiles:
    """Writes the walk of a kernel over its tiles, and knows where the tile reached begins."""

    def __init__(self, of: Writer, tiled: int) -> None:
        self.of, self.code, self.b, self.tiled = of, of.code, of.b, tiled
        self.axes = len(of.kernel.space.sizes)
        self.stages = {pointer: self.code.room(COLUMNS * PITCH, self._kind(pointer))
                       for pointer in of.kernel.form.staged}  # fmt: skip
        self.start: Any = None
        self.begin: Any = None

    def _kind(self, pointer: int) -> Any:
        return stored_type(self.of.kernel.pointed[pointer].array_type.dtype)

    def walk(self, first: Any, last: Any) -> None:
        """All tiles from the first to the last."""
        self.code.loop(first, last, 1, self._tile)

    def _tile(self, number: Any) -> None:
        b, of = self.b, self.of
        sizes = [of.word["size", 0, axis] for axis in range(self.axes)]
        others = [axis for axis in range(self.axes - 1) if axis != self.tiled]
        groups = b.udiv(b.add(sizes[self.tiled], I64(ROWS - 1)), I64(ROWS))
        counted = [*(sizes[axis] for axis in others), groups, of.word["chunks", 0, 0]]
        found, outermost = of.split(number, counted[1:])
        *outer, group, chunk = [outermost, *found]
        known = dict(zip(others, outer, strict=True))
        self.start, self.begin = b.mul(group, I64(ROWS)), b.mul(chunk, I64(COLUMNS))
        stop = smaller(b, b.add(self.start, I64(ROWS)), sizes[self.tiled])
        end = smaller(b, b.add(self.begin, I64(COLUMNS)), sizes[-1])
        of.coordinates = [known.get(axis, self.start) for axis in range(self.axes - 1)]
        for pointer in self.stages:
            self._stage(pointer, b.sub(stop, self.start), end)

        def row(at: Any) -> None:
            of.coordinates = [known.get(axis, at) for axis in range(self.axes - 1)]
            of.row(self.begin, end)

        self.code.loop(self.start, stop, 1, row)

    def _stage(self, pointer: int, rows: Any, end: Any) -> None:
        """Bring the tile of an operand to the stack, column by column."""
        node, kind = self.of.kernel.pointed[pointer], self._kind(pointer)
        dtype, unit = node.array_type.dtype, host_unit()
        width = min(unit.vector_bytes // dtype.itemsize, ROWS)

        def column(at: Any) -> None:
            there, _ = self.of.lies(pointer, node, Lanes(at, 1))
            here = self.code.at(self.stages[pointer], times(self.b, self.b.sub(at, self.begin), PITCH), kind)

            def some(i: Any, *, width: int) -> None:
                lanes = Lanes(i, width, first_lanes(self.code, width, self.b.sub(rows, i)) if width > 1 else None)
                value = read(self.code, self.code.at(there, i, kind), lanes, dtype)
                write(self.code, value, self.code.at(here, i, kind), lanes)

            if unit.masked:
                self.code.loop(0, rows, width, lambda i: some(as_value(i), width=width))
            else:
                self.code.loop(0, rows, 1, lambda i: some(as_value(i), width=1))

        self.code.loop(self.begin, end, 1, column)

    def place(self, pointer: int, lanes: Lanes) -> tuple[Any, Any]:
        """The address of the first of some elements on the stage, and how far they are apart."""
        at = plus(self.b, times(self.b, self.b.sub(as_value(lanes.position), self.begin), PITCH),
                  self.b.sub(self.of.coordinates[self.tiled], self.start))  # fmt: skip
        return self.code.at(self.stages[pointer], at, self._kind(pointer)), PITCH
