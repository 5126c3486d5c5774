"""BLAS is held to one thread while programs run: the graph's threads and its own must not multiply, and how it splits a
product among threads would change the result's last bits."""

from __future__ import annotations

import os
import sys
import threading
from typing import Any

from threadpoolctl import ThreadpoolController

from graphc.locks import exclusively


class SingleThreadedBlas:
    """A context in which the BLAS libraries of the process use one thread each; ends with the last of its users."""

    def __init__(self) -> None:
        self._libraries: list[Any] = []
        self._modules = 0
        self.reset()

    def reset(self) -> None:
        """Start anew, as after a fork in the middle of other threads' runs."""
        self._lock = threading.RLock()
        self._users = 0
        self._threads: list[int] = []

    def find_libraries(self) -> None:
        """Look for BLAS libraries, unless no module was imported since the last time (a look takes a millisecond)."""
        if len(sys.modules) != self._modules:
            found = ThreadpoolController().select(user_api="blas").lib_controllers
            exclusively(self._lock, lambda: self._keep(found))

    def _keep(self, found: list[Any]) -> None:
        if self._users == 0:
            self._libraries, self._modules = found, len(sys.modules)

    def __enter__(self) -> None:
        exclusively(self._lock, self._begin)

    def __exit__(self, *error: object) -> None:
        exclusively(self._lock, self._end)

    def _begin(self) -> None:
        if self._users == 0:
            self._threads = [library.get_num_threads() for library in self._libraries]
            self._set([1] * len(self._libraries))
        self._users += 1

    def _end(self) -> None:
        if self._users == 1:
            self._set(self._threads)
        self._users = max(self._users - 1, 0)  # a fork inside the context has reset it

    def _set(self, threads: list[int]) -> None:
        for library, count in zip(self._libraries, threads, strict=True):
            library.set_num_threads(count)

    def restore_in_child(self) -> None:
        """A forked child has none of the runs of its parent's other threads."""
        if self._users:
            self._set(self._threads)
        self.reset()


SINGLE_THREADED_BLAS = SingleThreadedBlas()
"""The one for this process."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=SINGLE_THREADED_BLAS.restore_in_child)
