"""Handlers of signals use variables in the middle of what their own thread does with them, at every moment."""

import os
import threading

import numpy as np
import pytest
from interrupts import Interrupts

import graphc as gr
from graphc import state


class Handler(Interrupts):
    """Calls a function at the moment of that number of what `graphc.state` does."""

    def __init__(self, number, function):
        super().__init__({state.__file__}, number, KeyboardInterrupt)
        self.function = function

    def come(self):
        self.function()


def at_every_moment(function, handler):
    """Call a function as often as it has moments, with a handler at one of them each time; nothing may be left."""
    number, where = 0, ""
    while number == 0 or where:
        number += 1
        at = Handler(number, handler)
        at.call(function)
        where = at.where
        yield where
    assert number > 20, "there are more moments"


def training():
    v, w = gr.variable("v", np.zeros(3)), gr.variable("w", np.zeros(3))
    return gr.compile([], gr.sum(v), updates={v: v + 1, w: w + 1}, backend="numpy"), v, w


@pytest.mark.parametrize("way", ["train", "read", "assign"])
def test_no_handler_makes_the_current_array_the_spare_one(way):
    """A run would write to it while others read it. Nor is a step lost, the run's or the handler's."""
    f, v, w = training()
    f(), f()
    steps = 2
    ways = {"train": f, "read": lambda: v.value, "assign": lambda: setattr(v, "value", w.value)}
    for where in at_every_moment(f, ways[way]):
        assert v.state.current is not v.state.spare, where
        assert w.state.current is not w.state.spare, where
        assert not v.state.claimed, where
        assert not v.state.current.is_read, where
        steps += 1 + (way == "train" and where != "")
        np.testing.assert_array_equal(v.value, np.full(3, steps), where)
        np.testing.assert_array_equal(w.value, np.full(3, steps), where)
        f()
        steps += 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_in_the_middle_of_an_exchange_does_not_open_the_gate():
    """Native code of another thread would begin to overwrite what is about to be read."""

    def fork():
        child = os.fork()
        if not child:
            os._exit(0)
        os.waitpid(child, 0)
        return state.GATE.closed

    assert state.GATE.exchange(fork)
    assert not state.GATE.closed


def test_a_run_that_a_handler_has_let_others_in_begins_anew_after_theirs():
    """The handler's own run has let go of the variable. Native code would go on to write what is spare by now."""
    _, v, _ = training()
    v.value = np.zeros(3)
    before, ended, begun = v.state.current, [], []

    def end():
        ended.append(v.state.spare)
        np.copyto(before.array, 5)
        v.state.claimed = False
        v.state.wanted.release()

    def run(targets):
        targets[0][:] = v.state.array + 1
        if not begun:
            v.state.claimed = 1  # as native code of another thread does, which may end with the same buffer
            threading.Timer(0.05, end).start()
        begun.append(1)

    state.written([v.state], run)
    assert ended == [None]
    assert len(begun) == 2
    np.testing.assert_array_equal(v.value, np.full(3, 6))


def test_a_run_that_handlers_always_come_into_ends_with_a_sentence():
    f, v, _ = training()
    with pytest.raises(gr.ExecutionError, match="written a variable in the middle of each of 10 runs"):
        state.written([v.state], lambda targets: f())
    np.testing.assert_array_equal(v.value, np.full(3, 10))
    assert not v.state.claimed
    assert v.state.current is not v.state.spare
