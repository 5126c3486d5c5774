"""Other threads that help runs: workers of the process, which sleep in native code until a run invites them."""

from __future__ import annotations

import ctypes
import os
import threading
from time import perf_counter
from typing import Any
from weakref import ref

import numpy as np

from graphc.locks import exclusively
from graphc.native.code.library import LIBRARY
from graphc.native.driver import DISMISS, SERVE
from graphc.native.driver.layout import LET_GO, LOCK, POOL, PRESENT, RUNNING, TAKE, WANTED, WORD_BYTES, WORKER_WORDS
from graphc.native.workspace import Workspace, aligned
from graphc.signals import let_through

SOON = 5e-4
"""Workers look for work a little longer than so many seconds."""
MOST_WORKERS = 1023
_DRIVER = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class Pool:
    """The workers of a process and their words, which native code reads; kept until the process ends."""

    def __init__(self) -> None:
        self.words = aligned((1 + MOST_WORKERS) * WORKER_WORDS * WORD_BYTES).view(np.int64)
        self.address: int = self.words.ctypes.data
        self._contexts: dict[int, tuple[ref[Workspace], Any]] = {}
        """By address, whose words workers may look at: kept until they have left, whatever becomes of the workspace."""
        self.forget()

    def have(self, count: int) -> None:
        """Make workers until there are so many, or the system has no more threads: runs go on with those there are."""
        if self.words[0] < count:
            exclusively(self._making, lambda: self._fill_up(count))

    def _fill_up(self, count: int) -> None:
        try:
            for number in range(int(self.words[0]), min(count, MOST_WORKERS)):
                self._make(number)
        except RuntimeError as error:
            let_through(error)

    def _make(self, number: int) -> None:
        at = (1 + number) * WORKER_WORDS
        lock = _allocate()
        _take(lock, 1)
        self.words[at : at + WORKER_WORDS] = 0
        self.words[[at + LOCK, at + TAKE, at + LET_GO]] = lock, _address(_take), _address(_let_go)
        serve = _DRIVER(LIBRARY.driver.addresses[SERVE])
        threading.Thread(target=serve, args=(self.address + WORD_BYTES * at,), name=f"graphc-native-{number}",
                         daemon=True).start()  # fmt: skip
        self.words[0] = number + 1  # not where the thread could not start

    def serve(self, workspace: Workspace) -> None:
        """Let runs in a workspace invite workers, who leave before its memory goes."""
        for context, (owner, _) in tuple(self._contexts.items()):
            if owner() is None:  # an interrupt has ended what `dismiss` began
                self.dismiss(context)
        workspace.words[POOL] = self.address
        self._contexts[workspace.context] = ref(workspace), workspace.words
        self._leave = _DRIVER(LIBRARY.driver.addresses[DISMISS])
        workspace.dismiss = self.dismiss

    def dismiss(self, context: int, present: int = PRESENT) -> None:
        """Have all workers leave a workspace that goes, perhaps at exit, when this module has lost its names."""
        _, words = self._contexts.get(context, (None, None))
        if words is not None and words[present]:
            self._leave(context)
        self._contexts.pop(context, None)

    def forget(self) -> None:
        """Begin without workers: a forked child has none of its parent's threads."""
        self._making = threading.RLock()
        self.words[0] = 0
        for _, words in self._contexts.values():
            words[[WANTED, PRESENT, RUNNING]] = 0


def _python(name: str, result: Any, *arguments: Any) -> Any:
    return ctypes.PYFUNCTYPE(result, *arguments)((name, ctypes.pythonapi))


def _address(function: Any) -> int:
    return ctypes.cast(function, ctypes.c_void_p).value or 0


_allocate = _python("PyThread_allocate_lock", ctypes.c_void_p)
_take = _python("PyThread_acquire_lock", ctypes.c_int, ctypes.c_void_p, ctypes.c_int)
_let_go = _python("PyThread_release_lock", None, ctypes.c_void_p)
"""Python's own locks, for which a thread needs no interpreter."""

WORKERS = Pool()
"""Those of this process."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=WORKERS.forget)


class Helpers:
    """The workers that runs of a program want; while they are there it costs nothing."""

    def __init__(self, threads: int, *, eager: bool = True) -> None:
        """Workers that are not `eager` come only where runs follow one another at once."""
        self.wanted, self.eager = threads - 1, eager
        WORKERS.have(self.wanted)

    def equip(self, workspace: Workspace) -> None:
        """Let runs in a workspace invite workers."""
        WORKERS.serve(workspace)
        workspace.words[WANTED] = self.wanted if self.eager else 0

    def call(self, workspace: Workspace) -> None:
        """Before a run: say how many workers it invites where some are missing."""
        if workspace.words[PRESENT] < self.wanted:
            WORKERS.have(self.wanted)
            workspace.words[WANTED] = self.wanted if self.eager or self._is_loop(workspace) else 0

    def _is_loop(self, workspace: Workspace) -> bool:
        """Whether the last call was just now."""
        before, workspace.called = workspace.called, perf_counter()
        return workspace.called - before < SOON
