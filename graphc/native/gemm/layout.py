"""What the code of a product depends on. General code is told at run time how many rows, steps, entries and blocks
there are.

Products that differ only in what the code is told have equal layouts, and share it: another batch compiles nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from llvmlite import ir

from graphc.native.code.vectors import Unit
from graphc.native.code.writer import I32, I64, Code, Index, divided, plus, smaller, times
from graphc.native.gemm.blocking import COPIED_PART_BYTES, SHORTEST, Plan, Problem
from graphc.native.gemm.epilogues import Access, Epilogue
from graphc.native.gemm.panels import Cut
from graphc.native.gemm.places import Axes

if TYPE_CHECKING:
    from graphc.native.gemm.product import Product

TOLD = 0
"""In the place of a number that the code is told."""
PACKED_BYTES = 1 << 15
"""About so much of A is packed in one block."""
SUMS_PER_BLOCK = 1 << 15
"""About so many elements are added up in one block."""
LINE_BYTES = 64
PADDING = 16
"""Elements between packed strips, so that they do not begin on conflicting lines."""


class Numbers(NamedTuple):
    """What general code is told: sizes, and the widths and counts of cuts."""

    rows: Any
    row_tiles: Any
    steps: Any
    entries: Any
    entries_each: Any
    entry_groups: Any
    tiles_each: Any
    tile_groups: Any
    panels_each: Any
    panel_groups: Any
    part: Any
    parts: Any
    packed_each: Any
    """Strips of A that a block packs, ..."""
    packed_groups: Any
    """... and how many blocks those of an entry make."""
    packed_from: Any
    """Elements of scratch memory before the packed strips."""
    sums_each: Any
    """Rows that a block adds up."""


@dataclass(frozen=True)
class Layout:
    """A product as its code sees it."""

    problem: Problem
    plan: Plan
    axes: Axes
    accesses: tuple[Access, ...]
    """C, the epilogue's operands and its further results, in the order of the table."""
    epilogue: Epilogue
    target: Unit
    whole: bool
    """Whether k is in one part."""
    copied: int
    """The steps of k for which copies of panels have room."""
    has_scratch: bool
    numbers: tuple[int, ...] | None
    """All `Numbers`, where the code is not general."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """That of the product's elements."""
        return self.problem.dtype

    @property
    def one_panel(self) -> bool:
        """Whether all columns are one panel."""
        return self.plan.columns.count == 1

    @property
    def limited(self) -> bool:
        """Whether the table has limits."""
        return self.problem.limited


def layout_of(product: Product) -> Layout:
    """All that the code depends on."""
    p, cut, axes = product.problem, product.plan, product.axes
    whole, copied = cut.depth.count == 1, cut.depth.width
    numbers = None if cut.general else tuple(numbers_of(product))
    if cut.general:
        copied = COPIED_PART_BYTES // p.dtype.itemsize + SHORTEST if cut.any_k else copied
        p = replace(p, batch=(TOLD, *p.batch[1:]) if p.batch else (), m=TOLD if cut.any_rows else p.m,
                    k=TOLD if cut.any_k else p.k)  # fmt: skip
        rows, depth = Cut(p.m, cut.rows.width), Cut(TOLD, TOLD) if cut.any_k else cut.depth
        cut = replace(cut, rows=rows, tiles=Cut(TOLD, TOLD), panels=Cut(TOLD, TOLD), entries=Cut(TOLD, TOLD),
                      depth=depth)  # fmt: skip
        axes = replace(axes, batch=(TOLD, *axes.batch[1:]) if axes.batch else (), rows=axes.rows if axes.folded else 0)
    return Layout(p, cut, axes, product.accesses, product.epilogue, product.target, whole, copied,
                  product.scratch_bytes > 0, numbers)  # fmt: skip


