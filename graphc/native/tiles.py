"""The inner loops of products: a tile of C held in registers while k runs.

`multiplied` keeps vectors of neighbouring columns and broadcasts elements of A (an outer product at each step);
`dotted` keeps vectors of partial sums along k, for operands that both lie contiguously along k.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from llvmlite import ir

from graphc.native.scalars import stored_type
from graphc.native.vectors import Code, Index, Lanes, Unit, lanes, times, zeros

AHEAD = 16
"""So many steps of k ahead, what is copied on the way is fetched from where it lies."""


@dataclass(frozen=True)
class Strip:
    """Where a tile finds rows of A, or columns of B: elements from one to the next, and along k."""

    start: Any
    across: int
    along: int
    width: int
    copy: Any = None
    """Where to leave a copy on the way, strip[k][width], for tiles to come; only of elements that are neighbours."""


def multiplied(code: Code, a: Strip, b: Strip, pieces: Sequence[Lanes], k: Index, dtype: np.dtype[Any],
               unit: Unit) -> list[list[Any]]:  # fmt: skip
    """The vectors of a tile, one list per row. The columns of B are contiguous."""
    kind = stored_type(dtype)
    nothing = [zeros(kind, piece.width) for _ in range(a.width) for piece in pieces]

    def step(i: Index, at_a: Any, at_b: Any, *totals: Any) -> list[Any]:
        columns = [code.load(code.at(at_b, piece.start, kind), piece, dtype) for piece in pieces]
        if b.copy is not None:
            _leave_copy(code, b, i, columns, pieces, dtype)
            code.prefetch(at_b, AHEAD * b.along, kind)
            code.prefetch(at_b, AHEAD * b.along+16, kind)
        if a.copy is not None:
            lines = lanes(a.width, unit, dtype.itemsize)
            vectors = [code.load(code.at(at_a, line.start, kind), line, dtype) for line in lines]
            _leave_copy(code, a, i, vectors, lines, dtype)
            code.prefetch(at_a, AHEAD * a.along, kind)
        following: list[Any] = []
        for row in range(a.width):
            element = code.b.load(code.at(at_a, row * a.across, kind), typ=kind, align=dtype.itemsize)
            factors = {width: code.splat(element, width) for width in {piece.width for piece in pieces}}
            for piece, column in zip(pieces, columns, strict=True):
                total = totals[len(following)]
                following.append(code.multiply_add(factors[piece.width], column, total))
        return [code.at(at_a, a.along, kind), code.at(at_b, b.along, kind), *following]

    _, _, *totals = code.loop(0, k, 1, step, [a.start, b.start, *nothing])
    return [list(totals[row * len(pieces) : (row + 1) * len(pieces)]) for row in range(a.width)]


def _leave_copy(
    code: Code, strip: Strip, i: Index, vectors: Sequence[Any], pieces: Sequence[Lanes], dtype: np.dtype[Any],
) -> None:  # fmt: skip
    place = code.at(strip.copy, times(code.b, i, strip.width), stored_type(dtype))
    for vector, piece in zip(vectors, pieces, strict=True):
        code.store(vector, code.at(place, piece.start, stored_type(dtype)), piece, dtype)


def dotted(code: Code, a: Strip, b: Strip, width: int, k: Index, dtype: np.dtype[Any]) -> list[list[Any]]:
    """The elements of a tile, one list per row, from vectors of so many lanes along k."""
    kind, piece = stored_type(dtype), Lanes(0, width, width)
    lines = [(code.at(s.start, line * s.across, kind), s.along) for s in (a, b) for line in range(s.width)]
    pairs = [(row, a.width + column) for row in range(a.width) for column in range(b.width)]

    def starts(i: Index) -> list[Any]:
        return [code.at(line, times(code.b, i, along), kind) for line, along in lines]

    def vectors(i: Index, *totals: Any) -> list[Any]:
        read = [code.gather(start, along, piece, dtype) for start, (_, along) in zip(starts(i), lines, strict=True)]
        return [code.multiply_add(read[x], read[y], total) for (x, y), total in zip(pairs, totals, strict=True)]

    def elements(i: Index, *totals: Any) -> list[Any]:
        read = [code.b.load(start, typ=kind, align=dtype.itemsize) for start in starts(i)]
        return [code.multiply_add(read[x], read[y], total) for (x, y), total in zip(pairs, totals, strict=True)]

    nothing = [zeros(kind, width) for _ in pairs]
    whole = _whole(code, k, width)
    sums = [code.total(vector) for vector in code.loop(0, whole, width, vectors, nothing)]
    sums = code.loop(whole, k, 1, elements, sums)
    return [sums[row * b.width : (row + 1) * b.width] for row in range(a.width)]


def _whole(code: Code, k: Index, width: int) -> Index:
    return k - k % width if isinstance(k, int) else code.b.and_(k, ir.Constant(k.type, -width))
