"""Elementwise ops on one element: what each writes as LLVM IR.

A value is an LLVM value with the dtype it stands for; truth values are i1, f16 is computed in f32. Operands arrive in
the dtype that NumPy computes in, so an emitter writes just the operation. Mathematics is in `vecmath`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir

BOOL, I32, I64, POINTER = ir.IntType(1), ir.IntType(32), ir.IntType(64), ir.PointerType()
CONTRACT = ("contract",)
Emitter = Callable[..., Any]
"""Writes an op for one element: takes the builder, the dtype that it computes in, and operands of that dtype."""


class Wide(ir.VectorType):  # type: ignore[misc]  # llvmlite has no types
    """A vector, whose constants are written in one word where all lanes are the same."""

    def format_constant(self, value: Any) -> str:
        """The constant in LLVM's text."""
        first = value[0]
        if all(lane is first for lane in value):
            return f"splat ({first.type} {first.get_reference()})"
        return str(super().format_constant(value))


def like(raw: Any, kind: Any) -> Any:
    """A type of as many elements as a value has."""
    return Wide(kind, raw.type.count) if isinstance(raw.type, ir.VectorType) else kind


def constant(x: Any, value: float) -> Any:
    """A constant of a value's type."""
    return ir.Constant(x.type, value)


def element_of(raw: Any) -> Any:
    """The type of one element."""
    return raw.type.element if isinstance(raw.type, ir.VectorType) else raw.type


class Value(NamedTuple):
    """One scalar in a kernel, or a vector of them."""

    ir: Any
    dtype: np.dtype[Any]


def stored_type(dtype: np.dtype[Any]) -> Any:
    """How an element lies in memory."""
    if dtype.kind == "f":
        return {2: ir.HalfType(), 4: ir.FloatType(), 8: ir.DoubleType()}[dtype.itemsize]
    return ir.IntType(8 * dtype.itemsize)


def computed_type(dtype: np.dtype[Any]) -> Any:
    """How an element is computed with."""
    if dtype.kind == "b":
        return BOOL
    return ir.FloatType() if dtype.kind == "f" and dtype.itemsize == 2 else stored_type(dtype)


def load(b: ir.IRBuilder, pointer: Any, dtype: np.dtype[Any]) -> Value:
    """Read an element."""
    return computed(b, b.load(pointer, typ=stored_type(dtype), align=dtype.itemsize), dtype)


def computed(b: ir.IRBuilder, raw: Any, dtype: np.dtype[Any]) -> Value:
    """What has been read, as it is computed with."""
    if dtype.kind == "b":
        raw = b.icmp_unsigned("!=", raw, ir.Constant(raw.type, 0))
    elif dtype.kind == "f" and dtype.itemsize == 2:
        raw = b.fpext(raw, like(raw, ir.FloatType()))
    return Value(raw, dtype)


def store(b: ir.IRBuilder, value: Value, pointer: Any) -> Any:
    """Write an element."""
    return b.store(stored(b, value), pointer, align=value.dtype.itemsize)


def stored(b: ir.IRBuilder, value: Value) -> Any:
    """A value as it lies in memory."""
    raw, dtype = value
    if dtype.kind == "b":
        return b.zext(raw, like(raw, ir.IntType(8)))
    if dtype.kind == "f" and dtype.itemsize == 2:
        return b.fptrunc(raw, like(raw, ir.HalfType()))
    return raw


def number(value: Any, dtype: np.dtype[Any]) -> Value:
    """A constant."""
    kind = computed_type(dtype)
    if dtype.kind == "f":
        return Value(ir.Constant(kind, float(value)), dtype)
    return Value(ir.Constant(kind, int(value)), dtype)


def cast(b: ir.IRBuilder, value: Value, dtype: np.dtype[Any]) -> Value:
    """Convert as NumPy's astype does."""
    raw, source = value
    if source == dtype:
        return value
    target = like(raw, computed_type(dtype))
    if dtype.kind == "b":
        zero = ir.Constant(raw.type, 0.0 if source.kind == "f" else 0)
        compare = b.fcmp_unordered if source.kind == "f" else b.icmp_unsigned
        return Value(compare("!=", raw, zero), dtype)
    if source.kind == "f":
        return Value(_from_float(b, value, dtype), dtype)
    if dtype.kind == "f":
        convert = b.sitofp if source.kind == "i" else b.uitofp
        return Value(rounded(b, convert(raw, target), dtype), dtype)
    before, after = element_of(raw).width, computed_type(dtype).width
    if before >= after:
        return Value(b.trunc(raw, target) if before > after else raw, dtype)
    return Value(b.sext(raw, target) if source.kind == "i" else b.zext(raw, target), dtype)


