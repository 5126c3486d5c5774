"""Calls that are native code in long programs: other threads go on meanwhile, and nothing is shared but what may be."""

import gc
import os
import signal
import sys
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import graphc as gr

pytest.importorskip("llvmlite")

from entries import called_meanwhile, entered, needs_entries
from test_driver import until
from test_native import python

from graphc.native import overwriting
from graphc.native.calls import entry
from graphc.native.calls.record import MOST_KEPT

pytestmark = needs_entries

SIZE = 1_000_000
"""Elements that a run of some milliseconds works on."""


@pytest.fixture
def spares(monkeypatch):
    """Large variables have spare arrays, too."""
    monkeypatch.setattr(overwriting, "LEAST_BYTES", sys.maxsize)


def slow_function(x, steps=8):
    for _ in range(steps):
        x = gr.sin(gr.exp(gr.tanh(x)))
    return x


def training(threads=2, steps=8):
    """A long step, which adds 1 to a variable and reads another one, and both variables."""
    v, r = gr.variable("v", np.zeros(SIZE)), gr.variable("r", np.ones(SIZE))
    f = gr.compile([], [gr.sum(slow_function(v * 0 + r, steps))], updates={v: v + 1}, backend="native", threads=threads)
    return entered(f), v, r


def begun(v):
    """Wait until a native run writes a variable."""
    until(lambda: v.state.claimed)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_long_programs_are_entered_and_have_the_same_bits_for_any_number_of_threads(threads, only_native):
    generator = np.random.default_rng(0)
    x, w = gr.placeholder("x", (300, 400), "float64"), gr.variable("w", generator.normal(size=(400, 300)))
    loss = gr.sum(gr.tanh(x @ w))
    outputs = [loss, gr.gradients(loss, [x])[0]]
    feed = generator.normal(size=(300, 400))
    reference = gr.compile([x], outputs, backend="native", threads=1)(feed)
    f = entered(gr.compile([x], outputs, backend="native", threads=threads), feed)
    only_native()
    for _ in range(10):
        for result, expected in zip(f(feed), reference, strict=True):
            np.testing.assert_array_equal(result, expected)
    assert len(f.plan.program.workspaces) == 1


def test_other_threads_run_python_code_during_a_long_run(only_native):
    f, *_ = training(threads=1)
    only_native()
    before, during, stop = sys.getswitchinterval(), [], threading.Event()

    def count():
        while not stop.is_set():
            during.append(f.plan.program.workspaces == [])
            time.sleep(1e-4)

    thread = threading.Thread(target=count)
    sys.setswitchinterval(10)  # nobody is made to let go of the lock
    try:
        thread.start()
        for _ in range(5):
            f()
    finally:
        sys.setswitchinterval(before)
        stop.set()
        thread.join(300)
    assert sum(during) > 5


