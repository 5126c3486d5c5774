"""The graph that fusion leaves: each group of nodes as one kernel, with what it computes as a graph inside (`bodies`).

Inside a kernel all values have the rank of its index space; outside they keep their shapes.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from graphc import ops
from graphc.bodies import Body, Outline, named
from graphc.facts import only_ones_move
from graphc.ir import Graph, Node, current_origin
from graphc.maps import only_moves, read_elsewhere
from graphc.op import OPS
from graphc.ops.fused import kernel
from graphc.recompute import Recomputed
from graphc.rewrite import moved_graph
from graphc.spaces import Space
from graphc.types import Shape


@dataclass(eq=False)
class Unit:
    """A kernel in the making, or without a space a node on its own."""

    depth: float
    space: Space | None
    members: list[Node] = field(default_factory=list)
    effort: float = 0.0


class _Shared(NamedTuple):
    """A body; the number of each operand in an outline, and its shape; which of its results each result is."""

    body: Graph
    operands: tuple[tuple[int, Shape], ...]
    places: tuple[int, ...]


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
            self.moved[node] = value if value.shape == node.shape else named(_reshaped(value, node.shape), node.name)

    def _outline(self, members: Sequence[Node], space: Space) -> tuple[Hashable, dict[Node, int]]:
        """What kernels must have in common to have one body, and numbers for their members and what these read."""
        outline = Outline(space)
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
        body = Body(space, self.recomputed)
        for node in members:
            body.add(node)
        distinct = {inner: i for i, inner in enumerate(dict.fromkeys(body.inside[node] for node in results))}
        graph = Graph(list(body.operands.values()), list(distinct))
        operands = tuple((numbers[source], inner.shape) for (source, *_), inner in body.operands.items())
        return _Shared(graph, operands, tuple(distinct[body.inside[node]] for node in results))


def _computes(node: Node) -> bool:
    """Whether a node does more than spread or reshape: what only moves needs no kernel."""
    return not (only_ones_move(node) or node.op is ops.broadcast_to or only_moves(node))


def _as_read(value: Node) -> Node:
    """A value as a kernel reads it: one that runs backward along some axes needs no copy."""
    if value.op is not ops.flip:
        return value
    backward = (slice(None, None, -1 if axis in value.attrs["axis"] else None) for axis in range(value.ndim))
    return value.inputs[0][tuple(backward)]


def _reshaped(value: Node, shape: Shape) -> Node:
    return value if value.shape == shape else ops.reshape(value, shape)
