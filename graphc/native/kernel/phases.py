"""What a kernel does in which walk along a row.

The last axis of the index space is the row. A reduction over it gives a number per row, which later nodes of the same
row may use: so a row is walked in phases, one more than the longest chain of such reductions (softmax has three: the
maximum; the exponentials and their sum; the quotient). Any other reduction is accumulated over a block of rows, and the
blocks' parts are added up afterwards in a fixed order. Places of extremes are found along whole rows, or among all.

Where reductions over another axis are used, that axis is walked instead, down columns that lie side by side: there a
vector holds an element of each of several columns, and so does a number per column.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from graphc.facts import is_place
from graphc.ir import Graph, Node
from graphc.lookups import lookup_of
from graphc.maps import read_elsewhere, read_here
from graphc.native.code.scalars import Value, number
from graphc.native.kernel.extents import Space
from graphc.op import Reduction

STASHED_BYTES = 32768
"""The most that a row's intermediate values may take on the stack; dearer ones are computed again."""
DEAR = 5.0
"""A value whose op costs so many additions per element is kept for later phases rather than computed again."""


def reduction_of(node: Node) -> Reduction:
    """What a node that reduces does with its elements."""
    assert node.op.reduction is not None, node.op
    return node.op.reduction


def is_counted(node: Node) -> bool:
    """Whether vectors are counted to find the place of an extreme: of one among bytes."""
    return is_place(node) and node.inputs[0].array_type.dtype.itemsize == 1


def identity(reduction: Reduction, dtype: np.dtype[Any]) -> Value:
    """The total of no elements, which changes no other one."""
    start = reduction.start
    if not isinstance(start, str):
        return number(start, dtype)
    if dtype.kind == "f":
        return number(-math.inf if start == "lowest" else math.inf, dtype)
    limits = np.iinfo(dtype) if dtype.kind != "b" else None
    lowest, highest = (limits.min, limits.max) if limits else (0, 1)
    return number(lowest if start == "lowest" else highest, dtype)


@dataclass
class Plan:
    """What is computed when: the phase of every value, and what each phase stores, reduces and keeps."""

    body: Graph
    space: Space
    cut: bool
    """Whether rows are cut, so that nothing can be reduced along a whole one."""
    down: int | None = None
    """The axis that is walked, where it is not the last."""
    phase: dict[Node, int] = field(default_factory=dict)
    row_reductions: list[Node] = field(default_factory=list)
    accumulators: list[Node] = field(default_factory=list)
    stashed: set[Node] = field(default_factory=set)
    stored: set[Node] = field(default_factory=set)
    boxed: frozenset[Node] = frozenset()
    """Values that are read, and computed, only as their readers tell, elsewhere than at the index reached."""

    def __post_init__(self) -> None:
        self.boxed = _boxed(self.body)
        for node in self.body.nodes:
            below = max((self.phase[source] for source in node.inputs), default=0)
            if node.op.reduction:
                if self.is_row_reduction(node):
                    self.row_reductions.append(node)
                    below += 1
                else:
                    self.accumulators.append(node)
            self.phase[node] = below
        self.stored = {node for node in self.body.outputs if self.is_inner(node)} - set(self.accumulators)

    def keep(self, abreast: int) -> None:
        """Choose the values to keep for later phases, where so many rows are walked at once."""
        for phase in range(1, self.phases):
            for node in self.needed(phase):
                for source in read_here(node):
                    self._keep(source, phase, abreast)

    @property
    def walked(self) -> int:
        """The axis that is walked."""
        return len(self.space.sizes) - 1 if self.down is None else self.down

    @property
    def phases(self) -> int:
        """How often a row is walked."""
        return 1 + max(self.phase.values())

    def is_inner(self, node: Node) -> bool:
        """Whether a value varies along the row."""
        return self.space.varies(node)[self.walked]

    def is_wide(self, node: Node) -> bool:
        """Whether a vector holds several elements of a value: along the row, or of several columns."""
        return self.space.varies(node)[-1] or self.is_inner(node)

    def is_fixed(self, node: Node) -> bool:
        """Whether a value is the same for all rows and needs none of them."""
        varies = any(self.space.varies(node)) or node in self.boxed
        return not varies and self.phase[node] == 0 and not node.op.reduction

    def is_per_row(self, node: Node, phase: int) -> bool:
        """Whether a value is computed once per row, at the start of a phase."""
        if node in self.boxed:
            return False
        computed = not node.op.reduction and not self.is_inner(node) and not self.is_fixed(node)
        return computed and self.phase[node] == phase

    def is_row_reduction(self, node: Node) -> bool:
        """Whether a reduction is over the whole row and nothing else."""
        source, result = self.space.varies(node.inputs[0]), self.space.varies(node)
        others = (axis for axis in range(len(source)) if axis != self.walked)
        return not self.cut and all(source[axis] == result[axis] for axis in others)

    def roots(self, phase: int) -> list[Node]:
        """The values along the row that one phase stores, reduces or accumulates."""
        stored = [node for node in self.body.nodes if node in self.stored | self.stashed and self.phase[node] == phase]
        reduced = [node.inputs[0] for node in self.row_reductions if self.phase[node] == phase + 1]
        reduced += [node.inputs[0] for node in self.accumulators if self.phase[node] == phase]
        return [node for node in dict.fromkeys([*stored, *reduced]) if self.is_inner(node)]

    def is_reloaded(self, node: Node, phase: int) -> bool:
        """Whether an earlier phase left the value in memory."""
        return self.phase[node] < phase and (node in self.stored or node in self.stashed)

    def needed(self, phase: int) -> list[Node]:
        """The values along the row that a phase computes or reads, in order."""
        seen, stack = set(), self.roots(phase)
        while stack:
            node = stack.pop()
            if node in seen or not self.is_inner(node) or node.op.reduction:
                continue
            seen.add(node)
            if not self.is_reloaded(node, phase):
                stack.extend(read_here(node))
        return [node for node in self.body.nodes if node in seen]

    def _keep(self, node: Node, phase: int, abreast: int) -> None:
        dear = not node.op.leaf and isinstance(node.op.effort, (int, float)) and node.op.effort >= DEAR
        dear = dear or self._is_scattered(node)
        if dear and self.is_inner(node) and self.phase[node] < phase and node not in self.stored:
            used = sum(self.row_bytes(kept) for kept in self.stashed)
            if abreast * (used + self.row_bytes(node)) <= STASHED_BYTES:
                self.stashed.add(node)

    @property
    def is_scattered(self) -> bool:
        """Whether elements along a row are read at positions of their own."""
        return any(map(self._is_scattered, self.body.nodes))

    def _is_scattered(self, node: Node) -> bool:
        """Whether each element of a row is read at a position of its own."""
        lookup = lookup_of(node)
        return lookup is not None and any(self.is_inner(node.inputs[at]) for at in lookup.positions)

    def row_bytes(self, node: Node) -> int:
        """The bytes to keep for a value along one row: rounded up, so that rows of about one length share code."""
        return 1 << (self.space.sizes[self.walked] * node.array_type.dtype.itemsize - 1).bit_length()


def _boxed(body: Graph) -> frozenset[Node]:
    """What nodes read elsewhere, and what that is computed from, but for numbers."""
    found: set[Node] = set()
    for node in reversed(body.nodes):
        found.update(read_elsewhere(node))
        if node in found:
            found.update(source for source in node.inputs if math.prod(source.array_type.static_shape) > 1)
    return frozenset(found)
