"""Elementwise ops on integers and truth values, and on the bits of floats, with NumPy's answers where C has none.

Nothing here traps: division by 0 gives 0, the smallest integer divided by -1 gives itself, a shift beyond the width
leaves nothing but signs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir

from graphc.native.code.scalars import Value, cast, intrinsic, number, rounded, with_sign

DType = np.dtype[Any]
F64, I64 = np.dtype("float64"), np.dtype("int64")


def _constant(x: Any, value: int) -> Any:
    return ir.Constant(x.type, value)


def _is_negative(b: ir.IRBuilder, x: Any) -> Any:
    return b.icmp_signed("<", x, _constant(x, 0))


def _both(b: ir.IRBuilder, dtype: DType, x: Any, y: Any) -> tuple[Any, Any, Any]:
    """The quotient towards zero, what it leaves, and whether y is 0, with 1 in y's place where C has no answer."""
    nothing = b.icmp_unsigned("==", y, _constant(y, 0))
    lowest = b.and_(b.icmp_unsigned("==", x, _constant(x, -(1 << (x.type.width - 1)))),
                    b.icmp_unsigned("==", y, _constant(y, -1)))  # fmt: skip
    if dtype.kind != "i":
        safe = b.select(nothing, _constant(y, 1), y)
        return b.udiv(x, safe), b.urem(x, safe), nothing
    safe = b.select(b.or_(nothing, lowest), _constant(y, 1), y)
    return b.sdiv(x, safe), b.srem(x, safe), nothing


def _points_up(b: ir.IRBuilder, dtype: DType, rest: Any, y: Any) -> Any:
    """Whether a quotient that was rounded towards zero lies above the exact one."""
    if dtype.kind != "i":
        return ir.Constant(ir.IntType(1), 0)
    inexact = b.icmp_unsigned("!=", rest, _constant(rest, 0))
    return b.and_(inexact, _is_negative(b, b.xor(rest, y)))


def floor_divide(b: ir.IRBuilder, dtype: DType, x: Any, y: Any) -> Any:
    """The largest integer not above the quotient."""
    quotient, rest, nothing = _both(b, dtype, x, y)
    lower = b.sub(quotient, _constant(x, 1))
    return b.select(nothing, _constant(x, 0), b.select(_points_up(b, dtype, rest, y), lower, quotient))


def remainder(b: ir.IRBuilder, dtype: DType, x: Any, y: Any) -> Any:
    """What floor_divide leaves."""
    _, rest, nothing = _both(b, dtype, x, y)
    return b.select(nothing, _constant(x, 0), b.select(_points_up(b, dtype, rest, y), b.add(rest, y), rest))


def fmod(b: ir.IRBuilder, dtype: DType, x: Any, y: Any) -> Any:
    """What a quotient rounded towards zero leaves."""
    _, rest, nothing = _both(b, dtype, x, y)
    return b.select(nothing, _constant(x, 0), rest)


def power(b: ir.IRBuilder, dtype: DType, x: Any, p: Any) -> Any:
    """x to a power that is not negative, by squaring, modulo the width."""

    def step(left: Any, square: Any, result: Any) -> list[Any]:
        odd = b.trunc(left, ir.IntType(1))
        product = b.select(odd, b.mul(result, square), result)
        return [b.lshr(left, _constant(left, 1)), b.mul(square, square), product]

    return _while_not_zero(b, [p, x, _constant(x, 1)], step)[2]


def gcd(b: ir.IRBuilder, dtype: DType, x: Any, y: Any) -> Any:
    """The greatest common divisor, by Euclid."""
    x, y = (_magnitude(b, dtype, value) for value in (x, y))
    return _while_not_zero(b, [x, y], lambda small, large: [b.urem(large, small), small])[1]


def lcm(b: ir.IRBuilder, dtype: DType, x: Any, y: Any) -> Any:
    """The lowest common multiple, modulo the width."""
    divisor = gcd(b, dtype, x, y)
    x, y = (_magnitude(b, dtype, value) for value in (x, y))
    nothing = b.icmp_unsigned("==", divisor, _constant(divisor, 0))
    whole = b.udiv(x, b.select(nothing, _constant(x, 1), divisor))
    return b.select(nothing, _constant(x, 0), b.mul(whole, y))


def _magnitude(b: ir.IRBuilder, dtype: DType, x: Any) -> Any:
    return b.select(_is_negative(b, x), b.neg(x), x) if dtype.kind == "i" else x


