"""Fusion: elementwise nodes, the reductions that end or feed them, and their broadcasts become kernels.

Every node belongs to a unit: a kernel in the making, or a node on its own. A unit's depth is one more than that of
the units it reads. A node may join the deepest of the units it reads, and if several are equally deep they become one:
units of equal depth cannot depend on each other, so no cycle can arise, and one walk in topological order is enough.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from graphc import ops
from graphc.epilogues import Epilogues, Split
from graphc.ir import NO_ATTRS, Graph, Node, consumers, current_origin
from graphc.op import OPS
from graphc.ops.fused import kernel
from graphc.pipeline import graph_pass
from graphc.recompute import Recomputed
from graphc.rewrite import moved_graph
from graphc.spaces import Space, number_of, only_ones_move
from graphc.types import Shape, TupleType
from graphc.windows import Window, attrs_over, read_elsewhere, read_here, windows_of

SMALL = 4096
"""Passing values of fewer elements from kernel to kernel costs next to nothing, ..."""
ENOUGH = 60.0
"""... so that a kernel of so much effort an element takes no more: long chains fall into kernels of the same code."""


@dataclass(eq=False)
class Unit:
    """A kernel in the making, or without a space a node on its own."""

    depth: float
    space: Space | None
    members: list[Node] = field(default_factory=list)
    effort: float = 0.0


@graph_pass
def fuse(graph: Graph, *, fusible: Callable[[Node], bool] | None = None,
         finishes: tuple[Callable[[Node], bool], Callable[[Node, Node], bool]] | None = None,
         max_ops: int = 200) -> Graph:  # fmt: skip
    """Group nodes into kernels; `fusible` tells for which elementwise nodes the backend has scalar code, `finishes`
    which products take along what is done to their elements, and for a product and a node whether that may be it."""
    if fusible is None:
        return graph
    fusion = _Fusion(graph, fusible, max_ops)
    fusion.run()
    if finishes is not None:
        fusion.finish(*finishes)
    return _Emission(graph, fusion.sorted_units(), fusion.recomputed).run()


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
        self.recomputed = Recomputed(graph, self._can_fuse)

    def run(self) -> None:
        for node in self.graph.nodes:
            if number_of(node) is None and node not in self.recomputed:
                self._place(node)
                self._note(node)

    def finish(self, finishable: Callable[[Node], bool], is_along: Callable[[Node, Node], bool]) -> None:
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

    def sorted_units(self) -> dict[Node, Unit]:
        """The unit of every node, members in the order of the graph."""
        order = {node: i for i, node in enumerate(self.graph.nodes)}
        for unit in set(self.unit.values()):
            unit.members.sort(key=order.__getitem__)
        return self.unit

    def _note(self, node: Node) -> None:
        """Remember which kernel reads what."""
        unit = self.unit[node]
        if unit.space is not None:
            outside = [source for source in node.inputs if self.unit.get(source) is not unit]
            self.reading.update({(source, unit.depth): unit for source in outside})

    def _place(self, node: Node) -> None:
        """Put a node into a unit: one it reads, or one of its own."""
        sources = self.recomputed.read(node)
        read = list(dict.fromkeys(self.unit[source] for source in sources if source in self.unit))
        deepest = max((unit.depth for unit in read), default=0)
        fits = self._can_fuse(node)
        apart = {self.unit[source] for source in read_elsewhere(node) if source in self.unit}
        if fits and read and all(unit.depth < deepest for unit in apart):
            needed = [unit for unit in read if unit.depth == deepest]
            feeders = [unit for unit in read if unit.depth < deepest and self._only_feeds(unit, node, needed)]
            if self._join(node, [*needed, *feeders]) or (feeders and self._join(node, needed)):
                return
            own = [unit for unit in feeders if self._only_feeds(unit, node, ())]
            if own and self._join(node, own):
                self.unit[node].depth = deepest + 1
                return
        if fits and self._join_sibling(node, deepest + 1):
            return
        space = Space.of(node) if fits else None
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
        if unit.space is None or not self.results.isdisjoint(unit.members):
            return False
        readers = [(member, reader) for member in unit.members for reader in self.readers[member]]
        inside = all(reader is node or self.unit.get(reader) in (unit, *others) for _, reader in readers)
        return inside and not any(member in read_elsewhere(reader) for member, reader in readers)

    def _can_fuse(self, node: Node) -> bool:
        """Whether a kernel may hold a node; remembered, because every operand of a long sum asks."""
        if node not in self.known:
            self.known[node] = self._may_be_held(node)
        return self.known[node]

    def _may_be_held(self, node: Node) -> bool:
        if isinstance(node.type, TupleType) or not node.type.is_static or not node.inputs or node.op.leaf:
            return False
        if any(isinstance(source.type, TupleType) or 0 in source.shape for source in node.inputs) or 0 in node.shape:
            return False
        if node.op.reduction:
            return bool(node.attrs["axis"])
        if windows_of(node):
            return len(windows_of(node)) == 1 or self._is_for_kernels(node)
        return node.op is ops.broadcast_to or only_ones_move(node) or (node.op.elementwise and self.fusible(node))

    def _is_for_kernels(self, node: Node) -> bool:
        """Whether nothing but elementwise code reads a node: otherwise its pieces may be written where they belong."""
        readers = self.readers[node]
        return node not in self.results and all(reader.op.elementwise and self.fusible(reader) for reader in readers)

    def _join(self, node: Node, units: Sequence[Unit]) -> bool:
        """Make units one and put a node into it, if their index spaces agree and the node fits."""
        spaces = [unit.space for unit in units if unit.space is not None]
        if len(spaces) < len(units) or sum(len(unit.members) for unit in units) >= self.max_ops:
            return False
        first, *others = units
        deep = sum(unit.effort for unit in units if unit.depth == first.depth)  # what only feeds it is welcome
        if deep >= ENOUGH and math.prod(spaces[0].sizes) < SMALL:
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


def _effort(node: Node) -> float:
    return node.op.effort if isinstance(node.op.effort, (int, float)) else 1.0


class _Emission:
    """Writes the graph with its kernels: operands brought to the kernels' rank, bodies, results brought back."""

    def __init__(self, graph: Graph, unit: dict[Node, Unit], recomputed: Recomputed) -> None:
        self.graph, self.unit, self.recomputed = graph, unit, recomputed
        self.moved: dict[Node, Node] = {node: node for node in graph.nodes if node not in unit}
        self.used = {source for node in graph.nodes if node not in recomputed for source in recomputed.read(node)
                     if unit.get(source) is not unit.get(node) or source not in unit} | set(graph.outputs)  # fmt: skip

    def run(self) -> Graph:
        units = dict.fromkeys(self.unit[node] for node in self.graph.nodes if node in self.unit)
        token = current_origin.set(None)
        try:
            for unit in sorted(units, key=lambda unit: unit.depth):
                current_origin.set(unit.members[-1].origin)
                if unit.space is None or not self._computes(unit.members):
                    for node in unit.members:
                        self._keep(node)
                else:
                    self._write(unit.members, unit.space)
        finally:
            current_origin.reset(token)
        return moved_graph(self.graph, self.moved)

    def _computes(self, members: Sequence[Node]) -> bool:
        """Whether some member, or what is computed again for one, does more than move."""
        return any(_computes(value) for node in members for value in (node, *self.recomputed.below(node.inputs)))

    def _keep(self, node: Node) -> None:
        """A node on its own, over what its operands have become."""
        for value in self.recomputed.below(node.inputs):
            self.moved[value] = value.with_inputs(tuple(self.moved[source] for source in value.inputs))
        inputs = tuple(self.moved[source] for source in node.inputs)
        self.moved[node] = node if inputs == node.inputs else node.with_inputs(inputs)

    def _write(self, members: Sequence[Node], space: Space) -> None:
        """A kernel, and what takes the place of each member that others use."""
        body = _Body(space, self.recomputed)
        for node in members:
            body.add(node)
        results = [node for node in members if node in self.used]
        distinct = list(dict.fromkeys(body.inside[node] for node in results))
        operands = [_reshaped(self.moved[source], inner.shape) for (source, *_), inner in body.operands.items()]
        call = kernel(*operands, body=Graph(list(body.operands.values()), distinct))
        values = [call] if len(distinct) == 1 else [OPS["item"](call, index=i) for i in range(len(distinct))]
        place = {inner: i for i, inner in enumerate(distinct)}
        for node in reversed(results):  # of several that are one value, the first gives it its name
            i = place[body.inside[node]]
            if node.name is not None and values[i].shape == node.shape:
                values[i] = values[i].replace(name=node.name)
        for node in members:
            self.moved[node] = node
        for node in results:
            value = values[place[body.inside[node]]]
            self.moved[node] = value if value.shape == node.shape else _named(_reshaped(value, node.shape), node.name)


