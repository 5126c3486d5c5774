"""The backward pass: from a forward graph, the adjoint of every node, as ordinary nodes.

Walk the forward graph once, last node first. The adjoint of a node is the sum of its contributions, one for every
edge that leads from it towards y; each contribution is made by the derivative rule of the op it passes. That is the
chain rule, summed over all paths, at the cost of one visit per edge however many paths there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import NamedTuple, TypeAlias

from graphc import ops
from graphc.errors import GradientError
from graphc.ir import Node, collector_paused, current_origin, topological
from graphc.ops.core import is_constant
from graphc.types import TupleType, Type


class Contribution(NamedTuple):
    """What one edge adds to an adjoint: `node`, made by the rule of the op that `consumer` applies to us."""

    consumer: Node
    argument: int
    node: Node
    rule: str


@dataclass
class Adjoints:
    """The total map from forward nodes to the backward nodes that belong to them."""

    of: dict[Node, Node] = field(default_factory=dict)
    contributions: dict[Node, list[Contribution]] = field(default_factory=dict)


Masks: TypeAlias = "dict[Node, tuple[Node, Node] | None]"
"""What was found of the masks behind cotangents that are sums or views: many nodes may get the same one."""


def backward(y: Node, seed: Node, wrt: Iterable[Node]) -> Adjoints:
    """The adjoints of all nodes that y depends on and that depend on an input, a variable or one of `wrt`."""
    order = topological([y])
    active = _active(order, wrt)
    result = Adjoints({y: seed})
    masks: Masks = {}
    token = current_origin.set(None)
    try:
        with collector_paused():
            for node in reversed(order):
                if node in active and (node is y or node in result.contributions):
                    _visit(node, active, result, masks)
    finally:
        current_origin.reset(token)
    return result


def _active(order: Sequence[Node], wrt: Iterable[Node]) -> set[Node]:
    """The nodes that a derivative can pass: floats that depend on something that may change."""
    active = set(wrt)
    for node in order:
        if node.op.leaf:
            if node.type.is_float:
                active.add(node)
        elif node not in active and (node.type.is_float or isinstance(node.type, TupleType)):
            for source in node.inputs:
                if source in active:
                    active.add(node)
                    break
    return active


def _visit(node: Node, active: set[Node], result: Adjoints, masks: Masks) -> None:
    """Sum up a node's adjoint and pass it on to the node's operands."""
    op = node.op
    current_origin.set(node.origin.derived(node, op.name))
    g = _adjoint(node, result)
    if op.flat or not any(operand in active for operand in node.inputs):
        return
    if isinstance(node.inputs[0].type, TupleType) and isinstance(g, Node):
        part = Contribution(node, node.attrs["index"], g, op.name)
        result.contributions.setdefault(node.inputs[0], []).append(part)
        return
    for argument, (operand, term) in enumerate(zip(node.inputs, _cotangents(node, g, masks), strict=True)):
        if term is not None and operand in active:
            contribution = Contribution(node, argument, _fitted(term, operand), op.name)
            result.contributions.setdefault(operand, []).append(contribution)


def _adjoint(node: Node, result: Adjoints) -> Node | tuple[Node, ...]:
    """The sum over a node's edges, which becomes its adjoint; for an op with several results a sum for each."""
    if isinstance(node.type, TupleType):
        return _tuple_adjoint(node, node.type.elements, result)
    if node in result.contributions:
        result.of[node] = _total(result.contributions[node])
    return result.of[node]


def _total(contributions: Sequence[Contribution]) -> Node:
    """Path aggregation: one n-ary sum over the edges."""
    if len(contributions) == 1:
        return contributions[0].node
    return ops.add_n(*[contribution.node for contribution in contributions])


def _tuple_adjoint(node: Node, kinds: Sequence[Type], result: Adjoints) -> tuple[Node, ...]:
    """The adjoints of all results of an op with several; zeros for those that nobody used."""
    used: dict[int, list[Contribution]] = {}
    for contribution in result.contributions[node]:
        used.setdefault(contribution.argument, []).append(contribution)
    return tuple(_total(used[i]) if i in used else ops.zeros(kind.shape, kind.dtype)
                 for i, kind in enumerate(kinds))  # fmt: skip


