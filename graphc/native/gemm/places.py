"""Places in a product: where their elements lie in every array, and how values are finished and stored there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from llvmlite import ir

from graphc.native.code.scalars import Value, load, store, stored_type
from graphc.native.code.vectors import Lanes, span
from graphc.native.code.writer import I64, POINTER, Code, Index, as_value, divided, plus, times, zeros
from graphc.native.gemm.epilogues import Access, Epilogue, Strides


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

    def coordinates(self, b: ir.IRBuilder, place: Place) -> list[Index]:
        """A place's index along each axis of the description."""
        entry, row, column = place.entry, place.row, place.column
        if self.swapped:
            row, column = column, row
        if self.folded:
            entry, row = divided(b, row, self.rows)
        return [*entry_indices(b, entry, self.batch), row, column]

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


class Corner:
    """A place, with the addresses of arrays' elements there; those of its neighbours are a known way off."""

    def __init__(self, code: Code, axes: Axes, arrays: Sequence[tuple[Any, Access]], place: Place) -> None:
        self.code, self.axes, self.place = code, axes, place
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

    def load(self, array: int, down: Index, right: Index, piece: Lanes | None) -> Any:
        """An element, or a vector of neighbours: i1 for truth values, f32 for f16."""
        b, dtype, address = self.code.b, self.dtypes[array], self.address(array, down, right)
        if piece is None:
            return load(b, address, dtype).ir
        vector = self.code.gather(address, self.steps[array][-1], piece, dtype)
        if dtype.kind == "b":
            return b.icmp_unsigned("!=", vector, zeros(vector.type.element, piece.width))
        return b.fpext(vector, ir.VectorType(ir.FloatType(), piece.width)) if dtype == np.float16 else vector

    def store(self, value: Any, array: int, down: Index, right: Index, piece: Lanes | None) -> None:
        """The reverse of load."""
        b, dtype, address = self.code.b, self.dtypes[array], self.address(array, down, right)
        if piece is None:
            store(b, Value(value, dtype), address)
            return
        stored = ir.VectorType(stored_type(dtype), piece.width)
        if dtype.kind == "b":
            value = b.zext(value, stored)
        elif dtype == np.float16:
            value = b.fptrunc(value, stored)
        self.code.scatter(value, address, self.steps[array][-1], piece, dtype)


def offset(b: ir.IRBuilder, indices: Sequence[Index], strides: Sequence[int]) -> Index:
    """Elements from the start of an array to one of its elements."""
    total: Index = 0
    for index, stride in zip(indices, strides, strict=True):
        total = plus(b, total, times(b, index, stride))
    return total


class Element:
    """One element, or a vector of neighbouring elements of a row: what an epilogue works on."""

    def __init__(self, corner: Corner, down: Index, right: Index, value: Any, piece: Lanes | None = None) -> None:
        self.b, self.value = corner.code.b, value
        self._corner, self._way, self._piece = corner, (down, right), piece

    def operand(self, number: int) -> Any:
        """An operand at this place: i1 for truth values, f32 for f16."""
        return self._corner.load(1 + number, *self._way, self._piece)

    def index(self, axis: int) -> Any:
        """This place's index along an axis of the product, i64."""
        code, place, axes, piece = self._corner.code, self._corner.place, self._corner.axes, self._piece
        row, column = plus(self.b, place.row, self._way[0]), plus(self.b, place.column, self._way[1])
        if piece is None:
            return as_value(axes.coordinates(self.b, Place(place.entry, row, column))[axis])
        lanes = code.splat(as_value(column), piece.width)
        lanes = self.b.add(lanes, ir.Constant(lanes.type, list(range(piece.width))))
        index = as_value(axes.coordinates(self.b, Place(place.entry, row, lanes))[axis])
        return index if isinstance(index.type, ir.VectorType) else code.splat(index, piece.width)

    def number(self, value: float) -> Any:
        """A constant like the value."""
        return ir.Constant(self.value.type, float(value))

    def finish(self, epilogue: Epilogue) -> None:
        """Apply the epilogue and store its values."""
        first = 1 + len(epilogue.operands)
        arrays = [0, *range(first, first + len(epilogue.results))]
        for value, array in zip(epilogue.emit(self), arrays, strict=True):
            self._corner.store(value, array, *self._way, self._piece)


