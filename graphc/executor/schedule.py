"""When each unit runs: level by level where a level is worth several threads, else in one serial run.

level(unit) = 1 + the highest level of the units it reads, so units of one level are independent. A level runs on
several threads only if the cost model predicts that this gains more than waking them costs; the levels between merge.
A long unit that nothing reads yet waits for a level that runs on several threads.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from graphc.executor.cost import WAKE_NS
from graphc.executor.units import Unit
from graphc.ir import Node


@dataclass(frozen=True, eq=False, slots=True)
class Stage:
    """Units that run one after the other in this order, or (`threads` > 1) all at once."""

    units: tuple[Unit, ...]
    threads: int = 1


def schedule(units: Sequence[Unit], threads: int) -> list[Stage]:
    """The stages of a run on at most so many threads."""
    if threads == 1:
        return [Stage(tuple(units))] if units else []
    stages: list[Stage] = []
    position = {unit: index for index, unit in enumerate(units)}
    levels = unit_levels(units)
    latest = _latest_levels(levels)
    serial: list[Unit] = []
    waiting: list[Unit] = []
    for index, level in enumerate(levels):
        at_hand = waiting + level
        wanted = useful_threads(at_hand, threads)
        if wanted > 1:
            stages += _serial_stage(serial, position)
            stages.append(Stage(tuple(at_hand), wanted))
            serial, waiting = [], []
        else:
            waiting = [unit for unit in at_hand if not unit.is_short and latest[unit] > index]
            serial += [unit for unit in at_hand if unit.is_short or latest[unit] <= index]
    return stages + _serial_stage(serial, position)


def _latest_levels(levels: Sequence[Sequence[Unit]]) -> dict[Unit, int]:
    """The last level before anything reads a unit: until there, a long one may wait for others to run beside."""
    read_at: dict[Node, int] = {}
    latest: dict[Unit, int] = {}
    for index, level in reversed([*enumerate(levels)]):
        for unit in level:
            made = () if unit.output is not None else unit.nodes
            latest[unit] = min((read_at[node] for node in made if node in read_at), default=len(levels)) - 1
        for unit in level:
            read_at.update(dict.fromkeys(unit.inputs, index))
    return latest


def _serial_stage(units: list[Unit], position: dict[Unit, int]) -> list[Stage]:
    """Merged levels in the order of the units, which uses values sooner than level by level does."""
    return [Stage(tuple(sorted(units, key=position.__getitem__)))] if units else []


def unit_levels(units: Iterable[Unit]) -> list[list[Unit]]:
    """The units by level."""
    level_of: dict[Node, int] = {}
    levels: list[list[Unit]] = []
    for unit in units:
        level = 1 + max((level_of[source] for source in unit.inputs if source in level_of), default=-1)
        if level == len(levels):
            levels.append([])
        levels[level].append(unit)
        if unit.output is None:
            level_of.update(dict.fromkeys(unit.nodes, level))
    return levels


def useful_threads(level: Sequence[Unit], threads: int) -> int:
    """How many threads a level is worth: as many as leave each of them more work than waking it costs."""
    large = [unit for unit in level if not unit.is_short]
    parts = [unit.ns / max(len(unit.blocks), 1) for unit in large for _ in unit.blocks or (0,)]
    total = sum(parts)
    useful = min(threads, len(parts), int(total / WAKE_NS))
    return useful if useful > 1 and total - max(*parts, total / useful) > WAKE_NS else 1
