"""The levels and the description of a plan."""

from __future__ import annotations

from graphc.executor.cost import nanoseconds, operations
from graphc.executor.places import Place
from graphc.executor.plan import Plan, value_bytes, workspace_bytes
from graphc.executor.report import Description, Level
from graphc.ir import Node


def levels_of(plan: Plan) -> list[Level]:
    """The nodes by level: level(n) = 1 + the highest level of its inputs; and how each level runs."""
    threads: dict[Node, int] = {}
    blocks: dict[Node, int] = {}
    for stage in plan.stages:
        for unit in stage.units:
            threads.update(dict.fromkeys(unit.nodes, stage.threads))
            blocks.update(dict.fromkeys(unit.nodes, max(len(unit.blocks), 1)))
    return [Level(index, tuple(nodes), max(threads.get(node, 1) for node in nodes),
                  tuple(blocks.get(node, 1) for node in nodes), sum(map(nanoseconds, nodes)) * 1e-9)
            for index, nodes in enumerate(plan.graph.levels())]  # fmt: skip


def describe(plan: Plan, backend: str, results: int) -> Description:
    """The plan in numbers; `results` is what the fresh outputs take, in bytes."""
    nodes, memory = plan.graph.nodes, plan.memory
    levels = levels_of(plan)
    units = [unit for stage in plan.stages for unit in stage.units]
    return Description(
        backend=backend, threads=plan.threads, nodes=len(nodes), levels=len(levels),
        parallel_levels=sum(level.parallel for level in levels), widest=max(map(len, levels), default=0),
        runs=len(memory.scratch), blocks=sum(len(unit.blocks) for unit in units),
        views=sum(plan.places.of[node] is Place.VIEW for node in nodes), in_place=len(memory.overwrites),
        buffers=len(memory.offsets), buffer_bytes=memory.arena_bytes, value_bytes=value_bytes(plan),
        scratch_bytes=plan.threads * memory.scratch_bytes, result_bytes=results, own_bytes=memory.own_bytes,
        peak_bytes=workspace_bytes(plan) + results + memory.own_bytes, operations=sum(map(operations, nodes)),
        seconds=sum(map(nanoseconds, nodes)) * 1e-9)  # fmt: skip
