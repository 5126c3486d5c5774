"""What the code of a product depends on, and the numbers that it reads from its table when it runs.

General code reads how many rows, steps of k, batch entries and blocks there are. Products that differ in nothing else
have equal layouts and share their code: another batch compiles nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from graphc.native.code.vectors import Unit
from graphc.native.gemm.blocking import COPIED_PART_BYTES, SHORTEST, Plan
from graphc.native.gemm.epilogues import Access, Epilogue
from graphc.native.gemm.panels import Cut
from graphc.native.gemm.places import Axes
from graphc.native.gemm.problem import Problem

if TYPE_CHECKING:
    from graphc.native.gemm.product import Product

IN_TABLE = 0
"""In the place of a number that the code reads from its table."""
CUT_IN_TABLE = Cut(IN_TABLE, IN_TABLE)
PACKED_BYTES = 1 << 15
"""About so much of A is packed in one block."""
SUMS_PER_BLOCK = 1 << 15
"""About so many elements are added up in one block."""
LINE_BYTES = 64
PADDING = 16
"""Elements between packed strips, so that they do not begin on conflicting lines."""


class Numbers(NamedTuple):
    """What general code reads from its table: sizes, and the widths and counts of cuts."""

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
    """All `Numbers`, where the code is not general and has them as constants."""

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
    if cut.any_k:
        copied = COPIED_PART_BYTES // p.dtype.itemsize + SHORTEST
    if cut.general:
        p = replace(p, batch=_of_any_length(p.batch), m=IN_TABLE if cut.any_rows else p.m,
                    k=IN_TABLE if cut.any_k else p.k)  # fmt: skip
        cut = replace(cut, rows=Cut(p.m, cut.rows.width), tiles=CUT_IN_TABLE, panels=CUT_IN_TABLE, entries=CUT_IN_TABLE,
                      depth=CUT_IN_TABLE if cut.any_k else cut.depth)  # fmt: skip
        axes = replace(axes, batch=_of_any_length(axes.batch), rows=axes.rows if axes.folded else 0)
    return Layout(p, cut, axes, product.accesses, product.epilogue, product.target, whole, copied,
                  product.scratch_bytes > 0, numbers)  # fmt: skip


def _of_any_length(batch: tuple[int, ...]) -> tuple[int, ...]:
    """Batch axes, the first of which may have any size: no index along it is reduced modulo that."""
    return (IN_TABLE, *batch[1:]) if batch else ()


def numbers_of(product: Product) -> Numbers:
    """The numbers of a product's table."""
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
