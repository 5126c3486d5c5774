"""Ops without loops of their own become formulas over ops that have them, for backends that write code.

What comes out may join the kernels around it: a log-sum-exp is then part of the loss's kernel.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from graphc import ops
from graphc.ir import Graph, Node
from graphc.op import OPS, Op
from graphc.ops.indexing import WHOLE, stored_index
from graphc.pipeline import graph_pass
from graphc.rewrite import rewrite_graph
from graphc.spaces import number_of
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


def _replaced(x: Node, value: Node, *, index: tuple[Any, ...]) -> Node | None:
    """A part that is a box is written from a value of the array's rank; around it in a constant there is padding."""
    if 0 in value.shape or not all(_is_run(part) for part in index):
        return None
    box = [part for part in index if part is not None]
    box += [WHOLE] * (x.ndim - len(box))
    ranges = [_range(part, size) for part, size in zip(box, x.array_type.static_shape, strict=True)]
    boxed = _flipped(_reshaped(value, tuple(map(len, ranges))), [each.step for each in ranges])
    starts = [min(each) for each in ranges]
    if boxed.shape == x.shape:
        return boxed
    number = number_of(x)
    if number is not None:
        ends = zip(starts, boxed.array_type.static_shape, x.array_type.static_shape, strict=True)
        widths = tuple((start, size - start - length) for start, length, size in ends)
        return OPS["pad"](boxed, pad_width=widths, constant_values=number.attrs["value"].item())
    parts = [(start, start + len(each), 1) for start, each in zip(starts, ranges, strict=True)]
    moved = stored_index([slice(*part) for part in parts], x.shape)
    return None if moved == index else ops.setitem(x, boxed, index=moved)


def _is_run(part: Any) -> bool:
    return not isinstance(part, tuple) or part[2] in (1, -1)


def _range(part: Any, size: int) -> range:
    if part == WHOLE:
        return range(size)
    return range(*slice(*part).indices(size)) if isinstance(part, tuple) else range(part, part + 1)


def _flipped(x: Node, steps: Sequence[int]) -> Node:
    if all(step == 1 for step in steps):
        return x
    return x[tuple(slice(None, None, step) for step in steps)]


def _rolled(x: Node, *, shift: Any, axis: Any) -> Node | None:
    """Along one axis the two parts change places."""
    if axis is None and x.ndim:
        return _rolled(_reshaped(x, (x.size,)), shift=(shift,), axis=(0,))
    if axis is None or len(axis) != 1 or not x.shape[axis[0]]:
        return None
    size = x.array_type.static_shape[axis[0]]
    at = size - shift[0] % size
    if at == size:
        return x
    before = (slice(None),) * axis[0]
    return ops.concatenate([x[(*before, slice(at, None))], x[(*before, slice(at))]], axis[0])


FORMULAS: dict[Op, Callable[..., Node | None]] = {
    ops.logsumexp: _logsumexp, OPS["last_writes"]: _last_writes,
    **{op: _in_a_row(op) for op in (ops.argmax, ops.argmin)},
    ops.setitem: _replaced, ops.roll: _rolled,
}  # fmt: skip
