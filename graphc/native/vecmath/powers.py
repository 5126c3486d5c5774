"""Powers, cube roots and lengths; coefficients by tests/minimax.py.

xʸ = 2^(y log₂|x|) with the logarithm in f64 (f32) or as a pair (f64), for the exponent multiplies its error.
"""

from __future__ import annotations

import math

from graphc.native.vecmath.exponential import EXPM1, LN2, expm1_series, nearest_integer, scaled
from graphc.native.vecmath.formats import F32, F64
from graphc.native.vecmath.logarithmic import EXPONENT_OF_UNIT, parts, parts_of_normal
from graphc.native.vecmath.pairs import Pair, fast_two_sum, polynomial, product_of_pairs, residual, two_product
from graphc.native.vecmath.reals import Real, Truth, real, where

LOG = (  # (artanh √z / √z - 1) / z for √z ≤ (√2 - 1) / (√2 + 1), as good as an f32 power needs
    0.33333332820639056, 0.20000168110897773, 0.1426861909725034, 0.1179178548699152,
)  # fmt: skip
LOG_BEYOND_THIRD = (  # (artanh √z / √z - 1 - z/3) / z², to 2⁻⁶⁶ of the logarithm
    0.20000000000001136, 0.14285714285045611, 0.111111112607401, 0.09090892112729078, 0.07693382044176265,
    0.0662832768702887, 0.06598939714846606,
)  # fmt: skip
TWO_LOG2_E = (2.8853900817779268, 4.0710547481862066e-17)
THIRD = (0.3333333333333333, 1.850371707708594e-17)
HOUSEHOLDER = {  # ((1 - e)^(-1/3) - 1) / e, for each step
    F32: ((1 / 3, 2 / 9, 14 / 81),), F64: ((1 / 3, 2 / 9, 14 / 81), (1 / 3, 2 / 9)),
}  # fmt: skip
CUBE_ROOT_GUESS = {F32: (8, 0x54A2FA8C), F64: (32, 0x553EF0FF289DD796)}
SCALING = {F32: (2.0**60, 2.0**75), F64: (2.0**500, 2.0**625)}  # the edge of lengths to scale, and the factor


def power(x: Real, y: Real) -> Real:
    """xʸ with the special values of C99's pow."""
    size = abs(x)
    y_bounded = y.at_least(-(2.0**66)).at_most(2.0**66)  # beyond, all powers but those of ±1 over- or underflow
    finite = (_power_f32 if x.format is F32 else _power_f64)(size, y_bounded)
    is_zero = size.equals(0.0)
    has_limit = is_zero | size.equals(math.inf)
    magnitude = where(has_limit, where(is_zero ^ (y < 0.0), 0.0, math.inf), finite)
    is_whole, is_even = _is_whole(abs(y)), _is_whole(abs(y) * 0.5)
    of_negative = where(is_whole & ~is_even, -magnitude, where(is_whole | has_limit, magnitude, math.nan))
    result = where(x.is_negative(), of_negative, magnitude)
    result = where(x.is_unordered(y), math.nan, result)
    return where(y.equals(0.0) | x.equals(1.0), 1.0, result)


def _is_whole(size: Real) -> Truth:
    """Whether a number ≥ 0 is an integer."""
    unit = size.format.unit
    return ((size + unit) - unit).equals(size) | (size >= unit)


def _power_f32(size: Real, y: Real) -> Real:
    """2ᵏ (1 + p) with r = y log₂|x| - k computed in f64."""
    k, f = parts_of_normal(size.wide(), F64.unit + F64.bias)
    s = f / (f + 2.0)
    z = s * s
    log2 = (s * TWO_LOG2_E[0]).times_plus(z.times_plus(polynomial(z, LOG), 1.0), k)
    product = (y.wide() * log2).at_least(-200.0).at_most(200.0)
    k, bits = nearest_integer(product, 1.0, 2 * F32.bias)
    p = expm1_series((product - k).narrow() * LN2, EXPM1)
    return scaled(p + 1.0, bits.narrow())


