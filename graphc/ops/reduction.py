"""Reductions that are ops: sums, products, extremes, truth, positions, and log-sum-exp."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphc import ops
from graphc.errors import DTypeError, ShapeError
from graphc.ir import Node
from graphc.op import Reduction, composite, float_of, lift, primitive
from graphc.operators import Operand
from graphc.ops.core import astype
from graphc.ops.shape import Axes, Stored, broadcast_to, reshape
from graphc.samples import call, cases
from graphc.types import Shape, Type, normalize_axes, normalize_axis

__all__ = ["all", "amax", "amin", "any", "argmax", "argmin", "logsumexp", "max", "min", "prod", "sum", "sum_to"]


# What reductions share: their signatures, their shapes, and the way back to the operand's shape.


def _over_axes(x: Operand, axis: Axes | None = None, *, keepdims: bool = False) -> Stored:
    node = lift(x)
    return (node,), {"axis": normalize_axes(axis, node.ndim), "keepdims": bool(keepdims)}


def _over_axes_as(x: Operand, axis: Axes | None = None, *, dtype: Any = None, keepdims: bool = False) -> Stored:
    return _over_axes(x if dtype is None else astype(x, dtype), axis, keepdims=keepdims)


def _over_axes_of_floats(x: Operand, axis: Axes | None = None, *, keepdims: bool = False) -> Stored:
    node = lift(x)
    dtype = float_of(node.dtype)
    return _over_axes(node if node.dtype == dtype else astype(node, dtype), axis, keepdims=keepdims)


def _over_one_axis(x: Operand, axis: int | None = None, *, keepdims: bool = False) -> Stored:
    node = lift(x)
    return (node,), {"axis": None if axis is None else normalize_axis(axis, node.ndim), "keepdims": bool(keepdims)}


def _kept(shape: Shape, axis: Sequence[int]) -> Shape:
    return tuple(1 if at in axis else dim for at, dim in enumerate(shape))


def _reduced(x: Type, axis: Sequence[int], *, keepdims: bool) -> Type:
    left = tuple(dim for at, dim in enumerate(x.shape) if at not in axis)
    return x.with_shape(_kept(x.shape, axis) if keepdims else left)


def total_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype that NumPy sums and multiplies in: 64 bits for integers and truth values."""
    return {"b": np.dtype("int64"), "i": np.dtype("int64"), "u": np.dtype("uint64")}.get(dtype.kind, dtype)


def _total(x: Type, *, axis: tuple[int, ...], keepdims: bool) -> Type:
    return _reduced(x, axis, keepdims=keepdims).with_dtype(total_dtype(x.dtype))


def _truth(x: Type, *, axis: tuple[int, ...], keepdims: bool) -> Type:
    return _reduced(x, axis, keepdims=keepdims).with_dtype("bool")


def _chosen(x: Type, *, axis: tuple[int, ...], keepdims: bool) -> Type:
    for at in axis:
        if x.shape[at] == 0:
            raise ShapeError(f"expected elements to choose from, but axis {at} of {x} is empty",
                             remedy="reduce over axes that have elements")  # fmt: skip
    return _reduced(x, axis, keepdims=keepdims)


def _position(x: Type, *, axis: int | None, keepdims: bool) -> Type:
    axes = tuple(range(x.rank)) if axis is None else (axis,)
    return _chosen(x, axis=axes, keepdims=keepdims).with_dtype("int64")


def _beside(value: Node, x: Node, axis: tuple[int, ...], *, keepdims: bool) -> Node:
    """A reduced value in a shape that broadcasts against the operand's."""
    if keepdims or axis == tuple(range(len(axis))):
        return value
    return reshape(value, _kept(x.shape, axis))


_SAMPLES = (
    call("f64[2,3]"), call("f64[2,3]", axis=0), call("f64[2,3]", axis=-1), call("f64[2,3]", axis=1, keepdims=True),
    call("f64[2,3,2]", axis=(2, 0)), call("f64[2,3,2]", axis=(0, 1), keepdims=True), call("f64[]"), call("f32[4]"),
    call("f16[3]"), call("f64[2]", axis=()),
)  # fmt: skip
_INTEGERS = (call("i64[2,3]", axis=0), call("i8[4]"), call("u8[4]"), call("bool[3,2]", axis=1))
_EMPTY = (call("f64[0,3]", axis=0), call("f64[0]"))
_ONE_AXIS = cases(call("f64[2,3]"), call("f64[2,3]", axis=0), call("f32[2,3]", axis=-1, keepdims=True), call("f64[]"),
                  call("i64[5]", keepdims=True), call("bool[4]"))  # fmt: skip


