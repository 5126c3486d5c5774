"""All that is decided before a run: units, stages, memory, and where each value stands in the list a run works on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from graphc.executor.arena import ALIGNMENT
from graphc.executor.cost import static_shape
from graphc.executor.memory import Lifetimes, MemoryPlan, lifetimes, plan_memory
from graphc.executor.places import Place, Places, places_of
from graphc.executor.schedule import Stage, schedule
from graphc.executor.units import units_of
from graphc.ir import Graph, Node, collector_paused


@dataclass(frozen=True)
class Plan:
    """How a graph will run: on a list of values, inputs first, then all other nodes, then copied outputs."""

    graph: Graph
    threads: int
    places: Places
    stages: tuple[Stage, ...]
    lives: Lifetimes
    memory: MemoryPlan
    slots: Mapping[Node, int]
    outputs: tuple[int, ...]
    """Where each output stands at the end."""
    pile: int
    """Where the scratch memories stand: the last place."""

    def given(self) -> list[tuple[int, int]]:
        """The outputs that are written to an array made or given before the run: (output, slot)."""
        return [(index, slot) for index, (node, slot) in enumerate(zip(self.graph.outputs, self.outputs, strict=True))
                if node.shape and (slot != self.slots[node] or self.places.of[node] is Place.RESULT)]  # fmt: skip


@collector_paused()
def make_plan(graph: Graph, threads: int, *, debug: bool) -> Plan:
    """Plan a graph of static types. For `debug` nodes run one by one, in order, and no operand is written over."""
    places = places_of(graph)
    units = units_of(graph, places, fuse=not debug)
    stages = tuple(schedule(units, threads))
    lives = lifetimes(graph, stages, places)
    memory = plan_memory(lives, places, threads, overwrite=not debug)
    slots = {node: index for index, node in enumerate(dict.fromkeys((*graph.inputs, *graph.nodes)))}
    copied = {unit.output: index for index, unit in enumerate((u for u in units if u.output is not None), len(slots))}
    outputs = tuple(copied.get(index, slots[node]) for index, node in enumerate(graph.outputs))
    return Plan(graph, threads, places, stages, lives, memory, slots, outputs, len(slots) + len(copied))


def new_workspace(plan: Plan) -> list[Any]:
    """The list of values at the start of a run, with all arrays that are the same in every run; runs work on copies."""
    values: list[Any] = [None] * (plan.pile + 1)
    arena = _aligned(plan.memory.arena_bytes)
    made: dict[Any, Any] = {}
    for node, value in plan.places.constants.items():
        values[plan.slots[node]] = value
    for node, offset in plan.memory.offsets.items():
        key = (offset, node.type)
        if key not in made:
            made[key] = np.ndarray(static_shape(node.array_type), node.dtype, arena, offset)
        values[plan.slots[node]] = made[key]
    for node in plan.graph.nodes:
        if plan.places.of[node] is Place.VIEW and plan.places.is_static(node):
            values[plan.slots[node]] = node.op.body(values[plan.slots[node.inputs[0]]], **node.attrs)
    values[plan.pile] = [_aligned(plan.memory.scratch_bytes) for _ in range(plan.threads if plan.memory.scratch else 0)]
    return values


def _aligned(nbytes: int) -> np.ndarray[Any, Any]:
    """Fresh memory that begins at a multiple of the alignment."""
    memory = np.empty(nbytes + ALIGNMENT, np.uint8)
    start = -memory.__array_interface__["data"][0] % ALIGNMENT
    return memory[start : start + max(nbytes, 1)]


def workspace_bytes(plan: Plan) -> int:
    """What a workspace takes: the buffers, and scratch memory for each thread."""
    piles = plan.threads * (plan.memory.scratch_bytes + ALIGNMENT) if plan.memory.scratch else 0
    return plan.memory.arena_bytes + ALIGNMENT + piles


def result_bytes(plan: Plan, results: int) -> int:
    """What the first so many outputs take, as arrays made at the start of a run."""
    return sum(plan.graph.outputs[index].type.nbytes for index, _ in plan.given() if index < results)


def value_bytes(plan: Plan) -> int:
    """What all computed values would take if none shared memory."""
    computed = (Place.BUFFER, Place.RESULT, Place.OWN)
    return sum(node.type.nbytes for node in plan.graph.nodes if plan.places.of[node] in computed)
