"""Running totals and linear recurrences along an axis, each step in NumPy's order and rounded as NumPy does.

The index space has the other axes, then the one that is walked. Where elements lie next to each other along the last
other axis, many recurrences go on at once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from graphc.native.code.indices import Index, plus
from graphc.native.code.scalars import Value, rounded
from graphc.native.code.writer import Code
from graphc.native.loops.nests import SHORT, DType, fetch, fetch_all, put
from graphc.native.loops.walks import Walks

NS_PER_STEP, NS_PER_HALF = 0.8, 2.9
"""A step of a single recurrence, and one in f16."""


@dataclass(frozen=True)
class Scan(Walks):
    """y[i] = step(y[i-1], x[i]), or of two operands y[i] = x₁[i] + x₀[i] · y[i-1]; y[0] is the last operand's."""

    length: int
    op: str

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
        return 0.0 if self.columns else math.prod(self.kept) * self.length * single

    @property
    def columns(self) -> bool:
        """Whether elements are neighbours along the last of the other axes."""
        return bool(self.kept) and all(array.steps[-2] in (0, 1) for array in (*self.operands, *self.results))

    @property
    def _dtype(self) -> DType:
        return self.results[0].dtype

    def one(self, code: Code, operands: Sequence[Any], result: Any, kept: list[Index]) -> None:
        """What is before is carried."""

        def step(i: Index, before: Any) -> list[Any]:
            total = self._step(code.b, Value(before, self._dtype), self._terms(code, operands, [*kept, i]))
            put(code, total, result, self.results[0], [*kept, i])
            return [total.ir]

        first = self._terms(code, operands, [*kept, 0])[-1]
        put(code, first, result, self.results[0], [*kept, 0])
        code.loop(1, self.length, 1, step, [first.ir])

    def some(self, code: Code, operands: Sequence[Any], result: Any, outer: list[Index], start: Index,
             stop: Index) -> None:  # fmt: skip
        """Step after step, the innermost loop along neighbours."""
        into = result, self.results[0]

        def first(j: Index) -> None:
            put(code, self._terms(code, operands, [*outer, j, 0])[-1], *into, [*outer, j, 0])

        def step(i: Index, j: Index) -> None:
            before = fetch(code, *into, [*outer, j, plus(code.b, i, -1)])
            put(code, self._step(code.b, before, self._terms(code, operands, [*outer, j, i])), *into, [*outer, j, i])

        code.loop(start, stop, 1, first, parallel=True)
        code.loop(1, self.length, 1, lambda i: code.loop(start, stop, 1, partial(step, i), parallel=True))

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
