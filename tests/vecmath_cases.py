"""What graphc.native.vecmath promises: exact values, where to sample them, and the largest error of each function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import mpmath as mp
import numpy as np
from scipy import special

Array = np.ndarray[Any, Any]
SPECIAL = [0.0, 1.0, 2.0, 0.5, 3.0, 0.75, 2.5, 1.5, 100.5, np.pi, np.inf, np.nan]
ALL = (-1074.0, 1023.0)


class Case(NamedTuple):
    """A function: its exact value by mpmath, its value in f64, where operands lie, and the bound of its error in ulps.

    Half of the operands are spread evenly over `spans`, an interval for each operand; the sizes of the others are 2 to
    a power spread evenly over `exponents`, with either sign where a span begins below 0.
    """

    exact: Callable[..., Any]
    in_f64: Callable[..., Any]
    spans: tuple[tuple[float, float], ...]
    exponents: tuple[float, float] = (-60.0, 5.0)
    bound: float = 2.0
    samples: float = 1.0  # more or fewer than others: mpmath is slow on some


def _sigmoid(x: Array) -> Array:
    return np.where(x < 0, np.exp(x), 1.0) / (1 + np.exp(-np.abs(x)))


def _softplus(x: Array) -> Array:
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def _logaddexp2(x: Any, y: Any) -> Any:
    return mp.log(mp.power(2, x) + mp.power(2, y), 2)


def _atanh(x: Any) -> Any:
    return mp.atanh(x) if abs(x) < 1 else mp.sign(x) * mp.inf


CASES = {
    "exp": Case(mp.exp, np.exp, ((-745.0, 709.0),)),
    "exp2": Case(lambda x: mp.power(2, x), np.exp2, ((-1074.0, 1023.0),)),
    "expm1": Case(mp.expm1, np.expm1, ((-40.0, 709.0),)),
    "sigmoid": Case(lambda x: 1 / (1 + mp.exp(-x)), _sigmoid, ((-745.0, 40.0),)),
    "softplus": Case(lambda x: mp.log1p(mp.exp(x)), _softplus, ((-40.0, 40.0),)),
    "sinh": Case(mp.sinh, np.sinh, ((-710.0, 710.0),)),
    "cosh": Case(mp.cosh, np.cosh, ((-710.0, 710.0),)),
    "tanh": Case(mp.tanh, np.tanh, ((-20.0, 20.0),)),
    "logaddexp": Case(lambda x, y: mp.log(mp.exp(x) + mp.exp(y)), np.logaddexp, ((0.0, 40.0), (0.0, 40.0))),
    "logaddexp2": Case(_logaddexp2, np.logaddexp2, ((0.0, 60.0), (0.0, 60.0))),
    "log": Case(mp.log, np.log, ((0.5, 2.0),), ALL),
    "log2": Case(lambda x: mp.log(x, 2), np.log2, ((0.5, 2.0),), ALL),
    "log10": Case(mp.log10, np.log10, ((0.5, 2.0),), ALL),
    "log1p": Case(mp.log1p, np.log1p, ((-0.999, 2.0),), (-1074.0, -0.001)),
    "xlogy": Case(lambda x, y: x * mp.log(y), special.xlogy, ((0.0, 9.0), (0.0, 9.0)), (-300.0, 300.0)),
    "sin": Case(mp.sin, np.sin, ((-200.0, 200.0),), ALL),
    "cos": Case(mp.cos, np.cos, ((-200.0, 200.0),), ALL),
    "tan": Case(mp.tan, np.tan, ((-200.0, 200.0),), ALL),
    "arcsin": Case(mp.asin, np.arcsin, ((-1.0, 1.0),), (-1074.0, -0.001)),
    "arccos": Case(mp.acos, np.arccos, ((-1.0, 1.0),), (-1074.0, -0.001)),
    "arctan": Case(mp.atan, np.arctan, ((-9.0, 9.0),), ALL),
    "arctan2": Case(mp.atan2, np.arctan2, ((-9.0, 9.0), (-9.0, 9.0)), (-500.0, 500.0)),
    "arcsinh": Case(mp.asinh, np.arcsinh, ((-9.0, 9.0),), ALL),
    "arccosh": Case(mp.acosh, np.arccosh, ((1.0, 9.0),), (0.0, 1023.0)),
    "arctanh": Case(_atanh, np.arctanh, ((-1.0, 1.0),), (-1074.0, -0.001)),
    "cbrt": Case(lambda x: mp.sign(x) * mp.cbrt(abs(x)), np.cbrt, ((-9.0, 9.0),), ALL),
    "hypot": Case(mp.hypot, np.hypot, ((-9.0, 9.0), (-9.0, 9.0)), (-1074.0, 1022.0)),
    "power": Case(mp.power, np.power, ((0.0, 9.0), (-40.0, 40.0)), (-9.0, 9.0), bound=4.0),
    "erf": Case(mp.erf, special.erf, ((-6.0, 6.0),), (-1074.0, 2.0), samples=0.5),
    "erfc": Case(mp.erfc, special.erfc, ((-6.0, 27.0),), (-60.0, 4.7), samples=0.5),
    "erfinv": Case(mp.erfinv, special.erfinv, ((-1.0, 1.0),), (-60.0, -0.001), bound=6.0, samples=0.1),
    "lgamma": Case(mp.loggamma, special.gammaln, ((0.01, 7.0),), (-1000.0, 1000.0), bound=4.0),
    "rsqrt": Case(lambda x: 1 / mp.sqrt(x), lambda x: 1 / np.sqrt(x), ((0.01, 9.0),), ALL),
}
ABSOLUTE = {"digamma": Case(mp.digamma, special.digamma, ((-20.0, 20.0),), bound=10.0, samples=0.2)}
"""Functions with zeros that a few ulps miss: errors count in ulps of 1 where the result is smaller."""

EXACT = {  # what NumPy computes, bit for bit
    "ceil": np.ceil, "floor": np.floor, "floor_divide": np.floor_divide, "fmax": np.fmax, "fmin": np.fmin,
    "fmod": np.fmod, "heaviside": np.heaviside, "nextafter": np.nextafter, "remainder": np.remainder, "rint": np.rint,
    "spacing": np.spacing, "trunc": np.trunc,
}  # fmt: skip


def operands(case: Case, dtype: str, count: int, seed: int = 0) -> list[Array]:
    """Random operands of a function, half of them spread evenly, half over all sizes."""
    rng, count = np.random.default_rng(seed), max(20, int(count * case.samples / 2))
    limits = np.finfo(dtype)
    low, high = np.maximum(case.exponents, limits.minexp - limits.nmant), np.minimum(case.exponents, limits.maxexp - 1)
    arrays = []
    for span in case.spans:
        sizes = np.exp2(rng.uniform(low[0], high[1], count))
        signs = rng.choice([-1.0, 1.0], count) if span[0] < 0 else 1.0
        spread = rng.uniform(*np.clip(span, -limits.max, limits.max), count)
        arrays.append(np.concatenate([spread, signs * sizes]).astype(dtype))
    return arrays


def exact_values(case: Case, arrays: list[Array], digits: int = 40) -> tuple[Array, Array]:
    """The exact values as pairs of f64: the nearest one, and what it lacks."""
    with mp.workdps(digits):
        values = [case.exact(*map(mp.mpf, map(float, row))) for row in zip(*arrays, strict=True)]
        high = np.array([float(value) for value in values])
        low = [float(value - mp.mpf(h)) if np.isfinite(h) else 0.0 for value, h in zip(values, high, strict=True)]
    return high, np.array(low)


def errors(result: Array, high: Array, low: Array | float = 0.0, least: float = 0.0) -> Array:
    """Errors in units of the last place that the result's dtype has at the exact value, or at `least` if larger."""
    limits = np.finfo(result.dtype)
    size = np.maximum(np.abs(high), least)
    _, exponent = np.frexp(np.where(np.isfinite(size), size, 1.0))
    unit = np.ldexp(1.0, np.maximum(exponent - 1, limits.minexp) - limits.nmant)
    with np.errstate(all="ignore"):
        rounded = high.astype(result.dtype)
        distance = np.abs((result.astype("f8") - high) - low) / unit
        same = (result == rounded) & ~np.isfinite(result) | np.isnan(result) & np.isnan(rounded)
    return np.where(same, 0.0, np.where(np.isnan(distance), np.inf, distance))
