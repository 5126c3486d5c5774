"""Kernels that read transposed operands and reduce along their rows: turned, they walk down columns as these lie.

kernel(xᵀ, yᵀ) is kernel'(x, y)ᵀ, where the axes of every value inside are permuted. Rows of a transposed operand lie
across memory, so that each element comes from another line; columns that are walked side by side share lines.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from graphc import ops
from graphc.facts import is_place, reduced, reduced_axes
from graphc.ir import Graph, Node
from graphc.maps import is_map
from graphc.op import OPS
from graphc.ops.fused import kernel
from graphc.rewrite import compose, rewrite_graph
from graphc.spaces import LEAST_LINE, LONGEST_COLUMN

Order = tuple[int, ...]
"""Which axis of a value inside stands at each place of a turned one."""


def turned(graph: Graph) -> Graph:
    """The graph with its kernels turned where all that they read lies transposed."""
    return compose(graph, rewrite_graph(graph, _Turning().visit))


class _Turning:
    """Turns kernels one after the other; `orders` has those with several results, `bodies` what several share."""

    def __init__(self) -> None:
        self.orders: dict[Node, Order] = {}
        self.bodies: dict[tuple[Graph, Order], Graph] = {}

    def visit(self, node: Node) -> Node:
        """What stands for a node."""
        if node.op is OPS["item"] and node.inputs[0] in self.orders:
            return _back(node, self.orders[node.inputs[0]])
        if node.op is ops.transpose and node.inputs[0].op is ops.transpose:
            return _once(node)
        order = _order(node) if node.op is kernel else None
        if order is None:
            return node
        body = node.attrs["body"]
        inside = self.bodies.setdefault((body, order), _permuted(body, order))
        made = kernel(*(_before(source, order) for source in node.inputs), body=inside)
        if len(body.outputs) == 1:
            return _back(made, order)
        self.orders[made] = order
        return made


def _order(node: Node) -> Order | None:
    """How the operands that span a kernel lie, all in one way, if it may be turned so."""
    body: Graph = node.attrs["body"]
    size = max(math.prod(value.array_type.static_shape) for value in body.nodes)
    whole = [source for source in node.inputs if math.prod(source.array_type.static_shape) == size]
    if not whole or any(source.op is not ops.transpose or source.shape != whole[0].shape for source in whole):
        return None
    axes: Order = whole[0].attrs["axes"]
    before = whole[0].inputs[0].array_type.static_shape
    line = before[-1] * whole[0].array_type.dtype.itemsize
    if any(source.attrs["axes"] != axes for source in whole) or line < LEAST_LINE or before[axes[-1]] > LONGEST_COLUMN:
        return None
    fits = axes[-1] != len(axes) - 1 and before[axes[-1]] > 1 and _walks_rows(body, len(axes) - 1)
    return tuple(axes.index(axis) for axis in range(len(axes))) if fits else None


def _walks_rows(body: Graph, last: int) -> bool:
    """Whether values inside are computed from reductions of rows, and nothing is that turned kernels cannot hold."""
    reductions = [node for node in body.nodes if node.op.reduction]
    used = {*filter(is_place, reductions), *(source for node in body.nodes for source in node.inputs)}
    apart = any(is_map(node) or node.op.blas or node.ndim not in (0, last + 1) for node in body.nodes)
    rows = all(reduced_axes(node) == (last,) for node in reductions if node in used)
    return (
        not (apart or used.isdisjoint(reductions)) and rows and all(last in reduced_axes(node) for node in reductions)
    )


def _back(node: Node, order: Order) -> Node:
    return ops.transpose(node, tuple(order.index(axis) for axis in range(len(order))))


def _before(source: Node, order: Order) -> Node:
    """What an operand is a transpose of, or that of an operand that is none."""
    return _once(ops.transpose(source, order)) if source.ndim else source


def _once(node: Node) -> Node:
    """A transpose of a transpose as one, or as what it shows."""
    source, axes = node.inputs[0], node.attrs["axes"]
    if source.op is ops.transpose:
        axes = tuple(source.attrs["axes"][axis] for axis in axes)
        node = ops.transpose(source.inputs[0], axes)
    return node.inputs[0] if axes == tuple(range(len(axes))) else node


def _permuted(body: Graph, order: Order) -> Graph:
    """A body with the axes of all its values in another order."""
    inside: dict[Node, Node] = {}
    for node in body.nodes:
        inside[node] = _moved(node, [inside[source] for source in node.inputs], order)
    return Graph([inside[node] for node in body.inputs], [inside[node] for node in body.outputs])


def _moved(node: Node, inputs: Sequence[Node], order: Order) -> Node:
    if not node.ndim:
        return node
    shape = tuple(node.shape[axis] for axis in order)
    if not node.inputs:
        return node.replace(type=node.array_type.with_shape(shape))
    if node.op is ops.broadcast_to:
        return ops.broadcast_to(inputs[0], shape)
    if not node.op.reduction:
        return node.with_inputs(tuple(inputs))
    axis = tuple(sorted(order.index(each) for each in reduced_axes(node)))
    made = reduced(node.op, inputs[0], axis)
    return made.replace(name=node.name)
