"""Choices, truth values, comparisons and bits. The exact rules always; those that forget NaN only with `fast_math`."""

from __future__ import annotations

from graphc.facts import are_integers, number
from graphc.ir import Graph, Node
from graphc.ops import (
    bitwise_and,
    bitwise_or,
    bitwise_xor,
    equal,
    greater,
    greater_equal,
    invert,
    less,
    less_equal,
    logical_and,
    logical_not,
    logical_or,
    not_equal,
    where,
)
from graphc.pipeline import graph_pass
from graphc.rewrite import Firings, RuleSet, apply_rules
from graphc.rules import Outcome, node_rule, rule, sample

# Choices.


@rule
def where_either(c, x):
    """x, whichever way."""
    return where(c, x, x), x


@node_rule(lambda op, operands: op is where, samples=[
    sample(lambda x, y: where(True, x, y), "f64[3]", "f64[2,3]"),
    sample(lambda x, y: where(False, x, y), "i8[3]", "i8[3]")])  # fmt: skip
def where_known(node: Node) -> Outcome:
    """The branch that a known condition takes."""
    condition, a, b = node.inputs
    known = number(condition)
    return None if known is None else a if known else b


@rule
def where_chosen_again(c, x, y, z):
    """Where c holds, what c chooses is x."""
    return where(c, where(c, x, y), z), where(c, x, z)


@rule
def where_rejected_again(c, x, y, z):
    """Where c does not hold, what c chooses is z."""
    return where(c, x, where(c, y, z)), where(c, x, z)


@rule
def where_both(c, d, x, y):
    """x where c and d hold, else y"""
    return where(c, where(d, x, y), y), where(logical_and(c, d), x, y)


# Truth values and bits.


@rule
def not_not(x):
    """¬¬x = x"""
    return logical_not(logical_not(x)), x


@rule
def not_equals(x, y):
    """¬(x = y) = (x ≠ y)"""
    return logical_not(equal(x, y)), not_equal(x, y)


@rule
def not_differs(x, y):
    """¬(x ≠ y) = (x = y)"""
    return logical_not(not_equal(x, y)), equal(x, y)


@rule
def where_not(c, x, y):
    """x where ¬c, else y, is y where c, else x."""
    return where(logical_not(c), x, y), where(c, y, x)


@rule
def and_itself(x):
    """x ∧ x = x"""
    return logical_and(x, x), x


@rule
def or_itself(x):
    """x ∨ x = x"""
    return logical_or(x, x), x


@rule
def and_true(x):
    """x ∧ 1 = x"""
    return logical_and(x, True), x


@rule
def and_false(x):
    """x ∧ 0 = 0"""
    return logical_and(x, False), False


@rule
def or_false(x):
    """x ∨ 0 = x"""
    return logical_or(x, False), x


@rule
def or_true(x):
    """x ∨ 1 = 1"""
    return logical_or(x, True), True


@rule
def bits_and_itself(x):
    """x & x = x"""
    return bitwise_and(x, x), x


@rule
def bits_or_itself(x):
    """x | x = x"""
    return bitwise_or(x, x), x


@rule
def bits_xor_itself(x):
    """x ^ x = 0"""
    return bitwise_xor(x, x), 0


@rule
def invert_twice(x):
    """~~x = x"""
    return invert(invert(x)), x


@rule
def less_than_itself(x):
    """¬(x < x)"""
    return less(x, x), False


@rule
def greater_than_itself(x):
    """¬(x > x)"""
    return greater(x, x), False


@rule(kind="fast", exact_when=are_integers)
def equals_itself(x):
    """x = x, but not NaN"""
    return equal(x, x), True


@rule(kind="fast", exact_when=are_integers)
def differs_from_itself(x):
    """¬(x ≠ x), but NaN ≠ NaN"""
    return not_equal(x, x), False


@rule(kind="fast", exact_when=are_integers)
def not_less(x, y):
    """¬(x < y) = (x ≥ y), but not beside NaN"""
    return logical_not(less(x, y)), greater_equal(x, y)


@rule(kind="fast", exact_when=are_integers)
def not_less_equal(x, y):
    """¬(x ≤ y) = (x > y), but not beside NaN"""
    return logical_not(less_equal(x, y)), greater(x, y)


@rule(kind="fast", exact_when=are_integers)
def not_greater(x, y):
    """¬(x > y) = (x ≤ y), but not beside NaN"""
    return logical_not(greater(x, y)), less_equal(x, y)


@rule(kind="fast", exact_when=are_integers)
def not_greater_equal(x, y):
    """¬(x ≥ y) = (x < y), but not beside NaN"""
    return logical_not(greater_equal(x, y)), less(x, y)


RULES = RuleSet.of(globals())
STRICT = RULES.strict


@graph_pass
def logic(graph: Graph, *, fast_math: bool = False, firings: Firings | None = None) -> Graph:
    """Simplify choices, truth values, comparisons and bits."""
    return apply_rules(graph, RULES if fast_math else STRICT, firings)