# The ops.


def _sum_vjp(g: Node, y: Node, x: Node, *, axis: tuple[int, ...], keepdims: bool) -> list[Node]:
    return [broadcast_to(_beside(g, x, axis, keepdims=keepdims), x.shape)]


@primitive(infer=_total, signature=_over_axes_as, vjp=_sum_vjp, reduction=Reduction(0, "add"),
           samples=cases(*_SAMPLES, *_INTEGERS, *_EMPTY, call("f32[3]", dtype="f64")))  # fmt: skip
def sum(x: Any, *, axis: tuple[int, ...], keepdims: bool, out: Any = None) -> Any:
    """The sum over some axes, by default all; integers and truth values in 64 bits."""
    return np.sum(x, axis=axis, keepdims=keepdims, out=out)


def _prod_vjp(g: Node, y: Node, x: Node, *, axis: tuple[int, ...], keepdims: bool) -> list[Node]:
    """Each element's cotangent is times the product of the others, never y / x: that is right beside zeros too."""
    cotangent = _beside(g, x, axis, keepdims=keepdims)
    for at in axis:
        others = ops.cumprod(x, at, exclusive=True) * ops.cumprod(x, at, exclusive=True, reverse=True)
        cotangent = cotangent * others
        x = prod(x, at, keepdims=True)
    return [cotangent]


@primitive(infer=_total, signature=_over_axes_as, vjp=_prod_vjp, reduction=Reduction(1, "multiply"),
           samples=cases(*_SAMPLES, *_INTEGERS, *_EMPTY, call(np.array([2.0, 0.0, -3.0])),
                         call(np.array([[2.0, 0.0, -3.0], [0.0, 0.0, 5.0]]), axis=1),
                         call(np.array([[2.0, 0.0], [0.0, -3.0]]), axis=(0, 1))))  # fmt: skip
def prod(x: Any, *, axis: tuple[int, ...], keepdims: bool, out: Any = None) -> Any:
    """The product over some axes, by default all; integers and truth values in 64 bits."""
    return np.prod(x, axis=axis, keepdims=keepdims, out=out)


def _extreme_vjp(g: Node, y: Node, x: Node, *, axis: tuple[int, ...], keepdims: bool) -> list[Node]:
    chosen = ops.equal(x, _beside(y, x, axis, keepdims=keepdims))
    share = g / sum(chosen.astype(x.dtype), axis, keepdims=keepdims)
    return [ops.where(chosen, _beside(share, x, axis, keepdims=keepdims), 0)]


_EXTREMES = cases(*_SAMPLES, *_INTEGERS, call("f64[3,0]", axis=0))


@primitive(infer=_chosen, signature=_over_axes, vjp=_extreme_vjp, reduction=Reduction("lowest", "maximum"),
           samples=_EXTREMES)  # fmt: skip
def max(x: Any, *, axis: tuple[int, ...], keepdims: bool, out: Any = None) -> Any:
    """The largest element over some axes, by default all; NaN where there is one. Ties share the gradient evenly."""
    return np.max(x, axis=axis, keepdims=keepdims, out=out)


@primitive(infer=_chosen, signature=_over_axes, vjp=_extreme_vjp, reduction=Reduction("highest", "minimum"),
           samples=_EXTREMES)  # fmt: skip
def min(x: Any, *, axis: tuple[int, ...], keepdims: bool, out: Any = None) -> Any:
    """The smallest element over some axes, by default all; NaN where there is one. Ties share the gradient evenly."""
    return np.min(x, axis=axis, keepdims=keepdims, out=out)


amax, amin = max, min


@primitive(infer=_position, signature=_over_one_axis, samples=_ONE_AXIS, temporaries=1,
           reduction=Reduction("lowest", "maximum", place=True))  # fmt: skip
