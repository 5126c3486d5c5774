"""Arguments of a call: whether each is just what the program takes, and where it lies."""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from graphc.native.calls import record
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
        own, python, converted, integer = (frame.same(kind, frame.field(row, ARGUMENT, name))
                                            for name in ("type", "subtype", "converted", "whole"))  # fmt: skip
        with frame.b.if_else(frame.b.or_(own, python)) as (number, other):
            with number:
                frame.store(frame.at(thing, ARRAY_DATA), base)
            with other, frame.b.if_else(converted) as (weak, rest):
                with weak:
                    frame.store(_converted(frame, thing, row), base)
                with rest, frame.b.if_else(integer) as (whole, array):
                    with whole:
                        frame.store(_whole(frame, thing, row), base)
                    with array:
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


def _whole(frame: Frame, number: Any, row: Any) -> Any:
    """The place of a Python integer in the form of the dtype, where that holds it exactly."""
    beyond, cell = frame.variable(I32, I32(0)), frame.field(row, ARGUMENT, "cell")
    value = frame.call("PyLong_AsLongLongAndOverflow", I64, number, beyond)
    least, most = (frame.field(row, ARGUMENT, name, I64) for name in ("least", "most"))
    outside = [frame.b.icmp_signed("!=", frame.load(beyond, 0, I32), I32(0)),
               frame.b.icmp_signed("<", value, least), frame.b.icmp_signed(">", value, most)]  # fmt: skip
    frame.leave_if(frame.b.or_(frame.b.or_(*outside[:2]), outside[2]), frame.reject)
    form = frame.field(row, ARGUMENT, "form", I64)
    frame.store(value, cell)
    for which, kind in ((record.DOUBLE, DOUBLE), (record.SINGLE, FLOAT)):
        with frame.b.if_then(frame.same(form, I64(which))):
            frame.store(frame.b.sitofp(value, kind), cell)
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
