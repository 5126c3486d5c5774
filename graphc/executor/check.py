"""A checker of memory plans, independent of the planner: it replays a schedule and watches every range of bytes."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterator, Mapping, Sequence

from graphc.errors import CompileError
from graphc.executor.memory import MemoryPlan
from graphc.executor.places import Places
from graphc.executor.schedule import Stage
from graphc.executor.units import Unit
from graphc.ir import Graph, Node

Span = tuple[int, int]


def check_plan(graph: Graph, stages: Sequence[Stage], places: Places, plan: MemoryPlan) -> None:
    """Raise CompileError if a run under this plan could read a value that was written over, or leave its memory.

    Units of a parallel stage may run in any order, and a run's blocks too: nothing that one writes may another touch.
    """
    memory = _Memory({node: _span(at, node.type.nbytes) for node, at in plan.offsets.items()}, plan.arena_bytes)
    for stage in stages:
        if stage.threads > 1:
            _check_apart(stage.units, memory, places)
        for unit in stage.units:
            _replay(unit, memory, places)
            if unit in plan.scratch:
                _replay_scratch(unit, plan)
    for node in graph.outputs:
        if places.root[node] is node:
            memory.read(node, node)


def _span(offset: int, nbytes: int) -> Span:
    return offset, offset + max(nbytes, 1)


def _replay(unit: Unit, memory: _Memory, places: Places) -> None:
    for node in unit.nodes:
        for source in _reads(unit, node):
            memory.read(places.root[source], node)
        if unit.output is None:
            for lost in memory.write(node):
                _check_overwrite(node, lost, unit, places)


def _reads(unit: Unit, node: Node) -> Sequence[Node]:
    return unit.nodes if unit.output is not None else node.inputs


def _check_overwrite(node: Node, lost: Node, unit: Unit, places: Places) -> None:
    """A value that the unit reads may be lost only to an elementwise node, and if all read the same elements."""
    for reader in unit.nodes:
        for source in reader.inputs:
            alike = source.type == node.type and places.covers(source) and node.op.elementwise
            if places.root[source] is lost and not alike:
                raise _error("is written over elements that it or its run may still read", node, lost)


def _replay_scratch(unit: Unit, plan: MemoryPlan) -> None:
    block, extent = unit.blocks[0], unit.nodes[0].shape[unit.cuts[0].axis]
    scratch = plan.scratch[unit]
    spans = {node: _span(at, node.type.nbytes * (block.stop - block.start) // extent)
             for node, at in scratch.offsets.items()}  # fmt: skip
    memory = _Memory(spans, scratch.nbytes)
    for node in unit.nodes:
        for source in node.inputs:
            memory.read(source, node)
        for lost in memory.write(node):
            if lost in node.inputs and (lost.type != node.type or not node.op.elementwise):
                raise _error("is written over an operand of another type", node, lost)


def _check_apart(units: Sequence[Unit], memory: _Memory, places: Places) -> None:
    """Raise if what one unit writes is what another reads or writes."""
    touched: list[tuple[Span, int, bool, Node]] = []
    for number, unit in enumerate(units):
        for node in unit.nodes:
            roots = dict.fromkeys(places.root[source] for source in _reads(unit, node))
            touched += [(memory.spans[root], number, False, root) for root in roots if root in memory.spans]
            if unit.output is None and node in memory.spans:
                touched.append((memory.spans[node], number, True, node))
    open_spans: list[tuple[Span, int, bool, Node]] = []
    for entry in sorted(touched, key=lambda entry: entry[0]):
        (start, _), number, writes, node = entry
        open_spans = [other for other in open_spans if other[0][1] > start]
        for _, other_number, other_writes, other in open_spans:
            if other_number != number and (writes or other_writes):
                raise _error("shares memory with what runs at the same time", node, other)
        open_spans.append(entry)


class _Memory:
    """Which values are intact, by the bytes they lie in. Intact values never overlap."""

    def __init__(self, spans: Mapping[Node, Span], size: int) -> None:
        self.spans = spans
        self._size = size
        self._intact: dict[int, Node] = {}
        self._starts: list[int] = []

    def read(self, value: Node, reader: Node) -> None:
        """Raise unless a value that lies here is intact."""
        if value in self.spans and self._intact.get(self.spans[value][0]) is not value:
            raise _error("is read when it is not there, or no longer", value, reader)

    def write(self, node: Node) -> Iterator[Node]:
        """Write a value, where it lies here, and yield the values lost by that."""
        if node not in self.spans:
            return
        start, end = self.spans[node]
        if start < 0 or end > self._size:
            raise _error("lies outside the memory", node, node)
        first = bisect_right(self._starts, start)
        first -= first > 0 and self._end(self._starts[first - 1]) > start
        last = first
        while last < len(self._starts) and self._starts[last] < end:
            last += 1
        lost = [self._intact.pop(at) for at in self._starts[first:last]]
        del self._starts[first:last]
        self._intact[start] = node
        insort(self._starts, start)
        yield from lost

    def _end(self, start: int) -> int:
        return self.spans[self._intact[start]][1]


def _error(problem: str, node: Node, other: Node) -> CompileError:
    return CompileError(f"the memory plan is wrong: {node.op.name} {problem}", nodes=[node, other],
                        remedy="this is a defect of graphc; please report the graph")  # fmt: skip
