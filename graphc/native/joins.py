"""What is computed for a concatenation is written to its place there, so that nothing is copied."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import NamedTuple

from graphc.facts import only_ones_move
from graphc.ir import Graph, Node
from graphc.native.kernel.facts import needs_whole_rows
from graphc.native.turned import has_rows
from graphc.op import OPS
from graphc.types import TupleType
from graphc.windows import LARGEST_STEP

LEAST_RUN = 64
"""The fewest neighbouring bytes of a piece: shorter ones are computed side by side and then copied."""


class Join(NamedTuple):
    """A value is a piece of a concatenation, from this index along its axis on, but for axes of size 1."""

    whole: Node
    start: int
    piece: Node


def joins_of(graph: Graph, is_kernel: Callable[[Node], bool],
             is_product: Callable[[Node], bool]) -> dict[Node, Join]:  # fmt: skip
    """The pieces that kernels can write to where they belong; of a concatenation within another, all or none."""
    joins: dict[Node, Join] = {}
    results, whole = set(graph.outputs), set()
    for node in graph.nodes:
        if node.op is not OPS["concatenate"] or not _is_plain(node):
            continue
        views = [_views(piece, is_product) for piece in node.inputs]
        made = [source for *_, source in views]
        free = {source for *seen, source in views
                if source not in joins and made.count(source) == 1 and not results & {*seen, source}}  # fmt: skip
        interleaved = len(free) == len(made) and _are_interleaved(node, made)
        for start, piece, source in zip(_starts(node), node.inputs, made, strict=True):
            is_long = interleaved or _run(piece, node.attrs["axis"]) >= LEAST_RUN
            fits = source in whole or (is_long and (is_product(source) or _is_computed(source, is_kernel)))
            if source in free and source.dtype == node.dtype and fits:
                joins[source] = Join(node, start, piece)
        if all(source in joins and joins[source].whole is node for source in made):
            whole.add(node)
    return joins


def _views(piece: Node, is_product: Callable[[Node], bool]) -> list[Node]:
    """A piece, and what it is a view of, in the end what is computed: a product may be seen with its axes exchanged."""
    found = [piece]
    while only_ones_move(found[-1]) or found[-1].op is OPS["transpose"]:
        found.append(found[-1].inputs[0])
    if is_product(found[-1]) and has_rows(piece, found[-1]):
        return found
    return found[: 1 + only_ones_move(piece)]


def _is_plain(node: Node) -> bool:
    return all(value.type.is_static and value.type.nbytes for value in (node, *node.inputs))


def _starts(node: Node) -> list[int]:
    """Where each piece begins along the axis of a concatenation."""
    sizes = [piece.array_type.static_shape[node.attrs["axis"]] for piece in node.inputs]
    return list(accumulate(sizes[:-1], initial=0))


def _run(piece: Node, axis: int) -> int:
    """The bytes of a piece that are neighbours."""
    return math.prod(piece.array_type.static_shape[axis:]) * piece.array_type.dtype.itemsize


def _are_interleaved(node: Node, made: Sequence[Node]) -> bool:
    """Whether all pieces are of one element in a run, and results of one kernel that does not walk rows as such."""
    kernels = {source.inputs[0] for source in made if source.op is OPS["item"]}
    if len(kernels) != 1 or len(made) > LARGEST_STEP or any(source.op is not OPS["item"] for source in made):
        return False
    body = kernels.pop().attrs.get("body")
    reduces = isinstance(body, Graph) and any(source.op.reduction for inner in body.nodes for source in inner.inputs)
    width = node.array_type.dtype.itemsize
    return not reduces and all(_run(piece, node.attrs["axis"]) == width for piece in node.inputs)


def _is_computed(node: Node, is_kernel: Callable[[Node], bool]) -> bool:
    """Whether a kernel computes a value, which is no reduction, and walks no axes as one."""
    made = node.inputs[0] if node.op is OPS["item"] else node
    if not is_kernel(made) or (made is node and isinstance(node.type, TupleType)):
        return False
    if not made.inputs:  # a constant, which has been computed in memory of its own
        return False
    body: Graph = made.attrs["body"]
    return not needs_whole_rows(body) and not body.outputs[node.attrs.get("index", 0)].op.reduction
