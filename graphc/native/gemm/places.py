"""Places in a product: where their elements lie in every array, and how values are finished and stored there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from llvmlite import ir

from graphc.native.code.indices import Index, as_value, divided, plus, times
from graphc.native.code.scalars import I32, I64, POINTER, Value, computed, load, store, stored, stored_type
from graphc.native.code.vectors import Piece, Unit, cover, span
from graphc.native.code.writer import Code
from graphc.native.gemm.epilogues import Access, Epilogue, Strides
from graphc.native.gemm.panels import SQUARE_BYTES, transposed


@dataclass(frozen=True)
class Place:
    """Where in the product a value belongs: batch entry, row and column."""

    entry: Index
    row: Index
    column: Index


@dataclass(frozen=True)
class Axes:
    """How the index space of the code relates to the one that the product was described in."""

    batch: tuple[int, ...]
    rows: int
    folded: bool = False
    """The batch entries' rows, so many each, lie one after the other as rows of the code."""
    swapped: bool = False
    """The code computes the transpose."""

    def strides(self, described: Strides) -> Strides:
        """An array's strides along batch axes, rows and columns of the code."""
        *batch, row, column = described
        if self.folded:
            sizes = [*self.batch, self.rows]
            row = next((stride for size, stride in zip(sizes[::-1], described[-2::-1], strict=True) if size != 1), 0)
            batch = []
        return (*batch, column, row) if self.swapped else (*batch, row, column)


def entry_indices(b: ir.IRBuilder, entry: Index, batch: Sequence[int]) -> list[Index]:
    """The number of a batch entry as an index along each batch axis."""
    found: list[Index] = []
    for size in reversed(batch[1:]):
        entry, index = divided(b, entry, size)
        found.append(index)
    return [*([entry] if batch else []), *reversed(found)]


def block_indices(code: Code, number: Index, counts: Sequence[Index]) -> list[Index]:
    """The number of a block as an index along each of some axes, the first of which runs fastest.

    The number has few bits, and the last axis of several needs no division.
    """
    found: list[Index] = [0] * len(counts)
    several = [i for i, count in enumerate(counts) if not (isinstance(count, int) and count == 1)]
    for i in several[:-1]:
        number, found[i] = _divided(code.b, number, counts[i])
    if several:
        found[several[-1]] = number
    return found


def _divided(b: ir.IRBuilder, number: Index, count: Index) -> tuple[Index, Index]:
    if isinstance(count, int):
        return divided(b, number, count)
    short, by = (b.trunc(x, I32) for x in (number, count))
    quotient = b.udiv(short, by)
    return b.zext(quotient, I64), b.zext(b.sub(short, b.mul(quotient, by)), I64)


class Corner:
    """A place, with the addresses of arrays' elements there; those of its neighbours are a known way off."""

    def __init__(self, code: Code, axes: Axes, arrays: Sequence[tuple[Any, Access]], place: Place) -> None:
        self.code = code
        self.dtypes = [access.dtype for _, access in arrays]
        self.steps = [axes.strides(access.strides) for _, access in arrays]
        entry = entry_indices(code.b, place.entry, () if axes.folded else axes.batch)
        indices = [*entry, place.row, place.column]
        self.starts = [
            code.at(pointer, offset(code.b, indices, steps), stored_type(access.dtype))
            for (pointer, access), steps in zip(arrays, self.steps, strict=True)
        ]

    def address(self, array: int, down: Index, right: Index) -> Any:
        """Of an array's element so many rows down and columns to the right."""
        way = offset(self.code.b, [down, right], self.steps[array][-2:])
        return self.code.at(self.starts[array], way, stored_type(self.dtypes[array]))

    def load(self, array: int, down: Index, right: Index, piece: Piece | None) -> Any:
        """An element, or a vector of neighbours: i1 for truth values, f32 for f16."""
        b, dtype, address = self.code.b, self.dtypes[array], self.address(array, down, right)
        if piece is None:
            return load(b, address, dtype).ir
        return computed(b, self.code.gather(address, self.steps[array][-1], piece, dtype), dtype).ir

    def store(self, value: Any, array: int, down: Index, right: Index, piece: Piece | None) -> None:
        """The reverse of load."""
        b, dtype, address = self.code.b, self.dtypes[array], self.address(array, down, right)
        if piece is None:
            store(b, Value(value, dtype), address)
        else:
            self.code.scatter(stored(b, Value(value, dtype)), address, self.steps[array][-1], piece, dtype)

    def finish(self, epilogue: Epilogue, value: Any, down: Index, right: Index, piece: Piece | None = None) -> None:
        """Apply an epilogue to an element, or a vector of neighbours, and store what it gives."""
        values = epilogue.emit(self.code.b, value, lambda number: self.load(1 + number, down, right, piece))
        for array, final in zip([0, *range(1 + len(epilogue.operands), len(self.steps))], values, strict=True):
            self.store(final, array, down, right, piece)


def offset(b: ir.IRBuilder, indices: Sequence[Index], strides: Sequence[int]) -> Index:
    """Elements from the start of an array to one of its elements."""
    total: Index = 0
    for index, stride in zip(indices, strides, strict=True):
        total = plus(b, total, times(b, index, stride))
    return total


