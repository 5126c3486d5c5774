"""Reductions of reductions, of repeated elements, over one element, of multiples: fewer elements to go over.

Sums of floats round, so most of their rules are for `fast_math`; but n times a number is closer to the true value than
the sum of n such numbers.
"""

from __future__ import annotations

import math

from graphc import ops
from graphc.facts import TRUTHS, depends_on_order, is_fixed
from graphc.folding import fold_numbers
from graphc.ir import Graph, Node
from graphc.op import Op
from graphc.ops import astype, broadcast_to, max, min, prod, reshape, sum
from graphc.patterns import Operands
from graphc.pipeline import graph_pass
from graphc.rewrite import Firings, RuleSet, apply_rules
from graphc.rules import Outcome, node_rule, rule, sample
from graphc.samples import call
from graphc.types import broadcast_shapes

IDEMPOTENT = (max, min, *TRUTHS)
"""Reductions of equal elements to that element."""
Axes = tuple[int, ...]


def _reduces(op: Op, operands: Operands) -> bool:
    return op.reduction is not None and not op.reduction.place


# Over one element.


def _of_single_elements(node: Node) -> Node | None:
    x = node.inputs[0]
    single = [x.shape[axis] for axis in node.attrs["axis"]]
    if set(single) - {1} or (node.op in TRUTHS and x.dtype.kind != "b"):
        return None
    alone = x if x.shape == node.shape else reshape(x, node.shape)
    return alone if alone.dtype == node.dtype else astype(alone, node.dtype)


@node_rule(_reduces, samples=[
    sample(lambda x: max(x, 0), "f64[1,3]"), sample(lambda x: prod(x, (0, 2), keepdims=True), "i8[1,3,1]"),
    sample(lambda x: sum(x, 1), "i64[3,1]"), sample(lambda x: ops.all(x, 0), "bool[1,3]")])  # fmt: skip
def over_one_element(node: Node) -> Outcome:
    """A reduction of one element is that element; but a sum of −0 is 0."""
    return None if node.op is sum and node.type.is_float else _of_single_elements(node)


@node_rule(lambda op, operands: op is sum, kind="fast", samples=[sample(lambda x: sum(x, 0), "f64[1,3]")])
def sum_over_one_element(node: Node) -> Outcome:
    """A sum of one element is that element."""
    return _of_single_elements(node)


# Of repeated elements.


def _repeated_axes(node: Node) -> Axes:
    """The axes of a reduction along which its operand, a broadcast, repeats its elements."""
    wide, narrow = node.inputs[0], node.inputs[0].inputs[0]
    lead = wide.ndim - narrow.ndim
    return tuple(axis for axis in node.attrs["axis"] if axis < lead or narrow.shape[axis - lead] != wide.shape[axis])


def _without_repeats(node: Node, repeated: Axes) -> Node:
    """A reduction over the axes along which elements differ, in a shape that repeats to the result's."""
    wide, narrow = node.inputs[0], node.inputs[0].inputs[0]
    lead, axes, keepdims = wide.ndim - narrow.ndim, node.attrs["axis"], node.attrs["keepdims"]
    others = tuple(axis - lead for axis in axes if axis not in repeated)
    value = node.op(narrow, axis=others, keepdims=True) if others else narrow
    dims = (1,) * lead + narrow.shape
    shape = tuple(1 if at in axes else dim for at, dim in enumerate(dims) if keepdims or at not in axes)
    return value if value.shape == shape else reshape(value, shape)


def _reduces_broadcast(op: Op, operands: Operands) -> bool:
    return _reduces(op, operands) and operands[0] is broadcast_to


@node_rule(_reduces_broadcast, samples=[
    sample(lambda x: max(broadcast_to(x, (4, 3)), 0), "f64[3]"),
    sample(lambda x: min(broadcast_to(x, (2, 3, 4))), "f32[3,1]"),
    sample(lambda x: ops.all(broadcast_to(x, (2, 3)), 0, keepdims=True), "bool[1,3]")])  # fmt: skip
def choice_among_repeated(node: Node) -> Outcome:
    """max(x, …, x) = x"""
    repeated = _repeated_axes(node)
    return _without_repeats(node, repeated) if repeated and node.op in IDEMPOTENT else None


@node_rule(_reduces_broadcast, kind="stabilizing", samples=[
    sample(lambda x: sum(broadcast_to(x, (4, 3)), 0), "f64[3]"),
    sample(lambda x: sum(broadcast_to(x, (2, 3, 4))), "f32[3,1]"),
    sample(lambda x: sum(broadcast_to(x, (2, 3)), 1, keepdims=True), "i8[2,1]"),
    sample(lambda x: sum(broadcast_to(x, 5)), "f64[]")])  # fmt: skip
def sum_of_repeated(node: Node) -> Outcome:
    """x + … + x = n x"""
    repeated = _repeated_axes(node)
    count = math.prod(dim for dim in (node.inputs[0].shape[axis] for axis in repeated) if isinstance(dim, int))
    if node.op is not sum or not repeated or not count or not node.inputs[0].type.is_static:
        return None
    once = _without_repeats(node, repeated)
    return (once if once.dtype == node.dtype else astype(once, node.dtype)) * count


