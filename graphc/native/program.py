"""A graph as a native program: planned once, run many times, by any number of threads at once."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from time import perf_counter
from typing import Any

import numpy as np

from graphc.errors import CompileError, GraphcError
from graphc.evaluate import failed
from graphc.executor.blas import SINGLE_THREADED_BLAS
from graphc.executor.report import Description, Level, Profile
from graphc.executor.threads import available_cores
from graphc.ir import Graph, Node, Variable
from graphc.native.calls.capi import FIT, can_enter
from graphc.native.calls.record import MOST_KEPT
from graphc.native.calls.results import Results
from graphc.native.code.failure import LLVMError
from graphc.native.code.host import Loaded
from graphc.native.code.library import LIBRARY
from graphc.native.describe import describe, levels_of
from graphc.native.driver import DRIVE
from graphc.native.driver.layout import FINE, WORD_BYTES
from graphc.native.emit import Emitted, emit
from graphc.native.finishing import is_product
from graphc.native.image import Segment
from graphc.native.kernel import facts
from graphc.native.loops.table import has_loops
from graphc.native.memory import plan_memory
from graphc.native.objects import knows_objects
from graphc.native.overwriting import last_ones, overwriting
from graphc.native.schedule import repays_waking, schedule
from graphc.native.storage import storage_of
from graphc.native.workers import Helpers
from graphc.native.works import works_of
from graphc.native.workspace import Workspace

Array = np.ndarray[Any, Any]


class NoDriver(CompileError):
    """The machine runs native code, and yet what runs a program's kernels could not be compiled."""


