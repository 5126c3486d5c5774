"""Reductions of all kinds over any axes: sums and extremes, contractions of two operands, and where extremes stand.

The axes of the index space are those of the result, then the reduced ones. Where the operands' elements lie next to
each other along the result's last axis, many results are computed at once, their totals on the stack; else one by one,
the terms along the last reduced axis in vectors.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from llvmlite import ir

from graphc.native import elementwise
from graphc.native.nests import DType, Nest, Room, constant, each_row, fetch, nested, put, row_count
from graphc.native.phases import REDUCTIONS
from graphc.native.scalars import Value, cast
from graphc.native.writer import I64, Code, Index, as_value, plus, times

COLUMNS = 512
"""Results that are computed at once."""
INT64 = np.dtype("int64")
NOWHERE = 2**63 - 1


@dataclass(frozen=True)
class Reducing(Nest):
    """What reductions share: the result's axes and the reduced ones, over which operands have steps in that order."""

    kept: tuple[int, ...]
    reduced: tuple[int, ...]

    @property
    def columns(self) -> bool:
        """Whether to go along the result's last axis."""
        last = len(self.kept) - 1
        return last >= 0 and all(array.steps[last] in (0, 1) for array in self.operands)

    @property
    def rows(self) -> int:
        """Parts of the result."""
        return row_count(self.kept, COLUMNS if self.columns else 1)

    def write(self, code: Code, operands: Sequence[Any], results: Sequence[Any], statuses: Sequence[Any]) -> None:
        """Choose the way to go."""
        if self.columns:
            each_row(code, self.kept, COLUMNS, lambda outer, start, stop: self.some(
                code, operands, results[0], outer, start, stop))  # fmt: skip
            return
        each_row(code, self.kept, 1, lambda outer, start, stop: self.one(
            code, operands, results[0], [*outer, start] if self.kept else []))  # fmt: skip

    def some(self, code: Code, operands: Sequence[Any], result: Any, outer: list[Index], start: Index,
             stop: Index) -> None:  # fmt: skip
        """Results next to each other."""
        raise NotImplementedError

    def one(self, code: Code, operands: Sequence[Any], result: Any, kept: list[Index]) -> None:
        """One result."""
        raise NotImplementedError


@dataclass(frozen=True)
class Fold(Reducing):
    """A reduction of the operand, or of the products of two: terms have the result's dtype."""

    op: str

    @property
    def _dtype(self) -> DType:
        return self.results[0].dtype

    def _term(self, code: Code, operands: Sequence[Any], indices: list[Index]) -> Value:
        factors = [cast(code.b, fetch(code, pointer, array, indices), self._dtype)
                   for pointer, array in zip(operands, self.operands, strict=True)]  # fmt: skip
        if len(factors) == 1:
            return factors[0]
        return Value(elementwise.product(code.b, self._dtype, *(factor.ir for factor in factors)), self._dtype)

    def _with(self, code: Code, total: Value, term: Value) -> Value:
        return elementwise.combine(code.b, REDUCTIONS[self.op].combine, self._dtype, total, term)

    def some(self, code: Code, operands: Sequence[Any], result: Any, outer: list[Index], start: Index,
             stop: Index) -> None:  # fmt: skip
        """Totals on the stack, one term added to each at a time."""
        totals = Room(code, min(COLUMNS, self.kept[-1]), self._dtype)
        nothing = REDUCTIONS[self.op].identity(self._dtype)
        count = plus(code.b, stop, times(code.b, start, -1))

        def terms(reduced: list[Index], _: list[Any]) -> None:
            code.loop(0, count, 1, lambda j: totals.set(j, self._with(code, totals.get(j), self._term(
                code, operands, [*outer, plus(code.b, start, j), *reduced]))), parallel=True)  # fmt: skip

        code.loop(0, count, 1, lambda j: totals.set(j, nothing), parallel=True)
        nested(code, self.reduced, terms)
        code.loop(0, count, 1, lambda j: put(code, totals.get(j), result, self.results[0], [
            *outer, plus(code.b, start, j)]), parallel=True)  # fmt: skip

    def one(self, code: Code, operands: Sequence[Any], result: Any, kept: list[Index]) -> None:
        """The total is carried; sums may be added up in vectors."""

        def terms(reduced: list[Index], carried: list[Any]) -> list[Any]:
            total = Value(carried[0], self._dtype)
            return [self._with(code, total, self._term(code, operands, [*kept, *reduced])).ir]

        start = REDUCTIONS[self.op].identity(self._dtype).ir
        total = nested(code, self.reduced, terms, [start], parallel=True) if math.prod(self.reduced) else [start]
        put(code, Value(total[0], self._dtype), result, self.results[0], kept)


