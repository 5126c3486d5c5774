"""The kernel that adds the parts of k of a product up, in their order, and finishes: rows in stretches of vectors."""

from __future__ import annotations

from functools import partial
from typing import Any

from graphc.native.code.indices import Index, divided, plus, smaller, times
from graphc.native.code.scalars import stored_type
from graphc.native.code.vectors import Piece, cover
from graphc.native.code.writer import Code
from graphc.native.gemm.layout import Layout
from graphc.native.gemm.panels import Cut
from graphc.native.gemm.places import Place
from graphc.native.gemm.stages import finish
from graphc.native.gemm.tables import pointers, with_numbers

ABREAST = 4
"""So many vectors of a row are added up at once."""


class Summation:
    """Writes the kernel."""

    def __init__(self, layout: Layout) -> None:
        self.layout, self.kind = layout, stored_type(layout.dtype)
        self.code = Code.kernel(f"sum of parts, {layout.epilogue.title} {layout.dtype}")
        table = pointers(layout, self.code)
        self.p, _, self.numbers = with_numbers(layout, self.code)
        self.finish, self.parts = finish(layout, self.code, table), table[-1]
        self.cut = Cut(self.p.n, ABREAST * layout.target.vector_bytes // self.p.dtype.itemsize)
        self.rows = times(self.code.b, self.numbers.entries, self.p.m)
        self.each = times(self.code.b, self.rows, self.p.n)
        """Elements from one part to the next."""

    def text(self) -> str:
        """The kernel, for all rows of the blocks that the caller names."""
        b, each = self.code.b, self.numbers.sums_each
        _, first, last, _ = self.code.function.args
        end = smaller(b, times(b, last, each), self.rows)
        self.code.loop(times(b, first, each), end, 1, self._row)
        return self.code.text()

    def _row(self, number: Index) -> None:
        self.cut.visit(self.code, 0, self.cut.count, partial(self._stretch, number))

    def _stretch(self, number: Index, which: Index, width: int) -> None:
        """Some vectors of a row."""
        code, b, p = self.code, self.code.b, self.p
        column = times(b, which, self.cut.width)
        start = code.at(self.parts, plus(b, times(b, number, p.n), column), self.kind)
        pieces = cover(width, self.layout.target, p.dtype.itemsize)

        def more(i: Index, *totals: Any) -> list[Any]:
            return [b.fadd(total, self._part(start, i, piece)) for total, piece in zip(totals, pieces, strict=True)]

        totals = code.loop(1, self.numbers.parts, 1, more, [self._part(start, 0, piece) for piece in pieces])
        entry, line = divided(b, number, p.m)
        self.finish.tile([totals], pieces, Place(entry, line, column))

    def _part(self, start: Any, number: Index, piece: Piece) -> Any:
        """A vector of one part."""
        way = plus(self.code.b, times(self.code.b, number, self.each), piece.start)
        return self.code.load(self.code.at(start, way, self.kind), piece, self.p.dtype)


def summation(layout: Layout) -> str:
    """The kernel that adds the parts of k up, and finishes."""
    return Summation(layout).text()
