"""The call as native code: one function for all programs, a method of `Executable`, which reads what to do in a record.

It takes arguments that are just what the program takes, makes the results, writes all their addresses into the
driver's words, exchanges the buffers of variables, and runs. From the check of the arguments to the end of the run no
Python code runs and the interpreter's lock is held, so nobody sees anything half done. Whatever it does not expect, a
position outside an axis too, leaves everything as it was and goes to the method `_slow`, which does the same or raises.

Tables lie in memory as rows of 64-bit words, told by the addresses where they begin and end.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from graphc.native.calls.capi import DIMS, DTYPE, FIT, FLAGS, KIND, NUMPY, PYTHON, RANK, TUPLE_ITEMS, TUPLE_SIZE, TYPE
from graphc.native.calls.walker import I32, I64, POINTER, CodePointer, Walker
from graphc.native.code.host import FINAL
from graphc.native.driver import ARRAY_DATA, LIST_ITEMS, WORD_BYTES
from graphc.native.loops.nests import FINE

FLOAT, DOUBLE = ir.FloatType(), ir.DoubleType()

SHARED = (*PYTHON, *NUMPY, "ndarray", "none", "zero", "gate", "open", "slow")
"""What the process has once: functions, types, objects. The gate is `open` unless some thread exchanges buffers."""
PLACES = ("entry", "record", "gate", "current", "spare", "array", "readers")
"""What is read of an executable, its entry, the gate, a state and a buffer: slots, whose places `text` is given."""

RECORD = ("count", "names", "arguments", "arguments_end", "arrays", "arrays_end", "reads", "reads_end", "writes",
          "writes_end", "numbers", "numbers_end", "statuses", "statuses_end", "drive", "segment", "container", "size",
          "finish")  # fmt: skip
"""What a program has: how many inputs, and their names, interned; its tables; the container of its results (ALONE,
LIST, TUPLE) and how many they are; and a function of the list that makes what was asked for, or 0."""
ALONE, LIST, TUPLE = range(3)

ARGUMENT = ("type", "subtype", "converted", "cell", "kind", "rank", "dims", "dims_end", "patches", "patches_end")
"""Two types of numbers that are read in place, or one of floats converted to f32 in a cell; or else an array."""
ARRAY = ("item", "dtype", "rank", "dims", "patches", "patches_end")
"""A result: which, and the array to make for it."""
STATE = ("state", "patches", "patches_end")
NUMBER = ("item", "dtype", "address")
PATCH = ("word", "bytes")
"""The address of a word, and what to add to the pointer that it is to hold."""


def text(places: dict[str, int]) -> str:
    """The function's IR, for objects that keep attributes at these places: a key of `PLACES` each.

    It is as fast without LLVM's passes, which would take 40 ms.
    """
    return FINAL + _Call(places).write()


class _Call(Walker):
    def __init__(self, places: dict[str, int]) -> None:
        super().__init__("call", POINTER, [POINTER, POINTER, I64, POINTER], SHARED)
        self.places = places
        self.container, self.lone = self.variable(POINTER, self.null), self.variable(POINTER, self.null)
        self.base = self.variable(POINTER)
        self.slow, self.reject, self.failed = map(self.block, ("slow", "reject", "failed"))

    def write(self) -> str:
        executable, given, count, names = self.function.args
        self.entry = self.load(executable, self.places["entry"])
        self.leave_if(self.same(self.entry, self.null), self.slow)
        self.record = self.load(self.load(self.entry, self.places["record"]), ARRAY_DATA)
        self.match(count, names)
        self.call("Py_IncRef", ir.VoidType(), self.entry)  # Python code that runs below may replace it
        self.contain()
        self.take(given)
        self.check_state()
        self.make_arrays()
        self.place_state()
        self.drive()
        self.make_numbers()
        self.swap()
        self.finish()
        self.write_ways_out(executable, given, count, names)
        return str(self.module)

    def of_record(self, name: str, kind: Any = POINTER) -> Any:
        return self.field(self.record, RECORD, name, kind)

    def rows(self, name: str, fields: tuple[str, ...]) -> Any:
        return self.each(self.of_record(name), self.of_record(f"{name}_end"), len(fields))

    def match(self, count: Any, names: Any) -> None:
        """Whether there are as many arguments as inputs, and the last ones are named, if at all, in the same order."""
        total = self.variable(I64, count)
        with self.b.if_then(self.b.not_(self.same(names, self.null))):
            self.store(self.b.add(count, self.load(names, TUPLE_SIZE, I64)), total)
        self.leave_unless(self.same(self.load(total, 0, I64), self.of_record("count", I64)), self.slow)
        with self.b.if_then(self.b.not_(self.same(names, self.null))):
            declared = self.at(self.of_record("names"), self.b.mul(count, I64(WORD_BYTES)))
            first, size = self.at(names, TUPLE_ITEMS), self.load(names, TUPLE_SIZE, I64)
            with self.each(first, self.at(first, self.b.mul(size, I64(WORD_BYTES))), 1) as (name, offset):
                self.leave_unless(self.same(self.load(name), self.load(declared, offset)), self.slow)

    def contain(self) -> None:
        """Make the container of the results. That may run Python code, so it comes before all else."""
        kind, size = self.of_record("container", I64), self.of_record("size", I64)
        place = self.variable(POINTER, self.lone)
        for number, function in ((LIST, "PyList_New"), (TUPLE, "PyTuple_New")):
            with self.b.if_then(self.same(kind, I64(number))):
                made = self.call(function, POINTER, size)
                self.leave_if(self.same(made, self.null), self.failed)
                self.store(made, self.container)
                self.store(self.load(made, LIST_ITEMS) if number == LIST else self.at(made, TUPLE_ITEMS), place)
        self.items = self.load(place)

    def take(self, given: Any) -> None:
        """Check the arguments, and write where they lie."""
        with self.rows("arguments", ARGUMENT) as (row, offset):
            thing = self.load(given, offset)
            kind = self.load(thing, TYPE)
            number = self.b.or_(*(self.same(kind, self.field(row, ARGUMENT, name)) for name in ("type", "subtype")))
            with self.b.if_else(number) as (is_number, other):
                with is_number:
                    self.store(self.at(thing, ARRAY_DATA), self.base)
                with other, self.b.if_else(self.same(kind, self.field(row, ARGUMENT, "converted"))) as (weak, rest):
                    with weak:
                        self.convert(thing, row)
                    with rest:
                        self.check_array(thing, kind, row)
            self.patch(row, ARGUMENT, self.load(self.base))

    def convert(self, number: Any, row: Any) -> None:
        """A Python float as f32, where the dtype's range holds it."""
        wide, cell = self.load(number, ARRAY_DATA, DOUBLE), self.field(row, ARGUMENT, "cell")
        narrow = self.b.fptrunc(wide, FLOAT)
        is_finite = self.b.fcmp_ordered("==", self.b.fsub(wide, wide), ir.Constant(DOUBLE, 0.0))
        fits = self.b.fcmp_ordered("==", self.b.fsub(narrow, narrow), ir.Constant(FLOAT, 0.0))
        self.leave_if(self.b.and_(is_finite, self.b.not_(fits)), self.reject)
        self.store(narrow, cell)
        self.store(cell, self.base)

    def check_array(self, thing: Any, kind: Any, row: Any) -> None:
        self.leave_unless(self.same(kind, self.shared("ndarray")), self.reject)
        self.leave_unless(self.same(self.load(self.load(thing, DTYPE), KIND, I64),
                                    self.field(row, ARGUMENT, "kind", I64)), self.reject)  # fmt: skip
        rank = self.b.sext(self.load(thing, RANK, I32), I64)
        self.leave_unless(self.same(rank, self.field(row, ARGUMENT, "rank", I64)), self.reject)
        self.leave_unless(self.same(self.b.and_(self.load(thing, FLAGS, I32), I32(FIT)), I32(FIT)), self.reject)
        actual = self.load(thing, DIMS)
        with self.each(self.field(row, ARGUMENT, "dims"), self.field(row, ARGUMENT, "dims_end"), 1) as (dim, offset):
            self.leave_unless(self.same(self.load(dim, 0, I64), self.load(actual, offset, I64)), self.reject)
        self.store(self.load(thing, ARRAY_DATA), self.base)

    def patch(self, row: Any, fields: tuple[str, ...], base: Any) -> None:
        """Write a pointer wherever the driver and the kernels look for it."""
        first, end = (self.field(row, fields, name) for name in ("patches", "patches_end"))
        with self.each(first, end, len(PATCH)) as (patch, _):
            self.store(self.at(base, self.field(patch, PATCH, "bytes", I64)), self.field(patch, PATCH, "word"))

    def check_state(self) -> None:
        """Whether variables have values and buffers that nobody reads for the next ones."""
        closed = self.b.not_(self.same(self.load(self.shared("gate"), self.places["gate"]), self.shared("open")))
        self.leave_if(closed, self.reject)
        with self.rows("reads", STATE) as (row, _):
            current = self.load(self.field(row, STATE, "state"), self.places["current"])
            self.leave_if(self.same(current, self.shared("none")), self.reject)
        with self.rows("writes", STATE) as (row, _):
            spare = self.load(self.field(row, STATE, "state"), self.places["spare"])
            self.leave_if(self.same(spare, self.shared("none")), self.reject)
            readers = self.load(spare, self.places["readers"])
            self.leave_unless(self.same(readers, self.shared("zero")), self.reject)

    def make_arrays(self) -> None:
        with self.rows("arrays", ARRAY) as (row, _):
            dtype, rank = self.field(row, ARRAY, "dtype"), self.field(row, ARRAY, "rank", I32)
            self.call("Py_IncRef", ir.VoidType(), dtype)  # the array will own it
            array = self.call("PyArray_NewFromDescr", POINTER, self.shared("ndarray"), dtype, rank,
                              self.field(row, ARRAY, "dims"), self.null, self.null, I32(0), self.null)  # fmt: skip
            self.store_item(row, ARRAY, array)
            self.patch(row, ARRAY, self.load(array, ARRAY_DATA))

    def place_state(self) -> None:
        for table, buffer in (("reads", "current"), ("writes", "spare")):
            with self.rows(table, STATE) as (row, _):
                held = self.load(self.field(row, STATE, "state"), self.places[buffer])
                self.patch(row, STATE, self.load(self.load(held, self.places["array"]), ARRAY_DATA))

    def drive(self) -> None:
        """Run, and see whether all positions were inside their axes."""
        code = self.of_record("drive", CodePointer(ir.VoidType(), [POINTER]))
        self.b.call(code, [self.of_record("segment")])
        faulty = self.block("faulty")
        with self.rows("statuses", ("status",)) as (status, _):
            self.leave_unless(self.same(self.load(status, 0, I64), I64(FINE)), faulty)
        onward = self.b.block
        self.b.position_at_end(faulty)
        with self.rows("statuses", ("status",)) as (status, _):
            self.store(I64(FINE), status)
        self.b.branch(self.reject)
        self.b.position_at_end(onward)

    def make_numbers(self) -> None:
        with self.rows("numbers", NUMBER) as (row, _):
            address, dtype = self.field(row, NUMBER, "address"), self.field(row, NUMBER, "dtype")
            self.store_item(row, NUMBER, self.call("PyArray_Scalar", POINTER, address, dtype, self.null))

    def store_item(self, row: Any, fields: tuple[str, ...], made: Any) -> None:
        self.leave_if(self.same(made, self.null), self.failed)
        self.store(made, self.items, self.field(row, fields, "item", I64))

    def swap(self) -> None:
        """The new values become current."""
        with self.rows("writes", STATE) as (row, _):
            state = self.field(row, STATE, "state")
            current, spare = (self.load(state, self.places[name]) for name in ("current", "spare"))
            self.store(spare, state, self.places["current"])
            self.store(current, state, self.places["spare"])

    def finish(self) -> None:
        """Give back the one result, or the container, or what a function makes of it."""
        function, container = self.of_record("finish"), self.load(self.container)
        result = self.b.select(self.same(container, self.null), self.load(self.lone), container)
        with self.b.if_then(self.same(function, self.null)):
            self.call("Py_DecRef", ir.VoidType(), self.entry)
            self.b.ret(result)
        finished = self.call("PyObject_Vectorcall", POINTER, function, self.container, I64(1), self.null)
        self.release()
        self.b.ret(finished)

    def release(self) -> None:
        for held in (self.load(self.container), self.load(self.lone), self.entry):
            self.call("Py_DecRef", ir.VoidType(), held)

    def write_ways_out(self, executable: Any, given: Any, count: Any, names: Any) -> None:
        self.b.position_at_end(self.failed)
        self.release()
        self.b.ret(self.null)
        self.b.position_at_end(self.reject)
        self.release()
        self.b.branch(self.slow)
        self.b.position_at_end(self.slow)
        method = self.call("PyObject_GetAttr", POINTER, executable, self.shared("slow"))
        with self.b.if_then(self.same(method, self.null)):
            self.b.ret(self.null)
        result = self.call("PyObject_Vectorcall", POINTER, method, given, count, names)
        self.call("Py_DecRef", ir.VoidType(), method)
        self.b.ret(result)
