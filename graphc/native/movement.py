"""Ops that move elements, as copies between strided regions and reads at positions.

A table says of each op what it does in these terms. Whatever does not fit the table NumPy computes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from graphc.ir import Node
from graphc.native.indexed import Indexed
from graphc.native.storage import Storage, contiguous
from graphc.op import OPS


@dataclass(frozen=True)
class Copy:
    """An operand, repeated as broadcasting does, goes to a region of the result: from a byte on, with steps `to`."""

    source: Node
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int
    to: tuple[int, ...]
    skipped: int = 0
    """Bytes of the operand before the first that is copied."""


@dataclass(frozen=True)
class Positions:
    """A read or an addition at positions, with the axis that they are along, for the message."""

    code: Indexed
    index: Node
    operand: Node
    axis: int


Moves = Sequence[Copy | Positions]


def moves_of(node: Node, storage: Storage) -> Moves:
    """What a node does, one after the other; nothing where NumPy computes it."""
    describe = _DESCRIBERS.get(node.op.name)
    kinds = [value.array_type for value in (node, *node.inputs)] if describe is not None else []
    if describe is None or any(0 in kind.shape for kind in kinds):
        return ()
    return describe(node, storage)


def is_moved(node: Node) -> bool:
    """Whether a node may be moved natively: then its result lies where the program wants it."""
    return node.op.name in _DESCRIBERS


def _strides(node: Node, storage: Storage) -> tuple[int, ...]:
    width = node.array_type.dtype.itemsize
    return tuple(stride // width for stride in storage.layout[node].strides)


def _own_strides(node: Node) -> tuple[int, ...]:
    kind = node.array_type
    return tuple(stride // kind.dtype.itemsize for stride in contiguous(kind))


def _spread(shape: Sequence[int], strides: Sequence[int], over: Sequence[int]) -> tuple[int, ...]:
    """Strides over a larger shape: 0 where an array repeats."""
    steps = tuple(0 if size == 1 else stride for size, stride in zip(shape, strides, strict=True))
    return (0,) * (len(over) - len(steps)) + steps


def _copy(source: Node, storage: Storage, region: np.ndarray[Any, Any], base: int) -> Copy:
    """A copy to a region, which is a view of a stand-in for the result that begins at an address."""
    steps = _spread(source.array_type.static_shape, _strides(source, storage), region.shape)
    to = tuple(stride // region.itemsize for stride in region.strides)
    return Copy(source, region.shape, steps, region.__array_interface__["data"][0] - base, to)


def _stand_in(node: Node) -> tuple[np.ndarray[Any, Any], int]:
    array = np.empty(node.array_type.static_shape, node.dtype)
    return array, array.__array_interface__["data"][0]


def _concatenate(node: Node, storage: Storage) -> Moves:
    if any(source.dtype != node.dtype for source in node.inputs):
        return ()
    array, base = _stand_in(node)
    axis, at, copies = node.attrs["axis"], 0, []
    for source in node.inputs:
        size = source.array_type.static_shape[axis]
        copies.append(_copy(source, storage, array[(*(slice(None),) * axis, slice(at, at + size))], base))
        at += size
    return copies


def _setitem(node: Node, storage: Storage) -> Moves:
    x, value = node.inputs
    if value.dtype != node.dtype or x.dtype != node.dtype:
        return ()
    array, base = _stand_in(node)
    region = OPS["getitem"].body(array, **node.attrs)
    if not isinstance(region, np.ndarray) or not np.may_share_memory(region, array) or region.ndim < value.ndim:
        return ()
    box = _box(region, array, base)
    written = _copy(value, storage, region, base)
    if box is None:
        return [_copy(x, storage, array, base), written]
    return [*(_part(x, storage, array, base, part) for part in _around(box, array.shape)), written]


Box = list[tuple[int, int]]


def _box(region: np.ndarray[Any, Any], array: np.ndarray[Any, Any], base: int) -> Box | None:
    """The ranges of a region along each axis, or None where it is no box of neighbours."""
    first = (region.__array_interface__["data"][0] - base) // array.itemsize
    corner = np.unravel_index(first, array.shape) if region.size else ()
    sizes = {stride: size for size, stride in zip(region.shape, region.strides, strict=True) if size > 1}
    known = {stride for size, stride in zip(array.shape, array.strides, strict=True) if size > 1}
    if not region.size or not sizes.keys() <= known or len(sizes) < sum(size > 1 for size in region.shape):
        return None
    extents = (sizes.get(stride, 1) if size > 1 else 1 for size, stride in zip(array.shape, array.strides, strict=True))
    return [(int(at), int(at) + extent) for at, extent in zip(corner, extents, strict=True)]


def _around(box: Box, shape: Sequence[int]) -> list[Box]:
    """The boxes that together are everything but one."""
    parts: list[Box] = []
    for axis, (low, high) in enumerate(box):
        for start, stop in ((0, low), (high, shape[axis])):
            if start < stop:
                parts.append([*box[:axis], (start, stop), *((0, size) for size in shape[axis + 1 :])])
    return parts


def _part(x: Node, storage: Storage, array: np.ndarray[Any, Any], base: int, box: Box) -> Copy:
    """The copy of a box of an operand to the same place of the result."""
    whole = _copy(x, storage, array[tuple(slice(low, high) for low, high in box)], base)
    strides = _spread(x.array_type.static_shape, _strides(x, storage), array.shape)
    skipped = array.itemsize * sum(low * stride for (low, _), stride in zip(box, strides, strict=True))
    return replace(whole, strides=strides, skipped=skipped)


def _take_along_axis(node: Node, storage: Storage) -> Moves:
    x, index = node.inputs
    axis, shape = node.attrs["axis"], node.array_type.static_shape
    steps = _along(x, _strides(x, storage), axis)
    places = _spread(index.array_type.static_shape, _strides(index, storage), shape)
    size = x.array_type.static_shape[axis]
    code = Indexed(shape, places, index.dtype, steps, _own_strides(node), node.dtype, size,
                   _strides(x, storage)[axis], adds=False)  # fmt: skip
    return [Positions(code, index, x, axis)] if index.ndim == x.ndim else ()


def _along(x: Node, strides: Sequence[int], axis: int) -> tuple[int, ...]:
    """The strides of all axes but one, which positions step along."""
    sizes = x.array_type.static_shape
    return tuple(0 if i == axis or sizes[i] == 1 else stride for i, stride in enumerate(strides))


def _add_along_axis(node: Node, storage: Storage) -> Moves:
    x, value, index = node.inputs
    axis, own = node.attrs["axis"], _own_strides(node)
    if {x.dtype, value.dtype} != {node.dtype} or index.ndim != x.ndim or value.ndim > x.ndim:
        return ()
    sizes, picked = x.array_type.static_shape, index.array_type.static_shape
    pairs = zip(sizes, picked, strict=True)
    shape = tuple(other if i == axis or size == 1 else size for i, (size, other) in enumerate(pairs))
    places = _spread(picked, _strides(index, storage), shape)
    terms = _spread(value.array_type.static_shape, _strides(value, storage), shape)
    code = Indexed(shape, places, index.dtype, terms, _along(x, own, axis), node.dtype,
                   sizes[axis], own[axis], adds=True)  # fmt: skip
    array, base = _stand_in(node)
    return [_copy(x, storage, array, base), Positions(code, index, value, axis)]


def _gather(node: Node, storage: Storage) -> Moves:
    """Positions along one axis: their axes stand in the result at `at`."""
    if len(node.inputs) != 2:
        return ()
    x, index = node.inputs
    (axis,), at, rank = node.attrs["axes"], node.attrs["at"], index.ndim
    steps = [stride for i, stride in enumerate(_strides(x, storage)) if i != axis]
    places = (0,) * at + _strides(index, storage) + (0,) * (len(steps) - at)
    over = (*steps[:at], *(0,) * rank, *steps[at:])
    size = x.array_type.static_shape[axis]
    code = Indexed(node.array_type.static_shape, places, index.dtype, over, _own_strides(node), node.dtype, size,
                   _strides(x, storage)[axis], adds=False)  # fmt: skip
    return [Positions(code, index, x, axis)]


_DESCRIBERS: dict[str, Callable[[Node, Storage], Moves]] = {
    "concatenate": _concatenate, "setitem": _setitem, "take_along_axis": _take_along_axis,
    "add_along_axis": _add_along_axis, "gather": _gather,
}  # fmt: skip