class Finish:
    """Stores a product's values through its epilogue. `pointers`: C, operands, further results."""

    def __init__(
        self, code: Code, result: Access, epilogue: Epilogue | None, axes: Axes, pointers: Sequence[Any],
    ) -> None:  # fmt: skip
        self.code, self.axes = code, axes
        self.epilogue = epilogue or Epilogue("none", lambda site: [site.value], vector=True)
        self.accesses = (result, *self.epilogue.operands, *self.epilogue.results)
        self.arrays = list(zip(pointers, self.accesses, strict=True))
        self.dtype = result.dtype
        self.loops: dict[tuple[Lanes, ...], Any] = {}

    def tile(self, values: Sequence[Sequence[Any]], pieces: Sequence[Lanes], place: Place,
             skipped: Index = None) -> None:  # fmt: skip
        """Store vectors, one list per row: all but those of so many first rows, if that is known at run time only."""
        if not self.epilogue.vector or self.epilogue.long or not self._rows_lie_along():
            self._through_buffer(values, pieces, place, skipped)
            return
        corner = Corner(self.code, self.axes, self.arrays, place)

        def store_row(row: int) -> None:
            for piece, vector in zip(pieces, values[row], strict=True):
                Element(corner, row, piece.start, vector, piece).finish(self.epilogue)

        self.code.from_one_on(skipped, len(values), store_row)

    def scalars(self, values: Sequence[Sequence[Any]], place: Place, skipped: Index = None) -> None:
        """Store single elements, one list per row."""
        if not self.epilogue.vector or self.epilogue.long:
            count = len(values[0])
            numbers = [Lanes(column, 1, 1) for column in range(count)]
            self._through_buffer(values, numbers, place, skipped, [Lanes(0, count, count)])
            return
        corner = Corner(self.code, self.axes, self.arrays, place)

        def store_row(row: int) -> None:
            for column, number in enumerate(values[row]):
                Element(corner, row, column, number).finish(self.epilogue)

        self.code.from_one_on(skipped, len(values), store_row)

    def _through_buffer(
        self, values: Sequence[Sequence[Any]], pieces: Sequence[Lanes], place: Place, skipped: Index,
        read: Sequence[Lanes] = (),
    ) -> None:  # fmt: skip
        """Leave the values as they come in memory, and finish them as pieces to be read."""
        code, kind, width = self.code, stored_type(self.dtype), span(pieces)
        buffer = code.room(len(values) * width, kind)
        for row, vectors in enumerate(values):
            for piece, vector in zip(pieces, vectors, strict=True):
                code.b.store(vector, code.at(buffer, row * width + piece.start, kind), align=self.dtype.itemsize)
        key = tuple(read or pieces)
        if key not in self.loops:
            self.loops[key] = self._write_loops(key)
        rows = 0 if skipped is None else skipped, len(values)
        where = [as_value(index) for index in (*rows, place.entry, place.row, place.column)]
        code.b.call(self.loops[key], [buffer, *where, *[pointer for pointer, _ in self.arrays]])

    def _write_loops(self, pieces: tuple[Lanes, ...]) -> Any:
        """A function that applies the epilogue to a buffer of rows, each of these pieces."""
        kinds = [POINTER, *[I64] * 5, *[POINTER] * len(self.arrays)]
        code = Code(self.code.module, f"finish_{len(self.loops)}", kinds, internal=True)
        buffer, first, rows, entry, row, column, *pointers = code.function.args
        arrays = list(zip(pointers, self.accesses, strict=True))
        corner = Corner(code, self.axes, arrays, Place(entry, row, column))
        columns, width = sum(piece.active for piece in pieces), span(pieces)

        def element(down: Index, right: Index) -> None:
            value = load(code.b, place(down, right), self.dtype).ir
            Element(corner, down, right, value).finish(self.epilogue)

        def vector(piece: Lanes, down: Index, right: Index) -> None:
            value = code.load(place(down, right), Lanes(0, piece.width, piece.width), self.dtype)
            Element(corner, down, right, value, piece).finish(self.epilogue)

        def place(down: Index, right: Index) -> Any:
            return code.at(buffer, plus(code.b, times(code.b, down, width), right), stored_type(self.dtype))

        def vectors(down: Index) -> None:
            alike = [piece for piece in pieces if piece[1:] == pieces[0][1:]]
            code.loop(0, span(alike), pieces[0].width, partial(vector, pieces[0], down))
            for piece in pieces[len(alike) :]:
                vector(piece, down, piece.start)

        if not self.epilogue.vector:
            code.loop(first, rows, 1, lambda down: code.loop(0, columns, 1, partial(element, down), parallel=True))
            self.code.parallel = True
        elif self._rows_lie_along():
            code.loop(first, rows, 1, vectors)
        else:
            code.loop(0, columns, 1, lambda right: code.loop(first, rows, 1, lambda down: element(down, right)))
        code.b.ret_void()
        return code.function

    def _rows_lie_along(self) -> bool:
        """Whether neighbouring columns of C are neighbours in memory."""
        return self.axes.strides(self.accesses[0].strides)[-1] == 1
