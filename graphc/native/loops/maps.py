"""Kernels whose elements are apart: fills, ranges and patterns, ops with several results, searches."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from llvmlite import ir

from graphc.executor.cost import CACHE_BYTES, NS_PER_BYTE, far_nanoseconds
from graphc.native.code import floats, integers
from graphc.native.code.indices import Index, as_value, plus
from graphc.native.code.scalars import I64, Value, cast, number, rounded
from graphc.native.code.writer import Code
from graphc.native.loops.nests import CHUNK, Array, Nest, each_row, fetch, fetch_all, put, row_count

INT64 = np.dtype("int64")
Element = Callable[..., Sequence[Value]]
"""element(code, dtype, indices, operands, **details): the results for one element."""


NS_PER_HALVING = 0.9
"""Half of what is left of a vector that is near, ..."""
NS_PER_FAR_HALVING = 20.0
"""... and of one so long that no cache holds it."""


@dataclass(frozen=True)
class Elementwise(Nest):
    """Elements of the results, each on its own."""

    sizes: tuple[int, ...]

    @property
    def rows(self) -> int:
        """The points of all axes but the last, which is cut into pieces."""
        return row_count(self.sizes, CHUNK)

    @property
    def ns(self) -> float:
        """The results are written."""
        nbytes = math.prod(self.sizes) * sum(result.dtype.itemsize for result in self.results)
        return nbytes * NS_PER_BYTE + far_nanoseconds(nbytes)

    def write(self, code: Code, operands: Sequence[Any], results: Sequence[Any], statuses: Sequence[Any]) -> None:
        """Along a row, elements are left for LLVM to vectorize, unless something may be wrong with one."""

        def row(outer: list[Index], start: Index, stop: Index) -> None:
            code.loop(start, stop, 1, lambda i: self.element(code, operands, results, statuses, [*outer, i][:rank]),
                      parallel=not statuses)  # fmt: skip

        rank = len(self.sizes)
        each_row(code, self.sizes, CHUNK, row)

    @abstractmethod
    def element(self, code: Code, operands: Sequence[Any], results: Sequence[Any], statuses: Sequence[Any],
                indices: list[Index]) -> None:  # fmt: skip
        """Write the element of each result at a place."""


@dataclass(frozen=True)
class Map(Elementwise):
    """Each element of the results from the operands' elements at its place, and from the place itself."""

    op: str
    details: tuple[tuple[str, Any], ...] = field(default=())

    @property
    def in_code(self) -> frozenset[str]:
        """What makes elements."""
        return frozenset({"details"})

    def element(self, code: Code, operands: Sequence[Any], results: Sequence[Any], statuses: Sequence[Any],
                indices: list[Index]) -> None:  # fmt: skip
        """What the table has for the op."""
        values = [fetch(code, pointer, array, indices)
                  for pointer, array in zip(operands, self.operands, strict=True)]  # fmt: skip
        made = ELEMENTS[self.op](code, self.results[0].dtype, indices, values, **dict(self.details))
        for value, pointer, array in zip(made, results, self.results, strict=True):
            put(code, value, pointer, array, indices)


def _number(code: Code, dtype: Any, indices: list[Index], operands: list[Value], *, value: Any) -> list[Value]:
    return [number(value, dtype)]


def _range(code: Code, dtype: Any, indices: list[Index], operands: list[Value], *, first: Any,
           step: Any) -> list[Value]:  # fmt: skip
    """first + i · step, as NumPy fills a range: floats round the product, then the sum."""
    b = code.b
    place = Value(as_value(indices[0]), INT64)
    if dtype.kind != "f":
        i = cast(b, place, dtype).ir
        return [Value(b.add(number(first, dtype).ir, b.mul(i, number(step, dtype).ir)), dtype)]
    wide = np.dtype("float32") if dtype == np.float16 else dtype
    way = b.fmul(cast(b, place, wide).ir, number(step, wide).ir)
    return [Value(rounded(b, b.fadd(number(first, wide).ir, way), dtype), dtype)]


