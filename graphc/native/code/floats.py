"""Elementwise ops that take floats apart: signs, rounding to decimals, mantissas and exponents, neighbours of f16."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir

from graphc.native import vecmath
from graphc.native.code.integers import F64, I64, DType, is_negative
from graphc.native.code.scalars import Value, cast, constant, element_of, intrinsic, like, rounded, with_sign


def signbit(b: ir.IRBuilder, dtype: DType, x: Any) -> Any:
    """Whether the sign bit is set."""
    if dtype.kind == "f":
        x = b.bitcast(x, like(x, ir.IntType(32 if isinstance(element_of(x), ir.FloatType) else 64)))
    return is_negative(b, x) if dtype.kind in "if" else ir.Constant(like(x, ir.IntType(1)), 0)


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
        scale = constant(x, float(dtype.type(10.0 ** abs(decimals))))
    there, back = (b.fmul, b.fdiv) if decimals > 0 else (b.fdiv, b.fmul)
    return back(vecmath.emit(b, "rint", rounded(b, there(x, scale), dtype)), scale)


def _power_of_two(b: ir.IRBuilder, exponent: Any) -> Any:
    """2 to an i64 exponent from -1022 to 1023, an f64."""
    biased = b.add(exponent, constant(exponent, 1023))
    return b.bitcast(b.shl(biased, constant(exponent, 52)), like(exponent, ir.DoubleType()))


def _held(b: ir.IRBuilder, x: Any, low: int, high: int) -> Any:
    """An integer held between bounds."""
    x = b.select(b.icmp_signed("<", x, constant(x, low)), constant(x, low), x)
    return b.select(b.icmp_signed(">", x, constant(x, high)), constant(x, high), x)


def ldexp(b: ir.IRBuilder, dtype: DType, x: Value, exponent: Value) -> Any:
    """x · 2ᵉ, rounded once: only the last of three factors can lead out of the normal numbers, and none out of those of
    f64 what is rounded to fewer digits then."""
    y, left = cast(b, x, F64).ir, cast(b, exponent, I64).ir
    left = _held(b, left, -4000, 4000) if dtype == F64 else _held(b, left, -400, 400)
    for _ in range(2 if dtype == F64 else 0):
        above, below = (b.icmp_signed(sign, left, constant(left, to)) for sign, to in ((">", 1023), ("<", -1022)))
        step = b.select(above, constant(left, 1023), b.select(below, constant(left, 53 - 1022), constant(left, 0)))
        y, left = b.fmul(y, _power_of_two(b, step)), b.sub(left, step)
    y = b.fmul(y, _power_of_two(b, _held(b, left, -1022, 1023)))
    return cast(b, Value(y, F64), dtype).ir


def frexp(b: ir.IRBuilder, x: Value) -> tuple[Value, Value]:
    """The mantissa in [½, 1) and the exponent of 2, int32: of 0, infinities and NaN themselves and 0."""
    width, fraction, field = (64, 52, 0x7FF) if isinstance(element_of(x.ir), ir.DoubleType) else (32, 23, 0xFF)
    half, kind = field // 2 - 1, like(x.ir, ir.IntType(width))
    tiny = b.fcmp_ordered("<", intrinsic(b, "fabs", x.ir), constant(x.ir, 2.0 ** (1 - field // 2)))
    lifted = b.select(tiny, b.fmul(x.ir, constant(x.ir, 2.0 ** (fraction + 2))), x.ir)
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
    towards_zero = b.fcmp_ordered("<", b.select(is_negative(b, b.shl(bits, i32(16))), b.fneg(y), y),
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
