"""Fusion: elementwise nodes, the reductions that end or feed them, and their broadcasts become kernels.

Every node belongs to a unit: a kernel in the making, or a node on its own. A unit's depth is one more than that of
the units it reads. A node may join the deepest of the units it reads, and if several are equally deep they become one:
units of equal depth cannot depend on each other, so no cycle can arise, and one walk in topological order is enough.

Inside a kernel all values have the rank of its index space, with 1 where they do not vary, so that broadcasting lines
up. A reduction over the innermost axes may be used by later nodes of the kernel; any other one is only a result.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from graphc import ops
from graphc.ir import Graph, Node, consumers, current_origin
from graphc.op import OPS
from graphc.ops.fused import kernel
from graphc.pipeline import graph_pass
from graphc.rewrite import moved_graph
from graphc.types import TupleType

REDUCTIONS = frozenset(["sum", "prod", "max", "min", "any", "all"])
WHOLE_ROW = 4096
"""An index space of at most so many elements is one row, so that reductions over all of it may be used inside."""
LARGEST_PART = 16384
"""The most elements that a reduction over outer axes may keep per block of rows."""
Axes = tuple[int, ...]
"""For each axis of a value the axis of the index space that it runs along, or -1 where it has size 1."""


@dataclass(eq=False)
class Unit:
    """A kernel in the making. `domain` is its index space; `inner` the number of innermost axes that it reduces."""

    depth: int
    domain: tuple[int, ...] = ()
    inner: int = 0
    fusible: bool = True
    members: list[Node] = field(default_factory=list)
    axes: dict[Node, Axes] = field(default_factory=dict)
    ends: set[Node] = field(default_factory=set)
    """Reductions that later members cannot use."""

    @property
    def rows(self) -> int:
        """The number of outer axes."""
        return len(self.domain) - self.inner


@graph_pass
def fuse(graph: Graph, *, fusible: Callable[[Node], bool] | None = None, max_ops: int = 200) -> Graph:
    """Group nodes into kernels; `fusible` tells for which elementwise nodes the backend has scalar code."""
    if fusible is None:
        return graph
    return _Fusion(graph, fusible, max_ops).run()


class _Fusion:
    def __init__(self, graph: Graph, fusible: Callable[[Node], bool], max_ops: int) -> None:
        self.graph, self.fusible, self.max_ops = graph, fusible, max_ops
        self.unit: dict[Node, Unit] = {}
        self.readers = consumers(graph.nodes)
        self.results = set(graph.outputs)
        self.order = {node: i for i, node in enumerate(graph.nodes)}

    def run(self) -> Graph:
        for node in self.graph.nodes:
            self._place(node)
        for unit in set(self.unit.values()):
            unit.members.sort(key=self.order.__getitem__)
        return _Emission(self.graph, self.unit).run()

    def _place(self, node: Node) -> None:
        """Put a node into a unit: one it reads, or one of its own."""
        if number_of(node) is not None:
            return
        sources = [source for source in node.inputs if source in self.unit]
        deepest = max((self.unit[source].depth for source in sources), default=0)
        fits = self._can_fuse(node)
        if fits and sources:
            needed = list(dict.fromkeys(self.unit[s] for s in sources if self.unit[s].depth == deepest))
            feeders = [unit for unit in dict.fromkeys(self.unit[s] for s in sources) if unit.depth < deepest
                       and self._only_feeds(unit, node, needed)]  # fmt: skip
            if self._join(node, [*needed, *feeders]) or (feeders and self._join(node, needed)):
                return
        unit = Unit(deepest + 1)
        unit.fusible = fits and self._found(node, unit)
        unit.members.append(node)
        self.unit[node] = unit

    def _only_feeds(self, unit: Unit, node: Node, others: Sequence[Unit]) -> bool:
        """Whether nothing but a node, and units that it joins, reads what a kernel computes, so that it may wait."""
        if not unit.fusible:
            return False
        readers = (reader for member in unit.members for reader in self.readers[member])
        return not any(member in self.results for member in unit.members) and all(
            reader is node or self.unit.get(reader) is unit or self.unit.get(reader) in others for reader in readers
        )

    def _can_fuse(self, node: Node) -> bool:
        if isinstance(node.type, TupleType) or not node.type.is_static or not node.inputs or node.op.leaf:
            return False
        if any(isinstance(source.type, TupleType) or 0 in source.shape for source in node.inputs) or 0 in node.shape:
            return False
        if node.op.name in REDUCTIONS:
            return bool(node.attrs["axis"])
        return node.op is ops.broadcast_to or _only_ones_move(node) or (node.op.elementwise and self.fusible(node))

    def _found(self, node: Node, unit: Unit) -> bool:
        """Begin a kernel with one node, unless it is a reduction that no kernel can hold.

        The index space is the node's own, or for a reduction that of its operand.
        """
        spanning = node.inputs[0] if node.op.name in REDUCTIONS else node
        unit.domain = spanning.array_type.static_shape
        axes = _identity(node) if spanning is node else self._reduced(node, _identity(spanning), unit)
        if axes is None:
            return False
        unit.axes[node] = axes
        _note_operands(node, unit)
        return True

    def _join(self, node: Node, units: Sequence[Unit]) -> bool:
        """Make units one and put a node into it, if their index spaces agree and the node fits."""
        first = units[0]
        if not all(u.fusible and u.domain == first.domain and _agree(u.inner, first.inner) for u in units):
            return False
        ends = {end for u in units for end in u.ends}
        if any(source in ends for source in node.inputs) or sum(len(u.members) for u in units) >= self.max_ops:
            return False
        trial = Unit(first.depth, first.domain, max(u.inner for u in units), ends=ends,
                     axes={n: a for u in units for n, a in u.axes.items()})  # fmt: skip
        if any(trial.axes[n] != a for u in units for n, a in u.axes.items()):
            return False
        axes = self._axes(node, trial)
        if axes is None:
            return False
        trial.axes[node] = axes
        _note_operands(node, trial)
        if not all(_whole_inner(a, trial) for a in trial.axes.values()):
            return False
        first.inner, first.ends, first.axes = trial.inner, trial.ends, trial.axes
        for other in units[1:]:
            first.members += other.members
            for member in other.members:
                self.unit[member] = first
        first.members.append(node)
        self.unit[node] = first
        return True

    def _axes(self, node: Node, unit: Unit) -> Axes | None:
        """Where a node's axes lie in the index space, or None where it does not fit."""
        known = [(source, unit.axes[source]) for source in node.inputs if source in unit.axes]
        if node.op.name in REDUCTIONS:
            return self._reduced(node, known[0][1], unit)
        if _only_ones_move(node):
            return _moved_ones(node, known[0][1])
        return _aligned(node, known, unit)

    def _reduced(self, node: Node, axes: Axes, unit: Unit) -> Axes | None:
        """The axes of a reduction's result; sets the unit's inner axes, or marks the result as an end."""
        reduced = {axes[axis] for axis in node.attrs["axis"]} - {-1}
        kept = [-1 if axis in node.attrs["axis"] else place for axis, place in enumerate(axes)]
        rank = len(unit.domain)
        real = [axis for axis in range(rank) if unit.domain[axis] != 1]
        inner = rank - min(reduced, default=rank)
        trailing = bool(reduced) and reduced == set(range(rank - inner, rank)) & set(real)
        whole = len(reduced) == len(real) and math.prod(unit.domain) > WHOLE_ROW
        along_real = all(axes[axis] in reduced for axis in node.attrs["axis"])
        if trailing and not whole and _agree(unit.inner, inner) and along_real:
            unit.inner = inner
        else:
            part = math.prod(unit.domain[axis] for axis in range(rank) if axis in kept)
            if part > LARGEST_PART or set(real) - set(axes):
                return None
            unit.ends.add(node)
        return tuple(kept if node.attrs["keepdims"] else [p for a, p in enumerate(kept) if a not in node.attrs["axis"]])


