"""Division with a remainder, as NumPy defines it.

The remainder is exact: x - q·y with q up to 2ᵖ⁻¹ is one step without branches, a larger quotient takes a loop around
it. With a list `outside`, the loop is left out, and the condition under which it would be needed is added to the list.
"""

from __future__ import annotations

import math

from graphc.native.vecmath.arithmetic import floor, trunc
from graphc.native.vecmath.pairs import residual
from graphc.native.vecmath.reals import Real, Truth, where


def fmod(x: Real, y: Real, outside: list[Truth] | None = None) -> Real:
    """What a quotient rounded towards zero leaves, with x's sign."""
    dividend, divisor = abs(x), abs(y)
    if outside is None:
        dividend = _with_small_quotient(dividend, divisor)
    else:
        outside.append(_has_large_quotient(dividend, divisor))
    return _remainder(dividend, divisor).with_sign_of(x)


def _has_large_quotient(x: Real, y: Real) -> Truth:
    return (x / y >= x.format.unit) & (y > 0.0) & (x < math.inf)


def _remainder(x: Real, y: Real) -> Real:
    """x modulo y for 0 ≤ x/y ≤ 2ᵖ; x - qy is exact, and negative if the quotient was rounded up."""
    scale = where(y > 1.0, 0.0625, 1.0)  # without fma, numbers are split, and one near the largest would overflow
    dividend, divisor = (x, y) if x.code.has_fma else (x * scale, y * scale)
    rest = residual(trunc(x / y), divisor, dividend)
    rest = where(rest < 0.0, rest + divisor, rest)
    return where(x < y, x, rest if x.code.has_fma else rest / scale)


def _with_small_quotient(x: Real, y: Real) -> Real:
    """x less multiples of y so large that what is left has a quotient below 2ᵖ⁻¹: a loop over steps of p - 2 bits."""
    builder, code = x.code.builder, x.code
    entry, body, done = builder.block, builder.append_basic_block("reduce"), builder.append_basic_block("reduced")
    builder.cbranch(_has_large_quotient(x, y).anywhere(), body, done)
    builder.position_at_end(body)
    rest = Real(code, builder.phi(code.type))
    multiple = _multiple_near(rest, y)
    reduced = _remainder(rest, multiple)
    rest.ir.add_incoming(x.ir, entry)
    rest.ir.add_incoming(reduced.ir, builder.block)
    builder.cbranch(_has_large_quotient(reduced, y).anywhere(), body, done)
    after = builder.block
    builder.position_at_end(done)
    result = builder.phi(code.type)
    result.add_incoming(x.ir, entry)
    result.add_incoming(reduced.ir, after)
    return Real(code, result)


def _multiple_near(x: Real, y: Real) -> Real:
    """y times the power of two that leaves x a quotient of p - 2 bits, or y itself."""
    fmt, is_small = x.format, y < x.format.smallest_normal
    lifted = where(is_small, y * 2.0**fmt.precision, y).bits >> fmt.fraction
    exponent = lifted - is_small.choose(fmt.precision, 0)
    steps = (x.bits >> fmt.fraction) - exponent - (fmt.precision - 2)
    steps = (steps >= fmt.sign_bit).choose(0, steps)  # a sign bit: below 0
    half = steps >> 1
    return y * ((half + fmt.bias) << fmt.fraction).real * ((steps - half + fmt.bias) << fmt.fraction).real


def remainder(x: Real, y: Real, outside: list[Truth] | None = None) -> Real:
    """What floor_divide leaves, with y's sign."""
    rest = fmod(x, y, outside)
    is_other_side = (rest < 0.0) ^ (y < 0.0)
    return where(rest.equals(0.0), abs(rest).with_sign_of(y), where(is_other_side, rest + y, rest))


def floor_divide(x: Real, y: Real, outside: list[Truth] | None = None) -> Real:
    """The largest integer not above the quotient, from the remainder as Python does it; x / y where y is 0."""
    rest = fmod(x, y, outside)
    is_other_side = ((rest < 0.0) ^ (y < 0.0)) & ~rest.equals(0.0)
    quotient = (x - rest) / y - where(is_other_side, 1.0, 0.0)
    whole = floor(quotient)
    whole = where(quotient - whole > 0.5, whole + 1.0, whole)
    ratio = x / y
    return where(y.equals(0.0), ratio, where(quotient.equals(0.0), quotient.with_sign_of(ratio), whole))
