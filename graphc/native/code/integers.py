"""Elementwise ops on integers and truth values, and on the bits of floats, with NumPy's answers where C has none.

Nothing here traps: division by 0 gives 0, the smallest integer divided by -1 gives itself, a shift beyond the width
leaves nothing but signs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir

from graphc.native import vecmath
from graphc.native.code.scalars import Value, cast, element_of, intrinsic, like, rounded, with_sign

DType = np.dtype[Any]
F64, I64 = np.dtype("float64"), np.dtype("int64")


def _constant(x: Any, value: float) -> Any:
    return ir.Constant(x.type, value)


def _is_negative(b: ir.IRBuilder, x: Any) -> Any:
    return b.icmp_signed("<", x, _constant(x, 0))


def _quotient(b: ir.IRBuilder, dtype: DType, x: Any, y: Any) -> tuple[Any, Any, Any]:
    """The quotient towards zero or the nearest one, what it leaves, and whether y is 0, with 1 in y's place where C has
    no answer."""
    width = element_of(x).width
    nothing = b.icmp_unsigned("==", y, _constant(y, 0))
    unsafe = nothing
    if dtype.kind == "i":
        lowest = b.and_(b.icmp_unsigned("==", x, _constant(x, -(1 << (width - 1)))),
                        b.icmp_unsigned("==", y, _constant(y, -1)))  # fmt: skip
        unsafe = b.or_(nothing, lowest)
    safe = b.select(unsafe, _constant(y, 1), y)
    if isinstance(x.type, ir.VectorType):
        divided = _near if dtype.kind == "i" and width >= 32 else _by_floats
        return *divided(b, dtype, x, safe), nothing
    divide, remain = (b.sdiv, b.srem) if dtype.kind == "i" else (b.udiv, b.urem)
    return divide(x, safe), remain(x, safe), nothing


def _by_floats(b: ir.IRBuilder, dtype: DType, x: Any, y: Any) -> tuple[Any, Any]:
    """The same in vectors, which no processor divides: in floats of more than twice the digits, whose quotient reaches
    no integer that the exact one does not."""
    wide = F64 if dtype.itemsize == 4 else np.dtype("float32")
    ratio = b.fdiv(*(cast(b, Value(value, dtype), wide).ir for value in (x, y)))
    quotient = (b.fptosi if dtype.kind == "i" else b.fptoui)(ratio, x.type)
    return quotient, b.sub(x, b.mul(quotient, y))


def _near(b: ir.IRBuilder, dtype: DType, x: Any, y: Any) -> tuple[Any, Any]:
    """The same of signed integers of 32 or 64 bits: the nearest quotient, for which y is inverted, once for all if it
    is a constant. 64 bits take two steps, each of which leaves a 2⁵⁰th of what there is, or at most half of y; there an
    f64 of 2⁶³ is no integer, hence the bound."""
    f64 = like(x, ir.DoubleType())
    inverse, limit = b.fdiv(ir.Constant(f64, 1.0), b.sitofp(y, f64)), ir.Constant(f64, 2.0**63 - 1024)
    total, rest = None, x
    for _ in range(dtype.itemsize // 4):
        ratio = vecmath.emit(b, "rint", b.fmul(b.sitofp(rest, f64), inverse))
        if dtype.itemsize == 8:
            ratio = b.select(b.fcmp_ordered("<", ratio, limit), ratio, limit)
        step = b.fptosi(ratio, x.type)
        rest = b.sub(rest, b.mul(step, y))
        total = step if total is None else b.add(total, step)
    return total, rest


def _is_other_side(b: ir.IRBuilder, dtype: DType, rest: Any, y: Any) -> Any:
    """Whether something is left that has not y's sign."""
    if dtype.kind != "i":
        return ir.Constant(like(rest, ir.IntType(1)), 0)
    inexact = b.icmp_unsigned("!=", rest, _constant(rest, 0))
    return b.and_(inexact, _is_negative(b, b.xor(rest, y)))


def floor_divide(b: ir.IRBuilder, dtype: DType, x: Any, y: Any) -> Any:
    """The largest integer not above the quotient."""
    quotient, rest, nothing = _quotient(b, dtype, x, y)
    lower = b.sub(quotient, _constant(x, 1))
    return b.select(nothing, _constant(x, 0), b.select(_is_other_side(b, dtype, rest, y), lower, quotient))


def remainder(b: ir.IRBuilder, dtype: DType, x: Any, y: Any) -> Any:
    """What floor_divide leaves."""
    _, rest, nothing = _quotient(b, dtype, x, y)
    return b.select(nothing, _constant(x, 0), b.select(_is_other_side(b, dtype, rest, y), b.add(rest, y), rest))


def fmod(b: ir.IRBuilder, dtype: DType, x: Any, y: Any) -> Any:
    """What a quotient rounded towards zero leaves, with x's sign."""
    _, rest, nothing = _quotient(b, dtype, x, y)
    step = b.select(_is_negative(b, b.xor(rest, y)), y, b.neg(y)) if dtype.kind == "i" else y
    rest = b.select(_is_other_side(b, dtype, rest, x), b.add(rest, step), rest)
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
    return b.ashr(x, b.select(fits, within, _constant(x, element_of(x).width - 1)))


def _places(b: ir.IRBuilder, x: Any, places: Any) -> tuple[Any, Any]:
    """Whether a shift is below the width, and a shift that is."""
    fits = b.icmp_unsigned("<", places, _constant(x, element_of(x).width))
    return fits, b.select(fits, places, _constant(x, 0))


