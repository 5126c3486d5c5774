"""Parts of values as values of parts of what these are made of: f(x, y)[i] = f(x[i], y[i])."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

from graphc import ops
from graphc.facts import number_of
from graphc.ir import Node
from graphc.op import OPS
from graphc.ops import broadcast_to, getitem
from graphc.ops.indexing import WHOLE
from graphc.types import TupleType

PAD, CONCATENATE, ITEM, SPLIT = (OPS[name] for name in ("pad", "concatenate", "item", "split"))

Index = tuple[Any, ...]
"""For each axis what is read there: all, one place, or from where to where at which steps."""


class Part(NamedTuple):
    """What a part of a value is made of: parts of operands, or all of one where there is no index, and how."""

    read: tuple[tuple[Node, Index | None], ...]
    make: Callable[[Sequence[Node]], Node]
    plain: bool = False
    """Whether it is just that."""


def whole_of(node: Node) -> Node | None:
    """What a node takes a part of."""
    if node.op is ITEM and node.inputs[0].op is SPLIT:
        return node.inputs[0].inputs[0]
    return node.inputs[0] if node.op is getitem else None


def index_of(node: Node) -> Index | None:
    """What a node takes along each axis; None where it adds axes, or takes no part."""
    if whole_of(node) is None:
        return None
    if node.op is getitem:
        index = node.attrs["index"]
        return None if None in index else (*index, *[WHOLE] * (node.inputs[0].ndim - len(index)))
    split = node.inputs[0]
    axis, whole = split.attrs["axis"], split.inputs[0]
    assert isinstance(split.type, TupleType)
    sizes = [each.static_shape[axis] for each in split.type.elements]
    start = sum(sizes[: node.attrs["index"]])
    part = _between(start, start + sizes[node.attrs["index"]], 1, sum(sizes))
    return (*[WHOLE] * axis, part, *[WHOLE] * (whole.ndim - axis - 1))


def _range(part: Any, size: int) -> range:
    """The places that a part of an index reads."""
    if isinstance(part, int):
        return range(part, part + 1)
    return range(size) if part == WHOLE else range(*part) if part[1] is not None else range(part[0], -1, part[2])


def _between(start: int, stop: int, step: int, size: int) -> Any:
    return WHOLE if (start, stop, step) == (0, size, 1) else (start, stop, step)


def size_of_part(node: Node, index: Index) -> int:
    shape = node.array_type.static_shape
    return math.prod(len(_range(part, size)) for part, size in zip(index, shape, strict=True))


def _shape(node: Node, index: Index) -> tuple[int, ...]:
    pairs = zip(index, node.array_type.static_shape, strict=True)
    return tuple(len(_range(part, size)) for part, size in pairs if not isinstance(part, int))


def can_take(node: Node, index: Index) -> bool:
    """Whether a part of a value is one of its operands' parts."""
    if node.op is PAD:
        return all(part == WHOLE or (isinstance(part, tuple) and part[2] > 0) for part in index)
    if node.op is CONCATENATE:
        part = index[node.attrs["axis"]]
        return not any(isinstance(each, int) for each in index) and (part == WHOLE or part[2] == 1)
    return True


def is_plain(node: Node, index: Index) -> bool:
    """Whether a part of a value that only moves is a part of what it is made of."""
    return node.op in (PAD, CONCATENATE) and part_of(node, index).plain


def part_of(node: Node, index: Index) -> Part:
    return MOVING.get(node.op, _elementwise)(node, index)


def _repeating(source: Node, node: Node, index: Index) -> Index:
    """What an operand gives to a part of a value: all of it along the axes that repeat it."""
    pairs = zip(index[node.ndim - source.ndim :], source.shape, node.shape[node.ndim - source.ndim :], strict=True)
    return tuple(part if own == dim else 0 if isinstance(part, int) else WHOLE for part, own, dim in pairs)


def _elementwise(node: Node, index: Index) -> Part:
    shape, read = _shape(node, index), list[tuple[Node, Index | None]]()
    for source in node.inputs:
        number = number_of(source)
        if number is None and source.shape:
            read.append((source, _repeating(source, node, index)))
        else:
            read.append((source if number is None else number, None))

    def make(operands: Sequence[Node]) -> Node:
        made = node.op.make(tuple(operands), node.attrs)
        return made if made.shape == shape else broadcast_to(made, shape)

    return Part(tuple(read), make)


def _repeated(node: Node, index: Index) -> Part:
    (source,), shape = node.inputs, _shape(node, index)
    own = _repeating(source, node, index) if source.shape else None
    return Part(((source, own),), lambda operands: broadcast_to(operands[0], shape))


def _padded(node: Node, index: Index) -> Part:
    """Of each axis the places that are the operand's, and how many lie before and behind."""
    (source,), fill, shape = node.inputs, node.attrs["constant_values"], _shape(node, index)
    own, widths = [], []
    sizes = zip(source.array_type.static_shape, node.array_type.static_shape, strict=True)
    for part, (before, _), (size, dim) in zip(index, node.attrs["pad_width"], sizes, strict=True):
        places = _range(part, dim)
        step = places.step
        first = max(-((places.start - before) // step), 0)
        last = min(-((places.start - before - size) // step), len(places))
        if first >= last:
            return Part((), lambda operands: ops.full(shape, fill, node.dtype))
        start = places.start + first * step - before
        own.append(_between(start, start + (last - first - 1) * step + 1, step, size))
        widths.append((first, len(places) - last))

    read = ((source, tuple(own)),)
    if not any(map(any, widths)):
        return Part(read, lambda operands: operands[0], plain=True)
    attrs = {**node.attrs, "pad_width": tuple(widths)}
    return Part(read, lambda operands: PAD.make(tuple(operands), attrs))


def _joined(node: Node, index: Index) -> Part:
    """The parts of those pieces of which some is read."""
    axis, read = node.attrs["axis"], []
    places = _range(index[axis], node.array_type.static_shape[axis])
    sizes = [source.array_type.static_shape[axis] for source in node.inputs]
    for source, size, start in zip(node.inputs, sizes, accumulate([0, *sizes]), strict=False):
        first, last = max(places.start - start, 0), min(places.stop - start, size)
        if first < last:
            read.append((source, (*index[:axis], _between(first, last, 1, size), *index[axis + 1 :])))

    if len(read) == 1:
        return Part(tuple(read), lambda operands: operands[0], plain=True)
    return Part(tuple(read), lambda operands: CONCATENATE.make(tuple(operands), node.attrs))


MOVING: dict[Any, Callable[[Node, Index], Part]] = {PAD: _padded, CONCATENATE: _joined, broadcast_to: _repeated}
