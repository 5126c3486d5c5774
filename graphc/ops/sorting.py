"""Ops that order elements. NaN counts as the largest, as in NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphc import ops
from graphc.errors import ShapeError
from graphc.ir import Node
from graphc.op import lift, primitive
from graphc.operators import Operand
from graphc.ops import ordering
from graphc.samples import call, cases
from graphc.types import TupleType, Type, normalize_axis

__all__ = ["argsort", "searchsorted", "sort", "top_k"]

INT64 = np.dtype("int64")


def _ordered(x: Operand, axis: int | None = -1) -> tuple[Sequence[Node], dict[str, Any]]:
    node = lift(x) if axis is not None else ops.ravel(x)
    return (node,), {"axis": normalize_axis(-1 if axis is None else axis, node.ndim)}


ORDERED = cases(call("f64[5]"), call("f64[3,4]", axis=0), call("f32[2,3]", axis=None), call("i64[6](0,3)"),
                call("bool[4]"), call("f64[0,2]", axis=0), call("f64[2,1]", axis=1))  # fmt: skip


@primitive(infer=lambda x, *, axis: x, signature=_ordered, samples=ORDERED, effort=10,
           temporaries=lambda y, x, *, axis: ordering.sort_bytes(x, axis),
           vjp=lambda g, y, x, *, axis: [ops.add_along_axis(ops.zeros_like(x), g, argsort(x, axis), axis)])
def sort(x: Any, *, axis: int, out: Any = None) -> Any:
    """The elements in rising order along an axis, by default the last; axis None sorts all of them in a row."""
    out = np.empty(x.shape, x.dtype) if out is None else out
    ordering.sort(x, out, axis)
    return out


@primitive(infer=lambda x, *, axis: x.with_dtype(INT64), signature=_ordered, samples=ORDERED, effort=20,
           temporaries=lambda y, x, *, axis: ordering.positions_bytes(x, axis),
           vjp=lambda g, y, x, *, axis: (None,))  # fmt: skip
def argsort(x: Any, *, axis: int) -> Any:
    """The positions of the elements in rising order along an axis, int64; equal elements keep their order."""
    return ordering.positions(x, axis)


def _largest(x: Operand, k: int, axis: int = -1) -> tuple[Sequence[Node], dict[str, Any]]:
    node = lift(x)
    if not isinstance(k, (int, np.integer)) or isinstance(k, bool) or k < 0:
        raise ShapeError(f"expected k to be an int ≥ 0, got {k!r}")
    return (node,), {"k": int(k), "axis": normalize_axis(axis, node.ndim)}


def _values_and_positions(x: Type, *, k: int, axis: int) -> TupleType:
    size = x.shape[axis]
    if isinstance(size, int) and k > size:
        raise ShapeError(f"axis {axis} of {x} has {size} elements, got k = {k}", remedy="use a smaller k")
    kept = x.with_shape((*x.shape[:axis], k, *x.shape[axis + 1 :]))
    return TupleType([kept, kept.with_dtype(INT64)])


def _top_k_vjp(g: Sequence[Node], y: Node, x: Node, *, k: int, axis: int) -> list[Node]:
    _, positions = y
    return [ops.add_along_axis(ops.zeros_like(x), g[0], positions, axis)]


def _beside_top_k(y: TupleType, x: Type, *, k: int, axis: int) -> float:
    """All positions, what finding them takes, and x backwards, a copy."""
    return x.with_dtype(INT64).nbytes + ordering.positions_bytes(x, axis) + x.nbytes


@primitive(infer=_values_and_positions, signature=_largest, vjp=_top_k_vjp, effort=20, temporaries=_beside_top_k,
           samples=cases(call("f64[5]", 2), call("f64[3,4]", 3, axis=0), call("f32[2,3]", k=3), call("i64[6](0,3)", 4),
                         call("f32[9]", 4), call("f64[3]", 0)))  # fmt: skip
def top_k(x: Any, *, k: int, axis: int) -> Any:
    """The k largest elements along an axis, largest first, and their positions; equal ones keep their order."""
    size = x.shape[axis]
    backwards = ordering.positions(np.flip(x, axis), axis)
    kept = [slice(None)] * x.ndim
    kept[axis] = slice(None, -k - 1 if k < size else None, -1) if k else slice(0)
    backwards = backwards[tuple(kept)]
    values, positions = np.empty(backwards.shape, x.dtype), np.empty(backwards.shape, INT64)
    for part in ordering.parts(values.shape):
        positions[part] = size - 1 - backwards[part]
        rows = tuple(slice(None) if at == axis else some for at, some in enumerate(part))
        values[part] = np.take_along_axis(x[rows], positions[part], axis)
    return values, positions


def _places(sorted_array: Type, values: Type, *, side: str) -> Type:
    if sorted_array.rank != 1:
        raise ShapeError(f"expected a vector to search in, got {sorted_array}", remedy="search one row at a time")
    return values.with_dtype(INT64)


def _side(sorted_array: Operand, values: Operand, side: str = "left") -> tuple[Sequence[Operand], dict[str, Any]]:
    if side not in ("left", "right"):
        raise ShapeError(f'expected side to be "left" or "right", got {side!r}')
    return (sorted_array, values), {"side": side}


@primitive(infer=_places, signature=_side, vjp=lambda g, y, sorted_array, values, *, side: (None, None), effort=10,
           samples=cases(call(np.array([1.0, 2.0, 2.0, 5.0]), "f64[3,2](0,6)"), call([1, 2, 2], 2, side="right"),
                         call("f64[0]", "f64[2]")))  # fmt: skip
def searchsorted(sorted_array: Any, values: Any, *, side: Any) -> Any:
    """Where values go in a sorted vector to keep its order, int64: before equal elements; side "right", after."""
    if np.size(values) <= ordering.PART_SIZE:
        return np.searchsorted(sorted_array, values, side)
    places = np.empty(values.shape, INT64)
    for part in ordering.parts(values.shape):
        places[part] = np.searchsorted(sorted_array, values[part], side)
    return places
