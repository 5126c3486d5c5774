"""The minimax polynomials of graphc.native.vecmath: `python tests/minimax.py` prints them; a slow test compares.

Remez's exchange algorithm with weights, in 60 digits. Some of the first coefficients may be rounded one after the other
and the rest fitted again, which makes up for their rounding errors.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import mpmath as mp
import numpy as np

from graphc.native.vecmath.error_function import SHIFT
from graphc.native.vecmath.gamma import LEAST, MINIMUM

Function = Callable[[Any], Any]
POINTS, EXCHANGES, ROUNDED_FIRST = 600, 12, 4
MIDDLE = mp.mpf(0.1875)
HALF = mp.mpf(0.5)
NEAR_ZERO = mp.mpf(10) ** -6  # where a quotient of differences is taken instead of at 0


class Fit(NamedTuple):
    """A polynomial of so many terms next to a function between two bounds, errors counted by a weight."""

    function: Function
    weight: Function
    low: Any
    high: Any
    terms: int


def coefficients(fit: Fit, dtype: str) -> list[float]:
    """The coefficients from the constant upwards, rounded to f4 or f8: the best after rounding some of them first."""
    known: list[Any] = []
    candidates = []
    with mp.workdps(60):
        while len(known) <= min(ROUNDED_FIRST, fit.terms - 1):
            rest = [_rounded(c, dtype) for c in _remez(_without(fit, known))]
            candidates.append(known + rest)
            known = [*known, rest[0]]
        best = min(candidates, key=lambda candidate: _largest_error(fit, candidate))
    return [float(c) for c in best]


def _largest_error(fit: Fit, polynomial: list[Any]) -> Any:
    return max(abs(w * (v - mp.polyval(polynomial[::-1], x))) for x, v, w in _sampled(fit))


def _sampled(fit: Fit) -> list[tuple[Any, Any, Any]]:
    """Chebyshev's points between the bounds, with the values and weights there."""
    middle, half = (mp.mpf(fit.low) + fit.high) / 2, (mp.mpf(fit.high) - fit.low) / 2
    grid = (middle - half * mp.cos(mp.pi * i / POINTS) for i in range(POINTS + 1))
    grid = (x if abs(x) > NEAR_ZERO else NEAR_ZERO for x in grid)
    return [(x, fit.function(x), fit.weight(x)) for x in grid]


def _rounded(number: Any, dtype: str) -> Any:
    return mp.mpf(float(np.dtype(dtype).type(float(number))))


def _without(fit: Fit, known: list[Any]) -> Fit:
    """What is left to fit when the first coefficients are known."""
    first, n = tuple(known), len(known)
    return Fit(lambda x: (fit.function(x) - mp.polyval(first[::-1] or [0], x)) / x**n,
               lambda x: fit.weight(x) * abs(x) ** n, fit.low, fit.high, fit.terms - n)  # fmt: skip


def _remez(fit: Fit) -> list[Any]:
    """The coefficients whose largest weighted error is least, so taken with alternating signs at terms + 1 points."""
    sampled = _sampled(fit)
    chosen = [round(i * POINTS / fit.terms) for i in range(fit.terms + 1)]
    for _ in range(EXCHANGES):
        solution = _levelled([sampled[i] for i in chosen])
        errors = [w * (v - mp.polyval(solution[::-1], x)) for x, v, w in sampled]
        extremes = _extremes(errors, fit.terms + 1)
        if len(extremes) <= fit.terms or extremes == chosen:
            break
        chosen = extremes
    return solution


def _levelled(points: list[tuple[Any, Any, Any]]) -> list[Any]:
    """The polynomial whose weighted errors at the points are equal but for alternating signs."""
    n = len(points)
    matrix = mp.matrix(n, n)
    for row, (x, _, weight) in enumerate(points):
        for power in range(n - 1):
            matrix[row, power] = x**power
        matrix[row, n - 1] = (-1) ** row / weight
    return list(mp.lu_solve(matrix, mp.matrix([value for _, value, _ in points])))[:-1]


