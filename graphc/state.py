"""The state of variables: whole arrays, swapped at the end of a run, never written while anybody reads them.

A run that updates a variable writes into its spare buffer; only when the whole run has succeeded do the new arrays
become current, all together. So a failed run leaves every variable as it was, a run that only reads sees the values
of one moment, and training allocates nothing.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from operator import methodcaller
from typing import Any, TypeVar
from weakref import WeakSet

import numpy as np

Result = TypeVar("Result")


class Gate:
    """Closed while some thread exchanges buffers by Python code, which it does under a lock.

    A native call looks at it instead of taking the lock, and keeps the interpreter's from then to the end of its own
    exchange. Should an interrupt leave it closed, calls are slower until the next exchange opens it.
    """

    __slots__ = ("closed",)

    def __init__(self) -> None:
        self.closed = False

    def __enter__(self) -> None:
        self.closed = True

    def __exit__(self, *_: object) -> None:
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


class reading:
    """The current arrays of some variables, all of one moment, unchanged until the block ends."""

    __slots__ = ("_held", "_states")

    def __init__(self, states: Sequence[State]) -> None:
        self._states = states

    def __enter__(self) -> list[np.ndarray[Any, Any]]:
        with _swapping, GATE:
            self._held: list[Any] = [state.current for state in self._states]
            for buffer in self._held:
                buffer.readers += 1
        return [buffer.array for buffer in self._held]

    def __exit__(self, *_: object) -> None:
        with _swapping, GATE:
            for buffer in self._held:
                buffer.readers -= 1


def written(states: Sequence[State], run: Callable[[list[np.ndarray[Any, Any]]], Result]) -> Result:
    """What a run returns that is given arrays for the next values of some variables.

    They become current, all together, if it succeeds. Runs that write a variable wait for each other. A function and
    not a context, which an interrupt could keep from its end: other threads would wait for ever.
    """
    held: list[Any] = []
    releases = map(methodcaller("release"), held)
    try:
        for state in sorted(states, key=id):
            held.append(state.writing)  # before it is taken: an interrupt may come right after
            state.writing.acquire()
        targets = _take_spares(states)
        try:
            result = run([target.array for target in targets])
        except BaseException:
            _give_back(states, targets)
            raise
        with _swapping, GATE:
            _swap(states, targets)
        return result
    finally:
        try:  # noqa: SIM105  # an interrupt could come within suppress
            deque(releases, maxlen=0)  # in one step of the interpreter
        except RuntimeError:  # the last one was not taken
            pass


def _take_spares(states: Sequence[State]) -> list[Buffer]:
    with _swapping, GATE:
        spares = [state.spare for state in states]
        for state in states:
            state.spare = None
    return [spare if spare is not None and spare.readers == 0 else Buffer(np.empty_like(state.array))
            for state, spare in zip(states, spares, strict=True)]  # fmt: skip


def _give_back(states: Sequence[State], targets: Sequence[Buffer]) -> None:
    with _swapping, GATE:
        for state, target in zip(states, targets, strict=True):
            state.spare = target


def _swap(states: Sequence[State], targets: Sequence[Buffer]) -> None:
    """Targets become current, and what was current spare, in one step of the interpreter, which no interrupt parts."""
    before = [state.current for state in states]
    names = ["spare"] * len(states) + ["current"] * len(states)
    deque(map(setattr, [*states, *states], names, [*before, *targets]), maxlen=0)
