"""Results of a call: the memory that they are written to, and the container that they come in."""

from __future__ import annotations

from typing import Any

from graphc.native.calls.capi import TUPLE_ITEMS
from graphc.native.calls.frame import Frame
from graphc.native.calls.record import ARRAY, KEPT, LIST, NUMBER, TUPLE
from graphc.native.code.scalars import I32, I64, POINTER
from graphc.native.objects import LIST_ITEMS


def fetch(frame: Frame) -> None:
    """Fetch memory of earlier results."""
    with frame.rows("kept", KEPT) as (row, _):
        array = frame.call("PyObject_Vectorcall", POINTER, frame.field(row, KEPT, "array"), frame.null, I64(0),
                           frame.null)  # fmt: skip
        frame.store(frame.or_failed(array), frame.field(row, KEPT, "cell"))


def contain(frame: Frame) -> Any:
    """Make the container of the results, and return where its items are. That may run Python code."""
    kind, size = frame.of_run("container", I64), frame.of_run("size", I64)
    place = frame.variable(POINTER, frame.lone)
    for number, function in ((LIST, "PyList_New"), (TUPLE, "PyTuple_New")):
        with frame.b.if_then(frame.same(kind, I64(number))):
            made = frame.or_failed(frame.call(function, POINTER, size))
            frame.store(made, frame.container)
            frame.store(frame.load(made, LIST_ITEMS) if number == LIST else frame.at(made, TUPLE_ITEMS), place)
    return frame.load(place)


def make_arrays(frame: Frame, items: Any) -> None:
    """Put the arrays that were fetched among the items, and those that are made now."""
    if frame.long:
        _put_fetched(frame, items)
    with frame.rows("arrays", ARRAY) as (row, _):
        dtype, rank = frame.field(row, ARRAY, "dtype"), frame.field(row, ARRAY, "rank", I32)
        frame.hold(dtype)  # the array will own it
        array = frame.call("PyArray_NewFromDescr", POINTER, frame.shared("ndarray"), dtype, rank,
                           frame.field(row, ARRAY, "dims"), frame.null, frame.null, I32(0), frame.null)  # fmt: skip
        frame.store(frame.or_failed(array), items, frame.field(row, ARRAY, "item", I64))
        frame.patch(row, ARRAY, frame.data(array))


def _put_fetched(frame: Frame, items: Any) -> None:
    with frame.rows("kept", KEPT) as (row, _):
        cell = frame.field(row, KEPT, "cell")
        array = frame.load(cell)
        frame.store(frame.null, cell)
        frame.store(array, items, frame.field(row, KEPT, "item", I64))
        frame.patch(row, KEPT, frame.data(array))


def fill(frame: Frame, items: Any) -> None:
    """Put None where numbers will be: other threads may ask the collector for all lists, and look into them."""
    with frame.rows("numbers", NUMBER) as (row, _):
        frame.hold(frame.shared("none"))
        frame.store(frame.shared("none"), items, frame.field(row, NUMBER, "item", I64))


def make_numbers(frame: Frame, items: Any) -> None:
    """Make the results of rank 0."""
    with frame.rows("numbers", NUMBER) as (row, _):
        address, dtype = frame.field(row, NUMBER, "address"), frame.field(row, NUMBER, "dtype")
        number = frame.or_failed(frame.call("PyArray_Scalar", POINTER, address, dtype, frame.null))
        item = frame.field(row, NUMBER, "item", I64)
        frame.drop(frame.load(items, item))
        frame.store(number, items, item)


def give(frame: Frame, items: Any) -> None:
    """Say which arrays are given to the caller, who may let them go before the next run."""
    argument = frame.variable(POINTER)
    with frame.rows("kept", KEPT) as (row, _):
        frame.store(frame.load(items, frame.field(row, KEPT, "item", I64)), argument)
        done = frame.call("PyObject_Vectorcall", POINTER, frame.field(row, KEPT, "given"), argument, I64(1), frame.null)
        frame.drop(frame.or_failed(done))


def drop_fetched(frame: Frame) -> None:
    """Let go of arrays that did not get among the items."""
    with frame.rows("kept", KEPT) as (row, _):
        cell = frame.field(row, KEPT, "cell")
        array = frame.load(cell)
        frame.store(frame.null, cell)
        frame.drop(array)
