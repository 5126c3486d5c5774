"""Variables that are updated where they lie: only where nothing needs the old value, and nothing can go wrong."""

import gc
import os
import signal
import sys
import threading

import numpy as np
import pytest

import graphc as gr
from graphc import state

pytest.importorskip("llvmlite")

from entries import called_meanwhile, entered, needs_entries
from fuzz_checks import everything_parallel
from test_driver import until
from test_native import python
from test_native_entry_threads import slow_function
from tracing import traced

from graphc.native import overwriting, program, stretches
from graphc.native.image import Segment

N = 128
"""Matrices of so many rows in f64 are large enough."""


def native(inputs, outputs, updates, threads=2):
    return gr.compile(inputs, outputs, updates=updates, backend="native", threads=threads)


def names(f):
    """The variables that an executable overwrites."""
    return [variable.name for variable in f.plan.program.overwritten]


def square(name, value=1.0, size=N):
    return gr.variable(name, np.full((size, size), value))


@needs_entries
def test_an_optimizer_overwrites_parameters_and_moments():
    x, labels = gr.placeholder("x", (32, N), "float64"), gr.placeholder("labels", (32,), "int64")
    w = gr.variable("w", np.random.default_rng(0).normal(size=(N, N)))
    loss = gr.losses.softmax_cross_entropy(gr.tanh(x @ w), labels)
    f = native([x, labels], loss, gr.optim.adam(loss, [w]))
    assert names(f) == ["adam/m/w", "adam/v/w", "w"]
    assert "variables 3 updated where they lie, 1 into spare arrays" in str(f.report())


@needs_entries
@pytest.mark.parametrize(
    ("overwritten", "made"),
    [
        (["v"], lambda v, w: (gr.sum(v), {v: v + 1})),
        (["v"], lambda v, w: ((v + 1).sum(), {v: v * v.sum()})),
        (["v", "w"], lambda v, w: (gr.sum(v), {v: v + w, w: v - w})),  # one kernel reads both and writes both
        (["v"], lambda v, w: (gr.tanh(w @ v), {v: w @ gr.tanh(w @ v) + v})),
        ([], lambda v, w: (w @ v, {v: w @ w + v})),  # two products at once
        (["w"], lambda v, w: ([], {w: gr.tanh(v) @ v - 0.5 * w})),  # read where the product is finished
        ([], lambda v, w: ([], {w: gr.tanh(w) @ w - 0.5 * w})),  # read by all of its rows
        ([], lambda v, w: ([], {v: v @ w})),
        ([], lambda v, w: ([], {v: gr.transpose(v) + 1})),
        ([], lambda v, w: ([], {v: v[::-1] * 2})),
        (["v"], lambda v, w: (v, {v: v + 1})),  # the old value is copied before
        (["w"], lambda v, w: ([], {v: w, w: v})),
        ([], lambda v, w: (gr.sort(w), {v: v + 1})),  # NumPy sorts, and may be interrupted
    ],
)
def test_only_what_nothing_needs_is_overwritten(overwritten, made):
    def program(backend):
        rng = np.random.default_rng(0)
        v, w = (gr.variable(name, rng.normal(size=(N, N)) / N) for name in "vw")
        outputs, updates = made(v, w)
        return gr.compile([], outputs, updates=updates, backend=backend, threads=2), (v, w)

    (f, ours), (g, theirs) = program("native"), program("numpy")
    assert names(f) == overwritten
    for _ in range(4):
        np.testing.assert_allclose(f(), g(), rtol=1e-10)
        for one, other in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(one.value, other.value, rtol=1e-10)


def test_where_calls_go_through_python_nothing_is_overwritten(monkeypatch):
    monkeypatch.setattr(program, "can_enter", lambda: False)
    v = square("v")
    f = native([], [], {v: v + 1})
    assert names(f) == []
    assert "variables 0 updated where they lie, 1 into spare arrays" in str(f.report())


@pytest.mark.parametrize("given", [lambda x, n: x, lambda x, n: n, lambda x, n: n + 1])
def test_where_an_argument_or_a_number_of_a_variable_is_given_back_nothing_is_overwritten(given):
    """Such calls go through Python."""
    x, v, n = gr.placeholder("x", (), "float64"), square("v"), gr.variable("n", 1.0)
    f = native([x], [given(x, n), gr.sum(v)], {v: v + 1, n: n + 1})
    assert names(f) == []
    assert [f(7.0) for _ in range(3)] == [[given(7.0, k), k * N * N] for k in (1.0, 2.0, 3.0)]
    assert not hasattr(f, "_entry")


