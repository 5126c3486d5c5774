"""Locks that an interrupt does not leave taken."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from graphc.signals import let_through

Result = TypeVar("Result")


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
