"""Logarithms: x = 2ᵏ (1 + f) with √½ ≤ 1 + f < √2, and log(1 + f) from a minimax polynomial (tests/minimax.py).

For f64 the polynomial is in s = f / (2 + f): log(1 + f) = 2 artanh(s) = f - f²/2 + s (f²/2 + R(s²)), as in FreeBSD's
msun (e_log.c). For f32 it is in f itself, which spares the division.
"""

from __future__ import annotations

import math

from graphc.native.vecmath.formats import F32, F64
from graphc.native.vecmath.pairs import polynomial
from graphc.native.vecmath.reals import Bits, Number, Real, where

LN2_HIGH = {F32: 0.693359375, F64: 6.93147180369123816490e-01}  # k times it is exact
LN2_LOW = {F32: -2.121944400546905827679e-4, F64: 1.90821492927058770002e-10}
LOG2_E = {F32: (1.4426950216293335, 1.9259629911266175e-08), F64: (1.4426950408889634, 2.0355273740931033e-17)}
LOG10_E = {F32: (0.4342944920063019, -1.0103050052231683e-08), F64: (0.4342944819032518, 1.098319650216765e-17)}
LOG10_2 = {  # k times the first part is exact
    F32: (0.301025390625, 4.605038981195214e-06), F64: (3.01029995663611771306e-01, 3.69423907715893078616e-13),
}  # fmt: skip
ROOT_HALF = {F32: 0x3F3504F3, F64: 0x3FE6A09E667F3BCD}
EXPONENT_OF_UNIT = {F32: 0x4B000000, F64: 0x4330000000000000}  # below it, the fraction of a float counts ones
LOG = {  # (log(1 + f) - f + f²/2) / f³ for √½ ≤ 1 + f ≤ √2; (log(1 + f) / s - 2) / s²
    F32: (0.3333333, -0.25000823, 0.20001231, -0.16623251, 0.14201565, -0.13161092, 0.12763488, -0.07634431),
    F64: (0.6666666666666735, 0.39999999999409347, 0.28571428743688737, 0.2222219842869831, 0.18183572369300688,
          0.15313831864162464, 0.14798260529514792),
}  # fmt: skip


def log_tail(f: Real) -> Real:
    """log(1 + f) - f, for √½ ≤ 1 + f < √2."""
    if f.format is F32:
        return (f * f) * polynomial(f, LOG[F32]).times_plus(f, -0.5)
    s = f / (f + 2.0)
    z = s * s
    half = f * f * 0.5
    return s.times_plus(z.times_plus(polynomial(z, LOG[F64]), half), -half)


def from_root_half(x: Real) -> Bits:
    """The bits of a positive number times √2: their exponent is k + bias."""
    return x.bits + ((x.format.bias << x.format.fraction) - ROOT_HALF[x.format])


def exponent(shifted: Bits, excess: Number) -> Real:
    """The exponent less an excess that counts 2ᵖ⁻¹ in."""
    fmt = shifted.code.format
    return ((shifted >> fmt.fraction) | EXPONENT_OF_UNIT[fmt]).real - excess


def parts(x: Real) -> tuple[Real, Real]:
    """k and f of a positive number."""
    fmt = x.format
    is_small, excess = x < fmt.smallest_normal, fmt.unit + fmt.bias
    lifted = where(is_small, x * 2.0**fmt.precision, x)
    return parts_of_normal(lifted, where(is_small, excess + fmt.precision, excess))


def parts_of_normal(x: Real, excess: Number) -> tuple[Real, Real]:
    """k and f of a positive normal number."""
    shifted = from_root_half(x)
    significand = (shifted & ((1 << x.format.fraction) - 1)) + ROOT_HALF[x.format]
    return exponent(shifted, excess), significand.real - 1.0


def with_limits(result: Real, x: Real) -> Real:
    """The logarithm of x, given that of a positive finite one: inf of inf, -inf of 0, NaN of negative numbers."""
    return where(x > 0.0, where(x < math.inf, result, x), where(x.equals(0.0), -math.inf, math.nan))


def log(x: Real) -> Real:
    """k ln 2 + log(1 + f)."""
    k, f = parts(x)
    rest = k.times_plus(LN2_LOW[x.format], log_tail(f))
    return with_limits(k.times_plus(LN2_HIGH[x.format], f + rest), x)


def log2(x: Real) -> Real:
    """k + log(1 + f) log₂ e."""
    k, f = parts(x)
    high, low = LOG2_E[x.format]
    return with_limits(k + f.times_plus(high, f.times_plus(low, log_tail(f) * high)), x)


def log10(x: Real) -> Real:
    """k log₁₀ 2 + log(1 + f) log₁₀ e."""
    k, f = parts(x)
    (high, low), (of_two, rest_of_two) = LOG10_E[x.format], LOG10_2[x.format]
    rest = k.times_plus(rest_of_two, f.times_plus(low, log_tail(f) * high))
    return with_limits(k.times_plus(of_two, f.times_plus(high, rest)), x)


def log1p(x: Real, low: Real | None = None) -> Real:
    """log(1 + x + low): k ln 2 + log(1 + f) with 1 + f = 2⁻ᵏ (1 + x), whose rounding is all that is lost."""
    fmt, u = x.format, x + 1.0
    shifted = from_root_half(u)
    k = exponent(shifted, fmt.unit + fmt.bias)
    scale = ((2 * fmt.bias + 2 << fmt.fraction) - (shifted & fmt.exponent_bits)).real  # 2²⁻ᵏ: 2⁻ᵏ can be subnormal
    f = scale.times_plus(x * 0.25, scale.times_plus(0.25, -1.0))
    if low is not None:
        f = scale.times_plus(low * 0.25, f)
    rest = k.times_plus(LN2_LOW[fmt], log_tail(f))
    result = with_limits(k.times_plus(LN2_HIGH[fmt], f + rest), u)
    return where(x.is_deep(), x, result)


def log1p_of_fraction(x: Real) -> Real:
    """log(1 + x) for 0 ≤ x ≤ 1."""
    is_large = x > math.sqrt(2) - 1
    f = where(is_large, x.times_plus(0.5, -0.5), x)
    high, low = where(is_large, LN2_HIGH[x.format], 0.0), where(is_large, LN2_LOW[x.format], 0.0)
    return high + (f + (log_tail(f) + low))


def xlogy(x: Real, y: Real) -> Real:
    """x log y, and 0 where x is 0 and y is a number."""
    return where(x.equals(0.0) & ~y.is_nan(), 0.0, x * log(y))
