"""When each work runs.

level(work) = 1 + the highest level of the works whose results it reads. A level whose kernels are worth several threads
is a shared stage, in which all its kernels' blocks run at once; everything between two such levels is a serial stage.
A chain of works over the same rows is a shared stage too, whose blocks are strips of rows (`strips`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from graphc.ir import warn
from graphc.native import products
from graphc.native.code.failure import LLVMError
from graphc.native.code.library import LIBRARY
from graphc.native.driver.layout import MOST_BLOCKS
from graphc.native.kernel.facts import NS_PER_KERNEL
from graphc.native.strips import Chain, Strips, chains
from graphc.native.work import Memory, Work

MEETING_NS = 4_000.0
"""What it costs threads that are awake to share a stage and to meet at its end."""
WAKING_NS = 60_000.0
"""What all shared stages of a run together must gain before another thread is woken for one run."""
LOOP_NS = 10_000.0
"""What they must gain where runs follow one another so soon that the other thread is still awake."""
LEAST_STRIP_NS = 10_000.0
"""A chain runs in strips where that gains so much more than sharing its levels ..."""
LEAST_STRIP_SHARE = 0.06
"""... and so much of its time: all that it writes is in memory at once, and each strip reads whole factors."""


@dataclass(frozen=True, eq=False)
class Stage:
    """Works that run one after the other, or (`shared`) whose blocks run at once."""

    works: tuple[Work, ...]
    shared: bool = False
    strips: Strips | None = None
    """Of a shared stage whose blocks are strips, in each of which the works run in turn."""

    @property
    def moments(self) -> Iterator[tuple[Work, ...]]:
        """The works of each time: one by one, or all of a shared stage."""
        if self.shared:
            yield self.works
        else:
            yield from ((work,) for work in self.works)


def schedule(works: Sequence[Work], threads: int) -> list[Stage]:
    """The stages of a run on at most so many threads."""
    if threads > 1 and sum(work.ns for work in works) > LOOP_NS:
        stages = _stages(works, threads)
        if sum(_gain_of(stage, threads) for stage in stages) >= LOOP_NS:
            return stages
    return [Stage(tuple(works))] if works else []


def repays_waking(stages: Sequence[Stage], threads: int) -> bool:
    """Whether a single run gains enough for another thread to be woken."""
    return sum(_gain_of(stage, threads) for stage in stages) >= WAKING_NS


def _stages(works: Sequence[Work], threads: int) -> list[Stage]:
    """Chains in strips, where these pay and LLVM compiles what they need, and levels."""
    stages = list(_with_strips(works, threads))
    strips = [task for stage in stages if stage.strips for tasks in stage.strips.tasks for task in tasks]
    if LIBRARY.finish(task.address for task in strips):
        return stages
    products.compiled.cache_clear()
    _warn_of_levels("LLVM rejected what they need")
    return _by_levels(works, threads)


def _with_strips(works: Sequence[Work], threads: int) -> Iterator[Stage]:
    def pays(chain: Chain) -> bool:
        gain = _gain_of_strips(chain.members, chain.count, threads)
        more = gain - sum(_gain(level, threads) for level in _levels(chain.members))
        return len(chain.members) > 1 and more > max(LEAST_STRIP_NS, LEAST_STRIP_SHARE * chain.ns)

    for part in chains(works, threads, pays):
        strips = _strips(part) if isinstance(part, Chain) else None
        if strips is not None:
            yield Stage(strips.works, shared=True, strips=strips)
        else:
            yield from _by_levels(part.members if isinstance(part, Chain) else part, threads)


def _strips(chain: Chain) -> Strips | None:
    try:
        return chain.strips()
    except LLVMError as error:  # for what somebody has asked before
        _warn_of_levels(str(error))
        return None


def _warn_of_levels(reason: str) -> None:
    warn(f"chains of kernels run level by level, which takes longer, because compiling their strips failed: {reason}")


def _gain_of(stage: Stage, threads: int) -> float:
    if stage.strips is not None:
        return _gain_of_strips(stage.works, len(stage.strips.tasks), threads)
    return _gain(stage.works, threads) if stage.shared else 0.0


def _gain_of_strips(works: Sequence[Work], count: int, threads: int) -> float:
    """What a chain in strips gains: every strip enters all of its kernels."""
    entering, ns = NS_PER_KERNEL * len(works), sum(work.ns for work in works)
    return ns - -(-count // threads) * (entering + (ns - entering) / count) - MEETING_NS


def _by_levels(works: Sequence[Work], threads: int) -> list[Stage]:
    """The stages of some works, which need nothing of later ones."""
    levels = _levels(works)
    stages: list[Stage] = []
    position = {work: index for index, work in enumerate(works)}
    waiting: list[Work] = []
    for level in levels:
        if not _gain(level, threads):
            waiting += level
            continue
        waiting += [work for work in level if work.task is None]
        stages += _in_turn(waiting, position)
        stages.append(Stage(tuple(work for work in level if work.task is not None), shared=True))
        waiting = []
    return stages + _in_turn(waiting, position)


def _in_turn(works: list[Work], position: dict[Work, int]) -> list[Stage]:
    """Works in the order of the graph, which uses values sooner than level by level does."""
    return [Stage(tuple(sorted(works, key=position.__getitem__)))] if works else []


def _levels(works: Sequence[Work]) -> list[list[Work]]:
    level_of: dict[Memory, int] = {}
    levels: list[list[Work]] = []
    for work in works:
        level = 1 + max((level_of[memory] for memory in work.reads if memory in level_of), default=-1)
        if level == len(levels):
            levels.append([])
        levels[level].append(work)
        for memory in work.writes:  # several works may fill one memory
            level_of[memory] = max(level, level_of.get(memory, 0))
    return levels


def _gain(level: Sequence[Work], threads: int) -> float:
    """What sharing a level's kernels gains, in nanoseconds; 0 where it would not."""
    tasks = [(work.ns, work.task.blocks) for work in level if work.task is not None]
    total, blocks = sum(ns for ns, _ in tasks), sum(blocks for _, blocks in tasks)
    if not 1 < blocks < MOST_BLOCKS - 1:
        return 0.0
    gain = total - max(total / min(threads, blocks), max(ns / blocks for ns, blocks in tasks)) - MEETING_NS
    return max(gain, 0.0)
