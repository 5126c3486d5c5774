"""What an op is done by: copies between strided regions, and loops over an index space, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from graphc.ir import Node
from graphc.native.loops.nests import Array, Nest
from graphc.native.storage import Storage


class NotNative(Exception):
    """Says why NumPy must compute a node."""


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
class Loop:
    """A kernel with what it reads; it writes all results of the node, the first of them from a byte on."""

    nest: Nest
    sources: tuple[Node, ...] = ()
    skipped: tuple[int, ...] = ()
    """Bytes of each operand before the first element of the index space."""
    offset: int = 0
    problems: tuple[Callable[[int], Exception], ...] = ()
    """What a status word that holds something else than FINE tells."""
    stretch: tuple[int, int] = (0, 1)
    """Which one of how many that go on from one another."""


def in_turn(stretches: Iterable[Loop]) -> list[Loop]:
    """Loops each of which goes on from what the one before has written."""
    listed = list(stretches)
    return [replace(loop, stretch=(number, len(listed))) for number, loop in enumerate(listed)]


Pieces = Sequence[Copy | Loop]
Describer = Callable[[Node, Storage], Pieces]


def operand(node: Node, storage: Storage, rank: int) -> Array:
    """An operand over the axes of a result of that rank, which it broadcasts to."""
    return Array(node.dtype, storage.steps_over(node, rank))


def stand_in(node: Node) -> tuple[np.ndarray[Any, Any], int]:
    """An array that is never touched, to find regions of the result with, and where it begins."""
    array = np.empty(node.array_type.static_shape, node.dtype)
    return array, array.__array_interface__["data"][0]
