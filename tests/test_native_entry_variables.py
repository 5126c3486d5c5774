"""Calls that are native code: variables change together or not at all, whatever else happens."""

import os
import signal
import subprocess
import sys
import threading
import warnings

import numpy as np
import pytest

import graphc as gr
from graphc import state

pytest.importorskip("llvmlite")

from entries import needs_entries, training

from graphc.native.calls import install

pytestmark = [needs_entries, pytest.mark.usefixtures("each_way")]


def test_updates_are_written_in_turn_into_two_buffers(only_native):
    f, v, w = training()
    f(np.ones(6))
    buffers = {v.state.current, v.state.spare}
    only_native()
    for i in range(1, 20):
        assert f(np.ones(6)) == [6.0 * i, 6.0 * i]
    assert {v.state.current, v.state.spare} == buffers
    np.testing.assert_array_equal(v.value, np.full(6, 20.0))
    np.testing.assert_array_equal(w.value, v.value)


def test_a_value_being_read_is_not_written_over():
    f, v, _ = training()
    with state.reading([v.state]) as (held,):
        was = held.copy()
        for _ in range(5):
            f(np.ones(6))
        np.testing.assert_array_equal(held, was)
    np.testing.assert_array_equal(v.value, was + 5)


def test_assignments_count_and_a_variable_without_a_value_is_an_error():
    f, v, w = training()
    v.value = w.value = np.full(6, 10.0)
    assert f(np.ones(6)) == [60, 60]
    v.state.current = None
    with pytest.raises(gr.GraphError, match="has no value yet"):
        f(np.ones(6))
    np.testing.assert_array_equal(w.value, np.full(6, 11.0))


def test_a_run_waits_for_one_that_writes_the_same_variable():
    f, v, w = training()
    begun, finish, done = threading.Event(), threading.Event(), []

    def add(targets):
        with state.reading([v.state]) as (current,):
            begun.set()
            finish.wait(30)
            np.add(current, 100, out=targets[0])

    def slow():
        state.written([v.state], add)

    threads = [threading.Thread(target=slow), threading.Thread(target=lambda: done.append(f(np.ones(6))))]
    threads[0].start()
    begun.wait(30)
    threads[1].start()
    threads[1].join(0.1)
    assert not done
    finish.set()
    for thread in threads:
        thread.join(30)
    assert done == [[600, 0]]
    np.testing.assert_array_equal(v.value, np.full(6, 101.0))
    np.testing.assert_array_equal(w.value, np.ones(6))


def test_while_python_code_exchanges_buffers_a_call_waits():
    f, _, _ = training()
    done = []
    thread = threading.Thread(target=lambda: done.append(f(np.ones(6))))
    with state.GATE.swapping, state.GATE:
        thread.start()
        thread.join(0.1)
        assert not done
    thread.join(30)
    assert done


def test_an_exception_in_an_exchange_leaves_the_gate_open():
    with pytest.raises(KeyboardInterrupt), state.GATE.swapping, state.GATE:
        raise KeyboardInterrupt
    assert state.GATE.closed is False


def test_an_exchange_by_a_handler_in_the_middle_of_another_one_does_not_open_the_gate():
    v = gr.variable("v", 1.0)
    closed = state.GATE.exchange(lambda: (v.value, state.GATE.closed)[1])
    assert closed
    assert not state.GATE.closed


def test_threads_see_the_values_of_one_moment_and_lose_no_update(only_native):
    f, v, w = training()
    peek = gr.compile([], [gr.sum(v), gr.sum(w)], backend="native")
    reference = gr.compile([], [gr.sum(v), gr.sum(w)], backend="numpy")
    numpy_step = gr.compile([], v + w, updates={v: v + 1, w: w + 1}, backend="numpy")
    wrong, before = [], sys.getswitchinterval()

    def check(values):
        if values[0] != values[1]:
            wrong.append(values)

    def run(call):
        for _ in range(400):
            check(call())

    calls = [lambda: f(np.ones(6)), peek, lambda: peek() and reference(), lambda: f._slow(np.ones(6)),
             lambda: [0 * float(numpy_step()[0])] * 2, lambda: f(np.ones(6))]  # fmt: skip
    threads = [threading.Thread(target=run, args=[call]) for call in calls]
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    finally:
        sys.setswitchinterval(before)
    assert not wrong
    np.testing.assert_array_equal(v.value, np.full(6, 1600.0))
    np.testing.assert_array_equal(w.value, v.value)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs timers")
def test_interrupts_leave_variables_in_step():
    f, v, w = training()

    def interrupt(*_):
        raise KeyboardInterrupt

    def run_until_interrupted(seconds):
        signal.setitimer(signal.ITIMER_REAL, seconds)
        while True:
            f(np.ones(6))
            f._slow(np.ones(6))

    previous = signal.signal(signal.SIGALRM, interrupt)
    try:
        for i in range(30):
            with pytest.raises(KeyboardInterrupt):
                run_until_interrupted(0.002 + 1e-5 * i)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    first, second = f(np.ones(6))
    assert first == second
    np.testing.assert_array_equal(v.value, w.value)


INTERRUPTED = """
import faulthandler, signal, threading
import numpy as np
import graphc as gr

v, w = gr.variable("v", np.zeros(6)), gr.variable("w", np.zeros(6))
x = gr.placeholder("x", (6,), "float64")
f = gr.compile([x], [gr.sum(v), gr.sum(w)], updates={v: v + x, w: w + x}, backend="numpy")
running, calls = True, 0

def train():
    while running:
        f(np.ones(6))

def interrupt(*_):
    raise KeyboardInterrupt

faulthandler.dump_traceback_later(300, exit=True)
signal.signal(signal.SIGALRM, interrupt)
threads = [threading.Thread(target=train) for _ in range(2)]
for thread in threads:
    thread.start()
for i in range(1000):
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.0005 + 1e-6 * i)
        while True:
            f(np.ones(6))
    except KeyboardInterrupt:
        pass
signal.signal(signal.SIGALRM, signal.SIG_IGN)
running = False
for thread in threads:
    thread.join()
first, second = f(np.ones(6))
print(first == second)
"""


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs timers")
def test_an_interrupt_keeps_no_other_thread_from_writing():
    done = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, encoding="utf-8", check=False)
    assert (done.stdout, done.returncode) == ("True\n", 0), done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_goes_on():
    f, v, _ = training()
    taken, forked, seen = threading.Event(), threading.Event(), []

    def hold():
        with install._installing, state.GATE.swapping, state.GATE:
            taken.set()
            seen.append(forked.wait(60))

    other = threading.Thread(target=hold)
    other.start()
    taken.wait(60)
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # of threads in the parent
        child = os.fork()
    if not child:
        code = 1
        try:
            fresh = not state.GATE.closed
            for lock in (state.GATE.swapping, install._installing):
                fresh = fresh and lock.acquire(blocking=False)
                lock.release()
            code = int(not (fresh and f(np.ones(6)) == [0, 0] and f(np.ones(6)) == [6, 6]))
        finally:
            os._exit(code)
    forked.set()
    other.join(60)
    assert seen == [True], "the fork has waited for another thread's exchange"
    assert os.waitpid(child, 0)[1] == 0
    np.testing.assert_array_equal(v.value, np.zeros(6))
