"""Stages: what a kernel reads and writes across its rows passes the stack, where it lies row by row.

A value that lies across the rows, as a transposed matrix does, has elements of many rows in each line of memory. Its
part of a tile, which is some rows and some elements of each, is brought to the stack before it is read, and from there
to memory after it was written.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from llvmlite import ir

from graphc.native.code.indices import Index, as_value, larger, plus, smaller, times
from graphc.native.code.scalars import I64, stored_type, undefined
from graphc.native.code.vectors import host_unit
from graphc.native.kernel.lanes import Lanes, first_lanes, load_lanes, store_lanes

if TYPE_CHECKING:
    from graphc.native.kernel.rows import Writer

GROUP = 16
"""The most rows of some columns that are in registers at once."""


class Tile:
    """The tile reached: its rows are indices along an axis, its columns some along the last one.

    `start` and `begin` are the first of each, `rows` and `columns` how many there are: at most as many as `most` tells.
    Where the code knows how many rows there are, `rows` is an int.
    """

    def __init__(self, of: Writer, axis: int, most: tuple[int, int]) -> None:
        self.of, self.code, self.b, self.axis, self.most = of, of.code, of.b, axis, most
        self.axes = len(of.kernel.space.sizes)
        self.stages = {pointer: _Stage(self, pointer) for pointer in of.kernel.form.staged}
        self.start: Any = None
        self.begin: Any = None
        self.rows: Any = None
        self.columns: Any = None

    def fetch(self) -> None:
        """Bring the operands' parts to the stack."""
        self._move(lambda pointer: pointer < len(self.of.kernel.body.inputs), _Stage.fetch)

    def bring_back(self) -> None:
        """Bring the results' parts to memory."""
        self._move(lambda pointer: pointer >= len(self.of.kernel.body.inputs), _Stage.bring_back)

    def _move(self, which: Callable[[int], bool], move: Callable[[_Stage], None]) -> None:
        self.of.coordinates[self.axis] = self.start
        for pointer, stage in self.stages.items():
            if which(pointer):
                move(stage)

    def place(self, pointer: int, lanes: Lanes) -> tuple[Any, Any]:
        """The address of the first of some elements on the stage, and how far they are apart."""
        row = self.b.sub(self.of.coordinates[self.axis], self.start)
        return self.stages[pointer].place(row, self.b.sub(as_value(lanes.position), self.begin)), 1


class _Stage:
    """The part of a tile that a pointer's array has: in memory column by column, here row by row.

    Blocks of as many rows as columns are transposed in registers.
    """

    def __init__(self, tile: Tile, pointer: int) -> None:
        self.tile, self.pointer, self.code, self.b = tile, pointer, tile.code, tile.b
        self.node = tile.of.kernel.pointed[pointer]
        self.dtype = self.node.array_type.dtype
        self.kind = stored_type(self.dtype)
        self.side = min(host_unit().vector_bytes // self.dtype.itemsize, GROUP)
        rows, self._pitch = tile.most
        self._room = self.code.room(rows * self._pitch, self.kind)

    def place(self, row: Index, column: Index) -> Any:
        """The address of an element of the tile."""
        return self.code.at(self._room, plus(self.b, times(self.b, row, self._pitch), column), self.kind)

    def fetch(self) -> None:
        """Bring the part here."""
        self._each_block(self._fetch)

    def bring_back(self) -> None:
        """Bring the part to where it lies."""
        self._each_block(self._bring_back)

    def _each_block(self, move: Callable[[Any, Any, int, int], None]) -> None:
        """Move some columns at a time, group by group of their rows; without masks, edges element by element."""
        loop, b, side, count = self.code.loop, self.b, self.side, self._count()
        rows, columns = self.tile.rows, self.tile.columns

        def group(row: Any, column: Any) -> None:
            if host_unit().masked:
                move(row, column, side, count)
                return
            last_row, last_column = plus(b, row, count), plus(b, column, side)
            whole = b.and_(b.icmp_signed("<=", as_value(last_row), as_value(rows)),
                           b.icmp_signed("<=", last_column, columns))  # fmt: skip
            with b.if_else(whole) as (then, otherwise):
                with then:
                    move(row, column, side, count)
                with otherwise:
                    loop(column, smaller(b, last_column, columns), 1, lambda column: loop(
                        row, smaller(b, last_row, rows), 1, lambda row: move(row, column, 1, 1)))  # fmt: skip

        loop(0, columns, side, lambda column: loop(0, rows, count, lambda row: group(row, column)))

    def _count(self) -> int:
        """So many rows of some columns are in registers at once: all, if the code knows them."""
        rows = self.tile.rows
        if not isinstance(rows, int):
            return GROUP
        return -(-rows // self.side) * self.side if host_unit().masked else self.side

    def _is_there(self, row: Index) -> bool:
        """Whether a row may be there, for all that the code knows."""
        return not (isinstance(row, int) and isinstance(self.tile.rows, int)) or row < self.tile.rows

    def _fetch(self, first: Index, column: Any, side: int, count: int) -> None:
        """Bring some rows of some columns here; what is not there is not used."""
        b, found = self.b, []
        last, masks = b.sub(self.tile.columns, I64(1)), self._masks(first, side, count)
        for at in [plus(b, column, i) for i in range(side)]:
            there = at if masks[0] is None else smaller(b, at, last)
            found.append([load_lanes(self.code, self._memory(plus(b, first, side * k), there), Lanes(0, side, mask),
                                     self.dtype) for k, mask in enumerate(masks)])  # fmt: skip
        for k, columns in enumerate(zip(*found, strict=True)):
            for i, line in enumerate(transposed(b, columns)):
                if self._is_there(row := plus(b, first, side * k + i)):
                    store_lanes(self.code, line, self.place(row, column), Lanes(0, side), self.dtype)

    def _bring_back(self, first: Index, column: Any, side: int, count: int) -> None:
        """Bring some rows of some columns to where they lie, but for what is not there."""
        b, found = self.b, []
        for k in range(count // side):
            rows = [plus(b, first, side * k + i) for i in range(side)]
            lines = [load_lanes(self.code, self.place(row, column), Lanes(0, side), self.dtype)
                     if self._is_there(row) else undefined(self.kind, side) for row in rows]  # fmt: skip
            found.append(transposed(b, lines))
        masks = self._masks(first, side, count)
        for i, vectors in enumerate(zip(*found, strict=True)):
            at = plus(b, column, i)
            for k, (mask, vector) in enumerate(zip(masks, vectors, strict=True)):
                there = mask and b.select(b.icmp_signed("<", at, self.tile.columns), mask, mask.type(None))
                place = self._memory(plus(b, first, side * k), at)
                store_lanes(self.code, vector, place, Lanes(0, side, there), self.dtype)

    def _masks(self, first: Index, side: int, count: int) -> list[Any]:
        """Which rows are there, for each vector of a column; None where all are."""
        if side == 1 or not host_unit().masked:
            return [None] * (count // side)
        if isinstance(first, int) and isinstance(self.tile.rows, int):
            return [first_lanes(self.code, side, self.tile.rows - first - start) for start in range(0, count, side)]
        left = self.b.sub(as_value(self.tile.rows), as_value(first))
        rows = (self.b.sub(left, I64(start)) for start in range(0, count, side))
        return [first_lanes(self.code, side, larger(self.b, left, 0)) for left in rows]

    def _memory(self, row: Any, column: Any) -> Any:
        """The address of an element in memory."""
        there, _ = self.tile.of.lies(self.pointer, self.node, Lanes(plus(self.b, self.tile.begin, column), 1))
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