class _Emission:
    """Writes the graph with its kernels: operands brought to the kernels' rank, bodies, results brought back."""

    def __init__(self, graph: Graph, unit: dict[Node, Unit]) -> None:
        self.graph, self.unit = graph, unit
        self.moved: dict[Node, Node] = {}
        self.used = {source for node in graph.nodes for source in node.inputs
                     if unit.get(source) is not unit.get(node) or source not in unit} | set(graph.outputs)  # fmt: skip

    def run(self) -> Graph:
        units: dict[Unit, None] = {}
        for node in self.graph.nodes:
            if node in self.unit:
                units.setdefault(self.unit[node])
            else:
                self.moved[node] = node
        token = current_origin.set(None)
        try:
            for unit in sorted(units, key=lambda unit: unit.depth):
                self._emit(unit)
        finally:
            current_origin.reset(token)
        return moved_graph(self.graph, self.moved)

    def _emit(self, unit: Unit) -> None:
        for node in unit.members[:1] if not unit.fusible else ():
            current_origin.set(node.origin)
            inputs = tuple(self.moved[source] for source in node.inputs)
            self.moved[node] = node if inputs == node.inputs else node.with_inputs(inputs)
            return
        current_origin.set(unit.members[-1].origin)
        inside: dict[Node, Node] = {}
        operands: dict[Node, Node] = {}
        for node in unit.members:
            inside[node] = self._canonical(node, unit, inside, operands)
        results = [node for node in unit.members if node in self.used]
        distinct = list(dict.fromkeys(inside[node] for node in results))
        body = Graph([operands[source] for source in operands], distinct)
        call = kernel(*[self._operand(source, unit) for source in operands], body=body)
        values = [call] if len(distinct) == 1 else [OPS["item"](call, index=i) for i in range(len(distinct))]
        for node in results:
            value = values[distinct.index(inside[node])]
            self.moved[node] = value if value.shape == node.shape else ops.reshape(value, node.shape)
        for node in unit.members:
            self.moved.setdefault(node, node)

    def _canonical(self, node: Node, unit: Unit, inside: dict[Node, Node], operands: dict[Node, Node]) -> Node:
        """A member over canonical operands, in the rank of the index space."""
        inputs = [self._inside(source, node, unit, inside, operands) for source in node.inputs]
        shape = _canonical_shape(unit.axes[node], unit)
        if node.op.name in REDUCTIONS:
            axis = tuple(a for a in range(len(shape)) if inputs[0].shape[a] != shape[a])
            whole = inputs[0] if inputs[0].shape else ops.broadcast_to(inputs[0], unit.domain)
            return node.op(whole, axis=axis, keepdims=True) if axis else inputs[0].astype(node.dtype)
        if _only_ones_move(node):
            return inputs[0]
        if node.op is ops.broadcast_to:
            return inputs[0] if inputs[0].shape == shape else ops.broadcast_to(inputs[0], shape)
        made = node.op.make(tuple(inputs), node.attrs)
        return made if made.shape == shape else ops.broadcast_to(made, shape)

    def _inside(self, source: Node, node: Node, unit: Unit,
                inside: dict[Node, Node], operands: dict[Node, Node]) -> Node:  # fmt: skip
        if source in inside:
            return inside[source]
        number = number_of(source)
        if number is not None:
            return number
        if source not in operands:
            unit.axes[source] = _outside_axes(source, node, unit)
            kind = source.array_type.with_shape(_canonical_shape(unit.axes[source], unit))
            operands[source] = Node(OPS["placeholder"], (), {}, kind, f"x{len(operands)}")
        return operands[source]

    def _operand(self, source: Node, unit: Unit) -> Node:
        shape = _canonical_shape(unit.axes[source], unit)
        value = self.moved[source]
        return value if value.shape == shape else ops.reshape(value, shape)


