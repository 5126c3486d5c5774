"""What a native program tells about itself: its kernels, its memory, its levels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from graphc.executor.cost import nanoseconds, operations
from graphc.executor.report import Description, Level, si
from graphc.ir import Graph, Node
from graphc.native.emit import Emitted, nodes_of
from graphc.native.schedule import Memories, Stage
from graphc.native.storage import Home
from graphc.native.work import Parts, Work, Works
from graphc.native.workspace import workspace_bytes

LISTED = 30
"""The most lines of one kind in a description's text."""


@dataclass(frozen=True)
class NativeDescription(Description):
    """The plan in numbers, then its kernels and what NumPy computes. Printed as text."""

    kernels: tuple[str, ...]
    not_native: tuple[str, ...]

    def __str__(self) -> str:
        lines = [super().__str__(), *_some(self.kernels), *_some(self.not_native)]
        return "\n".join(lines)


def _some(lines: Sequence[str]) -> list[str]:
    more = len(lines) - LISTED
    return [*lines[:LISTED], *([f"          and {more} more"] if more > 0 else [])]


def describe(works: Works, stages: Sequence[Stage], memories: Memories, emitted: Emitted, threads: int,
             results: int) -> NativeDescription:  # fmt: skip
    """The description of a program whose fresh outputs take so many bytes."""
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
        kernels=tuple(_kernel(work, works) for work in works.listed if work.task is not None and not work.combines),
        not_native=tuple(_reasons(works.listed)))  # fmt: skip


def _kernel(work: Work, works: Works) -> str:
    known, task = works.facts.get(work.node), work.task
    blocks = f" in {task.blocks} blocks" if task is not None and task.blocks > 1 else ""
    counted = _operations(work.node, works)
    moved = known.nbytes if known else sum(node.type.nbytes for node in (work.node, *work.node.inputs))
    return f"kernel    {si(counted)} operations, {si(moved, 'B')}, {work.ns * 1e-3:.3g} µs{blocks}: {nodes_of(work)}"


def _operations(node: Node, works: Works) -> float:
    return works.facts[node].operations if node in works.facts else operations(node)


def _reasons(works: Sequence[Work]) -> list[str]:
    counted = Counter(work.why or "a value that is an output twice, or no kernel's result, is copied"
                      for work in works if work.task is None)  # fmt: skip
    return [f"numpy     {count} x {why}" for why, count in counted.items()]


def levels_of(graph: Graph, stages: Sequence[Stage], threads: int) -> list[Level]:
    """The nodes by level: level(n) = 1 + the highest level of its inputs; and how each level runs."""
    used: dict[Node, int] = {}
    blocks: dict[Node, int] = {}
    for stage in stages:
        for work in stage.works:
            used[work.node] = max(used.get(work.node, 1), threads if stage.shared else 1)
            blocks[work.node] = max(blocks.get(work.node, 1), 1 if work.task is None else work.task.blocks)
    return [Level(index, tuple(nodes), max(used.get(node, 1) for node in nodes),
                  tuple(blocks.get(node, 1) for node in nodes), sum(map(nanoseconds, nodes)) * 1e-9)
            for index, nodes in enumerate(graph.levels())]  # fmt: skip
