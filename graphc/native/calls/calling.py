"""The call as native code: a function for all short programs and one for all long ones, which read what to do in a
record, and a method of `Executable`, which calls the one that an executable's entry names.

A function takes arguments that are just what the program takes, makes the results, writes all their addresses into the
driver's words, runs, and exchanges the buffers of variables. From the check of the arguments to the end no Python code
of this thread runs, and except in the run of a long program the interpreter's lock is held, so nobody sees anything
half done. Whatever it does not expect, a position outside an axis too, leaves everything as it was and goes to the
method `_slow`, which does the same or raises.

A long program lets go of the interpreter's lock while it runs. Calls of it may overlap: each takes a workspace from a
list, which Python code shares, and gives it back. A very long one runs in stretches, and lets Python look for signals
after each: what their handlers raise ends the call, and if they have written a variable that it claims, it begins anew.
"""

from __future__ import annotations

from typing import Any

from graphc.native.calls import making, taking, variables
from graphc.native.calls.capi import TUPLE_SIZE
from graphc.native.calls.frame import VOID, Frame
from graphc.native.calls.record import MOST_KEPT, SEGMENT
from graphc.native.code.host import BRIEF, FINAL
from graphc.native.code.scalars import I32, I64, POINTER
from graphc.native.code.writer import CodePointer
from graphc.native.driver.layout import FINE, POOL, PRESENT, WORD_BYTES
from graphc.native.objects import LIST_ITEMS


def text(places: dict[str, int], name: str) -> str:
    """The IR of the method, or of the short or long function, for objects that keep attributes at these places."""
    return _method(places) if name == "method" else _function(places, long=name == "long")


def _method(places: dict[str, int]) -> str:
    frame = Frame(places)
    entry = frame.load(frame.function.args[0], places["entry"])
    frame.leave_if(frame.same(entry, frame.null), frame.slow)
    frame.store(entry, frame.entry)
    code = frame.of_call("code", CodePointer(POINTER, [one.type for one in frame.function.args]))
    frame.b.ret(frame.b.call(code, frame.function.args, tail=True))
    _go_to_python(frame)
    return FINAL + str(frame.module)


def _function(places: dict[str, int], *, long: bool) -> str:
    """It is as fast without LLVM's passes, which would take 40 ms. That of long programs, which hide what it takes, is
    compiled with little effort."""
    frame = Frame(places, long=long)
    executable, given, count, names = frame.function.args
    frame.store(frame.load(executable, places["entry"]), frame.entry)
    taking.match(frame, count, names)
    frame.hold(frame.load(frame.entry))  # Python code that runs below may replace it
    _choose_run(frame)
    items = making.contain(frame)
    taking.take(frame, given)
    variables.check(frame)
    making.make_arrays(frame, items)
    variables.place(frame)
    _run(frame, items)
    variables.exchange(frame)
    making.make_numbers(frame, items)
    function = frame.of_run("finish")  # the record may go with its workspace
    if long:
        variables.unclaim(frame, tell=True)
        making.give(frame, items)
        _give_back(frame)
    _finish(frame, function)
    _write_ways_out(frame)
    return (BRIEF if long else FINAL) + str(frame.module)


def _choose_run(frame: Frame) -> None:
    """The program's record, or that of a workspace that no other run has."""
    if not frame.long:
        frame.store(frame.of_call("run"), frame.run)
        return
    pool = frame.of_call("pool")
    frame.store(pool, frame.pool)
    size = frame.load(pool, TUPLE_SIZE, I64)
    frame.leave_if(frame.same(size, I64(0)), frame.reject)
    last = frame.b.sub(size, I64(1))
    workspace = frame.load(frame.load(pool, LIST_ITEMS), frame.b.mul(last, I64(WORD_BYTES)))
    own = frame.load(workspace, frame.places["own"])
    frame.leave_if(frame.same(own, frame.null), frame.reject)
    frame.hold(workspace)
    done = frame.call("PyList_SetSlice", I32, pool, last, size, frame.null)
    frame.leave_unless(frame.same(done, I32(0)), frame.failed)
    frame.store(workspace, frame.workspace)
    frame.store(frame.data(frame.load(own, frame.places["record"])), frame.run)
    _call_workers(frame)
    making.fetch(frame)


