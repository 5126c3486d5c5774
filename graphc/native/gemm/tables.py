"""The table that a product's kernels get: pointers, then the numbers that general code reads; and its scratch memory:
first the parts of k, then the packed strips of A.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from graphc.native.code.indices import Index, plus, smaller, times
from graphc.native.code.scalars import stored_type
from graphc.native.code.writer import Code
from graphc.native.gemm.blocking import Plan
from graphc.native.gemm.layout import PADDING, Layout, Numbers
from graphc.native.gemm.panels import Cut
from graphc.native.gemm.problem import Problem


def pointers(layout: Layout, code: Code) -> list[Any]:
    """A and B as the code sees them, C, operands, further results, scratch memory."""
    first, second, *others = code.table(pointer_count(layout))
    return [second, first, *others] if layout.axes.swapped else [first, second, *others]


def pointer_count(layout: Layout) -> int:
    """How many pointers there are, before the numbers."""
    return 2 + len(layout.accesses) + 2 * layout.limited + layout.has_scratch


def packed_strips(layout: Layout, code: Code, table: Sequence[Any], numbers: Numbers | TableNumbers) -> Any:
    """Where the strips of A are packed, if they are."""
    return code.at(table[-1], numbers.packed_from, stored_type(layout.dtype)) if layout.plan.packs_a else None


def strip_stride(code: Code, p: Problem, plan: Plan) -> Index:
    """Elements from one packed strip to the next."""
    return plus(code.b, times(code.b, plan.rows.width, p.k), PADDING)


class TableNumbers:
    """`Numbers` that stand in a table from one place on, each read where it is asked for first."""

    def __init__(self, code: Code, first: int) -> None:
        self._code, self._first = code, first
        self._read: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        if name not in self._read:
            with self._code.b.goto_entry_block():
                self._read[name] = self._code.number(self._first + Numbers._fields.index(name))
        return self._read[name]


@dataclass(frozen=True)
class TableCut(Cut):
    """A cut whose size and count are read from the table. What is missing of its last strip is up to who visits it."""

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
        """body(strip, width) for the strips from first on, before last."""
        code.loop(first, last, 1, lambda strip: body(strip, self.width), some=some)


def with_numbers(layout: Layout, code: Code) -> tuple[Problem, Plan, Numbers | TableNumbers]:
    """The problem and the plan with what the table has of them, and the numbers."""
    p, cut = layout.problem, layout.plan
    if layout.numbers is not None:
        return p, cut, Numbers(*layout.numbers)
    n = TableNumbers(code, pointer_count(layout))
    rows: Cut = cut.rows
    if cut.any_rows:
        rows, p = TableCut(n.rows, rows.width, n.row_tiles), replace(p, m=n.rows)
    if cut.any_k:
        p = replace(p, k=n.steps)
        cut = cut if layout.whole else replace(cut, depth=TableCut(n.steps, n.part, n.parts))
    entries = TableCut(n.entries, n.entries_each, n.entry_groups) if p.batch else Cut(1, 1)
    tiles = TableCut(rows.count, n.tiles_each, n.tile_groups)
    panels = Cut(1, 1) if layout.one_panel else TableCut(cut.columns.count, n.panels_each, n.panel_groups)
    return p, replace(cut, rows=rows, tiles=tiles, panels=panels, entries=entries), n
