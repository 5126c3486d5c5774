"""Gathers and scatters as loops over positions."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

from graphc.ir import Node
from graphc.native.loops.indexed import Indexed, Looked
from graphc.native.loops.nests import Array, merged
from graphc.native.loops.pieces import Copy, Describer, Loop, Pieces, in_turn
from graphc.native.storage import Storage
from graphc.native.strides import Steps, own_steps


def outside(axis: int, size: int, word: int) -> Exception:
    """What NumPy says of a position outside an axis."""
    return IndexError(f"index {word} is out of bounds for axis {axis} with size {size}")


def _loop(mode: str, sizes: Sequence[int], sources: Sequence[Node], steps: Sequence[Steps], into: Node, to: Steps,
          axes: dict[int, Looked]) -> list[Loop]:  # fmt: skip
    """The loops over an index space in which the sources, the positions first, and the result have such steps."""
    in_order = [mode in ("put", "add") and step == 0 for step in to]
    order = sorted(range(len(sizes)), key=lambda axis: in_order[axis])

    def ordered(values: Sequence[int]) -> tuple[int, ...]:
        return tuple(values[axis] for axis in order)

    left, lies, kinds = merged(ordered(sizes), [ordered(each) for each in (*steps, to)], ordered(in_order))
    count = kinds.count(False)
    arrays = [Array(source.dtype, lie) for source, lie in zip(sources, lies, strict=False)]
    result = Array(into.dtype, lies[-1])
    nest = Indexed(tuple(arrays), (result,), left[:count], left[count:], tuple(axes.values()), mode)
    problems: list[Callable[[int], Exception]] = [partial(outside, axis, found.size) for axis, found in axes.items()]
    return in_turn(Loop(part, tuple(sources), skipped, problems=tuple(problems)) for part, skipped in nest.stretches)


def _looked(x: Node, steps: Steps, axes: Sequence[int]) -> dict[int, Looked]:
    return {axis: Looked(x.array_type.static_shape[axis], steps[axis]) for axis in axes}


def _block(indices: Sequence[Node], at: int, rest: int, storage: Storage) -> tuple[int, list[Steps]]:
    """The rank of the positions' common shape, and the steps of each array of them over the whole index space."""
    rank = max(index.ndim for index in indices)
    found = [storage.steps_over(index, rank) for index in indices]
    return rank, [(0,) * at + steps + (0,) * (rest - at) for steps in found]


def _around(steps: Steps, axes: Sequence[int], at: int, rank: int) -> Steps:
    """The steps of the axes that are not looked up, around those of the positions."""
    rest = [step for axis, step in enumerate(steps) if axis not in axes]
    return (*rest[:at], *(0,) * rank, *rest[at:])


def _gather(node: Node, storage: Storage) -> Pieces:
    x, *indices = node.inputs
    axes, at, steps = node.attrs["axes"], node.attrs["at"], storage.steps(x)
    rank, lies = _block(indices, at, x.ndim - len(axes), storage)
    shape, found = node.array_type.static_shape, _looked(x, steps, axes)
    if 0 in shape:
        return _checked(node, indices, lies, shape[at : at + rank], at, found)
    lies.append(_around(steps, axes, at, rank))
    return _loop("read", shape, [*indices, x], lies, node, own_steps(node), found)


def _checked(node: Node, indices: Sequence[Node], lies: Sequence[Steps], block: Sequence[int], at: int,
             found: dict[int, Looked]) -> Pieces:  # fmt: skip
    """Nothing is read, but positions must be inside."""
    if 0 in block:
        return []
    steps = [lie[at : at + len(block)] for lie in lies]
    sources, to = [*indices, indices[-1]], (1,) * len(block)
    return _loop("check", block, sources, [*steps, steps[-1]], node, to, found)


def _scatter(mode: str, node: Node, storage: Storage) -> Pieces:
    x, value, *indices = node.inputs
    axes, at, own = node.attrs["axes"], node.attrs["at"], own_steps(node)
    rank, lies = _block(indices, at, x.ndim - len(axes), storage)
    shape, found = value.array_type.static_shape, _looked(x, own, axes)
    whole = _whole(x, node, storage)
    if 0 in shape:
        return [*whole, *_checked(node, indices, lies, shape[at : at + rank], at, found)]
    terms = storage.steps_over(value, len(shape))
    return [*whole, *_loop(mode, shape, [*indices, value], [*lies, terms], node, _around(own, axes, at, rank), found)]


def _whole(x: Node, node: Node, storage: Storage) -> list[Copy]:
    """The copy of an operand that is then written to."""
    shape = node.array_type.static_shape
    return [] if 0 in shape else [Copy(x, shape, storage.steps(x), 0, own_steps(node))]


def _take_along_axis(node: Node, storage: Storage) -> Pieces:
    x, index = node.inputs
    axis, shape, steps = node.attrs["axis"], node.array_type.static_shape, storage.steps(x)
    places = storage.steps_over(index, len(shape))
    if 0 in shape:
        return []
    lies = [places, _along(x, steps, axis)]
    return _loop("read", shape, [index, x], lies, node, own_steps(node), _looked(x, steps, [axis]))


def _along(x: Node, steps: Steps, axis: int) -> Steps:
    """The steps along all axes but the one that positions are along."""
    sizes = x.array_type.static_shape
    return tuple(0 if i == axis or sizes[i] == 1 else step for i, step in enumerate(steps))


def _add_along_axis(node: Node, storage: Storage) -> Pieces:
    x, value, index = node.inputs
    axis, own = node.attrs["axis"], own_steps(node)
    sizes, picked = x.array_type.static_shape, index.array_type.static_shape
    pairs = enumerate(zip(sizes, picked, strict=True))
    shape = tuple(other if i == axis or size == 1 else size for i, (size, other) in pairs)
    whole = _whole(x, node, storage)
    if not math.prod(shape):
        return whole
    lies = [storage.steps_over(each, len(shape)) for each in (index, value)]
    to = _along(x, own, axis)
    return [*whole, *_loop("add", shape, [index, value], lies, node, to, _looked(x, own, [axis]))]


LOOKUPS: dict[str, Describer] = {
    "gather": _gather, "take_along_axis": _take_along_axis, "add_along_axis": _add_along_axis,
    "scatter": partial(_scatter, "put"), "scatter_add": partial(_scatter, "add"),
}  # fmt: skip
