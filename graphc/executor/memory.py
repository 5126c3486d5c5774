"""The memory plan: where in one block of memory each buffer lies, from when it is written to when it is last read.

Time counts units in a serial stage, and whole stages where units run at once. A value's memory is free again after the
last time that reads it or a view of it; an elementwise node may write over an operand that nothing reads afterwards.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from graphc.executor.arena import Arena
from graphc.executor.cost import temporary_bytes
from graphc.executor.places import Place, Places
from graphc.executor.schedule import Stage
from graphc.executor.units import Unit
from graphc.ir import Graph, Node
from graphc.types import AnyType

Moment = tuple[Unit, ...]
"""The units of one time: a single one, or all units of a parallel stage."""


@dataclass(frozen=True)
class Lifetimes:
    """The times of a schedule, and the last time that reads each value or a view of it."""

    moments: tuple[Moment, ...]
    last_use: Mapping[Node, int]
    inner: frozenset[Node]
    """Values that exist only block by block, inside a run."""


@dataclass(frozen=True)
class Scratch:
    """The memory of a run's inner values, for one block."""

    offsets: Mapping[Node, int]
    nbytes: int


@dataclass
class MemoryPlan:
    """The offset of each buffer, and what a run needs in all."""

    offsets: dict[Node, int] = field(default_factory=dict)
    arena_bytes: int = 0
    overwrites: dict[Node, Node] = field(default_factory=dict)
    """The nodes that write over a value, and which."""
    scratch: dict[Unit, Scratch] = field(default_factory=dict)
    dies: dict[int, list[Node]] = field(default_factory=dict)
    """The values whose memory is free after each time."""
    own_bytes: int = 0
    """The most bytes that bodies have allocated themselves at one time: results without `out`, and temporaries."""

    @property
    def scratch_bytes(self) -> int:
        """What each thread needs for the blocks of runs."""
        return max((scratch.nbytes for scratch in self.scratch.values()), default=0)


def lifetimes(graph: Graph, stages: Sequence[Stage], places: Places) -> Lifetimes:
    """When each value is read last: after everything, for outputs."""
    moments = tuple(_moments(stages))
    last_use: dict[Node, int] = {}
    read_outside = set(graph.outputs)
    for time, moment in enumerate(moments):
        for unit in moment:
            within = frozenset(unit.nodes) if len(unit.nodes) > 1 else frozenset()
            for node in unit.inputs:
                last_use[places.root[node]] = time
                if node not in within:
                    read_outside.add(node)
            for node in unit.nodes:
                last_use[places.root[node]] = time
    last_use.update((node, len(moments)) for node in graph.outputs if places.root[node] is node)
    inner = (node for moment in moments for unit in moment if len(unit.nodes) > 1
             for node in unit.nodes if node not in read_outside)  # fmt: skip
    return Lifetimes(moments, last_use, frozenset(inner))


def _moments(stages: Sequence[Stage]) -> Iterator[Moment]:
    for stage in stages:
        if stage.threads > 1:
            yield stage.units
        else:
            yield from ((unit,) for unit in stage.units)


def plan_memory(lives: Lifetimes, places: Places, threads: int, *, overwrite: bool = True) -> MemoryPlan:
    """Lay out the buffers in the order of time. `overwrite` lets nodes write over operands that nothing reads later."""
    plan = MemoryPlan()
    arena = Arena()
    held = 0
    for root, time in lives.last_use.items():
        plan.dies.setdefault(time, []).append(root)
    for time, moment in enumerate(lives.moments):
        free = _Overwritable(moment if overwrite else (), time, lives, places)
        taken: set[Node | None] = set()
        for unit in moment:
            if len(unit.nodes) > 1:
                plan.scratch[unit] = _scratch(unit, lives.inner)
            for step, node in enumerate(unit.nodes if unit.output is None else ()):
                if places.of[node] is Place.OWN:
                    held += node.type.nbytes
                elif places.of[node] is Place.BUFFER and node not in lives.inner:
                    taken.add(_lay_out(node, free.claim(unit, step), plan, arena))
        plan.own_bytes = max(plan.own_bytes, held + _temporaries(moment, threads))
        for root in plan.dies.get(time, ()):
            if places.of[root] is Place.OWN:
                held -= root.type.nbytes
            elif root in plan.offsets and root not in taken:
                arena.give(plan.offsets[root], root.type.nbytes)
    plan.arena_bytes = arena.size
    return plan


