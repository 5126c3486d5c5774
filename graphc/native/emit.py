"""Everything a run needs, from the stages of a program: steps, the driver's words, and what stands where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from graphc.ir import Variable
from graphc.native.image import Builder, Image, Segment
from graphc.native.memory import Memories
from graphc.native.overwriting import NOTHING, Overwriting
from graphc.native.schedule import Stage
from graphc.native.steps import Slots, Steps, steps_of
from graphc.native.storage import Home, Storage
from graphc.native.work import Memory


class Given(NamedTuple):
    """An output that needs an array before the run."""

    output: int
    slot: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]


@dataclass(frozen=True)
class Emitted:
    """The steps of a run on a list of values, and where inputs, variables and outputs stand in it."""

    steps: Steps
    image: Image
    slots: Slots
    inputs: tuple[int, ...]
    variables: tuple[tuple[int, Variable], ...]
    outputs: tuple[int, ...]
    given: tuple[Given, ...]
    numbers: tuple[int, ...]
    """The outputs that are given back as NumPy scalars."""
    objects: frozenset[int]
    """The inputs of rank 0 whose places take number objects: only native code reads them."""

    @property
    def passing(self) -> tuple[int, ...]:
        """The places of all that is another one in every run."""
        given = [place.slot for place in self.given]
        return (*self.inputs, *(slot for slot, _ in self.variables), *given, *self.steps.passing)


def emit(storage: Storage, stages: Sequence[Stage], memories: Memories, fresh: int, *,
         overwriting: Overwriting = NOTHING, alone: bool = False) -> Emitted:  # fmt: skip
    """The first `fresh` outputs are new arrays or numbers. With `alone` every kernel is a segment, for profiles."""
    graph, slots = storage.graph, Slots()
    inputs = tuple(slots[node] for node in graph.inputs)
    variables = tuple((slots[node], node) for node in graph.variables)
    copied = {work.output for stage in stages for work in stage.works if work.output is not None}
    outputs = tuple(slots["output", i] if i in copied else slots[node] for i, node in enumerate(graph.outputs))
    steps = steps_of(stages, storage, memories, slots, overwriting=overwriting, alone=alone)
    seen = steps.seen | set(graph.outputs)
    objects = [i for i, node in enumerate(graph.inputs) if not node.shape and node not in seen]
    numbers = frozenset(graph.inputs[i] for i in objects)
    builder = Builder(memories.offsets, _addresses(storage), _external(storage, memories, slots), numbers)
    image = builder.build([step for step in steps.listed if isinstance(step, Segment)])
    given = tuple(Given(i, slot, graph.outputs[i].array_type.static_shape, graph.outputs[i].dtype)
                  for i, slot in enumerate(outputs) if i in copied or _is_target(i, storage))  # fmt: skip
    scalars = tuple(i for i, node in enumerate(graph.outputs) if i < fresh and not node.shape)
    return Emitted(steps, image, slots, inputs, variables, outputs, given, scalars, frozenset(objects))


def _is_target(index: int, storage: Storage) -> bool:
    return storage.target.get(storage.root(storage.graph.outputs[index])) == index


def _addresses(storage: Storage) -> dict[Memory, int]:
    constants = storage.constants.items()
    return {node: array.ctypes.data for node, array in constants if storage.root(node) is node}


def _external(storage: Storage, memories: Memories, slots: Slots) -> dict[Memory, int]:
    """The slots of arrays whose pointers are other ones in every run."""
    external: dict[Memory, int] = {}
    for node, home in storage.home.items():
        if home is Home.RESULT:
            external[node] = slots[storage.graph.outputs[storage.target[node]]]
        elif home in (Home.GIVEN, Home.OWN) and node in storage.layout:
            external[node] = slots[node]
    return external | {memory: external[result] for memory, result in memories.lent.items()}
