"""Products of a few rows with a matrix too large for the caches: its rows are read one after the other, as they lie.

The sums of a block's columns stay in a small buffer; a group of rows of B at a time is multiplied and added to them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from llvmlite import ir

from graphc.native.code.indices import Index, plus, times
from graphc.native.code.scalars import stored_type, zeros
from graphc.native.code.vectors import Piece, Unit, cover
from graphc.native.code.writer import Code
from graphc.native.gemm.panels import Cut
from graphc.native.gemm.places import Finish, Place
from graphc.native.gemm.tiles import Strip

GROUP = 8
"""So many products are added to a sum each time it is loaded and stored."""


class Stream:
    """Writes one block: rows of A times panels of B, over k."""

    def __init__(
        self, code: Code, a: Strip, b: Strip, columns: Cut, panels: int, dtype: np.dtype[Any], unit: Unit,
    ) -> None:  # fmt: skip
        self.code, self.a, self.b, self.columns, self.dtype, self.unit = code, a, b, columns, dtype, unit
        self.kind = stored_type(dtype)
        self.breadth = panels * columns.width
        self.sums = code.room(a.width * self.breadth, self.kind)

    def write(self, panels: tuple[Index, Index], k: Index, finish: Finish, place: Place) -> None:
        """All of the block; `place` is that of its first row in column 0."""
        code, group = self.code, 1 << (GROUP // self.a.width).bit_length() - 1
        whole = k - k % group if isinstance(k, int) else code.b.and_(k, ir.Constant(k.type, -group))
        self.first = panels[0]
        self.columns.visit(code, *panels, self._clear)
        code.loop(0, whole, group, lambda i: self._group(panels, i, group))
        code.loop(whole, k, 1, lambda i: self._group(panels, i, 1))
        self.columns.visit(code, *panels, partial(self._finish, finish, place))

    def _group(self, panels: tuple[Index, Index], i: Index, group: int) -> None:
        """Add the products with some rows of B."""
        code, a = self.code, self.a
        ways = [times(code.b, plus(code.b, i, step), a.along) for step in range(group)]
        elements = [[code.b.load(code.at(a.start, plus(code.b, way, row * a.across), self.kind), typ=self.kind,
                                 align=self.dtype.itemsize) for way in ways] for row in range(a.width)]  # fmt: skip
        self.columns.visit(code, *panels, partial(self._add, elements, i))

    def _add(self, elements: Sequence[Sequence[Any]], i: Index, panel: Index, width: int) -> None:
        code, b = self.code, self.b
        column = times(code.b, panel, self.columns.width)
        rows = [plus(code.b, column, times(code.b, plus(code.b, i, step), b.along)) for step in range(len(elements[0]))]
        starts = [code.at(b.start, row, self.kind) for row in rows]
        for piece in cover(width, self.unit, self.dtype.itemsize):
            lines = [code.load(code.at(start, piece.start, self.kind), piece, self.dtype) for start in starts]
            for row, factors in enumerate(elements):
                place = self._place(row, panel, piece)
                total = code.load(place, piece, self.dtype)
                for factor, line in zip(factors, lines, strict=True):
                    total = code.multiply_add(code.splat(factor, piece.width), line, total)
                code.store(total, place, piece, self.dtype)

    def _clear(self, panel: Index, width: int) -> None:
        for row in range(self.a.width):
            for piece in cover(width, self.unit, self.dtype.itemsize):
                self.code.store(zeros(self.kind, piece.width), self._place(row, panel, piece), piece, self.dtype)

    def _finish(self, finish: Finish, place: Place, panel: Index, width: int) -> None:
        pieces = cover(width, self.unit, self.dtype.itemsize)
        rows = [[self.code.load(self._place(row, panel, piece), piece, self.dtype) for piece in pieces]
                for row in range(self.a.width)]  # fmt: skip
        finish.tile(rows, pieces, Place(place.entry, place.row, times(self.code.b, panel, self.columns.width)))

    def _place(self, row: int, panel: Index, piece: Piece) -> Any:
        """Where the sums of a piece of a panel lie."""
        b = self.code.b
        number = plus(b, panel, times(b, self.first, -1))
        way = plus(b, times(b, number, self.columns.width), row * self.breadth + piece.start)
        return self.code.at(self.sums, way, self.kind)
