"""The graph that fusion leaves: each group of nodes as one kernel, with what it computes as a graph inside.

Inside a kernel all values have the rank of its index space; outside they keep their shapes.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from graphc import ops
from graphc.ir import NO_ATTRS, Graph, Node, attrs_key, current_origin
from graphc.lookups import Lookup, lookup_of, marked_axis
from graphc.maps import only_moves, read_elsewhere, read_here
from graphc.op import OPS
from graphc.ops.fused import kernel
from graphc.recompute import Recomputed
from graphc.rewrite import moved_graph
from graphc.spaces import Space, number_of, only_ones_move
from graphc.types import Shape
from graphc.windows import Window, attrs_over, windows_of


@dataclass(eq=False)
class Unit:
    """A kernel in the making, or without a space a node on its own."""

    depth: float
    space: Space | None
    members: list[Node] = field(default_factory=list)
    effort: float = 0.0


class Emission:
    """Writes the graph with its kernels: operands brought to the kernels' rank, bodies, results brought back."""

    def __init__(self, graph: Graph, unit: Mapping[Node, Unit], recomputed: Recomputed) -> None:
        self.graph, self.unit, self.recomputed = graph, unit, recomputed
        self.moved: dict[Node, Node] = {node: node for node in graph.nodes if node not in unit}
        self.shared: dict[Hashable, _Shared] = {}
        """Bodies by outline: the steps of an unrolled loop have the same ones."""
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
        return any(_computes(value) for node in members for value in (node, *self._below(node)))

    def _below(self, node: Node) -> list[Node]:
        return [*self.recomputed.below(node.inputs), *self.recomputed.apart.below(node)]

    def _keep(self, node: Node) -> None:
        """A node on its own, over what its operands have become."""
        for value in self._below(node):
            self.moved[value] = value.with_inputs(tuple(self.moved[source] for source in value.inputs))
        inputs = tuple(self.moved[source] for source in node.inputs)
        self.moved[node] = node if inputs == node.inputs else node.with_inputs(inputs)

    def _write(self, members: Sequence[Node], space: Space) -> None:
        """A kernel, and what takes the place of each member that others use."""
        results = [node for node in members if node in self.used]
        outline, numbers = self._outline(members, space)
        if outline not in self.shared:
            self.shared[outline] = self._shared(members, space, results, numbers)
        body, operands, places = self.shared[outline]
        sources = list(numbers)
        given = [_reshaped(_as_read(self.moved[sources[at]]), shape) for at, shape in operands]
        call = kernel(*given, body=body)
        count = len(body.outputs)
        values = [call] if count == 1 else [OPS["item"](call, index=i) for i in range(count)]
        for node, i in zip(reversed(results), reversed(places), strict=True):
            if node.name is not None and values[i].shape == node.shape:  # of several, the first gives its name
                values[i] = values[i].replace(name=node.name)
        for node in members:
            self.moved[node] = node
        for node, i in zip(results, places, strict=True):
            value = values[i]
            self.moved[node] = value if value.shape == node.shape else _named(_reshaped(value, node.shape), node.name)

    def _outline(self, members: Sequence[Node], space: Space) -> tuple[Hashable, dict[Node, int]]:
        """What kernels must have in common to have one body, and numbers for their members and what these read."""
        outline = _Outline(space)
        for member in members:
            for node in [value for value in self.recomputed.below(member.inputs) if value not in outline.numbers]:
                outline.add(node, used=node in self.used)
            chains = [self.recomputed.apart.chain(source) for source in read_elsewhere(member)]
            for chain in chains:
                for node in [value for value in chain if value not in outline.apart]:
                    outline.add_apart(node, chain)
            outline.add(member, [chain[-1] for chain in chains if chain], used=member in self.used)
        return tuple(outline.rows), outline.numbers

    def _shared(self, members: Sequence[Node], space: Space, results: Sequence[Node],
                numbers: Mapping[Node, int]) -> _Shared:  # fmt: skip
        """A body, made for the first kernel that has it."""
        body = _Body(space, self.recomputed)
        for node in members:
            body.add(node)
        distinct = {inner: i for i, inner in enumerate(dict.fromkeys(body.inside[node] for node in results))}
        graph = Graph(list(body.operands.values()), list(distinct))
        operands = tuple((numbers[source], inner.shape) for (source, *_), inner in body.operands.items())
        return _Shared(graph, operands, tuple(distinct[body.inside[node]] for node in results))


class _Outline:
    """Rows that tell all of which a body is made; numbers of members and of what they read, in order."""

    def __init__(self, space: Space) -> None:
        self.axes = space.axes
        self.rows: list[Any] = [space.sizes]
        self.numbers: dict[Node, int] = {}
        self.apart: dict[Node, int] = {}
        """Of what is computed where boxes are read, which may be a member or be read, too."""

    def add(self, node: Node, apart: Sequence[Node] = (), *, used: bool) -> None:
        """A member, and what it reads."""
        boxed = read_elsewhere(node)
        read = [("apart", self.apart[source]) if source in apart and source in boxed else self._number(source, boxed)
                for source in node.inputs]  # fmt: skip
        self.numbers[node] = len(self.numbers)
        self._row(node, read, used)

    def add_apart(self, node: Node, chain: Sequence[Node]) -> None:
        """A value that is computed where a box is read, one of a chain."""
        read = [("apart", self.apart[source]) if source in chain else self._number(source) for source in node.inputs]
        self.apart[node] = len(self.apart)
        self._row(node, read, "apart")

    def _number(self, source: Node, boxed: Sequence[Node] = ()) -> Any:
        at: Any = None if source in boxed else number_of(source)  # as `_operand` asks
        if at is None and (at := self.numbers.get(source)) is None:
            at = self.numbers[source] = len(self.numbers)
            self.rows.append((source.type, source.name, self.axes.get(source)))
        return at

    def _row(self, node: Node, read: Sequence[Any], how: Any) -> None:
        self.rows.append((node.op, *read, attrs_key(node.attrs), node.type, node.name, self.axes.get(node), how,
                          node.origin.place))  # fmt: skip


