"""Formulas that overflow, underflow or cancel give way to ops that do not: right sides are closer to the true value.

Left sides are in canonical form: `log(1 + x)` is `log(x + 1)` here, and `1 / x` a reciprocal.
"""

from __future__ import annotations

import math

import numpy as np

from graphc import ops
from graphc.facts import is_fixed, is_power_of_two, is_shifted, number
from graphc.folding import fold_numbers
from graphc.ir import Graph, Node
from graphc.ops import (
    abs,
    add_n,
    exp,
    exp2,
    expm1,
    log,
    log1p,
    log2,
    logaddexp,
    logsumexp,
    reciprocal,
    sqrt,
    square,
    sum,
)
from graphc.pipeline import graph_pass
from graphc.rewrite import Firings, RuleSet, apply_rules
from graphc.rules import Outcome, node_rule, rule, sample
from graphc.samples import call

# Exponentials and logarithms.


@rule(kind="stabilizing")
def log_one_plus(x):
    """log(1 + x) = log1p(x)"""
    return log(x + 1), log1p(x)


@rule(kind="stabilizing")
def log_one_minus(x):
    """log(1 − x) = log1p(−x)"""
    return log(1 - x), log1p(-x)


@rule(kind="stabilizing")
def exp_minus_one(x):
    """exp(x) − 1 = expm1(x)"""
    return exp(x) + (-1), expm1(x)


@rule(kind="stabilizing")
def one_minus_exp(x):
    """1 − exp(x) = −expm1(x)"""
    return 1 - exp(x), -expm1(x)


@rule(kind="stabilizing")
def log_exp(x):
    """log(exp(x)) = x"""
    return log(exp(x)), x


@rule(kind="stabilizing")
def log2_exp2(x):
    """log₂(2ˣ) = x"""
    return log2(exp2(x)), x


@rule(kind="stabilizing")
def log1p_expm1(x):
    """log1p(expm1(x)) = x"""
    return log1p(expm1(x)), x


@rule(kind="stabilizing")
def log_exp_times(x, y):
    """log(exp(x) y) = x + log(y)"""
    return log(exp(x) * y), x + log(y)


@rule(kind="stabilizing")
def log_exp_over(x, y):
    """log(exp(x) / y) = x − log(y): the logarithm of softmax is log-softmax"""
    return log(exp(x) / y), x - log(y)


@rule(kind="stabilizing")
def log_sum_of_two_exp(x, y):
    """log(exp(x) + exp(y)) = logaddexp(x, y)"""
    return log(exp(x) + exp(y)), logaddexp(x, y)


# Sums of exponentials along an axis.


def _may_overflow(x: Node, axis: tuple[int, ...], **binding: object) -> bool:
    return not is_shifted(x, axis)


_ROWS = (call("f64[4,5](-800,800)", axis=(1,)), call("f32[4,5](-3,3)", axis=(0, 1)), call("f64[2,3,4]", axis=(0, 2)))


@rule(kind="stabilizing", when=_may_overflow, samples=[
    call(*c.operands, **c.attributes, keepdims=keepdims) for c in _ROWS for keepdims in (False, True)])  # fmt: skip
def log_sum_exp(x, *, axis, keepdims):
    """log(Σ exp(x)) = logsumexp(x)"""
    return log(sum(exp(x), axis=axis, keepdims=keepdims)), logsumexp(x, axis=axis, keepdims=keepdims)


@rule(kind="stabilizing", when=_may_overflow, samples=_ROWS)
def softmax(x, *, axis):
    """exp(x) / Σ exp(x) = exp(z) / Σ exp(z) with z = x − max(x)"""
    e = exp(x)
    return e / sum(e, axis=axis, keepdims=True), lambda: _softmax(x, axis)


def _softmax(x: Node, axis: tuple[int, ...]) -> Node:
    e = exp(x - ops.max(x, axis=axis, keepdims=True))
    return e / sum(e, axis=axis, keepdims=True)


# Powers, roots, quotients, scales.


@rule(kind="stabilizing")
def times_reciprocal(x, y):
    """x · y⁻¹ = x / y, rounded once"""
    return x * reciprocal(y), x / y


@rule(kind="stabilizing")
def over_reciprocal(x, y):
    """x / y⁻¹ = x y, rounded once"""
    return x / reciprocal(y), x * y


@rule(kind="stabilizing")
def reciprocal_of_reciprocal(x):
    """(x⁻¹)⁻¹ = x"""
    return reciprocal(reciprocal(x)), x


@rule(kind="stabilizing")
def reciprocal_of_quotient(x, y):
    """(x / y)⁻¹ = y / x, rounded once"""
    return reciprocal(x / y), y / x


@rule(kind="stabilizing")
def power_two(x):
    """x^2 = x², rounded once"""
    return x**2, square(x)


@rule(kind="stabilizing")
def power_minus_one(x):
    """x^−1 = 1 / x, rounded once"""
    return x**-1, reciprocal(x)


@rule(kind="stabilizing", when=lambda x: x.dtype.itemsize > 2, samples=[call("f64[9](0,9)"), call("f32[9](0,9)")])
def power_half(x):
    """x^½ = √x, rounded once: −inf gives NaN, as in NumPy's own power"""
    return x**0.5, sqrt(x)


@rule(kind="stabilizing")
def sqrt_of_square(x):
    """√(x²) = |x|"""
    return sqrt(square(x)), abs(x)


def _one_is_exact(x: Node, a: Node, b: Node) -> bool:
    """Whether a or b only moves the exponent, and their product is a normal number."""
    first, second = number(a), number(b)
    if first is None or second is None or not (is_power_of_two(first) or is_power_of_two(second)):
        return False
    if a.dtype != b.dtype or is_fixed(x):
        return False
    limits = np.finfo(a.dtype)
    return float(limits.tiny) <= math.fabs(first * second) <= float(limits.max)


@rule(kind="stabilizing", when=_one_is_exact, samples=[
    call("f64[9]", 2.0, 0.3), call("f32[9]", np.float32(0.1), np.float32(-0.5))])  # fmt: skip
def scale_once(x, a, b):
    """(x a) b = x (a b) where one of a and b is a power of two, so that a b is exact"""
    return x * a * b, x * (a * b)


def _cancels(x: Node, c: Node) -> bool:
    return is_fixed(c) and number(c) not in (None, 0) and bool(np.isfinite(number(c)))


@rule(kind="stabilizing", when=_cancels, samples=[call("f64[9]", 3.0), call("f32[9]", np.float32(0.1))])
def times_over_same(x, c):
    """(x c) / c = x for a number c other than 0"""
    return x * c / c, x


@rule(kind="stabilizing", when=_cancels, samples=[call("f64[9]", 3.0), call("f32[9]", np.float32(0.1))])
def over_times_same(x, c):
    """(x / c) c = x for a number c other than 0"""
    return x / c * c, x


@node_rule(lambda op, operands: op is add_n, kind="stabilizing", samples=[
    sample(lambda x: add_n(x, x, x, x), "f32[9]")])  # fmt: skip
def many_times_itself(node: Node) -> Outcome:
    """x + x + x + x + … = n x, rounded once"""
    return node.inputs[0] * len(node.inputs) if len(set(node.inputs)) == 1 < len(node.inputs) else None


RULES = RuleSet.of(globals(), fold_numbers)


@graph_pass(kind="stabilizing")
def stabilize(graph: Graph, *, firings: Firings | None = None) -> Graph:
    """Replace formulas that lose digits by ops that keep them."""
    return apply_rules(graph, RULES, firings)
