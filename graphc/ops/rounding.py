"""Rounding, signs and the parts of a number, elementwise.

The derivative of a step is 0 wherever it has one, so no path of a gradient runs through floor and its kin.
"""

from __future__ import annotations

import numpy as np

from graphc import ops
from graphc.errors import DTypeError
from graphc.ir import Node
from graphc.op import broadcast_floats, composite, lift, like, primitive
from graphc.operators import Operand
from graphc.ops.core import constant
from graphc.samples import call, cases, numbers, reals
from graphc.types import Type

__all__ = [
    "around", "ceil", "copysign", "fix", "floor", "frexp", "heaviside", "ldexp", "modf", "nan_to_num", "nextafter",
    "rint", "round", "sign", "spacing", "trunc",
]  # fmt: skip


@primitive(infer=like(np.floor), flat=True, samples=numbers(-9, 9))
def floor(x, *, out=None):
    """The largest integer not above the element."""
    return np.floor(x, out=out)


@primitive(infer=like(np.ceil), flat=True, samples=numbers(-9, 9))
def ceil(x, *, out=None):
    """The smallest integer not below the element."""
    return np.ceil(x, out=out)


@primitive(infer=like(np.trunc), flat=True, samples=numbers(-9, 9))
def trunc(x, *, out=None):
    """The integer next to the element towards zero."""
    return np.trunc(x, out=out)


@primitive(infer=broadcast_floats, flat=True, samples=numbers(-9, 9))
def rint(x, *, out=None):
    """The nearest integer, ties to the even one, as a float."""
    return np.rint(x, out=out)


def _with_decimals(x: Operand, decimals: int = 0) -> tuple[tuple[Node], dict[str, int]]:
    if not isinstance(decimals, (int, np.integer)):
        raise DTypeError(f"expected a number of decimals to be an int, got {decimals!r}",
                         remedy="give a whole number; negative ones round tens")  # fmt: skip
    return (lift(x),), {"decimals": int(decimals)}


def _round_type(x: Type, *, decimals: int) -> Type:
    if x.dtype.kind != "b":
        return x
    raise DTypeError(f"expected numbers to round, got {x}", remedy='convert it with .astype("int8")')


@primitive(infer=_round_type, elementwise=True, flat=True, effort=3,
           signature=_with_decimals,
           samples=cases(call("f64[2,3](-9,9)"), call("f64[](-8,8)", decimals=1), call("f32[3](-9,9)", decimals=2),
                         call("f16[3](-9,9)"), call("i64[3](0,99)"), call("i8[3](0,99)", decimals=-1)))  # fmt: skip
def round(x, *, decimals):
    """The nearest number with that many decimals, ties to the even one; negative counts round tens."""
    rounded = np.round(x, decimals)
    return np.copy(x) if rounded is x else rounded  # NumPy before 2.4 gives integers back as they came


@primitive(infer=like(np.sign), flat=True, samples=numbers(-3, 3))
def sign(x, *, out=None):
    """-1, 0 or 1."""
    return np.sign(x, out=out)


@primitive(infer=broadcast_floats, vjp=lambda g, y, a, b: (g * sign(a) * copysign(1, b), None), samples=reals(-3, 3))
def copysign(a, b, *, out=None):
    """The size of a with the sign of b; the derivative at a = 0 is 0."""
    return np.copysign(a, b, out=out)


@primitive(infer=broadcast_floats, vjp=lambda g, y, x, h: (None, ops.where(ops.equal(x, 0), g, 0)),
           samples=reals((-3, 3), (0, 1)))  # fmt: skip
def heaviside(x, h, *, out=None):
    """0 where x is negative, h where it is 0, 1 where it is positive."""
    return np.heaviside(x, h, out=out)


@primitive(infer=broadcast_floats, vjp=lambda g, y, a, b: (g, None), samples=reals(-3, 3), effort=2)
def nextafter(a, b, *, out=None):
    """The next float after a towards b."""
    return np.nextafter(a, b, out=out)


@primitive(infer=broadcast_floats, flat=True, samples=reals(-3, 3), effort=2)
def spacing(x, *, out=None):
    """The distance to the next float away from zero."""
    return np.spacing(x, out=out)


@primitive(infer=like(np.ldexp), vjp=lambda g, y, x, e: (ldexp(g, e), None), effort=4,
           samples=cases(call("f64[2,3](-3,3)", "i64[3](0,5)"), call("f64[]", "i64[]"), call("f32[3]", "i32[3](0,5)"),
                         call("f16[3]", "i8[3](0,5)")))  # fmt: skip
def ldexp(x, e, *, out=None):
    """x times 2 to the power e, an integer."""
    return np.ldexp(x, e, out=out)


def _frexp_vjp(g, y, x):
    _, exponent = y
    return (ldexp(g[0], -exponent),)


@primitive(infer=like(np.frexp), vjp=_frexp_vjp, samples=reals(0.3, 9), effort=4)
def frexp(x):
    """The mantissa, in [0.5, 1) but for its sign, and the exponent of 2 (int32): the parts that ldexp puts together."""
    return np.frexp(x)


@primitive(infer=like(np.modf), vjp=lambda g, y, x: (g[0],), samples=reals(-9, 9), effort=3)
def modf(x):
    """The fractional and the integral part, both with the element's sign."""
    return np.modf(x)


@composite(samples=numbers(-3, 3))
def nan_to_num(x: Operand, *, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None) -> Node:
    """NaN replaced by a number and infinities by numbers, if not given the largest and smallest of the dtype."""
    x = lift(x)
    if x.dtype.kind != "f":
        return x
    limits = np.finfo(x.dtype)
    high = constant(limits.max if posinf is None else posinf, x.dtype)
    low = constant(limits.min if neginf is None else neginf, x.dtype)
    instead = ops.where(ops.isnan(x), constant(nan, x.dtype), ops.where(ops.greater(x, 0), high, low))
    return ops.where(ops.isfinite(x), x, instead)


around, fix = round, trunc
