"""BLAS is held to one thread while programs run: the graph's threads and its own must not multiply, and how it splits a
product among threads would change the result's last bits."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from threadpoolctl import ThreadpoolController

from graphc.locks import exclusively

Result = TypeVar("Result")


class SingleThreadedBlas:
    """The BLAS libraries of the process, which use one thread each until the last of its users has ended."""

    def __init__(self) -> None:
        self._libraries: list[Any] = []
        self._modules = 0
        self.reset()

    def reset(self) -> None:
        """Start anew, as after a fork in the middle of other threads' runs."""
        self._lock = threading.RLock()
        self._users: set[object] = set()
        self._threads: list[int] | None = None
        """How many each library has of its own; None while it has them."""

    def find_libraries(self) -> None:
        """Look for BLAS libraries, unless no module was imported since the last time (a look takes a millisecond)."""
        if len(sys.modules) != self._modules:
            found = ThreadpoolController().select(user_api="blas").lib_controllers
            exclusively(self._lock, lambda: self._keep(found))

    def call(self, function: Callable[[], Result]) -> Result:
        """What a function returns that uses BLAS. No context holds it, which an interrupt could keep from its end."""
        user, interrupt = object(), None
        try:
            exclusively(self._lock, lambda: self._hold(user))
            return function()
        finally:
            while user in self._users or (self._threads is not None and not self._users):
                try:
                    exclusively(self._lock, lambda: self._let_go(user))
                except KeyboardInterrupt as error:  # for later: BLAS would keep one thread
                    interrupt = error
            if interrupt is not None:
                raise interrupt

    def _keep(self, found: list[Any]) -> None:
        if self._threads is None:
            self._libraries, self._modules = found, len(sys.modules)

    def _hold(self, user: object) -> None:
        if self._threads is None:
            self._threads = [library.get_num_threads() for library in self._libraries]
        if not self._users:
            self._set([1] * len(self._libraries))
        self._users.add(user)

    def _let_go(self, user: object) -> None:
        self._users.discard(user)
        if not self._users and self._threads is not None:  # a fork in the middle of a run has reset it
            self._set(self._threads)
            self._threads = None

    def _set(self, threads: list[int]) -> None:
        for library, count in zip(self._libraries, threads, strict=True):
            library.set_num_threads(count)

    def restore_in_child(self) -> None:
        """A forked child has none of the runs of its parent's other threads."""
        if self._threads is not None:
            self._set(self._threads)
        self.reset()


SINGLE_THREADED_BLAS = SingleThreadedBlas()
"""The one for this process."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=SINGLE_THREADED_BLAS.restore_in_child)