def _extremes(errors: list[Any], wanted: int) -> list[int]:
    """Where the errors of one sign are largest, one place for each sign in turn."""
    places: list[int] = []
    for i, error in enumerate(errors):
        if places and (error > 0) == (errors[places[-1]] > 0):
            places[-1] = max(places[-1], i, key=lambda j: abs(errors[j]))
        else:
            places.append(i)
    while len(places) > wanted:
        del places[0 if abs(errors[places[0]]) < abs(errors[places[-1]]) else -1]
    return places


def _odd(function: Function, high: Any, low: Any = 0) -> tuple[Function, Function, Any, Any]:
    """(f(√z) / √z - 1) / z, weighted for f's relative error, up to √z = high."""
    quotient = lambda z: function(mp.sqrt(z)) / mp.sqrt(z)  # noqa: E731
    return lambda z: (quotient(z) - 1) / z, lambda z: z / quotient(z), low, mp.mpf(high) ** 2


def _expm1(low: Any, high: Any) -> tuple[Function, Function, Any, Any]:
    return lambda r: (mp.expm1(r) - r) / r**2, lambda r: abs(r**2 / mp.expm1(r)), low, high


def _far_erf(t: Any) -> Any:
    return 1 / (t + MIDDLE) - 2


def _scaled_erfc(y: Any) -> Any:
    """(x + ¾) exp(x²) erfc(x) / ¾."""
    x = SHIFT / y - SHIFT
    return mp.exp(x * x) * mp.erfc(x) / y


def _artanh(terms: int) -> Function:
    """(artanh √z / √z less its first terms) / zᵗᵉʳᵐˢ."""

    def rest(z: Any) -> Any:
        known = mp.polyval([1 / mp.mpf(2 * i + 1) for i in reversed(range(terms))], z)
        return (mp.atanh(mp.sqrt(z)) / mp.sqrt(z) - known) / z**terms

    return rest


def _lgamma_at_minimum(w: Any) -> Any:
    return (mp.loggamma(MINIMUM + w) - LEAST) / w


def _lgamma_rest(z: Any) -> Any:
    t = 1 / mp.sqrt(z)
    return t * (mp.loggamma(t) - (t - 0.5) * (mp.log(t) - 1) - (mp.log(2 * mp.pi) - 1) / 2)


def _digamma_rest(z: Any) -> Any:
    t = 1 / mp.sqrt(z)
    return t * t * (mp.log(t) - 1 / (2 * t) - mp.digamma(t))


with mp.workdps(60):
    EDGE = mp.mpf("1.0005")  # polynomials hold a little beyond the bounds that rounding keeps to
    QUARTER, HALF_LN2, ROOT_TWO = mp.pi / 4 * EDGE, mp.log(2) / 2 * EDGE, mp.sqrt(2)
    RATIO = (ROOT_TWO - 1) / (ROOT_TWO + 1) * EDGE
    LOG_BOUNDS = ((mp.sqrt(0.5) - 1) * EDGE, (ROOT_TWO - 1) * EDGE)
    SHIFTED_BOUNDS = (mp.log(0.75) * EDGE, mp.log(1.5) * EDGE)
    ERFC_BOUNDS = {dtype: (SHIFT / (mp.mpf(high) + SHIFT) - HALF, HALF - NEAR_ZERO) for dtype, high in
                   (("f4", "10.06"), ("f8", "27.3"))}  # fmt: skip
