"""What combines the parts that the blocks of a kernel have of a result, in the order of the blocks."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from graphc import ops
from graphc.facts import is_place
from graphc.ir import Graph, Node
from graphc.native.kernel.facts import Facts, facts_of, steps_in_order
from graphc.native.strides import Steps
from graphc.op import OPS, Op
from graphc.types import Type, as_dtype

FEW = 4096
"""Parts of so few elements are combined by a compact kernel: it takes a microsecond, LLVM a fifth of the time, and the
kernels that make them take several."""
EXTREMES = {"maximum": ops.max, "minimum": ops.min}
INT64 = np.dtype("int64")


def combination(result: Node, blocks: int) -> Facts:
    """The kernel for an accumulated result. Of places it reads each block's extremes, and behind these their places."""
    added = result.inputs[0] if is_place(result) else result
    return combining(result.op.name, added.array_type.dtype.str, math.prod(result.shape), blocks)


@lru_cache(maxsize=256)
def combining(name: str, dtype: str, size: int, blocks: int) -> Facts:
    """The same of an op, for parts of a dtype and of so many elements."""
    op, kind = OPS[name], Type(as_dtype(dtype), (blocks, size))
    assert op.reduction is not None
    body, accesses = _first_place(kind, op.reduction.combine) if op.reduction.place else _total(kind, op)
    return facts_of(body, accesses, compact=blocks * size <= FEW)


def _total(kind: Type, op: Op) -> tuple[Graph, list[Steps]]:
    """Parts are summed in the dtype they have."""
    parts = _placeholder("parts", kind)
    total = op.make((parts,), {"axis": (0,), "keepdims": True})
    if total.dtype != kind.dtype:
        total = Node(total.op, total.inputs, total.attrs, Type(kind.dtype, total.shape))
    return Graph([parts], [total]), [steps_in_order(kind)]


def _first_place(kind: Type, combine: str) -> tuple[Graph, list[Steps]]:
    """The first of the places of those blocks that have the extreme of all; those of one block are all there are."""
    extremes, places = _placeholder("extremes", kind), _placeholder("places", kind.with_dtype(INT64))
    first = places
    if kind.shape[0] != 1:
        has_it = ops.equal(extremes, EXTREMES[combine](extremes, 0, keepdims=True)) | ops.isnan(extremes)
        first = ops.min(ops.where(has_it, places, np.iinfo(INT64).max), 0, keepdims=True)
    apart, along = 2 * kind.static_shape[1], int(kind.static_shape[1] > 1)
    return Graph([extremes, places], [first]), [(apart * INT64.itemsize // kind.dtype.itemsize, along), (apart, along)]


def _placeholder(name: str, kind: Type) -> Node:
    return Node(OPS["placeholder"], (), {}, kind, name)
