"""Running graphs: what a program is, and the one that calls NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from graphc.executor.program import Arrays, NumpyProgram, State, Targets
from graphc.executor.report import Description, Level, Profile
from graphc.ir import Variable

__all__ = ["Description", "Level", "NumpyProgram", "Profile", "Program"]


class Program(Protocol):
    """A graph of static types, planned, which runs any number of times and from any number of threads at once."""

    @property
    def peak_bytes(self) -> int:
        """The bytes that a run needs beyond inputs, state and targets, known before it."""

    overwritten: tuple[Variable, ...]
    """The variables that a run may update where they lie."""

    def run(self, inputs: Arrays, state: State, targets: Targets) -> list[Any]:
        """The outputs of the graph, from arrays for its inputs and its variables, which are only read.

        `targets` has for each output None, for a fresh array (a NumPy scalar for rank 0), or a C-contiguous array that
        takes the output's value. Raises ExecutionError, naming the node, if a body fails.
        """

    def levels(self) -> Sequence[Level]:
        """The nodes by level, and how each level runs."""

    def describe(self) -> Description:
        """The plan in numbers."""

    def profile(self, inputs: Arrays, state: State, targets: Targets) -> Profile:
        """Seconds per node and per level of a run whose results are discarded."""
