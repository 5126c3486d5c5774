"""Polynomials, and sums, products and quotients of numbers that carry their rounding errors along.

Dekker: "A floating-point technique for extending the available precision", Numerische Mathematik 18 (1971); Knuth: The
Art of Computer Programming, volume 2, section 4.2.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from graphc.native.vecmath.reals import Number, Real, real


class Pair(NamedTuple):
    """The number high + low, where low is small beside high."""

    high: Real
    low: Real


def polynomial(x: Real, coefficients: Sequence[float]) -> Real:
    """c₀ + c₁x + c₂x² + …; from six terms on as two sums in x², which run side by side."""
    if len(coefficients) < 6:
        return horner(x, coefficients)
    square = x * x
    return horner(square, coefficients[1::2]).times_plus(x, horner(square, coefficients[::2]))


def horner(x: Real, coefficients: Sequence[Number]) -> Real:
    """The same as one chain, which loses less where large terms alternate."""
    total = real(x.code, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        total = total.times_plus(x, coefficient)
    return total


def two_sum(a: Real, b: Number) -> Pair:
    """a + b exactly."""
    total = a + b
    rest = total - a
    return Pair(total, (a - (total - rest)) + (b - rest))


def fast_two_sum(a: Real, b: Number) -> Pair:
    """a + b exactly, for |a| ≥ |b| or a = 0, or where a is a multiple of the last place of b."""
    total = a + b
    return Pair(total, b - (total - a))


def two_product(a: Real, b: Number) -> Pair:
    """a · b exactly, unless a part of it over- or underflows."""
    product = a * b
    if a.code.has_fma:
        return Pair(product, a.times_plus(b, -product))
    (a1, a0), (b1, b0) = _halves(a), _halves(real(a.code, b))
    return Pair(product, ((a1 * b1 - product) + a1 * b0 + a0 * b1) + a0 * b0)


def _halves(a: Real) -> tuple[Real, Real]:
    """Two numbers of half the precision whose sum is a."""
    count = (a.format.precision + 1) // 2
    high = ((a.bits + (1 << (count - 1))) & -(1 << count)).real
    return high, a - high


def residual(a: Real, b: Number, c: Number) -> Real:
    """c - a b, for c near a b."""
    if a.code.has_fma:
        return (-a).times_plus(b, c)
    product = two_product(a, b)
    return (c - product.high) - product.low


def product_of_pairs(a: Pair, b: Pair) -> Pair:
    """The product of two pairs, its low part rounded."""
    product = two_product(a.high, b.high)
    return Pair(product.high, a.high.times_plus(b.low, a.low.times_plus(b.high, product.low)))


def reciprocal(a: Pair) -> Pair:
    """One over a pair, its low part rounded."""
    first = 1.0 / a.high
    return fast_two_sum(first, first * (residual(first, a.high, 1.0) - first * a.low))


def quotient(above: Pair, below: Pair) -> Real:
    """The quotient of two pairs, rounded once or nearly."""
    inverse = 1.0 / below.high
    first = above.high * inverse
    left = residual(first, below.high, above.high) + first.times_plus(-below.low, above.low)
    return left.times_plus(inverse, first)
