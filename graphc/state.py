"""The state of variables: whole arrays, swapped at the end of a run, never written while anybody reads them.

A run that updates a variable writes into its spare buffer; only when the whole run has succeeded do the new arrays
become current, all together. So a failed run leaves every variable as it was, a run that only reads sees the values
of one moment, and training allocates nothing.

Native code does the same without locks, since nobody else runs Python code while it looks and while it exchanges
buffers. Between the two it may let go of the interpreter's lock. So it claims what it writes, which Python code waits
for, and counts itself at the buffers that it only reads. A native run that cannot fail once it has begun overwrites
large values that it needs no more (`graphc.native.overwriting`), unless somebody reads them: then it has no spare one.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from operator import attrgetter, methodcaller
from typing import Any, TypeVar
from weakref import WeakSet

import numpy as np

from graphc.errors import ExecutionError
from graphc.gate import GATE, PATIENCE
from graphc.signals import let_through

Result = TypeVar("Result")


class Buffer:
    """An array and how many runs are reading it: counted by Python code, and by native code that ends at any time."""

    __slots__ = ("array", "readers", "runs")

    def __init__(self, array: np.ndarray[Any, Any]) -> None:
        self.array = array
        self.readers = 0
        self.runs = 0

    @property
    def is_read(self) -> bool:
        """Whether it must not be written."""
        return bool(self.readers or self.runs)


class Claim:
    """What a run by Python code marks the variables by that it writes."""


class State:
    """What a variable holds now, and the spare buffer its next value may be written to.

    It is `claimed` while a native run writes that value, by the number of the run's thread, and `overwritten` while it
    does so where the current one lies. Who waits leaves a lock in `wanted`, which the run lets go of, and no other
    native run claims the variable before. Between its stretches, handlers of signals may take away what a run has
    claimed: then it begins anew. So does a run by Python code, which has the lock `writing` and leaves a `Claim` of its
    own: that keeps native runs away, and nobody waits for it. Should an interrupt leave it there, the next such run
    puts it right.
    """

    __slots__ = ("__weakref__", "claimed", "current", "overwritten", "spare", "wanted", "writing")

    def __init__(self, array: np.ndarray[Any, Any] | None) -> None:
        self.current = None if array is None else Buffer(array)
        self.spare: Buffer | None = None
        self.writing = threading.RLock()
        self.claimed: int | Claim = False
        self.overwritten = False
        self.wanted: Any = None
        _states.add(self)

    @property
    def array(self) -> np.ndarray[Any, Any] | None:
        """The current array, not to be written."""
        return None if self.current is None else self.current.array

    def assign(self, array: np.ndarray[Any, Any]) -> None:
        """Make an array that nobody else holds the current value."""
        buffer = Buffer(array)

        def exchange() -> None:
            self.claimed, self.current = False, buffer

        _in_turn([self], lambda: _when_not("claimed", [self], exchange))

    def spare_one(self) -> None:
        """Make a spare buffer, if the next value cannot be written to the one there is. Called by native code."""
        self.spare = _writable(self, self.spare)


LONGEST_WAIT = 10.0
"""After so many seconds a signal's handler no longer waits for a thread that may wait for what it has interrupted."""
MOST_ATTEMPTS = 10
MOMENT = 0.001
_CURRENT, _CLAIMED = attrgetter("current"), attrgetter("claimed")
_states: WeakSet[State] = WeakSet()


def _hold_still() -> None:
    """Let no run begin, and wait until no value is half overwritten: the process is about to be copied."""
    GATE.begin_fork()
    while any(state.overwritten for state in _every_state()) and not sys.is_finalizing():
        time.sleep(MOMENT)


def _every_state() -> list[State]:
    while True:
        try:
            return [*_states]
        except RuntimeError as error:  # another thread has declared a variable meanwhile
            let_through(error)


def _fresh_locks() -> None:
    """A forked child has one thread: whatever lock another thread held is free."""
    GATE.renew()
    for state in _states:
        state.writing = threading.RLock()
        state.claimed, state.overwritten, state.wanted = False, False, None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_hold_still, after_in_parent=GATE.end_fork, after_in_child=_fresh_locks)


class reading:
    """The current arrays of some variables, all of one moment, unchanged until the block ends."""

    __slots__ = ("_held", "_states")

    def __init__(self, states: Sequence[State]) -> None:
        self._states = states

    def __enter__(self) -> list[np.ndarray[Any, Any]]:
        _when_not("overwritten", self._states, self._hold)
        return [buffer.array for buffer in self._held]

    def __exit__(self, *_: object) -> None:
        GATE.exchange(self._let_go)

    def _hold(self) -> None:
        self._held: list[Any] = [*map(_CURRENT, self._states)]  # in one step, between the exchanges of native runs
        for buffer in self._held:
            buffer.readers += 1

    def _let_go(self) -> None:
        for buffer in self._held:
            buffer.readers -= 1


def written(states: Sequence[State], run: Callable[[list[np.ndarray[Any, Any]]], Result]) -> Result:
    """What a run returns that is given arrays for the next values of some variables.

    They become current, all together, if it succeeds. Runs that write a variable wait for each other; a run into which
    a signal's handler comes that does so begins anew.
    """
    return _in_turn(states, lambda: _written(states, run))


