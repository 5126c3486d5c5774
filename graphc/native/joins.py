"""What is computed for a concatenation is written to its place there, so that nothing is copied."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from graphc.ir import Graph, Node
from graphc.native.kernel.facts import needs_whole_rows
from graphc.op import OPS
from graphc.types import TupleType

LEAST_RUN = 64
"""The fewest neighbouring bytes of a piece: shorter ones are computed side by side and then copied."""


class Join(NamedTuple):
    """A value is a piece of a concatenation, from this index along its axis on."""

    whole: Node
    start: int


def joins_of(graph: Graph, is_kernel: Callable[[Node], bool]) -> dict[Node, Join]:
    """The pieces that kernels can write to where they belong; of a concatenation within another, all or none."""
    joins: dict[Node, Join] = {}
    results, whole = set(graph.outputs), set()
    for node in graph.nodes:
        if node.op is not OPS["concatenate"] or not _is_plain(node):
            continue
        start, axis = 0, node.attrs["axis"]
        for source in node.inputs:
            once = node.inputs.count(source) == 1 and source not in joins and source not in results
            if once and source.dtype == node.dtype and (source in whole or _is_piece(source, axis, is_kernel)):
                joins[source] = Join(node, start)
            start += source.array_type.static_shape[axis]
        if all(source in joins and joins[source].whole is node for source in node.inputs):
            whole.add(node)
    return joins


def _is_plain(node: Node) -> bool:
    return all(value.type.is_static and value.type.nbytes for value in (node, *node.inputs))


def _is_piece(node: Node, axis: int, is_kernel: Callable[[Node], bool]) -> bool:
    """Whether a kernel computes a value, in runs long enough, and neither reductions nor all axes as one beside it."""
    made = node.inputs[0] if node.op is OPS["item"] else node
    if not is_kernel(made) or (made is node and isinstance(node.type, TupleType)):
        return False
    if not made.inputs:  # a constant, which has been computed in memory of its own
        return False
    kind = node.array_type
    run, body = math.prod(kind.static_shape[axis:]) * kind.dtype.itemsize, made.attrs["body"]
    reduces = needs_whole_rows(body) or any(output.op.reduction for output in body.outputs)
    return run >= LEAST_RUN and not reduces
