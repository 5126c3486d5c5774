"""Exponentials, logarithms and the functions made of them, elementwise."""

from __future__ import annotations

import math

import numpy as np

from graphc import ops
from graphc.op import broadcast_floats, float_of, primitive
from graphc.samples import reals

__all__ = ["exp", "exp2", "expm1", "log", "log1p", "log2", "log10", "logaddexp", "logaddexp2", "sigmoid", "softplus"]

LN2, LN10 = math.log(2), math.log(10)


@primitive(infer=broadcast_floats, vjp=lambda g, y, x: (g * y,), samples=reals(-3, 3), effort=8)
def exp(x, *, out=None):
    """e to the power x."""
    return np.exp(x, out=out)


@primitive(infer=broadcast_floats, vjp=lambda g, y, x: (g * (y * LN2),), samples=reals(-3, 3), effort=8)
def exp2(x, *, out=None):
    """2 to the power x."""
    return np.exp2(x, out=out)


@primitive(infer=broadcast_floats, vjp=lambda g, y, x: (g * (y + 1),), samples=reals(-3, 3), effort=10)
def expm1(x, *, out=None):
    """e to the power x, less 1, exact for small x."""
    return np.expm1(x, out=out)


@primitive(infer=broadcast_floats, vjp=lambda g, y, x: (g / x,), samples=reals(0.1, 4), effort=8)
def log(x, *, out=None):
    """The natural logarithm."""
    return np.log(x, out=out)


@primitive(infer=broadcast_floats, vjp=lambda g, y, x: (g / (x * LN2),), samples=reals(0.1, 4), effort=8)
def log2(x, *, out=None):
    """The logarithm to base 2."""
    return np.log2(x, out=out)


@primitive(infer=broadcast_floats, vjp=lambda g, y, x: (g * (1 / LN10) / x,), samples=reals(0.1, 4), effort=8)
def log10(x, *, out=None):
    """The logarithm to base 10."""
    return np.log10(x, out=out)


@primitive(infer=broadcast_floats, vjp=lambda g, y, x: (g / (x + 1),), samples=reals(-0.9, 3), effort=10)
def log1p(x, *, out=None):
    """The natural logarithm of 1 + x, exact for small x."""
    return np.log1p(x, out=out)


def _exp_of_minus_abs(x):
    """exp(-|x|) in an array of its own."""
    small = np.array(x, float_of(x.dtype))
    for step in (np.abs, np.negative, np.exp):
        step(small, out=small)
    return small


@primitive(infer=broadcast_floats, vjp=lambda g, y, x: (g * (y * (1 - y)),), samples=reals(-3, 3), effort=10,
           temporaries=1.25)  # fmt: skip
def sigmoid(x, *, out=None):
    """1 / (1 + exp(-x)), the logistic function."""
    positive, small = np.greater_equal(x, 0), _exp_of_minus_abs(x)
    top = np.maximum(small, positive, out=out)  # 1 where x ≥ 0, since small ≤ 1
    return np.divide(top, np.add(small, 1, out=small), out=out)


@primitive(infer=broadcast_floats, vjp=lambda g, y, x: (g * sigmoid(x),), samples=reals(-3, 3), effort=20,
           temporaries=1)  # fmt: skip
def softplus(x, *, out=None):
    """log(1 + exp(x)), the integral of sigmoid, without overflow and many times faster than logaddexp(x, 0)."""
    small = _exp_of_minus_abs(x)
    top = np.maximum(x, small.dtype.type(0), out=out)
    return np.add(top, np.log1p(small, out=small), out=out)


def _shares(g, a, b, difference):
    """g σ(a - b) and g σ(b - a); an operand that is -inf gets 0, also when both are."""
    return (ops.where(ops.not_equal(a, -np.inf), g * sigmoid(difference), 0),
            ops.where(ops.not_equal(b, -np.inf), g * sigmoid(-difference), 0))  # fmt: skip


@primitive(infer=broadcast_floats, vjp=lambda g, y, a, b: _shares(g, a, b, a - b), samples=reals(-3, 3),
           commutative=True, effort=20)  # fmt: skip
def logaddexp(a, b, *, out=None):
    """log(exp(a) + exp(b)), without overflow."""
    return np.logaddexp(a, b, out=out)


@primitive(infer=broadcast_floats, vjp=lambda g, y, a, b: _shares(g, a, b, (a - b) * LN2), samples=reals(-3, 3),
           commutative=True, effort=20)  # fmt: skip
def logaddexp2(a, b, *, out=None):
    """log2(2**a + 2**b), without overflow."""
    return np.logaddexp2(a, b, out=out)