# Of reductions.


def _reduced_at_once(node: Node) -> Node | None:
    inner = node.inputs[0]
    if inner.op is not node.op:
        return None
    x, first = inner.inputs[0], inner.attrs["axis"]
    left = [at for at in range(x.ndim) if inner.attrs["keepdims"] or at not in first]
    axes = tuple(sorted({*first, *(left[at] for at in node.attrs["axis"])}))
    total = node.op(x, axis=axes, keepdims=node.attrs["keepdims"])
    return total if total.shape == node.shape else reshape(total, node.shape)


def _reduces_same(op: Op, operands: Operands) -> bool:
    return _reduces(op, operands) and operands[0] is op


@node_rule(_reduces_same, samples=[
    sample(lambda x: ops.all(ops.all(x, 1), 0), "bool[2,3]"),
    sample(lambda x: sum(sum(x, 0, keepdims=True), 1), "i64[2,3]"),
    sample(lambda x: max(max(x, (0, 2)), 0, keepdims=True), "i8[2,3,4]")])  # fmt: skip
def reduce_twice(node: Node) -> Outcome:
    """A reduction of a reduction is one over the axes of both."""
    return None if depends_on_order(node) else _reduced_at_once(node)


@node_rule(_reduces_same, kind="fast", samples=[
    sample(lambda x: sum(sum(x, 1), 0), "f64[2,3]"),
    sample(lambda x: max(max(x, 0, keepdims=True)), "f32[2,3]")])  # fmt: skip
def reduce_floats_twice(node: Node) -> Outcome:
    """A reduction of a reduction is one over the axes of both, which adds in another order."""
    return _reduced_at_once(node)


# Of views.


def _reduces_reshaped(op: Op, operands: Operands) -> bool:
    return _reduces(op, operands) and operands[0] is reshape


def _of_all_elements(node: Node) -> Node | None:
    if node.shape != () or len(node.attrs["axis"]) != node.inputs[0].ndim:
        return None
    return node.op(node.inputs[0].inputs[0])


@node_rule(_reduces_reshaped, samples=[
    sample(lambda x: sum(reshape(x, 6)), "i64[2,3]"),
    sample(lambda x: ops.any(reshape(x, 6)), "bool[2,3]")])  # fmt: skip
def reduce_reshaped(node: Node) -> Outcome:
    """A reduction of all elements does not see their shape."""
    return None if depends_on_order(node) else _of_all_elements(node)


@node_rule(_reduces_reshaped, kind="fast", samples=[sample(lambda x: sum(reshape(x, 6)), "f64[2,3]")])
def reduce_reshaped_floats(node: Node) -> Outcome:
    """A reduction of all elements does not see their shape, but may add them in another order."""
    return _of_all_elements(node)


# Of multiples.

_AXES = {"axis": (1,), "keepdims": False}


@rule(kind="fast", samples=[call("f64[2,3]", **_AXES), call("f32[2,3]", axis=(0, 1), keepdims=True)])
def sum_of_negatives(x, *, axis, keepdims):
    """Σ −x = −Σ x"""
    return sum(-x, axis=axis, keepdims=keepdims), -sum(x, axis=axis, keepdims=keepdims)


def _is_factor(x: Node, y: Node, axis: Axes, **others: object) -> bool:
    """Whether y is one number along the axes, and x gives the product its shape."""
    if is_fixed(x) or not axis or broadcast_shapes(x.shape, y.shape) != x.shape:
        return False
    lead = x.ndim - y.ndim
    return {y.shape[at - lead] for at in axis if at >= lead} <= {1}


def _in_shape_of(left: Node, value: Node) -> Node:
    return value if value.shape == left.shape else reshape(value, left.shape)


_MULTIPLES = (call("f64[9,99]", 3.0, **_AXES), call("f32[9,99]", "f32[9,1]", **_AXES))


@rule(kind="fast", when=_is_factor, samples=_MULTIPLES)
def sum_of_multiples(x, y, *, axis, keepdims):
    """Σ x y = (Σ x) y where y does not depend on what is summed over"""
    left = sum(x * y, axis=axis, keepdims=keepdims)
    return left, lambda: _in_shape_of(left, sum(x, axis=axis, keepdims=keepdims or y.shape != ()) * y)


@rule(kind="fast", when=_is_factor, samples=_MULTIPLES)
def sum_of_quotients(x, y, *, axis, keepdims):
    """Σ x / y = (Σ x) / y where y does not depend on what is summed over"""
    left = sum(x / y, axis=axis, keepdims=keepdims)
    return left, lambda: _in_shape_of(left, sum(x, axis=axis, keepdims=keepdims or y.shape != ()) / y)


RULES = RuleSet.of(globals(), fold_numbers)
STRICT = RULES.strict


@graph_pass(kind="stabilizing")
def reductions(graph: Graph, *, fast_math: bool = False, firings: Firings | None = None) -> Graph:
    """Let reductions go over fewer elements, and over each once."""
    return apply_rules(graph, RULES if fast_math else STRICT, firings)
