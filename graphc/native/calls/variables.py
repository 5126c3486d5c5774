"""Variables of a call: whether a run may begin, which buffers it reads and writes, and their exchange at its end.

Where the run lets go of the interpreter's lock, it claims the variables that it writes and counts itself at the buffers
of those that it only reads: see `graphc.state`. Before its last stretch, the only one that overwrites anything, it
settles where the large variables go: to the buffer that they have, or to a spare one where somebody reads that.
"""

from __future__ import annotations

from typing import Any

from graphc.native.calls.frame import VOID, Frame
from graphc.native.calls.record import COUNTED, OVERWRITE, STATE
from graphc.native.code.scalars import I32, I64, POINTER
from graphc.native.code.writer import CodePointer
from graphc.native.driver.layout import WORD_BYTES, YIELD

WRITTEN = {"writes": STATE, "overwrites": OVERWRITE}
"""The tables of variables that have a next value."""
MOST_LOOKS = 100_000
"""How often a run lets other threads go on before it overwrites anything, if one of them exchanges buffers."""


def check(frame: Frame) -> None:
    """Whether variables have values, and spare buffers that nobody reads, and nobody else writes next ones."""
    frame.leave_unless(_is_open(frame), frame.reject)
    with frame.rows("reads", STATE) as (row, _):
        frame.leave_if(_has(frame, frame.field(row, STATE, "state"), "current", "none"), frame.reject)
    with frame.rows("counted", COUNTED) as (row, _):
        frame.leave_unless(_has(frame, frame.field(row, COUNTED, "state"), "overwritten", "false"), frame.reject)
    for table, fields in WRITTEN.items():
        with frame.rows(table, fields) as (row, _):
            state = frame.field(row, fields, "state")
            frame.leave_if(_has(frame, state, "current", "none"), frame.reject)
            frame.leave_unless(_has(frame, state, "claimed", "false"), frame.reject)
            frame.leave_unless(_has(frame, state, "wanted", "none"), frame.reject)
    with frame.rows("writes", STATE) as (row, _):
        _need_spare(frame, frame.field(row, STATE, "state"))


def place(frame: Frame) -> None:
    """Say where the buffers lie."""
    for table, buffer in (("reads", "current"), ("writes", "spare")):
        with frame.rows(table, STATE) as (row, _):
            held = frame.load(frame.field(row, STATE, "state"), frame.places[buffer])
            frame.patch(row, STATE, frame.data(frame.load(held, frame.places["array"])))


def claim(frame: Frame) -> None:
    """Keep others from the variables for a while. The mark is the thread's number, an object that nobody else has."""
    mark = frame.or_failed(frame.call_object("get_ident"))
    frame.store(mark, frame.mark)
    for table, fields in WRITTEN.items():
        with frame.rows(table, fields) as (row, _):
            _set(frame, frame.field(row, fields, "state"), "claimed", mark)
    with frame.rows("counted", COUNTED) as (row, _):
        buffer = frame.load(frame.field(row, COUNTED, "state"), frame.places["current"])
        _replace(frame, buffer, "runs", _counted(frame, buffer, "PyNumber_Add"))
        frame.hold(buffer)
        frame.store(buffer, frame.field(row, COUNTED, "cell"))


def keep(frame: Frame) -> None:
    """Whether a signal's handler, or what else Python has run, has left the claims."""
    for table, fields in WRITTEN.items():
        with frame.rows(table, fields) as (row, _):
            frame.leave_unless(_is_claimed(frame, frame.field(row, fields, "state")), frame.reject)


def settle(frame: Frame) -> None:
    """Choose a buffer for each next value of a large variable, and keep readers from those that are overwritten."""
    with frame.rows("overwrites", OVERWRITE) as (row, _):
        state = frame.field(row, OVERWRITE, "state")
        place = frame.at(row, WORD_BYTES * OVERWRITE.index("target"))
        frame.store(frame.load(state, frame.places["current"]), place)
        with frame.b.if_then(_is_read(frame, state)):
            _need_spare(frame, state)
            frame.store(frame.load(state, frame.places["spare"]), place)
        frame.patch(row, OVERWRITE, frame.data(frame.load(frame.load(place), frame.places["array"])))
        if frame.long:
            _set(frame, state, "overwritten", frame.shared("true"))


