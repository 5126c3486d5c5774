"""The index space of a kernel: its axes, merged where every value and operand allows it, and how operands lie in it.

All values of a body have the rank of its index space, with 1 on the axes they do not vary over.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from graphc.ir import Graph, Node
from graphc.windows import Window, read_elsewhere


@dataclass(frozen=True)
class Access:
    """How an operand lies in memory: elements to step along each axis of the index space."""

    strides: tuple[int, ...]


@dataclass(frozen=True)
class Space:
    """The index space of a body with neighbouring axes merged wherever every value and operand allows it."""

    sizes: tuple[int, ...]
    groups: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, body: Graph, accesses: Sequence[Access]) -> Space:
        """Merge what can be merged."""
        domain = domain_of(body)
        groups: list[list[int]] = [[0]] if domain else []
        for axis in range(1, len(domain)):
            if _mergeable(body, accesses, domain, groups[-1], axis):
                groups[-1].append(axis)
            else:
                groups.append([axis])
        if not groups:
            return cls((1,), ((),))
        return cls(tuple(math.prod(domain[a] for a in group) for group in groups), tuple(map(tuple, groups)))

    def varies(self, node: Node) -> tuple[bool, ...]:
        """Along which merged axes a value varies."""
        return _varies(node.array_type.static_shape, self.groups)

    def steps(self, node: Node, access: Access) -> tuple[int, ...]:
        """Elements from one index to the next along each merged axis."""
        shape = node.array_type.shape
        return tuple(_merged_step(group, access.strides, shape) for group in self.groups)

    def box(self, node: Node, window: Window) -> tuple[tuple[int, int], ...]:
        """From where to where along each merged axis a node reads a box."""
        shape, source = node.array_type.static_shape, node.inputs[window.operand].array_type.static_shape
        return tuple(_merged_range(group, shape, source, window.start) for group in self.groups)

    def own_steps(self, node: Node) -> tuple[int, ...]:
        """The same for a result in C order."""
        sizes = [size if v else 1 for size, v in zip(self.sizes, self.varies(node), strict=True)]
        return tuple(math.prod(sizes[i + 1 :]) if sizes[i] != 1 else 0 for i in range(len(sizes)))


@lru_cache(maxsize=4096)
def _varies(shape: tuple[int, ...], groups: tuple[tuple[int, ...], ...]) -> tuple[bool, ...]:
    return tuple(any(shape[axis] != 1 for axis in group if shape) for group in groups)


def domain_of(body: Graph) -> tuple[int, ...]:
    """The sizes that the values of a body vary over."""
    shapes = [node.array_type.static_shape for node in body.nodes]
    rank = max(map(len, shapes))
    return tuple(max(shape[axis] for shape in shapes if len(shape) == rank) for axis in range(rank))


def _mergeable(body: Graph, accesses: Sequence[Access], domain: Sequence[int], group: Sequence[int], axis: int) -> bool:
    real = [a for a in group if domain[a] != 1]
    if not real or domain[axis] == 1:
        return True
    last = real[-1]
    for node in body.nodes:
        shape = node.array_type.shape
        if len(shape) == len(domain) and (shape[last] == 1) != (shape[axis] == 1):
            return False
        if any(source.shape and source.shape[axis] != shape[axis] for source in read_elsewhere(node)):
            return False
    return all(access.strides[last] == access.strides[axis] * domain[axis] for access in accesses)


def _merged_range(group: Sequence[int], shape: Sequence[int], box: Sequence[int],
                  start: Sequence[int]) -> tuple[int, int]:  # fmt: skip
    """Of neighbouring axes only the first may be read in part."""
    first, *others = [axis for axis in group if shape[axis] != 1] or [group[0]]
    inner = math.prod(shape[axis] for axis in others)
    return start[first] * inner, (start[first] + box[first]) * inner


def _merged_step(group: Sequence[int], strides: Sequence[int], shape: Sequence[Any]) -> int:
    steps = [strides[axis] for axis in group if shape and shape[axis] != 1]
    return steps[-1] if steps else 0