def number_of(node: Node) -> Node | None:
    """The constant number that a node repeats over its shape, or None; a kernel writes it into its code."""
    while node.op is ops.broadcast_to:
        node = node.inputs[0]
    return node if "value" in node.attrs and node.array_type.shape == () else None


def _agree(inner: int, other: int) -> bool:
    """Whether two numbers of inner axes fit one kernel: where one is 0, nothing is reduced yet."""
    return 0 in (inner, other) or inner == other


def _identity(node: Node) -> Axes:
    return tuple(-1 if dim == 1 else axis for axis, dim in enumerate(node.shape))


def _only_ones_move(node: Node) -> bool:
    """Whether a reshape adds or drops nothing but axes of size 1."""
    if node.op is not ops.reshape:
        return False
    before, after = ([dim for dim in shape if dim != 1] for shape in (node.inputs[0].shape, node.shape))
    return before == after


def _moved_ones(node: Node, axes: Axes) -> Axes:
    real = iter([place for place in axes if place != -1])
    return tuple(-1 if dim == 1 else next(real) for dim in node.shape)


def _aligned(node: Node, known: Sequence[tuple[Node, Axes]], unit: Unit) -> Axes | None:
    """Where an elementwise node's axes lie: as its operands' in the kernel do, and free ones where they must."""
    rank = len(node.shape)
    places: list[int] = [-1] * rank
    for _, axes in known:
        for axis, place in enumerate(axes, rank - len(axes)):
            if place != -1:
                if places[axis] not in (-1, place):
                    return None
                places[axis] = place
    for axis, dim in enumerate(node.shape):
        if dim != 1 and places[axis] == -1:
            free = [place for place, size in enumerate(unit.domain)
                    if size == dim and place not in places and _in_order(places, axis, place)]  # fmt: skip
            if len(free) != 1:
                return None
            places[axis] = free[0]
    real = [place for place in places if place != -1]
    return tuple(places) if real == sorted(real) else None


def _in_order(places: Sequence[int], axis: int, place: int) -> bool:
    before = [p for p in places[:axis] if p != -1]
    after = [p for p in places[axis + 1 :] if p != -1]
    return all(p < place for p in before) and all(p > place for p in after)


def _whole_inner(axes: Axes, unit: Unit) -> bool:
    """Whether a value varies over all of the unit's inner axes or over none."""
    inner = {axis for axis in range(unit.rows, len(unit.domain)) if unit.domain[axis] != 1} if unit.inner else set()
    return not inner or inner <= set(axes) or not inner & set(axes)


def _outside_axes(source: Node, node: Node, unit: Unit) -> Axes:
    """Where the axes of an operand from outside lie, from a member that reads it."""
    if source in unit.axes:
        return unit.axes[source]
    if node.op.name in REDUCTIONS or _only_ones_move(node):
        return _identity(source)
    axes = unit.axes[node][len(node.shape) - len(source.shape) :] if source.shape else ()
    return tuple(-1 if dim == 1 else place for dim, place in zip(source.shape, axes, strict=True))


def _note_operands(node: Node, unit: Unit) -> None:
    """Note where the axes of a member's operands from outside lie."""
    for source in node.inputs:
        if source not in unit.axes and number_of(source) is None:
            unit.axes[source] = _outside_axes(source, node, unit)


def _canonical_shape(axes: Axes, unit: Unit) -> tuple[int, ...]:
    """The shape of a value in the rank of the index space."""
    return tuple(size if place in axes else 1 for place, size in enumerate(unit.domain))
