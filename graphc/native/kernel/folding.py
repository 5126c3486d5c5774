"""One number from all lanes of a vector: what is left to do of a reduction when its row has been walked."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir

from graphc.native.code.scalars import Value, computed_type, element_of, like, suffix
from graphc.native.code.writer import Code
from graphc.op import Reduction

_FOLDS = {  # floats, signed and unsigned integers, truth values
    "add": ("fadd", "add", "add", "or"), "multiply": ("fmul", "mul", "mul", "and"),
    "maximum": ("smax", "smax", "umax", "or"), "minimum": ("smin", "smin", "umin", "and"),
    "bitwise_or": ("", "or", "or", "or"), "bitwise_and": ("", "and", "and", "and"),
}  # fmt: skip


def folded(code: Code, reduction: Reduction, value: Value) -> Value:
    """One number from all lanes of a reduction's total."""
    raw, dtype = value
    if not isinstance(raw.type, ir.VectorType):
        return value
    fold = _FOLDS[reduction.combine]["fiub".index(dtype.kind)]
    if dtype.kind != "f":
        return Value(_reduced(code, fold, raw), dtype)
    if fold in ("smax", "smin"):
        return Value(_extreme(code, fold, raw), dtype)
    start = ir.Constant(computed_type(dtype), -0.0 if fold == "fadd" else 1.0)
    return Value(_reduced(code, fold, raw, start), dtype)


def _reduced(code: Code, fold: str, raw: Any, *start: Any) -> Any:
    name = f"llvm.vector.reduce.{fold}.{suffix(raw.type)}"
    return code.call(name, raw.type.element, *start, raw, flags=("reassoc",) if start else ())


def _extreme(code: Code, fold: str, raw: Any) -> Any:
    """The largest or the smallest float, or NaN if there is one.

    It is found among integers, once for all lanes: of floats LLVM would compare every pair with regard to NaN and to
    the sign of zero, by six instructions instead of one.
    """
    b, element = code.b, raw.type.element
    found = _swapped(b, _reduced(code, fold, _swapped(b, b.bitcast(raw, like(raw, _bits_of(element))))))
    has_nan = _reduced(code, "or", b.fcmp_unordered("uno", raw, raw))
    return b.select(has_nan, ir.Constant(element, np.nan), b.bitcast(found, element))


def _bits_of(element: Any) -> Any:
    return ir.IntType(64 if isinstance(element, ir.DoubleType) else 32)


def _swapped(b: ir.IRBuilder, bits: Any) -> Any:
    """The bits of floats as integers in the order of these, and back: of negative ones all bits but the sign change."""
    width = element_of(bits).width
    below = b.ashr(bits, ir.Constant(bits.type, width - 1))
    return b.xor(bits, b.and_(below, ir.Constant(bits.type, (1 << (width - 1)) - 1)))
