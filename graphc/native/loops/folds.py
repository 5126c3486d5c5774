"""Reductions of all kinds over any axes: sums and extremes, contractions of two operands, and where extremes stand.

The axes of the index space are those of the result, then the reduced ones. Where the operands' elements lie next to
each other along the result's last axis, many results are computed at once, their totals on the stack; else one by one,
the terms along the last reduced axis in vectors.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from llvmlite import ir

from graphc.native.code import elementwise
from graphc.native.code.indices import Index, as_value, plus, smaller, times
from graphc.native.code.scalars import I64, Value, cast, number
from graphc.native.code.writer import Code
from graphc.native.kernel.phases import identity
from graphc.native.loops.nests import SHORT, DType, Room, at_most, fetch, fetch_all, nested, put
from graphc.native.loops.walks import COLUMNS, Walks, stretches_of
from graphc.op import Reduction

BLOCK = 512
"""Elements of which the best is found before its place."""
INT64 = np.dtype("int64")
NOWHERE = 2**63 - 1
NS_PER_TERM_BYTE = 0.06
"""A term of a total, for each byte of the result's elements."""
NS_PER_TERM_APART = 6.0
"""What is added where the terms of a total lie apart."""


@dataclass(frozen=True)
class Reducing(Walks):
    """What reductions share: the result's axes and the reduced ones, over which operands have steps in that order."""

    reduced: tuple[int, ...]

    @property
    def columns(self) -> bool:
        """Whether operands' elements are neighbours along the result's last axis."""
        last = len(self.kept) - 1
        return last >= 0 and all(array.steps[last] in (0, 1) for array in self.operands)


@dataclass(frozen=True)
class Fold(Reducing):
    """A reduction of the operand, or of the products of two: terms have the result's dtype; of f16, f32."""

    reduction: Reduction

    @property
    def stretches(self) -> list[Fold]:
        """The same in stretches along the longest axis that is reduced, one after the other."""
        axis = self.longest
        if axis is None:
            return [self]
        others = math.prod(self.reduced) // self.reduced[axis] * self.together
        ends = stretches_of(self.reduced[axis], others)
        return [replace(self, start=start, reduced=_replaced(self.reduced, axis, stop - start)) for start, stop in ends]

    @property
    def longest(self) -> int | None:
        """The longest axis that is reduced; none where totals are not what results hold, but rounded to that."""
        if 0 in self.reduced or not self.reduced or self.results[0].dtype != self._dtype:
            return None
        return max(range(len(self.reduced)), key=self.reduced.__getitem__)

    @property
    def ns(self) -> float:
        """Terms that are no neighbours come from as many lines of memory."""
        apart = not self.columns and any(abs(step) > 1 for array in self.operands for step in array.steps[-1:])
        each = NS_PER_TERM_BYTE * self.results[0].dtype.itemsize + (NS_PER_TERM_APART if apart else 0.0)
        return math.prod(self.kept) * math.prod(self.reduced) * each

    @property
    def in_code(self) -> frozenset[str]:
        """What is done."""
        return frozenset({"reduction"})

    @property
    def _dtype(self) -> DType:
        dtype = self.results[0].dtype
        return np.dtype("float32") if dtype == np.float16 else dtype

    def _put(self, code: Code, total: Value, result: Any, kept: list[Index]) -> None:
        put(code, cast(code.b, total, self.results[0].dtype), result, self.results[0], kept)

    def _term(self, code: Code, operands: Sequence[Any], indices: list[Index]) -> Value:
        factors = fetch_all(code, operands, self.operands, indices, self._dtype)
        if len(factors) == 1:
            return factors[0]
        return Value(elementwise.product(code.b, self._dtype, *(factor.ir for factor in factors)), self._dtype)

    def _with(self, code: Code, total: Value, term: Value) -> Value:
        return elementwise.combine(code.b, self.reduction.combine, self._dtype, total, term)

    def _begun(self, code: Code, result: Any, kept: list[Index]) -> Value:
        """What the first term is added to."""
        if self.goes_on:
            return fetch(code, result, self.results[0], kept)
        return identity(self.reduction, self._dtype)

    def some(self, code: Code, operands: Sequence[Any], result: Any, outer: list[Index], start: Index,
             stop: Index) -> None:  # fmt: skip
        """Totals on the stack, one term added to each at a time."""
        totals = Room(code, at_most(self.kept[-1], COLUMNS), self._dtype)
        count = plus(code.b, stop, times(code.b, start, -1))

        def terms(reduced: list[Index], _: list[Any]) -> None:
            code.loop(0, count, 1, lambda j: totals.set(j, self._with(code, totals.get(j), self._term(
                code, operands, [*outer, plus(code.b, start, j), *reduced]))), parallel=True)  # fmt: skip

        def first(j: Index) -> None:
            totals.set(j, self._begun(code, result, [*outer, plus(code.b, start, j)]))

        code.loop(0, count, 1, first, parallel=True)
        nested(code, self.reduced, terms)
        code.loop(0, count, 1, lambda j: self._put(code, totals.get(j), result, [*outer, plus(code.b, start, j)]),
                  parallel=True)  # fmt: skip

    def one(self, code: Code, operands: Sequence[Any], result: Any, kept: list[Index]) -> None:
        """The total is carried; sums may be added up in vectors."""

        def terms(reduced: list[Index], carried: list[Any]) -> list[Any]:
            total = Value(carried[0], self._dtype)
            return [self._with(code, total, self._term(code, operands, [*kept, *reduced])).ir]

        start = self._begun(code, result, kept).ir
        total = nested(code, self.reduced, terms, [start], parallel=True) if 0 not in self.reduced else [start]
        self._put(code, Value(total[0], self._dtype), result, kept)


