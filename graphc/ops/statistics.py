"""Means, spreads, norms and counts: formulas over sums."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from graphc import ops
from graphc.errors import DTypeError, ShapeError
from graphc.ir import Node
from graphc.op import composite, lift
from graphc.operators import Operand
from graphc.ops.core import astype, cast, size_node
from graphc.ops.reduction import max, min, sum
from graphc.ops.shape import Axes
from graphc.samples import call, cases
from graphc.types import normalize_axes

__all__ = ["average", "count_nonzero", "mean", "norm", "ptp", "std", "var"]

_SAMPLES = (call("f64[2,3]"), call("f64[2,3]", axis=0), call("f32[2,3]", axis=-1, keepdims=True), call("f16[4]"),
            call("f64[2,3,2]", axis=(0, 2)), call("f64[]"), call("i64[2,3]", axis=1))  # fmt: skip


def _wide(x: Operand, dtype: Any = None) -> tuple[Node, np.dtype[Any]]:
    """An operand in the dtype that sums are taken in, as NumPy's mean takes them, and the dtype of the result."""
    node = lift(x)
    if dtype is not None:
        node = astype(node, dtype)
    result = node.dtype if node.dtype.kind == "f" else np.dtype("float64")
    inner = np.dtype("float32") if result.itemsize == 2 else result
    return cast(node, inner), result


@composite(samples=cases(*_SAMPLES, call("bool[4]"), call("i64[3]", dtype="f32")))
def mean(x: Operand, axis: Axes | None = None, *, dtype: Any = None, keepdims: bool = False) -> Node:
    """The arithmetic mean over some axes, by default all; of integers in float64."""
    wide, result = _wide(x, dtype)
    count = size_node(wide, normalize_axes(axis, wide.ndim), wide.dtype)
    return cast(sum(wide, axis, keepdims=keepdims) / count, result)


@composite(samples=cases(*_SAMPLES, call("f32[4]", ddof=1), call("f64[3,2]", axis=0, ddof=1.5)))
def var(x: Operand, axis: Axes | None = None, *, ddof: float = 0, keepdims: bool = False) -> Node:
    """The mean square distance from the mean over some axes, by default all; `ddof` is taken off the count."""
    wide, result = _wide(x)
    return cast(_spread(wide, axis, ddof, keepdims=keepdims), result)


@composite(samples=cases(*_SAMPLES, call("f32[4]", ddof=1), call("f64[3,2]", axis=0, ddof=1.5)))
def std(x: Operand, axis: Axes | None = None, *, ddof: float = 0, keepdims: bool = False) -> Node:
    """The standard deviation over some axes, by default all; its gradient is 0 where all elements are the same."""
    wide, result = _wide(x)
    return cast(_root(_spread(wide, axis, ddof, keepdims=keepdims)), result)


def _spread(x: Node, axis: Axes | None, ddof: float, *, keepdims: bool) -> Node:
    if not isinstance(ddof, (int, float, np.integer, np.floating)):
        raise DTypeError(f"expected ddof to be a number, got {ddof!r}", nodes=[x],
                         remedy="use ddof=1 for a sample, or 0 for a whole population")  # fmt: skip
    distance = x - mean(x, axis, keepdims=True)
    count = size_node(x, normalize_axes(axis, x.ndim), x.dtype)
    return sum(distance * distance, axis, keepdims=keepdims) / (_less(count, ddof) if ddof else count)


def _less(count: Node | float, ddof: float) -> Node | float:
    return ops.maximum(count - ddof, 0) if isinstance(count, Node) else float(np.maximum(count - ddof, 0))


def _root(square: Node) -> Node:
    """The square root with derivative 0 at 0, for sums of squares: each square has derivative 0 there."""
    return ops.where(ops.not_equal(square, 0), ops.sqrt(square), 0)


