"""What a native program tells about itself: its kernels, its memory, its levels."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from graphc.executor.cost import operations
from graphc.executor.report import Description, Level, si
from graphc.ir import Graph, Node
from graphc.native.emit import Emitted
from graphc.native.image import Segment
from graphc.native.memory import Memories
from graphc.native.schedule import Stage
from graphc.native.storage import Home
from graphc.native.work import Parts, Work
from graphc.native.works import Works
from graphc.native.workspace import workspace_bytes

LISTED = 30
"""The most lines of one kind in a description's text."""
HEADER = f"{'expected':>11}{'operations':>12}{'bytes':>10}{'blocks':>8}  kernel"


class Line(NamedTuple):
    """What a kernel holds and costs; alike ones, as those of an unrolled loop, share a line."""

    seconds: float
    """Predicted, on one thread."""
    operations: float
    """FLOPs where the values are floats."""
    nbytes: int
    """What it reads and writes."""
    blocks: int
    """The parts that threads share."""
    holds: str
    where: str
    """The user's line of what it ends with."""
    file: str
    """Where its IR and its assembly are, but for the suffix; empty without GRAPHC_DUMP. Kernels may share code."""

    def text(self, count: int) -> str:
        """The line of so many such kernels."""
        alike = f"{count} x " if count > 1 else ""
        where = f"  # {self.where}" if self.where else ""
        where += f"  {os.path.basename(self.file)}.ll" if self.file else ""
        return (f"{self.seconds * 1e6:>8.3g} µs{si(self.operations):>12}{si(self.nbytes, 'B'):>10}{self.blocks:>8}  "
                f"{alike}{self.holds}{where}")  # fmt: skip


class Chained(NamedTuple):
    """How many kernels a chain has, and into how many strips of rows it falls."""

    kernels: int
    strips: int


@dataclass(frozen=True)
class NativeDescription(Description):
    """The plan in numbers, then its kernels and what NumPy computes. Printed as text."""

    stretches: int
    """How often a run enters native code: between two stretches Python is at work."""
    barriers: int
    """How often the threads of a run wait for one another."""
    chains: tuple[Chained, ...]
    """Chains of kernels, each of which a thread runs for strips of the rows."""
    kept_bytes: int
    """The most that is kept of earlier results, for later ones, beside what a run needs."""
    updated: int
    """The variables that a run updates, ..."""
    overwritten: int
    """... and how many of them where they lie; the others into spare arrays, which change places with them."""
    kernels: tuple[Line, ...]
    not_native: tuple[str, ...]
    """What NumPy computes, and why."""

    def __str__(self) -> str:
        plan, work, *_ = super().__str__().splitlines()
        times = f"{self.stretches} stretch{'es' * (self.stretches != 1)} of native code"
        calls = "nothing is left to NumPy" if not self.not_native else "between them NumPy is called, see below"
        meetings = f"{self.barriers} barrier{'s' * (self.barriers != 1)} where threads meet"
        lines = [plan, work.partition(";")[0], f"program   {len(self.kernels)} kernels in {times}; {meetings}; {calls}"]
        kept = [f"          up to {si(self.kept_bytes, 'B')} of earlier results are kept for later ones"]
        spare = self.updated - self.overwritten
        written = [f"variables {self.overwritten} updated where they lie, {spare} into spare arrays"]
        return "\n".join([*lines, *self._chain_lines(), *self._memory_lines(), *kept[: self.kept_bytes],
                          *written[: self.updated],
                          *self._kernel_lines(), *_some(self.not_native)])  # fmt: skip

    def _memory_lines(self) -> list[str]:
        """What the peak consists of: buffers and scratch take turns in the arena, and in results not yet written."""
        parts = {"arena": self.buffer_bytes, "results": self.result_bytes, "NumPy's own": self.own_bytes}
        parts["driver"] = self.peak_bytes - sum(parts.values())
        named = ", ".join(f"{name} {si(nbytes, 'B')}" for name, nbytes in parts.items())
        values, scratch = si(self.value_bytes, "B"), si(self.scratch_bytes, "B")
        return [f"memory    peak {si(self.peak_bytes, 'B')}: {named}",
                f"          {self.buffers} buffers, {self.in_place} written in place, {self.views} views; "
                f"without reuse the values would take {values}, scratch {scratch}"]  # fmt: skip

    def _chain_lines(self) -> list[str]:
        """The chains, longest first; alike ones share a line."""
        alike = sorted(Counter(self.chains).items(), reverse=True)[:LISTED]
        times = {chain: f"{count} x " if count > 1 else "" for chain, count in alike}
        return [f"strips    {times[chain]}{chain.kernels} kernels in a row, by {chain.strips} strips of their rows"
                for chain in times]  # fmt: skip

    def _kernel_lines(self) -> list[str]:
        """A table of the kernels in the order they run: those that take longest, where they are many."""
        alike = Counter(self.kernels)
        dearest = set(sorted(alike, key=lambda line: -line.seconds * alike[line])[:LISTED])
        rest = [line for line in alike if line not in dearest]
        left = sum(line.seconds * alike[line] for line in rest) * 1e6
        more = [f"{left:>8.3g} µs  in {sum(map(alike.__getitem__, rest))} more kernels"] if rest else []
        dumped = dict.fromkeys(os.path.dirname(line.file) for line in alike if line.file)
        header = HEADER + "".join(f"; IR and assembly (.s) are in {directory}" for directory in dumped)
        return ["", header, *(line.text(alike[line]) for line in alike if line in dearest), *more] if alike else []


