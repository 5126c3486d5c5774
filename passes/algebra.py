"""Identities of algebra. The exact ones always; those that hold for real numbers only with `fast_math`.

Left sides are in canonical form. A rule that rounds differently, or forgets a NaN, an infinity or the sign of a zero,
is `fast`; where integers make it exact, it applies to integers always.
"""

from __future__ import annotations

import numpy as np

from graphc.facts import are_integers, is_fixed, number
from graphc.folding import fold_numbers
from graphc.ir import Graph, Node
from graphc.ops import (
    abs,
    ceil,
    exp,
    floor,
    log,
    maximum,
    minimum,
    reciprocal,
    relu,
    rint,
    sign,
    sqrt,
    square,
    trunc,
)
from graphc.pipeline import graph_pass
from graphc.rewrite import Firings, RuleSet, apply_rules
from graphc.rules import Outcome, node_rule, rule, sample
from graphc.samples import call

# Neutral and absorbing numbers.


@rule
def multiply_one(x):
    """x · 1 = x"""
    return x * 1, x


@rule
def divide_one(x):
    """x / 1 = x"""
    return x / 1, x


@rule
def add_minus_zero(x):
    """x + (−0) = x, also where x is −0"""
    return x + -0.0, x


@rule(kind="fast", exact_when=are_integers)
def add_zero(x):
    """x + 0 = x, but −0 + 0 = 0"""
    return x + 0, x


@rule(kind="fast", exact_when=are_integers)
def zero_minus(x):
    """0 − x = −x, but 0 − 0 = 0"""
    return 0 - x, -x


@rule(kind="fast", exact_when=are_integers)
def multiply_zero(x):
    """x · 0 = 0, but not for −x, infinities and NaN"""
    return x * 0, 0


@rule(kind="fast")
def zero_over(x):
    """0 / x = 0, but not for 0 and NaN"""
    return 0 / x, 0


@rule
def maximum_minus_infinity(x):
    """max(x, −∞) = x"""
    return maximum(x, -np.inf), x


@rule
def minimum_infinity(x):
    """min(x, ∞) = x"""
    return minimum(x, np.inf), x


# A value met again.


@rule(kind="fast", exact_when=are_integers)
def subtract_itself(x):
    """x − x = 0, but not for infinities and NaN"""
    return x - x, 0


@rule(kind="fast")
def divide_itself(x):
    """x / x = 1, but not for 0, infinities and NaN"""
    return x / x, 1


@rule
def maximum_itself(x):
    """max(x, x) = x"""
    return maximum(x, x), x


@rule
def minimum_itself(x):
    """min(x, x) = x"""
    return minimum(x, x), x


@rule(kind="fast", exact_when=are_integers)
def add_and_subtract(x, y):
    """(x + y) − y = x"""
    return x + y - y, x


@rule(kind="fast", exact_when=are_integers)
def subtract_and_add(x, y):
    """(x − y) + y = x"""
    return x - y + y, x


@rule(kind="fast", exact_when=are_integers)
def subtract_difference(x, y):
    """x − (x − y) = y"""
    return x - (x - y), y


@rule(kind="fast")
def multiply_and_divide(x, y):
    """(x y) / y = x"""
    return x * y / y, x


@rule(kind="fast")
def divide_and_multiply(x, y):
    """(x / y) y = x"""
    return x / y * y, x


# Signs. Differences that are 0 take either sign.


@rule(kind="fast", exact_when=are_integers)
def negative_of_difference(x, y):
    """−(x − y) = y − x"""
    return -(x - y), y - x


@rule(kind="fast", exact_when=are_integers)
def negative_minus(x, y):
    """−x − y = −(x + y)"""
    return -x - y, -(x + y)


# Quotients, powers, roots, exponentials.


@rule(kind="fast")
def divide_quotient(x, y, z):
    """(x / y) / z = x / (y z)"""
    return x / y / z, x / (y * z)


@rule(kind="fast")
def divide_by_quotient(x, y, z):
    """x / (y / z) = x z / y"""
    return x / (y / z), x * z / y


@rule(kind="fast")
def common_divisor(x, y, z):
    """x / z + y / z = (x + y) / z"""
    return x / z + y / z, (x + y) / z


LARGEST_EXPANDED = 16


def _is_small_integer(x: Node, p: Node) -> bool:
    n = number(p)
    return n is not None and not is_fixed(x) and float(n).is_integer() and 3 <= n <= LARGEST_EXPANDED


@rule(kind="fast", exact_when=are_integers, when=_is_small_integer,
      samples=[call("f64[99]", 3.0), call("f32[99]", np.float32(16)), call("i16[99]", np.int16(7))])  # fmt: skip
def power_by_squaring(x, p):
    """xⁿ by squaring"""
    return x**p, lambda: _by_squaring(x, int(number(p)))


def _by_squaring(x: Node, n: int) -> Node:
    result, factor = None, x
    while n:
        if n % 2:
            result = factor if result is None else result * factor
        n //= 2
        factor = square(factor) if n else factor
    assert result is not None
    return result


@rule(kind="fast")
def power_minus_two(x):
    """x^−2 = 1 / x²"""
    return x**-2, reciprocal(square(x))


@rule(kind="fast")
def power_minus_half(x):
    """x^−½ = 1 / √x"""
    return x**-0.5, reciprocal(sqrt(x))


@rule(kind="fast")
def power_three_halves(x):
    """x^(3/2) = x √x"""
    return x**1.5, x * sqrt(x)


@rule(kind="fast")
def square_of_sqrt(x):
    """(√x)² = x"""
    return square(sqrt(x)), x


@rule(kind="fast")
def divide_by_sqrt_of_itself(x):
    """x / √x = √x"""
    return x / sqrt(x), sqrt(x)


@rule(kind="fast")
def exp_log(x):
    """exp(log(x)) = x"""
    return exp(log(x)), x


@rule(kind="fast")
def product_of_exp(x, y):
    """exp(x) exp(y) = exp(x + y)"""
    return exp(x) * exp(y), exp(x + y)


@rule(kind="fast")
def quotient_of_exp(x, y):
    """exp(x) / exp(y) = exp(x − y)"""
    return exp(x) / exp(y), exp(x - y)


@rule(kind="fast")
def sum_of_log(x, y):
    """log(x) + log(y) = log(x y)"""
    return log(x) + log(y), log(x * y)


@rule(kind="fast")
def difference_of_log(x, y):
    """log(x) − log(y) = log(x / y)"""
    return log(x) - log(y), log(x / y)


# Functions applied twice.

_WHOLE = (floor, ceil, rint, trunc)
_AGAIN = {**dict.fromkeys(_WHOLE, _WHOLE), abs: (abs,), relu: (relu,), sign: (sign,)}
"""Functions by those that leave their results as they are."""


@node_rule(lambda op, operands: op in _AGAIN and operands[0] in _AGAIN, samples=[
    sample(lambda x: floor(ceil(x)), "f64[9]"), sample(lambda x: abs(abs(x)), "i8[9]"),
    sample(lambda x: relu(relu(x)), "f32[9]")])  # fmt: skip
def applied_again(node: Node) -> Outcome:
    """f(g(x)) = g(x) where f leaves results of g as they are"""
    return node.inputs[0] if node.inputs[0].op in _AGAIN[node.op] else None


RULES = RuleSet.of(globals(), fold_numbers)
STRICT = RULES.strict


@graph_pass
def algebra(graph: Graph, *, fast_math: bool = False, firings: Firings | None = None) -> Graph:
    """Simplify arithmetic."""
    return apply_rules(graph, RULES if fast_math else STRICT, firings)
