"""One normal form for each value, so that later rules need to know one form only. Every rule is exact.

Constants stand on the right; sums of two terms are `add`, subtractions of constants additions; squares, reciprocals,
positive parts and negations have ops of their own; operands are broadcast by the op that reads them; what passes its
operand on as it is has gone.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from graphc import ops
from graphc.facts import are_floats, converts_exactly, count, inverse_is_exact, is_fixed, number
from graphc.folding import fold_numbers, folded
from graphc.ir import Graph, Node
from graphc.op import Op
from graphc.ops import (
    add_n,
    astype,
    constant,
    dim_size,
    greater,
    greater_equal,
    less,
    less_equal,
    maximum,
    positive,
    reciprocal,
    relu,
    square,
    stop_gradient,
    where,
)
from graphc.patterns import Operands
from graphc.pipeline import graph_pass
from graphc.rewrite import Firings, RuleSet, apply_rules
from graphc.rules import Outcome, node_rule, rule, sample
from graphc.samples import call
from graphc.types import broadcast_shapes

# Operands: constants on the right, nothing broadcast by hand that broadcasts by itself.

MIRRORED = {less: greater, greater: less, less_equal: greater_equal, greater_equal: less_equal}
"""Comparisons by what they are when their operands change places."""


def _may_be_mirrored(op: Op, operands: Operands) -> bool:
    """Whether an op's two operands can change places, perhaps under another name, and the first may be fixed."""
    first = operands[0] if operands else None
    may_be_fixed = first is None or first.view or "value" in first.attributes
    return may_be_fixed and op.arity == 2 and (op.commutative or op in MIRRORED)


@node_rule(_may_be_mirrored, samples=[
    sample(lambda x: 2 + x, "f64[3]"), sample(lambda x: less(np.arange(3), x), "i64[3]")])  # fmt: skip
def constant_right(node: Node) -> Outcome:
    """c ∘ x = x ∘ c"""
    a, b = node.inputs
    return MIRRORED.get(node.op, node.op)(b, a) if is_fixed(a) and not is_fixed(b) else None


def _reads_broadcast(op: Op, operands: Operands) -> bool:
    return op.elementwise and (ops.broadcast_to in operands or None in operands)


@node_rule(_reads_broadcast, samples=[
    sample(lambda x, y: x + ops.broadcast_to(y, (2, 3)), "f64[2,3]", "f64[3]"),
    sample(lambda x: ops.ones_like(x) * x, "f32[2,3]"),
    sample(lambda c, x: where(c, x, ops.zeros_like(x)), "bool[3]", "f64[3]")])  # fmt: skip
def implicit_broadcast(node: Node) -> Outcome:
    """f(x, broadcast(y)) = f(x, y), where x gives the result its shape"""
    inputs = list(node.inputs)
    wide = [i for i, source in enumerate(inputs) if source.op is ops.broadcast_to]
    shapes = Counter([source.shape for source in inputs]) if wide else Counter()
    for i in wide:
        broadcast, narrow = inputs[i], inputs[i].inputs[0]
        shapes[broadcast.shape] -= 1
        shapes[narrow.shape] += 1
        if broadcast_shapes(*[shape for shape, times in shapes.items() if times]) == node.shape:
            inputs[i] = narrow
        else:
            shapes[broadcast.shape] += 1
            shapes[narrow.shape] -= 1
    return None if tuple(inputs) == node.inputs else node.op.make(tuple(inputs), node.attrs)


@node_rule(_reads_broadcast, samples=[
    sample(lambda x: ops.exp(ops.broadcast_to(x, (2, 3))), "f64[3]"),
    sample(lambda x, y: ops.broadcast_to(x, (2, 3, 4)) * ops.broadcast_to(y, (2, 3, 4)), "f64[4]", "f64[3,1]")])
def broadcast_after(node: Node) -> Outcome:
    """f(broadcast(x), broadcast(y)) = broadcast(f(x, y)), where that leaves fewer elements to compute"""
    narrow = [source.inputs[0] if source.op is ops.broadcast_to else source for source in node.inputs]
    inner = node.op.make(tuple(narrow), node.attrs)
    return inner if count(inner.type) < count(node.type) else None


SEEN = (ops.reshape, ops.transpose, ops.getitem, ops.flip)


@node_rule(lambda op, operands: op in SEEN and operands[0] is ops.broadcast_to, samples=[
    sample(lambda x: ops.transpose(ops.broadcast_to(x, (2, 3))), "f64[]"),
    sample(lambda x: ops.reshape(ops.broadcast_to(x, (2, 3)), 6), "f64[]")])  # fmt: skip
