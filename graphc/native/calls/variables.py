"""Variables of a call: whether a run may begin, which buffers it reads and writes, and their exchange at its end.

Where the run lets go of the interpreter's lock, it claims the variables that it writes and counts itself at the buffers
of those that it only reads: see `graphc.state`.
"""

from __future__ import annotations

from typing import Any

from graphc.native.calls.frame import VOID, Frame
from graphc.native.calls.record import COUNTED, STATE
from graphc.native.code.scalars import I64, POINTER

TARGETS = (("writes", "spare"), ("overwrites", "current"))
"""Where the next values of variables go."""
MARKS = {"writes": ("claimed",), "overwrites": ("claimed", "overwritten")}
"""What keeps others from them meanwhile."""


def check(frame: Frame) -> None:
    """Whether variables have values, and buffers that nobody reads for the next ones, which nobody else writes."""
    closed = frame.b.not_(_has(frame, frame.shared("gate"), "gate", "false"))
    frame.leave_if(closed, frame.reject)
    with frame.rows("reads", STATE) as (row, _):
        frame.leave_if(_has(frame, frame.field(row, STATE, "state"), "current", "none"), frame.reject)
    with frame.rows("counted", COUNTED) as (row, _):
        frame.leave_unless(_has(frame, frame.field(row, COUNTED, "state"), "overwritten", "false"), frame.reject)
    for table, buffer in TARGETS:
        with frame.rows(table, STATE) as (row, _):
            state = frame.field(row, STATE, "state")
            frame.leave_if(_has(frame, state, buffer, "none"), frame.reject)
            frame.leave_unless(_has(frame, state, "claimed", "false"), frame.reject)
            frame.leave_unless(_has(frame, state, "wanted", "none"), frame.reject)
            target = frame.load(state, frame.places[buffer])
            for count in ("readers", "runs"):
                frame.leave_unless(_has(frame, target, count, "zero"), frame.reject)


def place(frame: Frame) -> None:
    """Say where the buffers lie."""
    for table, buffer in (("reads", "current"), *TARGETS):
        with frame.rows(table, STATE) as (row, _):
            held = frame.load(frame.field(row, STATE, "state"), frame.places[buffer])
            frame.patch(row, STATE, frame.data(frame.load(held, frame.places["array"])))


def claim(frame: Frame) -> None:
    """Keep others from the variables for a while."""
    frame.store(I64(1), frame.claims)
    for table, marks in MARKS.items():
        with frame.rows(table, STATE) as (row, _):
            for mark in marks:
                _set(frame, frame.field(row, STATE, "state"), mark, frame.shared("true"))
    with frame.rows("counted", COUNTED) as (row, _):
        buffer = frame.load(frame.field(row, COUNTED, "state"), frame.places["current"])
        _replace(frame, buffer, "runs", _counted(frame, buffer, "PyNumber_Add"))
        frame.hold(buffer)
        frame.store(buffer, frame.field(row, COUNTED, "cell"))


def exchange(frame: Frame) -> None:
    """The new values become current. Where they lie in place of the old ones, the spare buffer is let go of."""
    with frame.rows("writes", STATE) as (row, _):
        state = frame.field(row, STATE, "state")
        current, spare = (frame.load(state, frame.places[name]) for name in ("current", "spare"))
        frame.store(spare, state, frame.places["current"])
        frame.store(current, state, frame.places["spare"])
    with frame.rows("overwrites", STATE) as (row, _):
        _set(frame, frame.field(row, STATE, "state"), "spare", frame.shared("none"))


def unclaim(frame: Frame, *, tell: bool) -> None:
    """Let others have the variables again, where they were claimed.

    Who waits for one is told, unless an exception may be set: then he finds out a little later.
    """
    with frame.b.if_then(frame.same(frame.load(frame.claims, 0, I64), I64(1))):
        frame.store(I64(0), frame.claims)
        for table, marks in MARKS.items():
            with frame.rows(table, STATE) as (row, _):
                state = frame.field(row, STATE, "state")
                for mark in marks:
                    _set(frame, state, mark, frame.shared("false"))
                if tell:
                    with frame.b.if_then(frame.b.not_(_has(frame, state, "wanted", "none"))):
                        _tell(frame, frame.load(state, frame.places["wanted"]))
        with frame.rows("counted", COUNTED) as (row, _):
            cell = frame.field(row, COUNTED, "cell")
            with frame.b.if_then(frame.is_set(cell)):
                buffer = frame.load(cell)
                frame.store(frame.null, cell)
                _replace(frame, buffer, "runs", _counted(frame, buffer, "PyNumber_Subtract"))
                frame.drop(buffer)


def _has(frame: Frame, thing: Any, place: str, value: str) -> Any:
    return frame.same(frame.load(thing, frame.places[place]), frame.shared(value))


def _set(frame: Frame, thing: Any, place: str, value: Any) -> None:
    frame.hold(value)
    _replace(frame, thing, place, value)


def _replace(frame: Frame, thing: Any, place: str, value: Any) -> None:
    before = frame.load(thing, frame.places[place])
    frame.store(value, thing, frame.places[place])
    frame.drop(before)


def _counted(frame: Frame, buffer: Any, function: str) -> Any:
    """The number of runs, one more or less. So few are objects that Python has made before: nothing can fail."""
    return frame.call(function, POINTER, frame.load(buffer, frame.places["runs"]), frame.shared("one"))


def _tell(frame: Frame, lock: Any) -> None:
    """Let go of a waiter's lock; an error says that this was done before."""
    place = frame.variable(POINTER)
    frame.store(lock, place)
    frame.hold(lock)
    done = frame.call("PyObject_VectorcallMethod", POINTER, frame.shared("let_go"), place, I64(1), frame.null)
    with frame.b.if_else(frame.same(done, frame.null)) as (raised, returned):
        with raised:
            frame.call("PyErr_Clear", VOID)
        with returned:
            frame.drop(done)
    frame.drop(lock)
