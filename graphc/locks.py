"""Locks that an interrupt does not leave taken, and those of imports, for which a fork waits."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from threading import get_ident
from typing import Any, TypeVar

from graphc.signals import let_through

Result = TypeVar("Result")
LOADED = frozenset({"graphc", "llvmlite", "numpy", "opt_einsum", "platformdirs", "scipy", "sympy", "threadpoolctl"})
"""The packages of which graphc imports modules when they are first needed."""
PATIENCE = 10.0
"""A fork waits at most so many seconds for an import."""
MOMENT = 0.001


def exclusively(lock: Any, function: Callable[[], Result]) -> Result:
    """What a function returns, while this thread has an RLock.

    No context holds the lock: from Python 3.14 on, an interrupt may come when one is entered, before its block begins.
    """
    try:
        lock.acquire()
        return function()
    finally:
        try:
            lock.release()
        except RuntimeError as error:  # it was not taken
            let_through(error)


def _await_imports() -> None:
    """Before a fork, let other threads end imports: a child has modules half made, and locks that nobody frees."""
    until = time.monotonic() + PATIENCE
    while any(map(_is_taken, _import_locks())) and time.monotonic() < until:
        time.sleep(MOMENT)


def _import_locks() -> list[Any]:
    """Python's own, one for each module being imported; none where Python keeps them otherwise."""
    locks = getattr(sys.modules.get("_frozen_importlib"), "_module_locks", {})
    return [lock() for name, lock in locks.copy().items() if name.partition(".")[0] in LOADED]


def _is_taken(lock: Any) -> bool:
    return getattr(lock, "owner", None) not in (None, get_ident())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_await_imports)
