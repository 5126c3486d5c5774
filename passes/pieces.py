"""Pieces of values: what slices took apart comes together again, as a concatenation or as what it was.

The derivative of x[:, a:b] is zeros with the slice's derivative in its place; where several slices are taken, such
arrays are added up. If the slices are next to each other, the sum is their derivatives side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from graphc import ops
from graphc.facts import is_number
from graphc.ir import Graph, Node
from graphc.op import OPS, Op
from graphc.ops import getitem, reshape, setitem
from graphc.patterns import Operands
from graphc.pipeline import graph_pass
from graphc.rewrite import Firings, RuleSet, apply_rules
from graphc.rules import Outcome, node_rule, sample

CONCATENATE = OPS["concatenate"]


class Piece(NamedTuple):
    """Neighbours along one axis, whole along the others; `drops` tells that an index took the axis away."""

    axis: int
    start: int
    stop: int
    drops: bool


def piece_of(node: Node) -> Piece | None:
    """The piece that the index of a node takes or replaces, or None where it is another kind of part."""
    cuts = [(axis, part) for axis, part in enumerate(node.attrs["index"]) if part != ":"]
    if len(cuts) != 1 or not node.inputs[0].type.is_static:
        return None
    axis, part = cuts[0]
    if isinstance(part, int):
        at = part % node.inputs[0].shape[axis]  # type: ignore[operator]
        return Piece(axis, at, at + 1, drops=True)
    return Piece(axis, part[0], part[1], drops=False) if isinstance(part, tuple) and _is_run(part) else None


def _is_run(part: tuple[object, ...]) -> bool:
    first, last, step = part
    return step == 1 and isinstance(first, int) and isinstance(last, int) and first < last


def _follow(pieces: Sequence[Piece]) -> bool:
    """Whether pieces lie one after the other along one axis."""
    return all(one.axis == other.axis and one.stop == other.start for one, other in pairwise(pieces))


def _adds(op: Op, operands: Operands) -> bool:
    return op in (ops.add, ops.add_n) and (len(operands) != 2 or all(source in (setitem, None) for source in operands))


@node_rule(_adds, kind="stabilizing", samples=[
    sample(lambda x, y: setitem(ops.zeros((2, 5)), x, index=(":", (2, 5, 1)))
           + setitem(ops.zeros((2, 5)), y, index=(":", (0, 2, 1))), "f32[2,3]", "f32[2,2]"),
    sample(lambda x, y: setitem(ops.zeros((2, 5)), x, index=(1,))
           + setitem(ops.zeros((2, 5)), y, index=(0,)), "f32[5]", "f32[5]")])  # fmt: skip
def sum_of_padded_pieces(node: Node) -> Outcome:
    """(x, 0) + (0, y) = (x, y), which also keeps the sign of zeros"""
    terms = node.inputs
    if len(terms) < 2 or any(term.op is not setitem or term.type != node.type for term in terms):
        return None
    if not all(is_number(term.inputs[0], 0) for term in terms):
        return None
    found = [(piece_of(term), term.inputs[1]) for term in terms]
    pieces = sorted([(piece, value) for piece, value in found if piece is not None], key=lambda pair: pair[0])
    whole = [piece for piece, _ in pieces]
    if len(whole) < len(terms) or not _follow(whole):
        return None
    axis = whole[0].axis
    if whole[0].start != 0 or whole[-1].stop != node.shape[axis]:
        return None
    return CONCATENATE(*[_with_axis(value, piece) for piece, value in pieces], axis=axis)


def _with_axis(value: Node, piece: Piece) -> Node:
    if not piece.drops:
        return value
    return reshape(value, (*value.shape[: piece.axis], 1, *value.shape[piece.axis :]))


def _joins(op: Op, operands: Operands) -> bool:
    return op is CONCATENATE


@node_rule(_joins, samples=[
    sample(lambda x: ops.concatenate([x[:, 0:2], x[:, 2:3]], 1), "f64[2,5]"),
    sample(lambda x: ops.concatenate([x[0], x[1], x[2]], 0), "f64[3,2,4]")])  # fmt: skip
def pieces_side_by_side(node: Node) -> Outcome:
    """(x₀, x₁) = x, where these are neighbouring pieces of x"""
    first, axis = node.inputs[0], node.attrs["axis"]
    if any(source.op is not getitem or source.inputs[0] is not first.inputs[0] for source in node.inputs):
        return None
    found = [piece_of(source) for source in node.inputs]
    pieces = [piece for piece in found if piece is not None]
    if len(pieces) < len(found) or len(pieces) < 2 or len({piece.drops for piece in pieces}) > 1:
        return None
    if not _follow(pieces) or pieces[0].axis != axis:
        return None
    part = (*[":"] * axis, (pieces[0].start, pieces[-1].stop, 1))
    taken = getitem(first.inputs[0], index=part)
    return taken if taken.shape == node.shape else reshape(taken, node.shape)


RULES = RuleSet.of(globals())


@graph_pass(kind="stabilizing")
def pieces(graph: Graph, *, firings: Firings | None = None) -> Graph:
    """Put pieces together that lie side by side."""
    return apply_rules(graph, RULES, firings)
