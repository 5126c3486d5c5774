"""From stages to what a run does: native segments, and between them NumPy calls on arrays over the same memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from graphc.executor.steps import Body, Step, Values, body_of, call_into, copy, forget
from graphc.ir import Node
from graphc.native import stretches
from graphc.native.image import Segment, Share
from graphc.native.kernel import facts
from graphc.native.memory import Memories
from graphc.native.overwriting import Overwriting
from graphc.native.schedule import Stage
from graphc.native.storage import Home, Storage, array_over
from graphc.native.work import Task, Work

SHARED_BLOCKS = 2
"""Where threads share blocks, a stretch has no fewer of the largest task."""


@dataclass
class Slots:
    """Where arrays stand in the list that a run works on: inputs first, then whatever else Python sees."""

    of: dict[Any, int] = field(default_factory=dict)

    def __getitem__(self, key: Any) -> int:
        return self.of.setdefault(key, len(self.of))


@dataclass
class Steps:
    """What a run does in order: segments and Python steps."""

    slots: Slots
    listed: list[Segment | Step] = field(default_factory=list)
    node_of: dict[Segment | Step, Node] = field(default_factory=dict)
    """Whose body a step calls; for a segment, the last kernel of a serial stage."""
    seen: set[Node] = field(default_factory=set)
    """The values whose arrays Python steps read or write."""
    passing: list[int] = field(default_factory=list)
    """The slots that steps fill with arrays of one run."""


def steps_of(stages: Sequence[Stage], storage: Storage, memories: Memories, slots: Slots, *,
             overwriting: Overwriting, alone: bool = False) -> Steps:  # fmt: skip
    """The steps of some stages: a stretch is the last one when it overwrites variables. With `alone` a segment for
    every kernel."""
    emission = _Emission(storage, memories, slots, 0.0 if alone else stretches.LONGEST_NS, overwriting)
    return emission.run(stages, alone=alone)


class _Emission:
    def __init__(self, storage: Storage, memories: Memories, slots: Slots, longest: float,
                 overwriting: Overwriting) -> None:  # fmt: skip
        self.storage, self.memories, self.longest, self.overwriting = storage, memories, longest, overwriting
        self.slots = slots
        self.made = Steps(slots)
        self.tasks: list[Task] = []
        self.segment = Segment()
        self.there: set[Node] = set()
        """Views whose arrays earlier steps have made."""

    def run(self, stages: Sequence[Stage], *, alone: bool) -> Steps:
        self.takes = stretches.expected_ns(stages)
        time = 0
        for stage in stages:
            for moment in stage.moments:
                if time == self.overwriting.start:
                    self._begin_last_stretch()
                if alone:
                    for work in moment:
                        self._serial(work)
                elif stage.shared:
                    self._flush_tasks()
                    self._stage(stage)
                else:
                    self._serial(moment[0])
                self._forget(time)
                time += 1
        for node in self.storage.graph.outputs:
            if node in self.storage.layout:
                self._see(node)
        self._flush()
        return self.made

    def _begin_last_stretch(self) -> None:
        """What follows stays together, and with what was before if that is short enough."""
        if self.segment.ns + self.overwriting.ns > self.longest:
            self._flush()
        self.longest = math.inf
        if self.overwriting.guarded:
            self._flush_tasks()
            self.segment.shares.append(Share((), shared=False, guards=True))

    def _serial(self, work: Work) -> None:
        if work.task is not None:
            ns = self.takes[work]
            count = self._count(ns, work.task.blocks)
            for task in work.task.parts(count):
                self._take(ns / count)
                self.tasks.append(task)
                self.made.node_of[self.segment] = work.node
            return
        self._flush()
        step = self._copy(work) if work.output is not None else self._call(work.node)
        self.made.node_of[step] = work.node
        self.made.listed.append(step)

    def _stage(self, stage: Stage) -> None:
        ns = sum(self.takes[work] for work in stage.works)
        if stage.strips is None:
            self._share(tuple(work.task for work in stage.works if work.task is not None), ns)
            return
        self._take(ns)
        self.segment.shares.append(Share((), shared=True, strips=stage.strips.tasks))

    def _share(self, tasks: Sequence[Task], ns: float) -> None:
        """All blocks at once, but never for so long that an interrupt waits."""
        count = self._count(ns, max(task.blocks for task in tasks) // SHARED_BLOCKS)
        for parts in zip(*(task.parts(count) for task in tasks), strict=True):
            self._take(ns / count)
            self.segment.shares.append(Share(tuple(part for part in parts if part.blocks), shared=True))

    def _take(self, ns: float) -> None:
        """Let something into the segment, or into another one where both would take too long."""
        if self.segment.ns + ns > self.longest:
            self._flush()
        self.segment.ns += ns

    def _count(self, ns: float, most: int) -> int:
        """Into how many parts to cut what takes so long, at most into so many."""
        return max(1, min(math.ceil(ns / self.longest), most)) if self.longest else 1

    def _flush_tasks(self) -> None:
        if self.tasks:
            self.segment.shares.append(Share(tuple(self.tasks), shared=False))
            self.tasks = []

    def _flush(self) -> None:
        """End the segment: Python comes next."""
        self._flush_tasks()
        if self.segment.shares:
            self.made.listed.append(self.segment)
            self.segment = Segment()

    def _forget(self, time: int) -> None:
        dying = self.memories.dies.get(time, ())
        own = [node for node in dying if isinstance(node, Node) and self.storage.home[node] is Home.OWN]
        if own:
            self._flush()
            self.made.listed.append(forget([self.slots[node] for node in own]))

    def _see(self, node: Node) -> int:
        """The slot of a value's array, with a step that makes the array where it is a view made anew in every run."""
        slot = self.slots[node]
        self.made.seen.add(node)
        root = self.storage.root(node)
        target = self.storage.target.get(root)
        base = root if target is None else self.storage.graph.outputs[target]
        if node is base or node in self.there or self.storage.home[root] in (Home.ARENA, Home.CONSTANT):
            return slot
        self.there.add(node)
        self.made.seen.add(base)
        self.made.passing.append(slot)
        self._flush()
        self.made.listed.append(_view(self.slots[base], slot, node, self.storage))
        return slot

    def _call(self, node: Node) -> Step:
        operands = [self._see(source) for source in node.inputs]
        results = self.storage.results(node)
        if facts.is_kernel(node) or node in self.storage.parts:
            return _all_into(body_of(node), operands, [self._see(result) for result in results])
        if self.storage.home[self.storage.root(node)] is Home.OWN:
            self.made.passing.append(self.slots[node])
            return _kept(body_of(node), operands, self.slots[node])
        if not node.op.writes_out:
            return _all_into(body_of(node), operands, [self._see(node)])
        return call_into(body_of(node), operands, self._see(node))

    def _copy(self, work: Work) -> Step:
        return copy(self._see(work.node), self.slots["output", work.output])


def _view(base: int, slot: int, node: Node, storage: Storage) -> Step:
    at = storage.layout[node]

    def step(values: Values) -> None:
        values[slot] = array_over(values[base], node, at)

    return step


def _kept(body: Body, operands: Sequence[int], at: int) -> Step:
    """A step that keeps what a body returns, its arrays in C order, as native code reads them."""

    def step(values: Values) -> None:
        result = body(*[values[operand] for operand in operands])
        values[at] = result if isinstance(result, tuple) else np.asarray(result, order="C")

    return step


def _all_into(body: Body, operands: Sequence[int], places: Sequence[int]) -> Step:
    """A step that copies a body's results to where they belong."""

    def step(values: Values) -> None:
        result = body(*[values[operand] for operand in operands])
        for place, value in zip(places, result if isinstance(result, tuple) else (result,), strict=True):
            np.copyto(values[place], value)

    return step