def _diagonal(code: Code, dtype: Any, indices: list[Index], operands: list[Value], *, k: int,
              below: bool) -> list[Value]:  # fmt: skip
    row, column = indices
    here = code.b.icmp_signed("<=" if below else "==", as_value(column), as_value(plus(code.b, row, k)))
    return [cast(code.b, Value(here, np.dtype("bool")), dtype)]


def _parts(split: Callable[..., Sequence[Value]], code: Code, dtype: Any, indices: list[Index],
           operands: list[Value]) -> Sequence[Value]:  # fmt: skip
    return split(code.b, cast(code.b, operands[0], dtype))


ELEMENTS: dict[str, Element] = {
    "number": _number, "range": _range, "diagonal": _diagonal, "frexp": partial(_parts, floats.frexp),
    "modf": partial(_parts, floats.modf),
}  # fmt: skip


@dataclass(frozen=True)
class Power(Elementwise):
    """Integers to powers that may be negative, which NumPy refuses: the status word gets such a power."""

    @property
    def statuses(self) -> int:
        """One, for the power."""
        return 1

    def element(self, code: Code, operands: Sequence[Any], results: Sequence[Any], statuses: Sequence[Any],
                indices: list[Index]) -> None:  # fmt: skip
        """A negative power counts as 0."""
        b, dtype = code.b, self.results[0].dtype
        x, p = fetch_all(code, operands, self.operands, indices, dtype)
        zero = number(0, dtype).ir
        negative = b.icmp_signed("<", p.ir, zero)
        with b.if_then(negative):
            b.store(cast(b, p, INT64).ir, statuses[0], align=8)
        power = integers.power(b, dtype, x.ir, b.select(negative, zero, p.ir))
        put(code, Value(power, dtype), results[0], self.results[0], indices)


@dataclass(frozen=True)
class Search(Elementwise):
    """Where values go in a sorted vector, whose steps have one axis: the first operand."""

    length: int
    right: bool
    dtype: np.dtype[Any]

    @property
    def ns(self) -> float:
        """Each halving waits for the one before."""
        far = (self.length * self.dtype.itemsize // CACHE_BYTES).bit_length()
        return math.prod(self.sizes) * (self.length.bit_length() * NS_PER_HALVING + far * NS_PER_FAR_HALVING)

    @property
    def in_code(self) -> frozenset[str]:
        """How often the vector is halved."""
        return frozenset({"length"})

    def element(self, code: Code, operands: Sequence[Any], results: Sequence[Any], statuses: Sequence[Any],
                indices: list[Index]) -> None:  # fmt: skip
        """Halve what is left so often that one place remains."""
        b = code.b
        value = cast(b, fetch(code, operands[1], self.operands[1], indices), self.dtype)
        low, left = as_value(0), as_value(self.length)
        for _ in range(self.length.bit_length()):
            half = b.lshr(left, I64(1))
            middle = b.add(low, half)
            some = b.icmp_unsigned("!=", left, I64(0))
            safe = b.select(some, middle, I64(0))
            known = cast(b, fetch(code, operands[0], self.operands[0], [safe]), self.dtype)
            before = b.not_(self._less(b, value, known)) if self.right else self._less(b, known, value)
            passed = b.and_(some, before)
            low = b.select(passed, b.add(middle, I64(1)), low)
            left = b.select(passed, b.sub(b.sub(left, half), I64(1)), half)
        put(code, Value(low, INT64), results[0], self.results[0], indices)

    def _less(self, b: ir.IRBuilder, x: Value, y: Value) -> Any:
        """x < y, NaN counting as the largest."""
        if self.dtype.kind != "f":
            return (b.icmp_signed if self.dtype.kind == "i" else b.icmp_unsigned)("<", x.ir, y.ir)
        number, nan = b.fcmp_ordered("ord", x.ir, x.ir), b.fcmp_unordered("uno", y.ir, y.ir)
        return b.or_(b.fcmp_ordered("<", x.ir, y.ir), b.and_(number, nan))


def filling(array: Array, sizes: tuple[int, ...], value: Any) -> Map:
    """A kernel that fills a region with a number."""
    return Map((), (array,), sizes, "number", (("value", value),))
