"""Special functions, elementwise, computed by SciPy. SciPy is loaded when the first of them runs."""

from __future__ import annotations

import importlib
import math
from typing import Any

import numpy as np

from graphc import ops
from graphc.errors import GraphError
from graphc.ir import Node
from graphc.op import broadcast_floats, float_of, lift, primitive
from graphc.operators import Operand
from graphc.ops.core import cast
from graphc.samples import call, cases, reals
from graphc.types import Type

__all__ = ["digamma", "erf", "erfc", "erfinv", "lgamma", "polygamma", "spherical_jn", "xlogy"]

TWO_OVER_ROOT_PI = 2 / math.sqrt(math.pi)


def _scipy(name: str, *arguments: Any, out: Any = None) -> Any:
    """SciPy's function of that name, in the dtype that NumPy's own functions would give the last argument."""
    function = getattr(importlib.import_module("scipy.special"), name)
    if out is not None:
        return function(*arguments, out=out)
    return function(*arguments).astype(float_of(arguments[-1].dtype), copy=False)


@primitive(infer=broadcast_floats, vjp=lambda g, y, x: (g * (ops.exp(-(x * x)) * TWO_OVER_ROOT_PI),),
           samples=reals(-2, 2), effort=15)  # fmt: skip
def erf(x, *, out=None):
    """The error function, 2/√π ∫₀ˣ exp(-t²) dt."""
    return _scipy("erf", x, out=out)


@primitive(infer=broadcast_floats, vjp=lambda g, y, x: (g * (ops.exp(-(x * x)) * -TWO_OVER_ROOT_PI),),
           samples=reals(-2, 2), effort=20)  # fmt: skip
def erfc(x, *, out=None):
    """1 - erf(x), exact for large x."""
    return _scipy("erfc", x, out=out)


@primitive(infer=broadcast_floats, vjp=lambda g, y, x: (g * (ops.exp(y * y) * (1 / TWO_OVER_ROOT_PI)),),
           samples=reals(-0.9, 0.9), effort=20)  # fmt: skip
def erfinv(x, *, out=None):
    """The number with that error function; the derivative at ±1 is inf."""
    return _scipy("erfinv", x, out=out)


@primitive(infer=broadcast_floats, vjp=lambda g, y, x: (g * digamma(x),), samples=reals(0.3, 5), effort=30)
def lgamma(x, *, out=None):
    """The logarithm of |Γ(x)|."""
    return _scipy("gammaln", x, out=out)


@primitive(infer=broadcast_floats, vjp=lambda g, y, x: (g * polygamma(x, order=1),), samples=reals(0.3, 5), effort=30)
def digamma(x, *, out=None):
    """The derivative of lgamma."""
    return _scipy("psi", x, out=out)


@primitive(infer=broadcast_floats, effort=10, samples=reals(0.3, 3), vjp=lambda g, y, a, b: (
    g * ops.log(cast(b, y.dtype)), ops.where(ops.not_equal(a, 0), g * (a / b), 0)))  # fmt: skip
def xlogy(a, b, *, out=None):
    """a log(b), and 0 where a is 0: the terms of an entropy."""
    dtype = np.result_type(float_of(a.dtype), float_of(b.dtype))
    return _scipy("xlogy", a, b.astype(dtype, copy=False), out=out)


def _with_order(x: Operand, order: int) -> tuple[tuple[Node], dict[str, int]]:
    if not isinstance(order, (int, np.integer)) or order < 0:
        raise GraphError(f"expected an order to be an int ≥ 0, got {order!r}")
    return (lift(x),), {"order": int(order)}


def _float_like(x: Type, *, order: int) -> Type:
    return x.with_dtype(float_of(x.dtype))


@primitive(infer=_float_like, elementwise=True, signature=_with_order, effort=300, temporaries=5,
           vjp=lambda g, y, x, *, order: (g * polygamma(x, order=order + 1),),
           samples=cases(call("f64[2,3](0.5,5)", order=1), call("f64[](0.5,5)", order=0), call("f32[3](1,5)", order=2),
                         call("i8[3](1,5)", order=1)))  # fmt: skip
def polygamma(x, *, order):
    """The derivative of digamma, `order` times."""
    return _scipy("polygamma", order, x)


def _spherical_jn_vjp(g, y, x, *, order):
    """(2n + 1) jₙ' = n jₙ₋₁ - (n + 1) jₙ₊₁: no division by x (NIST DLMF 10.51.2)."""
    above = spherical_jn(x, order=order + 1) * ((order + 1) / (2 * order + 1))
    below = spherical_jn(x, order=order - 1) * (order / (2 * order + 1)) if order else 0
    return (g * (below - above),)


@primitive(infer=_float_like, elementwise=True, signature=_with_order, effort=600, temporaries=5,
           vjp=_spherical_jn_vjp,
           samples=cases(call("f64[2,3](-5,5)", order=0), call("f64[](-5,5)", order=2), call("f32[3](-5,5)", order=1),
                         call("i8[3](0,5)", order=1)))  # fmt: skip
def spherical_jn(x, *, order):
    """The spherical Bessel function of the first kind; of order 0, sin(x) / x."""
    return _scipy("spherical_jn", order, x)
