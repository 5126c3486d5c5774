"""The error function and its complement; coefficients by tests/minimax.py."""

from __future__ import annotations

from itertools import zip_longest

from graphc.native.vecmath.exponential import exp, power_parts, scaled
from graphc.native.vecmath.formats import F32, F64
from graphc.native.vecmath.pairs import horner, polynomial, residual, two_product, two_sum
from graphc.native.vecmath.reals import Real, where

EDGE = 0.8125  # from where on erf(x) is taken from 1
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
HIGHEST = {F32: 10.5, F64: 28.0}  # erfc rounds to 0 above
SHIFT = 0.75  # (x + ¾) exp(x²) erfc(x) is ¾ at 0, at most 0.78, and 0.56 in the end
SCALED_ERFC = {  # ((x + ¾) exp(x²) erfc(x) / ¾ - 1) / (1 - y), y = ¾ / (x + ¾), by y - ½, for x ≤ 10.06 or 27.3
    F32: (0.027750608, 0.4156722, -0.40585345, 0.089712925, 0.33186364, -0.6364607, 0.619792, -0.2087035, -0.38200402,
          1.402226, -3.6008868, 2.747749, 5.2439218, -7.2152624),
    F64: (0.027750601172579218, 0.4156722998695445, -0.4058494592020286, 0.08970215101638178, 0.3315042006413609,
          -0.6360769832068899, 0.6316938813945527, -0.21539678449461166, -0.5677998031582998, 1.4855648612577081,
          -2.1211182214283313, 1.9427027288962135, -0.45909830585384964, -2.539250803979449, 6.70092054317411,
          -10.75773273670489, 11.832746984543439, -7.363081209909604, 4.5619202189660415, 11.730687780222608,
          -179.24088871718394, 286.4269977476119, 1082.2596601822597, -1679.3177677557032, -9135.254878153528,
          12484.473588727833, 53409.31997896099, -71868.5817709603, -224557.90579285802, 297921.326342441,
          694191.3259025131, -927046.0256638972, -1435901.7635760522, 1987772.027616437, 1721131.3956184774,
          -2507316.6116962177, -896051.9677123186, 1378178.4470727802),
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
    """exp(-x²) y (1 + (1 - y) Q(y - ½)) with y = ¾ / (|x| + ¾), or 2 less that for negative x.

    exp(-x²) is 2ᵏ (1 + p), written as `exp` writes it, so that LLVM computes one beside it once. A product of three has
    no rounding to spare: what x², y and y (1 + p) lose is carried along to the last sum.
    """
    size = abs(x).at_most(HIGHEST[x.format])
    below, square = two_sum(size, SHIFT), two_product(size, size)
    y = SHIFT / below.high
    lost = (-y).times_plus(below.low, residual(y, below.high, SHIFT)).times_plus(1 / SHIFT, -square.low)
    p, bits = power_parts(-(x * x))
    power = y.times_plus(p, y)
    rest = (1.0 - y) * polynomial(y - 0.5, SCALED_ERFC[x.format])
    rest = lost.times_plus(rest + 1.0, rest)
    far = scaled(power + power.times_plus(rest, y.times_plus(p, y - power)), bits)
    return where(x < 0.0, 2.0 - far, far)
