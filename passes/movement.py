"""Ops that move elements without changing them: chains become one, what moves nothing goes, the rest moves outward.

A value is computed in the order it has and seen in another order as late as possible: f(view(x)) = view(f(x)). There
views meet, and often cancel. Every rule is exact, but for the order in which sums are added up.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from graphc import ops
from graphc.facts import depends_on_order, reduced, reduced_axes
from graphc.ir import Graph, Node
from graphc.op import Op
from graphc.operators import OPS
from graphc.ops import broadcast_to, flip, getitem, reshape, roll, transpose
from graphc.ops.indexing import WHOLE
from graphc.patterns import Operands
from graphc.pipeline import graph_pass
from graphc.rewrite import Firings, RuleSet, apply_rules
from graphc.rules import Outcome, node_rule, rule, sample
from graphc.samples import call

ITEM, SPLIT = OPS["item"], OPS["split"]

# One view after another.


@rule(samples=[call("f64[2,3,4]", first=(1, 2, 0), second=(2, 1, 0))])
def transpose_twice(x, *, first, second):
    """Two orders of axes are one."""
    chain = transpose(transpose(x, axes=first), axes=second)
    return chain, lambda: transpose(x, axes=tuple(first[axis] for axis in second))


@rule(samples=[call("f64[2,3,4]", first=(6, 4), second=(4, 3, 2))])
def reshape_twice(x, *, first, second):
    """The last shape counts."""
    return reshape(reshape(x, shape=first), shape=second), lambda: reshape(x, shape=second)


@rule(samples=[call("f64[3,1]", first=(3, 4), second=(2, 3, 4))])
def broadcast_twice(x, *, first, second):
    """The last shape counts."""
    return broadcast_to(broadcast_to(x, shape=first), shape=second), lambda: broadcast_to(x, shape=second)


@rule(when=lambda x, lead, shape: lead == (1,) * (len(lead) - x.ndim) + x.shape,
      samples=[call("f64[3]", lead=(1, 1, 3), shape=(2, 4, 3))])  # fmt: skip
def broadcast_adds_leading_axes(x, *, lead, shape):
    """Leading axes of size 1 come with broadcasting."""
    return broadcast_to(reshape(x, shape=lead), shape=shape), lambda: broadcast_to(x, shape=shape)


# What moves nothing.


def _moves_nothing(node: Node) -> bool:
    """Whether an op of the table leaves every element in its place."""
    x = node.inputs[0]
    return node.type == x.type and _STAYS[node.op](x, node.attrs)


def _same_order(x: Node, attrs: Any) -> bool:
    return bool(attrs["axes"] == tuple(range(x.ndim)))


def _whole(x: Node, attrs: Any) -> bool:
    return all(part == ":" or part == (0, dim, 1) for part, dim in zip(attrs["index"], x.shape, strict=False))


def _no_shift(x: Node, attrs: Any) -> bool:
    shift = attrs["shift"]
    return not any(shift) if isinstance(shift, tuple) else shift == 0


def _always(x: Node, attrs: Any) -> bool:
    return True


_STAYS = {
    transpose: _same_order, getitem: _whole, roll: _no_shift, reshape: _always, broadcast_to: _always,
    OPS["pad"]: _always, OPS["concatenate"]: _always,
    flip: lambda x, attrs: all(x.shape[axis] == 1 for axis in attrs["axis"]),
}  # fmt: skip
"""Ops that move elements, by when they move none though the type stays."""


@node_rule(lambda op, operands: op in _STAYS and len(operands) == 1, samples=[
    sample(lambda x: transpose(x, (0, 1)), "f64[2,3]"), sample(lambda x: reshape(x, (2, 3)), "f64[2,3]"),
    sample(lambda x: broadcast_to(x, (2, 3)), "f64[2,3]"), sample(lambda x: x[:, 0:3], "f64[2,3]"),
    sample(lambda x: flip(x, 0), "f64[1,3]"), sample(lambda x: roll(x, 0, 1), "f64[2,3]"),
    sample(lambda x: ops.pad(x, 0), "f64[2,3]"), sample(lambda x: ops.concatenate([x], 1), "f64[2,3]")])  # fmt: skip
def moves_nothing(node: Node) -> Outcome:
    """A view of everything in its place is the value itself."""
    return node.inputs[0] if _moves_nothing(node) else None


@rule(samples=[call("f64[2,3]", axis=(0,))])
def flip_twice(x, *, axis):
    """Two reversals cancel."""
    return flip(flip(x, axis=axis), axis=axis), x


@node_rule(lambda op, operands: op is transpose, samples=[
    sample(lambda x: transpose(x, (1, 0, 2)), "f64[1,3,4]"), sample(lambda x: transpose(x), "f64[4,1]")])  # fmt: skip
def transpose_of_vector(node: Node) -> Outcome:
    """Axes of size 1 moved among others, which keep their order, are a reshape."""
    x, axes = node.inputs[0], node.attrs["axes"]
    moved = [axis for axis in axes if x.shape[axis] != 1]
    return reshape(x, node.shape) if moved == sorted(moved) and axes != tuple(range(x.ndim)) else None


# A part of what repeats.


def _takes_part(op: Op, operands: Operands) -> bool:
    return (op is getitem and operands[0] in (broadcast_to, None)) or (op is ITEM and operands[0] in (SPLIT, None))


@node_rule(_takes_part, samples=[
    sample(lambda x: broadcast_to(x, (4, 3))[1:3], "f64[3]"), sample(lambda x: broadcast_to(x, (4, 3))[2], "f64[3]"),
    sample(lambda x: broadcast_to(x, (4, 3))[None, 2, ::2], "f64[]"),
    sample(lambda x: ops.split(broadcast_to(x, (2, 6)), 3, axis=1)[1], "f32[2,1]")])  # fmt: skip
def part_of_repeated(node: Node) -> Outcome:
    """A part of a repeated value, taken along the axes that repeat it, is the value repeated less often."""
    whole = node.inputs[0].inputs[0] if node.op is ITEM else node.inputs[0]
    if whole.op is not broadcast_to or (node.op is ITEM and node.inputs[0].op is not SPLIT):
        return None
    x, cut = whole.inputs[0], _cut(node)
    if x.ndim and (None in cut.values() or not all(_repeats(x, whole, axis, part) for axis, part in cut.items())):
        return None
    return broadcast_to(x, node.shape)


def _repeats(x: Node, whole: Node, axis: int, part: Any) -> bool:
    """Whether x repeats along an axis of the whole, and keeps its own axes where a part of it is taken."""
    own = axis - (whole.ndim - x.ndim)
    return own < 0 or (x.shape[own] == 1 and isinstance(part, tuple))


def _cut(node: Node) -> dict[int, Any]:
    """By axis, what a node takes of it, unless that is all."""
    if node.op is ITEM:
        return {node.inputs[0].attrs["axis"]: ()}
    return {axis: part for axis, part in enumerate(node.attrs["index"]) if part != WHOLE}


# Views move outward.


def _reads_view(op: Op, operands: Operands) -> bool:
    return op.elementwise and any(source in (transpose, reshape, None) for source in operands)


@node_rule(_reads_view, samples=[
    sample(lambda x: ops.exp(transpose(x)), "f64[2,3]"), sample(lambda x: reshape(x, 6) * 2, "f32[2,3]"),
    sample(lambda x, y: transpose(x) - transpose(y), "f64[2,3]", "f64[2,3]")])  # fmt: skip
def view_after_elementwise(node: Node) -> Outcome:
    """f(view(x), view(y), c) = view(f(x, y, c))"""
    views = [source for source in node.inputs if source.op in (transpose, reshape)]
    if not views or views[0].shape != node.shape:
        return None
    view, bare = views[0], views[0].inputs[0]
    for source in node.inputs:
        same = source.op is view.op and source.inputs[0].shape == bare.shape and source.attrs == view.attrs
        if not same and source.shape != ():
            return None
    inner = [source.inputs[0] if source.op is view.op and source.shape != () else source for source in node.inputs]
    return view.op.make((node.op.make(tuple(inner), node.attrs),), view.attrs)


def _reduces_transposed(op: Op, operands: Operands) -> bool:
    return op.reduction is not None and operands[0] is transpose


def _adds_transposed(op: Op, operands: Operands) -> bool:
    return op.reduction is not None and not op.reduction.place and operands[0] is transpose


@node_rule(_reduces_transposed, samples=[
    sample(lambda x: ops.sum(transpose(x), 0), "i64[2,3]"),
    sample(lambda x: ops.any(transpose(x, (2, 0, 1)), 1), "bool[2,3,4]"),
    sample(lambda x: ops.max(transpose(x), 1, keepdims=True), "i8[2,3,4]"),
    sample(lambda x: ops.argmax(transpose(x), 0), "f64[2,3,4]")])  # fmt: skip
def reduce_transposed(node: Node) -> Outcome:
    """A reduction of x with its axes permuted is one of x."""
    return None if depends_on_order(node) else _reduced_before(node)


@node_rule(_adds_transposed, kind="fast", samples=[
    sample(lambda x: ops.sum(transpose(x), 0), "f64[2,3]"),
    sample(lambda x: ops.max(transpose(x, (2, 0, 1)), 1), "f64[2,3,4]")])  # fmt: skip
def reduce_transposed_floats(node: Node) -> Outcome:
    """A reduction of x with its axes permuted is one of x, which adds in another order."""
    return _reduced_before(node)


def _reduced_before(node: Node) -> Node:
    view, axes, keepdims = node.inputs[0], reduced_axes(node), node.attrs["keepdims"]
    order = view.attrs["axes"]
    total = reduced(node.op, view.inputs[0], sorted(order[axis] for axis in axes), keepdims=keepdims)
    left = order if keepdims else [axis for at, axis in enumerate(order) if at not in axes]
    return transpose(total, [sorted(left).index(axis) for axis in left])


RULES = RuleSet.of(globals())
STRICT = RULES.strict


@graph_pass(kind="stabilizing")
def movement(graph: Graph, *, fast_math: bool = False, fusible: Callable[[Node], bool] | None = None,
             firings: Firings | None = None) -> Graph:  # fmt: skip
    """Merge, drop and move outward what only moves elements; past a reduction of floats where the order of its steps is
    free: with `fast_math`, and where the backend writes its own code (`fusible` tells for which nodes)."""
    return apply_rules(graph, STRICT if fusible is None and not fast_math else RULES, firings)
