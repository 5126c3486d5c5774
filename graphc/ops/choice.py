"""Choices by value, elementwise: where, the larger, the smaller, and values held between bounds."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphc import ops
from graphc.errors import DTypeError
from graphc.ir import Node
from graphc.op import broadcast, broadcast_numbers, lift, primitive
from graphc.operators import Operand
from graphc.ops.core import astype, constant
from graphc.samples import call, cases, numbers
from graphc.types import Type, broadcast_shapes, promote

__all__ = ["clip", "fmax", "fmin", "maximum", "minimum", "relu", "where"]


def _where_type(condition: Type, a: Type, b: Type) -> Type:
    if condition.dtype.kind != "b":
        raise DTypeError(f"expected truth values as the condition, got {condition}", remedy="use gr.not_equal(x, 0)")
    return Type(promote(a.dtype, b.dtype), broadcast_shapes(condition.shape, a.shape, b.shape))


def _where_operands(condition: Operand, a: Operand, b: Operand) -> tuple[tuple[Node, ...], dict[str, Any]]:
    """The branches are lifted without the condition, which has no say in their dtype."""
    chosen = lift(condition)
    return (chosen if chosen.dtype.kind == "b" else astype(chosen, bool), *maximum.lift((a, b))), {}


def _where_vjp(g, y, condition, a, b):
    return None, where(condition, g, 0), where(ops.logical_not(condition), g, 0)


_BITS = {1: np.int8, 2: np.int16, 4: np.int32, 8: np.int64}


@primitive(infer=_where_type, elementwise=True, signature=_where_operands, vjp=_where_vjp, effort=6, temporaries=1,
           samples=cases(call("bool[2,3]", "f64[3]", "f64[2,1]"), call("bool[3]", "f64[3]", "f64[3]"),
                         call("bool[]", "f32[2]", "f64[2]"), call("i64[3](0,2)", "f64[]", 0),
                         call("bool[4]", "i8[4]", "f16[4]"), call("bool[2]", "bool[2]", "bool[2]")))  # fmt: skip
def where(condition, a, b, *, out=None):
    """a where the condition is true, else b; the derivative of the branch not taken is 0 even where it would be NaN."""
    if out is None:
        return np.where(condition, a, b)
    if out.size < 512:
        np.copyto(out, np.where(condition, a, b))
    elif not (np.may_share_memory(out, a) and np.may_share_memory(out, b)):
        _select_bits(condition, a, b, out)
    return out


def _select_bits(condition, a, b, out):
    """b ^ ((a ^ b) & mask), the mask all ones where the condition holds: 8 times as fast as a branch per element."""
    bits = _BITS[out.dtype.itemsize]
    truths = np.asarray(condition).view(np.int8)
    a, b = (np.asarray(x, out.dtype).view(bits) for x in (a, b))
    result = out.view(bits)
    if np.may_share_memory(out, b):
        a, b, mask = b, a, np.subtract(truths, 1, dtype=bits)
    else:
        mask = np.negative(truths, dtype=bits)
    np.bitwise_xor(a, b, out=result)
    np.bitwise_and(result, mask, out=result)
    np.bitwise_xor(result, b, out=result)


def _chosen(g, y, a, b):
    """The operand that is the result gets g; equal operands get half each."""
    share = where(ops.equal(a, b), g * 0.5, g)
    return where(ops.equal(a, y), share, 0), where(ops.equal(b, y), share, 0)


@primitive(infer=broadcast, vjp=_chosen, samples=numbers(-3, 3))
def maximum(a, b, *, out=None):
    """The larger; NaN where either is NaN. Equal operands share the derivative evenly."""
    return np.maximum(a, b, out=out)


@primitive(infer=broadcast, vjp=_chosen, samples=numbers(-3, 3))
def minimum(a, b, *, out=None):
    """The smaller; NaN where either is NaN. Equal operands share the derivative evenly."""
    return np.minimum(a, b, out=out)


@primitive(infer=broadcast, vjp=_chosen, samples=numbers(-3, 3))
def fmax(a, b, *, out=None):
    """The larger; the other one where one is NaN. Equal operands share the derivative evenly."""
    return np.fmax(a, b, out=out)


@primitive(infer=broadcast, vjp=_chosen, samples=numbers(-3, 3))
def fmin(a, b, *, out=None):
    """The smaller; the other one where one is NaN. Equal operands share the derivative evenly."""
    return np.fmin(a, b, out=out)


@primitive(infer=broadcast_numbers, vjp=lambda g, y, x: (where(ops.greater(y, 0), g, 0),), samples=numbers(-3, 3))
def relu(x, *, out=None):
    """The element where it is positive, else 0; the derivative at 0 is 0."""
    return np.maximum(x, 0, out=out)


_NO_BOUNDS = {"b": lambda dtype: (False, True), "f": lambda dtype: (-np.inf, np.inf)}


def _clip_operands(x: Operand, min: Operand | None = None, max: Operand | None = None) -> tuple[Any, dict[str, Any]]:
    """An absent bound is one that no number of the result's dtype passes."""
    x, *bounds = maximum.lift((lift(x), *(bound for bound in (min, max) if bound is not None)))
    dtype = promote(x.dtype, *(bound.dtype for bound in bounds))
    lowest, highest = _NO_BOUNDS.get(dtype.kind, _limits)(dtype)
    low = constant(lowest, dtype) if min is None else bounds[0]
    high = constant(highest, dtype) if max is None else bounds[-1]
    return (x, low, high), {}


def _limits(dtype: np.dtype[Any]) -> tuple[int, int]:
    return np.iinfo(dtype).min, np.iinfo(dtype).max


def _clip_vjp(g, y, x, low, high):
    below = ops.logical_and(ops.less(x, low), ops.less_equal(low, high))
    above = ops.greater(maximum(x, low), high)
    return where(ops.equal(x, y), g, 0), where(below, g, 0), where(above, g, 0)


@primitive(infer=broadcast, signature=_clip_operands, vjp=_clip_vjp, effort=2,
           samples=cases(call("f64[2,3](-3,3)", -1.0, 2.0), call("f64[3](-3,3)", "f64[](-1,0)", "f64[2,1](0,1)"),
                         call("f64[3]", "f64[3](-1,0)", "f64[3](0,1)"), call("f64[](-3,3)", 0, 1),
                         call("f32[3]", None, 0.5), call("f16[3]", -1, 1), call("i64[5]", 3)))  # fmt: skip
def clip(x, low, high, *, out=None):
    """The element held between two bounds, or one and None; the derivative is 1 inside, bounds included."""
    return np.clip(x, low, high, out=out)
