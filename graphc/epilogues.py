"""What may be done to a product's elements before they are stored: the elementwise work of a kernel that reads them.

A kernel over a product's elements falls into two parts: what needs only a product's element and other operands there
goes along with the product, and the rest, reductions and what they feed, stays a kernel that reads what is stored.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from graphc.facts import number_of
from graphc.ir import Graph, Node
from graphc.maps import is_map
from graphc.recompute import Recomputed
from graphc.spaces import Space

NEAR_BYTES = 1 << 19
"""A product's kernel goes over other arrays tile by tile: so much still comes from near. Beyond that, a kernel of its
own that walks them row by row is faster: Adam's seven arrays of 400,000 weights took it 0.4 ms, the product 1.1."""

MOST_EFFORT = 24.0
"""The most additions an element that go along: their code is written for every vector of a tile."""


@dataclass(frozen=True)
class Split:
    """What goes along with a product, and what stays, with its index space."""

    along: tuple[Node, ...]
    rest: tuple[Node, ...]
    space: Space | None


class Epilogues:
    """Splits kernels of a graph. `is_along` tells whether what goes along with a product may hold a node."""

    def __init__(self, graph: Graph, recomputed: Recomputed, is_along: Callable[[Node], bool]) -> None:
        self.results, self.recomputed, self.is_along = set(graph.outputs), recomputed, is_along
        self.readers: dict[Node, list[Node]] = {node: [] for node in graph.nodes}
        for node in graph.nodes:
            if node not in recomputed:
                for source in dict.fromkeys(recomputed.read(node)):
                    self.readers[source].append(node)

    def split(self, product: Node, members: Sequence[Node], space: Space) -> Split | None:
        """The parts of a kernel, or None where nothing should go along."""
        shape = product.array_type.static_shape
        if space.sizes != shape or any(s in self.recomputed or number_of(s) is not None for s in product.inputs):
            return None
        inside, along = set(members), [*self._along(members)]
        taken = {product, *along}
        stored = [node for node in along if self._is_read(node, taken)]
        left = tuple(node for node in members if node not in taken)
        if product in self.results or not set(self.readers[product]) <= taken or not self._fit(product, along, stored):
            return None
        if self._moved(product, along, stored) > NEAR_BYTES:
            return None
        if left and len(stored) > 1 + sum(self._is_read(node, inside) for node in stored):
            return None
        rest = self._space(left, space) if left else None
        return Split(tuple(along), left, rest) if rest is not None or not left else None

    def _along(self, members: Sequence[Node]) -> Sequence[Node]:
        """The members that need nothing that cannot go along."""
        apart: set[Node] = set()
        effort = 0.0
        for node in members:
            computed = (node, *self.recomputed.below(node.inputs))
            effort += sum(each.op.effort for each in computed if isinstance(each.op.effort, (int, float)))
            fits = not node.op.reduction and not is_map(node)
            fits = fits and all(self.is_along(each) for each in computed)
            if not fits or effort > MOST_EFFORT or not apart.isdisjoint(self.recomputed.read(node)):
                apart.add(node)
        return [node for node in members if node not in apart]

    def _is_read(self, node: Node, inside: set[Node]) -> bool:
        """Whether something else than the nodes inside reads a value."""
        return node in self.results or any(reader not in inside for reader in self.readers[node])

    def _fit(self, product: Node, along: Sequence[Node], stored: Sequence[Node]) -> bool:
        """Whether all that is stored has the product's shape, and its factors are not read as something else."""
        read = {source for node in along for source in self.recomputed.read(node)}
        whole = all(node.shape == product.shape for node in stored)
        alike = all(source.shape == product.shape for source in product.inputs if source in read)
        return whole and alike and any(node.dtype == product.dtype for node in stored)

    def _moved(self, product: Node, along: Sequence[Node], stored: Sequence[Node]) -> int:
        """The bytes of whole arrays that are read and written beside the product's own result."""
        read = {source for node in along for source in self.recomputed.read(node)} - {product, *along}
        whole = [node for node in (*read, *stored) if node.shape == product.shape and number_of(node) is None]
        return sum(node.type.nbytes for node in whole) - product.type.nbytes

    def _space(self, members: Sequence[Node], before: Space) -> Space | None:
        """The index space of a kernel of these nodes, which were in another."""
        first, *others = members
        space = Space.of(first, before.returning)
        if space is None:
            return None
        space.take_below(self.recomputed.below(first.inputs))
        return space if all(space.take_with(node, self.recomputed.below(node.inputs)) for node in others) else None
