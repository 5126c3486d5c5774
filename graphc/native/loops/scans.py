"""Running totals and linear recurrences along an axis, each step in NumPy's order and rounded as NumPy does.

The index space has the other axes, then the one that is walked. Where elements lie next to each other along the last
other axis, many recurrences go on at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from graphc.native.code.indices import Index, plus
from graphc.native.code.scalars import Value, cast, rounded
from graphc.native.code.writer import Code
from graphc.native.loops.nests import SHORT, DType, Nest, each_row, fetch, put, row_count

COLUMNS = 512
"""Recurrences that go on at once."""


@dataclass(frozen=True)
class Scan(Nest):
    """y[i] = step(y[i-1], x[i]), or of two operands y[i] = x₁[i] + x₀[i] · y[i-1]; y[0] is the last operand's."""

    others: tuple[int, ...]
    length: int
    op: str

    @property
    def in_code(self) -> frozenset[str]:
        """Steps of single recurrences, which take 1.6 times as long where they read them, and short lengths."""
        if self.columns:
            return frozenset()
        return frozenset({"operands", "results", *(["length"] if self.length < SHORT else [])})

    @property
    def columns(self) -> bool:
        """Whether to go along the last of the other axes."""
        return bool(self.others) and all(array.steps[-2] in (0, 1) for array in (*self.operands, *self.results))

    @property
    def rows(self) -> int:
        """Single recurrences, or many side by side."""
        return row_count(self.others, COLUMNS if self.columns else 1)

    @property
    def _dtype(self) -> DType:
        return self.results[0].dtype

    def write(self, code: Code, operands: Sequence[Any], results: Sequence[Any], statuses: Sequence[Any]) -> None:
        """Step after step, the innermost loop along neighbours."""
        source, into = list(zip(operands, self.operands, strict=True)), (results[0], self.results[0])

        def terms(indices: list[Index]) -> list[Value]:
            return [cast(code.b, fetch(code, *pair, indices), self._dtype) for pair in source]

        def one(others: list[Index]) -> None:
            def step(i: Index, before: Any) -> list[Any]:
                total = self._step(code.b, Value(before, self._dtype), terms([*others, i]))
                put(code, total, *into, [*others, i])
                return [total.ir]

            first = terms([*others, 0])[-1]
            put(code, first, *into, [*others, 0])
            code.loop(1, self.length, 1, step, [first.ir])

        def column(others: list[Index], i: Index) -> None:
            before = fetch(code, *into, [*others, plus(code.b, i, -1)])
            put(code, self._step(code.b, before, terms([*others, i])), *into, [*others, i])

        def some(outer: list[Index], start: Index, stop: Index) -> None:
            def along(i: Index) -> None:
                code.loop(start, stop, 1, lambda j: column([*outer, j], i), parallel=True)

            code.loop(start, stop, 1, lambda j: put(code, terms([*outer, j, 0])[-1], *into, [*outer, j, 0]),
                      parallel=True)  # fmt: skip
            code.loop(1, self.length, 1, along)

        if self.columns:
            each_row(code, self.others, COLUMNS, some)
        else:
            each_row(code, self.others, 1, lambda outer, start, stop: one([*outer, start] if self.others else []))

    def _step(self, b: Any, before: Value, terms: Sequence[Value]) -> Value:
        """Nothing is fused: each operation rounds."""
        if len(terms) == 2:
            decay, x = terms
            return self._apply(b, "add", self._apply(b, "mul", decay, before), x)
        return self._apply(b, {"cumsum": "add", "cumprod": "mul"}[self.op], before, terms[0])

    def _apply(self, b: Any, name: str, x: Value, y: Value) -> Value:
        instruction = getattr(b, "f" + name if self._dtype.kind == "f" else name)
        return Value(rounded(b, instruction(x.ir, y.ir), self._dtype), self._dtype)
