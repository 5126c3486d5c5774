"""The kernels of a product: one that multiplies, and where k is cut into parts one that adds them up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from llvmlite import ir

from graphc.native.code.scalars import stored_type
from graphc.native.code.vectors import Lanes, lanes
from graphc.native.code.writer import I64, Code, Index, as_value, divided, larger, plus, smaller, times
from graphc.native.gemm.blocking import Form, Matrix
from graphc.native.gemm.epilogues import Access
from graphc.native.gemm.panels import Cut, Source, pack
from graphc.native.gemm.places import Axes, Finish, Place, entry_indices, offset
from graphc.native.gemm.streams import Stream
from graphc.native.gemm.tiles import Strip, dotted, multiplied

if TYPE_CHECKING:
    from graphc.native.gemm.product import Product

I8 = ir.IntType(8)
PADDING = 16
"""Elements between strips, so that they do not begin on conflicting lines."""
SHORTEST = 16
SUMS_PER_BLOCK = 1 << 15
"""About so many elements are added up in one block."""


def pointers(product: Product, code: Code) -> list[Any]:
    """A and B as the code sees them, C, operands, further results, scratch memory."""
    count = 2 + len(product.accesses) + 2 * product.limited + bool(product.scratch_bytes)
    first, second, *others = code.table(count)
    return [second, first, *others] if product.axes.swapped else [first, second, *others]


def finish(product: Product, code: Code, table: Sequence[Any]) -> Finish:
    """How final values are stored."""
    own = table[2 : 2 + len(product.accesses)]
    return Finish(code, product.accesses[0], product.epilogue, product.axes, own)


def unfinished(product: Product, code: Code, table: Sequence[Any]) -> Finish:
    """How the parts of k are stored in scratch memory."""
    p = product.problem
    axes = Axes((product.plan.depth.count * p.entries,), p.m)
    return Finish(code, Access((p.m * p.n, p.n, 1), p.dtype), None, axes, table[-1:])


class Multiplication:
    """Writes the kernel that multiplies."""

    def __init__(self, product: Product) -> None:
        self.p, self.plan, self.unit = product.problem, product.plan, product.target
        self.kind = stored_type(self.p.dtype)
        self.code = Code.kernel("product")
        table = pointers(product, self.code)
        self.whole = self.plan.depth.count == 1
        self.finish = (finish if self.whole else unfinished)(product, self.code, table)
        self.a, self.b = table[:2]
        at = 2 + len(product.accesses)
        self.limits: list[Any] = table[at : at + 2] if product.limited else []
        self._make_room()

    def text(self) -> str:
        """The kernel, for all blocks that the caller names."""
        _, first, last, _ = self.code.function.args
        self.code.loop(first, last, 1, lambda number: self._block(0 if self.plan.blocks == 1 else number))
        return self.code.text()

    def _make_room(self) -> None:
        """Memory on the stack for copies of operands."""
        plan, length = self.plan, self.plan.depth.width
        self.apart = plan.rows.width * length + PADDING
        self.copy_a = self.code.room(plan.tiles.width * self.apart, self.kind) if plan.copies_a else None
        self.copy_b = self.code.room(plan.columns.width * length, self.kind) if plan.copies_b else None

    def _block(self, number: Index) -> None:
        b, p, plan = self.code.b, self.p, self.plan
        number, tile = divided(b, number, plan.tiles.count)
        number, panel = divided(b, number, plan.panels.count)
        cell = plus(b, times(b, panel, plan.tiles.count), tile)
        part, group = divided(b, number, plan.entries.count)
        part = 0 if self.whole else part
        self.part = part
        self.begin, end = plan.depth.range(self.code, part)
        if self.limits:
            self.begin, end = self._within(cell, self.begin, end)
        known = self.whole and not self.limits
        self.length = p.k if known else plus(b, end, times(b, self.begin, -1))
        self.tiles, self.panels = plan.tiles.range(self.code, tile), plan.panels.range(self.code, panel)
        self.code.loop(*plan.entries.range(self.code, group), 1, self._entry)

    def _within(self, cell: Index, begin: Index, end: Index) -> tuple[Index, Index]:
        """The part of a stretch of k that lies within the limits of a cell of the product, if they count.

        What is not empty has SHORTEST steps, as code that turns squares needs, unless the stretch has fewer.
        """
        code, b = self.code, self.code.b
        exact = b.icmp_unsigned("!=", b.load(self.limits[1], typ=I8, align=1), I8(0))
        low, high = (b.load(code.at(self.limits[0], plus(b, times(b, cell, 2), side), I64), typ=I64, align=8)
                     for side in (0, 1))  # fmt: skip
        first, last = larger(b, begin, low), smaller(b, end, high)
        empty = b.icmp_signed(">=", first, last)
        last = larger(b, last, smaller(b, plus(b, first, SHORTEST), end))
        first = smaller(b, first, larger(b, plus(b, last, -SHORTEST), begin))
        last = b.select(empty, first, last)
        return b.select(exact, first, as_value(begin)), b.select(exact, last, as_value(end))

    def _entry(self, entry: Index) -> None:
        """One entry's share of a block. The first panel may copy A on the way, and the first tile of a panel B."""
        code, p, plan = self.code, self.p, self.plan
        self.entry = entry
        self.at_a, self.at_b = (
            code.at(start, offset(code.b, entry_indices(code.b, entry, p.batch), matrix.batch), self.kind)
            for start, matrix in ((self.a, p.a), (self.b, p.b))
        )
        if plan.form is Form.STREAM:
            strips = self._rows(0, p.m, first=False), self._strip(self.at_b, p.b.transposed, plan.columns, 0, 1)
            stream = Stream(code, *strips, plan.columns, plan.panels.width, p.dtype, self.unit)
            stream.write(self.panels, self.length, self.finish, self._place(0, 0))
            return
        panel, last_panel = self.panels
        if self.copy_a is not None:
            self._panel(panel, plan.columns.width, first=True)
            panel = plus(code.b, panel, 1)
        plan.columns.visit(code, panel, last_panel, self._panel)

    def _panel(self, panel: Index, width: int, *, first: bool = False) -> None:
        code, p, plan, rows = self.code, self.p, self.plan, partial(self._rows, first=first)
        strip = self._strip(self.at_b, p.b.transposed, plan.columns, panel, width)
        tile, last_tile = self.tiles
        if self.copy_b is not None and p.b.column == 1:
            self._tile(rows, replace(strip, copy=self.copy_b), panel, tile, plan.rows.width)
            tile = plus(code.b, tile, 1)
        elif self.copy_b is not None:
            self._copy(p.b.transposed, self.at_b, self.copy_b, plan.columns, (panel, plus(code.b, panel, 1)))
        if self.copy_b is not None:
            strip = Strip(self.copy_b, 1, width, width)
        plan.rows.visit(code, tile, last_tile, partial(self._tile, rows, strip, panel))

    def _copy(self, matrix: Matrix, start: Any, target: Any, cut: Cut, strips: tuple[Index, Index]) -> None:
        begin = self.code.at(start, times(self.code.b, self.begin, matrix.column), self.kind)
        source = Source(matrix.row, matrix.column, self.length, self.p.dtype, tiny=self.p.k < self._per_vector)
        pack(self.code, source, begin, target, cut, strips, self.apart, self.unit)

    def _tile(
        self, rows_of: Callable[[Index, int], Strip], columns: Strip, panel: Index, tile: Index, height: int,
    ) -> None:  # fmt: skip
        code, p = self.code, self.p
        rows, place = rows_of(tile, height), self._place(tile, panel)
        if self.plan.form is Form.DOTS:
            self.finish.scalars(dotted(code, rows, columns, self._per_vector, self.length, p.dtype), place)
            return
        pieces = lanes(columns.width, self.unit, p.dtype.itemsize)
        tiles = multiplied(code, rows, columns, pieces, self.length, p.dtype, self.unit)
        self.finish.tile(tiles, pieces, place)

    def _rows(self, tile: Index, height: int, *, first: bool) -> Strip:
        """The rows of A of a tile: where they lie, to be copied on the way for the first panel, or their copy."""
        b, matrix = self.code.b, self.p.a
        if self.copy_a is None:
            return self._strip(self.at_a, matrix, self.plan.rows, tile, height)
        number = plus(b, tile, times(b, self.tiles[0], -1))
        place = self.code.at(self.copy_a, times(b, number, self.apart), self.kind)
        if first:
            return replace(self._strip(self.at_a, matrix, self.plan.rows, tile, height), copy=place)
        return Strip(place, 1, height, height)

    def _strip(self, start: Any, matrix: Matrix, cut: Cut, which: Index, width: int) -> Strip:
        """A strip of an operand as it lies, from the stretch of k in hand on; `matrix` has k as its columns."""
        b = self.code.b
        way = plus(b, times(b, which, cut.width * matrix.row), times(b, self.begin, matrix.column))
        return Strip(self.code.at(start, way, self.kind), matrix.row, matrix.column, width)

    def _place(self, tile: Index, panel: Index) -> Place:
        b, plan = self.code.b, self.plan
        entry = plus(b, self.entry, times(b, self.part, 0 if self.whole else self.p.entries))
        return Place(entry, times(b, tile, plan.rows.width), times(b, panel, plan.columns.width))

    @property
    def _per_vector(self) -> int:
        return self.unit.vector_bytes // self.p.dtype.itemsize


