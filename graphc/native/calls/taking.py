"""Arguments of a call: whether each is just what the program takes, and where it lies."""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from graphc.native.calls.capi import DIMS, DTYPE, FIT, FLAGS, KIND, RANK, TUPLE_ITEMS, TUPLE_SIZE, TYPE
from graphc.native.calls.frame import Frame
from graphc.native.calls.record import ARGUMENT
from graphc.native.code.scalars import I32, I64, POINTER
from graphc.native.driver.layout import WORD_BYTES
from graphc.native.objects import ARRAY_DATA

FLOAT, DOUBLE = ir.FloatType(), ir.DoubleType()


def match(frame: Frame, count: Any, names: Any) -> None:
    """Whether there are as many arguments as inputs, and the last ones are named, if at all, in the same order."""
    total = frame.variable(I64, count)
    with frame.b.if_then(frame.b.not_(frame.same(names, frame.null))):
        frame.store(frame.b.add(count, frame.load(names, TUPLE_SIZE, I64)), total)
    frame.leave_unless(frame.same(frame.load(total, 0, I64), frame.of_call("count", I64)), frame.slow)
    with frame.b.if_then(frame.b.not_(frame.same(names, frame.null))):
        declared = frame.at(frame.of_call("names"), frame.b.mul(count, I64(WORD_BYTES)))
        first, size = frame.at(names, TUPLE_ITEMS), frame.load(names, TUPLE_SIZE, I64)
        with frame.each(first, frame.at(first, frame.b.mul(size, I64(WORD_BYTES))), 1) as (name, offset):
            frame.leave_unless(frame.same(frame.load(name), frame.load(declared, offset)), frame.slow)


def take(frame: Frame, given: Any) -> None:
    """Check the arguments, and write where they lie."""
    base = frame.variable(POINTER)
    with frame.rows("arguments", ARGUMENT) as (row, offset):
        thing = frame.load(given, offset)
        kind = frame.load(thing, TYPE)
        number = frame.b.or_(*(frame.same(kind, frame.field(row, ARGUMENT, name)) for name in ("type", "subtype")))
        with frame.b.if_else(number) as (is_number, other):
            with is_number:
                frame.store(frame.at(thing, ARRAY_DATA), base)
            with other, frame.b.if_else(frame.same(kind, frame.field(row, ARGUMENT, "converted"))) as (weak, rest):
                with weak:
                    frame.store(_converted(frame, thing, row), base)
                with rest:
                    _check_array(frame, thing, kind, row)
                    frame.store(frame.data(thing), base)
        frame.patch(row, ARGUMENT, frame.load(base))


def _converted(frame: Frame, number: Any, row: Any) -> Any:
    """The place of a Python float as f32, where the dtype's range holds it."""
    wide, cell = frame.load(number, ARRAY_DATA, DOUBLE), frame.field(row, ARGUMENT, "cell")
    narrow = frame.b.fptrunc(wide, FLOAT)
    is_finite = frame.b.fcmp_ordered("==", frame.b.fsub(wide, wide), ir.Constant(DOUBLE, 0.0))
    fits = frame.b.fcmp_ordered("==", frame.b.fsub(narrow, narrow), ir.Constant(FLOAT, 0.0))
    frame.leave_if(frame.b.and_(is_finite, frame.b.not_(fits)), frame.reject)
    frame.store(narrow, cell)
    return cell


def _check_array(frame: Frame, thing: Any, kind: Any, row: Any) -> None:
    frame.leave_unless(frame.same(kind, frame.shared("ndarray")), frame.reject)
    frame.leave_unless(frame.same(frame.load(frame.load(thing, DTYPE), KIND, I64),
                                  frame.field(row, ARGUMENT, "kind", I64)), frame.reject)  # fmt: skip
    rank = frame.b.sext(frame.load(thing, RANK, I32), I64)
    frame.leave_unless(frame.same(rank, frame.field(row, ARGUMENT, "rank", I64)), frame.reject)
    flags = frame.b.and_(frame.load(thing, FLAGS, I32), I32(FIT))
    frame.leave_unless(frame.same(flags, I32(FIT)), frame.reject)
    actual = frame.load(thing, DIMS)
    with frame.each(frame.field(row, ARGUMENT, "dims"), frame.field(row, ARGUMENT, "dims_end"), 1) as (dim, offset):
        frame.leave_unless(frame.same(frame.load(dim, 0, I64), frame.load(actual, offset, I64)), frame.reject)
