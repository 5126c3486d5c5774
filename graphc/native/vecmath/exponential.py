"""Exponentials and the functions made of one: eˣ = 2ᵏ eʳ with k an integer and r small.

The coefficients are those of minimax polynomials (tests/minimax.py).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from graphc.native.vecmath.formats import F32, F64, Format
from graphc.native.vecmath.logarithmic import LN2_HIGH, LN2_LOW, log1p_of_fraction
from graphc.native.vecmath.pairs import fast_two_sum, polynomial, quotient
from graphc.native.vecmath.reals import Bits, Real, where

LOG2_E, LN2 = math.log2(math.e), math.log(2)
LOWEST = {F32: -104.0, F64: -746.0}  # eˣ rounds to 0 below
HIGHEST = {F32: 89.0, F64: 710.0}  # eˣ overflows above
EXPM1: Mapping[Format, tuple[float, ...]] = {  # (eʳ - 1 - r) / r² for |r| ≤ ½ ln 2
    F32: (0.49999997, 0.16666543, 0.0416672, 0.0083665475, 0.001388252),
    F64: (0.5000000000000006, 0.16666666666666588, 0.04166666666657646, 0.008333333333389738,
          0.001388888893166915, 0.0001984126971868579, 2.4801505140696445e-05, 2.755740771983197e-06,
          2.762609350159776e-07, 2.5053762160181396e-08),
}  # fmt: skip
EXPM1_SHIFTED: Mapping[Format, tuple[float, ...]] = {  # the same for ln ¾ ≤ r ≤ ln 3/2
    F32: (0.5000001, 0.16666585, 0.041659594, 0.008358636, 0.0014603618),
    F64: (0.49999999999999994, 0.16666666666667326, 0.04166666666667963, 0.008333333332656151,
          0.0013888888885916764, 0.00019841272052775652, 2.480157780810746e-05, 2.7554396023574756e-06,
          2.758828479118063e-07, 2.6427645431640138e-08),
}  # fmt: skip


def nearest_integer(x: Real, factor: float, offset: int) -> tuple[Real, Bits]:
    """The integer k next to x · factor, and bits whose low ones are k + offset."""
    shifted = x.times_plus(factor, x.format.magic + offset)
    return shifted - (x.format.magic + offset), shifted.bits


def remainder_of_ln2(x: Real, k: Real) -> Real:
    """x - k ln 2."""
    return k.times_plus(-LN2_LOW[x.format], k.times_plus(-LN2_HIGH[x.format], x))


def power_of_two(biased: Bits) -> Real:
    """2ᵏ from k + bias in the low bits, for normal results."""
    return (biased << biased.code.format.fraction).real


def scaled(x: Real, doubly_biased: Bits) -> Real:
    """x · 2ᵏ rounded once, from k + 2 bias in the low bits: the halves of k, one after the other."""
    half = doubly_biased >> 1
    return x * power_of_two(half) * power_of_two(doubly_biased - half)


def expm1_series(r: Real, coefficients: Mapping[Format, tuple[float, ...]]) -> Real:
    """eʳ - 1 = r + r² P(r)."""
    return (r * r).times_plus(polynomial(r, coefficients[r.format]), r)


def power_parts(x: Real) -> tuple[Real, Bits]:
    """p = eʳ - 1 of eˣ = 2ᵏ (1 + p), and the bits that scale by 2ᵏ."""
    x = x.at_least(LOWEST[x.format]).at_most(HIGHEST[x.format])
    k, bits = nearest_integer(x, LOG2_E, 2 * x.format.bias)
    return expm1_series(remainder_of_ln2(x, k), EXPM1), bits


def exp(x: Real) -> Real:
    """2ᵏ (1 + p) with p = eʳ - 1."""
    p, bits = power_parts(x)
    return scaled(p + 1.0, bits)


def exp2(x: Real) -> Real:
    """2ᵏ (1 + p) with p = eʳ - 1, r = (x - k) ln 2."""
    x = x.at_least(LOWEST[x.format] * LOG2_E).at_most(HIGHEST[x.format] * LOG2_E)
    k, bits = nearest_integer(x, 1.0, 2 * x.format.bias)
    return scaled(expm1_series((x - k) * LN2, EXPM1) + 1.0, bits)


def expm1_parts(x: Real, offset: int) -> tuple[Real, Real]:
    """2ᵏ⁺ᵒᶠᶠˢᵉᵗ and p = eʳ - 1, where ¾ ≤ eʳ ≤ 3/2, so that 2ᵏ - 1 + 2ᵏ p never cancels by more than half."""
    middle = (math.log2(1.5) + math.log2(0.75)) / 2
    k, bits = nearest_integer(x.times_plus(LOG2_E, -middle), 1.0, x.format.bias + offset)
    return power_of_two(bits), expm1_series(remainder_of_ln2(x, k), EXPM1_SHIFTED)


def expm1(x: Real) -> Real:
    """2ᵏ - 1 + 2ᵏ p, computed at half its size, for 2ᵏ can overflow where the result does not."""
    bounded = x.at_least(-60.0).at_most(HIGHEST[x.format])
    half, p = expm1_parts(bounded, -1)
    result = half.times_plus(p, half - 0.5) * 2.0
    return where(x.is_deep(), x, result)


def sigmoid(x: Real) -> Real:
    """1 / (1 + e⁻ˣ) as c / (c + c e⁻ˣ), where c is so small that e⁻ˣ cannot overflow."""
    shift = {F32: 64, F64: 512}[x.format]
    x = x.at_least(LOWEST[x.format]).at_most(40.0)
    k, bits = nearest_integer(x, -LOG2_E, x.format.bias - shift)
    scale, unit = power_of_two(bits), 2.0**-shift
    p = expm1_series(remainder_of_ln2(-x, k), EXPM1)
    return unit / (scale.times_plus(p, scale.at_most(unit)) + scale.at_least(unit))


def tanh(x: Real) -> Real:
    """(e²ˣ - 1) / (e²ˣ + 1), where the quotient knows what the sums lost."""
    size = abs(x).at_most({F32: 9.25, F64: 20.0}[x.format])
    scale, p = expm1_parts(size + size, 0)
    part = scale * p
    above, below = fast_two_sum(scale - 1.0, part), fast_two_sum(scale + 1.0, part)
    return quotient(above, below).with_sign_of(x)


def sinh(x: Real) -> Real:
    """2 (g + ¼ g / (g + ¼)) with g = (eˣ - 1) / 4, which does not overflow before sinh does."""
    size = abs(x).at_most(HIGHEST[x.format] + 0.5)
    quarter, p = expm1_parts(size, -2)
    part = quarter * p
    g = fast_two_sum(quarter - 0.25, part)
    ratio = quotient(g, fast_two_sum(quarter, part))
    result = (g.high + ratio.times_plus(0.25, g.low)) * 2.0
    return where(x.is_deep(), x, result.with_sign_of(x))


def cosh(x: Real) -> Real:
    """2 (g + 1 / 16g) with g = eˣ / 4, which does not overflow before cosh does."""
    size = abs(x).at_most(HIGHEST[x.format] + 0.5)
    k, bits = nearest_integer(size, LOG2_E, x.format.bias - 2)
    quarter = power_of_two(bits)
    g = quarter.times_plus(expm1_series(remainder_of_ln2(size, k), EXPM1), quarter)
    return (g + 0.0625 / g) * 2.0


def softplus(x: Real) -> Real:
    """max(x, 0) + log(1 + e⁻ˡˣˡ)."""
    return x.at_least(0.0) + log1p_of_fraction(exp(-abs(x)))


def logaddexp(x: Real, y: Real) -> Real:
    """The larger + log(1 + e⁻ᵈ), where d is the distance."""
    return _larger(x, y) + log1p_of_fraction(exp(-_distance(x, y)))


def logaddexp2(x: Real, y: Real) -> Real:
    """The larger + log₂(1 + 2⁻ᵈ), where d is the distance."""
    return _larger(x, y) + log1p_of_fraction(exp2(-_distance(x, y))) * LOG2_E  # not fused: log₂ 2 is to be 1


def _larger(x: Real, y: Real) -> Real:
    return where(x > y, x, y)


def _distance(x: Real, y: Real) -> Real:
    """|x - y|, which is 0 between equal infinities."""
    return where(x.equals(y), 0.0, abs(x - y))
