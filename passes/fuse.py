"""Fusion: elementwise nodes, the reductions that end or feed them, and their broadcasts become kernels.

Every node belongs to a unit: a kernel in the making, or a node on its own. A unit's depth is one more than that of
the units it reads. A node may join the deepest of the units it reads, and if several are equally deep they become one:
units of equal depth cannot depend on each other, so no cycle can arise, and one walk in topological order is enough.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence

from graphc import ops
from graphc.epilogues import Epilogues, Split
from graphc.facts import is_place, lies_across, number_of, only_ones_move, reduced_axes
from graphc.ir import Graph, Node, consumers
from graphc.kernels import Emission, Unit
from graphc.lookups import is_near, lookup_of, marked_axis
from graphc.pipeline import graph_pass
from graphc.recompute import Recomputed
from graphc.returning import Returning
from graphc.spaces import Space
from graphc.turning import turned
from graphc.types import TupleType, Type
from graphc.windows import windows_of

SMALL = 4096
"""Passing values of fewer elements from kernel to kernel costs next to nothing, ..."""
ENOUGH = 60.0
"""... so that a kernel of so much effort an element takes no more: long chains fall into kernels of the same code."""
MANY_KINDS = 1000
"""A graph of more kinds of nodes does not repeat itself, ..."""
MOST = 800.0
"""... and its kernels, which differ anyway, take so much: the fewer there are, the sooner all are compiled."""
MANY = 2000
"""A kernel has at most so many nodes: whatever lives where a long one is cut passes through memory."""
REACH = 3
"""Nodes are of a kind if they are alike, and so is what they read, so many times in turn."""


@graph_pass
def fuse(graph: Graph, *, fusible: Callable[[Node], bool] | None = None,
         finishes: tuple[Callable[[Node], bool], Callable[[Node], bool]] | None = None,
         max_ops: int = MANY) -> Graph:  # fmt: skip
    """Group nodes into kernels; `fusible` tells for which elementwise nodes the backend has scalar code, `finishes`
    which products take along what is done to their elements, and which nodes that may be."""
    if fusible is None:
        return graph
    fusion = _Fusion(graph, fusible, max_ops)
    fusion.run()
    fusion.sort()
    if finishes is not None:
        fusion.finish(*finishes)
        fusion.sort()
    return _with_own_outputs(turned(Emission(graph, fusion.unit, fusion.recomputed).run()))


def _with_own_outputs(graph: Graph) -> Graph:
    """The graph with a view for each output that is a leaf, a constant or an output before: native code copies such."""
    seen, outputs = set[Node](), list[Node]()
    for node in graph.outputs:
        given = node.op.leaf or "value" in node.attrs or node in seen
        copied = given and isinstance(node.type, Type) and node.shape != ()
        outputs.append(_seen_again(node) if copied else node)
        seen.add(node)
    if all(map(operator.is_, outputs, graph.outputs)):
        return graph
    return Graph(graph.inputs, outputs, graph.name, moved=graph.moved)


def _seen_again(node: Node) -> Node:
    """Another view of what an output shows."""
    return node.replace() if node.op.view else ops.reshape(node, node.shape).replace(origin=node.origin)


class _Fusion:
    """Walks the graph and puts every node into a unit."""

    def __init__(self, graph: Graph, fusible: Callable[[Node], bool], max_ops: int) -> None:
        self.graph, self.fusible, self.max_ops = graph, fusible, max_ops
        self.unit: dict[Node, Unit] = {}
        self.reading: dict[tuple[Node, float], Unit] = {}
        """By operand from outside, and depth, the last kernel that read it."""
        self.readers = consumers(graph.nodes)
        self.results = set(graph.outputs)
        self.known: dict[Node, bool] = {}
        self.recomputed = Recomputed(graph, self.readers, self._can_fuse)
        self.returning = Returning(graph, self.readers, self._can_fuse)
        self.enough = ENOUGH if _kinds(graph) <= MANY_KINDS else MOST

    def run(self) -> None:
        for node in self.graph.nodes:
            if number_of(node) is None and node not in self.recomputed:
                self._place(node)
                self._note(node)

    def finish(self, finishable: Callable[[Node], bool], is_along: Callable[[Node], bool]) -> None:
        """Put products into the kernels that finish their elements; of several in one, the last."""
        epilogues = Epilogues(self.graph, self.recomputed, is_along)
        for product in reversed(self.graph.nodes):
            if product not in self.unit or self.unit[product].space is not None or not finishable(product):
                continue
            units = {self.unit[reader] for reader in epilogues.readers[product] if reader in self.unit}
            unit = units.pop() if len(units) == 1 else None
            if unit is None or unit.space is None or any(node.op.blas for node in unit.members):
                continue
            split = epilogues.split(product, unit.members, unit.space)
            if split is not None:
                self._finish(product, unit, split)

    def _finish(self, product: Node, unit: Unit, split: Split) -> None:
        own = Unit(unit.depth, unit.space, [product, *split.along])
        self.unit.update(dict.fromkeys(own.members, own))
        if split.rest:
            later = (unit.depth + math.floor(unit.depth) + 1) / 2  # before whatever reads it
            self.unit.update(dict.fromkeys(split.rest, Unit(later, split.space, list(split.rest))))

    def sort(self) -> None:
        """Put the members of units in the order of the graph: units that became one stand one after the other."""
        order = {node: i for i, node in enumerate(self.graph.nodes)}
        for unit in set(self.unit.values()):
            unit.members.sort(key=order.__getitem__)

    def _note(self, node: Node) -> None:
        """Remember which kernel reads what."""
        unit = self.unit[node]
        if unit.space is not None:
            for source in node.inputs:
                if self.unit.get(source) is not unit:
                    self.reading[source, unit.depth] = unit

    def _place(self, node: Node) -> None:
        """Put a node into a unit: one it reads, or one of its own."""
        sources = self.recomputed.read(node)
        read = list(dict.fromkeys(self.unit[source] for source in sources if source in self.unit))
        deepest = max((unit.depth for unit in read), default=0)
        fits = self._can_fuse(node)
        apart = [self.unit[source] for source in self.recomputed.apart.read(node) if source in self.unit]
        if fits and read and (not apart or all(unit.depth < deepest for unit in apart)):
            needed = [unit for unit in read if unit.depth == deepest]
            feeders = [unit for unit in read if unit.depth < deepest and self._only_feeds(unit, node, needed)]
            if self._join(node, [*needed, *feeders]) or (feeders and self._join(node, needed)):
                return
            own = [unit for unit in feeders if self._only_feeds(unit, node, ())]
            if own and self._join(node, own):
                self.unit[node].depth = deepest + 1
                return
        if only_ones_move(node) and node.inputs[0].op.leaf:  # what lies in memory may as well be read in another shape
            self.unit[node] = Unit(deepest, None, [node])
            return
        if fits and self._join_sibling(node, deepest + 1):
            return
        space = Space.of(node, self.returning) if fits else None
        if space is not None:
            space.take_below(self.recomputed.below(node.inputs))
        self.unit[node] = Unit(deepest + 1, space, [node], _effort(node))

    def _join_sibling(self, node: Node, depth: float) -> bool:
        """Put a node that would begin a kernel into one just as deep that reads an operand of its size."""
        for source in node.inputs:
            unit = self.reading.get((source, depth))
            if unit is not None and source.shape == node.shape and self._join(node, [self.unit[unit.members[0]]]):
                return True
        return False

    def _only_feeds(self, unit: Unit, node: Node, others: Sequence[Unit]) -> bool:
        """Whether nothing but a node, and units that it joins, reads what a kernel computes, so that it may wait."""
        kept = (self.results, self.recomputed.apart.read_elsewhere)
        if unit.space is None or not all(nodes.isdisjoint(unit.members) for nodes in kept):
            return False
        inside = (unit, *others)
        for member in unit.members:
            for reader in self.readers[member]:
                if reader is not node and self.unit.get(reader) not in inside:
                    return False
        return True

    def _can_fuse(self, node: Node) -> bool:
        """Whether a kernel may hold a node; remembered, because every operand of a long sum asks."""
        known = self.known.get(node)
        if known is None:
            known = self.known[node] = self._may_be_held(node)
        return known

    def _may_be_held(self, node: Node) -> bool:
        if isinstance(node.type, TupleType) or not node.type.is_static or not node.inputs or node.op.leaf:
            return False
        if 0 in node.shape:
            return False
        for source in node.inputs:
            if isinstance(source.type, TupleType) or 0 in source.type.shape:
                return False
        if node.op.reduction:
            return bool(reduced_axes(node))
        if windows_of(node):
            return len(windows_of(node)) == 1 or self._is_for_kernels(node)
        lookup = lookup_of(node)
        if lookup is not None or marked_axis(node) is not None:
            return lookup is None or is_near(node, lookup)
        return node.op is ops.broadcast_to or only_ones_move(node) or (node.op.elementwise and self.fusible(node))

    def _is_for_kernels(self, node: Node) -> bool:
        """Whether nothing but elementwise code reads a node: otherwise its pieces may be written where they belong."""
        readers = self.readers[node]
        return node not in self.results and all(reader.op.elementwise and self.fusible(reader) for reader in readers)

    def _join(self, node: Node, units: Sequence[Unit]) -> bool:
        """Make units one and put a node into it, if their index spaces agree and the node fits."""
        spaces = [unit.space for unit in units if unit.space is not None]
        if len(spaces) < len(units) or sum([len(unit.members) for unit in units]) >= self.max_ops:
            return False
        if is_place(node) and any(_reads_across(unit) for unit in units):
            return False
        first, *others = units
        deep = sum([unit.effort for unit in units if unit.depth == first.depth])  # what only feeds it is welcome
        if deep >= self.enough and math.prod(spaces[0].sizes) < SMALL:
            return False
        space = Space.common(spaces)
        below = self.recomputed.below(node.inputs)
        if space is None or not space.take_with(node, below):
            return False
        first.space = space
        for unit in others:
            first.members += unit.members
            first.effort += unit.effort
            self.unit.update(dict.fromkeys(unit.members, first))
        first.members.append(node)
        first.effort += _effort(node)
        self.unit[node] = first
        return True


def _reads_across(unit: Unit) -> bool:
    """Whether a kernel reads what lies across its rows: it walks tiles, and whole rows would take it three times as
    long, which is more than to read what it stores."""
    return any(lies_across(source) for member in unit.members for source in member.inputs)


def _effort(node: Node) -> float:
    return node.op.effort if isinstance(node.op.effort, (int, float)) else 1.0


def _kinds(graph: Graph) -> int:
    """How many kinds of nodes there are, at most as many as nodes."""
    if len(graph) <= MANY_KINDS:
        return len(graph)
    kinds = {node: hash((node.op, node.type)) for node in graph.nodes}
    for _ in range(REACH):
        kinds = {node: hash((kinds[node], *[kinds[source] for source in node.inputs])) for node in graph.nodes}
    return len(set(kinds.values()))