def _some(lines: Sequence[str]) -> list[str]:
    more = len(lines) - LISTED
    shown = [*lines[:LISTED], *([f"and {more} more"] if more > 0 else [])]
    return ["", *shown] if shown else []


def describe(works: Works, stages: Sequence[Stage], memories: Memories, emitted: Emitted, threads: int,
             results: int, kept: int, *, updated: int, overwritten: int) -> NativeDescription:  # fmt: skip
    """The description of a program whose fresh outputs take so many bytes, of which it keeps so many, and which updates
    so many variables, some of them where they lie."""
    graph, storage = works.storage.graph, works.storage
    levels = levels_of(graph, stages, threads)
    tasks = [work.task for work in works.listed if work.task is not None]
    computed = [node for node, home in storage.home.items() if home not in (Home.GIVEN, Home.CONSTANT)]
    workspace = workspace_bytes(memories.arena_bytes, emitted.image)
    return NativeDescription(
        backend="native", threads=threads, nodes=len(graph.nodes), levels=len(levels),
        parallel_levels=sum(level.parallel for level in levels), widest=max(map(len, levels), default=0),
        runs=len(tasks), blocks=sum(task.blocks for task in tasks),
        views=sum(storage.root(node) is not node for node in storage.layout), in_place=len(memories.over),
        buffers=len(memories.offsets), buffer_bytes=memories.arena_bytes,
        value_bytes=sum(node.type.nbytes for node in computed),
        scratch_bytes=sum(memory.nbytes for memory in memories.offsets if isinstance(memory, Parts)),
        result_bytes=results, own_bytes=memories.own_bytes, peak_bytes=workspace + results + memories.own_bytes,
        operations=sum(_operations(node, works) for node in graph.nodes),
        seconds=sum(work.ns for work in works.listed) * 1e-9,
        stretches=sum(isinstance(step, Segment) for step in emitted.steps.listed),
        barriers=sum(stage.shared for stage in stages),
        chains=tuple(Chained(len(stage.works), len(stage.strips.tasks)) for stage in stages if stage.strips),
        kept_bytes=kept, updated=updated, overwritten=overwritten,
        kernels=tuple(_lines(works)),
        not_native=tuple(_reasons(works.listed)))  # fmt: skip


def _lines(works: Works) -> Iterator[Line]:
    """Of each kernel, expected together with what prepares its operands, combines its results' parts, or goes on."""
    beside: dict[Node, float] = {}
    for work in works.listed:
        if work.combines:
            beside[work.node] = beside.get(work.node, 0.0) + work.ns
    for work in works.listed:
        if work.task is not None and not work.combines:
            yield _line(work, works, beside.pop(work.node, 0.0))


def _line(work: Work, works: Works, beside: float) -> Line:
    known, blocks = works.facts.get(work.node), 1 if work.task is None else work.task.blocks
    moved = known.nbytes if known else sum(node.type.nbytes for node in (work.node, *work.node.inputs))
    where, file = work.node.origin.where(), "" if work.task is None else work.task.address.file
    return Line((work.ns + beside) * 1e-9, _operations(work.node, works), moved, blocks, work.ops, where, file)


def _operations(node: Node, works: Works) -> float:
    return works.facts[node].operations if node in works.facts else operations(node)


def _reasons(works: Sequence[Work]) -> list[str]:
    counted = Counter((work.why or "a value that is an output twice, or no kernel's result, is copied",
                       "" if work.output is not None else work.node.origin.where())
                      for work in works if work.task is None)  # fmt: skip
    return [f"numpy     {count} x {why}{f'  # {where}' if where else ''}" for (why, where), count in counted.items()]


def levels_of(graph: Graph, stages: Sequence[Stage], threads: int) -> list[Level]:
    """The nodes by level: level(n) = 1 + the highest level of its inputs; and how each level runs."""
    used: dict[Node, int] = {}
    blocks: dict[Node, int] = {}
    seconds: dict[Node, float] = {}
    for stage in stages:
        for work in stage.works:
            seconds[work.node] = seconds.get(work.node, 0.0) + work.ns * 1e-9
            used[work.node] = max(used.get(work.node, 1), threads if stage.shared else 1)
            parts = 1 if work.task is None else len(stage.strips.tasks) if stage.strips else work.task.blocks
            blocks[work.node] = max(blocks.get(work.node, 1), parts)
    return [Level(index, tuple(nodes), max(used.get(node, 1) for node in nodes),
                  tuple(blocks.get(node, 1) for node in nodes), sum(seconds.get(node, 0.0) for node in nodes))
            for index, nodes in enumerate(graph.levels())]  # fmt: skip
