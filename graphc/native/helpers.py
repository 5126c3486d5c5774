"""Other threads that help a run: workers of the process's pool, which look for open stages until none comes any more.

A helper may stay from one run to the next, or come after the run it was called for has ended: it works on whatever
stage of the workspace is open, and keeps the workspace alive as long as it looks at it.
"""

from __future__ import annotations

import ctypes
import os
from time import monotonic
from weakref import WeakSet

from graphc.executor.threads import POOL
from graphc.native.code.library import LIBRARY
from graphc.native.workspace import Workspace

SOON = 5e-4
"""Helpers look for work a little longer than so many seconds."""
_helped: WeakSet[Workspace] = WeakSet()


def _forget() -> None:
    """A forked child has none of its parent's threads."""
    for workspace in _helped:
        workspace.helpers.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


class Helpers:
    """Calls workers to a workspace; while they are there it costs nothing."""

    def __init__(self, threads: int, *, eager: bool = True) -> None:
        """Workers that are not `eager` come only where runs follow one another at once."""
        self._wanted, self._eager = threads - 1, eager
        self._native = ctypes.CFUNCTYPE(None, ctypes.c_int64)(LIBRARY.driver.addresses[1])

    def call(self, workspace: Workspace) -> None:
        """Call as many workers as are missing."""
        missing = self._wanted - len(workspace.helpers)
        if missing > 0 and (self._eager or self._is_loop(workspace)):
            _helped.add(workspace)
            for _ in range(missing):
                workspace.helpers.append(None)
                POOL.lend(self._help, workspace)

    def _is_loop(self, workspace: Workspace) -> bool:
        """Whether the last call was just now."""
        before, workspace.called = workspace.called, monotonic()
        return workspace.called - before < SOON

    def _help(self, workspace: Workspace) -> None:
        self._native(workspace.context)
        workspace.helpers.pop()
