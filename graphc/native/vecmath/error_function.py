"""The error function and its complement; coefficients by tests/minimax.py."""

from __future__ import annotations

from graphc.native.vecmath.exponential import (
    EXPM1,
    LOG2_E,
    expm1_series,
    nearest_integer,
    power_of_two,
    remainder_of_ln2,
    scaled,
)
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

EDGE = 0.875
EDGE_OF_COMPLEMENT = 0.8125  # erfc(0.8134) = ¼: above, units in the last place are half as large
SATURATED = {F32: 4.0, F64: 6.0}  # erf rounds to 1 above
HIGHEST = {F32: 10.5, F64: 28.0}  # erfc rounds to 0 above
ERF = {  # erf(√z) / √z - 1 for √z ≤ 0.875
    F32: (0.12837917, -0.3761263, 0.11283623, -0.026855364, 0.0051909406, -0.0008026358, 7.866859e-05),
    F64: (0.1283791670955126, -0.3761263890318413, 0.11283791670974289, -0.026866170648918712,
          0.005223977663841034, -0.0008548329290993829, 0.00012055416123093, -1.4927591968206641e-05,
          1.6490750431289587e-06, -1.661786555717091e-07, 1.5911660701641345e-08,
          -1.2874282820809974e-09),
}  # fmt: skip
LOG_ERFC = {  # log erfc(0.875 + t) up to 4 or 6, as good as 1 less its exponential needs
    F32: (-1.5328244, -2.4302227, -0.8265084, -0.047014844, 0.011491925, -0.002246135, 0.000253732),
    F64: (-1.5328244365985517, -2.4302197229548104, -0.8265416933356079, -0.04689605451965739,
          0.011323339210747197, -0.002143994512528573, 0.00020077371512641472, 5.932057216488999e-05,
          -3.944472169100053e-05, 1.2270106648481087e-05, -2.1582773432452925e-06,
          -3.769617603260038e-08, 1.754983989078745e-07, -6.737105913020848e-08, 1.5210601423406146e-08,
          -2.2017868074355554e-09, 1.8990060315244502e-10, -7.4505285086002e-12),
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
    """x + x P(x²), or 1 - exp(log erfc |x|) for larger |x|, with x's sign."""
    size = abs(x)
    near = x.times_plus(horner(x * x, ERF[x.format]), x)
    log = polynomial(size.at_most(SATURATED[x.format]) - EDGE, LOG_ERFC[x.format])
    k, bits = nearest_integer(log, LOG2_E, x.format.bias)
    power, p = power_of_two(bits), expm1_series(remainder_of_ln2(log, k), EXPM1)
    far = power.times_plus(-p, 1.0 - power)
    return where(size < EDGE, near, far.with_sign_of(x))


def erfc(x: Real) -> Real:
    """1 - x - x P(x²), or exp(-x²) Q(1 / (|x| + 3) - 1/8) / (|x| + 3), or 2 less that for negative x."""
    near = (1.0 - x) - x * horner(x * x, ERF[x.format])
    size = abs(x).at_most(HIGHEST[x.format])
    far = _erfc(size)
    return where(size < EDGE_OF_COMPLEMENT, near, where(x < 0.0, 2.0 - far, far))


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
