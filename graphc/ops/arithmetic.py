"""Arithmetic: sums, products, quotients, powers and roots, elementwise."""

from __future__ import annotations

import numpy as np

from graphc import ops
from graphc.ir import Node
from graphc.op import broadcast_floats, composite, float_of, lift, like, primitive
from graphc.operators import Operand
from graphc.ops.core import cast, constant, is_constant
from graphc.samples import integers, numbers, reals
from graphc.types import promote

__all__ = [
    "abs", "absolute", "add", "cbrt", "divide", "divmod", "fabs", "float_power", "floor_divide", "fmod", "gcd",
    "hypot", "lcm", "mod", "multiply", "negative", "positive", "pow", "power", "reciprocal", "remainder", "rsqrt",
    "sqrt", "square", "subtract", "true_divide",
]  # fmt: skip


@primitive(infer=like(np.add), vjp=lambda g, y, a, b: (g, g), samples=numbers(-3, 3), commutative=True)
def add(a, b, *, out=None):
    """The sum."""
    return np.add(a, b, out=out)


@primitive(infer=like(np.subtract), vjp=lambda g, y, a, b: (g, -g), samples=numbers(-3, 3))
def subtract(a, b, *, out=None):
    """The difference."""
    return np.subtract(a, b, out=out)


@primitive(infer=like(np.multiply), vjp=lambda g, y, a, b: (g * b, g * a), samples=numbers(-3, 3), commutative=True)
def multiply(a, b, *, out=None):
    """The product."""
    return np.multiply(a, b, out=out)


def _divide_vjp(g, y, a, b):
    slope = g / b
    return slope, -(slope * y)


@primitive(infer=like(np.divide), vjp=_divide_vjp, samples=numbers((-9, 9), (1, 5)), effort=3)
def divide(a, b, *, out=None):
    """The quotient, a float also where integers are divided."""
    return np.divide(a, b, out=out)


@primitive(infer=like(np.floor_divide), vjp=lambda g, y, a, b: (None, None), samples=numbers((-9, 9), (1, 5)), effort=4)
def floor_divide(a, b, *, out=None):
    """The largest integer not above the quotient."""
    return np.floor_divide(a, b, out=out)


@primitive(infer=like(np.remainder), vjp=lambda g, y, a, b: (g, -(g * floor_divide(a, b))),
           samples=numbers((-9, 9), (1, 5)), effort=6)  # fmt: skip
def remainder(a, b, *, out=None):
    """What floor_divide leaves, with the divisor's sign: Python's %."""
    return np.remainder(a, b, out=out)


@primitive(infer=like(np.fmod), vjp=lambda g, y, a, b: (g, -(g * ops.rint((a - y) / b))),
           samples=numbers((-9, 9), (1, 5)), effort=6)  # fmt: skip
def fmod(a, b, *, out=None):
    """What a quotient rounded towards zero leaves, with the dividend's sign: C's fmod."""
    return np.fmod(a, b, out=out)


@composite(samples=numbers((-9, 9), (1, 5)))
def divmod(a: Operand, b: Operand) -> tuple[Node, Node]:
    """floor_divide and remainder."""
    return floor_divide(a, b), remainder(a, b)


def _power_vjp(g, y, x, p):
    return _slope_in_base(g, y, x, p), _slope_in_exponent(g, y, x, p)


def _slope_in_base(g: Node, y: Node, x: Node, p: Node) -> Node | None:
    """p x^(p-1), and 0 where p is 0, also at x = 0."""
    value = p.attrs.get("value")
    if value is None:
        return ops.where(ops.not_equal(p, 0), g * (p * power(x, cast(p, y.dtype) - 1)), 0)
    if is_constant(p, 1):
        return g
    lowered = x if is_constant(p, 2) else power(x, constant(value - 1))
    slope = g * (lowered * p)
    return slope if np.all(value) else ops.where(ops.not_equal(p, 0), slope, 0)


