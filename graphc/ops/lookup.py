"""Lookups under NumPy's names: `take`, and the family that gives every row its own positions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphc import ops
from graphc.errors import DTypeError, ShapeError
from graphc.ir import Node
from graphc.op import composite, lift, primitive
from graphc.operators import Operand
from graphc.ops.gathering import Stored, as_positions, cells_of, scatter, strides_of
from graphc.ops.indexing import check_part, copied
from graphc.ops.update import fitted
from graphc.samples import call, cases
from graphc.types import Type, broadcast_dim, normalize_axis

__all__ = ["add_along_axis", "put_along_axis", "take", "take_along_axis"]


@composite(samples=cases(call("f64[4,3]", "i64[2,2](-4,4)", axis=0), call("f64[2,4]", "i64[](0,4)", axis=-1),
                         call("f64[2,3]", "i64[4](0,6)"), call("f32[3]", [2, 0, 2], axis=0)))  # fmt: skip
def take(x: Operand, indices: Operand, axis: int | None = None) -> Node:
    """The elements at positions along an axis; by default, of all elements in a row.

    Negative positions count from the end; positions outside raise IndexError.
    """
    node = lift(x) if axis is not None else ops.ravel(x)
    axis = normalize_axis(0 if axis is None else axis, node.ndim)
    positions = _integers(indices)
    return node[(*[slice(None)] * axis, positions)]


def _integers(indices: Operand) -> Node:
    """Positions as a node; an empty list, which NumPy takes for floats, holds no position of a wrong dtype."""
    node = lift(indices)
    if isinstance(indices, (list, tuple)) and node.size == 0:
        node = lift(np.zeros(np.shape(indices), np.int64))
    if node.dtype.kind not in "iu":
        raise DTypeError(f"expected positions to be integers, got {node.type}", nodes=[node],
                         remedy='convert them with .astype("int64")')  # fmt: skip
    return node


def _along(x: Type, indices: Type, *, axis: int) -> Type:
    if indices.dtype.kind not in "iu":
        raise DTypeError(f"expected integer positions, got {indices}", remedy='convert them with .astype("int64")')
    try:
        if x.rank != indices.rank:
            raise ShapeError(f"the ranks are {x.rank} and {indices.rank}")
        pairs = enumerate(zip(x.shape, indices.shape, strict=True))
        return x.with_shape(tuple(i if at == axis else broadcast_dim(d, i) for at, (d, i) in pairs))
    except ShapeError as error:
        raise ShapeError(f"{indices} does not broadcast with {x} outside axis {axis}: {error.problem}",
                         remedy="use gr.take for the same positions in every row") from None  # fmt: skip


def _added_along(x: Type, value: Type, indices: Type, *, axis: int) -> Type:
    if x.dtype.kind == "b":
        raise DTypeError(f"expected numbers to add to, got {x}", remedy="convert with .astype")
    check_part(value, _along(x, indices, axis=axis))
    return x


def _take_signature(x: Operand, indices: Operand, axis: int | None = -1) -> Stored:
    node = lift(x) if axis is not None else ops.ravel(x)
    return (node, _integers(indices)), {"axis": normalize_axis(-1 if axis is None else axis, node.ndim)}


@primitive(infer=_along, signature=_take_signature, effort=3, temporaries=2,
           vjp=lambda g, y, x, indices, *, axis: (add_along_axis(ops.zeros_like(x), g, indices, axis=axis), None),
           samples=cases(call("f64[3,4]", "i64[3,2](-4,4)", axis=1), call("f64[3,4]", "i64[5,4](0,3)", axis=0),
                         call("f64[2,1,3]", "i32[1,4,2](0,3)", axis=-1), call("f64[2,3]", "i64[4](0,6)", axis=None),
                         call("f32[3]", "u8[3](0,3)"), call("f64[2,0]", "i64[2,0]")))  # fmt: skip
def take_along_axis(x: Any, indices: Any, *, axis: int) -> Any:
    """Along an axis, each row's elements at the row's own positions, such as those that `argsort` gives.

    Raises IndexError for positions outside x.
    """
    return np.take_along_axis(np.asarray(x), as_positions(indices), axis)


def _add_signature(x: Operand, value: Operand, indices: Operand, axis: int = -1) -> Stored:
    node = lift(x)
    return (node, value, _integers(indices)), {"axis": normalize_axis(axis, node.ndim)}


@primitive(infer=_added_along, signature=_add_signature, effort=4, temporaries=4,
           vjp=lambda g, y, x, value, indices, *, axis: (g, take_along_axis(g, indices, axis=axis), None),
           samples=cases(call("f64[3,4]", "f64[3,2]", "i64[3,2](-4,4)", axis=1),
                         call("f64[2,3]", "f64[4,3]", "i64[4,1](0,2)", axis=0),
                         call("f64[1,3]", "f64[2,2]", "i32[2,2](0,3)"), call("f32[3]", "f32[3]", "u8[3](0,3)"),
                         call("i64[2,3]", "i64[2,1]", "i64[2,1](0,3)", axis=-1)))  # fmt: skip
def add_along_axis(x: Any, value: Any, indices: Any, *, axis: int, out: Any = None) -> Any:
    """A copy of x with values added, along an axis, at each row's own positions; the inverse of `take_along_axis`.

    Raises IndexError for positions outside x.
    """
    result = copied(x, out)
    grid = _open_grid(result.shape, indices, axis)
    cells = cells_of(grid, result.shape, strides_of(result.shape), range(result.ndim))
    np.add.at(result.reshape(-1), cells.reshape(-1), np.broadcast_to(value, cells.shape).reshape(-1))
    return result


def _open_grid(shape: Sequence[int], indices: Any, axis: int) -> list[Any]:
    """Positions along every axis that together name a cell per index: `indices` along `axis`, else all in order."""
    grid = list(np.ogrid[tuple(slice(dim) for dim in shape)]) if len(shape) > 1 else [np.arange(shape[0])]
    grid[axis] = indices
    return grid


@composite(samples=cases(call("f64[3,4]", "i64[3,1](0,4)", "f64[3,1]", 1),
                         call("f64[2,3]", "i64[4,3](0,2)", 1.5, axis=0)))  # fmt: skip
def put_along_axis(x: Operand, indices: Operand, values: Operand, axis: int = -1) -> Node:
    """A copy of x with values put, along an axis, at each row's own positions; the last one stays where they repeat.

    Values broadcast to the shape of the positions. NumPy's function of that name writes into x; this one does not.
    """
    node, positions = lift(x), _integers(indices)
    axis = normalize_axis(axis, node.ndim)
    part = _along(node.array_type, positions.array_type, axis=axis)
    grid = [positions if at == axis else ops.arange(dim)[(slice(None), *[None] * (node.ndim - at - 1))]
            for at, dim in enumerate(node.shape)]  # fmt: skip
    return scatter(node, fitted(values, part), *grid, axes=tuple(range(node.ndim)), at=0)
