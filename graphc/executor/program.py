"""A graph as a program of NumPy calls: planned once, run many times, by any number of threads at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from graphc.errors import GraphcError
from graphc.evaluate import failed
from graphc.executor.blas import SINGLE_THREADED_BLAS
from graphc.executor.cost import operations, static_shape
from graphc.executor.describe import describe, levels_of
from graphc.executor.emit import emit
from graphc.executor.plan import make_plan, new_workspace, result_bytes
from graphc.executor.profile import profile
from graphc.executor.report import Description, Level, Profile
from graphc.executor.threads import available_cores
from graphc.ir import Graph, Variable

Arrays = Sequence[np.ndarray[Any, Any]]
State = Mapping[Variable, np.ndarray[Any, Any]]
Targets = Sequence[np.ndarray[Any, Any] | None]

LEAST_BLAS_OPERATIONS = 10_000.0
"""A product of fewer operations is not split among BLAS's threads, so that they need not be held."""
WORKSPACES_KEPT = 8


class NumpyProgram:
    """A planned graph. Runs may overlap: each works in a workspace of its own, kept for later runs."""

    overwritten: tuple[Variable, ...] = ()
    """Every variable has a spare array: any call of NumPy may fail."""

    def __init__(self, graph: Graph, threads: int | None = None, updated: Sequence[Variable] = (), *,
                 debug: bool = False) -> None:  # fmt: skip
        """`threads=None` means the cores this process may use. `debug` looks for the first NaN or inf. The last
        outputs, the next values of `updated`, get targets; the others will be fresh arrays: for `peak_bytes`."""
        self.plan = plan = make_plan(graph, 1 if debug else threads or available_cores(), debug=debug)
        self._emitted = emit(plan, debug=debug)
        self._steps = tuple(step for stage in self._emitted.stages for step in stage)
        self._result_bytes = result_bytes(plan, len(graph.outputs) - len(updated))
        self._workspaces: list[list[Any]] = []
        self._call = _caller(graph)
        self._variables = [(plan.slots[variable], variable) for variable in graph.variables]
        given = dict(plan.given())
        self._given = [(index, slot, static_shape(graph.outputs[index].array_type), graph.outputs[index].dtype)
                       for index, slot in given.items()]  # fmt: skip
        self._late = [(index, slot, not graph.outputs[index].shape) for index, slot in enumerate(plan.outputs)
                      if index not in given]  # fmt: skip

    def run(self, inputs: Arrays, state: State, targets: Targets) -> list[Any]:
        """The outputs, each a fresh array, a NumPy scalar for rank 0, or the target it was written to.

        Inputs and state are read only. Raises ExecutionError, naming the node, if a body fails.
        """
        workspace = self._take_workspace()
        values = workspace.copy()
        self._fill(values, inputs, state, targets)
        with np.errstate(all="ignore"):
            self._call(lambda: self._run_steps(values))
        if len(self._workspaces) < WORKSPACES_KEPT:  # after an error it is dropped, with whatever state it is in
            self._workspaces.append(workspace)
        return self._finish(values, targets)

    def _take_workspace(self) -> list[Any]:
        try:
            return self._workspaces.pop()
        except IndexError:
            return new_workspace(self.plan)

    def _fill(self, values: list[Any], inputs: Arrays, state: State, targets: Targets) -> None:
        """Put in place what the caller gives, inputs in order: plans and last bits must not depend on strides."""
        values[: len(inputs)] = [np.asarray(array, order="C") for array in inputs]
        for slot, variable in self._variables:
            values[slot] = state[variable]
        for index, slot, shape, dtype in self._given:
            target = targets[index]
            values[slot] = np.empty(shape, dtype) if target is None else target

    def _run_steps(self, values: list[Any]) -> None:
        step: Any = None
        try:
            for step in self._steps:
                step(values)
        except GraphcError:
            raise
        except Exception as error:
            node = self._emitted.node_of.get(step)
            if node is None:
                raise  # runs and groups name their nodes themselves: a signal's handler has raised it
            raise failed(node, error) from error

    def _finish(self, values: list[Any], targets: Targets) -> list[Any]:
        results = [values[slot] for slot in self.plan.outputs]
        for index, slot, is_number in self._late:
            target = targets[index]
            if target is not None:
                np.copyto(target, values[slot])
                results[index] = target
            elif is_number:
                results[index] = values[slot][()]
        return results

    @property
    def peak_bytes(self) -> int:
        """The bytes that a run needs beyond inputs, state and targets: workspace, results, and what bodies allocate."""
        return self.describe().peak_bytes

    def levels(self) -> list[Level]:
        """The nodes by level, and how each level runs."""
        return levels_of(self.plan)

    def describe(self) -> Description:
        """The plan in numbers."""
        return describe(self.plan, "numpy", self._result_bytes)

    def profile(self, inputs: Arrays, state: State, targets: Targets) -> Profile:
        """Seconds per node and per level; it runs twice, and the results are discarded."""

        def values() -> list[Any]:
            fresh = new_workspace(self.plan)
            self._fill(fresh, inputs, state, targets)
            return fresh

        with np.errstate(all="ignore"):
            measured: Profile = self._call(lambda: profile(self.plan, self._emitted, values))
            return measured


def _caller(graph: Graph) -> Callable[[Callable[[], Any]], Any]:
    """What calls a function that runs the graph: it holds BLAS to one thread where that matters."""
    if not any(node.op.blas and operations(node) >= LEAST_BLAS_OPERATIONS for node in graph.nodes):
        return lambda function: function()
    SINGLE_THREADED_BLAS.find_libraries()
    return SINGLE_THREADED_BLAS.call
