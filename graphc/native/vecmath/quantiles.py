"""The inverse of the error function, by Wichura's algorithm AS 241 for the quantiles of the normal distribution."""

from __future__ import annotations

import math

from graphc.native.vecmath.formats import F32
from graphc.native.vecmath.logarithmic import log
from graphc.native.vecmath.pairs import horner
from graphc.native.vecmath.reals import Real, Truth, where
from graphc.ops.quantile import CENTRE, FAR_TAIL, TAIL


def erfinv(x: Real) -> Real:
    """The quantile of (1 + x) / 2 over √2, computed in f64: by one rational function for each of three ranges."""
    if x.format is F32:
        return erfinv(x.wide()).narrow()
    size = abs(x)
    is_central = size <= 0.85
    root = (-log(size.times_plus(-0.5, 0.5))).sqrt()
    is_far = root > 5.0
    place = where(is_central, size.times_plus(size * -0.25, 0.180625), root - where(is_far, 5.0, 1.6))
    ratio = _ratio(place, is_central, is_far)
    quantile = where(is_central, size * 0.5 * ratio, ratio)
    return where(size < 1.0, quantile * math.sqrt(0.5), root).with_sign_of(x)


def _ratio(x: Real, is_central: Truth, is_far: Truth) -> Real:
    """The quotient of two polynomials, those of the range that x lies in."""
    above, below = (
        horner(x, [where(is_central, c, where(is_far, f, t)) for c, t, f in zip(*tables, strict=True)])
        for tables in zip(CENTRE, TAIL, FAR_TAIL, strict=True)
    )
    return above / below
