"""A run's steps: all its nodes on one block, in arrays of the block's own."""

from __future__ import annotations

from collections.abc import Mapping
from time import perf_counter
from typing import Any

import numpy as np

from graphc.errors import GraphcError
from graphc.evaluate import failed
from graphc.executor.memory import Scratch
from graphc.executor.steps import Step, Values, body_of, call_into, key
from graphc.executor.units import Unit
from graphc.ir import Node


class PartOfRun:
    """A step that computes one block of a run.

    Its arrays are parts of the run's operands and results, and inner values in scratch memory. Scratch memory lies on
    a pile that stands at `pile` among the values; whoever computes a block takes one and puts it back.
    """

    def __init__(self, unit: Unit, block: slice, slots: Mapping[Node, int], scratch: Scratch, pile: int) -> None:
        self._nodes = unit.nodes
        self._pile = pile
        self._inner: list[tuple[tuple[Any, ...], Any, int]] = []
        self._parts: list[tuple[int, Any]] = []
        places: dict[Any, int] = {}
        for node, cut in zip(unit.nodes, unit.cuts, strict=True):
            if node in scratch.offsets:
                places[node] = len(self._inner)
                shape = (*node.shape[: cut.axis], block.stop - block.start, *node.shape[cut.axis + 1 :])
                self._inner.append((shape, node.dtype, scratch.offsets[node]))

        def place(node: Node, axis: int | None) -> int:
            """Where a value stands among the block's arrays."""
            if node in places:
                return places[node]
            if (node, axis) not in places:
                places[node, axis] = len(self._inner) + len(self._parts)
                self._parts.append((slots[node], key(axis, block)))
            return places[node, axis]

        self._steps: list[Step] = [
            call_into(body_of(node), [*map(place, node.inputs, cut.operands)], place(node, cut.axis))
            for node, cut in zip(unit.nodes, unit.cuts, strict=True)
        ]

    def _arrays(self, values: Values, memory: Any) -> Values:
        inner = [np.ndarray(shape, dtype, memory, offset) for shape, dtype, offset in self._inner]
        return inner + [values[slot][part] for slot, part in self._parts]

    def __call__(self, values: Values) -> None:
        """Compute the block; an exception names the node."""
        memory = values[self._pile].pop()
        arrays = self._arrays(values, memory)
        index = 0
        try:
            for index, step in enumerate(self._steps):  # noqa: B007 (the handler needs it)
                step(arrays)
        except GraphcError:
            raise
        except Exception as error:
            raise failed(self._nodes[index], error) from error
        values[self._pile].append(memory)

    def timed(self, values: Values) -> dict[Node, float]:
        """Compute the block and tell the seconds that each node took."""
        memory = values[self._pile].pop()
        arrays = self._arrays(values, memory)
        seconds: dict[Node, float] = {}
        for node, step in zip(self._nodes, self._steps, strict=True):
            started = perf_counter()
            step(arrays)
            seconds[node] = perf_counter() - started
        values[self._pile].append(memory)
        return seconds
