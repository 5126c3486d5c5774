"""The table of elementwise ops in LLVM IR: what each writes for one element.

An emitter gets the builder, the dtype that it computes in, and operands of that dtype, and returns the raw result.
Comparisons and predicates give i1; everything else gives its operands' type.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial, reduce
from typing import Any

import numpy as np
from llvmlite import ir

from graphc.facts import number_of
from graphc.ir import Node
from graphc.native import vecmath
from graphc.native.code import comparisons, floats, integers, special
from graphc.native.code.scalars import CONTRACT, Emitter, Value, cast, constant, intrinsic, rounded, with_sign
from graphc.op import OPS
from graphc.types import promote

BOOL = np.dtype("bool")


def emit(b: ir.IRBuilder, node: Node, operands: Sequence[Value]) -> Value:
    """The value of an elementwise node for one element."""
    result = node.array_type.dtype
    emitter, computing = _entry(node.op.name, [v.dtype for v in operands], result)
    if computing == "as they are":
        raw = emitter(b, result, *operands, **node.attrs)
    else:
        dtype = result if computing == "result" else promote(*(v.dtype for v in operands))
        raw = emitter(b, dtype, *[cast(b, v, dtype).ir for v in operands], **node.attrs)
    return Value(rounded(b, raw, result), result)


def is_native(node: Node) -> bool:
    """Whether an element of a node has code, for its dtypes and attributes."""
    if node.array_type.dtype.kind != "f" and node.op is OPS["power"] and _may_be_negative(node.inputs[1]):
        return False
    return is_known(node.op.name) and node.attrs.get("order", 0) <= special.LARGEST_ORDER


def is_known(name: str) -> bool:
    """Whether an op is elementwise and has code."""
    return any(name in table for table in (_TABLE, _INTEGERS, vecmath.FUNCTIONS))


def has_vectors(node: Node) -> bool:
    """Whether a node's code may be written for vectors: not where it loops, or takes integers apart."""
    if not node.op.elementwise or node.op.leaf:
        return True
    on_floats = any(value.array_type.dtype.kind == "f" for value in (node, *node.inputs))
    one_by_one = node.op.name in _ONE_BY_ONE or (node.array_type.dtype == np.float16 and node.op.name in _NEIGHBOURS)
    return not one_by_one and (on_floats or node.op.name not in _LOOPING) and not _is_long_division(node)


def _is_long_division(node: Node) -> bool:
    """Whether unsigned integers of 64 bits are divided, which vectors have no step towards."""
    return node.op.name in _DIVIDING and node.array_type.dtype == np.uint64


def _may_be_negative(exponent: Node) -> bool:
    """Whether an integer power may raise, as NumPy's does: not if the exponent is unsigned, or a number that is not
    negative."""
    if exponent.array_type.dtype.kind != "i":
        return False
    known = number_of(exponent)
    return known is None or bool(known.attrs["value"] < 0)


def _entry(name: str, operands: Sequence[np.dtype[Any]], result: np.dtype[Any]) -> tuple[Emitter, str]:
    """What writes an op, and the dtype that it computes in."""
    if name in _INTEGERS and "f" not in {dtype.kind for dtype in (*operands, result)}:
        return _INTEGERS[name]
    if name in _HALVES and result == np.float16:
        return _HALVES[name], "result"
    return _TABLE[name] if name in _TABLE else (_vecmath(name), "result")


def _arithmetic(on_floats: str, on_ints: str, on_bools: str = "", flags: Sequence[str] = ()) -> Emitter:
    """An instruction for each kind of number, of floats with flags."""

    def emitter(b: ir.IRBuilder, dtype: np.dtype[Any], x: Any, y: Any) -> Any:
        if dtype.kind == "f":
            return getattr(b, on_floats)(x, y, flags=flags)
        return getattr(b, on_bools if dtype.kind == "b" else on_ints)(x, y)

    return emitter


def _vecmath(name: str) -> Emitter:
    def emitter(b: ir.IRBuilder, dtype: np.dtype[Any], *operands: Any) -> Any:
        return vecmath.emit(b, name, *operands)

    return emitter


