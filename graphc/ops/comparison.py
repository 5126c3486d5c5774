"""Comparisons, predicates, logic and bits, elementwise. None of them has a derivative."""

from __future__ import annotations

import numpy as np

from graphc.ir import Node
from graphc.op import broadcast_truths, composite, lift, like, primitive
from graphc.operators import Operand
from graphc.samples import integers, numbers

__all__ = [
    "bitwise_and", "bitwise_count", "bitwise_invert", "bitwise_left_shift", "bitwise_not", "bitwise_or",
    "bitwise_right_shift", "bitwise_xor", "equal", "greater", "greater_equal", "invert", "isclose", "isfinite", "isinf",
    "isnan", "isneginf", "isposinf", "left_shift", "less", "less_equal", "logical_and", "logical_not", "logical_or",
    "logical_xor", "not_equal", "right_shift", "signbit",
]  # fmt: skip


@primitive(infer=broadcast_truths, samples=numbers(-3, 3), commutative=True)
def equal(a, b, *, out=None):
    """Whether a = b."""
    return np.equal(a, b, out=out)


@primitive(infer=broadcast_truths, samples=numbers(-3, 3), commutative=True)
def not_equal(a, b, *, out=None):
    """Whether a ≠ b."""
    return np.not_equal(a, b, out=out)


@primitive(infer=broadcast_truths, samples=numbers(-3, 3))
def less(a, b, *, out=None):
    """Whether a < b."""
    return np.less(a, b, out=out)


@primitive(infer=broadcast_truths, samples=numbers(-3, 3))
def less_equal(a, b, *, out=None):
    """Whether a ≤ b."""
    return np.less_equal(a, b, out=out)


@primitive(infer=broadcast_truths, samples=numbers(-3, 3))
def greater(a, b, *, out=None):
    """Whether a > b."""
    return np.greater(a, b, out=out)


@primitive(infer=broadcast_truths, samples=numbers(-3, 3))
def greater_equal(a, b, *, out=None):
    """Whether a ≥ b."""
    return np.greater_equal(a, b, out=out)


@composite(samples=numbers(-3, 3))
def isclose(a: Operand, b: Operand, *, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Node:
    """Whether |a - b| ≤ atol + rtol |b|; infinities are close to themselves, NaNs only with `equal_nan`."""
    a, b = lift(a), lift(b) * 1.0
    near = logical_and(less_equal(abs(a - b), abs(b) * rtol + atol), isfinite(b))
    close = logical_or(near, equal(a, b))
    return logical_or(close, logical_and(isnan(a), isnan(b))) if equal_nan else close


@primitive(infer=broadcast_truths, samples=numbers(-3, 3))
def isnan(x, *, out=None):
    """Whether the element is not a number."""
    return np.isnan(x, out=out)


@primitive(infer=broadcast_truths, samples=numbers(-3, 3))
def isinf(x, *, out=None):
    """Whether the element is an infinity."""
    return np.isinf(x, out=out)


@primitive(infer=broadcast_truths, samples=numbers(-3, 3))
def isfinite(x, *, out=None):
    """Whether the element is neither an infinity nor NaN."""
    return np.isfinite(x, out=out)


@composite(samples=numbers(-3, 3))
def isposinf(x: Operand) -> Node:
    """Whether the element is +inf."""
    return equal(x, np.inf)


@composite(samples=numbers(-3, 3))
def isneginf(x: Operand) -> Node:
    """Whether the element is -inf."""
    return equal(x, -np.inf)


@primitive(infer=broadcast_truths, samples=numbers(-3, 3))
def signbit(x, *, out=None):
    """Whether the sign bit is set: in negative elements and in -0.0."""
    return np.signbit(x, out=out)


@primitive(infer=broadcast_truths, samples=numbers(-2, 2), commutative=True)
def logical_and(a, b, *, out=None):
    """Whether both are true (not 0)."""
    return np.logical_and(a, b, out=out)


@primitive(infer=broadcast_truths, samples=numbers(-2, 2), commutative=True)
def logical_or(a, b, *, out=None):
    """Whether one or both are true (not 0)."""
    return np.logical_or(a, b, out=out)


@primitive(infer=broadcast_truths, samples=numbers(-2, 2), commutative=True)
def logical_xor(a, b, *, out=None):
    """Whether exactly one is true (not 0)."""
    return np.logical_xor(a, b, out=out)


@primitive(infer=broadcast_truths, samples=numbers(-2, 2))
def logical_not(x, *, out=None):
    """Whether the element is false (0)."""
    return np.logical_not(x, out=out)


@primitive(infer=like(np.bitwise_and), samples=integers(0, 99), commutative=True)
def bitwise_and(a, b, *, out=None):
    """The bits set in both."""
    return np.bitwise_and(a, b, out=out)


@primitive(infer=like(np.bitwise_or), samples=integers(0, 99), commutative=True)
def bitwise_or(a, b, *, out=None):
    """The bits set in one or both."""
    return np.bitwise_or(a, b, out=out)


@primitive(infer=like(np.bitwise_xor), samples=integers(0, 99), commutative=True)
def bitwise_xor(a, b, *, out=None):
    """The bits set in exactly one."""
    return np.bitwise_xor(a, b, out=out)


@primitive(infer=like(np.invert), samples=integers(0, 99))
def invert(x, *, out=None):
    """Every bit flipped; the opposite of a truth value."""
    return np.invert(x, out=out)


@primitive(infer=like(np.left_shift), samples=integers((0, 15), (0, 4)))
def left_shift(a, b, *, out=None):
    """The bits of a moved up by b places."""
    return np.left_shift(a, b, out=out)


@primitive(infer=like(np.right_shift), samples=integers((0, 99), (0, 4)))
def right_shift(a, b, *, out=None):
    """The bits of a moved down by b places, keeping the sign."""
    return np.right_shift(a, b, out=out)


@primitive(infer=like(np.bitwise_count), samples=integers(0, 99), effort=2)
def bitwise_count(x, *, out=None):
    """How many bits are set in the absolute value."""
    return np.bitwise_count(x, out=out)


bitwise_invert = bitwise_not = invert
bitwise_left_shift, bitwise_right_shift = left_shift, right_shift
