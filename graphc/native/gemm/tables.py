"""The table that a product's kernels get, and its scratch memory: first the parts of k, then the packed strips of A."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphc.native.code.scalars import stored_type
from graphc.native.code.writer import Code, Index, plus, times
from graphc.native.gemm.blocking import Plan, Problem
from graphc.native.gemm.layout import PADDING, Asked, Layout, Numbers


def pointers(product: Layout, code: Code) -> list[Any]:
    """A and B as the code sees them, C, operands, further results, scratch memory."""
    first, second, *others = code.table(length(product))
    return [second, first, *others] if product.axes.swapped else [first, second, *others]


def length(product: Layout) -> int:
    """How many pointers there are, before the numbers that general code is told."""
    return 2 + len(product.accesses) + 2 * product.limited + product.has_scratch


def packed(product: Layout, code: Code, table: Sequence[Any], told: Numbers | Asked) -> Any:
    """Where the strips of A are packed, if they are."""
    return code.at(table[-1], told.packed_from, stored_type(product.dtype)) if product.plan.packs_a else None


def apart(code: Code, p: Problem, plan: Plan) -> Index:
    """Elements from one of them to the next."""
    return plus(code.b, times(code.b, plan.rows.width, p.k), PADDING)
