"""Copies that repeat each element a few times side by side: elements are read in vectors, and written in whole ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from llvmlite import ir

from graphc.native.code.indices import Index, plus
from graphc.native.code.scalars import I32, stored_type
from graphc.native.code.vectors import host_unit
from graphc.native.code.writer import Code
from graphc.native.loops.nests import CHUNK, Array, DType, Nest, each_row, fetch, merged, place, put, row_count
from graphc.native.loops.pieces import Copy

MOST_TIMES = 12
"""What is repeated more often is written as a row of its own, in vectors of one element."""


@dataclass(frozen=True)
class Spread(Nest):
    """Each element so many times: the results have these sizes, and an innermost axis that is left out here."""

    sizes: tuple[int, ...]
    times: int
    width: int
    """Of the vectors that are read."""

    @property
    def rows(self) -> int:
        """The points of all axes but the last, which is cut into pieces."""
        return row_count(self.sizes, CHUNK)

    @property
    def in_code(self) -> frozenset[str]:
        """Which lanes go where."""
        return frozenset({"times", "width"})

    def write(self, code: Code, operands: Sequence[Any], results: Sequence[Any], statuses: Sequence[Any]) -> None:
        """The last vector of a row may begin before the end of the one before it. Shorter rows have none."""
        source, to = operands[0], results[0]

        def row(outer: list[Index], start: Index, stop: Index) -> None:
            last = plus(code.b, stop, -self.width)
            with code.when(last, ">=", start):
                code.loop(start, last, self.width, lambda i: self._some(code, source, to, [*outer, i]))
                self._some(code, source, to, [*outer, last])
            with code.when(last, "<", start):
                code.loop(start, stop, 1, lambda i: self._one(code, source, to, [*outer, i]))

        each_row(code, self.sizes, CHUNK, row)

    def _some(self, code: Code, source: Any, to: Any, at: list[Index]) -> None:
        """A vector of elements: as many vectors as each is repeated."""
        (array,), (result,), width = self.operands, self.results, self.width
        vector = self._read(code, source, array, at)
        for part in range(self.times):
            lanes = [(part * width + lane) // self.times for lane in range(width)]
            repeated = code.b.shuffle_vector(vector, vector, ir.Constant(ir.VectorType(I32, width), lanes))
            there = place(code, to, result, at, part * width)
            code.b.store(repeated, there, align=result.dtype.itemsize)

    def _read(self, code: Code, source: Any, array: Array, at: list[Index]) -> Any:
        kind, itemsize = stored_type(array.dtype), array.dtype.itemsize
        if array.steps[-1] == 1:
            wide = ir.VectorType(kind, self.width)
            return code.b.load(place(code, source, array, at), typ=wide, align=itemsize)
        *outer, first = at
        each = (place(code, source, array, [*outer, plus(code.b, first, lane)]) for lane in range(self.width))
        return code.collect(each, kind, self.width, itemsize)

    def _one(self, code: Code, source: Any, to: Any, at: list[Index]) -> None:
        (array,), (result,) = self.operands, self.results
        value = fetch(code, source, array, at)
        for further in range(self.times):
            put(code, value, to, result, at, further)


def spread(move: Copy, dtype: DType) -> Spread | None:
    """The nest for a copy to an array of a dtype, if it repeats elements so."""
    sizes, (source, to), _ = merged(move.shape, [move.strides, move.to])
    if len(sizes) < 2 or sizes[-1] > MOST_TIMES or move.source.dtype != dtype:
        return None
    if source[-1] != 0 or source[-2] == 0 or to[-2:] != (sizes[-1], 1):
        return None
    *_, count, times = sizes
    width = min(host_unit().vector_bytes // dtype.itemsize, 1 << (count.bit_length() - 1))
    return Spread((Array(dtype, source[:-1]),), (Array(dtype, to[:-1]),), sizes[:-1], times, width)
