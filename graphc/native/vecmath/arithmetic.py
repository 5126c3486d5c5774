"""Rounding, signs, extremes and neighbours, as NumPy defines them."""

from __future__ import annotations

import math
from collections.abc import Callable

from graphc.native.vecmath.reals import Real, integer, where


def _rounding(name: str, correction: Callable[[Real, Real], Real]) -> Callable[[Real], Real]:
    """A rounding instruction, or where the target may lack it, the nearest integer corrected."""

    def rounded(x: Real) -> Real:
        if x.code.has_fma:  # every processor with fma rounds in one instruction
            return x.intrinsic(name)
        size, unit = abs(x), x.format.unit
        nearest = ((size + unit) - unit).with_sign_of(x)
        return where(size < unit, correction(nearest, x).with_sign_of(x), x)

    return rounded


rint = _rounding("rint", lambda nearest, x: nearest)
floor = _rounding("floor", lambda nearest, x: nearest - where(nearest > x, 1.0, 0.0))
ceil = _rounding("ceil", lambda nearest, x: nearest + where(nearest < x, 1.0, 0.0))
trunc = _rounding("trunc", lambda nearest, x: abs(nearest) - where(abs(nearest) > abs(x), 1.0, 0.0))


def fmax(x: Real, y: Real) -> Real:
    """The larger; the other where one is NaN."""
    return where((x > y) | y.is_nan(), x, y)


def fmin(x: Real, y: Real) -> Real:
    """The smaller; the other where one is NaN."""
    return where((x < y) | y.is_nan(), x, y)


def heaviside(x: Real, at_zero: Real) -> Real:
    """0 where x is negative, 1 where it is positive, the second operand where it is 0, NaN where it is NaN."""
    step = where(x < 0.0, 0.0, 1.0)
    return where(x.is_nan(), x, where(x.equals(0.0), at_zero, step))


def nextafter(x: Real, y: Real) -> Real:
    """The next float after x towards y: one more or one less in the bits, which from 0 is the smallest subnormal."""
    is_up = (x < y) ^ x.is_negative()
    moved = (x.bits + is_up.choose(1, -1)).real
    smallest = integer(x.code, 1).real.with_sign_of(y)
    different = where(x.equals(0.0), smallest, moved)
    return where(x.equals(y), y, where(x.is_nan() | y.is_nan(), x + y, different))


def spacing(x: Real) -> Real:
    """The distance to the next float away from 0, with x's sign."""
    size = abs(x)
    step = (size.bits + 1).real - size
    return where(size < math.inf, where(x < 0.0, -step, step), math.nan)
