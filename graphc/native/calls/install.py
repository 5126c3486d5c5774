"""The functions for calls, compiled when they are first needed, and the method of `Executable` that calls them."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from typing import Any, NamedTuple

import numpy as np

from graphc.gate import GATE, Gate
from graphc.ir import warn
from graphc.locks import exclusively
from graphc.native.calls import calling
from graphc.native.calls.capi import FAST_WITH_NAMES, Method, functions, method, slot_of
from graphc.native.calls.entry import Entry
from graphc.native.calls.frame import METHODS, SHARED
from graphc.native.calls.record import CALL, PLACES
from graphc.native.calls.walker import TABLE
from graphc.native.code.failure import LLVMError
from graphc.native.code.library import LIBRARY
from graphc.native.driver.layout import WORD_BYTES
from graphc.native.workspace import Workspace
from graphc.signals import look
from graphc.state import Buffer, State

_installing = threading.RLock()


def _fresh_lock() -> None:
    """A forked child has one thread: if another one held the lock, it is free."""
    global _installing
    _installing = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_fresh_lock)


def install(owner: type, entry: Entry) -> bool:
    """Have native code run calls of a class's instances that have this entry; False where that cannot be compiled.

    The class keeps the code, and what it knows by address: all goes together.
    """
    return exclusively(_installing, lambda: _installed(owner, entry))


def _installed(owner: type, entry: Entry) -> bool:
    if not hasattr(owner, KEPT):
        setattr(owner, KEPT, {})
    kept = getattr(owner, KEPT)
    form = "long" if entry.record[CALL.index("pool")] else "short"
    try:
        for name in ("method", form):
            if name not in kept:
                kept[name] = _compiled(owner, name)
    except LLVMError as error:
        warn(f"calls go through Python, because their native code could not be made: {error}")
        return False
    entry.record[CALL.index("code")] = kept[form].address
    if "__call__" not in kept:
        definition = Method(b"__call__", kept["method"].address, FAST_WITH_NAMES, _DOCUMENTATION)
        kept["__call__"] = method(owner, definition), definition
    made = kept["__call__"][0]
    if owner.__call__ is not made:  # an interrupt may have come between the two
        owner.__call__ = made  # type: ignore[method-assign]
    return True


class _Code(NamedTuple):
    address: int
    kept: list[Any]


def _compiled(owner: type, name: str) -> _Code:
    slots = ((owner, "_entry"), (Entry, "record"), (Workspace, "entry"), (Gate, "closed"), (State, "current"),
             (State, "spare"), (State, "claimed"), (State, "overwritten"), (State, "wanted"), (Buffer, "array"),
             (Buffer, "readers"), (Buffer, "runs"))  # fmt: skip
    places = dict(zip(PLACES, (slot_of(*slot) for slot in slots), strict=True))
    # What the text depends on beside its writers: to write it takes longer than to find its code.
    structure = "call", name, sys.version, np.__version__, object.__basicsize__, tuple(places.items())
    made = LIBRARY.kernel(structure, lambda: calling.text(places, name), "call", TABLE)
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
    return _Code(start, [code, objects])


KEPT, SLOW = "_native_call", "_slow"
_DOCUMENTATION = b"__call__($self, /, *args, **named)\n--\n\n" \
                 b"Run on arrays given by position or by name, and write the updates if the run succeeds."  # fmt: skip
