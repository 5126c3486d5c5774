"""What all parts of a call share: the record, the ways out, tables, and patches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from llvmlite import ir

from graphc.native.calls import record
from graphc.native.calls.capi import NUMPY, PYTHON
from graphc.native.calls.walker import Walker
from graphc.native.code.scalars import I64, POINTER
from graphc.native.objects import ARRAY_DATA

METHODS = ("release", "spare_one")
"""What is called of locks and states, by name."""
SHARED = (
    *PYTHON, *NUMPY, "ndarray", "none", "zero", "one", "false", "true", "gate", "slow", "get_ident", "look", *METHODS,
)  # fmt: skip
"""What the process has once: functions, types, objects. The gate is `false` unless some thread exchanges buffers."""
VOID = ir.VoidType()


class Frame(Walker):
    """The function being written, what it holds, and where it goes when a call is not just what the program takes.

    `slow` goes to Python at once; `reject` and `failed` let go of all that is held first, and then `reject` goes to
    Python, while `failed` returns without a result, with an exception set.
    """

    def __init__(self, places: dict[str, int], *, long: bool = False) -> None:
        super().__init__("call", POINTER, [POINTER, POINTER, I64, POINTER], SHARED)
        self.places = places
        self.entry, self.run, self.pool, self.workspace, self.container, self.lone, self.mark, self.thread = (
            self.variable(POINTER, self.null) for _ in range(8))  # fmt: skip
        self.long = long
        """Whether the program is, so that several threads may run it at once."""

    @cached_property
    def slow(self) -> Any:
        """A way out, see above."""
        return self.block("slow")

    @cached_property
    def reject(self) -> Any:
        """Another one."""
        return self.block("reject")

    @cached_property
    def failed(self) -> Any:
        """The third one."""
        return self.block("failed")

    def of_call(self, name: str, kind: Any = POINTER) -> Any:
        """A word of the entry's own record."""
        return self.field(self.data(self.load(self.load(self.entry), self.places["record"])), record.CALL, name, kind)

    def of_run(self, name: str, kind: Any = POINTER) -> Any:
        """A word of the record that the run goes by."""
        return self.field(self.load(self.run), record.RUN, name, kind)

    def rows(self, name: str, fields: tuple[str, ...]) -> Any:
        """Every row of a table of the run's record."""
        return self.each(self.of_run(name), self.of_run(f"{name}_end"), len(fields))

    def patch(self, row: Any, fields: tuple[str, ...], base: Any) -> None:
        """Write a pointer wherever the driver and the kernels look for it."""
        first, end = (self.field(row, fields, name) for name in ("patches", "patches_end"))
        with self.each(first, end, len(record.PATCH)) as (patch, _):
            self.store(self.at(base, self.field(patch, record.PATCH, "bytes", I64)),
                       self.field(patch, record.PATCH, "word"))  # fmt: skip

    def data(self, array: Any) -> Any:
        """Where an array's elements lie."""
        return self.load(array, ARRAY_DATA)

    def is_set(self, place: Any) -> Any:
        """Whether a variable is a pointer to anything."""
        return self.b.not_(self.same(self.load(place), self.null))

    def hold(self, thing: Any) -> None:
        """One more reference."""
        self.call("Py_IncRef", VOID, thing)

    def drop(self, thing: Any) -> None:
        """One reference less, where there is a thing."""
        self.call("Py_DecRef", VOID, thing)

    @contextmanager
    def unlocked(self) -> Iterator[None]:
        """Without the interpreter's lock."""
        self.store(self.call("PyEval_SaveThread", POINTER), self.thread)
        yield
        self.call("PyEval_RestoreThread", VOID, self.load(self.thread))

    def call_object(self, name: str) -> Any:
        """What a shared object returns that is called without arguments."""
        return self.call("PyObject_Vectorcall", POINTER, self.shared(name), self.null, I64(0), self.null)

    def method(self, thing: Any, name: str) -> Any:
        """What a method without arguments returns."""
        place = self.variable(POINTER)
        self.store(thing, place)
        return self.call("PyObject_VectorcallMethod", POINTER, self.shared(name), place, I64(1), self.null)

    def or_failed(self, made: Any) -> Any:
        """What a function of Python has returned, which is no object where it raised."""
        self.leave_if(self.same(made, self.null), self.failed)
        return made
