"""The kernels of a product: perhaps one that packs A, one that multiplies, and one that adds up parts of k."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from llvmlite import ir

from graphc.native.code.scalars import stored_type
from graphc.native.code.vectors import Lanes, lanes
from graphc.native.code.writer import I64, Code, Index, as_value, divided, larger, plus, smaller, times
from graphc.native.gemm.blocking import PACKED_BYTES, SHORTEST, Form, Matrix
from graphc.native.gemm.epilogues import Access
from graphc.native.gemm.panels import Cut, Source, pack
from graphc.native.gemm.places import Axes, Finish, Place, entry_indices, offset
from graphc.native.gemm.streams import Stream
from graphc.native.gemm.tables import apart, packed, pointers
from graphc.native.gemm.tiles import LINE_BYTES, Strip, dotted, multiplied

if TYPE_CHECKING:
    from graphc.native.gemm.product import Product

I8 = ir.IntType(8)
SUMS_PER_BLOCK = 1 << 15
"""About so many elements are added up in one block."""


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
        self.packed = packed(product, self.code, table)
        panel = self.plan.columns.width * self.plan.depth.width
        self.copy_b = self.code.room(panel, self.kind) if self.plan.copies_b else None

    def text(self) -> str:
        """The kernel, for all blocks that the caller names."""
        _, first, last, _ = self.code.function.args
        self.code.loop(first, last, 1, lambda number: self._block(0 if self.plan.blocks == 1 else number))
        return self.code.text()

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
        """One entry's share of a block. The first tile of a panel may copy B on the way."""
        code, p, plan = self.code, self.p, self.plan
        self.entry = entry
        self.at_a, self.at_b = (
            code.at(start, offset(code.b, entry_indices(code.b, entry, p.batch), matrix.batch), self.kind)
            for start, matrix in ((self.a, p.a), (self.b, p.b))
        )
        if plan.form is Form.STREAM:
            strips = self._rows(0, p.m), self._strip(self.at_b, p.b.transposed, plan.columns, 0, 1)
            stream = Stream(code, *strips, plan.columns, plan.panels.width, p.dtype, self.unit)
            stream.write(self.panels, self.length, self.finish, self._place(0, 0))
            return
        plan.columns.visit(code, *self.panels, self._panel)

    def _panel(self, panel: Index, width: int) -> None:
        code, p, plan = self.code, self.p, self.plan
        strip = self._strip(self.at_b, p.b.transposed, plan.columns, panel, width)
        tile, last_tile = self.tiles
        if self.copy_b is not None and p.b.column == 1:
            self._tile(replace(strip, copy=self.copy_b), panel, tile, plan.rows.width)
            tile = plus(code.b, tile, 1)
        elif self.copy_b is not None:
            self._copy_panel(panel)
        if self.copy_b is not None:
            strip = Strip(self.copy_b, 1, width, width)
        plan.rows.visit(code, tile, last_tile, partial(self._tile, strip, panel))

    def _copy_panel(self, panel: Index) -> None:
        b, p = self.code.b, self.p
        begin = self.code.at(self.at_b, times(b, self.begin, p.b.row), self.kind)
        source = Source(p.b.column, p.b.row, self.length, p.dtype, tiny=p.k < self._per_vector)
        pack(self.code, source, begin, self.copy_b, self.plan.columns, (panel, plus(b, panel, 1)), 0, self.unit)

    def _tile(self, columns: Strip, panel: Index, tile: Index, height: int) -> None:
        code, p = self.code, self.p
        rows, place = self._rows(tile, height), self._place(tile, panel)
        if self.plan.form is Form.DOTS:
            self.finish.scalars(dotted(code, rows, columns, self._per_vector, self.length, p.dtype), place)
            return
        pieces = lanes(columns.width, self.unit, p.dtype.itemsize)
        tiles = multiplied(code, rows, columns, pieces, self.length, p.dtype)
        self.finish.tile(tiles, pieces, place)

    def _rows(self, tile: Index, height: int) -> Strip:
        """The rows of A of a tile: where they lie, or where they were packed."""
        b, plan = self.code.b, self.plan
        if self.packed is None:
            return self._strip(self.at_a, self.p.a, plan.rows, tile, height)
        way = times(b, plus(b, times(b, self.entry, plan.rows.count), tile), apart(self.p, plan))
        way = plus(b, way, times(b, self.begin, height))
        return Strip(self.code.at(self.packed, way, self.kind), 1, height, height)

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


def strips_at_once(product: Product) -> Cut:
    """The strips of A of all entries, so many to a block."""
    rows, step = product.plan.rows, product.plan.rows.width * product.dtype.itemsize
    return Cut(rows.count, max(PACKED_BYTES // (step * product.k), LINE_BYTES // step, 1))


def packing(product: Product) -> str:
    """The kernel that packs A."""
    p, plan, code = product.problem, product.plan, Code.kernel("packing")
    kind, table, groups = stored_type(p.dtype), pointers(product, code), strips_at_once(product)
    target, far = packed(product, code, table), apart(p, plan)

    def block(number: Index) -> None:
        entry, group = divided(code.b, number, groups.count)
        begin, end = groups.range(code, group)
        start = code.at(table[0], offset(code.b, entry_indices(code.b, entry, p.batch), p.a.batch), kind)
        first = plus(code.b, times(code.b, entry, plan.rows.count), begin)
        place = code.at(target, times(code.b, first, far), kind)
        source = Source(p.a.row, p.a.column, p.k, p.dtype)
        pack(code, source, start, place, plan.rows, (begin, end), far, product.target)

    _, first, last, _ = code.function.args
    code.loop(first, last, 1, block)
    return code.text()


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
