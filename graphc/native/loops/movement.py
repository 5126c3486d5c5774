"""Ops that move elements, as copies between strided regions."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from graphc.ir import Node
from graphc.native.loops.maps import filling
from graphc.native.loops.nests import Array, merged
from graphc.native.loops.pieces import Copy, Describer, Loop, NotNative, Pieces, stand_in
from graphc.native.storage import Layout, Storage
from graphc.native.strides import own_steps
from graphc.op import OPS

View = np.ndarray[Any, Any]


def _copy(source: Node, storage: Storage, region: View, base: int) -> Copy:
    """A copy to a region, which is a view of a stand-in for the result that begins at an address."""
    steps = storage.steps_over(source, region.ndim)
    to = tuple(stride // region.itemsize for stride in region.strides)
    return Copy(source, region.shape, steps, region.__array_interface__["data"][0] - base, to)


def _fill(region: View, base: int, value: Any) -> Loop:
    """A region filled with a number."""
    sizes, (steps,), _ = merged(region.shape, [tuple(stride // region.itemsize for stride in region.strides)])
    nest = filling(Array(region.dtype, steps), sizes, value)
    return Loop(nest, offset=region.__array_interface__["data"][0] - base)


def _reshape(node: Node, storage: Storage) -> Pieces:
    """A copy in C order, of an operand whose elements lie in another."""
    (x,) = node.inputs
    shape = x.array_type.static_shape
    return [Copy(x, shape, storage.steps(x), 0, own_steps(x))]


def copied_view(node: Node, storage: Storage) -> Pieces:
    """A copy of a view, from where it lies in its operand's memory."""
    (x,) = node.inputs
    at, width = storage.copies[node], node.array_type.dtype.itemsize
    steps = tuple(stride // width for stride in at.strides)
    return [Copy(x, node.array_type.static_shape, steps, 0, own_steps(node), at.offset - storage.layout[x].offset)]


def _concatenate(node: Node, storage: Storage) -> Pieces:
    array, base = stand_in(node)
    axis, at, copies = node.attrs["axis"], 0, []
    whole = storage.layout[node]
    for source in node.inputs:
        size = source.array_type.static_shape[axis]
        place = Layout(whole.root, whole.offset + at * whole.strides[axis], whole.strides)
        if source.array_type.size and not storage.lies_at(source, place):  # else it is there already
            copies.append(_copy(source, storage, array[(*(slice(None),) * axis, slice(at, at + size))], base))
        at += size
    return copies


def _pad(node: Node, storage: Storage) -> Pieces:
    (x,) = node.inputs
    array, base = stand_in(node)
    ends = zip(node.attrs["pad_width"], x.array_type.static_shape, strict=True)
    box = [(before, before + size) for (before, _), size in ends]
    value = node.attrs["constant_values"]
    margins = [_fill(array[_slices(part)], base, value) for part in _around(box, array.shape)]
    return [*margins, *([_copy(x, storage, array[_slices(box)], base)] if x.array_type.size else [])]


def _flip(node: Node, storage: Storage) -> Pieces:
    (x,) = node.inputs
    steps, shape = storage.steps(x), x.array_type.static_shape
    ahead = sum((shape[axis] - 1) * steps[axis] for axis in node.attrs["axis"])
    back = tuple(-step if axis in node.attrs["axis"] else step for axis, step in enumerate(steps))
    return [Copy(x, shape, back, 0, own_steps(node), ahead * x.array_type.dtype.itemsize)]


def _roll(node: Node, storage: Storage) -> Pieces:
    """Along each axis two parts, which change places."""
    (x,) = node.inputs
    shape, steps = x.array_type.static_shape, storage.steps(x)
    shift, axes = node.attrs["shift"], node.attrs["axis"]
    if axes is None:
        shape, steps, shift, axes = _row(shape, steps, shift)
    moves = dict(zip(axes, shift, strict=True))
    own = own_steps(x) if len(shape) == x.ndim else (1,)
    width = x.array_type.dtype.itemsize
    copies = []
    for parts in itertools.product(*(_halves(size, moves.get(axis, 0)) for axis, size in enumerate(shape))):
        sizes = tuple(size for _, _, size in parts)
        to = sum(start * step for (start, _, _), step in zip(parts, own, strict=True))
        skipped = sum(start * step for (_, start, _), step in zip(parts, steps, strict=True))
        copies.append(Copy(x, sizes, steps, to * width, own, skipped * width))
    return copies


def _row(shape: tuple[int, ...], steps: tuple[int, ...], shift: int) -> tuple[Any, ...]:
    """An operand as a row of its elements, where its layout is one."""
    sizes, (found,), _ = merged(shape, [steps])
    if len(sizes) > 1:
        raise NotNative("roll of elements in a row, where these do not lie evenly")
    return (sizes or (1,)), (found or (1,)), (shift,), (0,)


def _halves(size: int, shift: int) -> list[tuple[int, int, int]]:
    """Where each part goes, where it comes from, and its size."""
    moved = shift % max(size, 1)
    return [part for part in ((0, size - moved, moved), (moved, 0, size - moved)) if part[2]]


def _setitem(node: Node, storage: Storage) -> Pieces:
    x, value = node.inputs
    array, base = stand_in(node)
    region = OPS["getitem"].body(array, **node.attrs)
    written = [_copy(value, storage, region, base)] if region.size else []
    box = _box(region, array, base)
    if box is None:
        return [_copy(x, storage, array, base), *written]
    return [*(_part(x, storage, array, base, part) for part in _around(box, array.shape)), *written]


Box = list[tuple[int, int]]


def _slices(box: Box) -> tuple[Any, ...]:
    """What selects a box; the closing `...` keeps a selection of rank 0 a view."""
    return (*(slice(low, high) for low, high in box), ...)


def _box(region: View, array: View, base: int) -> Box | None:
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
            part = [*box[:axis], (start, stop), *((0, size) for size in shape[axis + 1 :])]
            if all(first < last for first, last in part):
                parts.append(part)
    return parts


def _part(x: Node, storage: Storage, array: View, base: int, box: Box) -> Copy:
    """The copy of a box of an operand to the same place of the result."""
    whole = _copy(x, storage, array[_slices(box)], base)
    strides = storage.steps_over(x, array.ndim)
    skipped = array.itemsize * sum(low * stride for (low, _), stride in zip(box, strides, strict=True))
    return replace(whole, strides=strides, skipped=skipped)


MOVEMENT: dict[str, Describer] = {
    "concatenate": _concatenate, "flip": _flip, "pad": _pad, "reshape": _reshape, "roll": _roll, "setitem": _setitem,
}  # fmt: skip
