"""The state of variables: whole arrays, swapped at the end of a run, never written while anybody reads them.

A run that updates a variable writes into its spare buffer; only when the whole run has succeeded do the new arrays
become current, all together. So a failed run leaves every variable as it was, a run that only reads sees the values
of one moment, and training allocates nothing.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from weakref import WeakSet

import numpy as np


class Gate:
    """Closed while some thread exchanges buffers by Python code; `False` means that none does, which native code sees.

    A native call looks at it, and never gives up the interpreter's lock between that and the end of its own exchange.
    """

    __slots__ = ("closed",)

    def __init__(self) -> None:
        self.closed = False


GATE = Gate()


class Buffer:
    """An array and how many runs are reading it."""

    __slots__ = ("array", "readers")

    def __init__(self, array: np.ndarray[Any, Any]) -> None:
        self.array = array
        self.readers = 0


class State:
    """What a variable holds now, and the spare buffer its next value may be written to."""

    __slots__ = ("__weakref__", "current", "spare", "writing")

    def __init__(self, array: np.ndarray[Any, Any] | None) -> None:
        self.current = None if array is None else Buffer(array)
        self.spare: Buffer | None = None
        self.writing = threading.RLock()
        _states.add(self)

    @property
    def array(self) -> np.ndarray[Any, Any] | None:
        """The current array, not to be written."""
        return None if self.current is None else self.current.array

    def assign(self, array: np.ndarray[Any, Any]) -> None:
        """Make an array that nobody else holds the current value."""
        with self.writing:
            self.current = Buffer(array)


_states: WeakSet[State] = WeakSet()
_swapping = threading.Lock()


def _fresh_locks() -> None:
    """A forked child has one thread: whatever lock another thread held is free."""
    global _swapping
    _swapping = threading.Lock()
    GATE.closed = False
    for state in _states:
        state.writing = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_fresh_locks)


@contextmanager
def _exchanging() -> Iterator[None]:
    """What happens inside is one step for all who look at the buffers of variables."""
    with _swapping:
        try:
            GATE.closed = True
            yield
        finally:
            GATE.closed = False


@contextmanager
def reading(states: Sequence[State]) -> Iterator[list[np.ndarray[Any, Any]]]:
    """The current arrays of some variables, all of one moment, unchanged until the block ends."""
    with _exchanging():
        held = [state.current for state in states]
        for buffer in held:
            buffer.readers += 1  # type: ignore[union-attr]
    try:
        yield [buffer.array for buffer in held]  # type: ignore[union-attr]
    finally:
        with _exchanging():
            for buffer in held:
                buffer.readers -= 1  # type: ignore[union-attr]


@contextmanager
def writing(states: Sequence[State]) -> Iterator[list[np.ndarray[Any, Any]]]:
    """Buffers for the next values of some variables; they become current, all together, if the block succeeds."""
    with ExitStack() as locks:
        for state in sorted(states, key=id):
            locks.enter_context(state.writing)
        targets = [_take_spare(state) for state in states]
        try:
            yield [target.array for target in targets]
        except BaseException:
            for state, target in zip(states, targets, strict=True):
                state.spare = target
            raise
        with _exchanging():
            for state, target in zip(states, targets, strict=True):
                state.spare, state.current = state.current, target


def _take_spare(state: State) -> Buffer:
    with _exchanging():
        spare, state.spare = state.spare, None
        if spare is not None and spare.readers == 0:
            return spare
    return Buffer(np.empty_like(state.array))
