"""Parts of values are computed as values of parts: f(x, y)[i] = f(x[i], y[i]), and what nobody reads is not computed.

A part of padding or of pieces side by side is padding, or pieces, of parts: kernels read these in place, where all of
the value would be a copy. Values that are dear are computed once, if the parts that are read of them overlap.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from graphc.facts import CHEAP, effort_of, number_of, only_ones_move
from graphc.ir import Graph, Node, consumers, current_origin
from graphc.ops import getitem, transpose
from graphc.ops.indexing import WHOLE
from graphc.parts import (
    CONCATENATE,
    ITEM,
    MOVING,
    SPLIT,
    Index,
    can_take,
    index_of,
    is_plain,
    part_of,
    size_of_part,
    whole_of,
)
from graphc.pipeline import graph_pass
from graphc.rewrite import moved_graph

MOST_PARTS = 9
"""The most parts of a value that are computed on their own: a stencil in two dimensions has so many."""
LEAST_LINE = 64
"""The fewest neighbouring bytes of pieces that kernels write to their place."""
ROUNDS = 8
"""The most searches for values of which parts are computed: each leaves those out of which all is needed after all."""


@graph_pass
def narrow(graph: Graph, *, fusible: Callable[[Node], bool] | None = None) -> Graph:
    """Compute parts of values as values of parts, where that is less work or no copy; for backends with kernels."""
    if fusible is None or not any(whole_of(node) is not None for node in graph.nodes):
        return graph
    return _Narrowing(graph, fusible).run()


class _Narrowing:
    """Finds the values of which parts are computed on their own: `wanted` has which."""

    def __init__(self, graph: Graph, fusible: Callable[[Node], bool]) -> None:
        self.graph, self.fusible = graph, fusible
        self.readers, self.results = consumers(graph.nodes), set(graph.outputs)
        self.wanted: dict[Node, dict[Index, None]] = {}
        self.shared: set[Node] = set()
        """Those that others read all of: pieces of them are taken from what they are made of."""
        self.for_kernels: dict[Node, bool] = {}
        self.divisible = {node for node in graph.nodes if self._has_parts(node)}
        self.made_of: dict[Node, tuple[Node, float]] = {}
        """What is computed from one array: from which, and in how many additions an element."""
        for node in graph.nodes:
            self._trace(node)

    def run(self) -> Graph:
        whole: set[Node] = set()
        for _ in range(ROUNDS):
            self._find(whole)
            needed = {node for node in self.wanted if node.op not in MOVING and self._stores_more(node)}
            if not needed:
                return self._rebuilt() if self.wanted else self.graph
            whole |= needed
        return self.graph

    # -------------------------------------------------------------------------------------------------------- finding

    def _find(self, whole: set[Node]) -> None:
        self.wanted.clear()
        self.shared.clear()
        for node in reversed(self.graph.nodes):
            if node in whole or node not in self.divisible:
                continue
            found, others = self._wanted_of(node)
            if not found or not all(can_take(node, index) for index in found):
                continue
            if others and all(is_plain(node, index) for index in found) and not self._is_joined(node):
                self.shared.add(node)
            if node in self.shared or (not others and self._is_worthwhile(node, found)):
                self.wanted[node] = found

    def _has_parts(self, node: Node) -> bool:
        if not node.inputs or not all(value.type.is_static and value.type.nbytes for value in (node, *node.inputs)):
            return False
        return node.op in MOVING or (bool(node.op.elementwise) and self.fusible(node))

    def _wanted_of(self, node: Node) -> tuple[dict[Index, None], bool]:
        """The parts that are read of a value, and whether others read all of it."""
        found: dict[Index, None] = {}
        others = node in self.results
        for reader in dict.fromkeys(self.readers[node]):
            if reader.op is getitem or reader.op is SPLIT:
                taken = [reader] if reader.op is getitem else self.readers[reader]
                for each in taken:
                    index = index_of(each)
                    if index is None or 0 in each.shape:
                        others = True
                    else:
                        found[index] = None
            elif reader in self.wanted:
                for index in self.wanted[reader]:
                    read = [own for source, own in part_of(reader, index).read if source is node]
                    others = others or None in read
                    found.update(dict.fromkeys(own for own in read if own is not None))
                others = others or reader in self.shared
            else:
                others = True
        return found, others

    def _is_worthwhile(self, node: Node, found: dict[Index, None]) -> bool:
        """Whether parts take no more work than all, or little, and kernels read those that would be copies."""
        self.for_kernels[node] = all(map(self._reads_in_kernels, self.readers[node]))
        if node.op in MOVING:
            return len(found) <= (MOST_PARTS if self.for_kernels[node] else 1) and not self._is_joined(node)
        if len(found) < 2:
            return True
        size, parts = math.prod(node.array_type.static_shape), sum(size_of_part(node, index) for index in found)
        _, effort = self.made_of.get(node, (None, math.inf))
        return effort < math.inf and len(found) <= MOST_PARTS and (parts <= size or effort <= CHEAP)

    def _trace(self, node: Node) -> None:
        """Note what a value is computed from, if that is one array: the first of a cheap chain."""
        if node not in self.divisible:
            return
        own = effort_of(node) if node.op.elementwise else 0.0
        sources = [source for source in dict.fromkeys(node.inputs) if number_of(source) is None and source.shape]
        deep = [self.made_of.get(source, (source, 0.0)) for source in sources]
        effort = own + sum(more for _, more in deep)
        roots = {root for root, _ in deep}
        if len(roots) == 1 and effort <= CHEAP:
            self.made_of[node] = roots.pop(), effort
        elif len(sources) == 1:
            self.made_of[node] = sources[0], own

    def _reads_in_kernels(self, reader: Node) -> bool:
        if reader in self.wanted:
            return bool(reader.op.elementwise) or self.for_kernels[reader]
        if reader.op is SPLIT:
            return False
        inside = all(each.op.elementwise and self.fusible(each) for each in self.readers[reader])
        return reader not in self.results and inside

    def _is_joined(self, node: Node) -> bool:
        """Whether most of a value are pieces that kernels compute, which write them to their place."""
        if node.op is not CONCATENATE:
            return False
        sizes = [each.type.nbytes for each in node.inputs
                 if _line(each, node.attrs["axis"]) >= LEAST_LINE and not self._lies(each)]  # fmt: skip
        return 2 * sum(sizes) > node.type.nbytes

    def _stores_more(self, node: Node) -> bool:
        """Whether parts of a value are made of more that is not in memory yet than the value itself, or of products."""
        absent = {each for each in node.inputs if each not in self.wanted and number_of(each) is None}
        absent = {each for each in absent if not self._lies(each)}
        moved = any(each.op.blas or each.op in MOVING for each in absent)
        outside = {each for each in node.inputs if each not in self.wanted and number_of(each) is None and each.shape}
        several = len(self.wanted[node]) > 1 and len(outside) > 1
        spared = 1 if effort_of(node) <= CHEAP else 0  # a cheap value costs no more than what it is made of
        return moved or several or len(absent) > spared

    def _lies(self, node: Node) -> bool:
        """Whether a value is in memory anyway."""
        while only_ones_move(node):
            node = node.inputs[0]
        if node in self.results or node.op.leaf or node.op in (getitem, transpose, ITEM):
            return True
        return not (node.op.elementwise or node.op.reduction or node.op.blas or node.op in MOVING)

    # -------------------------------------------------------------------------------------------------------- writing

    def _rebuilt(self) -> Graph:
        moved: dict[Node, Node] = {}
        parts: dict[tuple[Node | None, Index | None], Node] = {}

        def taken(source: Node, index: Index | None) -> Node:
            if index is None:
                return moved[source]
            return parts[source, index] if source in self.wanted else _taken(moved[source], index)

        token = current_origin.set(None)
        try:
            for node in self.graph.nodes:
                current_origin.set(node.origin)
                moved[node] = node
                for index in self.wanted.get(node, ()):
                    part = part_of(node, index)
                    parts[node, index] = part.make([taken(source, own) for source, own in part.read])
                if node in self.wanted and node not in self.shared:
                    continue
                if (found := parts.get((whole_of(node), index_of(node)))) is not None:
                    moved[node] = _named(found, node)
                elif any(moved[source] is not source for source in node.inputs):
                    moved[node] = node.with_inputs(tuple([moved[source] for source in node.inputs]))
        finally:
            current_origin.reset(token)
        return moved_graph(self.graph, moved)


def _named(value: Node, node: Node) -> Node:
    return value if node.name is None or value.name is not None or value.op.leaf else value.replace(name=node.name)


def _line(piece: Node, axis: int) -> int:
    """The neighbouring bytes of a piece, side by side with others along an axis."""
    return math.prod(piece.array_type.static_shape[axis:]) * piece.array_type.dtype.itemsize


def _taken(x: Node, index: Index) -> Node:
    if all(part == WHOLE for part in index):
        return x
    return x[tuple(slice(None) if part == WHOLE else slice(*part) if isinstance(part, tuple) else part
                   for part in index)]  # fmt: skip