def view_of_repeated(node: Node) -> Outcome:
    """However one number is repeated and seen, it is that number repeated."""
    element = node.inputs[0].inputs[0]
    return ops.broadcast_to(element, node.shape) if element.shape == () else None


# Sums.


@rule
def add_n_of_one(x):
    """Σ(x) = x"""
    return add_n(x), x


@rule
def add_n_of_two(x, y):
    """Σ(x, y) = x + y"""
    return add_n(x, y), x + y


@rule
def double(x):
    """x + x = 2x"""
    return x + x, x * 2


@rule
def triple(x):
    """x + x + x = 3x: 2x is exact, so both sides round once"""
    return add_n(x, x, x), x * 3


# Products and powers.


@rule
def multiply_by_itself(x):
    """x · x = x²"""
    return x * x, square(x)


@rule(when=are_floats)
def one_over(x):
    """1 / x = x⁻¹"""
    return 1 / x, reciprocal(x)


def _inverts(x: Node, c: Node) -> bool:
    """Whether x / c is better a product: of single numbers only by 2 or 1/2.

    A mean divides one number by a size, and sizes that are powers of two would make other graphs, compiled anew.
    """
    return inverse_is_exact(c) and not is_fixed(x) and (x.ndim > 0 or abs(number(c)) <= 2)


@rule(when=_inverts, samples=[call("f64[9]", 4.0), call("f32[9]", np.float32(-0.5))])
def divide_by_power_of_two(x, c):
    """x / 2ⁿ = x · 2⁻ⁿ"""
    return x / c, lambda: x * folded(1 / c)


@rule
def power_one(x):
    """x¹ = x"""
    return x**1, x


@rule
def power_zero(x):
    """x⁰ = 1, of NaN too"""
    return x**0, 1


@rule
def positive_part(x):
    """max(x, 0) = relu(x)"""
    return maximum(x, 0), relu(x)


# What passes its operand on.


@rule
def positive_itself(x):
    """+x = x"""
    return positive(x), x


@rule
def stopped_gradient(x):
    """Once the derivatives are built, nothing is left to stop."""
    return stop_gradient(x), x


@rule(when=lambda x, dtype: x.dtype == dtype, samples=[call("f64[3]", dtype=np.dtype("f8"))])
def astype_same(x, *, dtype):
    """A cast to the dtype that x has is x."""
    return astype(x, dtype=dtype), x


def _through_wider(x: Node, first: np.dtype[Any], second: np.dtype[Any]) -> bool:
    return converts_exactly(x.dtype, first) and (first.kind != "f" or second.kind == "f")


@rule(when=_through_wider, samples=[
    call("f32[9]", first=np.dtype("f8"), second=np.dtype("f4")),
    call("i8[9]", first=np.dtype("f4"), second=np.dtype("f2")),
    call("i8[9](-9,9)", first=np.dtype("i8"), second=np.dtype("u1"))])  # fmt: skip
def astype_through_wider(x, *, first, second):
    """A cast through a dtype that holds every value of x is a cast."""
    return astype(astype(x, dtype=first), dtype=second), lambda: astype(x, dtype=second)


# Shapes.


@rule(when=lambda x, axis: isinstance(x.shape[axis], int), samples=[call("f64[3,4]", axis=1)])
def dim_size_known(x, *, axis):
    """The size of an axis is a number once the shapes are known."""
    return dim_size(x, axis=axis), lambda: constant(x.shape[axis], np.int64)


@node_rule(lambda op, operands: op is ops.reshape, samples=[
    sample(lambda x: ops.expand_dims(ops.sum(x, 1), 1), "f64[2,3]"),
    sample(lambda x: ops.expand_dims(ops.max(x, 0), 0), "i64[2,3]")])  # fmt: skip
def reduced_axes_kept(node: Node) -> Outcome:
    """A reduction reshaped to keep its axes keeps them."""
    reduced = node.inputs[0]
    axis, keepdims = reduced.attrs.get("axis"), reduced.attrs.get("keepdims")
    if keepdims is not False or not isinstance(axis, tuple):
        return None
    kept = reduced.op(reduced.inputs[0], axis=axis, keepdims=True)
    return kept if kept.type == node.type else None


RULES = RuleSet.of(globals(), fold_numbers)


@graph_pass
def canonicalize(graph: Graph, *, firings: Firings | None = None) -> Graph:
    """Bring every node to its normal form."""
    return apply_rules(graph, RULES, firings)