def _power_f64(size: Real, y: Real) -> Real:
    """2ᵏ (1 + p) with r = y log₂|x| - k as a pair."""
    log2 = _log2_pair(size)
    product = two_product(y, log2.high)
    high = product.high.at_least(-1100.0).at_most(1100.0)
    k, bits = nearest_integer(high, 1.0, 2 * F64.bias)
    low = where(abs(high) < 1100.0, y.times_plus(log2.low, product.low), 0.0)
    return scaled(expm1_series(((high - k) + low) * LN2, EXPM1) + 1.0, bits)


def _log2_pair(x: Real) -> Pair:
    """log₂ of a positive number to some 66 bits: k + 2 log₂e artanh(s), s = f / (2 + f)."""
    k, f = parts(x)
    below = fast_two_sum(real(x.code, 2.0), f)
    inverse = 1.0 / below.high
    s = f * inverse
    s_low = (residual(s, below.high, f) - s * below.low) * inverse
    cubic = product_of_pairs(Pair(s, s_low), _cubic_terms(s, s_low))
    series = fast_two_sum(s, cubic.high)
    log = product_of_pairs(Pair(series.high, series.low + (s_low + cubic.low)), _constant(TWO_LOG2_E, x))
    total = fast_two_sum(k, log.high)
    return fast_two_sum(total.high, total.low + log.low)


def _cubic_terms(s: Real, s_low: Real) -> Pair:
    """artanh(s) / s - 1 = z/3 + z² P(z), z = s²."""
    z = two_product(s, s)
    z = Pair(z.high, (s + s).times_plus(s_low, z.low))
    third = product_of_pairs(z, _constant(THIRD, s))
    return fast_two_sum(third.high, (z.high * z.high).times_plus(polynomial(z.high, LOG_BEYOND_THIRD), third.low))


def _constant(parts: tuple[float, float], beside: Real) -> Pair:
    high, low = parts
    return Pair(real(beside.code, high), real(beside.code, low))


def hypot(x: Real, y: Real) -> Real:
    """√(x² + y²), scaled by a power of two where squares could over- or underflow."""
    width, height = abs(x), abs(y)
    is_wide = width > height
    longer, shorter = where(is_wide, width, height), where(is_wide, height, width)
    edge, factor = SCALING[x.format]
    is_large, is_small = longer > edge, longer < 1 / edge
    there = where(is_large, 1 / factor, where(is_small, factor, 1.0))
    back = where(is_large, factor, where(is_small, 1 / factor, 1.0))
    longer, shorter = longer * there, shorter * there
    length = longer.times_plus(longer, shorter * shorter).sqrt() * back
    return where(width.equals(math.inf) | height.equals(math.inf), math.inf, length)


def cbrt(x: Real) -> Real:
    """x r² with r = |x|^(-1/3): a guess by a third of the bits, Householder's steps, one of Newton's."""
    size = abs(x)
    is_small = size < x.format.smallest_normal * 64.0
    cube = size * where(is_small, 2.0**54, 2.0**-6)
    r = _guess(cube)
    for terms in HOUSEHOLDER[x.format]:
        error = (cube * r * -r).times_plus(r, 1.0)
        r = (r * error).times_plus(polynomial(error, terms), r)
    square = r * r
    root = cube * square
    root = (residual(root * root, root, cube) * square).times_plus(1 / 3, root)
    root = root * where(is_small, 2.0**-18, 4.0)
    return where(size < math.inf, root, size).with_sign_of(x)


def _guess(x: Real) -> Real:
    """x^(-1/3) within 4 %: the bits of a float, as an integer, are about its logarithm."""
    shift, middle = CUBE_ROOT_GUESS[x.format]
    upper = ((x.bits >> shift) | EXPONENT_OF_UNIT[x.format]).real  # the upper bits + 2ᵖ⁻¹
    return (upper.times_plus(-1 / 3, (middle >> shift) + x.format.unit * 4 / 3).bits << shift).real
