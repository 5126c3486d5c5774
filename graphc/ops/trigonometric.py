"""Trigonometric and hyperbolic functions and their inverses, elementwise. Angles are in radians."""

from __future__ import annotations

import math

import numpy as np

from graphc import ops
from graphc.ir import Node
from graphc.op import broadcast_floats, composite, lift, primitive
from graphc.operators import Operand
from graphc.ops.core import cast
from graphc.samples import reals

__all__ = [
    "acos", "acosh", "arccos", "arccosh", "arcsin", "arcsinh", "arctan", "arctan2", "arctanh", "asin", "asinh", "atan",
    "atan2", "atanh", "cos", "cosh", "deg2rad", "degrees", "rad2deg", "radians", "sin", "sinc", "sinh", "tan", "tanh",
]  # fmt: skip


@primitive(infer=broadcast_floats, vjp=lambda g, y, x: (g * cos(x),), samples=reals(-3, 3), effort=10)
def sin(x, *, out=None):
    """Sine."""
    return np.sin(x, out=out)


@primitive(infer=broadcast_floats, vjp=lambda g, y, x: (-(g * sin(x)),), samples=reals(-3, 3), effort=10)
def cos(x, *, out=None):
    """Cosine."""
    return np.cos(x, out=out)


@primitive(infer=broadcast_floats, vjp=lambda g, y, x: (g * (y * y + 1),), samples=reals(-1.4, 1.4), effort=15)
def tan(x, *, out=None):
    """Tangent."""
    return np.tan(x, out=out)


# (1 - x)(1 + x), not 1 - x²: near ±1 the square rounds away what is left.


@primitive(infer=broadcast_floats, vjp=lambda g, y, x: (g / ops.sqrt((1 - x) * (1 + x)),),
           samples=reals(-0.9, 0.9), effort=12)  # fmt: skip
def arcsin(x, *, out=None):
    """The angle from -π/2 to π/2 with that sine; the derivative at ±1 is inf."""
    return np.arcsin(x, out=out)


@primitive(infer=broadcast_floats, vjp=lambda g, y, x: (-(g / ops.sqrt((1 - x) * (1 + x))),),
           samples=reals(-0.9, 0.9), effort=12)  # fmt: skip
def arccos(x, *, out=None):
    """The angle from 0 to π with that cosine; the derivative at ±1 is -inf."""
    return np.arccos(x, out=out)


@primitive(infer=broadcast_floats, vjp=lambda g, y, x: (g / (x * x + 1),), samples=reals(-3, 3), effort=12)
def arctan(x, *, out=None):
    """The angle from -π/2 to π/2 with that tangent."""
    return np.arctan(x, out=out)


def _arctan2_vjp(g, y, a, b):
    """g b/r² and -g a/r²; what is divided twice neither overflows nor underflows before the result does."""
    a, b = cast(a, y.dtype), cast(b, y.dtype)
    r = ops.hypot(a, b)
    return g * (b / r / r), -(g * (a / r / r))


@primitive(infer=broadcast_floats, vjp=_arctan2_vjp, samples=reals(0.3, 3), effort=15)
def arctan2(a, b, *, out=None):
    """The angle from -π to π of the point with height a and width b; it has no derivative at the origin (NaN)."""
    return np.arctan2(a, b, out=out)


@primitive(infer=broadcast_floats, vjp=lambda g, y, x: (g * cosh(x),), samples=reals(-3, 3), effort=10)
def sinh(x, *, out=None):
    """Hyperbolic sine."""
    return np.sinh(x, out=out)


@primitive(infer=broadcast_floats, vjp=lambda g, y, x: (g * sinh(x),), samples=reals(-3, 3), effort=10)
def cosh(x, *, out=None):
    """Hyperbolic cosine."""
    return np.cosh(x, out=out)


@primitive(infer=broadcast_floats, vjp=lambda g, y, x: (g * (1 - y * y),), samples=reals(-3, 3), effort=8)
def tanh(x, *, out=None):
    """Hyperbolic tangent."""
    return np.tanh(x, out=out)


@primitive(infer=broadcast_floats, vjp=lambda g, y, x: (g / ops.hypot(x, 1),), samples=reals(-3, 3), effort=15)
def arcsinh(x, *, out=None):
    """The number with that hyperbolic sine."""
    return np.arcsinh(x, out=out)


@primitive(infer=broadcast_floats, vjp=lambda g, y, x: (g / (ops.sqrt(x - 1) * ops.sqrt(x + 1)),),
           samples=reals(1.1, 4), effort=15)  # fmt: skip
def arccosh(x, *, out=None):
    """The number ≥ 0 with that hyperbolic cosine; the derivative at 1 is inf."""
    return np.arccosh(x, out=out)


@primitive(infer=broadcast_floats, vjp=lambda g, y, x: (g / ((1 - x) * (1 + x)),), samples=reals(-0.9, 0.9), effort=15)
def arctanh(x, *, out=None):
    """The number with that hyperbolic tangent; the derivative at ±1 is inf."""
    return np.arctanh(x, out=out)


@primitive(infer=broadcast_floats, vjp=lambda g, y, x: (g * (math.pi / 180),), samples=reals(-180, 180))
def deg2rad(x, *, out=None):
    """An angle in radians, given in degrees."""
    return np.deg2rad(x, out=out)


@primitive(infer=broadcast_floats, vjp=lambda g, y, x: (g * (180 / math.pi),), samples=reals(-3, 3))
def rad2deg(x, *, out=None):
    """An angle in degrees, given in radians."""
    return np.rad2deg(x, out=out)


@composite(samples=reals(-2, 2))
def sinc(x: Operand) -> Node:
    """sin(πx) / (πx), and 1 at 0. It is the spherical Bessel function j₀, whose derivatives need no case for 0."""
    return ops.spherical_jn(lift(x) * math.pi, order=0)


acos, asin, atan, atan2 = arccos, arcsin, arctan, arctan2
acosh, asinh, atanh = arccosh, arcsinh, arctanh
radians, degrees = deg2rad, rad2deg
