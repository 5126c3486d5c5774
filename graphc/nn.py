"""Layers and activations: formulas over ops, differentiated like any other."""

from __future__ import annotations

import math

from graphc import ops, random
from graphc.errors import GraphError, ShapeError
from graphc.ir import Node
from graphc.op import composite, lift
from graphc.operators import Operand
from graphc.ops import logsumexp, relu, sigmoid, softplus, tanh
from graphc.ops.random import KEY
from graphc.ops.shape import Axes
from graphc.samples import call, cases, reals
from graphc.types import normalize_axes, show_shape, unify

__all__ = [
    "dropout", "elu", "gelu", "layer_norm", "leaky_relu", "linear", "log_sigmoid", "log_softmax", "logsumexp", "relu",
    "sigmoid", "silu", "softmax", "softplus", "tanh",
]  # fmt: skip


# Activations, elementwise.

_REALS = tuple(reals(-3, 3).for_arity(1))


@composite(samples=cases(*_REALS))
def leaky_relu(x: Operand, slope: float = 0.01) -> Node:
    """x where it is positive, else slope · x; the derivative at 0 is the slope. (Maas et al., 2013)"""
    node = lift(x)
    return ops.where(node > 0, node, node * slope)


@composite(samples=cases(*_REALS))
def elu(x: Operand, alpha: float = 1.0) -> Node:
    """x where it is positive, else alpha (exp(x) - 1). (Clevert et al., 2016)"""
    node = lift(x)
    return ops.where(node > 0, node, ops.expm1(node) * alpha)


@composite(samples=cases(*_REALS, call("f64[3]", approximate=True), call("f32[2,3]", approximate=True)))
def gelu(x: Operand, *, approximate: bool = False) -> Node:
    """x Φ(x) with the normal distribution function Φ, exact through erfc. (Hendrycks and Gimpel, 2016)

    `approximate=True` gives their ½ x (1 + tanh(√(2/π) (x + 0.044715 x³))), written as x σ(2 √(2/π) (…)).
    """
    node = lift(x)
    if not approximate:
        return node * 0.5 * ops.erfc(node * -math.sqrt(0.5))
    scale = 2 * math.sqrt(2 / math.pi)
    return node * sigmoid(node * (node * node * (0.044715 * scale) + scale))


@composite(samples=reals(-3, 3))
def silu(x: Operand) -> Node:
    """x σ(x), also called swish. (Elfwing et al., 2018)"""
    node = lift(x)
    return node * sigmoid(node)


@composite(samples=reals(-3, 3))
def log_sigmoid(x: Operand) -> Node:
    """log(σ(x)) = -softplus(-x), finite for every finite x."""
    return -softplus(-lift(x))


@composite(samples=cases(
    call("f64[2,3]", 0.5, KEY), call("f32[4]", 0.25, KEY), call("f64[3]", 0.0, KEY),
    call("f64[3]", 0.5, KEY, training=False)))  # fmt: skip
def dropout(x: Operand, rate: float, key: Operand, *, training: bool = True) -> Node:
    """x with each element 0 with probability `rate`, the others times 1 / (1 - rate). (Srivastava et al., 2014)

    `key` chooses the elements (`gr.random.key`, or a fed one, for others at each run). x itself where not training.
    """
    if not 0 <= rate < 1:
        raise GraphError(f"dropout expected a rate in [0, 1), got {rate!r}", remedy="rate is the share that is dropped")
    node = lift(x)
    if not training or not rate:
        return node
    return ops.where(random.bernoulli(key, 1 - rate, node.shape), node * (1 / (1 - rate)), 0)


# Along an axis.


@composite(samples=cases(
    call("f64[2,3]"), call("f64[2,3]", axis=0), call("f64[2,3,2]", axis=(0, 2)), call("f32[4]"), call("f16[3]"),
    call("i64[2,3]"), call("f64[0,3]")))  # fmt: skip
