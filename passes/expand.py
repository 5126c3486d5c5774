"""Ops without loops of their own become formulas over ops that have them, for backends that write code.

What comes out may join the kernels around it: a log-sum-exp is then part of the loss's kernel.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from graphc import ops
from graphc.contractions import contraction, limited_product, product
from graphc.facts import CHEAP, effort_of, lies_across, number_of, only_ones_move
from graphc.ir import Graph, Node
from graphc.op import OPS, Op
from graphc.ops.fused import matmul_within
from graphc.ops.indexing import WHOLE, stored_index
from graphc.pipeline import graph_pass
from graphc.rewrite import rewrite_graph
from graphc.types import Shape
from graphc.windows import LARGEST_STEP

MULTIPLIED = (3, 4, 5)
"""Powers that are products of at most three factors x and x²: two to four roundings."""
MOST_PARTS, LEAST_ELEMENTS = 16, 1024
"""Rows of so few elements are reduced by so many parts of the whole, where there are enough elements, ..."""
LARGEST_GAP = 24
"""... and where neighbours in a part are no more bytes apart: else there is little in each vector that is read."""
LEAST_SHARE = 4
"""A formula is computed for the elements picked where it has so many times as many."""


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
    """The largest element comes off first, and is all there is if it is not finite; a softmax has the same
    exponentials."""
    if any(x.shape[each] == 0 for each in axis):
        kept = [1 if each in axis else dim for each, dim in enumerate(x.shape)]
        return ops.full(kept, -math.inf, x.dtype)
    top = ops.max(x, axis, keepdims=True)
    total = ops.log(ops.sum(ops.exp(x - top), axis, keepdims=True)) + top
    return ops.where(ops.isfinite(top), total, top)


def _few_factors(x: Node, p: Node) -> Node | None:
    """x³ = x² x, x⁴ = (x²)², x⁵ = (x²)² x, where products are rounded to what the result is."""
    exponent = number_of(p)
    if exponent is None or p.shape != () or x.dtype != p.dtype or x.dtype not in (np.float32, np.float64):
        return None
    n = exponent.attrs["value"].item()
    if n not in MULTIPLIED:
        return None
    squared = ops.square(x)
    even = squared if n < 4 else ops.square(squared)
    return even * x if n % 2 else even


def _by_parts(op: Op) -> Callable[..., Node | None]:
    """Short rows in memory are reduced together: their first elements, which vectors read at steps, and their second,
    and so on."""
    assert op.reduction is not None
    combine = OPS[op.reduction.combine]

    def formula(x: Node, *, axis: tuple[int, ...], keepdims: bool) -> Node | None:
        sizes = x.array_type.static_shape
        count = math.prod(sizes[at] for at in axis)
        if not 1 < count <= MOST_PARTS or math.prod(sizes) < LEAST_ELEMENTS or not _has_short_rows(x, axis):
            return None
        if x.dtype == np.float16 or op(x, axis).dtype != x.dtype or not _is_in_memory(x):
            return None
        places = itertools.product(*(range(size) if at in axis else [slice(None)] for at, size in enumerate(sizes)))
        first, *others = (x[place] for place in places)
        start = first + 0 if op is ops.sum and x.type.is_float else first  # 0 + -0 is 0, as in every sum
        return functools.reduce(combine, others, start)

    return formula


def _has_short_rows(x: Node, axis: Sequence[int]) -> bool:
    """Whether neighbours along the last axis that is kept are a few elements apart."""
    sizes = x.array_type.static_shape
    kept = [at for at, size in enumerate(sizes) if size != 1 and at not in axis]
    gap = math.prod(sizes[kept[-1] + 1 :]) if kept else 1
    return 1 < gap <= LARGEST_STEP and gap * x.array_type.dtype.itemsize <= LARGEST_GAP


def _is_in_memory(x: Node) -> bool:
    while only_ones_move(x):
        x = x.inputs[0]
    return not x.op.elementwise and x.op is not ops.broadcast_to


def _in_single_precision(op: Op, otherwise: Callable[..., Node | None]) -> Callable[..., Node | None]:
    """What adds up f16 does so in f32, and rounds once: a column of 70,000 halves is 1,024 to NumPy."""

    def formula(x: Node, **attrs: Any) -> Node | None:
        if x.dtype != np.float16:
            return otherwise(x, **attrs)
        return op(x.astype("float32"), **attrs).astype(x.dtype)

    return formula


def _last_writes(*indices: Node, sizes: tuple[int, ...]) -> Node:
    """Each position is written its number, and keeps that of the last write."""
    block = OPS["last_writes"].infer(*(index.type for index in indices), sizes=sizes).shape  # type: ignore[union-attr]
    numbers = ops.reshape(ops.arange(math.prod(block)), block)
    place = {"axes": tuple(range(len(sizes))), "at": 0}
    written = ops.scatter(ops.zeros(sizes, "int64"), numbers, *indices, **place)
    return ops.equal(ops.gather(written, *indices, **place), numbers)


def _in_a_row(op: Op) -> Callable[..., Node | None]:
    """What an op does to all elements it does to them in a row, where they do not lie so."""

    def formula(x: Node, *, axis: int | None, keepdims: bool) -> Node | None:
        return op(ops.reshape(x, (x.size,)), 0) if axis is None and lies_across(x) else None

    return formula


def _replaced(x: Node, value: Node, *, index: tuple[Any, ...]) -> Node | None:
    """A part that is a box is written from a value of the array's rank; around it in a constant there is padding."""
    if 0 in value.shape or not all(_is_run(part) for part in index):
        return None
    box = [part for part in index if part is not None]
    box += [WHOLE] * (x.ndim - len(box))
    ranges = [_range(part, size) for part, size in zip(box, x.array_type.static_shape, strict=True)]
    boxed = _flipped(_reshaped(value, tuple(map(len, ranges))), [each.step for each in ranges])
    starts = [min(each[0], each[-1]) for each in ranges]
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