@dataclass(frozen=True)
class Extremum(Reducing):
    """Where the largest (or smallest) element along one axis stands: the first, or the first NaN."""

    op: str

    @property
    def _dtype(self) -> DType:
        return self.operands[0].dtype

    def _best(self, b: ir.IRBuilder, x: Value, y: Value) -> Value:
        return elementwise.combine(b, "maximum" if self.op == "argmax" else "minimum", self._dtype, x, y)

    def _better(self, b: ir.IRBuilder, x: Value, than: Value) -> Any:
        symbol = ">" if self.op == "argmax" else "<"
        if self._dtype.kind != "f":
            return (b.icmp_signed if self._dtype.kind == "i" else b.icmp_unsigned)(symbol, x.ir, than.ir)
        nan, number = b.fcmp_unordered("uno", x.ir, x.ir), b.fcmp_ordered("ord", than.ir, than.ir)
        return b.or_(b.fcmp_ordered(symbol, x.ir, than.ir), b.and_(nan, number))

    def some(self, code: Code, operands: Sequence[Any], result: Any, outer: list[Index], start: Index,
             stop: Index) -> None:  # fmt: skip
        """The best so far, and where, on the stack."""
        b, source = code.b, self.operands[0]
        width = min(COLUMNS, self.kept[-1])
        best, where = Room(code, width, self._dtype), Room(code, width, INT64)
        count = plus(b, stop, times(b, start, -1))

        def fetched(j: Index, r: Index) -> Value:
            return fetch(code, operands[0], source, [*outer, plus(b, start, j), r])

        def first(j: Index) -> None:
            best.set(j, fetched(j, 0))
            where.set(j, Value(constant(0), INT64))

        def compare(j: Index, r: Index) -> None:
            x, before = fetched(j, r), best.get(j)
            better = self._better(b, x, before)
            best.set(j, Value(b.select(better, x.ir, before.ir), self._dtype))
            where.set(j, Value(b.select(better, as_value(r), where.get(j).ir), INT64))

        def step(r: Index) -> None:
            code.loop(0, count, 1, lambda j: compare(j, r), parallel=True)

        code.loop(0, count, 1, first, parallel=True)
        code.loop(1, self.reduced[0], 1, step)
        code.loop(0, count, 1, lambda j: put(code, where.get(j), result, self.results[0], [
            *outer, plus(b, start, j)]), parallel=True)  # fmt: skip

    def one(self, code: Code, operands: Sequence[Any], result: Any, kept: list[Index]) -> None:
        """First the best, then the first place where it, or NaN, stands: both in vectors."""
        b, source, size = code.b, self.operands[0], self.reduced[0]

        def best(r: Index, so_far: Any) -> list[Any]:
            return [self._best(b, Value(so_far, self._dtype), fetch(code, operands[0], source, [*kept, r])).ir]

        def place(r: Index, so_far: Any) -> list[Any]:
            x = fetch(code, operands[0], source, [*kept, r]).ir
            if self._dtype.kind == "f":
                here = b.or_(b.fcmp_ordered("==", x, extreme), b.fcmp_unordered("uno", x, x))
            else:
                here = b.icmp_unsigned("==", x, extreme)
            at = b.select(here, as_value(r), I64(NOWHERE))
            return [b.select(b.icmp_signed("<", at, so_far), at, so_far)]

        start = fetch(code, operands[0], source, [*kept, 0]).ir
        extreme = code.loop(0, size, 1, best, [start], parallel=True)[0]
        at = code.loop(0, size, 1, place, [I64(NOWHERE)], parallel=True)[0]
        put(code, Value(at, INT64), result, self.results[0], kept)