def _from_float(b: ir.IRBuilder, value: Value, dtype: np.dtype[Any]) -> Any:
    raw, source = value
    target = like(raw, computed_type(dtype))
    if dtype.kind != "f":
        if source.itemsize == 2 and dtype == np.uint32:
            return b.trunc(_to_integer(b, raw, np.dtype("int64")), target)
        return _to_integer(b, raw, dtype)
    if raw.type == target:
        return rounded(b, raw, dtype)
    if dtype.itemsize == 2:
        raw = _to_odd(b, raw)
    converted = b.fptrunc(raw, target) if isinstance(element_of(raw), ir.DoubleType) else b.fpext(raw, target)
    return rounded(b, converted, dtype)


def _to_integer(b: ir.IRBuilder, raw: Any, dtype: np.dtype[Any]) -> Any:
    """A float towards zero. Where C has no answer this has x86's, which is NumPy's there: the smallest integer for what
    does not fit 32 bits (64 for the longest), of which narrow dtypes keep the low bits; unsigned ones wrap around.
    NumPy's uint32 of an f16 is the low half of its int64."""
    width = 64 if dtype.itemsize == 8 else 32
    kind, half = like(raw, ir.IntType(width)), 2.0 ** (width - 1)
    lowest = ir.Constant(kind, -(1 << (width - 1)))

    def signed(x: Any) -> Any:
        fits = b.and_(b.fcmp_ordered(">=", x, ir.Constant(x.type, -half)),
                      b.fcmp_ordered("<", x, ir.Constant(x.type, half)))  # fmt: skip
        return b.select(fits, b.fptosi(x, kind), lowest)

    result = signed(raw)
    if dtype.kind == "u" and dtype.itemsize >= 4:
        high = b.fcmp_ordered(">=", raw, ir.Constant(raw.type, half))
        result = b.select(high, b.xor(signed(b.fsub(raw, ir.Constant(raw.type, half))), lowest), result)
    return b.trunc(result, like(raw, computed_type(dtype))) if dtype.itemsize < 4 else result


def _to_odd(b: ir.IRBuilder, raw: Any) -> Any:
    """An f64 with the digits of an f32, the last one odd if any were lost: rounding it to f16 is rounding once.

    S. Boldo and G. Melquiond, "Emulation of FMA and correctly rounded sums: proved algorithms using rounding to odd".
    """
    i64 = like(raw, ir.IntType(64))
    bits = b.bitcast(raw, i64)
    kept = b.and_(bits, ir.Constant(i64, -(1 << 29)))
    odd = b.select(b.icmp_unsigned("==", bits, kept), kept, b.or_(kept, ir.Constant(i64, 1 << 29)))
    return b.bitcast(odd, raw.type)


def rounded(b: ir.IRBuilder, raw: Any, dtype: np.dtype[Any]) -> Any:
    """An f32 result rounded to f16, where that is the dtype: every op rounds, as NumPy's does."""
    if dtype.kind == "f" and dtype.itemsize == 2:
        return b.fpext(b.fptrunc(raw, like(raw, ir.HalfType())), like(raw, ir.FloatType()))
    return raw


def intrinsic(b: ir.IRBuilder, name: str, *operands: Any) -> Any:
    """Call an LLVM intrinsic of the operands' type."""
    kind = operands[0].type
    symbol = f"llvm.{name}.{suffix(kind)}"
    function = b.module.globals.get(symbol)
    if function is None:
        function = ir.Function(b.module, ir.FunctionType(kind, [kind] * len(operands)), symbol)
    return b.call(function, operands)


def with_sign(b: ir.IRBuilder, size: Any, sign: Any) -> Any:
    """The size of one float with the sign of another, by their bits.

    LLVM's own instruction would take the sign of an f16 from the f64 that it was rounded from, and round that to f16
    for it: a conversion that x86 has no instruction for, but a library that is not there.
    """
    width = 64 if isinstance(element_of(size), ir.DoubleType) else 32
    kind = like(size, ir.IntType(width))
    highest = 1 << (width - 1)
    rest = b.and_(b.bitcast(size, kind), ir.Constant(kind, highest - 1))
    return b.bitcast(b.or_(rest, b.and_(b.bitcast(sign, kind), ir.Constant(kind, -highest))), size.type)


def suffix(kind: Any) -> str:
    """How the names of intrinsics tell a type."""
    if isinstance(kind, ir.VectorType):
        return f"v{kind.count}{suffix(kind.element)}"
    return str(kind.intrinsic_name)


def zeros(kind: Any, width: int) -> Any:
    """A vector of zeros, written in one word where llvmlite would write every lane."""
    return _whole(kind, width, None)


def undefined(kind: Any, width: int) -> Any:
    """A vector of anything, written in one word."""
    return _whole(kind, width, ir.Undefined)


def _whole(kind: Any, width: int, value: Any) -> Any:
    constant = ir.Constant(ir.VectorType(kind, width), ir.Undefined)
    constant.constant = value
    return constant
