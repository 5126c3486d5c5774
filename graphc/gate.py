"""The gate: native calls look whether it is closed before they begin, instead of taking the lock of Python code."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from graphc.locks import exclusively
from graphc.signals import let_through

Result = TypeVar("Result")
PATIENCE = 0.1
"""After so many seconds who waits looks for itself."""


class Gate:
    """Closed while some thread exchanges buffers by Python code, which it does under the lock `swapping`, or forks.

    Should an interrupt leave it closed, calls are slower until the next exchange opens it.
    """

    __slots__ = ("closed", "forking", "swapping")

    def __init__(self) -> None:
        self.renew()

    def __enter__(self) -> None:
        self.closed = True

    def __exit__(self, *_: object) -> None:
        self.closed = bool(self.forking)

    def exchange(self, function: Callable[[], Result]) -> Result:
        """What an exchange of buffers returns, while no other one is made."""
        if self.is_inside():
            self.closed = True  # the interrupted exchange opens it
            return function()

        def gated() -> Result:
            with self:
                return function()

        return exclusively(self.swapping, gated)

    def is_inside(self) -> bool:
        """Whether this thread exchanges buffers already: a signal's handler has come in the middle of that."""
        return bool(self.swapping._is_owned())  # type: ignore[attr-defined]

    def begin_fork(self) -> None:
        """Close until this thread has forked."""
        self.forking.add(threading.get_ident())
        self.closed = True

    def end_fork(self) -> None:
        """Open, unless another thread exchanges buffers still, which then opens it."""
        self.forking.discard(threading.get_ident())
        is_inner = self.is_inside()
        try:
            if self.swapping.acquire(timeout=PATIENCE):
                self.closed = is_inner or bool(self.forking)
        finally:
            try:
                self.swapping.release()
            except RuntimeError as error:  # it was not taken
                let_through(error)

    def renew(self) -> None:
        """Begin open: a forked child has one thread, and whatever lock another one held is free."""
        self.closed = False
        self.forking: set[int] = set()
        """The threads that do."""
        self.swapping = threading.RLock()


GATE = Gate()
