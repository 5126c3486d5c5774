"""Chains of works over the same rows, which run in strips: a thread does all works of a chain for some of the rows.

Strips run at once and never wait for each other. That is right if and only if each byte that a chain writes is touched
in one strip alone, by whatever work of it. So all memory that a chain writes is dealt out to the strips in equal slabs,
again and again: byte b belongs to strip b // slab % strips. A work belongs to a chain if each of its strips touches
only its own slabs of what the chain writes. What a chain only reads may be read anywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from graphc.native.work import Cutting, Memory, Reach, Task, Work

MISSES = 24
"""After so many works in a row that do not belong to a chain it has ended."""
LINK_NS = 5e4
"""What takes longer is shared well enough on its own, and the memory of its results is worth reusing."""
LONGEST_NS = 5e7
"""A chain that takes longer is ended, so that an interrupt is noticed."""


@dataclass(frozen=True, eq=False)
class Strips:
    """A chain of works, and for each strip the tasks that do its part of them, in turn."""

    works: tuple[Work, ...]
    tasks: tuple[tuple[Task, ...], ...]
    slabs: dict[Memory, int]
    """The bytes of a slab of each memory that the chain writes."""


@dataclass
class Chain:
    """A chain in so many strips that is being gathered from works in their order."""

    count: int
    members: list[Work] = field(default_factory=list)
    before: list[Work] = field(default_factory=list)
    """Other works, which need nothing of the chain, ..."""
    after: list[Work] = field(default_factory=list)
    """... or do."""
    ns: float = 0.0
    _cuttings: list[Cutting] = field(default_factory=list)
    _slabs: dict[Memory, int] = field(default_factory=dict)
    _loose: set[Memory] = field(default_factory=set)
    """What members read and none has written: none may write it later."""
    _late: set[Memory] = field(default_factory=set)
    """What the works after the chain write."""

    def gather(self, works: Sequence[Work], at: int) -> int:
        """Offer works from one on in their order, until it seems that no more belong to the chain; where that is."""
        misses = 0
        while at < len(works) and misses <= MISSES:
            misses = 0 if self.offer(works[at]) else misses + 1
            at += 1
        return at

    def offer(self, work: Work) -> bool:
        """Put a work where it belongs; whether that is in the chain."""
        touched = {*work.reads, *work.writes}
        late = not touched.isdisjoint(self._late)
        if not late and self._takes(work):
            return True
        if late or not touched.isdisjoint(self._slabs):
            self.after.append(work)
            self._late.update(work.writes)
        else:
            self.before.append(work)
        return False

    def _takes(self, work: Work) -> bool:
        cutting = None if work.cut is None or work.ns > LINK_NS or self.ns > LONGEST_NS else work.cut(self.count)
        if cutting is None:
            return False
        slabs = {reach.memory: reach.step for reach in cutting.reaches if reach.written}
        slabs |= {reach.memory: self._slabs[reach.memory] for reach in cutting.reaches if reach.memory in self._slabs}
        if not all(self._is_own(reach, slabs[reach.memory]) for reach in cutting.reaches if reach.memory in slabs):
            return False
        self.members.append(work)
        self.ns += work.ns
        self._cuttings.append(cutting)
        self._slabs.update(slabs)
        self._loose.update(reach.memory for reach in cutting.reaches if reach.memory not in slabs)
        return True

    def _is_own(self, reach: Reach, slab: int) -> bool:
        """Whether each strip touches its own slabs alone."""
        if reach.step != slab or slab <= 0 or reach.memory in self._loose:
            return False
        return reach.start % (slab * self.count) + reach.length <= slab

    def strips(self) -> Strips:
        """The chain as it runs. Raises LLVMError."""
        tasks = [cutting.tasks() for cutting in self._cuttings]
        return Strips(tuple(self.members), tuple(zip(*tasks, strict=True)), self._slabs)


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
