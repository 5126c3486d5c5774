"""Common factors come out, and numbers come together: they move right and outward until they meet.

Rounding changes, so this is for `fast_math`; integers, whose arithmetic is exact modulo 2ⁿ, always take part.
"""

from __future__ import annotations

import numpy as np

from graphc.facts import are_integers, is_fixed, number
from graphc.folding import fold_numbers
from graphc.ir import Graph, Node
from graphc.ops import square
from graphc.pipeline import graph_pass
from graphc.rewrite import Firings, RuleSet, apply_rules
from graphc.rules import rule
from graphc.samples import call


@rule(kind="fast", exact_when=are_integers)
def common_factor_of_sum(x, y, z):
    """x y + x z = x (y + z)"""
    return x * y + x * z, x * (y + z)


@rule(kind="fast", exact_when=are_integers)
def common_factor_of_difference(x, y, z):
    """x y − x z = x (y − z)"""
    return x * y - x * z, x * (y - z)


def _is_number(x: Node, c: Node, **others: Node) -> bool:
    return number(c) is not None and not any(map(is_fixed, (x, *others.values())))


def _are_numbers(x: Node, a: Node, b: Node) -> bool:
    return number(a) is not None and number(b) is not None and not is_fixed(x)


_NUMBER = (call("f64[3]", 0.5), call("f32[3]", np.float32(3)), call("i8[3]", np.int8(100)))
_NUMBERS = (call("f64[3]", 0.5, 3.0), call("f32[3]", np.float32(3), np.float32(7)),
            call("i8[3]", np.int8(7), np.int8(100)))  # fmt: skip
_BESIDE_NUMBER = (call("f64[3]", 0.5, "f64[3]"), call("f32[3]", np.float32(3), "f32[2,3]"),
                  call("i8[3]", np.int8(7), "i8[3]"))  # fmt: skip


@rule(kind="fast", exact_when=are_integers, when=_is_number, samples=_NUMBER)
def multiple_plus_itself(x, c):
    """x c + x = x (c + 1)"""
    return x * c + x, lambda: x * (c + 1)


@rule(kind="fast", exact_when=are_integers, when=_are_numbers, samples=_NUMBERS)
def add_numbers(x, a, b):
    """(x + a) + b = x + (a + b)"""
    return x + a + b, x + (a + b)


@rule(kind="fast", exact_when=are_integers, when=_are_numbers, samples=_NUMBERS)
def multiply_numbers(x, a, b):
    """(x a) b = x (a b)"""
    return x * a * b, x * (a * b)


@rule(kind="fast", exact_when=are_integers, when=_is_number, samples=_BESIDE_NUMBER)
def add_number_last(x, c, y):
    """(x + c) + y = (x + y) + c"""
    return x + c + y, x + y + c


@rule(kind="fast", exact_when=are_integers, when=_is_number, samples=_BESIDE_NUMBER)
def multiply_number_last(x, c, y):
    """(x c) y = (x y) c"""
    return x * c * y, x * y * c


@rule(kind="fast", when=_is_number, samples=_BESIDE_NUMBER[:2])
def multiply_number_after_quotient(x, c, y):
    """(x c) / y = (x / y) c"""
    return x * c / y, x / y * c


@rule(kind="fast", when=_is_number, samples=_BESIDE_NUMBER[:2])
def divide_number_last(x, c, y):
    """y / (x c) = (y / x) (1 / c)"""
    return y / (x * c), y / x * (1 / c)


@rule(kind="fast", when=_is_number, samples=_NUMBER[:2])
def divide_number(x, c):
    """x / c = x (1 / c)"""
    return x / c, x * (1 / c)


@rule(kind="fast", when=_is_number, samples=_NUMBER[:2])
def square_of_multiple(x, c):
    """(x c)² = x² c²"""
    return square(x * c), square(x) * (c * c)


RULES = RuleSet.of(globals(), fold_numbers)
STRICT = RULES.strict


@graph_pass
def reassociate(graph: Graph, *, fast_math: bool = False, firings: Firings | None = None) -> Graph:
    """Take out common factors and bring numbers together."""
    return apply_rules(graph, RULES if fast_math else STRICT, firings)
