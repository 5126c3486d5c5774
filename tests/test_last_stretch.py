"""Long programs run in several stretches, with handlers of signals between them, and overwrite variables in one."""

import ctypes
import os
import signal
import threading
import time
from contextlib import contextmanager

import numpy as np
import pytest

import graphc as gr
from graphc import executable, state

pytest.importorskip("llvmlite")

from entries import called_meanwhile, entered, needs_entries
from test_driver import until
from test_native_entry_threads import slow_function

from graphc.native import stretches

pytestmark = needs_entries

N = 128
"""Matrices of so many rows in f64 are large enough to be overwritten."""
SIZE = 200_000


@pytest.fixture(autouse=True)
def short_stretches(monkeypatch):
    """So programs of some milliseconds run in many of them."""
    monkeypatch.setattr(stretches, "LONGEST_NS", 5e5)


def native(inputs, outputs, updates, threads=2):
    return gr.compile(inputs, outputs, updates=updates, backend="native", threads=threads)


def names(f):
    return [variable.name for variable in f.plan.program.overwritten]


def count(f):
    """How many stretches a program has."""
    return len(f.plan.program.emitted.steps.listed)


def network(optimizer, backend, batch, layers=4):
    generator = np.random.default_rng(0)
    x = gr.placeholder("x", (batch, N), "float64")
    weights = [gr.variable(f"w{i}", generator.normal(size=(N, N)) / N) for i in range(layers)]
    h = x
    for w in weights:
        h = gr.tanh(h @ w)
    loss = gr.mean(gr.square(h - x))
    return gr.compile([x], loss, updates=optimizer(loss, weights), backend=backend, threads=2), weights


@pytest.mark.parametrize(("optimizer", "batch", "longest"),
                         [(gr.optim.adam, 16, 1.5e5), (gr.optim.adam, 700, 1.5e5), (gr.optim.sgd, 16, 6e4),
                          (gr.optim.sgd, 700, 1.5e5)])  # fmt: skip
def test_updates_are_left_to_the_end_where_that_takes_less_memory(optimizer, batch, longest, monkeypatch):
    monkeypatch.setattr(stretches, "LONGEST_NS", longest)
    (f, ours), (g, theirs) = (network(optimizer, backend, batch) for backend in ("native", "numpy"))
    feed = np.random.default_rng(1).normal(size=(batch, N))
    for _ in range(4):
        np.testing.assert_allclose(f(feed), g(feed), rtol=1e-10)
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one.value, other.value, rtol=1e-10)
    assert hasattr(f, "_entry")
    if (optimizer, batch) == (gr.optim.sgd, 700):  # operands of products would be kept, which take more
        assert len(names(f)) < 4
    else:
        assert len(names(f)) == (12 if optimizer is gr.optim.adam else 4)
    assert count(f) > 1
    assert all(segment.ns <= longest for segment in f.plan.program.emitted.steps.listed)


def long_training(size=SIZE):
    """A step of some milliseconds that overwrites two variables, which stay equal, and what is true of their values."""
    v, w, small = (gr.variable(name, np.zeros(size)) for name, size in (("v", size), ("w", size), ("small", 1)))
    more = gr.where(gr.sum(slow_function(v * 0, 4)) > 1e300, 0.0, 1.0)
    f = entered(native([], [gr.sum(v), gr.sum(small)], {v: v + more, w: w + 1, small: small + 1}))
    assert names(f) == ["v", "w"]
    assert count(f) > 4
    return f, v, w, small


def are_equal(v, w, small):
    return bool((v.value == small.value[0]).all() and (w.value == small.value[0]).all())


@contextmanager
def handled(handler, seconds=0.002):
    """A handler runs once so many seconds from now."""
    previous = signal.signal(signal.SIGALRM, lambda *_: handler())
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds)
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


needs_timers = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs timers")