def _while_not_zero(b: ir.IRBuilder, start: list[Any], step: Callable[..., list[Any]]) -> list[Any]:
    """Repeat a step on some values until the first of them is 0."""
    before, function = b.block, b.function
    head, body, done = (function.append_basic_block(name) for name in ("head", "body", "done"))
    b.branch(head)
    b.position_at_end(head)
    phis = [b.phi(value.type) for value in start]
    b.cbranch(b.icmp_unsigned("!=", phis[0], _constant(phis[0], 0)), body, done)
    b.position_at_end(body)
    following = step(*phis)
    for phi, first, other in zip(phis, start, following, strict=True):
        phi.add_incoming(first, before)
        phi.add_incoming(other, b.block)
    b.branch(head)
    b.position_at_end(done)
    return phis


def left_shift(b: ir.IRBuilder, dtype: DType, x: Any, places: Any) -> Any:
    """The bits moved up."""
    fits, within = _places(b, x, places)
    return b.select(fits, b.shl(x, within), _constant(x, 0))


def right_shift(b: ir.IRBuilder, dtype: DType, x: Any, places: Any) -> Any:
    """The bits moved down; the sign stays."""
    fits, within = _places(b, x, places)
    if dtype.kind != "i":
        return b.select(fits, b.lshr(x, within), _constant(x, 0))
    return b.ashr(x, b.select(fits, within, _constant(x, x.type.width - 1)))


def _places(b: ir.IRBuilder, x: Any, places: Any) -> tuple[Any, Any]:
    """Whether a shift is below the width, and a shift that is."""
    fits = b.icmp_unsigned("<", places, _constant(x, x.type.width))
    return fits, b.select(fits, places, _constant(x, 0))


def bitwise_count(b: ir.IRBuilder, dtype: DType, x: Any) -> Any:
    """How many bits are set in the absolute value, in 8 bits."""
    count = intrinsic(b, "ctpop", _magnitude(b, dtype, x))
    return b.trunc(count, ir.IntType(8)) if count.type.width > 8 else count


def reciprocal(b: ir.IRBuilder, dtype: DType, x: Any) -> Any:
    """One over the element, rounded towards zero; of 0, what infinity converts to."""
    one = number(1, F64)
    return cast(b, Value(b.fdiv(one.ir, cast(b, Value(x, dtype), F64).ir), F64), dtype).ir


def signbit(b: ir.IRBuilder, dtype: DType, x: Any) -> Any:
    """Whether the sign bit is set."""
    if dtype.kind == "f":
        x = b.bitcast(x, ir.IntType(32 if isinstance(x.type, ir.FloatType) else 64))
    return _is_negative(b, x) if dtype.kind in "if" else ir.Constant(ir.IntType(1), 0)


def round(b: ir.IRBuilder, dtype: DType, x: Any, *, decimals: int) -> Any:
    """The nearest number with so many decimals, as NumPy computes it: scaled, rounded, scaled back."""
    if dtype.kind != "f":
        if decimals >= 0:
            return x
        wide = round(b, F64, cast(b, Value(x, dtype), F64).ir, decimals=decimals)
        return cast(b, Value(wide, F64), dtype).ir
    if not decimals:
        return intrinsic(b, "rint", x)
    with np.errstate(over="ignore"):
        scale = number(dtype.type(10.0 ** abs(decimals)), dtype).ir
    there, back = (b.fmul, b.fdiv) if decimals > 0 else (b.fdiv, b.fmul)
    return back(intrinsic(b, "rint", rounded(b, there(x, scale), dtype)), scale)


def _power_of_two(b: ir.IRBuilder, exponent: Any) -> Any:
    """2 to an i64 exponent from -1022 to 1023, an f64."""
    biased = b.add(exponent, _constant(exponent, 1023))
    return b.bitcast(b.shl(biased, _constant(exponent, 52)), ir.DoubleType())


def _held(b: ir.IRBuilder, x: Any, low: int, high: int) -> Any:
    """An integer held between bounds."""
    x = b.select(b.icmp_signed("<", x, _constant(x, low)), _constant(x, low), x)
    return b.select(b.icmp_signed(">", x, _constant(x, high)), _constant(x, high), x)


def ldexp(b: ir.IRBuilder, dtype: DType, x: Value, exponent: Value) -> Any:
    """x · 2ᵉ, rounded once: only the last of three factors can lead out of the normal numbers."""
    left = _held(b, cast(b, exponent, I64).ir, -4000, 4000)
    y = cast(b, x, F64).ir
    for _ in range(2):
        above, below = (b.icmp_signed(sign, left, _constant(left, to)) for sign, to in ((">", 1023), ("<", -1022)))
        step = b.select(above, _constant(left, 1023), b.select(below, _constant(left, 53 - 1022), _constant(left, 0)))
        y, left = b.fmul(y, _power_of_two(b, step)), b.sub(left, step)
    y = b.fmul(y, _power_of_two(b, _held(b, left, -1022, 1023)))
    return cast(b, Value(y, F64), dtype).ir


