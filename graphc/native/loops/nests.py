"""The frame of kernels that compute one node: loops over an index space of any rank, arrays with any strides.

    void kernel(ptr table, i64 first_row, i64 last_row, i64)

`table` holds the pointers of operands, of results, of status words, then numbers: the sizes and steps that are not in
the code, so that nests that differ in nothing but these share it.

A row is independent of all others: a point of the outer axes, or part of one along the innermost axis. Rows are shared
among threads in blocks; nothing depends on how.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from llvmlite import ir

from graphc.native.code.indices import Index, as_value, divided, plus, smaller, times
from graphc.native.code.scalars import I64, Value, cast, load, store, stored_type
from graphc.native.code.writer import Code
from graphc.native.gemm.places import entry_indices, offset
from graphc.native.strides import Steps

LEAST_IN_TABLE = 8
"""Smaller sizes and steps are in the code, which LLVM writes without loops where few elements are."""
SHORT = 64
"""The length of shorter walks is in the code, where that makes it faster."""
CHUNK = 4096
"""The most elements of the innermost axis in one row."""
DType = np.dtype[Any]


@dataclass(frozen=True)
class Array:
    """What an array holds, and how it lies over an index space."""

    dtype: DType
    steps: Steps


@dataclass(frozen=True)
class InTable:
    """In the place of a size or a step that stands in the table: which of its numbers that is."""

    place: int


@dataclass(frozen=True)
class Nest(ABC):
    """A kernel, found by its fields. Tables hold the pointers of `operands` and `results` in order."""

    operands: tuple[Array, ...]
    results: tuple[Array, ...]

    @property
    @abstractmethod
    def rows(self) -> int:
        """How many rows there are."""

    @abstractmethod
    def write(self, code: Code, operands: Sequence[Any], results: Sequence[Any], statuses: Sequence[Any]) -> None:
        """Write all rows from the first to the last, given the pointers. Sizes and steps may be i64 values."""

    @property
    def statuses(self) -> int:
        """How many words say what was wrong."""
        return 0

    @property
    def ns(self) -> float:
        """What all of it takes at least, where steps wait for one another or for far memory."""
        return 0.0

    @property
    def in_code(self) -> frozenset[str]:
        """The fields with numbers that are in the code."""
        return frozenset()

    @cached_property
    def shared(self) -> tuple[Nest, tuple[int, ...]]:
        """What nests have in common that share their code, and the numbers for the table."""
        numbers: list[int] = []
        return _into_table(self, numbers, self.in_code), tuple(numbers)

    @property
    def text(self) -> str:
        """The kernel's IR; written for what is shared, it reads numbers from the table."""
        words = (value for field in fields(self) if isinstance(value := getattr(self, field.name), str))
        code = Code.kernel(" ".join([type(self).__name__.lower(), *words]))
        code.parallel = True  # for LLVM's passes
        pointers = code.table(len(self.operands) + len(self.results) + self.statuses)
        count, known = len(self.operands), _from_table(self, code, len(pointers))
        known.write(code, pointers[:count], pointers[count : count + len(self.results)],
                    pointers[count + len(self.results) :])  # fmt: skip
        return code.text()


def _into_table(value: Any, numbers: list[int], in_code: frozenset[str] = frozenset()) -> Any:
    """Something with all large sizes and steps moved to the table."""
    if type(value) is int and abs(value) >= LEAST_IN_TABLE:
        numbers.append(value)
        return InTable(len(numbers) - 1)
    if type(value) is tuple:
        return tuple(_into_table(each, numbers) for each in value)
    if not is_dataclass(value):
        return value
    kept = {field.name: getattr(value, field.name) for field in fields(value) if field.name not in in_code}
    return replace(value, **{name: _into_table(each, numbers) for name, each in kept.items()})  # type: ignore[type-var]


def _from_table(value: Any, code: Code, first: int) -> Any:
    """Something with numbers read from the table where they were moved there."""
    if isinstance(value, InTable):
        return code.number(first + value.place)
    if type(value) is tuple:
        return tuple(_from_table(each, code, first) for each in value)
    if not is_dataclass(value):
        return value
    return replace(value, **{field.name: _from_table(getattr(value, field.name), code, first)
                             for field in fields(value)})  # type: ignore[type-var]  # fmt: skip


