"""lgamma and digamma, computed in f64 whatever the format; coefficients by tests/minimax.py."""

from __future__ import annotations

import math

from graphc.native.vecmath.formats import F32, F64
from graphc.native.vecmath.logarithmic import LN2_HIGH, LN2_LOW, log, log_tail, parts
from graphc.native.vecmath.pairs import polynomial
from graphc.native.vecmath.reals import Real, real, where
from graphc.native.vecmath.trigonometric import cosine, sine

LGAMMA = (  # lgamma(2 + u) / u - 1 for |u| ≤ ½
    -0.5772156649015329, 0.3224670334241132, -0.06735230105319504, 0.0205808084277874, -0.007385551028986029,
    0.002890510330609368, -0.0011927538994212655, 0.0005096695266409008, -0.00022315500121525844,
    9.945751962977761e-05, -4.492353618670304e-05, 2.0506767334876256e-05, -9.457132791913124e-06,
    4.379648491962507e-06, -1.9723886926755596e-06, 9.314701828402978e-07, -5.828927437462172e-07,
    2.681992108836352e-07,
)  # fmt: skip
MINIMUM, LEAST = 1.4616321449683622, -0.12148629053584961  # lgamma's minimum, and its value there
LGAMMA_AT_MINIMUM = (  # (lgamma(MINIMUM + w) - LEAST) / w for -0.22 ≤ w ≤ 0.29
    -8.920419902372031e-17, 0.4838361227238166, -0.1475877229945364, 0.064624940237161, -0.03278854108595047,
    0.017970675309527166, -0.010314223424470241, 0.006100525692426194, -0.0036845431216109407, 0.002260045521305982,
    -0.0014031461956754635, 0.0008745839639511431, -0.0005393708324988714, 0.0003665139926923639,
    -0.00032560273979095606, 0.00020446610793856,
)  # fmt: skip
STIRLING = (  # t (lgamma(t) - (t - ½)(log t - 1) - LIMIT) as a function of 1/t², for t ≥ 7
    0.08333333333332917, -0.002777777774259915, 0.000793649758999413, -0.0005950939528023115,
    0.0008313137158899521, -0.0015297407017291502,
)  # fmt: skip
DIGAMMA = (  # t² (log t - 1/2t - digamma(t)) as a function of 1/t², for t ≥ 7
    0.08333333333328834, -0.008333333293613463, 0.003968241900532835, -0.004164941585818173,
    0.007447994745233143, -0.016232737068870753,
)  # fmt: skip
LIMIT = 0.4189385332046727  # ½ log 2π - ½
LARGE = 7.0


def lgamma(x: Real) -> Real:
    """log |Γ(x)|; of negative numbers, -log(|x sin πx| / π) - log Γ(|x|); inf at the poles."""
    if x.format is F32:
        return lgamma(x.wide()).narrow()
    size = abs(x)
    positive, (sine_of_x, _) = _lgamma(size), sine_and_cosine_of_turns(x)
    reflected = -log(size * (abs(sine_of_x) * (1 / math.pi))) - positive
    reflected = where(sine_of_x.equals(0.0), math.inf, reflected)
    result = where((x < 0.0) & (size > 2.0**-60), reflected, positive)
    return where(size.equals(0.0), math.inf, where(size < math.inf, result, size))


def _lgamma(t: Real) -> Real:
    """Stirling's series for large t; else a polynomial between 3/2 and 5/2, and the logarithm of what leads there.

    Those two cancel next to the minimum, which has a polynomial of its own.
    """
    is_large = t >= LARGE
    u, product, sign = _towards_two(t)
    k, f = parts(where(is_large, t, product))
    tail = k.times_plus(LN2_LOW[F64], log_tail(f))
    near = u.times_plus(polynomial(u, LGAMMA), u + sign * f) + sign * tail
    near = (sign * k).times_plus(LN2_HIGH[F64], near)
    log_less_one = k.times_plus(LN2_HIGH[F64], -1.0) + (f + tail)
    inverse = 1.0 / t
    series = inverse.times_plus(polynomial(inverse * inverse, STIRLING), LIMIT)
    w = t - MINIMUM
    near = where(abs(w - 0.03) < 0.25, w.times_plus(polynomial(w, LGAMMA_AT_MINIMUM), LEAST), near)
    return where(is_large, (t - 0.5).times_plus(log_less_one, series), near)


def _towards_two(t: Real) -> tuple[Real, Real, Real]:
    """u, p and s = ±1 with lgamma(t) = lgamma(2 + u) + s log p and |u| ≤ ½, for 0 < t < 7."""
    u, product = t - 2.0, real(t.code, 1.0)
    for step in (1.0, 2.0, 3.0, 4.0, 5.0):
        is_above = t >= step + 1.5
        product = where(is_above, product * (t - step), product)
        u = where(is_above, t - (step + 2.0), u)
    is_low, is_lowest = t < 1.5, t < 0.5
    product = where(is_low, where(is_lowest, t * (t + 1.0), t), product)
    u = where(is_low, where(is_lowest, t, t - 1.0), u)
    return u, product, where(is_low, -1.0, 1.0)


def digamma(x: Real) -> Real:
    """Below ½, digamma(1 - x) - π / tan πx; NaN at the poles but 0, where it is infinite."""
    if x.format is F32:
        return digamma(x.wide()).narrow()
    is_low = x < 0.5
    positive = _digamma(where(is_low, 1.0 - x, x))
    sine_of_x, cosine_of_x = sine_and_cosine_of_turns(x)
    result = where(is_low, positive - math.pi * cosine_of_x / sine_of_x, positive)
    return where((x < 0.0) & sine_of_x.equals(0.0), math.nan, where(x < math.inf, result, x))


def _digamma(t: Real) -> Real:
    """The asymptotic series beyond 7, and before it that of t + 7 less the inverses of t, t + 1, … t + 6."""
    is_small = t < LARGE
    above, below = real(t.code, 1.0), t
    for step in range(1, 7):
        term = t + float(step)
        above, below = above.times_plus(term, below), below * term
    sum_of_inverses = where(is_small, above / below, 0.0)
    t = where(is_small, t + 7.0, t)
    inverse = 1.0 / t
    square = inverse * inverse
    return log(t) - (inverse * 0.5 + square * polynomial(square, DIGAMMA)) - sum_of_inverses


def sine_and_cosine_of_turns(x: Real) -> tuple[Real, Real]:
    """sin πx and cos πx but for a common sign."""
    size, unit = abs(x), x.format.unit
    rest = where(size < unit, size - ((size + unit) - unit), 0.0)
    is_steep = abs(rest) > 0.25
    angle = where(is_steep, 0.5 - abs(rest), abs(rest)) * math.pi
    sine_of_size = where(is_steep, cosine(angle), sine(angle)).with_sign_of(rest)
    sine_of_x = (sine_of_size.bits ^ (x.bits & x.format.sign_bit)).real
    return sine_of_x, where(is_steep, sine(angle), cosine(angle))