EXPM1, EXPM1_SHIFTED = _expm1(-HALF_LN2, HALF_LN2), _expm1(*SHIFTED_BOUNDS)
SINE, ARCTAN, ARCSIN = _odd(mp.sin, QUARTER), _odd(mp.atan, 1), _odd(mp.asin, 0.5)
ERF = (lambda z: mp.erf(mp.sqrt(z)) / mp.sqrt(z) - 1, lambda z: mp.sqrt(z) / mp.erf(mp.sqrt(z)), 0, mp.mpf(0.875) ** 2)
COSINE = (lambda z: (mp.cos(mp.sqrt(z)) - 1 + z / 2) / z**2, lambda z: z**2, 0, QUARTER**2)
LOG_F32 = (lambda f: (mp.log1p(f) - f + f * f / 2) / f**3, lambda f: abs(f**3 / mp.log1p(f)), *LOG_BOUNDS)
ERF_FAR = (lambda t: mp.exp(_far_erf(t) ** 2) * mp.erfc(_far_erf(t)), lambda t: mp.exp(-(_far_erf(t) ** 2)))
FAR_BOUNDS = {dtype: (1 / mp.mpf(high) - MIDDLE, 1 / mp.mpf(2.8125) - MIDDLE) for dtype, high in (("f4", 6), ("f8", 8))}
SCALED_ERFC = (lambda w: (_scaled_erfc(w + HALF) - 1) / (HALF - w), lambda w: (HALF - w) / _scaled_erfc(w + HALF))
FITS = {  # by table of graphc.native.vecmath and format
    ("exponential.EXPM1", "f4"): Fit(*EXPM1, 5), ("exponential.EXPM1", "f8"): Fit(*EXPM1, 10),
    ("exponential.EXPM1_SHIFTED", "f4"): Fit(*EXPM1_SHIFTED, 5),
    ("exponential.EXPM1_SHIFTED", "f8"): Fit(*EXPM1_SHIFTED, 10),
    ("logarithmic.LOG", "f4"): Fit(*LOG_F32, 8),
    ("logarithmic.LOG", "f8"): Fit(lambda z: 2 * _artanh(1)(z), lambda z: z, 0, RATIO**2, 7),
    ("trigonometric.SIN", "f4"): Fit(*SINE, 3), ("trigonometric.SIN", "f8"): Fit(*SINE, 6),
    ("trigonometric.COS", "f4"): Fit(*COSINE, 3), ("trigonometric.COS", "f8"): Fit(*COSINE, 6),
    ("inverse.ARCTAN", "f4"): Fit(*ARCTAN, 9), ("inverse.ARCTAN", "f8"): Fit(*ARCTAN, 20),
    ("inverse.ARCSIN", "f4"): Fit(*ARCSIN, 5), ("inverse.ARCSIN", "f8"): Fit(*ARCSIN, 12),
    ("powers.LOG", "f8"): Fit(_artanh(1), lambda z: z, 0, RATIO**2, 4),
    ("powers.LOG_BEYOND_THIRD", "f8"): Fit(_artanh(2), lambda z: z**2, 0, RATIO**2, 7),
    ("error_function.ERF", "f4"): Fit(*ERF, 7), ("error_function.ERF", "f8"): Fit(*ERF, 12),
    ("error_function.ERF_FAR", "f4"): Fit(*ERF_FAR, *FAR_BOUNDS["f4"], 7),
    ("error_function.ERF_FAR", "f8"): Fit(*ERF_FAR, *FAR_BOUNDS["f8"], 13),
    ("error_function.SCALED_ERFC", "f4"): Fit(*SCALED_ERFC, *ERFC_BOUNDS["f4"], 14),
    ("error_function.SCALED_ERFC", "f8"): Fit(*SCALED_ERFC, *ERFC_BOUNDS["f8"], 38),
    ("gamma.LGAMMA", "f8"): Fit(lambda u: mp.loggamma(2 + u) / u - 1, lambda u: mp.mpf(1), -0.5, 0.5, 18),
    ("gamma.LGAMMA_AT_MINIMUM", "f8"):
        Fit(_lgamma_at_minimum, lambda w: abs(w / mp.loggamma(MINIMUM + w)), -0.22, 0.29, 16),
    ("gamma.STIRLING", "f8"):
        Fit(_lgamma_rest, lambda z: mp.sqrt(z) / mp.loggamma(1 / mp.sqrt(z)), 0, 1 / mp.mpf(49), 6),
    ("gamma.DIGAMMA", "f8"): Fit(_digamma_rest, lambda z: z / mp.digamma(1 / mp.sqrt(z)), 0, 1 / mp.mpf(49), 6),
}  # fmt: skip


def table(name: str, dtype: str) -> list[float]:
    """What a table should hold."""
    return coefficients(FITS[name, dtype], dtype)


if __name__ == "__main__":
    for key in FITS:
        print(*key, table(*key))