class _Body:
    """The graph inside a kernel: `inside` maps members, and `operands` what they read from outside, to its nodes."""

    def __init__(self, space: Space, recomputed: Recomputed) -> None:
        self.space, self.recomputed = space, recomputed
        self.inside: dict[Node, Node] = {}
        self.operands: dict[tuple[Node, Shape, bool], Node] = {}
        """By what is read, in which shape, and whether elsewhere than at the reader's index."""

    def add(self, node: Node) -> None:
        """A member over what stands for its operands, of the index space's rank; it keeps its name and line."""
        for value in self.recomputed.below(node.inputs):
            if value not in self.inside:
                self._add(value)
        self._add(node)

    def _add(self, node: Node) -> None:
        current_origin.set(node.origin)
        if node.op.blas:
            self.inside[node] = _named(node.with_inputs(tuple(map(self._factor, node.inputs))), node.name)
            return
        inputs = tuple([self._operand(source) for source in read_here(node)])
        shape = self.space.shape_of(node)
        if node.op.reduction:
            made = self._reduction(node, inputs[0], shape)
        elif windows_of(node):
            made = _named(self._windowed(node, inputs), node.name)
        elif only_ones_move(node) or node.op is ops.broadcast_to:
            made = inputs[0]
        else:
            made = _named(node.op.make(inputs, node.attrs), node.name)
        self.inside[node] = made if made.shape == shape else ops.broadcast_to(made, shape)

    def _reduction(self, node: Node, source: Node, shape: tuple[int, ...]) -> Node:
        whole = source if source.shape else ops.broadcast_to(source, self.space.sizes)
        axis = tuple(a for a in range(len(shape)) if whole.shape[a] != shape[a])
        if axis:
            return _named(node.op(whole, axis=axis, keepdims=True), node.name)
        alone = source if source.dtype == node.dtype else source.astype(node.dtype)
        return alone + 0 if node.op is ops.sum and alone.type.is_float else alone  # 0 + -0 is 0, as in every sum

    def _factor(self, source: Node) -> Node:
        """A matrix that a product reads, of its own shape."""
        return self._placeholder(source, source.shape)

    def _operand(self, source: Node) -> Node:
        if source in self.inside:
            return self.inside[source]
        number = number_of(source)
        if number is not None:
            return number
        return self._placeholder(source, self.space.shape_of(source))

    def _windowed(self, node: Node, here: Sequence[Node]) -> Node:
        """A node that reads boxes, over the axes of the index space."""
        whole = self.space.shape_of(node)
        sources = (source if source.shape == whole else ops.broadcast_to(source, whole) for source in here)
        boxed = {window.operand: self._box(node, window) for window in windows_of(node)}
        inputs = [boxed[at] if at in boxed else next(sources) for at in range(len(node.inputs))]
        return node.op.make(tuple(inputs), attrs_over(node, self.space.axes[node], len(whole)))

    def _box(self, node: Node, window: Window) -> Node:
        source = node.inputs[window.operand]
        return self._placeholder(source, self.space.spread(node, source.array_type.static_shape, 1), elsewhere=True)

    def _placeholder(self, source: Node, shape: Shape, *, elsewhere: bool = False) -> Node:
        key = (source, shape, elsewhere)
        if key not in self.operands:
            kind = source.array_type.with_shape(shape)
            self.operands[key] = Node(OPS["placeholder"], (), NO_ATTRS, kind, self._free_name(source))
        return self.operands[key]

    def _free_name(self, source: Node) -> str:
        """The user's name of an operand if it has one and no other operand has the same; else a short one."""
        taken = {operand.name for operand in self.operands.values()}
        names = (name for name in (source.name, f"x{len(self.operands)}") if name is not None and name not in taken)
        return next(names, f"operand{len(self.operands)}")


def _computes(node: Node) -> bool:
    """Whether a node does more than spread or reshape: what only moves needs no kernel."""
    return not (only_ones_move(node) or node.op is ops.broadcast_to or windows_of(node))


def _named(value: Node, name: str | None) -> Node:
    return value if name is None or value.name is not None or value.op.leaf else value.replace(name=name)


def _reshaped(value: Node, shape: Shape) -> Node:
    return value if value.shape == shape else ops.reshape(value, shape)