def frexp(b: ir.IRBuilder, x: Value) -> tuple[Value, Value]:
    """The mantissa in [½, 1) and the exponent of 2, int32: of 0, infinities and NaN themselves and 0."""
    wide = cast(b, x, F64).ir
    i64 = ir.IntType(64)
    tiny = b.fcmp_ordered("<", intrinsic(b, "fabs", wide), ir.Constant(wide.type, float(np.finfo(np.float64).tiny)))
    scaled = b.select(tiny, b.fmul(wide, ir.Constant(wide.type, 2.0**54)), wide)
    bits = b.bitcast(scaled, i64)
    raised = b.and_(b.lshr(bits, i64(52)), i64(0x7FF))
    special = b.or_(b.icmp_unsigned("==", raised, i64(0)), b.icmp_unsigned("==", raised, i64(0x7FF)))
    mantissa = b.bitcast(b.or_(b.and_(bits, i64(~(0x7FF << 52))), i64(1022 << 52)), wide.type)
    exponent = b.sub(raised, b.select(tiny, i64(1022 + 54), i64(1022)))
    part = cast(b, Value(b.select(special, wide, mantissa), F64), x.dtype)
    return part, cast(b, Value(b.select(special, i64(0), exponent), I64), np.dtype("int32"))


def _half_bits(b: ir.IRBuilder, x: Any) -> Any:
    """The bits of an f16 that is computed in f32, as i32."""
    return b.zext(b.bitcast(b.fptrunc(x, ir.HalfType()), ir.IntType(16)), ir.IntType(32))


def _half_of(b: ir.IRBuilder, bits: Any) -> Any:
    return b.fpext(b.bitcast(b.trunc(bits, ir.IntType(16)), ir.HalfType()), ir.FloatType())


def half_spacing(b: ir.IRBuilder, dtype: DType, x: Any) -> Any:
    """The distance from an f16 to its neighbour, never negative: NumPy's, whose neighbour of -2ⁿ is the nearer one."""
    i32 = ir.IntType(32)
    bits = _half_bits(b, x)
    exponent = b.lshr(b.and_(bits, i32(0x7C00)), i32(10))
    power = b.and_(b.icmp_unsigned("!=", b.and_(bits, i32(0x8000)), i32(0)),
                   b.icmp_unsigned("==", b.and_(bits, i32(0x3FF)), i32(0)))  # fmt: skip
    place = b.sub(exponent, b.select(power, i32(1), i32(0)))  # of the neighbour that counts
    normal = b.shl(b.sub(place, i32(10)), i32(10))
    tiny = b.shl(i32(1), _held(b, b.sub(place, i32(1)), 0, 9))
    found = b.select(b.icmp_signed(">", place, i32(10)), normal, tiny)
    found = b.select(b.icmp_unsigned("==", bits, i32(0x7BFF)), i32(0x7C00), found)
    return _half_of(b, b.select(b.icmp_unsigned("==", exponent, i32(31)), i32(0x7E00), found))


def half_nextafter(b: ir.IRBuilder, dtype: DType, x: Any, y: Any) -> Any:
    """The next f16 after x towards y."""
    i32 = ir.IntType(32)
    bits = _half_bits(b, x)
    towards_zero = b.fcmp_ordered("<", b.select(_is_negative(b, b.shl(bits, i32(16))), b.fneg(y), y),
                                  intrinsic(b, "fabs", x))  # fmt: skip
    moved = b.add(bits, b.select(towards_zero, i32(-1), i32(1)))
    from_zero = b.select(b.fcmp_ordered("<", y, ir.Constant(y.type, 0.0)), i32(0x8001), i32(1))
    zero = b.fcmp_ordered("==", x, ir.Constant(x.type, 0.0))
    result = _half_of(b, b.select(zero, from_zero, moved))
    nan = b.fcmp_unordered("uno", x, y)
    return b.select(nan, b.fadd(x, y), b.select(b.fcmp_ordered("==", x, y), x, result))


def modf(b: ir.IRBuilder, x: Value) -> tuple[Value, Value]:
    """The fractional and the integral part, both with the element's sign."""
    whole = intrinsic(b, "trunc", x.ir)
    infinite = b.fcmp_ordered("==", intrinsic(b, "fabs", x.ir), ir.Constant(x.ir.type, float("inf")))
    rest = b.select(infinite, ir.Constant(x.ir.type, 0.0), b.fsub(x.ir, whole))
    return Value(with_sign(b, rest, x.ir), x.dtype), Value(whole, x.dtype)