def _picked(x: Node, positions: Node, *, axis: int) -> Node | None:
    """Few elements of a cheap formula are the formula of few elements: what the formula reads is in memory."""
    made = _formula_of_few(x, positions, axis, CHEAP)
    return None if made is None else made.astype(x.dtype) if made.dtype != x.dtype else made


def _formula_of_few(x: Node, positions: Node, axis: int, effort: float) -> Node | None:
    """The same elementwise ops over the elements at positions, so far as they take few additions an element."""
    cost = effort_of(x)
    few = math.prod(positions.array_type.static_shape) * LEAST_SHARE <= math.prod(x.array_type.static_shape)
    if not x.op.elementwise or not x.inputs or cost > effort or x.shape[axis] == 1 or not few:
        return None
    operands = [_looked_up(source, positions, axis - x.ndim, effort - cost) for source in x.inputs]
    return x.op.make(tuple(operands), x.attrs)


def _looked_up(x: Node, positions: Node, axis: int, effort: float) -> Node:
    """An operand at positions, its axis counted from the end; one that does not vary there is taken as it is."""
    if x.ndim < -axis or x.shape[axis] == 1:
        return x
    whole = ops.reshape(x, (1,) * (positions.ndim - x.ndim) + x.shape) if x.ndim < positions.ndim else x
    found = _formula_of_few(whole, positions, whole.ndim + axis, effort)
    return ops.take_along_axis(whole, positions, axis) if found is None else found


def _own_positions(x: Node, *indices: Node, axes: tuple[int, ...], at: int) -> Node | None:
    """x[0, i₀], x[1, i₁], ...: each row's own position."""
    if not _is_row_by_row(x, indices, axes, at):
        return None
    positions = _column(indices[1], x)
    few = _picked(x, positions, axis=1)
    return ops.take_along_axis(x, positions, 1) if few is None else few


def _added_to_rows(x: Node, value: Node, *indices: Node, axes: tuple[int, ...], at: int) -> Node | None:
    """Each row is added to at its own position."""
    if not _is_row_by_row(x, indices, axes, at):
        return None
    one = ops.reshape(value, (value.shape[0], 1, *value.shape[1:]))
    return ops.add_along_axis(x, one, _column(indices[1], x), 1)


def _is_row_by_row(x: Node, indices: Sequence[Node], axes: tuple[int, ...], at: int) -> bool:
    """Whether the first positions are 0, 1, ... for all rows, beside one for each row."""
    if axes != (0, 1) or at != 0 or any(each.shape != x.shape[:1] for each in indices) or 0 in x.shape:
        return False
    rows = indices[0]
    if rows.op is ops.arange:
        return (rows.attrs["start"], rows.attrs["step"]) == (0, 1)
    known = rows.attrs.get("value")
    return known is not None and np.array_equal(known, np.arange(x.array_type.static_shape[0]))


def _column(positions: Node, x: Node) -> Node:
    return ops.reshape(positions, (positions.shape[0], *(1,) * (x.ndim - 1)))


FORMULAS: dict[Op, Callable[..., Node | None]] = {
    ops.matmul: product, matmul_within: limited_product, OPS["einsum"]: contraction,
    ops.logsumexp: _logsumexp, OPS["power"]: _few_factors, OPS["last_writes"]: _last_writes,
    **{op: _in_single_precision(op, _by_parts(op)) for op in (ops.sum, ops.prod)},
    **{op: _by_parts(op) for op in (ops.max, ops.min)}, **{op: _in_a_row(op) for op in (ops.argmax, ops.argmin)},
    ops.setitem: _replaced, ops.roll: _rolled, ops.take_along_axis: _picked, ops.gather: _own_positions,
    ops.scatter_add: _added_to_rows,
}  # fmt: skip