def _slope_in_exponent(g: Node, y: Node, x: Node, p: Node) -> Node:
    """x^p log(x), and 0 where x is 0 and p is not negative."""
    return ops.where(ops.logical_or(ops.not_equal(x, 0), ops.less(p, 0)), g * (y * ops.log(cast(x, y.dtype))), 0)


@primitive(infer=like(np.power), vjp=_power_vjp, samples=numbers((0.2, 3), (0, 3)), effort=20)
def power(x, p, *, out=None):
    """x to the power p. Integers take no negative p: NumPy's ValueError comes when the graph runs."""
    return np.power(x, p, out=out)


@composite(samples=numbers((0.2, 3), (-2, 3)))
def float_power(x: Operand, p: Operand) -> Node:
    """x to the power p, computed in float64."""
    base, exponent = lift(x), lift(p)
    dtype = promote(base.dtype, exponent.dtype, np.dtype("float64"))
    return power(cast(base, dtype), cast(exponent, dtype))


@primitive(infer=like(np.negative), vjp=lambda g, y, x: (-g,), samples=numbers(-3, 3))
def negative(x, *, out=None):
    """The element with its sign changed."""
    return np.negative(x, out=out)


@primitive(infer=like(np.positive), vjp=lambda g, y, x: (g,), samples=numbers(-3, 3))
def positive(x, *, out=None):
    """The element itself."""
    return np.positive(x, out=out)


@primitive(infer=like(np.absolute), vjp=lambda g, y, x: (g * ops.sign(x),), samples=numbers(-3, 3))
def abs(x, *, out=None):
    """The element without its sign; the derivative at 0 is 0."""
    return np.absolute(x, out=out)


@composite(samples=numbers(-3, 3))
def fabs(x: Operand) -> Node:
    """The element without its sign, as a float."""
    node = lift(x)
    return abs(cast(node, float_of(node.dtype)))


@primitive(infer=like(np.reciprocal), vjp=lambda g, y, x: (-(g * (y * y)),), samples=numbers(1, 5), effort=3)
def reciprocal(x, *, out=None):
    """One over the element; of integers, rounded towards zero."""
    return np.reciprocal(x, out=out)


@primitive(infer=like(np.square), vjp=lambda g, y, x: (g * (x * 2),), samples=numbers(-3, 3))
def square(x, *, out=None):
    """The element times itself."""
    return np.square(x, out=out)


@primitive(infer=broadcast_floats, vjp=lambda g, y, x: (g / (y * 2),), samples=reals(0.1, 4), effort=4)
def sqrt(x, *, out=None):
    """The square root; the derivative at 0 is inf."""
    return np.sqrt(x, out=out)


@composite(samples=reals(0.1, 4))
def rsqrt(x: Operand) -> Node:
    """One over the square root."""
    return reciprocal(sqrt(x))


@primitive(infer=broadcast_floats, vjp=lambda g, y, x: (g / (y * y * 3),), samples=reals(0.1, 4), effort=15)
def cbrt(x, *, out=None):
    """The cube root, of negative elements too; the derivative at 0 is inf."""
    return np.cbrt(x, out=out)


def _hypot_vjp(g, y, a, b):
    away = ops.not_equal(y, 0)
    return ops.where(away, g * (a / y), 0), ops.where(away, g * (b / y), 0)


@primitive(infer=broadcast_floats, vjp=_hypot_vjp, samples=reals(-3, 3), commutative=True, effort=10)
def hypot(a, b, *, out=None):
    """The length of the vector (a, b), without overflow; the derivatives at the origin are 0."""
    return np.hypot(a, b, out=out)


@primitive(infer=like(np.gcd), samples=integers(0, 20), commutative=True, effort=30)
def gcd(a, b, *, out=None):
    """The greatest common divisor."""
    return np.gcd(a, b, out=out)


@primitive(infer=like(np.lcm), samples=integers(0, 9), commutative=True, effort=35)
def lcm(a, b, *, out=None):
    """The lowest common multiple."""
    return np.lcm(a, b, out=out)


absolute, mod, pow, true_divide = abs, remainder, power, divide