class NativeProgram:
    """A planned graph of kernels. Runs may overlap: each works in a workspace of its own, kept for later runs."""

    def __init__(self, graph: Graph, threads: int | None = None, updated: Sequence[Variable] = ()) -> None:
        """`threads=None` means the cores this process may use. The last outputs, the next values of `updated`, get
        targets; the others will be fresh arrays."""
        if not knows_objects():
            raise CompileError("this Python keeps lists and arrays in a way that the native backend does not know",
                               remedy='use backend="numpy"')  # fmt: skip
        self.graph = graph
        self.threads = threads or available_cores()
        self._fresh = len(graph.outputs) - len(updated)
        self.storage = storage_of(graph, self._fresh, facts.is_kernel, is_product, has_loops)
        self.works = works_of(self.storage, self._fresh)
        last = last_ones(self.works.listed, updated, self.storage)
        parts = ([work for work in self.works.listed if (work in last) is late] for late in (False, True))
        self.stages = [stage for part in parts for stage in schedule(part, self.threads)]
        self.memories = plan_memory(self.stages, self.storage, self._fresh)
        self._drive = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(_driver().addresses[DRIVE])
        found = overwriting(updated, self.stages, self.storage)
        self.emitted = emit(self.storage, self.stages, self.memories, self._fresh, overwriting=found)
        self.results = {given.output: Results(given.shape, given.dtype) for given in self.emitted.given
                        if given.output < self._fresh}  # fmt: skip
        self._steps = _with_words(self.emitted)
        self._is_native = all(word for _, word in self._steps)
        self.positions = {status: status.node for work in self.works.listed for status in work.statuses}
        self.overwritten = found.variables if found.variables and self.enters else ()
        """The variables that a run may update where they lie."""
        self.workspaces: list[Workspace] = []
        """Those that no run has. Native code takes from the list and adds to it, too."""
        self.equip: Callable[[Workspace], Any] | None = None
        """Makes what native code needs of a workspace, if it runs the program."""
        self._passing = self.emitted.passing
        shared = any(stage.shared for stage in self.stages)
        eager = repays_waking(self.stages, self.threads)
        self.helpers = Helpers(self.threads, eager=eager) if shared else None
        self._call = self._caller()

    @cached_property
    def enters(self) -> bool:
        """Whether calls can be native code; a first call need not know."""
        return self._is_native and _makes_results(self.emitted) and can_enter()

    def run(self, inputs: Sequence[Array], state: Mapping[Variable, Array],
            targets: Sequence[Array | None]) -> list[Any]:  # fmt: skip
        """The outputs, each a fresh array, a NumPy scalar for rank 0, or the target it was written to.

        Inputs and state are read only. Raises ExecutionError, naming the node, if a body fails.
        """
        try:
            workspace = self.workspaces.pop()
        except IndexError:
            workspace = self.new_workspace()
        values = workspace.values
        self._fill(values, self.emitted, inputs, state, targets)
        self._run_steps(workspace, values)
        results = [values[slot] for slot in self.emitted.outputs]
        for index in self.emitted.numbers:
            results[index] = results[index][()]
        self.give_back(workspace)  # after an error it is dropped
        for index, source in self.results.items():
            if targets[index] is None:
                source.given(results[index])
        return _with_targets(results, targets)

    def _fill(self, values: list[Any], emitted: Emitted, inputs: Sequence[Array],
              state: Mapping[Variable, Array], targets: Sequence[Array | None]) -> None:  # fmt: skip
        """Put in place what the caller gives."""
        for slot, array in zip(emitted.inputs, inputs, strict=True):
            values[slot] = array if array.flags.num & FIT == FIT else np.require(array, requirements=["C", "A"])
        for index in emitted.objects:
            values[emitted.inputs[index]] = inputs[index][()]
        for slot, variable in emitted.variables:
            values[slot] = state[variable]
        for index, slot, _, _ in emitted.given:
            target = targets[index]
            values[slot] = self.results[index].array() if target is None else target

    def _run_steps(self, workspace: Workspace, values: list[Any]) -> None:
        if self._is_native:
            for _, word in self._steps:
                if self.helpers is not None:
                    self.helpers.call(workspace)
                self._drive(workspace.context + WORD_BYTES * word)
        else:
            self._run_mixed(workspace, values)
        if self.positions:
            self.check(workspace)

    def _run_mixed(self, workspace: Workspace, values: list[Any]) -> None:
        """Native code and NumPy in turn."""
        with np.errstate(all="ignore"):
            self._call(lambda: self._run_each(workspace, values))

    def _run_each(self, workspace: Workspace, values: list[Any]) -> None:
        step: Any = None
        try:
            for step, word in self._steps:
                if word:
                    if self.helpers is not None:
                        self.helpers.call(workspace)
                    self._drive(workspace.context + WORD_BYTES * word)
                else:
                    step(values)
        except GraphcError:
            raise
        except Exception as error:
            node = self.emitted.steps.node_of.get(step)
            if node is None:
                raise  # native code raises nothing: a signal's handler has, while it ran
            raise failed(node, error) from error

    def give_back(self, workspace: Workspace) -> None:
        """Keep a workspace for later runs, without this one's arrays."""
        values = workspace.values
        for slot in self._passing:
            values[slot] = None
        if self.equip is not None and not hasattr(workspace, "entry"):
            workspace.entry = self.equip(workspace)
        if len(self.workspaces) < MOST_KEPT:
            self.workspaces.append(workspace)

    def check(self, workspace: Workspace) -> None:
        """Raise ExecutionError where a position was outside."""
        if (workspace.statuses == FINE).all():
            return
        order = self.emitted.image.order
        for status, word in zip(order, workspace.statuses.tolist(), strict=True):
            if word != FINE:
                raise failed(self.positions[status], status.problem(word))

    def _caller(self) -> Callable[[Callable[[], None]], None]:
        """What calls a function that runs the program: it holds BLAS to one thread, where NumPy computes products."""
        if not any(work.task is None and work.node.op.blas for work in self.works.listed):
            return lambda function: function()
        SINGLE_THREADED_BLAS.find_libraries()
        return SINGLE_THREADED_BLAS.call

    def new_workspace(self, emitted: Emitted | None = None) -> Workspace:
        """Memory for one run at a time."""
        chosen = emitted or self.emitted
        made = Workspace(self.storage, self.memories, chosen.image, chosen.slots)
        if self.helpers is not None and emitted is None:
            self.helpers.equip(made)
        return made

    @property
    def peak_bytes(self) -> int:
        """The bytes that a run needs beyond inputs, state and targets: workspace, results, and what bodies allocate.

        What is kept of earlier results (see `describe`) is not counted, nor are workspaces of runs at the same time.
        """
        return self.describe().peak_bytes

    def levels(self) -> list[Level]:
        """The nodes by level, and how each level runs."""
        return levels_of(self.graph, self.stages, self.threads)

    def describe(self) -> Description:
        """The plan in numbers, kernel by kernel."""
        outputs = [self.graph.outputs[given.output] for given in self.emitted.given if given.output < self._fresh]
        fresh = sum(node.type.nbytes for node in outputs)
        kept = sum(source.most_bytes for source in self.results.values())
        return describe(self.works, self.stages, self.memories, self.emitted, self.threads, fresh, kept,
                        updated=len(self.graph.outputs) - self._fresh, overwritten=len(self.overwritten))  # fmt: skip

    def profile(self, inputs: Sequence[Array], state: Mapping[Variable, Array],
                targets: Sequence[Array | None]) -> Profile:  # fmt: skip
        """Seconds per node and per level, each kernel on its own on one thread; the results are discarded."""
        emitted = emit(self.storage, self.stages, self.memories, self._fresh, alone=True)
        workspace = self.new_workspace(emitted)
        values = workspace.values
        self._fill(values, emitted, inputs, state, targets)
        seconds: dict[Node, float] = {}
        started = perf_counter()

        def run() -> None:
            for step, word in _with_words(emitted):
                before = perf_counter()
                if word:
                    self._drive(workspace.context + WORD_BYTES * word)
                else:
                    step(values)
                node = emitted.steps.node_of.get(step)
                if node is not None:
                    seconds[node] = seconds.get(node, 0.0) + perf_counter() - before

        with np.errstate(all="ignore"):
            self._call(run)
        levels = tuple(sum(seconds.get(node, 0.0) for node in level) for level in self.graph.levels())
        return Profile(seconds, levels, perf_counter() - started)


def _driver() -> Loaded:
    """The driver, which is compiled since before the program was planned."""
    try:
        return LIBRARY.driver
    except LLVMError as error:
        raise NoDriver(f"compiling the driver of native programs failed: {error}",
                       remedy='use backend="numpy"') from error  # fmt: skip


def _makes_results(emitted: Emitted) -> bool:
    """Whether native code makes all results: numbers from the workspace, and else the arrays given for them."""
    given, passing = {given.slot for given in emitted.given}, set(emitted.passing)
    return all(slot not in passing if index in emitted.numbers else slot in given
               for index, slot in enumerate(emitted.outputs))  # fmt: skip


def _with_words(emitted: Emitted) -> list[tuple[Any, int]]:
    """The steps, with the place of each segment's record; 0 marks a Python step."""
    return [(step, step.word if isinstance(step, Segment) else 0) for step in emitted.steps.listed]


def _with_targets(results: list[Any], targets: Sequence[Array | None]) -> list[Any]:
    for index, target in enumerate(targets):
        if target is not None and results[index] is not target:
            np.copyto(target, results[index])
            results[index] = target
    return results
