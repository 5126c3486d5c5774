"""Strips: chains of works that fall into the same rows, so that a thread runs the whole chain for some of the rows.

No thread waits for another within a chain. Everything that a chain writes is cut into equal slabs, again and again
along its memory: strip s reads and writes slab s of each period, and what a chain only reads lies anywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from graphc.native.work import Cutting, Memory, Task, Work

MISSES = 24
"""After so many works in a row that do not belong to a chain it counts as ended."""
LINK_NS = 5e4
"""What takes longer is shared well enough on its own, and the memory of its results is worth reusing."""
LONGEST_NS = 5e7
"""A chain that takes longer is ended, so that an interrupt is noticed."""


@dataclass(frozen=True, eq=False)
class Strips:
    """A chain of works, and for each strip of rows the tasks that do its part of them, in turn."""

    works: tuple[Work, ...]
    tasks: tuple[tuple[Task, ...], ...]
    periods: dict[Memory, int]
    """The bytes after which the slabs of a memory begin anew."""


@dataclass
class Chain:
    """A chain that is being gathered from works in their order."""

    count: int
    members: list[Work] = field(default_factory=list)
    cuttings: list[Cutting] = field(default_factory=list)
    before: list[Work] = field(default_factory=list)
    """Works that need nothing of the chain."""
    after: list[Work] = field(default_factory=list)
    ns: float = 0.0
    periods: dict[Memory, int] = field(default_factory=dict)
    """Of what the chain writes."""
    _loose: set[Memory] = field(default_factory=set)
    """What strips read anywhere: the chain must not write to it later."""
    _late: set[Memory] = field(default_factory=set)

    def gather(self, works: Sequence[Work], at: int) -> int:
        """Offer works from one on in their order, until it seems that no more belong to the chain; where that is."""
        misses = 0
        while at < len(works) and misses <= MISSES:
            misses = 0 if self.offer(works[at]) else misses + 1
            at += 1
        return at

    def offer(self, work: Work) -> bool:
        """Put a work where it belongs; whether that is in the chain."""
        touched = (*work.reads, *work.writes)
        late = any(memory in self._late for memory in touched)
        apart = late or work.cut is None or work.ns > LINK_NS or self.ns > LONGEST_NS
        cutting = None if apart or work.cut is None else work.cut(self.count)
        if cutting is not None and self._fits(cutting):
            self._add(work, cutting)
            return True
        if late or any(memory in self.periods for memory in touched):
            self._late.update(work.writes)
            self.after.append(work)
        else:
            self.before.append(work)
        return False

    def _fits(self, cutting: Cutting) -> bool:
        """Whether each strip touches its own slabs alone of what the chain writes."""
        periods = dict(self.periods)
        for reach in sorted(cutting.reaches, key=lambda reach: not reach.written):
            if not reach.written and reach.memory not in periods:
                continue
            period = self.count * reach.step
            if period <= 0 or periods.setdefault(reach.memory, period) != period:
                return False
            if reach.memory in self._loose or reach.start % period + reach.length > reach.step:
                return False
        return True

    def _add(self, work: Work, cutting: Cutting) -> None:
        self.members.append(work)
        self.cuttings.append(cutting)
        self.ns += work.ns
        for reach in cutting.reaches:
            if reach.written:
                self.periods[reach.memory] = self.count * reach.step
        self._loose.update(reach.memory for reach in cutting.reaches if reach.memory not in self.periods)

    def strips(self) -> Strips:
        """The chain as it runs. Raises what LLVM's binding raises."""
        tasks = [cutting.tasks() for cutting in self.cuttings]
        return Strips(tuple(self.members), tuple(zip(*tasks, strict=True)), self.periods)


def chains(works: Sequence[Work], threads: int, pays: Callable[[Chain], bool]) -> Iterator[Chain | list[Work]]:
    """The works again: chains that pay, and what lies between them."""
    rest, idle = list(works), set[Work]()
    while rest:
        chain, start, end = _next(rest, threads, pays, idle)
        yield rest[:start] + (chain.before if chain else [])
        if chain is None:
            return
        yield chain
        rest = chain.after + rest[end:]


def _next(works: list[Work], threads: int, pays: Callable[[Chain], bool],
          idle: set[Work]) -> tuple[Chain | None, int, int]:  # fmt: skip
    """The first chain that pays, and among which works it lies; `idle` are those that need not be asked again."""
    for at, work in enumerate(works):
        if work.cut is None or work.ns > LINK_NS or work in idle:
            continue
        count = next((n for n in range(threads, 2 * threads + 1) if work.cut(n)), 0)
        if not count:
            continue
        chain = Chain(count)
        end = chain.gather(works, at)
        if pays(chain):
            return chain, at, end
        idle.update(chain.members)
    return None, len(works), len(works)
