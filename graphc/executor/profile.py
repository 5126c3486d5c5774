"""Where the time of a run goes: each node on its own, then each stage as it runs."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

from graphc.executor.emit import Emitted
from graphc.executor.plan import Plan
from graphc.executor.report import Profile
from graphc.executor.runs import PartOfRun
from graphc.executor.steps import Values
from graphc.ir import Node


def profile(plan: Plan, emitted: Emitted, values: Callable[[], Values]) -> Profile:
    """Run once node by node and once stage by stage, each time on fresh values."""
    by_node = _seconds_by_node(emitted, values())
    clock = _seconds_by_stage(emitted, values())
    level_of = {node: index for index, nodes in enumerate(plan.graph.levels()) for node in nodes}
    levels = [0.0] * (max(level_of.values(), default=-1) + 1)
    for stage, elapsed in zip(plan.stages, clock, strict=True):
        nodes = [node for unit in stage.units for node in unit.nodes]
        alone = sum(by_node.get(node, 0.0) for node in nodes)
        for node in nodes:
            levels[level_of[node]] += elapsed * (by_node.get(node, 0.0) / alone if alone else 1 / len(nodes))
    return Profile(by_node, tuple(levels), sum(clock))


def _seconds_by_node(emitted: Emitted, values: Values) -> dict[Node, float]:
    seconds: dict[Node, float] = {}
    for stage in emitted.single:
        for step in stage:
            started = perf_counter()
            if isinstance(step, PartOfRun):
                taken = step.timed(values)
            else:
                step(values)
                taken = {emitted.node_of[step]: perf_counter() - started} if step in emitted.node_of else {}
            for node, part in taken.items():
                seconds[node] = seconds.get(node, 0.0) + part
    return seconds


def _seconds_by_stage(emitted: Emitted, values: Values) -> list[float]:
    seconds: list[float] = []
    for stage in emitted.stages:
        started = perf_counter()
        for step in stage:
            step(values)
        seconds.append(perf_counter() - started)
    return seconds