def test_small_variables_have_a_spare_array():
    v = square("v", size=90)
    assert names(native([], [], {v: v + 1})) == []


def random_training(seed):
    """A program that updates some of its variables by random values of them."""
    rng = np.random.default_rng(seed)
    size = int(rng.integers(3, 20))
    x = gr.placeholder("x", (size, size), "float64")
    variables = [gr.variable(f"v{i}", rng.normal(size=(size, size))) for i in range(5)]
    values = [*variables, x]
    for _ in range(14):
        a, b = (values[i] for i in rng.integers(len(values), size=2))
        ways = [lambda a, b: a + b, lambda a, b: a * b, lambda a, b: gr.tanh(a) - b, lambda a, b: a @ b,
                lambda a, b: a @ b + gr.sin(a), lambda a, b: a @ b - 0.1 * b, lambda a, b: gr.transpose(a) + b,
                lambda a, b: gr.sum(a, 1, keepdims=True) * b, lambda a, b: gr.mean(a, 0) + b, lambda a, b: a[::-1] + b,
                lambda a, b: gr.exp(a - gr.max(a, 1, keepdims=True)) + gr.max(b)]  # fmt: skip
        values.append(ways[rng.integers(len(ways))](a, b))
    drawn = rng.integers(5, len(values), size=len(variables))
    updates = {v: gr.tanh(values[i]) + v * int(rng.integers(2)) if rng.integers(2) else gr.tanh(values[i])
               for v, i in zip(variables, drawn, strict=True) if rng.integers(4)}  # fmt: skip
    outputs = [gr.sum(gr.tanh(values[-1])), gr.tanh(values[-2])]
    return x, outputs, updates, variables, rng.normal(size=(size, size))


@needs_entries
@pytest.mark.parametrize("first", range(0, 60, 12))
def test_random_programs_train_alike_with_and_without_spare_arrays(first, monkeypatch):
    overwritten = {5e7: 0, 1e3: 0}
    for seed in range(first, first + 12):
        longest = (5e7, 1e3)[seed % 2]
        x, outputs, updates, variables, feed = random_training(seed)
        start, runs = [v.value for v in variables], []
        for least in (1, 1 << 60):
            with everything_parallel(), monkeypatch.context() as patched:
                patched.setattr(overwriting, "LEAST_BYTES", least)
                patched.setattr(stretches, "LONGEST_NS", longest)
                f = native([x], outputs, updates, threads=1 + seed % 3)
                f(feed), f(feed)
                for v, value in zip(variables, start, strict=True):
                    v.value = value
                runs.append([[*f(feed), *(v.value for v in variables)] for _ in range(4)])
                if least == 1 and hasattr(f, "_entry") and (longest == 5e7) == (len(f.plan.program._steps) == 1):
                    overwritten[longest] += len(names(f))
        for ours, theirs in zip(*runs, strict=True):
            for one, other in zip(ours, theirs, strict=True):
                np.testing.assert_array_equal(one, other, err_msg=f"seed {seed}")
    assert overwritten[5e7] >= 3
    assert overwritten[1e3] >= 1


@needs_entries
def test_training_keeps_one_array_of_each_variable(only_native):
    v = square("v", size=1000)
    f = entered(native([], gr.sum(v), {v: v + 1}))
    only_native()
    f()
    held, at = v.state.current, v.state.array.ctypes.data
    assert v.state.spare is None
    gc.collect()
    with traced() as allocated:
        for i in range(20):
            assert f() == (4 + i) * 1e6
        assert allocated()[1] < 1e6
    assert (v.state.current, v.state.array.ctypes.data, v.state.spare) == (held, at, None)
    np.testing.assert_array_equal(v.value, np.full((1000, 1000), 24.0))


@needs_entries
def test_calls_that_python_runs_use_two_arrays_in_turn():
    """Fresh memory for each would come from the system page by page."""
    v = square("v")
    f = entered(native([], gr.sum(v), {v: v + 1}))
    buffers = {v.state.current, v.state.spare}
    for _ in range(4):
        f._slow()
        assert {v.state.current, v.state.spare} == buffers
    f()
    assert v.state.spare is None