def _in_f64(name: str) -> Emitter:
    def emitter(b: ir.IRBuilder, dtype: np.dtype[Any], *operands: Any) -> Any:
        wide = np.dtype("float64")
        values = [cast(b, Value(x, dtype), wide).ir for x in operands]
        return cast(b, Value(vecmath.emit(b, name, *values), wide), dtype).ir

    return emitter


def _rounding(name: str) -> Emitter:
    def emitter(b: ir.IRBuilder, dtype: np.dtype[Any], x: Any) -> Any:
        return vecmath.emit(b, name, x) if dtype.kind == "f" else x

    return emitter


def _add_n(b: ir.IRBuilder, dtype: np.dtype[Any], *terms: Value) -> Any:
    return cast(b, reduce(partial(_add_two, b), terms), dtype).ir


def _add_two(b: ir.IRBuilder, x: Value, y: Value) -> Value:
    dtype = promote(x.dtype, y.dtype)
    return Value(rounded(b, _ADD(b, dtype, cast(b, x, dtype).ir, cast(b, y, dtype).ir), dtype), dtype)


def _negative(b: ir.IRBuilder, dtype: np.dtype[Any], x: Any) -> Any:
    return b.fneg(x) if dtype.kind == "f" else b.neg(x)


def _abs(b: ir.IRBuilder, dtype: np.dtype[Any], x: Any) -> Any:
    if dtype.kind == "f":
        return intrinsic(b, "fabs", x)
    return x if dtype.kind != "i" else b.select(integers.is_negative(b, x), b.neg(x), x)


def _square(b: ir.IRBuilder, dtype: np.dtype[Any], x: Any) -> Any:
    return _MULTIPLY(b, dtype, x, x)


def _reciprocal(b: ir.IRBuilder, dtype: np.dtype[Any], x: Any) -> Any:
    return b.fdiv(constant(x, 1), x)


def _where(b: ir.IRBuilder, dtype: np.dtype[Any], condition: Value, x: Value, y: Value) -> Any:
    return b.select(condition.ir, cast(b, x, dtype).ir, cast(b, y, dtype).ir)


def _same(b: ir.IRBuilder, dtype: np.dtype[Any], x: Any) -> Any:
    return x


def _logical(instruction: str) -> Emitter:
    def emitter(b: ir.IRBuilder, dtype: np.dtype[Any], *operands: Value) -> Any:
        return getattr(b, instruction)(*[cast(b, v, BOOL).ir for v in operands])

    return emitter


def _not(b: ir.IRBuilder, dtype: np.dtype[Any], x: Value) -> Any:
    return b.not_(cast(b, x, BOOL).ir)


def _astype(b: ir.IRBuilder, result: np.dtype[Any], x: Value, *, dtype: np.dtype[Any]) -> Any:
    return cast(b, x, result).ir


_ADD = _arithmetic("fadd", "add", "or_")
_MULTIPLY = _arithmetic("fmul", "mul", "and_", CONTRACT)
"""Only totals of reductions take products unrounded: elementwise sums are computed again in several places, as where an
element is compared with the largest, and LLVM fuses where it sees fit (decision 28)."""

