"""The entry of a program: the records of addresses that native code runs a call by, where a call needs no Python.

A program that is native code all the way has one. A short one keeps the interpreter's lock, since letting go of it
would take longer, and has one record. A long one, and one that wants other threads, has a record for each workspace.
What calls NumPy goes through `NativeProgram.run`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from sys import intern
from typing import Any

import numpy as np

from graphc.ir import Node
from graphc.native.calls import record
from graphc.native.calls.capi import kind_of
from graphc.native.code.library import LIBRARY
from graphc.native.driver import DRIVE
from graphc.native.driver.layout import IN_OBJECT, PATCH_WORDS, WORD_BYTES
from graphc.native.emit import Given
from graphc.native.image import Segment
from graphc.native.program import NativeProgram
from graphc.native.workspace import Workspace
from graphc.state import State

LONGEST_NS = 100_000.0
"""A fiftieth of the time after which Python's threads take turns."""

Rebuild = Callable[[Iterator[Any]], Any]
Patches = dict[int, list[tuple[int, int]]]


class Entry:
    """A record, and the objects whose addresses stand in it."""

    __slots__ = ("kept", "record")

    def __init__(self, names: Sequence[str], fields: dict[str, int], kept: list[Any]) -> None:
        self.record = np.array([fields.get(name, 0) for name in names], np.int64)
        self.kept = kept


def entry_of(program: NativeProgram, states: Sequence[State], updated: Sequence[State],
             rebuild: Rebuild) -> Entry | None:  # fmt: skip
    """The entry of a program whose results `rebuild` puts in shape, or None where it has to be run by Python."""
    segments = [step for step in program.emitted.steps.listed if isinstance(step, Segment)]
    if not segments or not program.enters:
        return None
    writer = Writer(program, segments, states, updated, rebuild)
    pooled = tuple(program.workspaces)  # of which other threads take some
    workspace = pooled[0] if pooled else program.new_workspace()
    names = [intern(str(node.name)) for node in program.graph.inputs]  # as names in calls are
    table = np.array([id(name) for name in names], np.int64)
    fields = {"count": len(names), "names": table.ctypes.data}
    kept = [program, writer, LIBRARY, names, table]  # the code too, when the interpreter ends
    if program.helpers is not None or len(segments) > 1 or segments[0].ns > LONGEST_NS:
        program.equip = writer.entry
        for other in pooled:
            other.entry = writer.entry(other)
        if not pooled:
            program.give_back(workspace)
        return Entry(record.CALL, fields | {"pool": id(program.workspaces)}, kept)
    workspace = program.new_workspace()
    run = writer.entry(workspace, shared=False)
    return Entry(record.CALL, fields | {"run": run.record.ctypes.data}, [*kept, workspace, run])


class Writer:
    """What is the same in all records of a program."""

    def __init__(self, program: NativeProgram, segments: Sequence[Segment], states: Sequence[State],
                 updated: Sequence[State], rebuild: Rebuild) -> None:  # fmt: skip
        self.emitted, self.inputs = program.emitted, program.graph.inputs
        self.segments, self.helpers, self.sources = segments, program.helpers, program.results
        self.updated, self.results = updated, len(program.emitted.outputs) - len(updated)
        self.overwritten = {variable.state for variable in program.overwritten}
        self.read = [(state, slot) for state, (slot, _) in zip(states, self.emitted.variables, strict=True)]
        self.numbers = {index: self.emitted.outputs[index] for index in self.emitted.numbers}
        self.container, self.finish = _container(rebuild, self.results)
        self.help = None if self.helpers is None else self.helpers.call

    def entry(self, workspace: Workspace, *, shared: bool = True) -> Entry:
        """The record for runs in a workspace; those of one that several threads share may use memory of results."""
        return _Record(self, workspace).write(shared=shared)