def argmax(x: Any, *, axis: int | None, keepdims: bool, out: Any = None) -> Any:
    """Where the largest element stands along an axis, by default among all in a row: the first, or the first NaN."""
    return np.argmax(x, axis=axis, keepdims=keepdims, out=out)


@primitive(infer=_position, signature=_over_one_axis, samples=_ONE_AXIS, temporaries=1,
           reduction=Reduction("highest", "minimum", place=True))  # fmt: skip
def argmin(x: Any, *, axis: int | None, keepdims: bool, out: Any = None) -> Any:
    """Where the smallest element stands along an axis, by default among all in a row: the first, or the first NaN."""
    return np.argmin(x, axis=axis, keepdims=keepdims, out=out)


_TRUTHS = cases(call("bool[2,3]"), call("bool[2,3]", axis=1, keepdims=True), call("i64[3,2](0,2)", axis=0),
                call("f64[4]"), call("bool[]"), call("f64[0,2]", axis=0))  # fmt: skip


@primitive(infer=_truth, signature=_over_axes, samples=_TRUTHS, reduction=Reduction(0, "bitwise_or"))
def any(x: Any, *, axis: tuple[int, ...], keepdims: bool, out: Any = None) -> Any:
    """Whether some element over some axes, by default all, differs from 0, as NaN does."""
    return np.any(x, axis=axis, keepdims=keepdims, out=out)


@primitive(infer=_truth, signature=_over_axes, samples=_TRUTHS, reduction=Reduction(1, "bitwise_and"))
def all(x: Any, *, axis: tuple[int, ...], keepdims: bool, out: Any = None) -> Any:
    """Whether every element over some axes, by default all, differs from 0, as NaN does."""
    return np.all(x, axis=axis, keepdims=keepdims, out=out)


def _floats(x: Type, *, axis: tuple[int, ...], keepdims: bool) -> Type:
    if not x.is_float:
        raise DTypeError(f"expected floats, got {x}", remedy="convert with .astype")
    return _reduced(x, axis, keepdims=keepdims)


def _logsumexp_vjp(g: Node, y: Node, x: Node, *, axis: tuple[int, ...], keepdims: bool) -> list[Node]:
    """d y / d x is softmax(x) = exp(x - y), which is 0 where x is -inf, even where y is too."""
    g, y = (_beside(value, x, axis, keepdims=keepdims) for value in (g, y))
    return [ops.where(ops.not_equal(x, -np.inf), g * ops.exp(x - y), 0)]


@primitive(infer=_floats, signature=_over_axes_of_floats, vjp=_logsumexp_vjp, effort=12, temporaries=4,
           samples=cases(*_SAMPLES, call(np.array([-np.inf, 1.0, 2.0])), call("i64[3]")))  # fmt: skip
def logsumexp(x: Any, *, axis: tuple[int, ...], keepdims: bool) -> Any:
    """log(sum(exp(x))) over some axes, by default all, without overflow: the largest element comes off first."""
    top = np.max(x, axis=axis, keepdims=True, initial=-np.inf)
    top = np.where(np.isfinite(top), top, 0)
    shifted = np.asarray(np.subtract(x, top))
    total = np.sum(np.exp(shifted, out=shifted), axis=axis, keepdims=True)
    result = np.log(total) + top
    return result if keepdims else np.squeeze(result, axis)


@composite(samples=cases(call("f64[2,3,4]", shape=(3, 1)), call("f64[2,3]", shape=(2, 1)), call("f32[2,3]", shape=()),
                         call("f64[3]", shape=(3,)), call("f64[2,3]", shape=(3,))))  # fmt: skip
def sum_to(g: Node, shape: Shape) -> Node:
    """A value summed to a smaller shape that broadcasts to its own: what undoes broadcasting in a derivative."""
    lead = g.ndim - len(shape)
    repeated = [at for at, want in enumerate(shape, lead) if want == 1 and g.shape[at] != 1]
    if not lead:
        return sum(g, repeated, keepdims=True) if repeated else g
    total = sum(g, [*range(lead), *repeated])
    return reshape(total, shape) if repeated else total
