"""Products and contractions as formulas, for backends that write code: sums of products, and products in one float.

Products of f16 are added up in f32 and rounded once, as NumPy does: of matrices by the kernels of f32, whose factors
are converted before. That takes the time of a product of f32, where a loop over f16 takes ten times as long.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from graphc import ops
from graphc.ir import Node
from graphc.op import OPS, Op
from graphc.ops.core import cast
from graphc.ops.fused import matmul_within
from graphc.types import promote

F16, F32 = np.dtype("float16"), np.dtype("float32")


def product(a: Node, b: Node) -> Node | None:
    """What a matrix product is where it is one number, or of floats that its kernels do not compute with."""
    one = _one_number(a, b)
    return _in_one_float(ops.matmul, a, b) if one is None and _are_matrices(a, b) else one


def limited_product(a: Node, b: Node, exact: Node, **attrs: Any) -> Node | None:
    """The same of a product of which parts may be left out."""
    return _in_one_float(matmul_within, a, b, exact, **attrs)


def contraction(a: Node, b: Node, *, subscripts: str) -> Node | None:
    """A sum of products axis by axis, or a product of floats that are not what its kernels compute with."""
    terms, _, kept = subscripts.partition("->")
    labels, _, others = terms.partition(",")
    over = tuple(axis for axis, label in enumerate(labels) if label not in kept)
    if others == labels and over and kept == "".join(label for label in labels if label in kept):
        return _sum_of_products(a, b, over)
    has_rows, has_columns = (any(label not in other for label in kept) for other in (others, labels))
    return _in_one_float(OPS["einsum"], a, b, subscripts=subscripts) if has_rows and has_columns else None


def _one_number(a: Node, b: Node) -> Node | None:
    """A product whose result is one number."""
    length = a.shape[-1]
    if a.array_type.size != length or b.array_type.size != length:
        return None
    return _sum_of_products(ops.reshape(a, (length,)), ops.reshape(b, (length,)), (0,))


def _are_matrices(a: Node, b: Node) -> bool:
    """Whether factors are read several times: a loop over those read once is as fast, and needs no copy."""
    return min(a.ndim, b.ndim) > 1 and a.shape[-2] != 1 != b.shape[-1]


def _sum_of_products(a: Node, b: Node, over: tuple[int, ...]) -> Node | None:
    """Blocks of a kernel, which threads share; the products of f16 are added as they are, in f32. Short integers wrap
    around in loops of their own, since a sum has 64 bits."""
    dtype, wide = _dtypes(a, b)
    total = ops.sum(cast(a, wide) * cast(b, wide), over)
    if total.dtype != wide or 0 in a.shape or 0 in b.shape:
        return None
    return total if wide == dtype else total.astype(dtype)


def _in_one_float(op: Op, a: Node, b: Node, *others: Node, **attrs: Any) -> Node | None:
    """The product of converted factors, where both are not of the float that it is computed in."""
    dtype, wide = _dtypes(a, b)
    if dtype.kind != "f" or a.dtype == b.dtype == wide:
        return None
    made = op.make((cast(a, wide), cast(b, wide), *others), attrs)
    return made if wide == dtype else made.astype(dtype)


def _dtypes(a: Node, b: Node) -> tuple[np.dtype[Any], np.dtype[Any]]:
    """What the elements of a product are, and what they are added up in."""
    dtype = promote(a.dtype, b.dtype)
    return dtype, F32 if dtype == F16 else dtype
