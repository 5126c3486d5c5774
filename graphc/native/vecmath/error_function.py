"""The error function and its complement; coefficients by tests/minimax.py."""

from __future__ import annotations

from itertools import zip_longest

from graphc.native.vecmath.exponential import EXPM1, LOG2_E, exp, nearest_integer, scaled
from graphc.native.vecmath.formats import F32, F64
from graphc.native.vecmath.logarithmic import LN2_HIGH, LN2_LOW
from graphc.native.vecmath.pairs import (
    Pair,
    fast_two_sum,
    horner,
    polynomial,
    product_of_pairs,
    reciprocal,
    two_product,
    two_sum,
)
from graphc.native.vecmath.reals import Real, real, where

EDGE = 0.8125  # erfc(0.8134) = ¼: above, units in the last place are half as large
HIGHEST = {F32: 10.5, F64: 28.0}  # erfc rounds to 0 above
ERF = {  # erf(√z) / √z - 1 for √z ≤ 0.875
    F32: (0.12837917, -0.3761263, 0.11283623, -0.026855364, 0.0051909406, -0.0008026358, 7.866859e-05),
    F64: (0.1283791670955126, -0.3761263890318413, 0.11283791670974289, -0.026866170648918712,
          0.005223977663841034, -0.0008548329290993829, 0.00012055416123093, -1.4927591968206641e-05,
          1.6490750431289587e-06, -1.661786555717091e-07, 1.5911660701641345e-08,
          -1.2874282820809974e-09),
}  # fmt: skip
ERF_FAR = {  # exp(x²) erfc(x) as a function of 1 / (x + 2) - 3/16, for 0.8125 ≤ x ≤ 4 or 6, as good as 1 - erf(x) needs
    F32: (0.16249162, 1.2830764, 2.9617624, 4.4900074, 3.5546856, -8.547099, 1.8761178),
    F64: (0.162489960930135, 1.2832074209404734, 2.957573840210526, 4.560970881716338, 2.8627831076702193,
          -4.675169172204138, -9.217347394813356, 7.9949282626394576, 28.449162590996323, -33.23310805957258,
          -85.70091924059184, 236.37652166055977, -180.71021486734818),
}  # fmt: skip
SCALED_ERFC = {  # (x + 3) exp(x²) erfc(x) as a function of 1 / (x + 3) - 1/8, for 0.8125 ≤ x ≤ 10.1 or 27.3
    F32: (0.8856371, 3.8372917, 14.327865, 44.863968, 111.88094, 196.69293, 136.43091, -526.7577, -815.66797),
    F64: (0.885637101864549, 3.8372915446746787, 14.327854933924174, 44.86436692630201, 111.89447554026057,
          196.3491801333723, 133.99749491147102, -431.2999270267998, -1390.0540019227435,
          -297.981695481493, 6686.614752438057, 9582.225842381584, -30569.926446499674,
          -83904.10744023419, 160665.8960982729, 638255.7904909776, -1171570.0943350294,
          -3841094.7727470663, 10476855.11149649, -2728064.3512290553),
}  # fmt: skip


def erf(x: Real) -> Real:
    """x + x P(x²), or 1 - exp(-x²) Q(1 / (|x| + 2) - 3/16) for larger |x|, with x's sign.

    One chain computes the polynomial of either side, with its coefficients; LLVM computes an exp(-x²) beside it once.
    """
    size, square = abs(x), x * x
    is_near, tables = size < EDGE, (ERF[x.format], ERF_FAR[x.format])
    place = where(is_near, square, 1.0 / (size + 2.0) - 0.1875)
    value = horner(place, [where(is_near, p, q) for p, q in zip_longest(*tables, fillvalue=0.0)])
    rest = (-exp(-square)).times_plus(value, 1.0)
    return where(is_near, x.times_plus(value, x), rest.with_sign_of(x))


def erfc(x: Real) -> Real:
    """1 - x - x P(x²), or exp(-x²) Q(1 / (|x| + 3) - 1/8) / (|x| + 3), or 2 less that for negative x."""
    near = (1.0 - x) - x * horner(x * x, ERF[x.format])
    size = abs(x).at_most(HIGHEST[x.format])
    far = _erfc(size)
    return where(size < EDGE, near, where(x < 0.0, 2.0 - far, far))


def _erfc(x: Real) -> Real:
    """The far case, its factors as pairs: a product of three has no rounding to spare."""
    inverse = reciprocal(two_sum(x, 3.0))
    square = two_product(x, x)
    k, bits = nearest_integer(square.high, -LOG2_E, 2 * x.format.bias)
    high = k.times_plus(-LN2_HIGH[x.format], -square.high)
    r = fast_two_sum(high, -k.times_plus(LN2_LOW[x.format], square.low))
    p = fast_two_sum(r.high, (r.high * r.high).times_plus(polynomial(r.high, EXPM1[x.format]), r.low))
    power = fast_two_sum(real(x.code, 1.0), p.high)
    power = Pair(power.high, power.low + p.low)
    product = product_of_pairs(product_of_pairs(_scaled_erfc(inverse), power), inverse)
    return scaled(product.high + product.low, bits)


def _scaled_erfc(inverse: Pair) -> Pair:
    """The polynomial Q in 1 / (x + 3) - 1/8."""
    moved = fast_two_sum(real(inverse.high.code, -0.125), inverse.high)
    t = Pair(moved.high, moved.low + inverse.low)
    first, second, *others = SCALED_ERFC[t.high.format]
    outer = product_of_pairs(t, two_sum(t.high * horner(t.high, others), second))
    total = two_sum(outer.high, first)
    return Pair(total.high, total.low + outer.low)
