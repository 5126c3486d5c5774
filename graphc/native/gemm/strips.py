"""Strips of a product: each is a smaller product, whose elements have the bits that the whole one gives them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

from graphc.native.gemm.blocking import Form
from graphc.native.gemm.product import Product
from graphc.native.gemm.tiles import SUMS_ABREAST

LEAST_ROWS = 4
"""Tiles of fewer rows read a factor too often."""


@dataclass(frozen=True)
class ProductStrip:
    """One of some equal strips, and of each pointer of the table the bytes that it touches."""

    product: Product
    steps: tuple[int, ...]
    """From the first byte of a strip to that of the next."""
    lengths: tuple[int, ...]
    """From the first byte that a strip touches to the last."""


@lru_cache(maxsize=1024)
def strip_of(product: Product, count: int) -> ProductStrip | None:
    """The first of so many equal strips of a product along its first batch axis, or else its rows."""
    along, size = (0, product.batch[0]) if product.batch else (-2, product.m)
    each, rest = divmod(size, count)
    if rest or each < (1 if product.batch else LEAST_ROWS) or not adds_in_order(product):
        return None
    strip = replace(product, batch=(each, *product.batch[1:])) if product.batch else replace(product, m=each)
    lie = [(product.a, (strip.m, strip.k), product.dtype), (product.b, (strip.k, strip.n), product.dtype)]
    lie += [(access.strides, (strip.m, strip.n), access.dtype) for access in product.accesses]
    if not adds_in_order(strip) or any(min(strides) < 0 for strides, *_ in lie):
        return None
    steps, lengths = [], []
    for number, (strides, sizes, dtype) in enumerate(lie):
        far = sum((n - 1) * stride for n, stride in zip((*strip.batch, *sizes), strides, strict=True))
        lengths.append(dtype.itemsize * (1 + far))
        steps.append(0 if along and number == 1 else dtype.itemsize * each * strides[along])
    return ProductStrip(strip, tuple(steps), tuple(lengths))


def adds_in_order(product: Product) -> bool:
    """Whether each element is one sum in the order of k, in whatever tile it is computed."""
    if product.limited or len(product.stages) != 1 or product.scratch_bytes:
        return False
    plan, p = product.plan, product.problem
    if plan.form is not Form.TILES or plan.depth.count > 1:
        return False
    vectors = 1 if plan.columns.rest else plan.columns.width * p.dtype.itemsize // product.target.vector_bytes
    height = plan.rows.width if plan.any_rows else plan.rows.rest or plan.rows.width
    return height * max(vectors, 1) >= SUMS_ABREAST or (p.k < 4 * SUMS_ABREAST and not plan.any_k)
