"""The entry of a program: the record of addresses that native code runs a call by, where a call needs no Python.

Only short programs have one, because the call keeps the interpreter's lock: letting go of it would take longer. All
else (longer programs, or such that call NumPy or other threads) goes through `NativeProgram.run`.
"""

from __future__ import annotations

import ctypes
import os
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from sys import intern
from typing import Any

import numpy as np

from graphc.ir import Node
from graphc.native.calls import calling
from graphc.native.calls.capi import FAST_WITH_NAMES, Method, can_enter, functions, kind_of, method, slot_of
from graphc.native.code.library import LIBRARY
from graphc.native.driver import IN_OBJECT, PATCH_WORDS, WORD_BYTES
from graphc.native.emit import Given
from graphc.native.image import Segment
from graphc.native.program import NativeProgram
from graphc.state import GATE, Buffer, Gate, State

LONGEST_NS = 100_000.0
"""A fiftieth of the time after which Python's threads take turns."""

Rebuild = Callable[[Iterator[Any]], Any]
Patches = dict[int, list[tuple[int, int]]]


class Entry:
    """The record of a program, and the objects whose addresses stand in it."""

    __slots__ = ("kept", "record")

    def __init__(self, fields: dict[str, int], kept: list[Any]) -> None:
        self.record = np.array([fields.get(name, 0) for name in calling.RECORD], np.int64)
        self.kept = kept


def entry_of(program: NativeProgram, states: Sequence[State], updated: Sequence[State],
             rebuild: Rebuild) -> Entry | None:  # fmt: skip
    """The entry of a program whose results `rebuild` puts in shape, or None where it has to be run by Python."""
    listed = program.emitted.steps.listed
    if program.helpers is not None or len(listed) != 1 or not isinstance(listed[0], Segment) or not can_enter():
        return None
    if listed[0].ns > LONGEST_NS or not set(program.emitted.outputs) <= _made(program):
        return None
    return _Record(program, listed[0]).write(states, updated, rebuild)


def _made(program: NativeProgram) -> set[int]:
    """The slots of outputs that stand there after a run."""
    emitted = program.emitted
    return {given.slot for given in emitted.given} | {emitted.outputs[index] for index in emitted.numbers}


class _Record:
    """The tables of a record, over a workspace that no other run uses."""

    def __init__(self, program: NativeProgram, segment: Segment) -> None:
        self.emitted, self.inputs = program.emitted, program.graph.inputs
        self.workspace = program.new_workspace()
        self.segment = self.workspace.context + WORD_BYTES * segment.word
        self.patches = self._take_patches(segment)
        self.kept: list[Any] = [program, self.workspace, LIBRARY]  # the code too, when the interpreter ends

    def _take_patches(self, segment: Segment) -> Patches:
        """What the driver would write for each slot, from now on without it."""
        words = self.workspace.words
        first, end = segment.word + 2, segment.word + 3
        patches: Patches = {}
        for word, slot, offset in words[words[first] : words[end]].reshape(-1, PATCH_WORDS).tolist():
            address = self.workspace.context + WORD_BYTES * word
            patches.setdefault(slot, []).append((address, 0 if offset == IN_OBJECT else offset))
        words[end] = words[first]
        return patches

    def write(self, states: Sequence[State], updated: Sequence[State], rebuild: Rebuild) -> Entry | None:
        emitted = self.emitted
        results = len(emitted.outputs) - len(updated)
        numbers = {index: self.workspace.values[emitted.outputs[index]] for index in emitted.numbers}
        if any(array is None for array in numbers.values()):
            return None  # an argument given back as it came
        given = [one for one in emitted.given if one.output < results]
        targets = [(updated[one.output - results], one.slot) for one in emitted.given if one.output >= results]
        read = [(state, slot) for state, (slot, _) in zip(states, emitted.variables, strict=True)]
        container, finish = _container(rebuild, results)
        names = [intern(str(node.name)) for node in self.inputs]  # as names in calls are
        statuses = self.workspace.statuses
        self.kept += [states, updated, finish, names, *(one.dtype for one in given)]
        fields = {
            "count": len(self.inputs), "names": self._table([id(name) for name in names])[0],
            "drive": LIBRARY.driver.addresses[0], "segment": self.segment,
            "statuses": statuses.ctypes.data, "statuses_end": statuses.ctypes.data + statuses.nbytes,
            "container": container, "size": results, "finish": 0 if finish is None else id(finish),
        }  # fmt: skip
        fields |= self._section("arguments", [self._argument(i, node) for i, node in enumerate(self.inputs)])
        fields |= self._section("arrays", map(self._array, given))
        fields |= self._section("reads", [(id(state), *self._patched(slot)) for state, slot in read])
        fields |= self._section("writes", [(id(state), *self._patched(slot)) for state, slot in targets])
        fields |= self._section("numbers", [(WORD_BYTES * index, id(array.dtype), array.ctypes.data)
                                            for index, array in numbers.items()])  # fmt: skip
        return Entry(fields, self.kept)

    def _argument(self, index: int, node: Node) -> tuple[int, ...]:
        kind = node.array_type
        types: tuple[type | None, ...] = (None, None, None)
        if index in self.emitted.objects:
            scalar = kind.dtype.type
            types = (scalar, float if kind.dtype == np.float64 else None, float if kind.dtype == np.float32 else None)
        cell = self._table([0])[0]
        addresses = [0 if one is None else id(one) for one in types]
        shape = kind.static_shape
        return (*addresses, cell, kind_of(kind.dtype), len(shape), *self._table(shape),
                *self._patched(self.emitted.inputs[index]))  # fmt: skip

    def _array(self, given: Given) -> tuple[int, ...]:
        dims, _ = self._table(given.shape)
        return WORD_BYTES * given.output, id(given.dtype), len(given.shape), dims, *self._patched(given.slot)

    def _patched(self, slot: int) -> tuple[int, int]:
        return self._table([word for patch in self.patches.get(slot, ()) for word in patch])

    def _section(self, name: str, rows: Iterable[tuple[int, ...]]) -> dict[str, int]:
        first, end = self._table([word for row in rows for word in row])
        return {name: first, f"{name}_end": end}

    def _table(self, words: Sequence[int]) -> tuple[int, int]:
        """Words in memory: where they begin and end."""
        table = np.array(words, np.int64)
        self.kept.append(table)
        return table.ctypes.data, table.ctypes.data + table.nbytes


