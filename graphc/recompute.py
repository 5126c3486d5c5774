"""Values that kernels compute again where they need them, because that is cheaper than to store and to read them.

Such a value takes a few additions an element from one value that is in memory anyway: 1 - y² of the derivative of
y = tanh x, where a product reads y. A kernel that reads it reads y in its place, so nothing is read more often.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from graphc.apart import Apart
from graphc.facts import CHEAP, effort_of, number_of, only_ones_move
from graphc.ir import Graph, Node
from graphc.maps import read_here


class Recomputed:
    """The values of a graph that are computed anew wherever a kernel reads them."""

    def __init__(self, graph: Graph, readers: Mapping[Node, Sequence[Node]], can_fuse: Callable[[Node], bool]) -> None:
        """`readers` has who reads each node, and `can_fuse` tells which nodes kernels may hold."""
        self._can_fuse, self._readers, self._results = can_fuse, readers, set(graph.outputs)
        self.apart = Apart(graph, readers, can_fuse)
        self._read_by_kernels: dict[Node, bool] = {}
        self._effort: dict[Node, float] = {}
        self._place: dict[Node, int] = {}
        self._read: dict[Node, list[Node]] = {}
        for place, node in enumerate(graph.nodes):
            source = self._only_source(node)
            effort = effort_of(node) + self._effort.get(source, 0.0) if source is not None else CHEAP + 1
            if effort <= CHEAP and self._is_for_kernels(node):
                self._effort[node], self._place[node] = effort, place

    def __contains__(self, node: Node) -> bool:
        return node in self._effort or node in self.apart.values

    def below(self, nodes: Iterable[Node]) -> list[Node]:
        """The values to compute anew for what reads these nodes, sources first."""
        stack = [node for node in nodes if node in self._effort]
        if not stack:
            return []
        found: dict[Node, None] = {}
        while stack:
            node = stack.pop()
            if node in self._effort and node not in found:
                found[node] = None
                stack.extend(node.inputs)
        return sorted(found, key=self._place.__getitem__)

    def read(self, node: Node) -> list[Node]:
        """What a node reads from memory or from its kernel; remembered, because every step of fusion asks."""
        found = self._read.get(node)
        if found is None:
            found = self._read[node] = self._sources(node)
        return found

    def _sources(self, node: Node) -> list[Node]:
        here = read_here(node)
        direct = [source for source in here if source not in self._effort]
        if len(here) < len(node.inputs):
            direct += self.apart.read(node)
        if not any(source in self._effort for source in here):
            return direct
        return direct + [source for value in self.below(node.inputs) for source in value.inputs
                         if source not in self._effort]  # fmt: skip

    def _only_source(self, node: Node) -> Node | None:
        """The one value of a node's shape that it is computed from, if that is in memory or computed anew as well."""
        if not node.op.elementwise or effort_of(node) > CHEAP or not self._can_fuse(node) or only_ones_move(node):
            return None
        if node in self.apart.values or node in self.apart.sources:
            return None
        only: Node | None = None
        for source in node.inputs:
            if source is not only and number_of(source) is None:
                if only is not None:
                    return None
                only = source
        return only if only is not None and only.shape == node.shape and self._is_there(only) else None

    def _is_there(self, node: Node) -> bool:
        stored = node in self._results or not self._only_kernels_read(node)
        return node in self._effort or (self._can_fuse(node) and not node.op.reduction and stored)

    def _is_for_kernels(self, node: Node) -> bool:
        return node not in self._results and self._only_kernels_read(node)

    def _only_kernels_read(self, node: Node) -> bool:
        """Remembered: a value with many readers is asked about by each of them."""
        if node not in self._read_by_kernels:
            here = node not in self.apart.read_elsewhere
            self._read_by_kernels[node] = here and all(map(self._can_fuse, self._readers[node]))
        return self._read_by_kernels[node]
