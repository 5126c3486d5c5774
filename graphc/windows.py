"""Index maps of kernels by box: what a node reads elsewhere than at its own index, and where.

Padding, a part that is replaced and a concatenation read an operand in a box of their own index space, or at steps in
it, and elsewhere something else. A kernel that holds such a node reads what the box holds in place: nothing is copied
before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

from graphc.ir import Node
from graphc.ops.indexing import WHOLE

MOST_PIECES = 8
"""A kernel reads all pieces of a concatenation for each of its elements: of more it is a copy."""


LARGEST_STEP = 8
"""What lies at steps is read in whole vectors, of which the rest is left out: at larger ones that is most of them."""


class Window(NamedTuple):
    """The operand of this number is in the box of its shape that begins at `start`, its elements `steps` apart."""

    operand: int
    start: tuple[int, ...]
    steps: tuple[int, ...]


def windows_of(node: Node) -> tuple[Window, ...]:
    """What a node reads in boxes of its index space; nothing where a kernel reads it otherwise, or cannot."""
    find = _WINDOWS.get(node.op.name)
    return () if find is None or not node.inputs or not node.type.is_static else find(node)


def attrs_over(node: Node, axes: Sequence[int], rank: int) -> dict[str, Any]:
    """The attributes of such a node over an index space of a rank, of which its own axes are these, or -1 if of 1."""
    return _ATTRS[node.op.name](node.attrs, dict(zip(axes, range(len(axes)), strict=True)), rank)


def _padded(node: Node) -> tuple[Window, ...]:
    return (Window(0, tuple(before for before, _ in node.attrs["pad_width"]), (1,) * len(node.shape)),)


def _replaced(node: Node) -> tuple[Window, ...]:
    index, rank = node.attrs["index"], len(node.shape)
    if not all(part == WHOLE or (isinstance(part, tuple) and 1 <= part[2] <= LARGEST_STEP) for part in index):
        return ()
    parts = [(0, None, 1) if part == WHOLE else part for part in (*index, *[WHOLE] * (rank - len(index)))]
    return (Window(1, tuple(start for start, _, _ in parts), tuple(step for _, _, step in parts)),)


def _joined(node: Node) -> tuple[Window, ...]:
    axis, rank = node.attrs["axis"], len(node.shape)
    if not 1 < len(node.inputs) <= MOST_PIECES:
        return ()
    sizes = [source.array_type.static_shape[axis] for source in node.inputs]
    starts = [0, *accumulate(sizes[:-1])]
    return tuple(Window(at, tuple(start if each == axis else 0 for each in range(rank)), (1,) * rank)
                 for at, start in enumerate(starts))  # fmt: skip


_WINDOWS: dict[str, Callable[[Node], tuple[Window, ...]]] = {
    "concatenate": _joined, "pad": _padded, "setitem": _replaced}  # fmt: skip


Own = Mapping[int, int]
"""By axis of an index space, that of the node."""


def _pads_over(attrs: Mapping[str, Any], own: Own, rank: int) -> dict[str, Any]:
    widths = tuple(attrs["pad_width"][own[axis]] if axis in own else (0, 0) for axis in range(rank))
    return {**attrs, "pad_width": widths}


def _part_over(attrs: Mapping[str, Any], own: Own, rank: int) -> dict[str, Any]:
    given = attrs["index"]
    index = [given[own[axis]] if axis in own and own[axis] < len(given) else WHOLE for axis in range(rank)]
    while index and index[-1] == WHOLE:
        index.pop()
    return {"index": tuple(index)}


def _pieces_over(attrs: Mapping[str, Any], own: Own, rank: int) -> dict[str, Any]:
    return {"axis": next(axis for axis in range(rank) if own.get(axis) == attrs["axis"])}


_ATTRS: dict[str, Callable[[Mapping[str, Any], Own, int], dict[str, Any]]] = {
    "concatenate": _pieces_over, "pad": _pads_over, "setitem": _part_over}  # fmt: skip