def _container(rebuild: Rebuild, results: int) -> tuple[int, Callable[[list[Any]], Any] | None]:
    """What results come in, and a function of the list where that is more than one flat container."""
    marks = [object() for _ in range(results)]
    made = rebuild(iter(marks))
    if results == 1 and made is marks[0]:
        return calling.ALONE, None
    if type(made) in (list, tuple) and list(made) == marks:
        return calling.LIST if type(made) is list else calling.TUPLE, None
    if type(made) is dict and list(made.values()) == marks:
        keys = tuple(made)
        return calling.LIST, lambda values: dict(zip(keys, values, strict=True))
    return calling.LIST, lambda values: rebuild(iter(values))


_installing = threading.Lock()


def _fresh_lock() -> None:
    """A forked child has one thread: if another one held the lock, it is free."""
    global _installing
    _installing = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_fresh_lock)


def install(owner: type) -> bool:
    """Make native code the `__call__` of a class whose instances may have an entry; False where that fails.

    The class keeps the code, and what it knows by address: all goes together.
    """
    with _installing:
        if not hasattr(owner, KEPT):
            try:
                definition, kept = _compiled(owner)
            except (RuntimeError, ValueError) as error:
                warnings.warn(f"calls go through Python, because their native code could not be made: {error}",
                              RuntimeWarning, stacklevel=2)  # fmt: skip
                return False
            setattr(owner, KEPT, (definition, kept))
            owner.__call__ = method(owner, definition)  # type: ignore[method-assign]
        return True


def _compiled(owner: type) -> tuple[Method, list[Any]]:
    slots = (owner, "_entry"), (Entry, "record"), (Gate, "closed"), (State, "current"), (State, "spare"), \
            (Buffer, "array"), (Buffer, "readers")  # fmt: skip
    places = dict(zip(calling.PLACES, (slot_of(*slot) for slot in slots), strict=True))
    code = LIBRARY.load(calling.text(places), "call", "shared")
    start, table = code.addresses
    objects = {"ndarray": np.ndarray, "none": None, "zero": 0, "gate": GATE, "open": False, "slow": SLOW}
    shared = functions() | {name: id(thing) for name, thing in objects.items()}
    for place, name in enumerate(calling.SHARED):
        ctypes.c_int64.from_address(table + WORD_BYTES * place).value = shared[name]
    return Method(b"__call__", start, FAST_WITH_NAMES, _DOCUMENTATION), [code, objects]


KEPT, SLOW = "_native_call", "_slow"
_DOCUMENTATION = b"__call__($self, /, *args, **named)\n--\n\n" \
                 b"Run on arrays given by position or by name, and write the updates if the run succeeds."  # fmt: skip
