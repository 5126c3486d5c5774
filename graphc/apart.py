"""Values that kernels compute where they read them in boxes, because that is cheaper than to store and to read them.

The derivative of a stencil adds up g c₀, g c₁, ..., each in a box of its own. Only g is stored: a kernel reads it in
each box and multiplies under the box's mask, so that around the box nothing is computed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

from graphc.facts import CHEAP, effort_of, number_of
from graphc.ir import Graph, Node
from graphc.lookups import lookup_of
from graphc.maps import read_elsewhere, read_here

MOST_READ = 2
"""The most arrays that are read in a box instead of one."""


class Apart:
    """The values of a graph that are computed where boxes are read, each the root of some that only it is made of."""

    def __init__(self, graph: Graph, readers: Mapping[Node, Sequence[Node]], can_fuse: Callable[[Node], bool]) -> None:
        """`readers` has who reads each node, and `can_fuse` tells which nodes kernels may hold."""
        self._readers, self._can_fuse, self._results = readers, can_fuse, set(graph.outputs)
        self.read_elsewhere = {source for node in graph.nodes for source in read_elsewhere(node)}
        """What some node reads elsewhere than at its own index."""
        self._known: dict[Node, bool] = {}
        self._may_be = self._candidates(graph)
        roots = {node: self._made_of(node) for node in self._may_be if self._is_root(node)}
        self._roots = self._worthwhile(roots)
        self.sources = {source for root in self._roots for source in roots[root]}
        """What lies in memory because these values are made of it."""
        alone = (root for root in self._roots if self._is_alone(root))
        self.values = {value for root in alone for value in self._inside(root)}
        """Those that nothing else reads."""
        self._order = {node: place for place, node in enumerate(graph.nodes)} if self._roots else {}

    def below(self, node: Node) -> list[Node]:
        """The values that a node computes where it reads them, each after those that it is made of."""
        return [value for root in dict.fromkeys(read_elsewhere(node)) for value in self.chain(root)]

    def chain(self, root: Node) -> list[Node]:
        """A value that is computed where it is read, after those that it is made of; nothing for any other."""
        return sorted(self._inside(root), key=self._order.__getitem__) if root in self._roots else []

    def read(self, node: Node) -> list[Node]:
        """What a node reads elsewhere than at its own index, or what that is made of."""
        found: list[Node] = []
        for source in read_elsewhere(node):
            chain = self.chain(source)
            found += [each for value in chain for each in value.inputs if each not in chain and number_of(each) is None]
            found += [] if chain else [source]
        return found

    def _inside(self, root: Node) -> Iterator[Node]:
        """A value and those that only it is made of."""
        stack = [root]
        while stack:
            node = stack.pop()
            yield node
            stack.extend({source for source in node.inputs if source in self._may_be and not self._is_root(source)})

    def _made_of(self, root: Node) -> set[Node]:
        """The arrays that a value is computed from."""
        inside = {*self._inside(root)}
        read = {source for value in inside for source in value.inputs} - inside
        return {
            source for source in read if number_of(source) is None and math.prod(source.array_type.static_shape) > 1
        }

    def _candidates(self, graph: Graph) -> set[Node]:
        """Cheap values that boxes are read of, or that one other of these is made of and nothing else."""
        effort: dict[Node, float] = {}
        for node in reversed(graph.nodes):
            readers = self._readers[node]
            only = readers[0] if len(readers) == 1 and readers[0] in effort else None
            if not self._is_root(node) and (only is None or only.shape != node.shape):
                continue
            if node.op.elementwise and node.inputs and node not in self._results and self._can_fuse(node):
                total = effort_of(node) + (0.0 if only is None else effort[only])
                if total <= CHEAP:
                    effort[node] = total
        return set(effort)

    def _is_root(self, node: Node) -> bool:
        """Whether kernels read a value in boxes; perhaps others read it where they are."""
        known = self._known.get(node)
        if known is None:
            readers = self._readers[node]
            found = node in self.read_elsewhere and any(self._reads_box(reader, node) for reader in readers)
            known = self._known[node] = found and all(
                self._can_fuse(reader) and (node not in read_elsewhere(reader) or self._reads_box(reader, node))
                for reader in readers)  # fmt: skip
        return known

    def _is_alone(self, node: Node) -> bool:
        return all(self._reads_box(reader, node) for reader in self._readers[node])

    def _reads_box(self, reader: Node, node: Node) -> bool:
        apart = node in read_elsewhere(reader) and node not in read_here(reader)
        return apart and lookup_of(reader) is None and self._can_fuse(reader)

    def _worthwhile(self, roots: Mapping[Node, set[Node]]) -> set[Node]:
        """Those of which all that they are made of is in memory anyway, or several of which are made of less; but none
        that others are made of, which is stored for them."""
        together: dict[frozenset[Node], list[Node]] = {}
        for root, made in roots.items():
            missing = frozenset(source for source in made if not self._is_in_memory(source))
            if 0 < len(made) <= MOST_READ and (not missing or self._is_alone(root)):
                together.setdefault(missing, []).append(root)
        found = {root for missing, group in together.items() if len(group) > len(missing) for root in group}
        return found.difference(*(roots[root] for root in found))

    def _is_in_memory(self, node: Node) -> bool:
        if node in self._results or node in self.read_elsewhere or not self._can_fuse(node):
            return True
        return not all(map(self._can_fuse, self._readers[node]))