@needs_timers
def test_what_a_handler_raises_ends_the_call_and_leaves_everything():
    f, v, w, small = long_training()

    def raise_timeout():
        raise TimeoutError

    def run_for_ever():
        while True:
            f()

    ended = 0
    for i in range(20):
        before = small.value[0]
        with pytest.raises(TimeoutError), handled(raise_timeout, 0.001 + 2e-4 * i):
            run_for_ever()
        ended += small.value[0] == before
        assert are_equal(v, w, small)
        assert not any(one.state.claimed or one.state.overwritten for one in (v, w, small))
    assert ended
    assert hasattr(f, "_entry")
    assert f.plan.program.workspaces


@needs_timers
@pytest.mark.parametrize("ways", ["read", "native", "python", "assigned"])
def test_a_handler_may_use_what_the_call_has_claimed(ways):
    f, v, w, small = long_training()
    ran = []

    def use():
        ran.append(bool(v.state.claimed))
        assert are_equal(v, w, small)
        if ways == "native":
            f()
        elif ways == "python":
            f._slow()
        elif ways == "assigned":
            v.value, w.value, small.value = np.full(SIZE, 70.0), np.full(SIZE, 70.0), [70.0]

    for i in range(12):
        before, calls = small.value[0], 0
        with handled(use, 0.001 + 3e-4 * i):
            while len(ran) == i:
                f()
                calls += 1
        if ways == "assigned":
            assert small.value[0] in (70, 71)
        else:
            assert small.value[0] == before + calls + (ways != "read")
        assert are_equal(v, w, small)
    assert any(ran), "no handler ran in the middle of a call"
    assert not v.state.claimed


@needs_timers
def test_a_call_whose_claims_a_handler_has_taken_writes_no_more():
    """It would write to what the handler's run has made current, and begin anew from that."""
    x = gr.placeholder("x", (), "float64")
    early, v = gr.variable("early", np.zeros(3)), gr.variable("v", np.zeros(SIZE))
    more = early + x + 0 * gr.sum(slow_function(v, 4))
    after = gr.sum(slow_function(v * more[0], 4))
    f = native([x], after, {early: more})
    entered(f, 0.0)
    assert count(f) > 4
    handled_early = []

    def train():
        handled_early.append(bool(early.state.claimed))
        f._slow(1.0)

    for i in range(8):
        value, calls = early.value[0], 0
        with handled(train, 0.001 + 3e-4 * i):
            while len(handled_early) == i:
                f(100.0)
                calls += 1
        np.testing.assert_array_equal(early.value, np.full(3, value + 100 * calls + 1))
    assert any(handled_early), "no handler ran in the middle of a call"


@needs_timers
def test_a_handler_does_not_wait_for_who_waits_for_the_call():
    f, v, w, small = long_training()
    ran = []

    def let_go():
        ran.append("stuck")
        v.state.claimed = False

    def assign():
        if v.state.claimed:
            other = threading.Thread(target=lambda: setattr(v, "value", v.value))
            other.start()
            until(lambda: v.state.wanted)
            timer = threading.Timer(5, let_go)
            timer.start()
            v.value = v.value
            timer.cancel()
            other.join()
            ran.append("assigned")

    before, calls = small.value[0], 0
    while not ran:
        with handled(assign):
            f()
        calls += 1
    assert ran == ["assigned"]
    assert are_equal(v, w, small)
    assert small.value[0] == before + calls


@needs_timers
def test_what_is_read_since_the_first_stretch_is_not_overwritten_in_the_last(only_native):
    f, v, w, small = long_training()
    held, ran = state.reading([v.state]), []

    def hold():
        if v.state.claimed:
            ran.append(held.__enter__()[0])
            ran.append(ran[0].copy())

    only_native()
    while not ran:
        with handled(hold):
            f()
    assert small.value[0] == ran[0][0] + 1, "the run goes on"
    np.testing.assert_array_equal(ran[0], ran[1])
    f()
    np.testing.assert_array_equal(ran[0], ran[1])
    held.__exit__()
    f()
    assert v.state.spare is None
    assert are_equal(v, w, small)


