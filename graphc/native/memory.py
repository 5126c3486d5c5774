"""Where in the arena results lie: planned in the order of time, and reused after their last use."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from graphc.executor.arena import Arena
from graphc.executor.cost import temporary_bytes
from graphc.ir import Node
from graphc.native.schedule import Stage
from graphc.native.storage import Home, Storage
from graphc.native.strips import Strips
from graphc.native.work import Memory, Work, nbytes_of

LENT_BYTES = 1 << 16
"""Smaller memory is not lent: it costs little, and every loan is a pointer to set in each run."""


@dataclass
class Memories:
    """Offsets in the arena, what lies over what, and what nothing reads after a time."""

    offsets: dict[Memory, int] = field(default_factory=dict)
    over: dict[Memory, Memory] = field(default_factory=dict)
    lent: dict[Memory, Node] = field(default_factory=dict)
    """Whose memory, that of a new array for a result, a value has until the result is written."""
    dies: dict[int, list[Memory]] = field(default_factory=dict)
    arena_bytes: int = 0
    own_bytes: int = 0


def plan_memory(stages: Sequence[Stage], storage: Storage, fresh: int = 0) -> Memories:
    """Lay out the arena in the order of time. The first `fresh` outputs are new arrays, which may be lent before."""
    return _Planner(stages, storage, fresh).run()


class _Planner:
    """Goes through the moments of a run, in which works run one after the other, or all at once."""

    def __init__(self, stages: Sequence[Stage], storage: Storage, fresh: int) -> None:
        self.storage = storage
        self.moments = [(moment, stage.strips) for stage in stages for moment in stage.moments]
        works = [moment for moment, _ in self.moments]
        self.last_use = _last_uses(works, storage)
        self.lender, self.arena, self.made = Lender(works, storage, fresh), Arena(), Memories()
        self.taken: set[Memory] = set()
        """What has left its place to something else."""

    def run(self) -> Memories:
        made = self.made
        for memory, time in self.last_use.items():
            made.dies.setdefault(time, []).append(memory)
        held = 0
        for time, (moment, strips) in enumerate(self.moments):
            left = Left(strips) if strips is not None else None
            for work in moment:
                held += sum(nbytes_of(memory) for memory in work.writes if self._home(memory) is Home.OWN)
                for memory in work.writes:
                    if self._home(memory) is Home.ARENA and memory not in made.offsets and memory not in made.lent:
                        self._place(memory, work, time, left)
                if left is not None:
                    left.leave(memory for memory in left.last_used[work] if self._is_free(memory, time))
            made.own_bytes = max(made.own_bytes, held + _temporaries(moment))
            dying = made.dies.get(time, ())
            held -= sum(nbytes_of(memory) for memory in dying if self._home(memory) is Home.OWN)
            for memory in dying:
                if self._is_free(memory, time):
                    self.arena.give(made.offsets[memory], nbytes_of(memory))
        made.arena_bytes = self.arena.size
        return made

    def _home(self, memory: Memory) -> Home:
        return self.storage.home.get(memory, Home.ARENA)  # type: ignore[arg-type]

    def _is_free(self, memory: Memory, time: int) -> bool:
        """Whether a place in the arena is nobody's after a time, which may be that of the memory's last use."""
        return self.last_use[memory] == time and memory in self.made.offsets and memory not in self.taken

    def _place(self, memory: Memory, work: Work, time: int, left: Left | None) -> None:
        """Find a place for what a work writes first."""
        made = self.made
        if (result := self.lender.lend(memory, time, self.last_use[memory])) is not None:
            made.lent[memory] = result
        elif left is not None and (before := left.take(memory)) is not None:
            made.offsets[memory] = made.offsets[before]
            self.taken.add(before)
        elif (operand := self._under(memory, work, time)) is not None:
            made.offsets[memory] = made.offsets[operand]
            made.over[memory] = operand
            self.taken.add(operand)
        else:
            made.offsets[memory] = self.arena.take(nbytes_of(memory))

    def _under(self, memory: Memory, work: Work, time: int) -> Memory | None:
        """What a work reads that its result may lie over: nothing else reads it now or later."""
        for result, operand in work.over:
            if result is memory and self._is_free(operand, time):
                moment, _ = self.moments[time]
                if all(other is work or operand not in other.reads for other in moment):
                    return operand
        return None


class Left:
    """What the works of a chain leave to later ones: memory of one size whose slabs are the same bytes.

    A strip that has come to a later work may write over what it has no use for any more: no other strip touches it.
    """

    def __init__(self, strips: Strips) -> None:
        self._slabs = strips.slabs
        self._free: dict[tuple[int, int], list[Memory]] = {}
        last = {memory: work for work in strips.works for memory in (*work.reads, *work.writes)}
        self.last_used: dict[Work, list[Memory]] = {work: [] for work in strips.works}
        """What each work uses last."""
        for memory, work in last.items():
            self.last_used[work].append(memory)

    def leave(self, memories: Iterable[Memory]) -> None:
        """Nothing needs these any more. What the chain has only read lies otherwise."""
        for memory in memories:
            if memory in self._slabs:
                self._free.setdefault(self._kind(memory), []).append(memory)

    def take(self, memory: Memory) -> Memory | None:
        """Something whose place a memory may have."""
        free = self._free.get(self._kind(memory))
        return free.pop() if free else None

    def _kind(self, memory: Memory) -> tuple[int, int]:
        return nbytes_of(memory), self._slabs[memory]


class Lender:
    """The memory of large new results, before they are written."""

    def __init__(self, moments: Sequence[Sequence[Work]], storage: Storage, fresh: int) -> None:
        results = {node for node, output in storage.target.items() if output < fresh and node.type.nbytes >= LENT_BYTES}
        self._written: dict[Node, int] = {}
        self._called: set[Memory] = set()
        for time, moment in enumerate(moments):
            for work in moment:
                for memory in (*work.writes, *work.reads):
                    if work.task is None:
                        self._called.add(memory)
                    if isinstance(memory, Node) and memory in results:
                        self._written.setdefault(memory, time)
        self._until = dict.fromkeys(self._written, -1)

    def lend(self, memory: Memory, time: int, last_use: int) -> Node | None:
        """Whose memory is free from a time until after the last use: that of the result which is written soonest."""
        nbytes = nbytes_of(memory)
        if nbytes < LENT_BYTES or memory in self._called:
            return None
        fits = [node for node, written in self._written.items()
                if self._until[node] < time and last_use < written and nbytes <= node.type.nbytes]  # fmt: skip
        found = min(fits, key=lambda node: (self._written[node], node.type.nbytes), default=None)
        if found is not None:
            self._until[found] = last_use
        return found


def _temporaries(works: Iterable[Work]) -> int:
    """The most that NumPy, which is called for one work at a time, allocates on the way to a result."""
    called = (work.node for work in works if work.task is None and work.output is None)
    return math.ceil(max(map(temporary_bytes, called), default=0.0))


def _last_uses(moments: Sequence[Sequence[Work]], storage: Storage) -> dict[Memory, int]:
    last_use: dict[Memory, int] = {}
    for time, moment in enumerate(moments):
        for work in moment:
            last_use.update(dict.fromkeys((*work.reads, *work.writes), time))
    for node in storage.graph.outputs:
        last_use[storage.root(node)] = len(moments)
    return last_use
