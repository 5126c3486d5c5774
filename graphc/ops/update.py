"""`x[index] = value` and `x[index] += value` as values: what users call instead of writing into an array."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeGuard

import numpy as np

from graphc import ops
from graphc.errors import DTypeError, ShapeError
from graphc.ir import Node
from graphc.op import Op, composite, lift
from graphc.operators import Index, Operand
from graphc.ops.core import constant
from graphc.ops.gathering import gather, scatter, scatter_add
from graphc.ops.indexing import getitem, setitem
from graphc.ops.selection import known_value, split_index
from graphc.samples import call, cases
from graphc.types import Type, unify, weak_dtype

__all__ = ["add_at", "set_at"]

SAMPLES = cases(call("f64[3,4]", (1, slice(1, 3)), "f64[2]"), call("f64[4]", np.array([2, 0, 2]), "f64[3]"),
                call("f32[3,2]", (..., 0), 2.0), call("f64[2,3,4]", (0, slice(None), np.array([1, 1])), "f64[2,1]"),
                call("f64[3]", np.array([True, False, True]), 1.0), call("i64[2]", ..., "i64[]"))  # fmt: skip


@composite(samples=SAMPLES)
def set_at(x: Operand, index: Index, value: Operand) -> Node:
    """A copy of x with `x[index] = value`; the last value stays where positions repeat.

    `index` is anything that indexes x. It may also be a node that holds a mask over the leading axes of x: the value
    then is one for all entries of the mask, because their number is not known before the graph runs.
    """
    return _updated(x, index, value, scatter, lambda old, new: new)


@composite(samples=SAMPLES)
def add_at(x: Operand, index: Index, value: Operand) -> Node:
    """A copy of x with values added at an index, one after the other where positions repeat: `np.add.at`.

    `index` is anything that `set_at` takes.
    """
    return _updated(x, index, value, scatter_add, lambda old, new: old + new)


def _updated(x: Operand, index: Index, value: Operand, write: Op, apply: Callable[[Node, Node], Node]) -> Node:
    node = lift(x)
    if _is_mask(index):
        return _masked(node, index, value, apply)
    basic, arrays, axes, at = split_index(node, index)
    target = getitem(node, index=basic) if basic else node
    if arrays:
        part = gather(target, *arrays, axes=axes, at=at).array_type
        target = write(target, fitted(value, part), *arrays, axes=axes, at=at)
    else:
        target = apply(target, fitted(value, target.array_type))
    return setitem(node, target, index=basic) if basic else target


def fitted(value: Operand, part: Type) -> Node:
    """Values converted and broadcast to the type of the selection that they replace or add to."""
    weak = isinstance(value, (bool, int, float)) and weak_dtype(value, [part.dtype]) == part.dtype
    node = constant(value, part.dtype) if weak else lift(value)
    if not np.can_cast(node.dtype, part.dtype, "same_kind"):
        raise DTypeError(f"expected values of dtype {part.dtype}, got {node.type}", nodes=[node],
                         remedy="convert the values, or the array that they go to, with .astype")  # fmt: skip
    if node.dtype != part.dtype:
        node = node.astype(part.dtype)
    return node if node.shape == part.shape else ops.broadcast_to(node, part.shape)


def _is_mask(index: Any) -> TypeGuard[Node]:
    return isinstance(index, Node) and index.dtype.kind == "b" and known_value(index) is None


def _masked(x: Node, mask: Node, value: Operand, apply: Callable[[Node, Node], Node]) -> Node:
    """The update where a mask over the leading axes holds."""
    try:
        if mask.ndim > x.ndim:
            raise ShapeError("its rank is higher")
        for covered, dim in zip(mask.shape, x.shape, strict=False):
            unify(covered, dim)
    except ShapeError as error:
        raise ShapeError(f"expected a mask over the leading axes of {x.type}, got {mask.type}: {error.problem}",
                         nodes=[mask], remedy="give the mask the sizes of those axes") from None  # fmt: skip
    row = x.array_type.with_shape(x.shape[mask.ndim :])
    spread = mask[(..., *[None] * row.rank)] if row.rank else mask
    return ops.where(spread, apply(x, _one_for_all(value, row)), x)


def _one_for_all(value: Operand, row: Type) -> Node:
    try:
        return fitted(value, row)
    except ShapeError:
        raise ShapeError(f"expected one value for all entries of a mask, of type {row}, got {lift(value).type}",
                         remedy="use gr.where(mask, values, x) for one value each") from None  # fmt: skip