@dataclass(frozen=True)
class Extremum(Reducing):
    """Where the largest (or smallest) element along one axis stands: the first, or the first NaN.

    Elements are compared as integers in the same order, of which the largest is searched.
    """

    op: str

    @property
    def stretches(self) -> list[Extremum]:
        """The same in stretches, one after the other."""
        found = stretches_of(self.reduced[0], self.together)
        return [replace(self, start=start, reduced=(stop,)) for start, stop in found]

    @property
    def in_code(self) -> frozenset[str]:
        """How many elements are compared, if they are few."""
        return frozenset({"reduced"} if self.reduced[0] < SHORT else ())

    @property
    def _key_dtype(self) -> DType:
        dtype = self.operands[0].dtype
        if dtype.kind == "b":
            return np.dtype("uint8")
        return np.dtype(f"int{max(8 * dtype.itemsize, 32)}") if dtype.kind == "f" else dtype

    def _key(self, code: Code, operands: Sequence[Any], indices: list[Index]) -> Value:
        b, x = code.b, fetch(code, operands[0], self.operands[0], indices)
        dtype = self._key_dtype
        key = _order_of(b, x.ir, dtype) if x.dtype.kind == "f" else cast(b, x, dtype).ir
        if self.op == "argmin":
            key = b.not_(key)
        if x.dtype.kind == "f":
            key = b.select(b.fcmp_unordered("uno", x.ir, x.ir), number(np.iinfo(dtype).max, dtype).ir, key)
        return Value(key, dtype)

    def _above(self, b: ir.IRBuilder, x: Any, y: Any) -> Any:
        return (b.icmp_signed if self._key_dtype.kind == "i" else b.icmp_unsigned)(">", x, y)

    def _so_far(self, code: Code, result: Any, kept: list[Index]) -> Index:
        """Where the best stands of what has been."""
        return fetch(code, result, self.results[0], kept).ir if self.goes_on else 0

    def some(self, code: Code, operands: Sequence[Any], result: Any, outer: list[Index], start: Index,
             stop: Index) -> None:  # fmt: skip
        """The best so far, and where, on the stack."""
        b = code.b
        width = at_most(self.kept[-1], COLUMNS)
        best, where = Room(code, width, self._key_dtype), Room(code, width, INT64)
        count = plus(b, stop, times(b, start, -1))

        def key(j: Index, r: Index) -> Value:
            return self._key(code, operands, [*outer, plus(b, start, j), r])

        def first(j: Index) -> None:
            at = self._so_far(code, result, [*outer, plus(b, start, j)])
            best.set(j, key(j, at))
            where.set(j, Value(as_value(at), INT64))

        def compare(j: Index, r: Index) -> None:
            x, before = key(j, r), best.get(j)
            better = self._above(b, x.ir, before.ir)
            best.set(j, Value(b.select(better, x.ir, before.ir), x.dtype))
            where.set(j, Value(b.select(better, as_value(r), where.get(j).ir), INT64))

        def step(r: Index) -> None:
            code.loop(0, count, 1, lambda j: compare(j, r), parallel=True)

        code.loop(0, count, 1, first, parallel=True)
        code.loop(self.following, self.reduced[0], 1, step)
        code.loop(0, count, 1, lambda j: put(code, where.get(j), result, self.results[0], [
            *outer, plus(b, start, j)]), parallel=True)  # fmt: skip

    def one(self, code: Code, operands: Sequence[Any], result: Any, kept: list[Index]) -> None:
        """The best of each block, then the first place of the best in the first block that has it."""
        b, size = code.b, self.reduced[0]

        def larger(r: Index, so_far: Any) -> list[Any]:
            x = self._key(code, operands, [*kept, r]).ir
            return [b.select(self._above(b, x, so_far), x, so_far)]

        def block(start: Index, best: Any, where: Any) -> list[Any]:
            stop = smaller(b, plus(b, start, BLOCK), size)
            top = code.loop(start, stop, 1, larger, [lowest], parallel=True)[0]
            better = self._above(b, top, best)
            return [b.select(better, top, best), b.select(better, as_value(start), where)]

        def place(r: Index, so_far: Any) -> list[Any]:
            here = b.icmp_unsigned("==", self._key(code, operands, [*kept, r]).ir, best)
            at = b.select(here, as_value(r), I64(NOWHERE))
            return [b.select(b.icmp_signed("<", at, so_far), at, so_far)]

        lowest = number(np.iinfo(self._key_dtype).min, self._key_dtype).ir
        at = self._so_far(code, result, kept)
        found = self._key(code, operands, [*kept, at]).ir if self.goes_on else lowest
        best, where = code.loop(self.start, size, BLOCK, block, [found, as_value(at)])
        stop = smaller(b, plus(b, where, BLOCK), size)
        at = code.loop(where, stop, 1, place, [I64(NOWHERE)], parallel=True)[0]
        put(code, Value(at, INT64), result, self.results[0], kept)


def _replaced(sizes: tuple[int, ...], axis: int, size: int) -> tuple[int, ...]:
    return (*sizes[:axis], size, *sizes[axis + 1 :])


def _order_of(b: ir.IRBuilder, x: Any, dtype: DType) -> Any:
    """An integer in the order of floats that are not NaN; zeros of both signs are one."""
    kind = ir.IntType(8 * dtype.itemsize)
    bits = b.bitcast(b.fadd(x, ir.Constant(x.type, 0.0)), kind)
    signs = b.ashr(bits, ir.Constant(kind, kind.width - 1))
    return b.xor(bits, b.lshr(signs, ir.Constant(kind, 1)))
