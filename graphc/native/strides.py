"""How arrays lie: strides, which count bytes, and steps, which count elements."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

from graphc.ir import Node
from graphc.types import Type

Steps = tuple[int, ...]
"""Elements to step along each axis."""
FRESH_BYTES = 1 << 28
"""So much of a result may be mapped that is not yet written. Whatever goes down the first columns of a large one maps
all of its memory, which takes longer than the rest, and no signal is looked for meanwhile."""
HUGE_PAGE = 1 << 21
"""What the system may map at once."""


def c_order(shape: Sequence[int]) -> Steps:
    """The steps of an array in C order."""
    return tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))


def own_steps(node: Node) -> Steps:
    """The steps of a result in C order."""
    return c_order(node.array_type.static_shape)


@lru_cache(maxsize=4096)
def contiguous(kind: Type) -> tuple[int, ...]:
    """The strides of an array in C order."""
    return tuple(kind.dtype.itemsize * step for step in c_order(kind.static_shape))


def broadcast(shape: Sequence[int], steps: Sequence[int], rank: int = 0) -> Steps:
    """Steps over the last axes of an index space of some rank: 0 where an array of that shape repeats."""
    own = tuple(0 if size == 1 else step for size, step in zip(shape, steps, strict=True))
    return (0,) * (rank - len(own)) + own


@lru_cache(maxsize=4096)
def broadcast_strides(kind: Type, strides: tuple[int, ...], rank: int) -> Steps:
    """The same from the strides of an array."""
    return broadcast(kind.static_shape, [stride // kind.dtype.itemsize for stride in strides], rank)
