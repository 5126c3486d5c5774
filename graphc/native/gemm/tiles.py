"""The inner loops of products: a tile of C held in registers while k runs.

`multiplied` keeps vectors of neighbouring columns and broadcasts elements of A (an outer product at each step);
`dotted` keeps vectors of partial sums along k, for operands that both lie contiguously along k.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from llvmlite import ir

from graphc.native.code.indices import Index, plus, times
from graphc.native.code.scalars import stored_type, zeros
from graphc.native.code.vectors import Piece
from graphc.native.code.writer import Code
from graphc.native.gemm.layout import LINE_BYTES

SUMS_ABREAST = 8
"""So many sums at least run side by side, since each addition waits for the one before it."""
AHEAD = 16
"""What is copied on the way is prefetched so many steps of k ahead."""


@dataclass(frozen=True)
class Strip:
    """Where a tile finds rows of A, or columns of B: elements from one to the next, and along k."""

    start: Any
    across: int
    along: int
    width: int
    copy: Any = None
    """Where to leave a copy on the way, strip[k][width], for tiles to come; only of columns that are neighbours."""


def multiplied(
    code: Code, a: Strip, b: Strip, pieces: Sequence[Piece], k: Index, dtype: np.dtype[Any], *, some: bool = False,
) -> list[list[Any]]:  # fmt: skip
    """The vectors of a tile, one list per row. The columns of B are contiguous; `some` promises that k is not 0."""
    kind = stored_type(dtype)

    def step(i: Index, at_a: Any, at_b: Any, totals: Sequence[Any]) -> list[Any]:
        columns = [code.load(code.at(at_b, piece.start, kind), piece, dtype) for piece in pieces]
        if b.copy is not None:
            _leave_copy(code, b, i, columns, pieces, dtype)
            _prefetch(code, b, at_b, dtype)
        return _outer_product(code, replace(a, start=at_a), columns, pieces, totals, dtype)

    def steps(abreast: int, i: Index, at_a: Any, at_b: Any, *totals: Any) -> list[Any]:
        following: list[Any] = []
        for j, group in enumerate(_groups(totals, abreast)):
            here = plus(code.b, i, j)
            following += step(here, code.at(at_a, j * a.along, kind), code.at(at_b, j * b.along, kind), group)
        return [code.at(at_a, abreast * a.along, kind), code.at(at_b, abreast * b.along, kind), *following]

    nothing = [zeros(kind, piece.width) for _ in range(a.width) for piece in pieces]
    abreast = _abreast(len(nothing), k)
    wide = _whole(code, k, abreast)
    at_a, at_b, *totals = code.loop(0, wide, abreast, partial(steps, abreast), [a.start, b.start, *nothing * abreast],
                                    some=some and abreast == 1)  # fmt: skip
    totals = _added(code, totals, abreast)
    if abreast > 1:
        _, _, *totals = code.loop(wide, k, 1, partial(steps, 1), [at_a, at_b, *totals])
    return _groups(totals, a.width)


def _outer_product(
    code: Code, rows: Strip, columns: Sequence[Any], pieces: Sequence[Piece], totals: Sequence[Any],
    dtype: np.dtype[Any],
) -> list[Any]:  # fmt: skip
    """The totals with the product of one column of A and one row of B, of which `columns` are the vectors."""
    kind = stored_type(dtype)
    following: list[Any] = []
    for row in range(rows.width):
        element = code.b.load(code.at(rows.start, row * rows.across, kind), typ=kind, align=dtype.itemsize)
        factors = {width: code.splat(element, width) for width in {piece.width for piece in pieces}}
        for piece, column in zip(pieces, columns, strict=True):
            following.append(code.multiply_add(factors[piece.width], column, totals[len(following)]))
    return following


def _prefetch(code: Code, strip: Strip, place: Any, dtype: np.dtype[Any]) -> None:
    """What is copied on the way comes from afar: have the lines of the steps to come brought near."""
    for start in range(0, strip.width * dtype.itemsize, LINE_BYTES):
        code.prefetch(place, AHEAD * strip.along + start // dtype.itemsize, stored_type(dtype))


def _leave_copy(
    code: Code, strip: Strip, i: Index, vectors: Sequence[Any], pieces: Sequence[Piece], dtype: np.dtype[Any],
) -> None:  # fmt: skip
    place = code.at(strip.copy, times(code.b, i, strip.width), stored_type(dtype))
    for vector, piece in zip(vectors, pieces, strict=True):
        code.store(vector, code.at(place, piece.start, stored_type(dtype)), piece, dtype)


def dotted(code: Code, a: Strip, b: Strip, width: int, k: Index, dtype: np.dtype[Any]) -> list[list[Any]]:
    """The elements of a tile, one list per row, from vectors of so many lanes along k."""
    kind, piece = stored_type(dtype), Piece(0, width, width)
    lines = [(code.at(s.start, line * s.across, kind), s.along) for s in (a, b) for line in range(s.width)]
    pairs = [(row, a.width + column) for row in range(a.width) for column in range(b.width)]

    def places(i: Index) -> list[Any]:
        return [code.at(line, times(code.b, i, along), kind) for line, along in lines]

    def products(read: Sequence[Any], totals: Sequence[Any]) -> list[Any]:
        return [code.multiply_add(read[x], read[y], total) for (x, y), total in zip(pairs, totals, strict=True)]

    def vectors(i: Index, *totals: Any) -> list[Any]:
        read = [code.gather(x, along, piece, dtype) for x, (_, along) in zip(places(i), lines, strict=True)]
        return products(read, totals)

    def several(i: Index, *totals: Any) -> list[Any]:
        groups = enumerate(_groups(totals, abreast))
        return [total for j, group in groups for total in vectors(plus(code.b, i, j * width), *group)]

    def elements(i: Index, *totals: Any) -> list[Any]:
        return products([code.b.load(x, typ=kind, align=dtype.itemsize) for x in places(i)], totals)

    abreast = _abreast(len(pairs), k)
    wide, whole = _whole(code, k, width * abreast), _whole(code, k, width)
    sums = code.loop(0, wide, width * abreast, several, [zeros(kind, width)] * (abreast * len(pairs)))
    sums = code.loop(wide, whole, width, vectors, _added(code, sums, abreast)) if abreast > 1 else sums
    sums = code.loop(whole, k, 1, elements, [code.total(vector) for vector in sums])
    return _groups(sums, a.width)


def _abreast(sums: int, k: Index) -> int:
    """How many steps of k to take at once, each with its own sums."""
    return 1 if sums >= SUMS_ABREAST or (isinstance(k, int) and k < 4 * SUMS_ABREAST) else SUMS_ABREAST // sums


def _groups(values: Sequence[Any], count: int) -> list[list[Any]]:
    each = len(values) // count
    return [list(values[i * each : (i + 1) * each]) for i in range(count)]


def _added(code: Code, sums: Sequence[Any], count: int) -> list[Any]:
    """The sums of so many groups of sums."""
    first, *others = _groups(sums, count)
    for group in others:
        first = [code.b.fadd(x, y) for x, y in zip(first, group, strict=True)]
    return first


def _whole(code: Code, k: Index, step: int) -> Index:
    return k - k % step if isinstance(k, int) else code.b.sub(k, code.b.urem(k, ir.Constant(k.type, step)))
