"""Polygamma and spherical Bessel functions of a known order, computed in f64."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir

from graphc.native import vecmath
from graphc.native.code.scalars import Value, cast, intrinsic

DType = np.dtype[Any]
F64 = np.dtype("float64")
DOUBLE = ir.DoubleType()
LARGEST_ORDER = 40
"""Above it, the recurrences here would overflow."""
LOW_ORDER, TERMS = 6, 16
"""Up to that order, so many terms of its series are enough below it, as exact as the recurrence and much faster."""
FAR = 9.0
"""Where the asymptotic series of the zeta function begins."""
BERNOULLI = (
    12.0, -720.0, 30240.0, -1209600.0, 47900160.0, -1.8924375803183791606e9, 7.47242496e10, -2.950130727918164224e12,
    1.1646782814350067249e14, -4.5979787224074726105e15, 1.8152105401943546773e17, -7.1661652561756670113e18,
)  # fmt: skip
"""(2k)! / B₂ₖ: the coefficients of Euler and Maclaurin."""


def _f64(value: float) -> Any:
    return ir.Constant(DOUBLE, value)


def _in_f64(compute: Callable[[ir.IRBuilder, Any, int], Any]) -> Callable[..., Any]:
    def emitter(b: ir.IRBuilder, dtype: DType, x: Any, *, order: int) -> Any:
        return cast(b, Value(compute(b, cast(b, Value(x, dtype), F64).ir, order), F64), dtype).ir

    return emitter


def _power(b: ir.IRBuilder, x: Any, exponent: int) -> Any:
    """x to a positive integer power, by squaring."""
    result = None
    while exponent:
        if exponent & 1:
            result = x if result is None else b.fmul(result, x)
        exponent >>= 1
        x = b.fmul(x, x) if exponent else x
    return result


def _zeta(b: ir.IRBuilder, q: Any, s: int) -> Any:
    """Σ (q + k)⁻ˢ over k ≥ 0, for an integer s ≥ 2: the first terms up to q + k > 9, then Euler and Maclaurin.

    NIST DLMF 25.11.43 and the sum that Cephes' zeta takes; infinite at 0 and the negative integers.
    """
    total, last, place = _first_terms(b, q, s)
    settled = b.fcmp_ordered("<", intrinsic(b, "fabs", last), b.fmul(intrinsic(b, "fabs", total), _f64(2.0**-54)))
    series = b.fadd(total, b.fdiv(b.fmul(last, place), _f64(s - 1.0)))
    series = b.fsub(series, b.fmul(last, _f64(0.5)))
    rising, falling, step = 1.0, last, b.fmul(place, place)
    for k, coefficient in enumerate(BERNOULLI):
        falling = b.fdiv(falling, place if k == 0 else step)
        rising *= s if k == 0 else (s + 2 * k - 1) * (s + 2 * k)
        series = b.fadd(series, b.fmul(falling, _f64(rising / coefficient)))
    far = b.fcmp_ordered(">", q, _f64(1e8))
    alone = b.fmul(b.fadd(_f64(1 / (s - 1)), b.fdiv(_f64(0.5), q)), _power(b, b.fdiv(_f64(1.0), q), s - 1))
    pole = b.and_(b.fcmp_ordered("<=", q, _f64(0.0)), b.fcmp_ordered("==", q, intrinsic(b, "floor", q)))
    return b.select(pole, _f64(math.inf), b.select(far, alone, b.select(settled, total, series)))


def _first_terms(b: ir.IRBuilder, q: Any, s: int) -> tuple[Any, Any, Any]:
    """The sum of terms, nine or as many as it takes to pass 9; the last of them, and where it is."""
    before, head, done = b.block, b.append_basic_block("terms"), b.append_basic_block("far")
    first = _power(b, b.fdiv(_f64(1.0), q), s)
    b.branch(head)
    b.position_at_end(head)
    count, total, place = (b.phi(kind) for kind in (ir.IntType(64), DOUBLE, DOUBLE))
    for phi, start in ((count, ir.IntType(64)(0)), (total, first), (place, q)):
        phi.add_incoming(start, before)
    following = b.fadd(place, _f64(1.0))
    term = _power(b, b.fdiv(_f64(1.0), following), s)
    sum_, number = b.fadd(total, term), b.add(count, ir.IntType(64)(1))
    near = b.and_(b.fcmp_ordered("<=", following, _f64(FAR)), b.fcmp_ordered(">", q, _f64(-1e4)))
    more = b.or_(b.icmp_signed("<", number, ir.IntType(64)(9)), near)
    for phi, value in ((count, number), (total, sum_), (place, following)):
        phi.add_incoming(value, b.block)
    b.cbranch(more, head, done)
    b.position_at_end(done)
    return sum_, term, following


def _polygamma(b: ir.IRBuilder, x: Any, order: int) -> Any:
    """(-1)ⁿ⁺¹ n! ζ(n + 1, x)."""
    if order == 0:
        return vecmath.emit(b, "digamma", x)
    return b.fmul(_zeta(b, x, order + 1), _f64((-1.0) ** (order + 1) * math.factorial(order)))


def _spherical_jn(b: ir.IRBuilder, x: Any, order: int) -> Any:
    """By recurrence upwards where x is above the order, downwards below it, and by its series below 1, or below a low
    order; jₙ has n's parity. NIST DLMF 10.51.1, 10.53.1."""
    size = intrinsic(b, "fabs", x)
    infinite = b.fcmp_ordered("==", size, _f64(math.inf))
    safe = b.select(infinite, _f64(1.0), size)
    upwards = _upwards(b, safe, order)
    if order:
        below = _series(b, safe, order)
        if order > LOW_ORDER:
            small = b.fcmp_ordered("<", safe, _f64(1.0))
            below = b.select(small, below, _downwards(b, b.select(small, _f64(1.0), safe), order))
        upwards = b.select(b.fcmp_ordered("<=", safe, _f64(order)), below, upwards)
    else:
        upwards = b.select(b.fcmp_ordered("==", safe, _f64(0.0)), _f64(1.0), upwards)
    signed = b.select(b.fcmp_ordered("<", x, _f64(0.0)), b.fneg(upwards), upwards) if order % 2 else upwards
    return b.select(infinite, _f64(0.0), signed)