def _in_turn(states: Sequence[State], function: Callable[[], Result]) -> Result:
    """What a function returns, while no other Python code writes some variables.

    A function and not a context, which an interrupt could keep from its end: other threads would wait for ever.
    """
    held: list[Any] = []
    releases = map(methodcaller("release"), held)
    try:
        for state in sorted(states, key=id):
            held.append(state.writing)  # before it is taken: an interrupt may come right after
            until = time.monotonic() + LONGEST_WAIT
            while not state.writing.acquire(timeout=PATIENCE):
                _disclaim()
                if time.monotonic() > until and _is_inner(held):
                    raise ExecutionError("the handler of a signal writes a variable that another thread writes, which "
                                         "waits for what the handler has interrupted",
                                         remedy="have handlers set a flag, and write the variable later")  # fmt: skip
        return function()
    finally:
        try:
            deque(releases, maxlen=0)  # in one step of the interpreter
        except RuntimeError as error:  # the last one was not taken
            let_through(error)


def _is_inner(held: Sequence[Any]) -> bool:
    """Whether this thread has locks that are not these: a signal's handler has come in the middle of something."""
    locks: list[Any] = [GATE.swapping, *(state.writing for state in _every_state())]
    return any(lock._is_owned() for lock in locks if all(lock is not other for other in held))


def _disclaim() -> None:
    """Take away what a native run of this thread has claimed, whose handler of a signal waits here for somebody who may
    wait for that."""
    mine = threading.get_ident()
    for state in _every_state():
        if state.claimed == mine:
            state.claimed = False


def _written(states: Sequence[State], run: Callable[[list[np.ndarray[Any, Any]]], Result]) -> Result:
    for _ in range(MOST_ATTEMPTS):
        is_written, result = _attempt(states, run)
        if is_written:
            return result
    raise ExecutionError("handlers of signals have written a variable in the middle of each of "
                         f"{MOST_ATTEMPTS} runs that write it",
                         remedy="have handlers set a flag, and write the variable later")  # fmt: skip


def _attempt(states: Sequence[State], run: Callable[[list[np.ndarray[Any, Any]]], Result]) -> tuple[bool, Result]:
    """Whether the next values are current now, and what the run has returned."""
    mine = Claim()
    targets = _take_spares(states, mine)
    try:
        result = run([target.array for target in targets])
    except BaseException:
        _when_not("claimed", states, lambda: _give_back(states, targets))
        raise
    is_written = _when_not("claimed", states, lambda: _swap(states, mine, targets))
    if not is_written:
        _when_not("claimed", states, lambda: _give_back(states, targets))
    return is_written, result


def spared(states: Sequence[State]) -> None:
    """See to it that there are spare buffers, as if runs had been before."""
    _when_not("claimed", states, lambda: deque(map(State.spare_one, states), maxlen=0))


def _take_spares(states: Sequence[State], mine: Claim) -> list[Buffer]:
    def take() -> list[Buffer | None]:
        spares = [state.spare for state in states]
        for state in states:
            state.spare, state.claimed = None, mine
        return spares

    return [*map(_writable, states, _when_not("claimed", states, take))]


def _writable(state: State, spare: Buffer | None) -> Buffer:
    """A spare buffer, or a new one: a signal's handler may have made it current before it was taken."""
    return Buffer(np.empty_like(state.array)) if spare is None or spare.is_read or spare is state.current else spare


def _when_not(busy: str, states: Sequence[State], exchange: Callable[[], Any]) -> Any:
    """What an exchange of buffers returns, made when none of these variables is claimed, or overwritten."""
    while True:
        is_made, made = GATE.exchange(lambda: _unless(busy, states, exchange))
        if is_made:
            return made
        if made.acquire(timeout=PATIENCE):
            made.release()  # others may wait for the same


def _unless(busy: str, states: Sequence[State], exchange: Callable[[], Any]) -> tuple[bool, Any]:
    """Whether an exchange was made, and what it returns or a lock that a native run will let go of before it can be."""
    mine = threading.get_ident()  # whose run waits itself, for the handler of a signal that calls this
    awaited = next((state for state in states if _is_native(claim := getattr(state, busy)) and claim != mine), None)
    if awaited is None or sys.is_finalizing():  # then its thread has ended
        for state in states:
            if not _is_native(state.claimed):  # else somebody else may wait
                state.wanted = None
        return True, exchange()
    if awaited.wanted is None:
        left = threading.Lock()
        left.acquire()
        awaited.wanted = left
    return False, awaited.wanted


def _is_native(claim: object) -> bool:
    """Whether a native run has left it."""
    return bool(claim) and not isinstance(claim, Claim)


def _give_back(states: Sequence[State], targets: Sequence[Buffer]) -> None:
    for state, target in zip(states, targets, strict=True):
        state.spare, state.claimed = target, False


def _swap(states: Sequence[State], mine: Claim, targets: Sequence[Buffer]) -> bool:
    """Targets become current, and what was current spare, unless a signal's handler has written meanwhile.

    No interrupt parts the look at the claims from the changes, nor the changes: each is one step of the interpreter.
    """
    before = [state.current for state in states]
    names = [name for name in ("spare", "current", "claimed") for _ in states]
    claims, untouched = map(_CLAIMED, states), [mine] * len(states)
    changes = map(setattr, [*states] * 3, names, [*before, *targets, *[False] * len(states)])
    return [*claims] == untouched and not deque(changes, maxlen=0)