def _temporaries(moment: Moment, threads: int) -> int:
    """The most that bodies allocate on the way, when so many of the moment's parts run at once."""
    parts: list[float] = []
    for unit in moment:
        count = max(len(unit.blocks), 1)
        part = max(temporary_bytes(node) for node in unit.nodes) / count if unit.output is None else 0.0
        parts += [part] * min(count, threads)
    return math.ceil(sum(sorted(parts)[-threads:] if len(moment) > 1 else parts))


def _lay_out(node: Node, over: Node | None, plan: MemoryPlan, arena: Arena) -> Node | None:
    if over is None:
        plan.offsets[node] = arena.take(node.type.nbytes)
    else:
        plan.offsets[node] = plan.offsets[over]
        plan.overwrites[node] = over
    return over


@dataclass
class _Reads:
    """How one unit reads a value: the last step that does, and the one type it is read as, whole, or None."""

    unit: Unit
    last: int
    kind: AnyType | None


class _Overwritable:
    """The values that die at one time and may be written over by the one unit that reads them."""

    def __init__(self, moment: Moment, time: int, lives: Lifetimes, places: Places) -> None:
        self._places = places
        self._reads: dict[Node, _Reads] = {}
        self._dying: dict[Unit, list[Node]] = {}
        for unit in moment:
            for step, node in enumerate(unit.nodes):
                for source in node.inputs if unit.output is None else unit.nodes:
                    root = places.root[source]
                    if places.of[root] is Place.BUFFER and root not in lives.inner and lives.last_use[root] == time:
                        self._note(root, source, unit, step)

    def _note(self, root: Node, source: Node, unit: Unit, step: int) -> None:
        kind = source.type if self._places.covers(source) else None
        known = self._reads.get(root)
        if known is None:
            known = self._reads[root] = _Reads(unit, step, kind)
            self._dying.setdefault(unit, []).append(root)
        known.last = step
        if known.unit is not unit or known.kind != kind:
            known.kind = None

    def claim(self, unit: Unit, step: int) -> Node | None:
        """A value that a node of the unit may write over: elementwise, and read for the last time before it writes."""
        node = unit.nodes[step]
        if not node.op.elementwise:
            return None
        dying = self._dying.get(unit, [])
        for index, root in enumerate(dying):
            reads = self._reads[root]
            if reads.kind == node.type and reads.last <= step:
                return dying.pop(index)
        return None


def _scratch(unit: Unit, inner: frozenset[Node]) -> Scratch:
    """The layout of a run's inner values, each of the size of a block."""
    last = {source: step for step, node in enumerate(unit.nodes) for source in node.inputs if source in inner}
    offsets: dict[Node, int] = {}
    arena = Arena()
    for step, node in enumerate(unit.nodes):
        dying = [source for source in dict.fromkeys(node.inputs) if last.get(source) == step]
        if node in inner:
            over = next((source for source in dying if source.type == node.type), None)
            offsets[node] = offsets[over] if over is not None else arena.take(_block_bytes(node, unit))
            dying = [source for source in dying if source is not over]
        for source in dying:
            arena.give(offsets[source], _block_bytes(source, unit))
    return Scratch(offsets, arena.size)


def _block_bytes(node: Node, unit: Unit) -> int:
    first, extent = unit.blocks[0], node.shape[unit.cuts[0].axis]
    return node.type.nbytes // extent * (first.stop - first.start)  # type: ignore[no-any-return]
