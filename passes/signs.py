"""Signs cancel, or go into a constant, or move outward to where they may cancel. Every rule is exact."""

from __future__ import annotations

import numpy as np

from graphc.facts import are_alike, are_floats, is_fixed
from graphc.folding import fold_numbers
from graphc.ir import Graph, Node
from graphc.op import Op
from graphc.ops import abs, constant, cos, cosh, negative, reciprocal, square
from graphc.patterns import Operands
from graphc.pipeline import graph_pass
from graphc.rewrite import Firings, RuleSet, apply_rules
from graphc.rules import Outcome, node_rule, rule, sample
from graphc.samples import call


@rule
def negative_of_negative(x):
    """−(−x) = x"""
    return negative(-x), x


@rule(when=are_alike)
def add_negative(x, y):
    """x + (−y) = x − y"""
    return x + (-y), x - y


@rule(when=are_alike)
def subtract_negative(x, y):
    """x − (−y) = x + y"""
    return x - (-y), x + y


_SCALED = (call("f64[3]", 0.5), call("f32[3]", np.float32(0)), call("i8[3]", np.int8(-128)))


def _negatable(x: Node, c: Node) -> bool:
    return "value" in c.attrs and c.dtype.kind != "b" and are_alike(x=x, c=c) and not is_fixed(x)


def _negatable_float(x: Node, c: Node) -> bool:
    return c.type.is_float and _negatable(x, c)


def _negated(c: Node) -> Node:
    return constant(-c.attrs["value"])


@rule(when=_negatable, samples=_SCALED)
def subtract_constant(x, c):
    """x − c = x + (−c)"""
    return x - c, lambda: x + _negated(c)


@rule(when=_negatable, samples=_SCALED)
def negative_times_constant(x, c):
    """−x · c = x · −c"""
    return -x * c, lambda: x * _negated(c)


@rule(when=_negatable, samples=_SCALED)
def negative_of_multiple(x, c):
    """−(x c) = x · −c"""
    return -(x * c), lambda: x * _negated(c)


@rule(when=_negatable_float, samples=_SCALED[:2])
def negative_over_constant(x, c):
    """−x / c = x / −c"""
    return -x / c, lambda: x / _negated(c)


@rule(when=_negatable_float, samples=_SCALED[:2])
def negative_of_quotient(x, c):
    """−(c / x) = −c / x"""
    return -(c / x), lambda: _negated(c) / x


@rule
def multiply_by_minus_one(x):
    """x · −1 = −x"""
    return x * -1, -x


@rule(when=are_alike)
def multiply_negative(x, y):
    """−x · y = −(x y)"""
    return -x * y, -(x * y)


@rule(when=are_alike)
def add_negative_multiple(x, y, z):
    """x + (−y) z = x − y z"""
    return x + -y * z, x - y * z


@rule(when=are_alike)
def subtract_negative_multiple(x, y, z):
    """x − (−y) z = x + y z"""
    return x - -y * z, x + y * z


@rule(when=are_floats)
def divide_negative(x, y):
    """−x / y = −(x / y)"""
    return -x / y, -(x / y)


@rule(when=are_floats)
def divide_by_negative(x, y):
    """x / −y = −(x / y)"""
    return x / -y, -(x / y)


@rule(when=are_floats)
def reciprocal_of_negative(x):
    """(−x)⁻¹ = −x⁻¹"""
    return reciprocal(-x), -reciprocal(x)


def _sign_is_lost(op: Op, operands: Operands) -> bool:
    return op in (abs, square, cos, cosh) and operands[0] in (negative, abs)


@node_rule(_sign_is_lost, samples=[sample(f, "f64[9]") for f in (
    lambda x: abs(-x), lambda x: square(-x), lambda x: cos(-x), lambda x: cosh(abs(x)),
    lambda x: square(abs(x)))])  # fmt: skip
def even_function(node: Node) -> Outcome:
    """f(−x) = f(|x|) = f(x)"""
    inner = node.inputs[0]
    return node.op(inner.inputs[0]) if node.op is not inner.op and inner.type.is_float else None


RULES = RuleSet.of(globals(), fold_numbers)


@graph_pass
def signs(graph: Graph, *, firings: Firings | None = None) -> Graph:
    """Bring signs together."""
    return apply_rules(graph, RULES, firings)