def merged(sizes: Sequence[int], arrays: Sequence[Steps], kinds: Sequence[Any] = ()) -> tuple[Any, ...]:
    """Sizes, steps of each array, and kinds of axes, with axes of size 1 left out and neighbours of one kind made one
    wherever every array lies so."""
    kinds = kinds or [None] * len(sizes)
    axes: list[list[Any]] = []
    for size, kind, *steps in zip(sizes, kinds, *arrays, strict=True):
        if size == 1:
            continue
        if axes and axes[-1][1] == kind and all(a == b * size for a, b in zip(axes[-1][2], steps, strict=True)):
            axes[-1] = [axes[-1][0] * size, kind, steps]
        else:
            axes.append([size, kind, steps])
    lies = [tuple(axis[2][i] for axis in axes) for i in range(len(arrays))]
    return tuple(axis[0] for axis in axes), lies, tuple(axis[1] for axis in axes)


Body = Callable[[list[Index], Index, Index], None]


def row_count(sizes: Sequence[int], chunk: int) -> int:
    """How many rows some axes make, the last of them in pieces."""
    return math.prod(sizes[:-1]) * -(-sizes[-1] // chunk) if sizes else 1


def in_pieces(code: Code, size: Index, chunk: int) -> Index:
    """Into how many pieces of a length something falls."""
    return divided(code.b, plus(code.b, size, chunk - 1), chunk)[0]


def at_most(size: Index, most: int) -> int:
    """The smaller of a size, if it is known, and a number."""
    return min(size, most) if isinstance(size, int) else most


def each_row(code: Code, sizes: Sequence[Index], chunk: int, body: Body) -> None:
    """For each row from the first to the last: the coordinates of outer axes, and the range along the innermost."""
    outer, size = (sizes[:-1], sizes[-1]) if sizes else ((), 1)
    pieces = in_pieces(code, size, chunk)

    def row(number: Index) -> None:
        *coordinates, piece = entry_indices(code.b, number, (*outer, pieces))
        if isinstance(pieces, int) and pieces == 1:
            body(coordinates, 0, size)
            return
        start = times(code.b, piece, chunk)
        body(coordinates, start, smaller(code.b, plus(code.b, start, chunk), size))

    _, first, last, _ = code.function.args
    code.loop(first, last, 1, row)


def nested(code: Code, sizes: Sequence[Index], body: Callable[..., Any], carried: Sequence[Any] = (), *,
           parallel: bool = False) -> list[Any]:  # fmt: skip
    """A loop in a loop for each axis: body(coordinates, carried values). `parallel` is about the innermost."""

    def inside(axis: int, coordinates: list[Index], values: Sequence[Any]) -> list[Any]:
        if axis == len(sizes):
            return list(body(coordinates, list(values)) or ())
        return code.loop(0, sizes[axis], 1, lambda i, *now: inside(axis + 1, [*coordinates, i], now), values,
                         parallel=parallel and axis == len(sizes) - 1)  # fmt: skip

    return inside(0, [], carried)


def place(code: Code, pointer: Any, array: Array, indices: Sequence[Index], further: Index = 0) -> Any:
    """The address of an element, `further` elements on."""
    way = plus(code.b, offset(code.b, indices, array.steps), further)
    return code.b.gep(pointer, [as_value(way)], source_etype=stored_type(array.dtype))


def fetch(code: Code, pointer: Any, array: Array, indices: Sequence[Index], further: Index = 0) -> Value:
    """An element."""
    return load(code.b, place(code, pointer, array, indices, further), array.dtype)


def fetch_all(code: Code, pointers: Sequence[Any], arrays: Sequence[Array], indices: Sequence[Index],
              dtype: DType) -> list[Value]:  # fmt: skip
    """The elements of several arrays at one place, converted."""
    return [cast(code.b, fetch(code, pointer, array, indices), dtype)
            for pointer, array in zip(pointers, arrays, strict=True)]  # fmt: skip


def put(code: Code, value: Value, pointer: Any, array: Array, indices: Sequence[Index], further: Index = 0) -> None:
    """Store an element."""
    store(code.b, value, place(code, pointer, array, indices, further))


class Room:
    """Elements on the stack that the rows of a kernel use one after the other."""

    def __init__(self, code: Code, count: int, dtype: DType) -> None:
        """f16 is kept as it is computed, in f32."""
        self.code, self.dtype = code, dtype
        self.stored = np.dtype("float32") if dtype == np.float16 else dtype
        self.pointer = code.room(count, stored_type(self.stored))

    def get(self, index: Index) -> Value:
        """The element at an index."""
        return Value(load(self.code.b, self._at(index), self.stored).ir, self.dtype)

    def set(self, index: Index, value: Value) -> None:
        """Keep an element."""
        store(self.code.b, Value(value.ir, self.stored), self._at(index))

    def _at(self, index: Index) -> Any:
        return self.code.at(self.pointer, index, stored_type(self.stored))


def constant(value: int) -> Any:
    """An i64."""
    return ir.Constant(I64, value)
