"""The kernels of a product: perhaps one that packs A, and one that multiplies (parts of k: `summation`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from llvmlite import ir

from graphc.native.code.indices import Index, as_value, larger, plus, smaller, times
from graphc.native.code.scalars import I64, stored_type
from graphc.native.code.vectors import cover
from graphc.native.code.writer import Code
from graphc.native.gemm.blocking import SHORTEST, Form
from graphc.native.gemm.epilogues import STORED, Access
from graphc.native.gemm.layout import Layout, Numbers
from graphc.native.gemm.panels import Source, pack
from graphc.native.gemm.places import Axes, Finish, Place, block_indices, entry_indices, offset
from graphc.native.gemm.problem import Matrix
from graphc.native.gemm.streams import Stream
from graphc.native.gemm.tables import TableNumbers, packed_strips, pointers, strip_stride, with_numbers
from graphc.native.gemm.tiles import Strip, dotted, multiplied

I8 = ir.IntType(8)


def finish(layout: Layout, code: Code, table: Sequence[Any]) -> Finish:
    """How final values are stored."""
    own = table[2 : 2 + len(layout.accesses)]
    return Finish(code, layout.accesses[0], layout.epilogue, layout.axes, own, layout.target)


def unfinished(layout: Layout, code: Code, table: Sequence[Any], numbers: Numbers | TableNumbers) -> Finish:
    """How the parts of k are stored in scratch memory."""
    p = layout.problem
    axes = Axes((0,), 0)
    part = times(code.b, numbers.rows, p.n)
    return Finish(code, Access((part, p.n, 1), p.dtype), STORED, axes, table[-1:], layout.target)


class Multiplication:
    """Writes the kernel that multiplies."""

    def __init__(self, layout: Layout) -> None:
        self.unit = layout.target
        self.kind = stored_type(layout.dtype)
        self.code = Code.kernel(f"{layout.epilogue.title} {layout.dtype}")
        table = pointers(layout, self.code)
        self.p, self.plan, self.numbers = with_numbers(layout, self.code)
        if self.plan.general:
            self.code.masks.keep()
        self.whole = layout.whole
        self.part: Index = 0
        self.begin: Index = 0
        self.finish = (finish(layout, self.code, table) if self.whole
                       else unfinished(layout, self.code, table, self.numbers))  # fmt: skip
        self.a, self.b = table[:2]
        at = 2 + len(layout.accesses)
        self.limits: list[Any] = table[at : at + 2] if layout.limited else []
        self.packed = packed_strips(layout, self.code, table, self.numbers)
        panel = self.plan.columns.width * layout.copied
        self.copy_b = self.code.room(panel, self.kind) if self.plan.copies_b else None

    def text(self) -> str:
        """The kernel, for all blocks that the caller names."""
        _, first, last, _ = self.code.function.args
        single = not self.plan.general and self.plan.blocks == 1
        self.code.loop(first, last, 1, lambda number: self._block(0 if single else number), some=True)
        return self.code.text()

    def _block(self, number: Index) -> None:
        b, p, plan = self.code.b, self.p, self.plan
        parts = 1 if self.whole else plan.depth.count
        counts = (plan.tiles.count, plan.panels.count, plan.entries.count, parts)
        tile, panel, group, self.part = block_indices(self.code, number, counts)
        self.begin, end = (0, p.k) if self.whole else plan.depth.range(self.code, self.part)
        if self.limits:
            cell = plus(b, times(b, panel, plan.tiles.count), tile)
            self.begin, end = self._within(cell, self.begin, end)
        known = self.whole and not self.limits
        self.length = p.k if known else plus(b, end, times(b, self.begin, -1))
        self.tiles, self.panels = plan.tiles.range(self.code, tile), plan.panels.range(self.code, panel)
        self.code.loop(*plan.entries.range(self.code, group), 1, self._entry, some=True)

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
            strips = self._rows(0, 0, p.m), self._strip(self.at_b, p.b.transposed, 0, 1)
            stream = Stream(code, *strips, plan.columns, plan.panels.width, p.dtype, self.unit)
            stream.write(self.panels, self.length, self.finish, self._place(0, 0))
            return
        plan.columns.visit(code, *self.panels, self._panel, some=True)

    def _panel(self, panel: Index, width: int) -> None:
        code, p, plan = self.code, self.p, self.plan
        strip = self._strip(self.at_b, p.b.transposed, times(code.b, panel, plan.columns.width), width)
        tile, last_tile = self.tiles
        if self.copy_b is not None and p.b.column == 1:
            self._tile(replace(strip, copy=self.copy_b), panel, tile, plan.rows.width)
            tile = plus(code.b, tile, 1)
        elif self.copy_b is not None:
            self._copy_panel(panel)
        if self.copy_b is not None:
            strip = Strip(self.copy_b, 1, width, width)
        some = self.copy_b is None or p.b.column != 1
        plan.rows.visit(code, tile, last_tile, partial(self._tile, strip, panel), some=some)

    def _copy_panel(self, panel: Index) -> None:
        b, p = self.code.b, self.p
        begin = self.code.at(self.at_b, times(b, self.begin, p.b.row), self.kind)
        tiny = isinstance(p.k, int) and p.k < self._per_vector
        source = Source(p.b.column, p.b.row, self.length, p.dtype, tiny=tiny)
        pack(self.code, source, begin, self.copy_b, self.plan.columns, (panel, plus(b, panel, 1)), 0, self.unit)

    def _tile(self, columns: Strip, panel: Index, tile: Index, height: int) -> None:
        """One tile. In code for any number of rows the last one begins so early that it has all of its rows, and those
        that the tile before has, too, are not stored."""
        code, p = self.code, self.p
        row = first = times(code.b, tile, self.plan.rows.width)
        skipped: Index = None
        if self.plan.any_rows:
            row = smaller(code.b, first, plus(code.b, p.m, -height))
            skipped = plus(code.b, first, times(code.b, row, -1))
        rows, place = self._rows(tile, row, height), self._place(row, panel)
        if self.plan.form is Form.DOTS:
            self.finish.scalars(dotted(code, rows, columns, self._per_vector, self.length, p.dtype), place, skipped)
            return
        pieces = cover(columns.width, self.unit, p.dtype.itemsize)
        tiles = multiplied(code, rows, columns, pieces, self.length, p.dtype, some=not self.limits)
        self.finish.tile(tiles, pieces, place, skipped)

    def _rows(self, tile: Index, row: Index, height: int) -> Strip:
        """The rows of A of a tile: where they lie, or where they were packed."""
        b, plan = self.code.b, self.plan
        if self.packed is None:
            return self._strip(self.at_a, self.p.a, row, height)
        far = strip_stride(self.code, self.p, plan)
        way = times(b, plus(b, times(b, self.entry, plan.rows.count), tile), far)
        way = plus(b, way, times(b, self.begin, height))
        return Strip(self.code.at(self.packed, way, self.kind), 1, height, height)

    def _strip(self, start: Any, matrix: Matrix, first: Index, width: int) -> Strip:
        """A strip of an operand as it lies, from the stretch of k in hand on; `matrix` has k as its columns."""
        b = self.code.b
        way = plus(b, times(b, first, matrix.row), times(b, self.begin, matrix.column))
        return Strip(self.code.at(start, way, self.kind), matrix.row, matrix.column, width)

    def _place(self, row: Index, panel: Index) -> Place:
        b = self.code.b
        entry = plus(b, self.entry, times(b, self.part, 0 if self.whole else self.numbers.entries))
        return Place(entry, row, times(b, panel, self.plan.columns.width))

    @property
    def _per_vector(self) -> int:
        return self.unit.vector_bytes // self.p.dtype.itemsize


def multiplication(layout: Layout) -> str:
    """The kernel that multiplies."""
    return Multiplication(layout).text()


def packing(layout: Layout) -> str:
    """The kernel that packs A."""
    code = Code.kernel(f"packing {layout.dtype}")
    kind, table = stored_type(layout.dtype), pointers(layout, code)
    p, plan, numbers = with_numbers(layout, code)
    target, far = packed_strips(layout, code, table, numbers), strip_stride(code, p, plan)

    def block(number: Index) -> None:
        group, entry = block_indices(code, number, (numbers.packed_groups, numbers.entries if p.batch else 1))
        begin = times(code.b, group, numbers.packed_each)
        end = smaller(code.b, plus(code.b, begin, numbers.packed_each), plan.rows.count)
        start = code.at(table[0], offset(code.b, entry_indices(code.b, entry, p.batch), p.a.batch), kind)
        first = plus(code.b, times(code.b, entry, plan.rows.count), begin)
        place = code.at(target, times(code.b, first, far), kind)
        source = Source(p.a.row, p.a.column, p.k, p.dtype)
        pack(code, source, start, place, plan.rows, (begin, end), far, layout.target)

    _, first, last, _ = code.function.args
    code.loop(first, last, 1, block)
    return code.text()