@pytest.mark.parametrize("threads", [1, 2])
def test_calls_that_overlap_have_workspaces_of_their_own(threads):
    x = gr.placeholder("x", (SIZE // 10,), "float64")
    f = gr.compile([x], [slow_function(x), gr.sum(x)], backend="native", threads=threads)
    feeds = [np.full(SIZE // 10, i / 10) for i in range(12)]
    expected = [f(feed) for feed in feeds]
    assert hasattr(f, "_entry")

    def call(i):
        for _ in range(15):
            for value, reference in zip(f(feeds[i]), expected[i], strict=True):
                np.testing.assert_array_equal(value, reference)

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(call, range(12)))
    kept = f.plan.program.workspaces
    assert 1 <= len(kept) <= MOST_KEPT
    assert len(set(map(id, kept))) == len(kept)
    assert all(workspace.entry for workspace in kept)


def test_runs_of_the_same_variable_take_turns_however_they_are_called():
    f, v, _ = training(steps=1)
    g = gr.compile([], v * 1.0, updates={v: v + 1}, backend="numpy")
    calls = [f, f, f._slow, g]

    def call(one):
        for _ in range(12):
            one()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(call, calls))
    np.testing.assert_array_equal(v.value, np.full(SIZE, 50.0))
    assert not v.state.claimed


def test_who_waits_for_a_variable_gets_it_before_a_thread_that_writes_it_all_the_time():
    f, v, _ = training()
    with called_meanwhile(f):
        for i in range(10):
            begun(v)
            v.value = np.full(SIZE, 1000.0 * i)
            f._slow()
            assert v.value[0] - 1000 * i >= 1


@pytest.mark.usefixtures("spares")
def test_an_assignment_waits_for_a_run_and_a_reader_does_not():
    f, v, _ = training(steps=14)
    thread = threading.Thread(target=f)
    thread.start()
    begun(v)
    assert v.value[0] == 2
    assert v.state.claimed, "the reader has not waited"
    v.value = np.full(SIZE, 7.0)
    assert not v.state.claimed
    thread.join(300)
    np.testing.assert_array_equal(v.value, np.full(SIZE, 7.0))


def test_a_value_that_a_run_only_reads_is_not_written_over():
    f, v, r = training(steps=14)
    bump = entered(gr.compile([], [], updates={r: r * 2}, backend="native"))
    r.value = np.ones(SIZE)
    right, done = f._slow(), []
    thread = threading.Thread(target=lambda: done.append(f()))
    thread.start()
    begun(v)
    read = r.state.current
    assert read.runs == 1
    for _ in range(4):
        bump()
    assert v.state.claimed, "the run is over too soon to show anything"
    assert (read.array == 1).all()
    gone = weakref.ref(read.array)
    del read
    thread.join(300)
    gc.collect()
    assert done == [right]
    np.testing.assert_array_equal(r.value, np.full(SIZE, 16.0))
    assert gone() is None
    assert not r.state.current.is_read


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.usefixtures("spares")
def test_a_child_forked_during_a_run_is_free_of_it():
    f, v, r = training(steps=14)
    thread = threading.Thread(target=f)
    thread.start()
    begun(v)
    child = os.fork()
    if not child:
        free = not v.state.claimed and v.value[0] == 2
        f()
        f()
        os._exit(0 if free and (v.value == 4).all() and (r.value == 1).all() else 1)
    thread.join(300)
    assert os.waitpid(child, 0)[1] == 0
    np.testing.assert_array_equal(v.value, np.full(SIZE, 3.0))


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs timers")
def test_interrupts_in_long_runs_leave_variables_in_step_and_nothing_claimed():
    v, w = gr.variable("v", np.zeros(20_000)), gr.variable("w", np.zeros(20_000))
    f = entered(gr.compile([], [gr.sum(v) - gr.sum(w)], updates={v: v + 1, w: slow_function(w, 1) * 0 + w + 1},
                           backend="native", threads=2))  # fmt: skip

    def interrupt(*_):
        raise KeyboardInterrupt

    def run_until_interrupted(seconds):
        signal.setitimer(signal.ITIMER_REAL, seconds)
        while True:
            f()

    previous = signal.signal(signal.SIGALRM, interrupt)
    try:
        for i in range(40):
            with pytest.raises(KeyboardInterrupt):
                run_until_interrupted(0.002 + 1e-4 * i)
            assert not v.state.claimed
            assert not w.state.claimed
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert f() == [0]
    np.testing.assert_array_equal(v.value, w.value)
    assert len(f.plan.program.workspaces) >= 1


def test_a_fault_in_a_long_run_gives_everything_back():
    x, i = gr.placeholder("x", (400_000,), "float64"), gr.placeholder("i", (400_000,), "int64")
    w = gr.variable("w", np.zeros(400_000))
    good = np.arange(400_000)
    f = entered(gr.compile([x, i], gr.sum(slow_function(x[i], 1)), updates={w: w + 1}, backend="native", threads=2),
                np.ones(400_000), good)  # fmt: skip
    bad = good.copy()
    bad[-1] = 400_000
    for _ in range(3):
        with pytest.raises(gr.ExecutionError, match="index 400000 is out of bounds") as caught:
            f(np.ones(400_000), bad)
        assert "test_native_entry_threads.py:" in str(caught.value)
        assert not w.state.claimed
    assert f(np.ones(400_000), good) == f._slow(np.ones(400_000), good)
    np.testing.assert_array_equal(w.value, np.full(400_000, 4.0))


def test_results_in_memory_of_earlier_ones_come_the_native_way(only_native):
    x = gr.placeholder("x", (SIZE,), "float64")
    f = entered(gr.compile([x], [x * 2, x + 1], backend="native", threads=1), np.ones(SIZE))
    only_native()
    first = [array.ctypes.data for array in f(np.zeros(SIZE))]
    results = f(np.ones(SIZE))
    assert [array.ctypes.data for array in results] == first
    held = results[0]
    again = f(np.zeros(SIZE))
    assert again[0].ctypes.data != first[0]
    assert (held == 2).all()
    before = [sys.getrefcount(thing) for thing in (f._entry, f.plan.program.workspaces)]
    for _ in range(20):
        f(np.ones(SIZE))
    assert [sys.getrefcount(thing) for thing in (f._entry, f.plan.program.workspaces)] == before


LAST = """
import threading
import numpy as np, graphc as gr
from test_native_entry_threads import MOST_KEPT, SIZE, begun, slow_function

class Overwrite:
    def __del__(self):
        arrays.extend(np.full(words, 1) for _ in range(20))

x, v = gr.placeholder("x", (SIZE,), "float64"), gr.variable("v", np.zeros(3))
f = gr.compile([x], {"y": gr.sum(slow_function(x))}, updates={v: v + 1}, backend="native", threads=1)
expected, _ = f(np.ones(SIZE)), f(np.ones(SIZE))
workspaces, arrays, done = f.plan.program.workspaces, [], []
words, workspaces[0].overwrite = workspaces[0].entry.record.size, Overwrite()
thread = threading.Thread(target=lambda: done.append(f(np.ones(SIZE))))
thread.start()
begun(v)
workspaces.extend(f.plan.program.new_workspace() for _ in range(MOST_KEPT))
thread.join()
print(len(arrays), done == [expected])
"""


def test_a_workspace_that_is_one_too_many_goes_with_its_record_before_the_call_ends():
    assert python(LAST, PYTHONPATH=os.pathsep.join(sys.path)) == "20 True\n"


LOOK = """
import gc, threading
import numpy as np, graphc as gr
from test_native_entry_threads import SIZE, begun, slow_function

x, v = gr.placeholder("x", (SIZE,), "float64"), gr.variable("v", np.zeros(3))
y = slow_function(x)
f = gr.compile([x], [gr.sum(y), x + 1, gr.max(y)], updates={v: v + 1}, backend="native", threads=1)
f(np.ones(SIZE)), f(np.ones(SIZE))
thread = threading.Thread(target=f, args=[np.ones(SIZE)])
thread.start()
begun(v)
lists = [made for made in gc.get_objects() if type(made) is list and len(made) == 3]
kinds = [[type(item) for item in made] for made in lists]
print(kinds.count([type(None), np.ndarray, type(None)]), bool(v.state.claimed))
thread.join()
"""


def test_the_container_of_results_can_be_looked_into_during_a_run():
    assert python(LOOK, PYTHONPATH=os.pathsep.join(sys.path)) == "1 True\n"


def test_a_program_has_one_entry_whoever_asks_first(monkeypatch):
    """Another one would take the place of records that runs are going by."""
    x = gr.placeholder("x", (SIZE // 10,), "float64")
    f = gr.compile([x], slow_function(x, 1), backend="native", threads=2)
    f(np.ones(SIZE // 10))
    made, entry_of = [], entry.entry_of

    def slow_entry(*args):
        time.sleep(0.05)
        made.append(entry_of(*args))
        return made[-1]

    monkeypatch.setattr(entry, "entry_of", slow_entry)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(f, [np.ones(SIZE // 10)] * 8))
    assert made == [f._entry]


def test_a_program_that_outlives_its_modules_ends_quietly():
    """What a library keeps of the main module keeps its programs until modules lose their names."""
    code = """
import numpy as np, graphc as gr, threading
x = gr.placeholder("x", (1000, 1000))
f = gr.compile([x], gr.exp(x), threads=2, backend="native")
f(np.ones((1000, 1000), "float32"))
threading.kept = lambda: f
"""
    assert not python(code)