class _Shared(NamedTuple):
    """A body; the number of each operand in an outline, and its shape; which of its results each result is."""

    body: Graph
    operands: tuple[tuple[int, Shape], ...]
    places: tuple[int, ...]


class _Body:
    """The graph inside a kernel: `inside` maps members, and `operands` what they read from outside, to its nodes."""

    def __init__(self, space: Space, recomputed: Recomputed) -> None:
        self.space, self.recomputed = space, recomputed
        self.inside: dict[Node, Node] = {}
        self.operands: dict[tuple[Node, Shape, Hashable], Node] = {}
        """By what is read, in which shape, and how, where that is elsewhere than at the reader's index."""
        self.computed: dict[tuple[Node, Shape], Node] = {}
        """By value computed in boxes, and its shape there."""
        self.names: set[str] = set()
        """Those of the operands."""

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
        elif (lookup := lookup_of(node)) is not None:
            made = _named(self._looked_up(node, lookup, inputs), node.name)
        elif marked_axis(node) is not None:
            made = _named(node.op.make(_of_own_shape(node.inputs, inputs), node.attrs), node.name)
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

    def _looked_up(self, node: Node, lookup: Lookup, here: Sequence[Node]) -> Node:
        """A node that reads at positions: what it reads from memory has its own shape."""
        left = iter(here)
        inputs = [self._placeholder(source, source.shape, lookup.along[at]) if at in lookup.apart else next(left)
                  for at, source in enumerate(node.inputs)]  # fmt: skip
        return node.op.make(_of_own_shape(node.inputs, inputs), node.attrs)

    def _box(self, node: Node, window: Window) -> Node:
        """What is read in a box, or what is computed of it there."""
        whole, apart = node.inputs[window.operand], self.recomputed.apart
        chain = apart.chain(whole)
        for value in chain:
            shape = self._shape_in_box(value, node)
            if (value, shape) not in self.computed:
                inputs = tuple([self._in_box(source, node, chain) for source in value.inputs])
                made = _named(value.op.make(inputs, value.attrs), value.name)
                self.computed[value, shape] = made if made.shape == shape else ops.broadcast_to(made, shape)
        return self._in_box(whole, node, chain)

    def _in_box(self, source: Node, node: Node, chain: Sequence[Node]) -> Node:
        number = None if source in read_elsewhere(node) else number_of(source)
        if number is not None:
            return number
        shape = self._shape_in_box(source, node)
        return self.computed[source, shape] if source in chain else self._placeholder(source, shape, "box")

    def _shape_in_box(self, source: Node, node: Node) -> Shape:
        """The shape in the space's rank of what a node reads in a box, whose last axes are those of the node."""
        before = (1,) * (node.ndim - source.ndim)
        return self.space.spread(node, (*before, *source.array_type.static_shape), 1)

    def _placeholder(self, source: Node, shape: Shape, how: Hashable = None) -> Node:
        key = (source, shape, how)
        if key not in self.operands:
            kind = source.array_type.with_shape(shape)
            name = self._free_name(source)
            self.names.add(name)
            self.operands[key] = Node(OPS["placeholder"], (), NO_ATTRS, kind, name)
        return self.operands[key]

    def _free_name(self, source: Node) -> str:
        """The user's name of an operand if it has one and no other operand has the same; else a short one."""
        names = (source.name, f"x{len(self.operands)}")
        free = (name for name in names if name is not None and name not in self.names)
        return next(free, f"operand{len(self.operands)}")


def _computes(node: Node) -> bool:
    """Whether a node does more than spread or reshape: what only moves needs no kernel."""
    return not (only_ones_move(node) or node.op is ops.broadcast_to or only_moves(node))


def _of_own_shape(declared: Sequence[Node], inside: Sequence[Node]) -> tuple[Node, ...]:
    """Operands inside a kernel, repeated where they had been before: for ops that do not broadcast."""
    pairs = zip(declared, inside, strict=True)
    return tuple(one if one.shape == source.shape else ops.broadcast_to(one, source.shape) for source, one in pairs)


def _as_read(value: Node) -> Node:
    """A value as a kernel reads it: one that runs backward along some axes needs no copy."""
    if value.op is not ops.flip:
        return value
    backward = (slice(None, None, -1 if axis in value.attrs["axis"] else None) for axis in range(value.ndim))
    return value.inputs[0][tuple(backward)]


def _named(value: Node, name: str | None) -> Node:
    return value if name is None or value.name is not None or value.op.leaf else value.replace(name=name)


def _reshaped(value: Node, shape: Shape) -> Node:
    return value if value.shape == shape else ops.reshape(value, shape)
