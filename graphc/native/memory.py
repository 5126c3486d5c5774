"""Where in the arena results lie: planned in the order of time, and reused after their last use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from graphc.executor.arena import Arena
from graphc.ir import Node
from graphc.native.schedule import Stage
from graphc.native.storage import Home, Storage
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
    moments = [moment for stage in stages for moment in stage.moments]
    last_use = _last_uses(moments, storage)
    plan = Memories()
    for memory, time in last_use.items():
        plan.dies.setdefault(time, []).append(memory)
    lender = Lender(moments, storage, fresh)
    arena, held = Arena(), 0
    for time, moment in enumerate(moments):
        taken: set[Memory] = set()
        for work in moment:
            for memory in work.writes:
                if _home(memory, storage) is Home.OWN:
                    held += nbytes_of(memory)
                elif memory in plan.offsets or memory in plan.lent or _home(memory, storage) is not Home.ARENA:
                    continue
                elif (free := lender.lend(memory, time, last_use[memory])) is not None:
                    plan.lent[memory] = free
                else:
                    _lay_out(memory, work, moment, last_use, time, taken, plan, arena, storage)
        plan.own_bytes = max(plan.own_bytes, held)
        for memory in plan.dies.get(time, ()):
            if _home(memory, storage) is Home.OWN:
                held -= nbytes_of(memory)
            elif memory in plan.offsets and memory not in taken:
                arena.give(plan.offsets[memory], nbytes_of(memory))
    plan.arena_bytes = arena.size
    return plan


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
                    if memory in results:
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


def _home(memory: Memory, storage: Storage) -> Home:
    return storage.home.get(memory, Home.ARENA)  # type: ignore[arg-type]


def _last_uses(moments: Sequence[Sequence[Work]], storage: Storage) -> dict[Memory, int]:
    last_use: dict[Memory, int] = {}
    for time, moment in enumerate(moments):
        for work in moment:
            last_use.update(dict.fromkeys((*work.reads, *work.writes), time))
    for node in storage.graph.outputs:
        last_use[storage.root(node)] = len(moments)
    return last_use


def _lay_out(memory: Memory, work: Work, moment: Sequence[Work], last_use: dict[Memory, int], time: int,
             taken: set[Memory], plan: Memories, arena: Arena, storage: Storage) -> None:  # fmt: skip
    for result, operand in work.over:
        dying = last_use[operand] == time and operand in plan.offsets and operand not in taken
        if result is memory and dying and all(other is work or operand not in other.reads for other in moment):
            taken.add(operand)
            plan.offsets[memory] = plan.offsets[operand]
            plan.over[memory] = operand
            return
    plan.offsets[memory] = arena.take(nbytes_of(memory))
