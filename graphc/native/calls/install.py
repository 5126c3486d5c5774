"""The one function for all calls, made a method of `Executable` when it is first needed."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from typing import Any

import numpy as np

from graphc.ir import warn
from graphc.locks import exclusively
from graphc.native.calls import calling
from graphc.native.calls.capi import FAST_WITH_NAMES, Method, functions, method, slot_of
from graphc.native.calls.entry import Entry
from graphc.native.calls.frame import METHODS, SHARED
from graphc.native.calls.record import PLACES
from graphc.native.calls.walker import TABLE
from graphc.native.code.failure import LLVMError
from graphc.native.code.library import LIBRARY
from graphc.native.driver.layout import WORD_BYTES
from graphc.native.workspace import Workspace
from graphc.signals import look
from graphc.state import GATE, Buffer, Gate, State

_installing = threading.RLock()


def _fresh_lock() -> None:
    """A forked child has one thread: if another one held the lock, it is free."""
    global _installing
    _installing = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_fresh_lock)


def install(owner: type) -> bool:
    """Make native code the `__call__` of a class whose instances may have an entry; False where that fails.

    The class keeps the code, and what it knows by address: all goes together.
    """
    return exclusively(_installing, lambda: _installed(owner))


def _installed(owner: type) -> bool:
    if not hasattr(owner, KEPT):
        try:
            definition, kept = _compiled(owner)
        except LLVMError as error:
            warn(f"calls go through Python, because their native code could not be made: {error}")
            return False
        setattr(owner, KEPT, (method(owner, definition), definition, kept))
    made = getattr(owner, KEPT)[0]
    if owner.__call__ is not made:  # an interrupt may have come between the two
        owner.__call__ = made  # type: ignore[method-assign]
    return True


def _compiled(owner: type) -> tuple[Method, list[Any]]:
    slots = ((owner, "_entry"), (Entry, "record"), (Workspace, "entry"), (Gate, "closed"), (State, "current"),
             (State, "spare"), (State, "claimed"), (State, "overwritten"), (State, "wanted"), (Buffer, "array"),
             (Buffer, "readers"), (Buffer, "runs"))  # fmt: skip
    places = dict(zip(PLACES, (slot_of(*slot) for slot in slots), strict=True))
    # What the text depends on beside its writers: to write it takes longer than to find its code.
    structure = "call", sys.version, np.__version__, object.__basicsize__, tuple(places.items())
    made = LIBRARY.kernel(structure, lambda: calling.text(places), "call", TABLE)
    LIBRARY.finish([made])
    code = made.loaded
    start, where = code.addresses
    table = ctypes.CFUNCTYPE(ctypes.c_void_p)(where)()
    objects = {"ndarray": np.ndarray, "none": None, "zero": 0, "one": 1, "false": False, "true": True, "gate": GATE,
               "slow": SLOW, "get_ident": threading.get_ident, "look": look}  # fmt: skip
    objects |= {name: name for name in METHODS}
    shared = functions() | {name: id(thing) for name, thing in objects.items()}
    for place, name in enumerate(SHARED):
        ctypes.c_int64.from_address(table + WORD_BYTES * place).value = shared[name]
    return Method(b"__call__", start, FAST_WITH_NAMES, _DOCUMENTATION), [code, objects]


KEPT, SLOW = "_native_call", "_slow"
_DOCUMENTATION = b"__call__($self, /, *args, **named)\n--\n\n" \
                 b"Run on arrays given by position or by name, and write the updates if the run succeeds."  # fmt: skip