@needs_timers
def test_the_last_stretch_waits_while_another_thread_exchanges_buffers(only_native):
    f, v, w, small = long_training()
    threads, happened = [], []

    def open_later():
        time.sleep(0.005)
        happened.append("opened")
        state.GATE.closed = False

    def close():
        if v.state.claimed and not threads:
            state.GATE.closed = True
            threads.append(threading.Thread(target=open_later))
            threads[0].start()

    only_native()
    while not threads:
        with handled(close):
            f()
    happened.append("returned")
    threads[0].join()
    assert happened == ["opened", "returned"]
    assert are_equal(v, w, small)


def test_what_another_thread_raises_in_this_one_ends_the_call():
    f, v, w, small = long_training()
    raised, begun = [], threading.Event()

    def call():
        begun.set()
        try:
            while True:
                f()
        except KeyError as error:
            raised.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    begun.wait()
    until(lambda: v.state.claimed)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(KeyError))
    thread.join(300)
    assert raised
    assert not v.state.claimed
    assert are_equal(v, w, small)


def test_a_position_outside_leaves_variables_as_they_were():
    x, i = gr.placeholder("x", (N, N), "float64"), gr.placeholder("i", (SIZE,), "int64")
    v, small = gr.variable("v", np.ones((N, N))), gr.variable("small", 0.0)
    late = gr.sum(slow_function(gr.sum(x[i % 7], 1) + v[0, 0], 3))
    good = np.zeros(SIZE, int)
    f = native([x, i], late, {v: v + gr.sum(x[i]) * 0 + late * 0 + 1, small: small + 1})
    entered(f, np.ones((N, N)), good)
    assert names(f) == ["v"]
    assert count(f) > 1
    for _ in range(2):
        with pytest.raises(gr.ExecutionError, match="index 128 is out of bounds"):
            f(np.ones((N, N)), good + N)
        np.testing.assert_array_equal(v.value, np.full((N, N), 3.0))
        assert small.value == 2
    f(np.ones((N, N)), good)
    np.testing.assert_array_equal(v.value, np.full((N, N), 4.0))


def test_threads_that_train_and_read_see_whole_steps():
    f, v, w, small = long_training()
    peek = entered(native([], [gr.sum(gr.abs(v - w)), v[0] - small[0]], {}))
    with called_meanwhile(f), called_meanwhile(f._slow), called_meanwhile(f):
        for _ in range(20):
            assert [*peek()] == [0, 0]
            value = v.value
            assert (value == value[0]).all()
    assert are_equal(v, w, small)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_children_forked_meanwhile_have_whole_steps():
    f, v, w, small = long_training()
    with called_meanwhile(f):
        for _ in range(5):
            until(lambda: v.state.claimed)
            child = os.fork()
            if not child:
                right = are_equal(v, w, small)
                f()
                os._exit(0 if right and are_equal(v, w, small) else 1)
            assert os.waitpid(child, 0)[1] == 0
    assert not state.GATE.closed


@pytest.mark.parametrize("longest", [5e5, 5e7])
def test_large_variables_never_have_a_spare_array(longest, monkeypatch):
    monkeypatch.setattr(executable, "LARGE_BYTES", 1 << 20)
    monkeypatch.setattr(stretches, "LONGEST_NS", longest)
    v, small = gr.variable("v", np.zeros(SIZE)), gr.variable("small", 0.0)
    total = gr.sum(slow_function(v, 4))
    f = native([], total, {v: v + gr.where(total > 1e300, 0.0, 1.0), small: small + 1})
    f()
    assert names(f) == ["v"]
    assert (count(f) > 1) == (longest == 5e5)
    assert v.state.spare is None
    assert small.state.spare is not None
    f()
    assert v.state.spare is None
    np.testing.assert_array_equal(v.value, np.full(SIZE, 2.0))
    assert small.value == 2
