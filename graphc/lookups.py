"""Index maps of kernels by position: what a node reads, or adds to, where other values say, when the program runs.

`x[i]` and `take_along_axis` read an operand at positions; a kernel that holds such a node reads each element where it
lies. The derivative of a lookup of one element in each row adds one number to each row: a kernel compares each
element's place with the position. Positions outside of an axis are told by a status word.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from graphc.ir import Node

LEAST_ROW = 3
"""Rows of two elements took a kernel 0.30 ms, a loop for them and a kernel 0.24; of three 0.11 for 0.13."""
NEAR_BYTES = 1 << 19
"""As much as a processor has near: from 4 MB, 2²⁰ single elements took a kernel 2.8 ms, a loop for them and a kernel
1.5; from 256 KB 0.9 for 1.2."""
Along = tuple[int | None, ...]
"""For each axis of an operand the axis of the result that it runs along, or None where positions tell."""


class Lookup(NamedTuple):
    """How a node reads its first operand: along `axes`, at the positions that these other operands hold."""

    axes: tuple[int, ...]
    positions: tuple[int, ...]
    along: tuple[Along, ...]
    """By operand."""
    apart: tuple[int, ...]
    """The operands that the kernel does not compute itself."""

    def spread(self, operand: int, numbers: Sequence[int], rank: int, fill: int) -> tuple[int, ...]:
        """Numbers for the axes of an operand as such for the axes of the result."""
        result = [fill] * rank
        for axis, number in zip(self.along[operand], numbers, strict=True):
            if axis is not None:
                result[axis] = number
        return tuple(result)


def lookup_of(node: Node) -> Lookup | None:
    """How a node reads at positions; None where it does not, or not so that a kernel could."""
    find = _LOOKUPS.get(node.op.name)
    return None if find is None else find(node)


def _reads_rows(node: Node, lookup: Lookup) -> bool:
    """Whether what is read at one position lies side by side, in vectors."""
    last = node.ndim - 1
    if not node.ndim or node.array_type.static_shape[-1] < LEAST_ROW or lookup.along[0][-1:] != (last,):
        return False
    varying = [lookup.spread(at, node.inputs[at].array_type.static_shape, node.ndim, 1)[-1] for at in lookup.positions]
    return all(size == 1 for size in varying)


def is_near(node: Node, lookup: Lookup) -> bool:
    """Whether a kernel should read single elements: not where many positions reach far."""
    x = node.inputs[0].array_type
    reach = math.prod(x.static_shape[min(lookup.axes) :]) * x.dtype.itemsize
    return _reads_rows(node, lookup) or min(reach, node.type.nbytes) <= NEAR_BYTES


def marked_axis(node: Node) -> int | None:
    """The axis along which a node adds to one element of each row; None for all other nodes."""
    if node.op.name != "add_along_axis":
        return None
    x, value, positions = (source.array_type.static_shape for source in node.inputs)
    axis = node.attrs["axis"]
    spread = any(size == 1 < other for at, (size, other) in enumerate(zip(x, value, strict=True)) if at != axis)
    return axis if positions[axis] == 1 < x[axis] and not spread else None


def _gathered(node: Node) -> Lookup:
    x, *positions = node.inputs
    axes, at, rank = node.attrs["axes"], node.attrs["at"], max(each.ndim for each in node.inputs[1:])
    rest = iter([axis for axis in range(node.ndim) if not at <= axis < at + rank])
    along: list[Along] = [tuple(None if axis in axes else next(rest) for axis in range(x.ndim))]
    along += [tuple(range(at + rank - each.ndim, at + rank)) for each in positions]
    others = tuple(range(1, len(node.inputs)))
    return Lookup(axes, others, tuple(along), (0, *others))


def _taken(node: Node) -> Lookup:
    axis, own = node.attrs["axis"], tuple(range(node.ndim))
    return Lookup((axis,), (1,), (tuple(None if at == axis else at for at in own), own), (0,))


_LOOKUPS: dict[str, Callable[[Node], Lookup]] = {"gather": _gathered, "take_along_axis": _taken}