def _cotangents(node: Node, g: Node | tuple[Node, ...], masks: Masks) -> Sequence[Node | None]:
    """What a node's rule makes of its adjoint, with a mask moved behind the rule.

    Where a branch was not taken its derivative may be inf or NaN, and 0 * inf is NaN: so where(c, g, 0) passes an
    elementwise rule as where(c, rule(g), 0), never as rule(where(c, g, 0)).
    """
    if isinstance(g, Node) and node.op.elementwise:
        mask = _mask(g) or _found_mask(g, masks)
        if mask is not None:
            condition, unmasked = mask
            terms = _pulled(node, unmasked)
            return [None if t is None else g if t is unmasked else _masked(condition, t) for t in terms]
    return _pulled(node, g)


def _pulled(node: Node, g: Node | tuple[Node, ...]) -> Sequence[Node | None]:
    """What a node's rule makes of a cotangent."""
    if node.op.vjp is None:
        raise GradientError(f"{node.op.name} has no derivative rule", nodes=[node],
                            remedy="declare the op with vjp=..., or wrap its operand in gr.stop_gradient")  # fmt: skip
    return node.op.vjp(g, node, *node.inputs, **node.attrs)


def _mask(g: Node) -> tuple[Node, Node] | None:
    """The condition and value of where(condition, value, 0)."""
    if g.op is ops.where and is_constant(g.inputs[2], 0.0):
        return g.inputs[0], g.inputs[1]
    return None


def _common_mask(g: Node) -> tuple[Node, Node] | None:
    """Where any term of a sum of masked terms is let through, and the sum."""
    masks = [_mask(term) for term in g.inputs] if g.op is ops.add_n else [None]
    conditions = dict.fromkeys(mask[0] for mask in masks if mask is not None)
    return None if None in masks else (reduce(ops.logical_or, conditions), g)


def _found_mask(g: Node, masks: Masks) -> tuple[Node, Node] | None:
    """The mask behind a sum of masked terms, or behind a masked cotangent that was summed or moved."""
    if g.op is not ops.add_n and not _sums_or_moves(g):
        return None
    if g not in masks:
        masks[g] = _common_mask(g) or _moved_mask(g)
    return masks[g]


def _sums_or_moves(node: Node) -> bool:
    """Whether each element of a node is an element of its one operand, or a sum of some."""
    return node.op is ops.sum or (node.op.view and len(node.inputs) == 1 and isinstance(node.inputs[0].type, Type))


def _moved_mask(g: Node) -> tuple[Node, Node] | None:
    """Where any element behind a masked cotangent that was summed or moved is let through, and the cotangent."""
    moves: list[Node] = []
    source = g
    while _sums_or_moves(source):
        moves.append(source)
        source = source.inputs[0]
    mask = _mask(source) if moves else None
    if mask is None:
        return None
    condition = ops.broadcast_to(mask[0], source.shape) if mask[0].shape != source.shape else mask[0]
    for move in reversed(moves):
        condition = (ops.any if move.op is ops.sum else move.op).make((condition,), move.attrs)
    return condition, g


def _masked(condition: Node, term: Node) -> Node:
    inner = _mask(term)
    if inner is None:
        return ops.where(condition, term, 0)
    return ops.where(ops.logical_and(condition, inner[0]), inner[1], 0)


def _fitted(term: Node, operand: Node) -> Node:
    """A contribution in its operand's shape and dtype: broadcasting forward is summing backward."""
    if term.type == operand.type:
        return term
    if term.shape != operand.shape:
        if term.op is ops.negative:
            term = ops.negative(ops.sum_to(term.inputs[0], operand.shape))  # −Σ x for Σ −x: fewer elements to negate
        else:
            term = ops.sum_to(term, operand.shape)
    if term.shape != operand.shape:
        term = ops.broadcast_to(term, operand.shape)
    return term if term.dtype == operand.dtype else ops.astype(term, operand.dtype)