def _first_two(b: ir.IRBuilder, x: Any) -> tuple[Any, Any]:
    zeroth = b.fdiv(vecmath.emit(b, "sin", x), x)
    return zeroth, b.fdiv(b.fsub(zeroth, vecmath.emit(b, "cos", x)), x)


def _upwards(b: ir.IRBuilder, x: Any, order: int) -> Any:
    if order == 0:
        return b.fdiv(vecmath.emit(b, "sin", x), x)
    before, now = _first_two(b, x)
    for n in range(1, order):
        before, now = now, b.fsub(b.fdiv(b.fmul(now, _f64(2 * n + 1)), x), before)
    return now


def _downwards(b: ir.IRBuilder, x: Any, order: int) -> Any:
    """Miller's algorithm, its scale that of the larger of j₀ and j₁."""
    above, now, wanted = _f64(0.0), _f64(2.0**-500), None
    for n in range(order + 25 + 2 * math.isqrt(10 * order), 0, -1):
        above, now = now, b.fsub(b.fdiv(b.fmul(now, _f64(2 * n + 1)), x), above)
        if n - 1 == order:
            wanted = now
    zeroth, first = _first_two(b, x)
    larger = b.fcmp_ordered(">", intrinsic(b, "fabs", zeroth), intrinsic(b, "fabs", first))
    scale = b.select(larger, b.fdiv(zeroth, now), b.fdiv(first, above))
    return b.fmul(wanted, scale)


def _series(b: ir.IRBuilder, x: Any, order: int) -> Any:
    """xⁿ / (2n + 1)!! · Σ (-x²/2)ᵏ / (k! (2n + 3) ⋯ (2n + 2k + 1))"""
    half, result = b.fmul(b.fmul(x, x), _f64(-0.5)), _f64(1.0)
    for k in range(TERMS, 0, -1):
        factor = _f64(1 / (k * (2 * order + 2 * k + 1)))
        result = b.fadd(_f64(1.0), b.fmul(b.fmul(half, factor), result))
    return b.fmul(b.fdiv(_power(b, x, order), _f64(math.prod(range(1, 2 * order + 2, 2)))), result)


polygamma, spherical_jn = map(_in_f64, (_polygamma, _spherical_jn))