def softmax(x: Operand, axis: Axes = -1) -> Node:
    """exp(x) / Σ exp(x) along an axis, without overflow; 0 where x is -inf, if some element there is not."""
    e = ops.exp(shifted(x, axis))
    return e / ops.sum(e, axis, keepdims=True)


@composite(samples=cases(
    call("f64[2,3]"), call("f64[2,3]", axis=0), call("f64[2,3,2]", axis=(0, 2)), call("f32[4]"), call("f16[3]"),
    call("i64[2,3]"), call("f64[0,3]")))  # fmt: skip
def log_softmax(x: Operand, axis: Axes = -1) -> Node:
    """x - log(Σ exp(x)) along an axis, without overflow; finite wherever x is."""
    z = shifted(x, axis)
    return z - ops.log(ops.sum(ops.exp(z), axis, keepdims=True))


def shifted(x: Operand, axis: Axes) -> Node:
    """x less its largest element along an axis: ≤ 0, so that exp cannot overflow.

    What depends on differences along the axis only has no derivative with respect to a shift: hence stop_gradient.
    """
    node = lift(x)
    return node - ops.stop_gradient(ops.max(node, axis, keepdims=True))


@composite(samples=cases(
    call("f64[2,3]"), call("f64[2,3]", "f64[3]", "f64[3]"), call("f64[2,3,4]", "f64[3,4]", "f64[3,4]", axis=(1, 2)),
    call("f64[2,3,4]", "f64[3]", axis=1), call("f64[2,3,4]", "f64[2,4]", None, axis=(0, -1)),
    call("f32[2,4]", "f32[4]", "f32[4]"), call("f16[2,4]"), call("f64[2,3]", None, "f64[3]", eps=0.1)))  # fmt: skip
def layer_norm(x: Operand, weight: Operand | None = None, bias: Operand | None = None, axis: Axes = -1,
               eps: float = 1e-5) -> Node:  # fmt: skip
    """(x - mean) / √(variance + eps) along some axes, then times weight plus bias. (Ba et al., 2016)

    The mean and the variance (biased) are those over `axis`. weight and bias have x's dims on these axes; ShapeError
    otherwise.
    """
    node = lift(x)
    axes = normalize_axes(axis, node.ndim)
    centered = node - ops.mean(node, axes, keepdims=True)
    variance = ops.mean(ops.square(centered), axes, keepdims=True)
    y = centered / ops.sqrt(variance + eps)
    if weight is not None:
        y = y * _along("weight", lift(weight), node, axes)
    return y if bias is None else y + _along("bias", lift(bias), node, axes)


def _along(role: str, parameter: Node, x: Node, axes: tuple[int, ...]) -> Node:
    """A parameter whose axes are those of x named, in a shape that broadcasts against x."""
    expected = tuple(x.shape[axis] for axis in axes)
    try:
        for one, other in zip(parameter.shape, expected, strict=True):
            unify(one, other)
    except (ShapeError, ValueError):
        raise ShapeError(f"layer_norm expected a {role} of shape {show_shape(expected)}, got {parameter.type}",
                         nodes=[parameter, x], remedy="give it x's dims on the normalized axes") from None  # fmt: skip
    last = range(axes[0], x.ndim) if axes else range(0)
    between = tuple(at - axes[0] for at in last if at not in axes)
    return ops.expand_dims(parameter, between) if between else parameter


@composite(samples=cases(
    call("f64[2,3]", "f64[3,4]", "f64[4]"), call("f64[2,3]", "f64[3,4]"),
    call("f32[3]", "f32[3,2]", "f32[2]")))  # fmt: skip
def linear(x: Operand, weight: Operand, bias: Operand | None = None) -> Node:
    """x @ weight + bias, a dense layer: (..., inputs) and (inputs, outputs) give (..., outputs)."""
    y = ops.matmul(x, weight)
    return y if bias is None else y + bias
