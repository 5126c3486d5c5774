"""Inverse trigonometric and hyperbolic functions; coefficients by tests/minimax.py.

The hyperbolic ones are log(1 + a) with a as a pair, for a single number's rounding would show.
"""

from __future__ import annotations

import math

from graphc.native.vecmath.formats import F32, F64
from graphc.native.vecmath.logarithmic import log1p
from graphc.native.vecmath.pairs import Pair, fast_two_sum, horner, polynomial, residual, two_sum
from graphc.native.vecmath.reals import Real, real, where

PI = {F32: (3.1415927410125732, -8.742277657347586e-08), F64: (3.141592653589793, 1.2246467991473532e-16)}
ARCTAN = {  # (arctan √z / √z - 1) / z for √z ≤ 1
    F32: (-0.333333, 0.1999853, -0.14264016, 0.10950882, -0.0839932, 0.057881925, -0.031098, 0.010869602,
          -0.0017831392),
    F64: (-0.3333333333333307, 0.19999999999951745, -0.1428571428258249, 0.11111111007016165,
          -0.09090906999499433, 0.07692279766173578, -0.06666403234124513, 0.05880521739033763,
          -0.052534868247794055, 0.04722200068538172, -0.04218824014464607, 0.036634022766340694,
          -0.02989037788134191, 0.02196716382150093, -0.013882894774221553, 0.007183322309235084,
          -0.002877805085502405, 0.0008287000080192555, -0.00015157052312701172, 1.3163837246186852e-05),
}  # fmt: skip
ARCSIN = {  # (arcsin √z / √z - 1) / z for √z ≤ ½
    F32: (0.16666752, 0.074953094, 0.045469154, 0.024184743, 0.042158388),
    F64: (0.16666666666665408, 0.07500000000337143, 0.04464285682821382, 0.030381959141987994,
          0.022371757924337893, 0.01735970673409783, 0.01388521543599201, 0.012169346332233438,
          0.006527380356741664, 0.019529924972809316, -0.016226904845131406, 0.03191411915802171),
}  # fmt: skip
LARGE = {F32: 2.0**30, F64: 2.0**60}  # the square of a larger number leaves no trace of 1 beside it


def arctan(x: Real) -> Real:
    """arctan of |x|, or π/2 - arctan of 1/|x| where that is above 1, with x's sign."""
    size = abs(x)
    is_large = size > 1.0
    ratio = where(is_large, -1.0, size) / where(is_large, size, 1.0)
    return _arctan(ratio, where(is_large, 0.5, 0.0)).with_sign_of(x)


def arctan2(y: Real, x: Real) -> Real:
    """arctan of the smaller of |x| and |y| over the larger, turned into the right octant."""
    height, width = abs(y), abs(x)
    is_steep, is_left = height > width, x.is_negative()
    above, below = where(is_steep, width, height), where(is_steep, height, width)
    ratio_of_same = where(below.equals(0.0), 0.0, 1.0)  # also of infinities
    ratio = where(above.equals(below), ratio_of_same, above / below)
    turned = where(is_steep ^ is_left, -ratio, ratio)
    return _arctan(turned, where(is_steep, 0.5, where(is_left, 1.0, 0.0))).with_sign_of(y)


def _arctan(ratio: Real, turns: Real) -> Real:
    """turns · π + arctan of a ratio of size ≤ 1."""
    z, (high, low) = ratio * ratio, PI[ratio.format]
    tail = (ratio * z).times_plus(horner(z, ARCTAN[ratio.format]), turns * low)
    total = fast_two_sum(turns * high, ratio)
    return total.high + (total.low + tail)


def arcsin(x: Real) -> Real:
    """arcsin |x|, or π/2 - 2 arcsin √(½ - ½|x|) where |x| is above ½, with x's sign."""
    size = abs(x)
    is_large = size > 0.5
    z = where(is_large, size.times_plus(-0.5, 0.5), size * size)
    return _arcsin(where(is_large, z.sqrt() * -2.0, size), z, where(is_large, 0.5, 0.0)).with_sign_of(x)


def arccos(x: Real) -> Real:
    """π/2 - arcsin x, or 2 arcsin √(½ - ½x) where x is above ½, or π less that of -x where x is below -½."""
    size = abs(x)
    is_large = size > 0.5
    z = where(is_large, size.times_plus(-0.5, 0.5), size * size)
    s = where(is_large, (z.sqrt() * 2.0).with_sign_of(x), -x)
    return _arcsin(s, z, where(is_large, where(x < 0.0, 1.0, 0.0), 0.5))


def _arcsin(s: Real, z: Real, turns: Real) -> Real:
    """turns · π + s + s z P(z), where s is ±√z or twice that."""
    high, low = PI[s.format]
    tail = (s * z).times_plus(polynomial(z, ARCSIN[s.format]), turns * low)
    total = fast_two_sum(turns * high, s)
    return total.high + (total.low + tail)


def arcsinh(x: Real) -> Real:
    """log(1 + t + t² / (1 + √(1 + t²))) with t = |x|, with x's sign."""
    size = abs(x)
    part = size * size / (size.times_plus(size, 1.0).sqrt() + 1.0)
    return _log1p(size, Pair(part, real(x.code, 0.0))).with_sign_of(x)


def arccosh(x: Real) -> Real:
    """log(1 + t + √(2t + t²)) with t = x - 1, the root as a pair."""
    t = x - 1.0
    square = t.times_plus(t, t + t)
    root = square.sqrt()
    lost = residual(root, root, square) / (root + root).at_least(x.format.smallest_normal)
    return where(x >= 1.0, _log1p(t, Pair(root, lost)), math.nan)


def _log1p(size: Real, part: Pair) -> Real:
    """log(1 + size + part); where size is so large that squares overflowed, log(1 + size) + log 2."""
    is_large = size > LARGE[size.format]
    argument = two_sum(size, where(is_large, 0.0, part.high))
    low = argument.low + where(is_large, 0.0, part.low)
    return log1p(argument.high, low) + where(is_large, math.log(2), 0.0)


def arctanh(x: Real) -> Real:
    """½ log(1 + 2t + 2t² / (1 - t)) with t = |x|, with x's sign."""
    size = abs(x)
    double = size + size
    argument = two_sum(double, double * size / (1.0 - size))
    result = log1p(argument.high, argument.low) * 0.5
    return where(size <= 1.0, result, math.nan).with_sign_of(x)
