"""Arithmetic on indices: an index is a Python int or an i64 value, or a vector of them.

Arithmetic on ints happens here, so that code for known sizes stays short.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from graphc.native.code.scalars import I64

Index = Any


def plus(b: ir.IRBuilder, x: Index, y: Index) -> Index:
    """x + y."""
    if isinstance(x, int) and isinstance(y, int):
        return x + y
    if isinstance(x, int) and x == 0:
        return y
    if isinstance(y, int) and y == 0:
        return x
    return b.add(as_value(x), as_value(y), flags=("nsw",))


def times(b: ir.IRBuilder, x: Index, y: Index) -> Index:
    """x · y."""
    if isinstance(x, int) and isinstance(y, int):
        return x * y
    if (isinstance(x, int) and x == 0) or (isinstance(y, int) and y == 0):
        return 0
    if isinstance(x, int) and x == 1:
        return y
    return x if isinstance(y, int) and y == 1 else b.mul(as_value(x), as_value(y), flags=("nsw",))


def divided(b: ir.IRBuilder, x: Index, size: Index) -> tuple[Index, Index]:
    """The quotient and the remainder of a non-negative index."""
    if not isinstance(size, int):
        return b.udiv(as_value(x), size), b.urem(as_value(x), size)
    if size == 1:
        return x, 0
    if isinstance(x, int):
        return divmod(x, size)
    divisor = ir.Constant(x.type, [size] * x.type.count if isinstance(x.type, ir.VectorType) else size)
    return b.udiv(x, divisor), b.urem(x, divisor)


def smaller(b: ir.IRBuilder, x: Index, y: Index) -> Index:
    """min(x, y)."""
    if isinstance(x, int) and isinstance(y, int):
        return min(x, y)
    x, y = as_value(x), as_value(y)
    return b.select(b.icmp_signed("<", x, y), x, y)


def larger(b: ir.IRBuilder, x: Index, y: Index) -> Index:
    """max(x, y)."""
    if isinstance(x, int) and isinstance(y, int):
        return max(x, y)
    x, y = as_value(x), as_value(y)
    return b.select(b.icmp_signed(">", x, y), x, y)


def as_value(x: Index) -> Any:
    """The index as an LLVM value."""
    return I64(x) if isinstance(x, int) else x
