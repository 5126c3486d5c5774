"""From a plan to the steps that a run calls."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from graphc.executor.places import Place
from graphc.executor.plan import Plan
from graphc.executor.runs import PartOfRun
from graphc.executor.schedule import Stage
from graphc.executor.steps import (
    Step,
    Values,
    body_of,
    call_into,
    call_to,
    copy,
    forget,
    guarded,
    in_turn,
    keep_number,
    ordered_body_of,
    part_of_call,
)
from graphc.executor.threads import POOL
from graphc.executor.units import Unit
from graphc.executor.watch import watch
from graphc.ir import Node, collector_paused


@dataclass
class Emitted:
    """The steps of a program by stage: as they run, and (`single`) all on one thread, for profiles."""

    stages: list[list[Step]] = field(default_factory=list)
    single: list[list[Step]] = field(default_factory=list)
    node_of: dict[Step, Node] = field(default_factory=dict)
    """Whose body a step calls. Steps of runs and of several threads are not here: their exceptions name the node."""


@collector_paused()
def emit(plan: Plan, *, debug: bool) -> Emitted:
    """The steps of each stage; with `debug` each node's result is looked at."""
    emitted = Emitted()
    forgets = _forgets(plan)
    time = 0
    for stage in plan.stages:
        single: list[Step] = []
        groups: list[list[Step]] = []
        for unit in stage.units:
            groups.append(_unit_steps(unit, plan, emitted))
            single += groups[-1] + (_watching(unit, plan) if debug else [])
            if stage.threads == 1:
                single += forgets.get(time, ())
                time += 1
        emitted.single.append(single)
        if stage.threads == 1:
            emitted.stages.append(single)
        else:
            tasks = _tasks(stage, groups, emitted)
            emitted.stages.append([_on_threads(tasks, stage.threads), *forgets.get(time, ())])
            time += 1
    return emitted


def _unit_steps(unit: Unit, plan: Plan, emitted: Emitted) -> list[Step]:
    """The steps of one unit, which may run in any order and at once."""
    if unit in plan.memory.scratch:
        scratch = plan.memory.scratch[unit]
        return [PartOfRun(unit, block, plan.slots, scratch, plan.pile) for block in unit.blocks]
    node = unit.nodes[0]
    if unit.blocks:
        steps = [part_of_call(unit, block, plan.slots) for block in unit.blocks]
    else:
        steps = list(_copy(unit, plan) if unit.output is not None else _call(node, plan))
    emitted.node_of.update(dict.fromkeys(steps, node))
    return steps


def _copy(unit: Unit, plan: Plan) -> Iterator[Step]:
    assert unit.output is not None
    source, at = plan.slots[unit.nodes[0]], plan.outputs[unit.output]
    yield copy(source, at) if unit.nodes[0].shape else keep_number(source, at)


def _call(node: Node, plan: Plan) -> Iterator[Step]:
    place, places = plan.places.of[node], plan.places
    operands, at = [plan.slots[source] for source in node.inputs], plan.slots[node]
    if place in (Place.BUFFER, Place.RESULT):
        yield call_into(body_of(node), operands, at)
    elif place is Place.OWN:
        yield call_to(ordered_body_of(node), operands, at)
    elif not places.is_static(node):  # views of the workspace are made with it
        yield call_to(body_of(node), operands, at)


def _tasks(stage: Stage, groups: list[list[Step]], emitted: Emitted) -> list[Step]:
    """The parts of a parallel stage, the longest first; those too short to share are one task."""
    short: list[Step] = []
    tasks: list[tuple[float, Step]] = []
    for unit, steps in zip(stage.units, groups, strict=True):
        named = [guarded(step, emitted.node_of[step]) if step in emitted.node_of else step for step in steps]
        if unit.is_short:
            short += named
        else:
            tasks += [(unit.ns / len(steps), step) for step in named]
    tasks.sort(key=lambda task: -task[0])
    return [step for _, step in tasks] + ([in_turn(short)] if short else [])


def _on_threads(tasks: list[Step], threads: int) -> Step:
    def step(values: Values) -> None:
        POOL.run(tasks, values, threads)

    return step


def _watching(unit: Unit, plan: Plan) -> list[Step]:
    look = watch(unit.nodes[0], plan.slots) if unit.output is None else None
    return [look] if look is not None else []


def _forgets(plan: Plan) -> dict[int, list[Step]]:
    """For each time the step that lets go of what bodies have allocated and of views of it, where there is one."""
    root, places = plan.places.root, plan.places.of
    slots: dict[Node, list[int]] = {}
    for node in plan.graph.nodes:
        if places[root[node]] is Place.OWN:
            slots.setdefault(root[node], []).append(plan.slots[node])
    return {time: [forget([slot for node in own for slot in slots[node]])]
            for time, nodes in plan.memory.dies.items()
            if time < len(plan.lives.moments) and (own := [node for node in nodes if node in slots])}  # fmt: skip