def let_others_end(frame: Frame) -> None:
    """Before anything is overwritten, wait until nobody exchanges buffers, with spare ones for what somebody reads."""
    looks, head, on = frame.variable(I64, I64(0)), frame.block("look"), frame.block("settled")
    frame.leave_if(frame.same(frame.of_run("overwrites"), frame.of_run("overwrites_end")), on)
    yielding = frame.load(frame.of_run("context"), WORD_BYTES * YIELD, CodePointer(I32, []))
    frame.b.branch(head)
    frame.b.position_at_end(head)
    with frame.rows("overwrites", OVERWRITE) as (row, _):
        state = frame.field(row, OVERWRITE, "state")
        with frame.b.if_then(_is_read(frame, state)):
            frame.drop(frame.or_failed(frame.method(state, "spare_one")))
    keep(frame)
    frame.leave_if(_is_open(frame), on)
    count = frame.b.add(frame.load(looks, 0, I64), I64(1))
    frame.store(count, looks)
    frame.leave_if(frame.same(count, I64(MOST_LOOKS)), frame.reject)
    with frame.unlocked(), frame.b.if_then(frame.b.not_(frame.same(yielding, frame.null))):
        frame.b.call(yielding, [])
    frame.b.branch(head)
    frame.b.position_at_end(on)


def exchange(frame: Frame) -> None:
    """The new values become current. Where they lie in place of the old ones, the spare buffer is let go of."""
    with frame.rows("writes", STATE) as (row, _):
        _swap(frame, frame.field(row, STATE, "state"))
    with frame.rows("overwrites", OVERWRITE) as (row, _):
        state = frame.field(row, OVERWRITE, "state")
        stays = frame.same(frame.load(state, frame.places["current"]), frame.field(row, OVERWRITE, "target"))
        with frame.b.if_else(stays) as (overwritten, beside):
            with overwritten:
                _set(frame, state, "spare", frame.shared("none"))
            with beside:
                _swap(frame, state)


def _swap(frame: Frame, state: Any) -> None:
    current, spare = (frame.load(state, frame.places[name]) for name in ("current", "spare"))
    frame.store(spare, state, frame.places["current"])
    frame.store(current, state, frame.places["spare"])


def unclaim(frame: Frame, *, tell: bool) -> None:
    """Let others have the variables again, where they were claimed.

    Who waits for one is told, unless an exception may be set: then he finds out a little later.
    """
    with frame.b.if_then(frame.is_set(frame.mark)):
        for table, fields in WRITTEN.items():
            with frame.rows(table, fields) as (row, _):
                state = frame.field(row, fields, "state")
                with frame.b.if_then(_is_claimed(frame, state)):
                    for name in ("claimed", "overwritten"):
                        _set(frame, state, name, frame.shared("false"))
        mark = frame.load(frame.mark)
        frame.store(frame.null, frame.mark)
        frame.drop(mark)
        with frame.rows("counted", COUNTED) as (row, _):
            cell = frame.field(row, COUNTED, "cell")
            with frame.b.if_then(frame.is_set(cell)):
                buffer = frame.load(cell)
                frame.store(frame.null, cell)
                _replace(frame, buffer, "runs", _counted(frame, buffer, "PyNumber_Subtract"))
                frame.drop(buffer)
        if tell:
            _tell_all(frame)


def _tell_all(frame: Frame) -> None:
    """Let those go on who wait for a variable: Python code, which may run others' before it returns."""
    for table, fields in WRITTEN.items():
        with frame.rows(table, fields) as (row, _):
            state = frame.field(row, fields, "state")
            with frame.b.if_then(frame.b.not_(_has(frame, state, "wanted", "none"))):
                _tell(frame, frame.load(state, frame.places["wanted"]))


def _is_open(frame: Frame) -> Any:
    return _has(frame, frame.shared("gate"), "gate", "false")


def _is_claimed(frame: Frame, state: Any) -> Any:
    """Whether it is by this run."""
    return frame.same(frame.load(state, frame.places["claimed"]), frame.load(frame.mark))


def _is_read(frame: Frame, state: Any, buffer: str = "current") -> Any:
    held = frame.load(state, frame.places[buffer])
    return frame.b.not_(frame.b.and_(_has(frame, held, "readers", "zero"), _has(frame, held, "runs", "zero")))


def _need_spare(frame: Frame, state: Any) -> None:
    """Go to Python where there is no spare buffer that nobody reads."""
    frame.leave_if(_has(frame, state, "spare", "none"), frame.reject)
    frame.leave_if(_is_read(frame, state, "spare"), frame.reject)


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
    frame.hold(lock)
    done = frame.method(lock, "release")
    with frame.b.if_else(frame.same(done, frame.null)) as (raised, returned):
        with raised:
            frame.call("PyErr_Clear", VOID)
        with returned:
            frame.drop(done)
    frame.drop(lock)
