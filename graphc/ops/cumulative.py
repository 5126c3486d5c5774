"""Running totals along an axis, from either end, and the linear recurrence that running products differentiate to."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphc import ops
from graphc.errors import DTypeError, ShapeError
from graphc.ir import Node
from graphc.op import composite, lift, primitive
from graphc.operators import Operand
from graphc.ops.core import astype
from graphc.ops.reduction import total_dtype
from graphc.ops.shape import Stored, ravel
from graphc.samples import call, cases
from graphc.types import AnyDim, Type, normalize_axis, promote, unify

__all__ = ["cumprod", "cumsum", "diff", "linear_recurrence"]

MOST_TIMES = 10_000
"""Differences are taken no more often: each time makes nodes."""


def _along_axis(x: Operand, axis: int | None = None, *, dtype: Any = None, exclusive: bool = False,
                reverse: bool = False) -> Stored:  # fmt: skip
    node = lift(x) if dtype is None else astype(x, dtype)
    if axis is None:
        node, axis = ravel(node), 0
    return (node,), {"axis": normalize_axis(axis, node.ndim), "exclusive": bool(exclusive), "reverse": bool(reverse)}


def _running(x: Type, *, axis: int, exclusive: bool, reverse: bool) -> Type:
    return x.with_dtype(total_dtype(x.dtype))


def _accumulate(ufunc: np.ufunc, x: Any, axis: int, *, exclusive: bool, reverse: bool, out: Any) -> Any:
    if out is None:
        out = np.empty(np.shape(x), total_dtype(np.asarray(x).dtype))
    source, target = (_from_front(each, axis, reverse=reverse) for each in (x, out))
    if exclusive:
        target[:1] = ufunc.identity
        source, target = source[:-1], target[1:]
    ufunc.accumulate(source, axis=0, dtype=target.dtype, out=target)
    return out


def _from_front(x: Any, axis: int, *, reverse: bool) -> Any:
    """A view whose first axis runs in the direction of the recurrence."""
    return np.moveaxis(x, axis, 0)[:: -1 if reverse else 1]


_SAMPLES = (
    call("f64[4]"), call("f64[2,3]"), call("f64[2,3]", axis=0), call("f64[2,3]", axis=-1, reverse=True), call("f64[]"),
    call("f64[3,2]", axis=0, exclusive=True), call("f64[2,3]", axis=1, exclusive=True, reverse=True),
    call("f32[0,2]", axis=0), call("f64[0]", exclusive=True), call("f64[1]", exclusive=True), call("i8[3]"),
    call("u8[3]"), call("bool[4]"), call("f32[3]", dtype="f64"),
)  # fmt: skip
_ZEROS = np.array([[2.0, 0.0, -3.0, 0.0, 5.0], [0.0, 2.0, 3.0, 1.5, -1.0]])
_WITH_ZEROS = tuple(
    call(_ZEROS, axis=1, exclusive=exclusive, reverse=reverse)
    for exclusive in (False, True) for reverse in (False, True)
)  # fmt: skip


def _cumsum_vjp(g: Node, y: Node, x: Node, *, axis: int, exclusive: bool, reverse: bool) -> list[Node]:
    return [cumsum(g, axis, exclusive=exclusive, reverse=not reverse)]


@primitive(infer=_running, signature=_along_axis, vjp=_cumsum_vjp, samples=cases(*_SAMPLES))
def cumsum(x: Any, *, axis: int, exclusive: bool, reverse: bool, out: Any = None) -> Any:
    """The sums of all elements up to each one, along an axis, by default of all in a row.

    `exclusive` leaves the element itself out, `reverse` sums from the end.
    """
    return _accumulate(np.add, x, axis, exclusive=exclusive, reverse=reverse, out=out)


def _cumprod_vjp(g: Node, y: Node, x: Node, *, axis: int, exclusive: bool, reverse: bool) -> list[Node]:
    """d y[i] / d x[k] = (x[0] ⋯ x[k-1]) (x[k+1] ⋯ x[i]), so no division: right beside zeros too.

    The sum over i of g[i] (x[k+1] ⋯ x[i]) is s[k] = g[k] + x[k+1] s[k+1]. Without the element itself, each product
    ends one earlier: s[k] = g[k+1] + x[k+1] s[k+1].
    """
    s = linear_recurrence(
        _shifted(x, axis, reverse=not reverse), _shifted(g, axis, reverse=not reverse) if exclusive else g,
        axis, reverse=not reverse,
    )  # fmt: skip
    return [cumprod(x, axis, exclusive=True, reverse=reverse) * s]


@primitive(infer=_running, signature=_along_axis, vjp=_cumprod_vjp, samples=cases(*_SAMPLES, *_WITH_ZEROS))
def cumprod(x: Any, *, axis: int, exclusive: bool, reverse: bool, out: Any = None) -> Any:
    """The products of all elements up to each one, along an axis, by default of all in a row.

    `exclusive` leaves the element itself out, `reverse` multiplies from the end.
    """
    return _accumulate(np.multiply, x, axis, exclusive=exclusive, reverse=reverse, out=out)


def _pair_along_axis(decay: Operand, x: Operand, axis: int = -1, *, reverse: bool = False) -> Stored:
    node = lift(x)
    return (lift(decay), node), {"axis": normalize_axis(axis, node.ndim), "reverse": bool(reverse)}


def _recurrent(decay: Type, x: Type, *, axis: int, reverse: bool) -> Type:
    dtype = promote(decay.dtype, x.dtype)
    if dtype.kind != "f":
        raise DTypeError(f"expected floats, got {decay} and {x}", remedy="convert with .astype")
    if decay.rank != x.rank:
        raise ShapeError(f"expected a decay for each element, got {decay} and {x}", remedy="use gr.broadcast_to")
    try:
        return Type(dtype, tuple(unify(a, b) for a, b in zip(decay.shape, x.shape, strict=True)))
    except ShapeError as error:
        raise ShapeError(f"expected a decay for each element, got {decay} and {x}: {error.problem}",
                         remedy="use gr.broadcast_to") from None  # fmt: skip


def _recurrence_vjp(g: Node, y: Node, decay: Node, x: Node, *, axis: int, reverse: bool) -> list[Node]:
    """The adjoint runs back: s[i] = g[i] + decay[i+1] s[i+1], and y[i] depends on decay[i] through y[i-1]."""
    s = linear_recurrence(_shifted(decay, axis, reverse=not reverse), g, axis, reverse=not reverse)
    return [s * _shifted(y, axis, reverse=reverse), s]


@primitive(infer=_recurrent, signature=_pair_along_axis, vjp=_recurrence_vjp, effort=4,
           samples=cases(call("f64[4]", "f64[4]"), call("f64[3,2]", "f64[3,2]", axis=0), call("f64[0]", "f64[0]"),
                         call("f64[2,3]", "f64[2,3]", axis=1, reverse=True), call("f32[3]", "f64[3]"),
                         call("f32[3,1]", "f32[3,1]")))  # fmt: skip
def linear_recurrence(decay: Any, x: Any, *, axis: int, reverse: bool, out: Any = None) -> Any:
    """y[i] = x[i] + decay[i] * y[i-1] along an axis, starting from 0: from the end where `reverse`."""
    if out is None:
        out = np.empty(np.shape(x), np.result_type(decay, x))
    decays, terms, target = (_from_front(each, axis, reverse=reverse) for each in (decay, x, out))
    target[...] = terms
    for i in range(1, len(target)):
        target[i] += decays[i] * target[i - 1]
    return out


def _shifted(x: Node, axis: int, *, reverse: bool) -> Node:
    """Each element moved on by one place along an axis, towards the end or the start, and a 0 where none came from."""
    if x.shape[axis] == 0:
        return x
    along, widths = [slice(None)] * x.ndim, [(0, 0)] * x.ndim
    along[axis] = slice(1, None) if reverse else slice(None, -1)
    widths[axis] = (0, 1) if reverse else (1, 0)
    return ops.pad(x[tuple(along)], widths)


def _times(n: int, size: AnyDim) -> int:
    """How often differences are taken: nothing is left after as many as there are elements."""
    times = min(n, size) if isinstance(size, int) else n
    if times > MOST_TIMES:
        raise ShapeError(f"expected to take differences at most {MOST_TIMES} times, got n = {n}",
                         remedy="weigh the elements by binomial coefficients")  # fmt: skip
    return times


@composite(samples=cases(call("f64[4]"), call("f64[2,4]", n=2), call("f64[3,2]", axis=0), call("i64[4]"),
                         call("bool[4]", n=2), call("f64[3]", n=0)))  # fmt: skip
def diff(x: Operand, n: int = 1, axis: int = -1) -> Node:
    """Each element less the one before it along an axis, `n` times over; of truth values, whether the two differ."""
    if not isinstance(n, (int, np.integer)) or n < 0:
        raise ShapeError(f"expected to take differences n ≥ 0 times, got n = {n!r}",
                         remedy="n = 0 gives x itself")  # fmt: skip
    node = lift(x)
    before = [slice(None)] * node.ndim
    after = before.copy()
    at = normalize_axis(axis, node.ndim)
    before[at], after[at] = slice(None, -1), slice(1, None)
    less = ops.not_equal if node.dtype.kind == "b" else ops.subtract
    for _ in range(_times(n, node.shape[at])):
        node = less(node[tuple(after)], node[tuple(before)])
    return node
