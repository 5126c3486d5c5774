"""When each work runs.

level(work) = 1 + the highest level of the works whose results it reads. A level whose kernels are worth several threads
is a shared stage, in which all its kernels' blocks run at once; everything between two such levels is a serial stage.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from graphc.native.driver import MOST_BLOCKS
from graphc.native.work import Memory, Work

MEETING_NS = 4_000.0
"""What it costs threads that are awake to share a stage and to meet at its end."""
WAKING_NS = 60_000.0
"""What all shared stages of a run together must gain before another thread is woken for one run."""
LOOP_NS = 10_000.0
"""What they must gain where runs follow one another so soon that the other thread is still awake."""


@dataclass(frozen=True, eq=False)
class Stage:
    """Works that run one after the other, or (`shared`) whose blocks run at once."""

    works: tuple[Work, ...]
    shared: bool = False

    @property
    def moments(self) -> Iterator[tuple[Work, ...]]:
        """The works of each time: one by one, or all of a shared stage."""
        if self.shared:
            yield self.works
        else:
            yield from ((work,) for work in self.works)


def schedule(works: Sequence[Work], threads: int) -> list[Stage]:
    """The stages of a run on at most so many threads."""
    serial = [Stage(tuple(works))] if works else []
    if threads == 1:
        return serial
    levels = _levels(works)
    gains = [_gain(level, threads) for level in levels]
    if sum(gains) < LOOP_NS:
        return serial
    stages: list[Stage] = []
    position = {work: index for index, work in enumerate(works)}
    waiting: list[Work] = []
    for level, gain in zip(levels, gains, strict=True):
        if not gain:
            waiting += level
            continue
        waiting += [work for work in level if work.task is None]
        stages += _in_turn(waiting, position)
        stages.append(Stage(tuple(work for work in level if work.task is not None), shared=True))
        waiting = []
    return stages + _in_turn(waiting, position)


def repays_waking(stages: Sequence[Stage], threads: int) -> bool:
    """Whether a single run gains enough for another thread to be woken."""
    return sum(_gain(stage.works, threads) for stage in stages if stage.shared) >= WAKING_NS


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
