"""What is scheduled as one: a node, a run of elementwise nodes on large arrays, or the copy of a value to an output.

A run computes block by block: all its nodes on one block, then on the next, so that what only the run uses needs
memory for a block, and two threads meet once for the whole run. Large products fall into blocks too. Where the blocks
begin and end depends on types alone, so results are the same bits for any number of threads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graphc.executor.cost import copy_nanoseconds, nanoseconds, static_shape
from graphc.executor.places import Place, Places
from graphc.ir import Graph, Node, consumers
from graphc.op import Cut
from graphc.types import Shape, Type

PART_NS = 100_000.0
"""The least time that a part of a unit should take, a few times what it costs to hand it to another thread."""
LONGEST_PART_NS = 1e8
"""The most, so that an interrupt never waits for long."""
MOST_PARTS = 16
"""As many parts as threads are likely; more only to keep parts short."""
SHORT_NS = 20_000.0
"""What takes less on one block is not shared: threads that call many short functions wait for each other, because only
one at a time may run Python, and taking turns costs as much as waking up."""
MOST_ELEMENTS = 1 << 18
"""The most elements in a block of a run, so that inner values stay in the cache."""
LEAST_ELEMENTS = 1 << 15
"""Arrays of fewer elements are not worth a run."""


@dataclass(frozen=True, eq=False, slots=True)
class Unit:
    """Work that is scheduled as one. With `blocks`, `cuts` says where they lie in each node and its operands."""

    nodes: tuple[Node, ...]
    ns: float
    blocks: tuple[slice, ...] = ()
    cuts: tuple[Cut, ...] = ()
    output: int | None = None
    """For a copy: the index of the output that takes the node's value."""

    @property
    def is_short(self) -> bool:
        """Whether the work is too short to be shared among threads."""
        return self.ns < SHORT_NS

    @property
    def inputs(self) -> Iterator[Node]:
        """The nodes that the unit reads, its own included."""
        if self.output is not None:
            return iter(self.nodes)
        return (source for node in self.nodes for source in node.inputs)


def units_of(graph: Graph, places: Places, *, fuse: bool = True) -> list[Unit]:
    """The units of a graph, each after those it reads, as near to the graph's order as that allows."""
    units: list[Unit] = []
    run_of = _runs(graph) if fuse else {}
    copies = _copies(graph, places)
    costs: dict[Any, float] = {}
    for node in graph.nodes:
        if places.of[node] not in (Place.LEAF, Place.CONSTANT):
            unit = run_of[node] if node in run_of else _single(node, costs)
            if unit.nodes[-1] is node:
                units.append(unit)
        units += copies.get(node, ())
    return _in_order(units) if run_of else units