def _call_workers(frame: Frame) -> None:
    """Where workers are missing, let Python code make them and say whether they are worth waking.

    Sleeping ones of a program that they are always worth waking for are invited by the driver.
    """
    context, wanted = frame.of_run("context"), frame.of_run("wanted", I64)
    missing = frame.b.icmp_signed("<", frame.load(context, WORD_BYTES * PRESENT, I64), wanted)
    with frame.b.if_then(missing):
        made = frame.load(frame.load(context, WORD_BYTES * POOL), 0, I64)
        asks = frame.b.or_(frame.b.icmp_signed("<", made, wanted), frame.same(frame.of_run("lazy", I64), I64(1)))
        with frame.b.if_then(asks):
            done = frame.call("PyObject_Vectorcall", POINTER, frame.of_run("help"), frame.workspace, I64(1), frame.null)
            frame.drop(frame.or_failed(done))


def _run(frame: Frame, items: Any) -> None:
    """Run, a long program stretch by stretch and without the interpreter's lock."""
    drive = frame.of_run("drive", CodePointer(VOID, [POINTER]))
    if not frame.long:
        variables.settle(frame)
        frame.b.call(drive, [frame.load(frame.of_run("segments"))])
        _see_positions(frame)
        return
    making.fill(frame, items)
    variables.claim(frame)
    with frame.rows("segments", SEGMENT) as (row, _):
        is_last = frame.same(frame.at(row, WORD_BYTES * len(SEGMENT)), frame.of_run("segments_end"))
        with frame.b.if_then(is_last):
            variables.let_others_end(frame)
            variables.settle(frame)
        with frame.unlocked():
            frame.b.call(drive, [frame.field(row, SEGMENT, "segment")])
        _see_positions(frame)
        with frame.b.if_then(frame.b.not_(is_last)):
            frame.drop(frame.or_failed(frame.call_object("look")))
            variables.keep(frame)


def _see_positions(frame: Frame) -> None:
    """See whether all were inside their axes so far."""
    faulty = frame.block("faulty")
    with frame.rows("statuses", ("status",)) as (status, _):
        frame.leave_unless(frame.same(frame.load(status, 0, I64), I64(FINE)), faulty)
    onward = frame.b.block
    frame.b.position_at_end(faulty)
    with frame.rows("statuses", ("status",)) as (status, _):
        frame.store(I64(FINE), status)
    frame.b.branch(frame.reject)
    frame.b.position_at_end(onward)


def _give_back(frame: Frame) -> None:
    """Let other runs have the workspace."""
    pool, workspace = frame.load(frame.pool), frame.load(frame.workspace)
    frame.store(frame.null, frame.workspace)
    with frame.b.if_then(frame.b.icmp_signed("<", frame.load(pool, TUPLE_SIZE, I64), I64(MOST_KEPT))):
        frame.call("PyList_Append", I32, pool, workspace)
    frame.drop(workspace)


def _finish(frame: Frame, function: Any) -> None:
    """Give back the one result, or the container, or what a function makes of it."""
    container = frame.load(frame.container)
    result = frame.b.select(frame.same(container, frame.null), frame.load(frame.lone), container)
    with frame.b.if_then(frame.same(function, frame.null)):
        frame.drop(frame.load(frame.entry))
        frame.b.ret(result)
    finished = frame.call("PyObject_Vectorcall", POINTER, function, frame.container, I64(1), frame.null)
    _drop_all(frame)
    frame.b.ret(finished)


def _drop_all(frame: Frame) -> None:
    for held in (frame.container, frame.lone, frame.entry):
        frame.drop(frame.load(held))


def _write_ways_out(frame: Frame) -> None:
    rejected, out = frame.variable(I64, I64(0)), frame.block("out")
    frame.b.position_at_end(frame.reject)
    frame.store(I64(1), rejected)
    frame.b.branch(out)
    frame.b.position_at_end(frame.failed)
    frame.b.branch(out)
    frame.b.position_at_end(out)
    if frame.long:
        with frame.b.if_then(frame.is_set(frame.workspace)):
            variables.unclaim(frame, tell=False)
            making.drop_fetched(frame)
            _give_back(frame)
    _drop_all(frame)
    with frame.b.if_then(frame.same(frame.load(rejected, 0, I64), I64(0))):
        frame.b.ret(frame.null)
    frame.b.branch(frame.slow)
    _go_to_python(frame)


def _go_to_python(frame: Frame) -> None:
    executable, given, count, names = frame.function.args
    frame.b.position_at_end(frame.slow)
    method = frame.call("PyObject_GetAttr", POINTER, executable, frame.shared("slow"))
    with frame.b.if_then(frame.same(method, frame.null)):
        frame.b.ret(frame.null)
    result = frame.call("PyObject_Vectorcall", POINTER, method, given, count, names)
    frame.drop(method)
    frame.b.ret(result)
