"""Walks over tiles: some rows along one axis, and of each some elements, then the next elements of the same rows.

A value that lies across the rows, as a transposed matrix does, has elements of many rows in each line of memory. Its
part of a tile is on the stack, row by row: an operand's is brought there before it is read, and a result's is brought
to memory after it was written.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from llvmlite import ir

from graphc.native.code.indices import Index, as_value, larger, plus, smaller, times
from graphc.native.code.scalars import I64, stored_type
from graphc.native.code.vectors import host_unit
from graphc.native.kernel.kernel import TILE
from graphc.native.kernel.lanes import Lanes, first_lanes, load_lanes, store_lanes

if TYPE_CHECKING:
    from graphc.native.kernel.rows import Writer

ROWS, COLUMNS = TILE
GROUP = 16
"""So many rows of some columns are in registers at once."""


class Tiles:
    """Writes the walk of a kernel over its tiles, and knows where the tile reached begins."""

    def __init__(self, of: Writer, tiled: int) -> None:
        self.of, self.code, self.b, self.tiled = of, of.code, of.b, tiled
        self.axes = len(of.kernel.space.sizes)
        self.stages = {pointer: _Stage(self, pointer) for pointer in of.kernel.form.staged}
        self.start: Any = None
        self.begin: Any = None
        self.rows: Any = None
        self.columns: Any = None

    def walk(self, first: Any, last: Any) -> None:
        """All tiles from the first to the last."""
        self.code.loop(first, last, 1, self._tile)

    def _tile(self, number: Any) -> None:
        """Bring the operands that lie across its rows, walk the rows, and bring such results back."""
        others, stop, end = self._enter(number)
        operands = len(self.of.kernel.body.inputs)

        def go_to(row: Any) -> None:
            self.of.coordinates = [others.get(axis, row) for axis in range(self.axes - 1)]

        def row(at: Any) -> None:
            go_to(at)
            self.of.row(self.begin, end)

        go_to(self.start)
        for pointer, stage in self.stages.items():
            if pointer < operands:
                stage.fetch()
        self.code.loop(self.start, stop, 1, row)
        go_to(self.start)
        for pointer, stage in self.stages.items():
            if pointer >= operands:
                stage.bring_back()

    def _enter(self, number: Any) -> tuple[dict[int, Any], Any, Any]:
        """Find where a tile begins, and how large it is; gives its place along the other axes, and where it ends."""
        b, of = self.b, self.of
        sizes = [of.word["size", 0, axis] for axis in range(self.axes)]
        others = [axis for axis in range(self.axes - 1) if axis != self.tiled]
        groups = b.udiv(b.add(sizes[self.tiled], I64(ROWS - 1)), I64(ROWS))
        counted = [*(sizes[axis] for axis in others), groups, of.word["chunks", 0, 0]]
        found, outermost = of.split(number, counted[1:])
        *outer, group, chunk = [outermost, *found]
        self.start, self.begin = b.mul(group, I64(ROWS)), b.mul(chunk, I64(COLUMNS))
        stop = smaller(b, b.add(self.start, I64(ROWS)), sizes[self.tiled])
        end = smaller(b, b.add(self.begin, I64(COLUMNS)), sizes[-1])
        self.rows, self.columns = b.sub(stop, self.start), b.sub(end, self.begin)
        return dict(zip(others, outer, strict=True)), stop, end

    def place(self, pointer: int, lanes: Lanes) -> tuple[Any, Any]:
        """The address of the first of some elements on the stage, and how far they are apart."""
        row = self.b.sub(self.of.coordinates[self.tiled], self.start)
        return self.stages[pointer].place(row, self.b.sub(as_value(lanes.position), self.begin)), 1


class _Stage:
    """The part of a tile that a pointer's array has: in memory column by column, here row by row.

    Blocks of as many rows as columns are transposed in registers.
    """

    def __init__(self, tiles: Tiles, pointer: int) -> None:
        self.tiles, self.pointer, self.code, self.b = tiles, pointer, tiles.code, tiles.b
        self.node = tiles.of.kernel.pointed[pointer]
        self.dtype = self.node.array_type.dtype
        self.kind = stored_type(self.dtype)
        self.side = min(host_unit().vector_bytes // self.dtype.itemsize, GROUP)
        self._room = self.code.room(ROWS * COLUMNS, self.kind)

    def place(self, row: Index, column: Index) -> Any:
        """The address of an element of the tile."""
        return self.code.at(self._room, plus(self.b, times(self.b, row, COLUMNS), column), self.kind)

    def fetch(self) -> None:
        """Bring the part here."""
        self._each_block(self._fetch)

    def bring_back(self) -> None:
        """Bring the part to where it lies."""
        self._each_block(self._bring_back)

    def _each_block(self, move: Callable[[Any, Any, int, int], None]) -> None:
        """Move some columns at a time, group by group of their rows; without masks, edges element by element."""
        loop, b, side = self.code.loop, self.b, self.side
        rows, columns = self.tiles.rows, self.tiles.columns

        def group(row: Any, column: Any) -> None:
            if host_unit().masked:
                move(row, column, side, GROUP)
                return
            last_row, last_column = plus(b, row, GROUP), plus(b, column, side)
            whole = b.and_(b.icmp_signed("<=", last_row, rows), b.icmp_signed("<=", last_column, columns))
            with b.if_else(whole) as (then, otherwise):
                with then:
                    move(row, column, side, GROUP)
                with otherwise:
                    loop(column, smaller(b, last_column, columns), 1, lambda column: loop(
                        row, smaller(b, last_row, rows), 1, lambda row: move(row, column, 1, 1)))  # fmt: skip

        loop(0, columns, side, lambda column: loop(0, rows, GROUP, lambda row: group(row, column)))

    def _fetch(self, first: Index, column: Any, side: int, count: int) -> None:
        """Bring some rows of some columns here; what is not there is not used."""
        b, found = self.b, []
        last, masks = b.sub(self.tiles.columns, I64(1)), self._masks(first, side, count)
        for at in [plus(b, column, i) for i in range(side)]:
            there = at if masks[0] is None else smaller(b, at, last)
            found.append([load_lanes(self.code, self._memory(plus(b, first, side * k), there), Lanes(0, side, mask),
                                     self.dtype) for k, mask in enumerate(masks)])  # fmt: skip
        for k, columns in enumerate(zip(*found, strict=True)):
            for i, line in enumerate(transposed(b, columns)):
                place = self.place(plus(b, first, side * k + i), column)
                store_lanes(self.code, line, place, Lanes(0, side), self.dtype)

    def _bring_back(self, first: Index, column: Any, side: int, count: int) -> None:
        """Bring some rows of some columns to where they lie, but for what is not there."""
        b, found = self.b, []
        for k in range(count // side):
            places = [self.place(plus(b, first, side * k + i), column) for i in range(side)]
            lines = [load_lanes(self.code, each, Lanes(0, side), self.dtype) for each in places]
            found.append(transposed(b, lines))
        masks = self._masks(first, side, count)
        for i, vectors in enumerate(zip(*found, strict=True)):
            at = plus(b, column, i)
            for k, (mask, vector) in enumerate(zip(masks, vectors, strict=True)):
                there = mask and b.select(b.icmp_signed("<", at, self.tiles.columns), mask, mask.type(None))
                place = self._memory(plus(b, first, side * k), at)
                store_lanes(self.code, vector, place, Lanes(0, side, there), self.dtype)

    def _masks(self, first: Index, side: int, count: int) -> list[Any]:
        """Which rows are there, for each vector of a column; None where all are."""
        if side == 1 or not host_unit().masked:
            return [None] * (count // side)
        left = self.b.sub(self.tiles.rows, as_value(first))
        rows = (self.b.sub(left, I64(start)) for start in range(0, count, side))
        return [first_lanes(self.code, side, larger(self.b, left, 0)) for left in rows]

    def _memory(self, row: Any, column: Any) -> Any:
        """The address of an element in memory."""
        there, _ = self.tiles.of.lies(self.pointer, self.node, Lanes(plus(self.b, self.tiles.begin, column), 1))
        return self.code.at(there, row, self.kind)


def transposed(b: ir.IRBuilder, vectors: Sequence[Any]) -> list[Any]:
    """As many vectors as each has lanes, rows for columns: ever larger squares change places."""
    side, half, vectors = len(vectors), 1, list(vectors)
    lanes = range(side)
    while half < side:
        upper = _order([lane if not lane & half else side + lane - half for lane in lanes])
        lower = _order([lane + half if not lane & half else side + lane for lane in lanes])
        for i in lanes:
            if not i & half:
                one, other = vectors[i], vectors[i + half]
                vectors[i] = b.shuffle_vector(one, other, upper)
                vectors[i + half] = b.shuffle_vector(one, other, lower)
        half *= 2
    return vectors


def _order(lanes: list[int]) -> Any:
    return ir.Constant(ir.VectorType(ir.IntType(32), len(lanes)), lanes)