class Finish:
    """Stores a product's values through its epilogue. `pointers`: C, operands, further results."""

    def __init__(
        self, code: Code, result: Access, epilogue: Epilogue, axes: Axes, pointers: Sequence[Any], unit: Unit,
    ) -> None:  # fmt: skip
        self.code, self.axes, self.epilogue = code, axes, epilogue
        self.unit = replace(unit, vector_bytes=min(unit.vector_bytes, SQUARE_BYTES))
        """That of squares, which are turned in registers."""
        self.accesses = (result, *epilogue.operands, *epilogue.results)
        self.arrays = list(zip(pointers, self.accesses, strict=True))
        self.dtype = result.dtype
        self.loops: dict[tuple[Any, ...], Any] = {}

    def tile(self, values: Sequence[Sequence[Any]], pieces: Sequence[Piece], place: Place,
             skipped: Index = None) -> None:  # fmt: skip
        """Store vectors, one list per row, but for the first `skipped` rows, a number known when the code runs."""
        *_, down, right = self.axes.strides(self.accesses[0].strides)
        if right != 1:  # a row of C is not contiguous
            turns = down == 1 and skipped is None
            downs = cover(len(values), self.unit, self.dtype.itemsize) if turns else ()
            self._through_buffer(values, pieces, place, skipped, downs)
            return
        corner = Corner(self.code, self.axes, self.arrays, place)

        def store_row(row: int) -> None:
            for piece, vector in zip(pieces, values[row], strict=True):
                corner.finish(self.epilogue, vector, row, piece.start, piece)

        self.code.from_one_on(skipped, len(values), store_row)

    def scalars(self, values: Sequence[Sequence[Any]], place: Place, skipped: Index = None) -> None:
        """Store single elements, one list per row."""
        corner = Corner(self.code, self.axes, self.arrays, place)

        def store_row(row: int) -> None:
            for column, number in enumerate(values[row]):
                corner.finish(self.epilogue, number, row, column)

        self.code.from_one_on(skipped, len(values), store_row)

    def _through_buffer(self, values: Sequence[Sequence[Any]], pieces: Sequence[Piece], place: Place,
                        skipped: Index, downs: Sequence[Piece]) -> None:  # fmt: skip
        """Leave vectors in a buffer, and finish its elements one by one, or as vectors of neighbouring rows."""
        code, kind, width = self.code, stored_type(self.dtype), span(pieces)
        buffer = code.room(len(values) * width, kind)
        for row, vectors in enumerate(values):
            for piece, vector in zip(pieces, vectors, strict=True):
                code.b.store(vector, code.at(buffer, row * width + piece.start, kind), align=self.dtype.itemsize)
        key = tuple(pieces), tuple(downs)
        if key not in self.loops:
            self.loops[key] = self._write_loops(*key)
        rows = 0 if skipped is None else skipped, len(values)
        where = [as_value(index) for index in (*rows, place.entry, place.row, place.column)]
        code.b.call(self.loops[key], [buffer, *where, *[pointer for pointer, _ in self.arrays]])

    def _write_loops(self, pieces: tuple[Piece, ...], downs: tuple[Piece, ...]) -> Any:
        """A function that applies the epilogue to a buffer of rows, each of these pieces, column by column: to these
        vectors of rows, if rows are neighbours in C."""
        kinds = [POINTER, *[I64] * 5, *[POINTER] * len(self.arrays)]
        code = Code(self.code.module, f"finish_{len(self.loops)}", kinds, internal=True)
        buffer, first, rows, entry, row, column, *pointers = code.function.args
        arrays = list(zip(pointers, self.accesses, strict=True))
        corner = Corner(code, self.axes, arrays, Place(entry, row, column))

        def element(down: Index, right: Index) -> None:
            at = plus(code.b, times(code.b, down, span(pieces)), right)
            value = load(code.b, code.at(buffer, at, stored_type(self.dtype)), self.dtype).ir
            corner.finish(self.epilogue, value, down, right)

        columns = sum(piece.active for piece in pieces)
        whole = columns - columns % max((down.width for down in downs), default=columns + 1)
        seen = Corner(code, replace(self.axes, swapped=not self.axes.swapped), arrays, Place(entry, column, row))
        for down in downs:
            code.loop(0, whole, down.width, partial(self._square, seen, buffer, span(pieces), down))
        code.loop(whole, columns, 1, lambda right: code.loop(first, rows, 1, lambda down: element(down, right)))
        code.b.ret_void()
        return code.function

    def _square(self, corner: Corner, buffer: Any, width: int, down: Piece, right: Index) -> None:
        """Finish some rows of as many columns of a buffer; missing rows are read from the last one."""
        code, kind = corner.code, stored_type(self.dtype)
        rows = [down.start + min(row, down.active - 1) for row in range(down.width)]
        places = [code.at(buffer, plus(code.b, right, row * width), kind) for row in rows]
        vectors = [code.load(place, Piece(0, down.width, down.width), self.dtype) for place in places]
        for step, vector in enumerate(transposed(code.b, vectors)):
            corner.finish(self.epilogue, vector, plus(code.b, right, step), down.start, down)
