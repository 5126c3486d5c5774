"""Packing: an operand of a product copied into strips, so that the inner loop reads memory in order.

A strip holds `width` neighbouring rows of A (or columns of B) for all of k: strip[k][width]. The strips of a matrix lie
one after the other, a narrower last one included.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from llvmlite import ir

from graphc.native.code.indices import Index, plus, smaller, times
from graphc.native.code.scalars import I32, stored_type
from graphc.native.code.vectors import Piece, Unit, cover
from graphc.native.code.writer import Code

SQUARE_BYTES = 32
"""Squares of longer lines are turned no faster, and take LLVM much longer to compile."""


@dataclass(frozen=True)
class Cut:
    """An axis cut into strips of one width and perhaps a narrower last one."""

    size: int
    width: int

    @property
    def whole(self) -> int:
        """How many strips have the full width."""
        return self.size // self.width

    @property
    def rest(self) -> int:
        """The width of the last strip, or 0 where there is none."""
        return self.size % self.width

    @property
    def count(self) -> int:
        """How many strips there are."""
        return -(-self.size // self.width)

    def range(self, code: Code, strip: Index) -> tuple[Index, Index]:
        """What one strip covers: from where to where."""
        first = times(code.b, strip, self.width)
        last = plus(code.b, first, self.width)
        return first, smaller(code.b, last, self.size) if self.rest else last

    def visit(self, code: Code, first: Index, last: Index, body: Callable[[Index, int], None], *,
              some: bool = False) -> None:  # fmt: skip
        """body(strip, width) for the strips from first on, before last; `some` promises that there is one."""
        end = smaller(code.b, last, self.whole) if self.rest else last
        code.loop(first, end, 1, lambda strip: body(strip, self.width), some=some and not self.rest)
        if not self.rest:
            return
        if isinstance(last, int):
            if last > self.whole:
                body(self.whole, self.rest)
            return
        with code.when(last, ">", self.whole):
            body(self.whole, self.rest)


@dataclass(frozen=True)
class Source:
    """A matrix to pack: elements from one row of A (column of B) to the next, and along k."""

    across: int
    along: int
    length: Index
    """The extent of k in hand."""
    dtype: np.dtype[Any]
    tiny: bool = False
    """Whether k is shorter than a vector."""


def pack(
    code: Code, source: Source, start: Any, target: Any, cut: Cut, strips: tuple[Index, Index], apart: int, unit: Unit,
) -> None:  # fmt: skip
    """Copy strips first..last of the matrix at `start`: the first to `target`, each further one `apart` elements on."""
    kind = stored_type(source.dtype)
    narrow = replace(unit, vector_bytes=min(unit.vector_bytes, SQUARE_BYTES))

    def strip(which: Index, width: int) -> None:
        begin = code.at(start, times(code.b, which, cut.width * source.across), kind)
        _transpose(code, source, begin, place(which), width, narrow)

    def line(i: Index) -> None:
        cut.visit(code, *strips, lambda which, width: step(i, which, width))

    def step(i: Index, which: Index, width: int) -> None:
        way = plus(code.b, times(code.b, i, source.along), times(code.b, which, cut.width * source.across))
        begin, end = code.at(start, way, kind), code.at(place(which), times(code.b, i, width), kind)
        for piece in cover(width, unit, source.dtype.itemsize):
            vector = code.gather(code.at(begin, piece.start * source.across, kind), source.across, piece, source.dtype)
            code.store(vector, code.at(end, piece.start, kind), piece, source.dtype)

    def place(which: Index) -> Any:
        number = plus(code.b, which, times(code.b, strips[0], -1))
        return code.at(target, times(code.b, number, apart), kind)

    if source.across != 1 == source.along and not source.tiny:
        cut.visit(code, *strips, strip)
    else:
        code.loop(0, source.length, 1, line)


def _transpose(code: Code, source: Source, start: Any, target: Any, width: int, unit: Unit) -> None:
    """Turn the strip square by square; the squares of full side share their code."""
    kind = stored_type(source.dtype)
    pieces = cover(width, unit, source.dtype.itemsize)
    whole = [piece for piece in pieces if piece.active == pieces[0].width]

    def squares(i: Index) -> None:
        column = times(code.b, i, pieces[0].width)
        begin, place = code.at(start, times(code.b, column, source.across), kind), code.at(target, column, kind)
        _transpose_lines(code, source, begin, place, pieces[0], width)

    code.loop(0, len(whole), 1, squares)
    for piece in pieces[len(whole) :]:
        begin, place = code.at(start, piece.start * source.across, kind), code.at(target, piece.start, kind)
        _transpose_lines(code, source, begin, place, piece, width)


def _transpose_lines(code: Code, source: Source, start: Any, target: Any, piece: Piece, width: int) -> None:
    """Squares along k; the last one may overlap the one before, and missing lines are read from the last one."""
    kind, side = stored_type(source.dtype), piece.width
    whole = Piece(0, side, side)
    lines = [code.at(start, min(line, piece.active - 1) * source.across, kind) for line in range(side)]

    def square(i: Index) -> None:
        begin = smaller(code.b, i, plus(code.b, source.length, -side))
        vectors = [code.load(code.at(line, begin, kind), whole, source.dtype) for line in lines]
        for step, vector in enumerate(transposed(code.b, vectors)):
            place = code.at(target, times(code.b, plus(code.b, begin, step), width), kind)
            code.store(vector, place, piece, source.dtype)

    code.loop(0, source.length, side, square)


def transposed(b: ir.IRBuilder, rows: Sequence[Any]) -> list[Any]:
    """The columns of a square of vectors: pairs of rows exchange halves, at ever smaller distances."""
    rows, side = list(rows), len(rows)
    distance = side // 2
    while distance:
        low = [i if i & distance == 0 else i - distance + side for i in range(side)]
        high = [i + distance if i & distance == 0 else i + side for i in range(side)]
        masks = [ir.Constant(ir.VectorType(I32, side), picked) for picked in (low, high)]
        for i in range(side):
            if i & distance == 0:
                x, y = rows[i], rows[i + distance]
                rows[i], rows[i + distance] = (b.shuffle_vector(x, y, mask) for mask in masks)
        distance //= 2
    return rows