def numbers_of(product: Product) -> Numbers:
    """What general code is told of a product."""
    p, cut = product.problem, product.plan
    packed, summed = packed_at_once(p, cut), summed_at_once(p, cut)
    return Numbers(p.m, cut.rows.count, p.k, p.entries, cut.entries.width, cut.entries.count, cut.tiles.width,
                   cut.tiles.count, cut.panels.width, cut.panels.count, cut.depth.width, cut.depth.count, packed.width,
                   packed.count, product.parts_bytes // p.dtype.itemsize, summed.width)  # fmt: skip


def packed_at_once(p: Problem, cut: Plan) -> Cut:
    """The strips of A of an entry, so many to a block."""
    step = cut.rows.width * p.dtype.itemsize
    return Cut(cut.rows.count, max(PACKED_BYTES // (step * max(p.k, 1)), LINE_BYTES // step, 1))


def summed_at_once(p: Problem, cut: Plan) -> Cut:
    """How the kernel that adds the parts of k up is cut into blocks of rows."""
    return Cut(p.entries * p.m, max(SUMS_PER_BLOCK // (cut.depth.count * max(p.n, 1)), 1))


def packed_bytes(p: Problem, plan: Plan) -> int:
    """What the packed strips of A take."""
    return p.entries * plan.rows.count * (plan.rows.width * p.k + PADDING) * p.dtype.itemsize if plan.packs_a else 0


@dataclass(frozen=True)
class ToldCut(Cut):
    """A cut into as many strips as the code is told. What is missing of the last one is up to who visits it."""

    strips: Index = None

    @property
    def count(self) -> Index:
        """How many strips there are."""
        return self.strips

    def range(self, code: Code, strip: Index) -> tuple[Index, Index]:
        """What one strip covers: from where to where."""
        first = times(code.b, strip, self.width)
        return first, smaller(code.b, plus(code.b, first, self.width), self.size)

    def visit(self, code: Code, first: Index, last: Index, body: Callable[[Index, int], None], *,
              some: bool = False) -> None:  # fmt: skip
        """body(strip, width) for the strips first..last."""
        code.loop(first, last, 1, lambda strip: body(strip, self.width), some=some)


class Asked:
    """Numbers in a table, each read where it is asked for first."""

    def __init__(self, code: Code, first: int) -> None:
        self._code, self._first = code, first
        self._read: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        if name not in self._read:
            with self._code.b.goto_entry_block():
                self._read[name] = self._code.number(self._first + Numbers._fields.index(name))
        return self._read[name]


def shared_out(code: Code, number: Index, counts: Sequence[Index]) -> list[Index]:
    """The number of a block as one of each kind, of which there are so many; it has few bits. The last kind of which
    there are several needs no division."""
    found: list[Index] = [0] * len(counts)
    several = [i for i, count in enumerate(counts) if not (isinstance(count, int) and count == 1)]
    for i in several[:-1]:
        number, found[i] = _divided(code.b, number, counts[i])
    if several:
        found[several[-1]] = number
    return found


def _divided(b: ir.IRBuilder, number: Index, count: Index) -> tuple[Index, Index]:
    if isinstance(count, int):
        return divided(b, number, count)
    short, by = (b.trunc(x, I32) for x in (number, count))
    quotient = b.udiv(short, by)
    return b.zext(quotient, I64), b.zext(b.sub(short, b.mul(quotient, by)), I64)


def told(layout: Layout, code: Code, first: int) -> tuple[Problem, Plan, Numbers | Asked]:
    """The problem and the plan, and numbers; those that general code is told stand in the table from one place on."""
    p, cut = layout.problem, layout.plan
    if layout.numbers is not None:
        return p, cut, Numbers(*layout.numbers)
    n = Asked(code, first)
    rows: Cut = cut.rows
    if cut.any_rows:
        rows, p = ToldCut(n.rows, rows.width, n.row_tiles), replace(p, m=n.rows)
    if cut.any_k:
        p = replace(p, k=n.steps)
        cut = cut if layout.whole else replace(cut, depth=ToldCut(n.steps, n.part, n.parts))
    entries = ToldCut(n.entries, n.entries_each, n.entry_groups) if p.batch else Cut(1, 1)
    tiles = ToldCut(rows.count, n.tiles_each, n.tile_groups)
    panels = Cut(1, 1) if layout.one_panel else ToldCut(cut.columns.count, n.panels_each, n.panel_groups)
    return p, replace(cut, rows=rows, tiles=tiles, panels=panels, entries=entries), n
