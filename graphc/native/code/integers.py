"""Elementwise ops on integers and truth values, with NumPy's answers where C has none.

Nothing here traps: division by 0 gives 0, the smallest integer divided by -1 gives itself, a shift beyond the width
leaves nothing but signs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir

from graphc.native import vecmath
from graphc.native.code.scalars import Value, cast, constant, element_of, intrinsic, like

DType = np.dtype[Any]
F64, I64 = np.dtype("float64"), np.dtype("int64")


def is_negative(b: ir.IRBuilder, x: Any) -> Any:
    """Whether an integer's highest bit is set."""
    return b.icmp_signed("<", x, constant(x, 0))


def _quotient(b: ir.IRBuilder, dtype: DType, x: Any, y: Any) -> tuple[Any, Any, Any]:
    """The quotient towards zero or the nearest one, what it leaves, and whether y is 0, with 1 in y's place where C has
    no answer."""
    width = element_of(x).width
    nothing = b.icmp_unsigned("==", y, constant(y, 0))
    unsafe = nothing
    if dtype.kind == "i":
        lowest = b.and_(b.icmp_unsigned("==", x, constant(x, -(1 << (width - 1)))),
                        b.icmp_unsigned("==", y, constant(y, -1)))  # fmt: skip
        unsafe = b.or_(nothing, lowest)
    safe = b.select(unsafe, constant(y, 1), y)
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
    inexact = b.icmp_unsigned("!=", rest, constant(rest, 0))
    return b.and_(inexact, is_negative(b, b.xor(rest, y)))


def floor_divide(b: ir.IRBuilder, dtype: DType, x: Any, y: Any) -> Any:
    """The largest integer not above the quotient."""
    quotient, rest, nothing = _quotient(b, dtype, x, y)
    lower = b.sub(quotient, constant(x, 1))
    return b.select(nothing, constant(x, 0), b.select(_is_other_side(b, dtype, rest, y), lower, quotient))


def remainder(b: ir.IRBuilder, dtype: DType, x: Any, y: Any) -> Any:
    """What floor_divide leaves."""
    _, rest, nothing = _quotient(b, dtype, x, y)
    return b.select(nothing, constant(x, 0), b.select(_is_other_side(b, dtype, rest, y), b.add(rest, y), rest))


def fmod(b: ir.IRBuilder, dtype: DType, x: Any, y: Any) -> Any:
    """What a quotient rounded towards zero leaves, with x's sign."""
    _, rest, nothing = _quotient(b, dtype, x, y)
    step = b.select(is_negative(b, b.xor(rest, y)), y, b.neg(y)) if dtype.kind == "i" else y
    rest = b.select(_is_other_side(b, dtype, rest, x), b.add(rest, step), rest)
    return b.select(nothing, constant(x, 0), rest)


def power(b: ir.IRBuilder, dtype: DType, x: Any, p: Any) -> Any:
    """x to a power that is not negative, by squaring, modulo the width."""

    def step(left: Any, square: Any, result: Any) -> list[Any]:
        odd = b.trunc(left, ir.IntType(1))
        product = b.select(odd, b.mul(result, square), result)
        return [b.lshr(left, constant(left, 1)), b.mul(square, square), product]

    return _while_not_zero(b, [p, x, constant(x, 1)], step)[2]


def gcd(b: ir.IRBuilder, dtype: DType, x: Any, y: Any) -> Any:
    """The greatest common divisor, by Euclid."""
    x, y = (_magnitude(b, dtype, value) for value in (x, y))
    return _while_not_zero(b, [x, y], lambda small, large: [b.urem(large, small), small])[1]


def lcm(b: ir.IRBuilder, dtype: DType, x: Any, y: Any) -> Any:
    """The lowest common multiple, modulo the width."""
    divisor = gcd(b, dtype, x, y)
    x, y = (_magnitude(b, dtype, value) for value in (x, y))
    nothing = b.icmp_unsigned("==", divisor, constant(divisor, 0))
    whole = b.udiv(x, b.select(nothing, constant(x, 1), divisor))
    return b.select(nothing, constant(x, 0), b.mul(whole, y))


def _magnitude(b: ir.IRBuilder, dtype: DType, x: Any) -> Any:
    return b.select(is_negative(b, x), b.neg(x), x) if dtype.kind == "i" else x


def _while_not_zero(b: ir.IRBuilder, start: list[Any], step: Callable[..., list[Any]]) -> list[Any]:
    """Repeat a step on some values until the first of them is 0."""
    before, function = b.block, b.function
    head, body, done = (function.append_basic_block(name) for name in ("head", "body", "done"))
    b.branch(head)
    b.position_at_end(head)
    phis = [b.phi(value.type) for value in start]
    b.cbranch(b.icmp_unsigned("!=", phis[0], constant(phis[0], 0)), body, done)
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
    return b.select(fits, b.shl(x, within), constant(x, 0))


def right_shift(b: ir.IRBuilder, dtype: DType, x: Any, places: Any) -> Any:
    """The bits moved down; the sign stays."""
    fits, within = _places(b, x, places)
    if dtype.kind != "i":
        return b.select(fits, b.lshr(x, within), constant(x, 0))
    return b.ashr(x, b.select(fits, within, constant(x, element_of(x).width - 1)))


def _places(b: ir.IRBuilder, x: Any, places: Any) -> tuple[Any, Any]:
    """Whether a shift is below the width, and a shift that is."""
    fits = b.icmp_unsigned("<", places, constant(x, element_of(x).width))
    return fits, b.select(fits, places, constant(x, 0))


def bitwise_count(b: ir.IRBuilder, dtype: DType, x: Any) -> Any:
    """How many bits are set in the absolute value, in 8 bits."""
    count = intrinsic(b, "ctpop", _magnitude(b, dtype, x))
    width, byte = element_of(count).width, like(count, ir.IntType(8))
    return b.trunc(count, byte) if width > 8 else b.zext(count, byte) if width < 8 else count


def reciprocal(b: ir.IRBuilder, dtype: DType, x: Any) -> Any:
    """One over the element, rounded towards zero; of 0, what infinity converts to."""
    wide = cast(b, Value(x, dtype), F64).ir
    return cast(b, Value(b.fdiv(constant(wide, 1.0), wide), F64), dtype).ir
