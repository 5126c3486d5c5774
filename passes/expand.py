"""Ops without loops of their own become formulas over ops that have them, for backends that write code.

What comes out may join the kernels around it: a log-sum-exp is then part of the loss's kernel.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from graphc import ops
from graphc.ir import Graph, Node
from graphc.op import OPS, Op
from graphc.pipeline import graph_pass
from graphc.rewrite import rewrite_graph
from graphc.types import Shape


@graph_pass(kind="stabilizing")
def expand(graph: Graph, *, fusible: Callable[[Node], bool] | None = None) -> Graph:
    """Write ops out, where the backend has scalar code (`fusible` tells for which nodes)."""
    if fusible is None:
        return graph
    return rewrite_graph(graph, _expanded)


def _expanded(node: Node) -> Node:
    formula = FORMULAS.get(node.op)
    if formula is None or not all(value.type.is_static for value in (node, *node.inputs)):
        return node
    made = formula(*node.inputs, **node.attrs)
    return node if made is None else _reshaped(made, node.shape)


def _reshaped(x: Node, shape: Shape) -> Node:
    return x if x.shape == shape else ops.reshape(x, shape)


def _logsumexp(x: Node, *, axis: tuple[int, ...], keepdims: bool) -> Node:
    """The largest element comes off first, if it is finite."""
    if any(x.shape[each] == 0 for each in axis):
        kept = [1 if each in axis else dim for each, dim in enumerate(x.shape)]
        return ops.full(kept, -math.inf, x.dtype)
    top = ops.max(x, axis, keepdims=True)
    top = ops.where(ops.isfinite(top), top, 0)
    return ops.log(ops.sum(ops.exp(x - top), axis, keepdims=True)) + top


def _last_writes(*indices: Node, sizes: tuple[int, ...]) -> Node:
    """Each position is written its number, and keeps that of the last write."""
    block = OPS["last_writes"].infer(*(index.type for index in indices), sizes=sizes).shape  # type: ignore[union-attr]
    numbers = ops.reshape(ops.arange(math.prod(block)), block)
    place = {"axes": tuple(range(len(sizes))), "at": 0}
    written = ops.scatter(ops.zeros(sizes, "int64"), numbers, *indices, **place)
    return ops.equal(ops.gather(written, *indices, **place), numbers)


def _in_a_row(op: Op) -> Callable[..., Node | None]:
    """What an op without an axis does to an array it does along the only axis of its elements in a row."""

    def formula(x: Node, *, axis: Any, **attrs: Any) -> Node | None:
        if axis is not None or x.ndim < 2:
            return None
        return op(ops.reshape(x, (x.size,)), axis=0, **attrs)

    return formula


FORMULAS: dict[Op, Callable[..., Node | None]] = {
    ops.logsumexp: _logsumexp, OPS["last_writes"]: _last_writes,
    **{op: _in_a_row(op) for op in (ops.argmax, ops.argmin, ops.roll)},
}  # fmt: skip
