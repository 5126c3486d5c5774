"""Running totals and linear recurrences along an axis, each step in NumPy's order and rounded as NumPy does.

The index space has the other axes, then the one that is walked. Where elements lie next to each other along the last
other axis, many recurrences go on at once; elsewhere a few, whose rows are walked together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from graphc.native.code.indices import Index, as_value, plus, times
from graphc.native.code.scalars import Value, rounded
from graphc.native.code.writer import Code
from graphc.native.loops.nests import SHORT, Array, DType, each_row, fetch, fetch_all, put, row_count
from graphc.native.loops.walks import Walks, stretches_of

NS_PER_STEP, NS_PER_HALF = 0.8, 2.9
"""A step of a single recurrence, and one in f16."""
ABREAST = 4
"""So many go on at once, where there are twice as many: while one waits for its last step, others do theirs. Of eight
whose rows are a power of two apart, lines took each other's places in the cache: seven times as slow as one by one, ...
"""
FASTER = 2.5
"""... and four take so much less time."""


@dataclass(frozen=True)
class Scan(Walks):
    """y[i] = step(y[i-1], x[i]), or of two operands y[i] = x₁[i] + x₀[i] · y[i-1]; y[0] is the last operand's."""

    length: int
    op: str

    @property
    def stretches(self) -> list[Scan]:
        """The same in stretches, one after the other."""
        return [replace(self, start=start, length=stop) for start, stop in stretches_of(self.length, self.together)]

    @property
    def in_code(self) -> frozenset[str]:
        """Steps of single recurrences, which take 1.6 times as long where they read them, and short lengths."""
        if self.columns:
            return frozenset()
        return frozenset({"operands", "results", *(["length"] if self.length < SHORT else [])})

    @property
    def ns(self) -> float:
        """A step waits for the one before, unless other recurrences go on meanwhile; in f16 it rounds, too."""
        single = NS_PER_HALF if self._dtype == np.float16 else NS_PER_STEP
        return 0.0 if self.columns else math.prod(self.kept) * (self.length - self.start) * single

    @property
    def columns(self) -> bool:
        """Whether elements are neighbours along the last of the other axes."""
        return bool(self.kept) and all(array.steps[-2] in (0, 1) for array in (*self.operands, *self.results))

    @property
    def _dtype(self) -> DType:
        return self.results[0].dtype

    def one(self, code: Code, operands: Sequence[Any], result: Any, kept: list[Index]) -> None:
        """What is before is carried."""
        self._together(code, operands, result, [kept])

    def _together(self, code: Code, operands: Sequence[Any], result: Any, rows: Sequence[list[Index]]) -> None:
        """Step after step of some rows, each with what it carries."""

        def step(i: Index, *before: Any) -> list[Any]:
            terms = [self._terms(code, operands, [*row, i]) for row in rows]
            totals = [self._step(code.b, Value(raw, self._dtype), each)
                      for raw, each in zip(before, terms, strict=True)]  # fmt: skip
            for row, total in zip(rows, totals, strict=True):
                put(code, total, result, self.results[0], [*row, i])
            return [total.ir for total in totals]

        before = [self._begun(code, operands, result, row) for row in rows]
        code.loop(self.following, self.length, 1, step, [value.ir for value in before])

    def some(self, code: Code, operands: Sequence[Any], result: Any, outer: list[Index], start: Index,
             stop: Index) -> None:  # fmt: skip
        """Step after step, the innermost loop along neighbours."""
        into = result, self.results[0]

        def first(j: Index) -> None:
            put(code, self._terms(code, operands, [*outer, j, 0])[-1], *into, [*outer, j, 0])

        def step(i: Index, j: Index) -> None:
            before = fetch(code, *into, [*outer, j, plus(code.b, i, -1)])
            put(code, self._step(code.b, before, self._terms(code, operands, [*outer, j, i])), *into, [*outer, j, i])

        if not self.goes_on:
            code.loop(start, stop, 1, first, parallel=True)
        code.loop(self.following, self.length, 1, lambda i: code.loop(start, stop, 1, partial(step, i), parallel=True))

    def _begun(self, code: Code, operands: Sequence[Any], result: Any, row: list[Index]) -> Value:
        """What the first step of a row goes on from."""
        into = result, self.results[0]
        if self.goes_on:
            return fetch(code, *into, [*row, plus(code.b, self.start, -1)])
        first = self._terms(code, operands, [*row, 0])[-1]
        put(code, first, *into, [*row, 0])
        return first

    def _terms(self, code: Code, operands: Sequence[Any], indices: list[Index]) -> list[Value]:
        return fetch_all(code, operands, self.operands, indices, self._dtype)

    def _step(self, b: Any, before: Value, terms: Sequence[Value]) -> Value:
        """Nothing is fused: each operation rounds."""
        if len(terms) == 2:
            decay, x = terms
            return self._apply(b, "add", self._apply(b, "mul", decay, before), x)
        return self._apply(b, {"cumsum": "add", "cumprod": "mul"}[self.op], before, terms[0])

    def _apply(self, b: Any, name: str, x: Value, y: Value) -> Value:
        instruction = getattr(b, "f" + name if self._dtype.kind == "f" else name)
        return Value(rounded(b, instruction(x.ir, y.ir), self._dtype), self._dtype)


@dataclass(frozen=True)
class Scans(Scan):
    """Recurrences whose elements are not neighbours, a few of which go on at once."""

    @property
    def rows(self) -> int:
        """Groups of recurrences."""
        return row_count(self.kept, ABREAST)

    @property
    def together(self) -> int:
        """Those of a group."""
        return ABREAST

    @property
    def ns(self) -> float:
        """Meanwhile others go on."""
        return super().ns / FASTER

    def write(self, code: Code, operands: Sequence[Any], results: Sequence[Any], statuses: Sequence[Any]) -> None:
        """A whole group goes on together, what is left one by one."""

        def group(outer: list[Index], start: Index, stop: Index) -> None:
            count = plus(code.b, stop, times(code.b, start, -1))
            with code.b.if_else(code.b.icmp_signed("==", as_value(count), as_value(ABREAST))) as (whole, part):
                with whole:
                    rows = [[*outer, plus(code.b, start, row)] for row in range(ABREAST)]
                    self._together(code, operands, results[0], rows)
                with part:
                    code.loop(start, stop, 1, lambda row: self.one(code, operands, results[0], [*outer, row]))

        each_row(code, self.kept, ABREAST, group)


def scan(operands: tuple[Array, ...], result: Array, kept: tuple[int, ...], length: int, op: str) -> Scan:
    """The nest for some recurrences."""
    one = Scan(operands, (result,), kept, length, op)
    return one if one.columns or not kept or kept[-1] < 2 * ABREAST else Scans(operands, (result,), kept, length, op)