@needs_entries
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("after", [True, False], ids=["updated after the lookup", "not after it"])
def test_a_position_outside_leaves_variables_as_they_were(after, threads):
    x, i = gr.placeholder("x", (N, N), "float64"), gr.placeholder("i", (N,), "int64")
    v, small = square("v"), gr.variable("small", 0.0)
    good = np.arange(N)
    found = gr.sum(x[i])
    f = entered(native([x, i], found + gr.sum(slow_function(v, 1)) * 0, {v: v + (found if after else N * N),
                                                                         small: small + 1}, threads),
                np.ones((N, N)), good)  # fmt: skip
    assert names(f) == (["v"] if after else [])
    before = v.value
    for _ in range(3):
        with pytest.raises(gr.ExecutionError, match="index 128 is out of bounds"):
            f(np.ones((N, N)), good + 1)
        np.testing.assert_array_equal(v.value, before)
        assert small.value == 2
    assert f(np.ones((N, N)), good) == N * N
    np.testing.assert_array_equal(v.value, before + N * N)


def test_a_run_that_calls_numpy_does_not_end_early():
    """NumPy would be given what was there before: other positions outside, say."""
    x, i, v = gr.placeholder("x", (N, N), "float64"), gr.placeholder("i", (N,), "int64"), square("v")
    f = native([x, i], gr.sum(gr.sort(x)), {v: v + gr.sum(x[i])}, threads=1)
    segments = [step for step in f.plan.program.emitted.steps.listed if isinstance(step, Segment)]
    assert not any(share.guards for segment in segments for share in segment.shares)


@needs_entries
def test_a_value_being_read_is_not_overwritten():
    v = square("v")
    f = entered(native([], gr.sum(v), {v: v + 1}))
    with state.reading([v.state]) as (held,):
        was = held.copy()
        for i in range(3):
            assert f() == (3 + i) * N * N
        np.testing.assert_array_equal(held, was)
    for i in range(3, 6):
        assert f() == (3 + i) * N * N
    assert v.state.spare is None
    np.testing.assert_array_equal(v.value, was + 6)


def in_a_thread(function):
    """Another thread that has as much time as it takes, or waits for somebody."""
    thread = threading.Thread(target=function)
    thread.start()
    thread.join(0.2)
    return thread


@needs_entries
def test_what_a_run_by_python_will_write_is_not_overwritten_before(monkeypatch):
    """Else the update would be lost."""
    v = square("v")
    f = entered(native([], gr.sum(v), {v: v + 1}))
    exit_, threads = state.reading.__exit__, []

    def exit_and_switch(self, *error):
        exit_(self, *error)
        if not threads:
            threads.append(in_a_thread(f))

    monkeypatch.setattr(state.reading, "__exit__", exit_and_switch)
    f._slow()
    threads[0].join(300)
    np.testing.assert_array_equal(v.value, np.full((N, N), 5.0))


@needs_entries
def test_what_a_run_by_python_only_writes_is_not_overwritten_meanwhile(monkeypatch):
    """Else one variable would be as after the one run, and the other as after the other."""
    v, count = square("v"), gr.variable("count", 1.0)
    f = entered(native([], [], {v: v + 1, count: count + 1}))
    assert names(f) == ["v"]
    g = gr.compile([], [], updates={v: gr.broadcast_to(count, (N, N))}, backend="numpy")
    run, threads = g.plan.program.run, []

    def run_and_switch(*given):
        threads.append(in_a_thread(f))
        return run(*given)

    monkeypatch.setattr(g.plan.program, "run", run_and_switch)
    g()
    threads[0].join(300)
    np.testing.assert_array_equal(v.value, np.full((N, N), count.value))


@needs_entries
def test_an_interrupt_before_a_run_by_python_keeps_nobody_from_the_variable(monkeypatch):
    v = square("v")
    f = entered(native([], gr.sum(v), {v: v + 1}))
    f()

    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(state, "Buffer", interrupted)
        with pytest.raises(KeyboardInterrupt):
            f._slow()
    assert isinstance(v.state.claimed, state.Claim)
    f()
    assert v.state.claimed is False
    f()
    assert v.state.spare is None
    np.testing.assert_array_equal(v.value, np.full((N, N), 6.0))