def _single(node: Node, costs: dict[Any, float]) -> Unit:
    """The unit of one node, in blocks if its op can be cut and they are worth it. `costs` remembers by op and types."""
    key = (node.op, node.type, *[source.type for source in node.inputs]) if not node.attrs else node
    ns = costs.get(key)
    if ns is None:
        ns = costs[key] = nanoseconds(node)
    if node.op.writes_out and node.op.cuts is not None:
        for cut in node.op.cuts(node.type, *[source.type for source in node.inputs], **node.attrs):
            extent: int = node.shape[cut.axis]  # type: ignore[assignment]
            parts = min(extent // cut.least, max(min(ns // PART_NS, MOST_PARTS), ns // LONGEST_PART_NS))
            if parts > 1:
                return Unit((node,), ns, tuple(_slices(extent, int(parts))), (cut,))
    return Unit((node,), ns)


def _slices(extent: int, parts: int) -> Iterator[slice]:
    """An axis in parts of nearly one size, a multiple of 16 where they are long: vectors and tiles stay whole."""
    step = -(-extent // parts)
    step = -(-step // 16) * 16 if step >= 64 else step
    return (slice(start, min(start + step, extent)) for start in range(0, extent, step))


def _copies(graph: Graph, places: Places) -> dict[Node, list[Unit]]:
    """For each node the copies to outputs, where its value lives in memory that is not the output's own."""
    copies: dict[Node, list[Unit]] = {}
    for index, node in enumerate(graph.outputs):
        own = places.of[node] in (Place.RESULT, Place.OWN) or (not node.shape and places.of[node] is Place.BUFFER)
        copy = Unit((node,), copy_nanoseconds(node.type), output=index)
        copies[node] = copies.get(node, []) + ([copy] if not own or (node.shape and node in copies) else [])
    return copies


# Runs.


@dataclass(eq=False, slots=True)
class _Run:
    """A run being collected, last node first. Every edge that leaves it leads to a unit of smaller height."""

    height: int
    shape: Shape
    nodes: list[Node]


def _runs(graph: Graph) -> dict[Node, Unit]:
    """The runs, by their nodes.

    A node joins the run of a consumer if all its other consumers are in that run or stand lower: heights fall along
    every edge between units, so units never wait for each other in a circle.
    """
    if not any(map(_may_run, graph.nodes)):
        return {}
    readers = consumers(graph.nodes)
    height: dict[Node, int] = {}
    run_of: dict[Node, _Run] = {}
    for node in reversed(graph.nodes):
        highest = max((height[reader] for reader in readers[node]), default=0)
        run = _joined(node, readers[node], run_of, height) if _may_run(node) else None
        if run is None and _may_run(node):
            run = _Run(highest + 1, node.shape, [])
        if run is not None:
            run.nodes.append(node)
            run_of[node] = run
        height[node] = highest + 1 if run is None else run.height
    made = {run: unit for run in dict.fromkeys(run_of.values()) if (unit := _run_unit(run)) is not None}
    return {node: made[run] for node, run in run_of.items() if run in made}


def _may_run(node: Node) -> bool:
    op = node.op
    return op.elementwise and op.writes_out and isinstance(node.type, Type) and node.size >= LEAST_ELEMENTS


def _joined(node: Node, readers: Sequence[Node], run_of: Mapping[Node, _Run],
            height: Mapping[Node, int]) -> _Run | None:  # fmt: skip
    """The run that a node may join: its highest reader's, of the same shape, if every other reader stands lower."""
    if not readers:
        return None
    run = run_of.get(max(readers, key=lambda reader: height[reader]))
    if run is None or run.shape != node.shape:
        return None
    fits = all(run_of.get(reader) is run or height[reader] < run.height for reader in readers)
    return run if fits else None


def _run_unit(run: _Run) -> Unit | None:
    """The unit of a run, or None where it is too short to be shared among threads: then its nodes stand alone."""
    nodes = tuple(reversed(run.nodes))
    ns = sum(nanoseconds(node) for node in nodes)
    axis, extent = next((axis, dim) for axis, dim in enumerate(static_shape(nodes[0].array_type)) if dim != 1)
    size: int = nodes[0].size
    worthwhile = min(ns // PART_NS, MOST_PARTS, ns / len(nodes) // SHORT_NS)
    parts = min(max(int(worthwhile), size // MOST_ELEMENTS, 1), extent)
    if ns < PART_NS or len(nodes) == parts == 1:
        return None
    parts = 1 << parts.bit_length() - 1  # a power of two leaves no thread of 2, 4, … without work
    return Unit(nodes, ns, tuple(_slices(extent, parts)), tuple(_elementwise_cut(node, axis) for node in nodes))


def _elementwise_cut(node: Node, axis: int) -> Cut:
    """An operand is cut along the axis that lines up with the result's, unless it has size 1 or is not there."""
    lined_up = [(source.shape, axis - node.ndim + source.ndim) for source in node.inputs]
    return Cut(axis, tuple(at if at >= 0 and shape[at] != 1 else None for shape, at in lined_up))


def _in_order(units: Sequence[Unit]) -> list[Unit]:
    """Units after the units they read, otherwise in the order given; depth first, so values are used soon after."""
    unit_of = {node: unit for unit in units if unit.output is None for node in unit.nodes}
    order: dict[Unit, None] = {}
    for start in units:
        stack = [start]
        while stack:
            unit = stack[-1]
            pending = [] if unit in order else [before for source in unit.inputs
                                                if (before := unit_of.get(source)) not in order
                                                and before is not None and before is not unit]  # fmt: skip
            if pending:
                stack.extend(reversed(pending))
            else:
                order[stack.pop()] = None
    return list(order)