def bitwise_count(b: ir.IRBuilder, dtype: DType, x: Any) -> Any:
    """How many bits are set in the absolute value, in 8 bits."""
    count = intrinsic(b, "ctpop", _magnitude(b, dtype, x))
    width, byte = element_of(count).width, like(count, ir.IntType(8))
    return b.trunc(count, byte) if width > 8 else b.zext(count, byte) if width < 8 else count


def reciprocal(b: ir.IRBuilder, dtype: DType, x: Any) -> Any:
    """One over the element, rounded towards zero; of 0, what infinity converts to."""
    wide = cast(b, Value(x, dtype), F64).ir
    return cast(b, Value(b.fdiv(_constant(wide, 1.0), wide), F64), dtype).ir


def signbit(b: ir.IRBuilder, dtype: DType, x: Any) -> Any:
    """Whether the sign bit is set."""
    if dtype.kind == "f":
        x = b.bitcast(x, like(x, ir.IntType(32 if isinstance(element_of(x), ir.FloatType) else 64)))
    return _is_negative(b, x) if dtype.kind in "if" else ir.Constant(like(x, ir.IntType(1)), 0)


def round(b: ir.IRBuilder, dtype: DType, x: Any, *, decimals: int) -> Any:
    """The nearest number with so many decimals, as NumPy computes it: scaled, rounded, scaled back."""
    if dtype.kind != "f":
        if decimals >= 0:
            return x
        wide = round(b, F64, cast(b, Value(x, dtype), F64).ir, decimals=decimals)
        return cast(b, Value(wide, F64), dtype).ir
    if not decimals:
        return vecmath.emit(b, "rint", x)
    with np.errstate(over="ignore"):
        scale = _constant(x, float(dtype.type(10.0 ** abs(decimals))))
    there, back = (b.fmul, b.fdiv) if decimals > 0 else (b.fdiv, b.fmul)
    return back(vecmath.emit(b, "rint", rounded(b, there(x, scale), dtype)), scale)


def _power_of_two(b: ir.IRBuilder, exponent: Any) -> Any:
    """2 to an i64 exponent from -1022 to 1023, an f64."""
    biased = b.add(exponent, _constant(exponent, 1023))
    return b.bitcast(b.shl(biased, _constant(exponent, 52)), like(exponent, ir.DoubleType()))


def _held(b: ir.IRBuilder, x: Any, low: int, high: int) -> Any:
    """An integer held between bounds."""
    x = b.select(b.icmp_signed("<", x, _constant(x, low)), _constant(x, low), x)
    return b.select(b.icmp_signed(">", x, _constant(x, high)), _constant(x, high), x)


def ldexp(b: ir.IRBuilder, dtype: DType, x: Value, exponent: Value) -> Any:
    """x · 2ᵉ, rounded once: only the last of three factors can lead out of the normal numbers, and none out of those of
    f64 what is rounded to fewer digits then."""
    y, left = cast(b, x, F64).ir, cast(b, exponent, I64).ir
    left = _held(b, left, -4000, 4000) if dtype == F64 else _held(b, left, -400, 400)
    for _ in range(2 if dtype == F64 else 0):
        above, below = (b.icmp_signed(sign, left, _constant(left, to)) for sign, to in ((">", 1023), ("<", -1022)))
        step = b.select(above, _constant(left, 1023), b.select(below, _constant(left, 53 - 1022), _constant(left, 0)))
        y, left = b.fmul(y, _power_of_two(b, step)), b.sub(left, step)
    y = b.fmul(y, _power_of_two(b, _held(b, left, -1022, 1023)))
    return cast(b, Value(y, F64), dtype).ir


def frexp(b: ir.IRBuilder, x: Value) -> tuple[Value, Value]:
    """The mantissa in [½, 1) and the exponent of 2, int32: of 0, infinities and NaN themselves and 0."""
    width, fraction, field = (64, 52, 0x7FF) if isinstance(element_of(x.ir), ir.DoubleType) else (32, 23, 0xFF)
    half, kind = field // 2 - 1, like(x.ir, ir.IntType(width))
    tiny = b.fcmp_ordered("<", intrinsic(b, "fabs", x.ir), _constant(x.ir, 2.0 ** (1 - field // 2)))
    lifted = b.select(tiny, b.fmul(x.ir, _constant(x.ir, 2.0 ** (fraction + 2))), x.ir)
    bits = b.bitcast(lifted, kind)
    raised = b.and_(b.lshr(bits, ir.Constant(kind, fraction)), ir.Constant(kind, field))
    special = b.or_(b.icmp_unsigned("==", raised, ir.Constant(kind, 0)),
                    b.icmp_unsigned("==", raised, ir.Constant(kind, field)))  # fmt: skip
    kept = b.and_(bits, ir.Constant(kind, ~(field << fraction)))
    mantissa = b.bitcast(b.or_(kept, ir.Constant(kind, half << fraction)), x.ir.type)
    lost = b.select(tiny, ir.Constant(kind, half + fraction + 2), ir.Constant(kind, half))
    exponent = b.select(special, ir.Constant(kind, 0), b.sub(raised, lost))
    return (Value(b.select(special, x.ir, mantissa), x.dtype),
            cast(b, Value(exponent, np.dtype(f"int{width}")), np.dtype("int32")))  # fmt: skip


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