def long_training(size=400_000):
    """A step of some milliseconds that overwrites two variables, which stay equal, and what is true of their values."""
    v, w = (gr.variable(name, np.zeros(size)) for name in "vw")
    more = gr.where(slow_function(v * 0, 4) > 2, 0.0, 1.0)
    f = entered(native([], gr.sum(v), {v: v + more, w: w + 1}))
    assert names(f) == ["v", "w"]

    def is_whole(value):
        return bool((value == value[0]).all())

    return f, v, w, is_whole


@needs_entries
def test_a_reader_waits_for_a_run_that_overwrites():
    f, v, w, is_whole = long_training()
    seen = []
    with called_meanwhile(f):
        until(lambda: v.state.overwritten)
        peek = native([], [gr.sum(gr.abs(v - w)), v[0]], {})
        for _ in range(30):
            seen += [v.value, w.value]
            difference, _ = peek()
            assert difference == 0, "of two moments"
    assert all(map(is_whole, seen))
    assert seen[0][0] < seen[-1][0]
    assert not v.state.claimed
    assert not v.state.overwritten


@needs_entries
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_waits_for_a_run_that_overwrites():
    f, v, w, is_whole = long_training()
    with called_meanwhile(f):
        for _ in range(5):
            until(lambda: v.state.overwritten)
            child = os.fork()
            if not child:
                values = v.value, w.value
                right = is_whole(values[0]) and np.array_equal(*values)
                f()
                os._exit(0 if right and is_whole(v.value) and v.value[0] == values[0][0] + 1 else 1)
            assert os.waitpid(child, 0)[1] == 0
    assert not state.GATE.closed


def test_all_who_wait_for_a_variable_are_told(monkeypatch):
    v, unless, asked = square("v"), state._unless, []

    def unless_and_note(*given):
        answer = unless(*given)
        asked.append(answer)
        return answer

    monkeypatch.setattr(state, "_unless", unless_and_note)
    monkeypatch.setattr(state, "PATIENCE", 1000)
    v.state.claimed = v.state.overwritten = True
    threads = [threading.Thread(target=lambda: v.value, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    until(lambda: len(asked) == 4)
    v.state.claimed = v.state.overwritten = False
    v.state.wanted.release()
    for thread in threads:
        thread.join(10)
    assert not any(thread.is_alive() for thread in threads)


FORK = """
import os, threading

looks = []
os.register_at_fork(before=lambda: looks and looks.pop()())  # runs after those of modules that are imported later

from test_overwriting import long_training, state

f, v, *_ = long_training()

def have_it_read():
    thread = threading.Thread(target=lambda: v.value)
    thread.start()
    thread.join()
    print(state.GATE.closed)

looks.append(have_it_read)
child = os.fork()
f()
if not child:
    os._exit(v.state.spare is not None)
print(os.waitpid(child, 0)[1], v.state.spare)
"""


@needs_entries
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_keeps_the_gate_closed_whoever_reads_a_variable_meanwhile():
    printed = python(FORK, PYTHONPATH=os.pathsep.join(sys.path), PYTHONWARNINGS="ignore::DeprecationWarning")
    assert printed == "True\n0 None\n"


@needs_entries
@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs timers")
def test_interrupts_leave_overwritten_variables_in_step():
    f, v, w, is_whole = long_training()

    def interrupt(*_):
        raise KeyboardInterrupt

    def run_until_interrupted(seconds):
        while True:  # the collector may run a finalizer, in which Python drops what a handler raises
            signal.setitimer(signal.ITIMER_REAL, seconds)
            for _ in range(1000):
                f()
                f._slow()

    previous = signal.signal(signal.SIGALRM, interrupt)
    try:
        for i in range(30):
            with pytest.raises(KeyboardInterrupt):
                run_until_interrupted(0.004 + 3e-4 * i)
            assert is_whole(v.value)
            np.testing.assert_array_equal(v.value, w.value)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


@needs_entries
def test_threads_that_train_one_variable_lose_no_update():
    f, v, w, is_whole = long_training(size=20_000)
    before = sys.getswitchinterval()
    calls = [f, f, f._slow, lambda: is_whole(v.value) or pytest.fail("torn")]
    threads = [threading.Thread(target=lambda call=call: [call() for _ in range(40)]) for call in calls]
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(300)
    finally:
        sys.setswitchinterval(before)
    np.testing.assert_array_equal(v.value, np.full(20_000, 122.0))
    np.testing.assert_array_equal(v.value, w.value)
