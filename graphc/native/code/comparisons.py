"""Comparisons in LLVM IR, and the elementwise ops that choose by one: extrema, `clip`, `relu`, `sign`.

Comparisons and predicates give i1, as the table of `elementwise` expects.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir

from graphc.native.code.integers import DType, is_negative
from graphc.native.code.scalars import Emitter, Value, cast, constant, intrinsic, like
from graphc.types import promote


def comparison(symbol: str) -> Emitter:
    """As NumPy compares: integers with one another exactly, though i64 and u64 have no dtype in common but f64."""

    def emitter(b: ir.IRBuilder, result: DType, x: Value, y: Value) -> Any:
        dtype = promote(x.dtype, y.dtype)
        if dtype.kind == "f" and "f" not in (x.dtype.kind, y.dtype.kind):
            return _compare_signs(b, symbol, x, y)
        return _compare(b, symbol, dtype, cast(b, x, dtype).ir, cast(b, y, dtype).ir)

    return emitter


def _compare(b: ir.IRBuilder, symbol: str, dtype: DType, x: Any, y: Any) -> Any:
    """Two numbers of one dtype: NaN differs from all, and nothing else holds of it."""
    if dtype.kind == "f":
        return (b.fcmp_unordered if symbol == "!=" else b.fcmp_ordered)(symbol, x, y)
    return (b.icmp_signed if dtype.kind == "i" else b.icmp_unsigned)(symbol, x, y)


def _compare_signs(b: ir.IRBuilder, symbol: str, x: Value, y: Value) -> Any:
    """A signed integer and one of u64: below all of them if it is negative, and else without a sign, too."""
    first, second = (cast(b, v, np.dtype("int64" if v.dtype.kind == "i" else "uint64")).ir for v in (x, y))
    signed, holds_below = (first, "<") if x.dtype.kind == "i" else (second, ">")
    negative = is_negative(b, signed)
    alike = b.icmp_unsigned(symbol, first, second)
    return b.or_(alike, negative) if holds_below in symbol or symbol == "!=" else b.and_(alike, b.not_(negative))


def extremum(symbol: str, on_floats: str) -> Emitter:
    """The operand that a comparison holds of, or of floats what an intrinsic gives: NaN of any NaN."""

    def emitter(b: ir.IRBuilder, dtype: DType, x: Any, y: Any) -> Any:
        if dtype.kind == "f":
            return intrinsic(b, on_floats, x, y)
        return b.select(_compare(b, symbol, dtype, x, y), x, y)

    return emitter


maximum, minimum = extremum(">", "maximum"), extremum("<", "minimum")


def clip(b: ir.IRBuilder, dtype: DType, x: Any, low: Any, high: Any) -> Any:
    """Not below `low`, then not above `high`."""
    return minimum(b, dtype, maximum(b, dtype, x, low), high)


def relu(b: ir.IRBuilder, dtype: DType, x: Any) -> Any:
    """NaN stays."""
    zero = constant(x, 0)
    return b.select(_compare(b, "<=", dtype, x, zero), zero, x)


def sign(b: ir.IRBuilder, dtype: DType, x: Any) -> Any:
    """-1, 0 or 1, and NaN of NaN."""
    zero, one = constant(x, 0), constant(x, 1)
    positive = b.select(_compare(b, ">", dtype, x, zero), one, zero)
    if dtype.kind not in "if":
        return positive
    signed = b.select(_compare(b, "<", dtype, x, zero), constant(x, -1), positive)
    return signed if dtype.kind == "i" else b.select(isnan(b, dtype, x), x, signed)


def isnan(b: ir.IRBuilder, dtype: DType, x: Any) -> Any:
    """Whether a float has no order, even with itself."""
    return b.fcmp_unordered("uno", x, x)


def isinf(b: ir.IRBuilder, dtype: DType, x: Any) -> Any:
    """Whether a float is infinite, of either sign."""
    return b.fcmp_ordered("==", intrinsic(b, "fabs", x), constant(x, float("inf")))


def isfinite(b: ir.IRBuilder, dtype: DType, x: Any) -> Any:
    """Whether a float is neither infinite nor NaN."""
    return b.fcmp_ordered("<", intrinsic(b, "fabs", x), constant(x, float("inf")))


def always(truth: int) -> Emitter:
    """A predicate that is the same of all integers."""
    return lambda b, dtype, x: ir.Constant(like(x, ir.IntType(1)), truth)