class _Record:
    """The tables of a record."""

    def __init__(self, writer: Writer, workspace: Workspace) -> None:
        self.of, self.workspace = writer, workspace
        self.kept: list[Any] = []
        self.patches: Patches = {}
        self.segments = [(self._without_patches(segment),) for segment in writer.segments]

    def _without_patches(self, segment: Segment) -> int:
        """A segment like the program's without what the driver would write for each slot, which is put down."""
        words, at = self.workspace.words, segment.word
        first, end, patch, patched = words[at : at + 4].tolist()
        for word, slot, offset in words[patch:patched].reshape(-1, PATCH_WORDS).tolist():
            address = self.workspace.context + WORD_BYTES * word
            self.patches.setdefault(slot, []).append((address, 0 if offset == IN_OBJECT else offset))
        start, _ = self._table([first, end, patch, patch, 0])
        self.kept[-1][-1] = (start - self.workspace.context) // WORD_BYTES
        return start

    def write(self, *, shared: bool) -> Entry:
        of, workspace = self.of, self.workspace
        given = [one for one in of.emitted.given if one.output < of.results]
        fetched = [one for one in given if shared and of.sources[one.output].keeps]
        outputs = {one.output for one in fetched}
        targets = [(of.updated[one.output - of.results], one.slot)
                   for one in of.emitted.given if one.output >= of.results]  # fmt: skip
        written = [(id(state), *self._patched(slot)) for state, slot in targets if state not in of.overwritten]
        overwritten = [(id(state), *self._patched(slot), 0) for state, slot in targets if state in of.overwritten]
        counted = [state for state, _ in of.read if not any(state is other for other in of.updated)]
        statuses = workspace.statuses
        fields = {
            "drive": LIBRARY.driver.addresses[DRIVE],
            "statuses": statuses.ctypes.data, "statuses_end": statuses.ctypes.data + statuses.nbytes,
            "container": of.container, "size": of.results, "finish": 0 if of.finish is None else id(of.finish),
            "context": workspace.context,
        }  # fmt: skip
        if of.helpers is not None:
            fields |= {"wanted": of.helpers.wanted, "lazy": not of.helpers.eager, "help": id(of.help)}
        fields |= self._section("arguments", [self._argument(i, node) for i, node in enumerate(of.inputs)])
        fields |= self._section("kept", map(self._fetched, fetched))
        fields |= self._section("arrays", [self._array(one) for one in given if one.output not in outputs])
        fields |= self._section("reads", [(id(state), *self._patched(slot)) for state, slot in of.read])
        fields |= self._section("writes", written) | self._section("overwrites", overwritten)
        fields |= self._section("segments", self.segments)
        fields |= self._section("counted", [(id(state), self._cell()) for state in counted])
        fields |= self._section("numbers", [self._number(index, workspace.values[slot])
                                            for index, slot in of.numbers.items()])  # fmt: skip
        return Entry(record.RUN, fields, self.kept)

    def _argument(self, index: int, node: Node) -> tuple[int, ...]:
        kind = node.array_type
        types: tuple[type | None, ...] = (None, None, None, None)
        whole = _whole(kind.dtype) if index in self.of.emitted.objects else None
        if index in self.of.emitted.objects:
            scalar = kind.dtype.type
            types = (scalar, float if kind.dtype == np.float64 else None, float if kind.dtype == np.float32 else None,
                     None if whole is None else int)  # fmt: skip
        addresses = [0 if one is None else id(one) for one in types]
        shape = kind.static_shape
        return (*addresses, *(whole or (0, 0, 0)), self._cell(), kind_of(kind.dtype), len(shape), *self._table(shape),
                *self._patched(self.of.emitted.inputs[index]))  # fmt: skip

    def _fetched(self, given: Given) -> tuple[int, ...]:
        source = self.of.sources[given.output]
        self.kept += [source.array, source.given]
        functions = id(self.kept[-2]), id(self.kept[-1])
        return WORD_BYTES * given.output, self._cell(), *functions, *self._patched(given.slot)

    def _array(self, given: Given) -> tuple[int, ...]:
        dims, _ = self._table(given.shape)
        return WORD_BYTES * given.output, id(given.dtype), len(given.shape), dims, *self._patched(given.slot)

    def _number(self, index: int, array: np.ndarray[Any, Any]) -> tuple[int, ...]:
        self.kept.append(array.dtype)
        return WORD_BYTES * index, id(array.dtype), array.ctypes.data

    def _patched(self, slot: int) -> tuple[int, int]:
        return self._table([word for patch in self.patches.get(slot, ()) for word in patch])

    def _section(self, name: str, rows: Iterable[tuple[int, ...]]) -> dict[str, int]:
        first, end = self._table([word for row in rows for word in row])
        return {name: first, f"{name}_end": end}

    def _cell(self) -> int:
        """A word to write to."""
        return self._table([0])[0]

    def _table(self, words: Sequence[int]) -> tuple[int, int]:
        """Words in memory: where they begin and end."""
        table = np.array(words, np.int64)
        self.kept.append(table)
        return table.ctypes.data, table.ctypes.data + table.nbytes


def _whole(dtype: np.dtype[Any]) -> tuple[int, int, int] | None:
    """Which of Python's integers native code takes for a dtype, those that it holds exactly, and in which form."""
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        return int(limits.min), min(int(limits.max), np.iinfo(np.int64).max), record.WHOLE
    if dtype.kind != "f" or dtype.itemsize < 4:
        return None
    most = 1 << (np.finfo(dtype).nmant + 1)
    return -most, most, record.DOUBLE if dtype == np.float64 else record.SINGLE


def _container(rebuild: Rebuild, results: int) -> tuple[int, Callable[[list[Any]], Any] | None]:
    """What results come in, and a function of the list where that is more than one flat container."""
    marks = [object() for _ in range(results)]
    made = rebuild(iter(marks))
    if results == 1 and made is marks[0]:
        return record.ALONE, None
    if type(made) in (list, tuple) and list(made) == marks:
        return record.LIST if type(made) is list else record.TUPLE, None
    if type(made) is dict and list(made.values()) == marks:
        keys = tuple(made)
        return record.LIST, lambda values: dict(zip(keys, values, strict=True))
    return record.LIST, lambda values: rebuild(iter(values))
