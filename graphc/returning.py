"""Reductions whose results are spread over their operands' axes again: what follows may be computed in one kernel.

A mean over a batch that is subtracted from every row is one. The sum of a bias's gradient is not: it is only a result.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

from graphc import ops
from graphc.facts import only_ones_move
from graphc.ir import Graph, Node

FAR = 64
"""So many nodes are looked at, at most."""


class Returning:
    """Tells of a graph's reductions how many return, one after the other."""

    def __init__(self, graph: Graph, readers: Mapping[Node, Sequence[Node]], can_fuse: Callable[[Node], bool]) -> None:
        """`readers` has who reads each node, and `can_fuse` tells which nodes kernels may hold."""
        self._graph, self._readers, self._can_fuse = graph, readers, can_fuse
        self._known: dict[Node, bool] = {}

    def __call__(self, reduction: Node) -> int:
        """1 if a reduction returns, 2 if one of what comes of it does, too, and so on; 0 if it does not return."""
        return 1 + self._ahead[reduction] if self._does(reduction) else 0

    @cached_property
    def _ahead(self) -> dict[Node, int]:
        """How many reductions return, one after the other, of what is computed from each node."""
        ahead: dict[Node, int] = {}
        for node in reversed(self._graph.nodes):
            readers = [reader for reader in self._readers[node] if self._can_fuse(reader)]
            ahead[node] = max((ahead[reader] + self._does(reader) for reader in readers), default=0)
        return ahead

    def _does(self, node: Node) -> bool:
        if not node.op.reduction:
            return False
        if node not in self._known:
            self._known[node] = self._returns(node)
        return self._known[node]

    def _returns(self, reduction: Node) -> bool:
        """Whether what is computed from a reduction, element by element, has its operand's size at last."""
        whole, small = _size(reduction.inputs[0]), _size(reduction)
        stack, seen = [reduction], {reduction}
        while stack and len(seen) < FAR:
            for reader in self._readers[stack.pop()]:
                if reader in seen or not self._can_fuse(reader) or not _is_elementwise(reader):
                    continue
                if _size(reader) == whole:
                    return True
                if _size(reader) == small:
                    seen.add(reader)
                    stack.append(reader)
        return False


def _is_elementwise(node: Node) -> bool:
    return bool(node.op.elementwise) or node.op is ops.broadcast_to or only_ones_move(node)


def _size(node: Node) -> int:
    return math.prod(node.array_type.static_shape)