def multiplication(product: Product) -> str:
    """The kernel that multiplies."""
    return Multiplication(product).text()


def sums(product: Product) -> Cut:
    """How the kernel that adds the parts of k up is cut into blocks of rows."""
    p = product.problem
    return Cut(p.entries * p.m, max(SUMS_PER_BLOCK // (product.plan.depth.count * p.n), 1))


def summation(product: Product) -> str:
    """The kernel that adds the parts of k up, in their order, and finishes."""
    p, parts, code = product.problem, product.plan.depth.count, Code.kernel("sum")
    kind, table = stored_type(p.dtype), pointers(product, code)
    final = finish(product, code, table)
    wide = Cut(p.n, 4 * product.target.vector_bytes // p.dtype.itemsize)
    work = sums(product)

    def row(number: Index) -> None:
        wide.visit(code, 0, wide.count, partial(stretch, number))

    def stretch(number: Index, which: Index, width: int) -> None:
        column = times(code.b, which, wide.width)
        start = code.at(table[-1], plus(code.b, times(code.b, number, p.n), column), kind)
        pieces = lanes(width, product.target, p.dtype.itemsize)
        totals = [part(start, 0, piece) for piece in pieces]
        for i in range(1, parts):
            totals = [code.b.fadd(total, part(start, i, piece)) for total, piece in zip(totals, pieces, strict=True)]
        entry, line = divided(code.b, number, p.m)
        final.tile([totals], pieces, Place(entry, line, column))

    def part(start: Any, number: int, piece: Lanes) -> Any:
        way = number * p.entries * p.m * p.n + piece.start
        return code.load(code.at(start, way, kind), piece, p.dtype)

    _, first, last, _ = code.function.args
    end = smaller(code.b, times(code.b, last, work.width), work.size)
    code.loop(times(code.b, first, work.width), end, 1, row)
    return code.text()