_RESULT: dict[str, Emitter] = {
    "add": _ADD, "multiply": _MULTIPLY, "subtract": _arithmetic("fsub", "sub"),
    "negative": _negative, "positive": _same, "stop_gradient": _same, "abs": _abs, "square": _square,
    "reciprocal": _reciprocal, "maximum": comparisons.maximum, "minimum": comparisons.minimum,
    "relu": comparisons.relu, "clip": comparisons.clip, "sign": comparisons.sign,
    "bitwise_and": _arithmetic("", "and_", "and_"), "bitwise_or": _arithmetic("", "or_", "or_"),
    "bitwise_xor": _arithmetic("", "xor", "xor"), "invert": lambda b, dtype, x: b.not_(x),
    "floor": _rounding("floor"), "ceil": _rounding("ceil"), "trunc": _rounding("trunc"), "rint": _rounding("rint"),
    "copysign": lambda b, dtype, x, y: with_sign(b, x, y), "sqrt": lambda b, dtype, x: intrinsic(b, "sqrt", x),
    "divide": lambda b, dtype, x, y: b.fdiv(x, y),
    "deg2rad": lambda b, dtype, x: b.fmul(x, constant(x, np.pi / 180)),
    "round": floats.round, "polygamma": special.polygamma, "spherical_jn": special.spherical_jn,
    "rad2deg": lambda b, dtype, x: b.fmul(x, constant(x, 180 / np.pi)),
}  # fmt: skip
_OPERANDS: dict[str, Emitter] = {
    "isnan": comparisons.isnan, "isinf": comparisons.isinf, "isfinite": comparisons.isfinite, "signbit": floats.signbit,
}  # fmt: skip
_AS_THEY_ARE: dict[str, Emitter] = {
    **{name: comparisons.comparison(symbol) for name, symbol in (
        ("equal", "=="), ("not_equal", "!="), ("less", "<"), ("less_equal", "<="), ("greater", ">"),
        ("greater_equal", ">="))},
    "add_n": _add_n, "where": _where, "astype": _astype, "logical_not": _not, "logical_and": _logical("and_"),
    "logical_or": _logical("or_"), "logical_xor": _logical("xor"),
    "ldexp": floats.ldexp,
}  # fmt: skip
_TABLE: dict[str, tuple[Emitter, str]] = {
    **{name: (emitter, "result") for name, emitter in _RESULT.items()},
    **{name: (emitter, "operands") for name, emitter in _OPERANDS.items()},
    **{name: (emitter, "as they are") for name, emitter in _AS_THEY_ARE.items()},
}


_INTEGERS: dict[str, tuple[Emitter, str]] = {
    **{name: (getattr(integers, name), "result") for name in (
        "floor_divide", "remainder", "fmod", "power", "gcd", "lcm", "left_shift", "right_shift", "reciprocal")},
    "fmax": (comparisons.maximum, "result"), "fmin": (comparisons.minimum, "result"),
    "bitwise_count": (integers.bitwise_count, "operands"),
    **{name: (comparisons.always(truth), "operands") for name, truth in (("isnan", 0), ("isinf", 0), ("isfinite", 1))},
}  # fmt: skip
"""Where neither operands nor result are floats."""
_LOOPING = frozenset(["power", "gcd", "lcm"])
_DIVIDING = frozenset(["floor_divide", "remainder", "fmod"])
_ONE_BY_ONE = frozenset(["polygamma", "spherical_jn"])
_NEIGHBOURS: dict[str, Emitter] = {"spacing": floats.half_spacing, "nextafter": floats.half_nextafter}
_HALVES: dict[str, Emitter] = {**_NEIGHBOURS, "erfinv": _in_f64("erfinv")}
"""Where f16 is not computed in f32: neighbours, and what would leave LLVM with a conversion that x86 calls a library
for."""


def product(b: ir.IRBuilder, dtype: np.dtype[Any], x: Any, y: Any) -> Any:
    """The product of two numbers, or whether both are true."""
    return _MULTIPLY(b, dtype, x, y)


def total(b: ir.IRBuilder, dtype: np.dtype[Any], x: Any, y: Any) -> Any:
    """The sum of two numbers, rounded to their dtype."""
    return rounded(b, _ADD(b, dtype, x, y), dtype)


def combine(b: ir.IRBuilder, name: str, dtype: np.dtype[Any], total: Value, term: Value) -> Value:
    """One step of a reduction. Sums may be reordered, as every vectorized sum is; nothing else is relaxed."""
    x, y = total.ir, cast(b, term, dtype).ir
    if dtype.kind == "f" and name in ("add", "multiply"):
        return Value((b.fadd if name == "add" else b.fmul)(x, y, flags=("reassoc", "contract")), dtype)
    return Value(_RESULT[name](b, dtype, x, y), dtype)
