"""The table that a product's kernels get, and its scratch memory: first the parts of k, then the packed strips of A."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from graphc.native.code.scalars import stored_type
from graphc.native.code.writer import Code
from graphc.native.gemm.blocking import Plan, Problem

if TYPE_CHECKING:
    from graphc.native.gemm.product import Product

PADDING = 16
"""Elements between strips, so that they do not begin on conflicting lines."""


def pointers(product: Product, code: Code) -> list[Any]:
    """A and B as the code sees them, C, operands, further results, scratch memory."""
    count = 2 + len(product.accesses) + 2 * product.limited + bool(product.scratch_bytes)
    first, second, *others = code.table(count)
    return [second, first, *others] if product.axes.swapped else [first, second, *others]


def packed(product: Product, code: Code, table: Sequence[Any]) -> Any:
    """Where the strips of A are packed, if they are."""
    behind = product.parts_bytes // product.dtype.itemsize
    return code.at(table[-1], behind, stored_type(product.dtype)) if product.plan.packs_a else None


def packed_bytes(p: Problem, plan: Plan) -> int:
    """What they take."""
    return p.entries * plan.rows.count * apart(p, plan) * p.dtype.itemsize if plan.packs_a else 0


def apart(p: Problem, plan: Plan) -> int:
    """Elements from one of them to the next."""
    return plan.rows.width * p.k + PADDING