@composite(samples=cases(
    *_SAMPLES, call("f64[3]", ord=2), call("f64[2,3]", ord=1, axis=1), call("f64[2,3]", ord=np.inf, axis=0),
    call("f64[2,3]", ord=-np.inf, axis=-1, keepdims=True), call("f64[2,3]", ord="fro"), call("f64[3]", ord=0),
    call("f64[4](1,2)", ord=3)))  # fmt: skip
def norm(x: Operand, ord: float | str | None = None, axis: Axes | None = None, *, keepdims: bool = False) -> Node:
    """The length of vectors along an axis, by default of all elements as one vector; its gradient at 0 is 0.

    `ord` is None or 'fro' for the root of the sum of squares over any axes, or p for sum(abs(x)**p)**(1/p) along one
    axis, with inf, -inf and 0 for the largest, the smallest and the count of those that are not 0.
    """
    wide, result = _wide(x)
    axes = normalize_axes(axis, wide.ndim)
    if ord not in (None, "fro") and len(axes) != 1:
        raise ShapeError(f"expected one axis for a norm of order {ord}, got {len(axes)} axes of {wide.type}",
                         remedy="name one axis, or leave ord out for the root of the sum of squares")  # fmt: skip
    if ord in (None, "fro", 2):
        return cast(_root(sum(wide * wide, axes, keepdims=keepdims)), result)
    return cast(_norm_of_order(ops.abs(wide), ord, axes, keepdims=keepdims), result)


def _norm_of_order(size: Node, ord: Any, axes: Axes, *, keepdims: bool) -> Node:
    plain: dict[Any, Callable[..., Node]] = {np.inf: max, -np.inf: min, 1: sum, 0: count_nonzero}
    if ord in plain:
        return cast(plain[ord](size, axes, keepdims=keepdims), size.dtype)
    if not isinstance(ord, (int, float)):
        raise ShapeError(f"expected a norm's order to be a number, 'fro' or None, got {ord!r}",
                         remedy="use 2 for the length of a vector")  # fmt: skip
    total = sum(size**ord, axes, keepdims=keepdims)
    return ops.where(ops.not_equal(total, 0), total ** (1 / ord), 0 if ord > 0 else np.inf)


@composite(samples=cases(call("f64[3,2]"), call("f64[3,2]", axis=0), call("i64[4]")))
def ptp(x: Operand, axis: Axes | None = None, *, keepdims: bool = False) -> Node:
    """The largest element less the smallest over some axes, by default all."""
    node = lift(x)
    return max(node, axis, keepdims=keepdims) - min(node, axis, keepdims=keepdims)


@composite(samples=cases(call("i64[2,3](0,2)"), call("f64[2,3]", axis=1, keepdims=True), call("bool[4]")))
def count_nonzero(x: Operand, axis: Axes | None = None, *, keepdims: bool = False) -> Node:
    """How many elements over some axes, by default all, differ from 0, as NaN does."""
    return sum(ops.not_equal(x, 0), axis, keepdims=keepdims)


@composite(samples=cases(call("f64[2,3]"), call("f64[2,2]", weights=np.array([[1.0, 2.0], [3.0, 0.5]])),
                         call("f64[2,3]", axis=0, weights=np.array([1.0, 3.0])),
                         call("i64[3]", weights=np.array([1, 2, 3]))))  # fmt: skip
def average(x: Operand, axis: Axes | None = None, weights: Operand | None = None, *, keepdims: bool = False) -> Node:
    """The mean with weights over some axes, by default all; weights of rank 1 lie along the one axis."""
    if weights is None:
        return mean(x, axis, keepdims=keepdims)
    wide, weight = _wide(x)[0], lift(weights)
    axes = normalize_axes(axis, wide.ndim)
    if weight.ndim == 1 and len(axes) == 1:
        weight = ops.reshape(weight, tuple(-1 if at in axes else 1 for at in range(wide.ndim)))
    weight = ops.broadcast_to(weight, wide.shape)
    return sum(wide * weight, axes, keepdims=keepdims) / sum(weight, axes, keepdims=keepdims)
