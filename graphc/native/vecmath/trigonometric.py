"""Sine, cosine and tangent: from those of |x| - qπ/2, minimax polynomials (tests/minimax.py).

Reducing huge arguments costs two to five times as much as the rest. With a list `outside`, only the short reduction is
written, and the condition under which its result is wrong is added to the list.
"""

from __future__ import annotations

from collections.abc import Callable

from graphc.native.vecmath import angles
from graphc.native.vecmath.angles import Angle
from graphc.native.vecmath.formats import F32, F64
from graphc.native.vecmath.pairs import Pair, fast_two_sum, polynomial, quotient
from graphc.native.vecmath.reals import Bits, Real, Truth, real, where

SIN = {  # (sin √z / √z - 1) / z for √z ≤ π/4
    F32: (-0.16666655, 0.008332188, -0.00019518095),
    F64: (-0.1666666666666663, 0.00833333333332184, -0.00019841269829358533, 2.7557313538517647e-06,
          -2.505073438996901e-08, 1.589543333793094e-10),
}  # fmt: skip
COS = {  # (cos √z - 1 + z/2) / z² for √z ≤ π/4
    F32: (0.041666646, -0.0013887301, 2.443067e-05),
    F64: (0.0416666666666666, -0.0013888888888874457, 2.4801587289652868e-05, -2.7557314393874654e-07,
          2.0875728112277982e-09, -1.1359865092453584e-11),
}  # fmt: skip


def sin(x: Real, outside: list[Truth] | None = None) -> Real:
    """± sin r or ± cos r, with x's sign."""
    (r, _), quarters = _reduced(x, angles.near, outside)
    return _signed(where(_is_odd(quarters), cosine(r), sine(r)), quarters >> 1, x.bits)


def cos(x: Real, outside: list[Truth] | None = None) -> Real:
    """± cos r or ± sin r."""
    (r, _), quarters = _reduced(x, angles.near, outside)
    return _signed(where(_is_odd(quarters), sine(r), cosine(r)), (quarters + 1) >> 1, quarters & 0)


def tan(x: Real, outside: list[Truth] | None = None) -> Real:
    """sin r / cos r or its negative reciprocal, with x's sign."""
    (r, low), quarters = _reduced(x, angles.near_exactly, outside)
    z, is_odd = r * r, _is_odd(quarters)
    sin_r = fast_two_sum(r, (r * z).times_plus(polynomial(z, SIN[x.format]), low))
    tail = (z * z).times_plus(polynomial(z, COS[x.format]), r * -low)
    cos_r = fast_two_sum(real(x.code, 1.0), z.times_plus(-0.5, tail))
    above = Pair(*(where(is_odd, c, s) for c, s in zip(cos_r, sin_r, strict=True)))
    below = Pair(*(where(is_odd, s, c) for c, s in zip(cos_r, sin_r, strict=True)))
    return _signed(quotient(above, below), quarters, x.bits)


def _reduced(x: Real, near: Callable[[Real], Angle], outside: list[Truth] | None) -> Angle:
    """The angle of |x|, by `near` alone where its limit may be reported."""
    size = abs(x)
    if outside is None:
        return angles.anywhere(size, near)
    outside.append(size > angles.limit(x.code))
    return near(size)


def sine(r: Real) -> Real:
    """sin r for |r| ≤ π/4."""
    z = r * r
    return (r * z).times_plus(polynomial(z, SIN[r.format]), r)


def cosine(r: Real) -> Real:
    """cos r for |r| ≤ π/4."""
    z = r * r
    return (z * z).times_plus(polynomial(z, COS[r.format]), z.times_plus(-0.5, 1.0))


def _is_odd(quarters: Bits) -> Truth:
    return (quarters & 1).equals(1)


def _signed(x: Real, count: Bits, sign: Bits) -> Real:
    """x, negative if the count is odd, and once more if the sign bit is set."""
    flip = ((count << (x.format.width - 1)) ^ sign) & x.format.sign_bit
    return (x.bits ^ flip).real
