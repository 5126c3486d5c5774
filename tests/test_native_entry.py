"""Calls that are native code: the same results, types and errors as the way through Python, and nothing lost."""

import gc
import inspect
import os
import signal
import subprocess
import sys
import threading
import tracemalloc
import weakref
from contextlib import suppress
from typing import NamedTuple

import numpy as np
import pytest

import graphc as gr
from graphc import state
from graphc.executable import Executable

pytest.importorskip("llvmlite")

from graphc.native.calls import capi, entry

pytestmark = pytest.mark.skipif(not capi.can_enter(), reason="this Python keeps objects elsewhere")

rng = np.random.default_rng(0)


class Slow(Exception):
    """The way through Python was taken."""


def entered(f, *args):
    """An executable after two calls, with an entry."""
    f(*args)
    assert not hasattr(f, "_entry")
    f(*args)
    assert hasattr(f, "_entry")
    return f


@pytest.fixture
def only_native(monkeypatch):
    """Make calls that go through Python fail."""

    def forbid():
        def raise_slow(self, /, *args, **named):
            raise Slow

        monkeypatch.setattr(Executable, "_slow", raise_slow)

    return forbid


def rosenbrock(shape=list):
    x, y = gr.placeholder("x", (), "float64"), gr.placeholder("y", (), "float64")
    value = gr.square(1 - x) + 100 * gr.square(y - gr.square(x))
    return entered(gr.compile([x, y], shape([value, *gr.gradients(value, [x, y])]), backend="native"), 1.0, 2.0)


def matrices(dtype="float64", shape=(3, 5)):
    x, y = gr.placeholder("x", shape, dtype), gr.placeholder("y", shape, dtype)
    f = gr.compile([x, y], [x + y, gr.sum(x * y)], backend="native")
    return entered(f, np.ones(shape, dtype), np.ones(shape, dtype))


def training(size=6):
    """An executable that changes two variables, which stay equal."""
    v, w = gr.variable("v", np.zeros(size)), gr.variable("w", np.zeros(size))
    x = gr.placeholder("x", (size,), "float64")
    f = gr.compile([x], [gr.sum(v), gr.sum(w)], updates={v: v + x, w: w + x}, backend="native")
    return entered(f, np.zeros(size)), v, w


# Results.


class Triple(NamedTuple):
    first: object
    second: object
    third: object


SHAPES = {"list": list, "tuple": tuple, "named tuple": lambda nodes: Triple(*nodes),
          "dict": lambda nodes: dict(zip("abc", nodes, strict=True)),
          "nested": lambda nodes: [nodes[0], tuple(nodes[1:])],
          "one": lambda nodes: nodes[0], "list of one": lambda nodes: nodes[:1]}  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
def test_results_come_in_what_was_asked_for(shape, only_native):
    f = rosenbrock(SHAPES[shape])
    expected = f._slow(1.25, -0.5)
    only_native()
    result = f(1.25, -0.5)
    assert result == expected
    assert type(result) is type(expected)
    assert repr(result) == repr(expected)


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "int64", "int32", "int8", "uint8", "bool"])
@pytest.mark.parametrize("shape", [(), (4,), (2, 3, 4), (0, 3)])
def test_arguments_and_results_of_all_dtypes_and_ranks(dtype, shape, only_native):
    x = gr.placeholder("x", shape, dtype)
    y = gr.logical_not(x) if dtype == "bool" else x + x
    value = (rng.normal(size=shape) * 10).astype(dtype)
    given = value[()] if shape == () else value
    f = entered(gr.compile([x], [y, gr.sum(x)] if shape else [y], backend="native"), given)
    expected = f._slow(given)
    only_native()
    for result, reference in zip(f(given), expected, strict=True):
        assert type(result) is type(reference)
        assert result.dtype == reference.dtype
        np.testing.assert_array_equal(result, reference)


def test_results_are_fresh_and_stay_valid():
    f = matrices()
    x = rng.normal(size=(3, 5))
    results = [f(x, np.full((3, 5), float(i)))[0] for i in range(5)]
    for i, result in enumerate(results):
        np.testing.assert_array_equal(result, x + i)
        assert result.flags.owndata
        assert result.flags.writeable


def test_a_number_is_read_from_whatever_holds_it_as_it_is(only_native):
    f = rosenbrock()
    expected = f(1.5, 2.0)
    only_native()
    assert f(np.float64(1.5), np.array(2.0)) == expected


def test_python_floats_are_rounded_to_f32_and_refused_beyond_its_range(only_native):
    x = gr.placeholder("x", (), "float32")
    f = entered(gr.compile([x], x * 2, backend="native"), 1.0)
    with pytest.raises(gr.FeedError, match="out of the dtype's range"):
        f(1e300)
    only_native()
    assert f(0.1) == np.float32(0.1) * 2
    assert f(float("inf")) == np.inf
    assert np.isnan(f(float("nan")))
    assert type(f(np.float32(3))) is np.float32
    with pytest.raises(Slow):
        f(1e300)


# What goes through Python.


class Own(np.ndarray):
    pass


class Real(float):
    pass


READONLY = np.arange(15.0).reshape(3, 5)
READONLY.flags.writeable = False
UNUSUAL = {
    "fortran": np.asfortranarray(READONLY), "strided": np.arange(30.0).reshape(3, 10)[:, ::2],
    "reversed": np.arange(15.0)[::-1].reshape(3, 5)[:, ::-1], "swapped": READONLY.astype(">f8"),
    "misaligned": np.frombuffer(b"\0" + READONLY.tobytes(), "u1")[1:].view("f8").reshape(3, 5),
    "f32": READONLY.astype("f4"), "ints": READONLY.astype("i4"), "lists": READONLY.tolist(),
    "subclass": READONLY.view(Own), "read-only": READONLY, "tuples": tuple(map(tuple, READONLY.tolist())),
}  # fmt: skip


@pytest.mark.parametrize("kind", UNUSUAL)
def test_unusual_arrays_are_taken_all_the_same(kind):
    f, given, other = matrices(), UNUSUAL[kind], rng.normal(size=(3, 5))
    total, product = f(given, other)
    np.testing.assert_allclose(total, np.add(given, other))
    np.testing.assert_allclose(product, np.sum(np.multiply(given, other)))
    assert (type(total), type(product)) == (np.ndarray, np.float64)


OTHER = [(1, 2), (Real(1.0), 2.0), (np.float32(1), 2.0), (np.int8(1), 2.0), (1.0, np.array(2))]


@pytest.mark.parametrize("args", OTHER)
def test_other_numbers_mean_what_they_mean_to_python_code(args):
    f = rosenbrock()
    assert f(*args) == f._slow(*args) == f(1.0, 2.0)


WRONG = {"shape": (np.ones((3, 4)), np.ones((3, 5))), "rank": (np.ones(15), np.ones((3, 5))), "few": (np.ones((3, 5)),),
         "higher rank": (np.ones((3, 5, 2)), np.ones((3, 5))),
         "many": (np.ones((3, 5)),) * 3, "none": (None, None), "complex": (np.ones((3, 5), complex), np.ones((3, 5))),
         "transposed": (np.ones((5, 3)), np.ones((3, 5))),
         "node": (gr.placeholder("x", (3, 5)),) * 2, "text": ("1", "2"), "numbers": (1.5, 2.5)}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG)
def test_errors_are_those_of_python_code(kind):
    f = matrices()
    with pytest.raises(gr.GraphcError) as expected:
        f._slow(*WRONG[kind])
    with pytest.raises(type(expected.value)) as error:
        f(*WRONG[kind])
    assert str(error.value) == str(expected.value)


def test_arguments_named_in_order_are_taken_natively(only_native):
    f = rosenbrock()
    expected, reference = f(1.5, 2.0), sys.getrefcount("x")
    only_native()
    for _ in range(100):
        assert f(1.5, y=2.0) == f(x=1.5, y=2.0) == expected
    assert abs(sys.getrefcount("x") - reference) < 5
    others = [((), {"y": 2.0, "x": 1.5}), ((1.5,), {"x": 2.0}), ((1.5,), {"z": 2.0}), ((1.5, 2.0), {"y": 2.0}),
              ((), {"x": 1.5}), ((), {"x": 1.5, "y": 2.0, "z": 3.0})]  # fmt: skip
    for args, named in others:
        with pytest.raises(Slow):
            f(*args, **named)


def test_other_names_go_through_python():
    f = rosenbrock()
    assert f(y=2.0, x=1.5) == f(**{"".join(["", "x"]): 1.5, "y": 2.0}) == f(1.5, 2.0)
    with pytest.raises(gr.FeedError, match="no input called z"):
        f(1.5, z=2.0)
    with pytest.raises(gr.FeedError, match="given twice"):
        f(1.5, x=2.0)


def test_a_position_outside_is_an_error_and_changes_nothing(only_native):
    w, x = gr.variable("w", np.zeros(3)), gr.placeholder("x", (4,), "float64")
    at = gr.placeholder("at", (2,), "int64")
    f = gr.compile([x, at], gr.take(x, at), updates={w: w + 1}, backend="native")
    entered(f, np.arange(4.0), np.array([0, 1]))
    for _ in range(3):
        with pytest.raises(gr.ExecutionError, match="index 4 is out of bounds"):
            f(np.arange(4.0), np.array([0, 4]))
        np.testing.assert_array_equal(f(np.arange(4.0), np.array([3, 0])), [3, 0])
    np.testing.assert_array_equal(w.value, np.full(3, 5.0))
    only_native()
    f(np.arange(4.0), np.array([3, 0]))
    with pytest.raises(Slow):
        f(np.arange(4.0), np.array([4, 0]))
    f(np.arange(4.0), np.array([3, 0]))
    np.testing.assert_array_equal(w.value, np.full(3, 7.0))


def test_a_symbolic_size_is_entered_for_the_size_used_last(only_native):
    x = gr.placeholder("x", ("n",), "float64")
    f = gr.compile([x], gr.sum(x), backend="native")
    for size in (3, 5, 3, 4):
        assert f(np.ones(size)) == f(np.ones(size)) == size
        assert f.plan.sizes == {"n": size}
    f.prepare(n=7)
    assert f(np.ones(4)) == 4
    assert f.plan.sizes == {"n": 4}
    only_native()
    assert f(np.ones(4)) == 4
    with pytest.raises(Slow):
        f(np.ones(5))


# The class.


def test_the_method_says_what_it_is_and_serves_subclasses_and_the_other_backend(only_native):
    rosenbrock()
    assert str(inspect.signature(Executable.__call__)) == "(self, /, *args, **named)"
    assert inspect.getdoc(Executable.__call__) == inspect.getdoc(Executable._slow)
    x = gr.placeholder("x", (), "float64")
    assert gr.compile([x], x + 1, backend="numpy")(1.5) == 2.5

    class Counting(Executable):
        calls = 0

        def __call__(self, /, *args, **named):
            self.calls += 1
            return super().__call__(*args, **named)

    base = rosenbrock()
    f = Counting(base.source, base._rebuild, 3, (), base.options)
    entered(f, 1.5, 2.0)
    only_native()
    assert f(1.5, 2.0) == base(1.5, 2.0)
    assert f.calls == 3
    with pytest.raises(TypeError):
        Executable.__call__(5, 1.0)


def test_inputs_given_by_names_of_the_methods_own_arguments():
    inputs = [gr.placeholder(name, (), "float64") for name in ("self", "args", "named")]
    f = entered(gr.compile(inputs, inputs[0] - inputs[1] * inputs[2], backend="native"), 7.0, 2.0, 3.0)
    assert f(7.0, 2.0, 3.0) == f(named=3.0, args=2.0, self=7.0) == 1


def test_checked_executables_are_not_entered():
    x = gr.placeholder("x", (), "float64")
    f = gr.compile([x], x + 1, backend="native", debug=True)
    assert f(1.0) == f(1.0) == 2.0
    assert not hasattr(f, "_entry")


def test_updates_alone_give_an_empty_container(only_native):
    w = gr.variable("w", np.zeros(3))
    f = entered(gr.compile([], [], updates={w: w + 1}, backend="native"))
    g = entered(gr.compile([], (), updates={w: w + 1}, backend="native"))
    f(), g()
    only_native()
    assert f() == []
    assert g() == ()
    np.testing.assert_array_equal(w.value, np.full(3, 8.0))


def test_a_slot_that_is_none_is_not_found():
    with pytest.raises(ValueError, match="is no slot"):
        capi.slot_of(Executable, "options")


def test_what_cannot_be_compiled_is_called_through_python_with_a_warning(monkeypatch):
    class Own(Executable):
        pass

    def refuse(*_):
        raise RuntimeError("no such instruction")

    monkeypatch.setattr(entry.LIBRARY, "load", refuse)
    monkeypatch.delattr(Executable, entry.KEPT, raising=False)
    with pytest.warns(RuntimeWarning, match=r"calls go through Python.*no such instruction"):
        assert not entry.install(Own)


LATE = """
import graphc as gr

class Late:
    def __init__(self):
        x, w = gr.placeholder("x", (), "float64"), gr.variable("w", 1.0, "float64")
        self.f = gr.compile([x], [gr.sin(x), w * x], updates={w: w + 1}, backend="native")
        self.f(1.0), self.f(1.0)
        self.me = self

    def __del__(self):
        print(self.f(0.0), self.f(1.0)[1])

import builtins
builtins.late = Late()
"""


def test_calls_at_the_very_end_of_the_interpreter_are_right():
    done = subprocess.run([sys.executable, "-c", LATE], capture_output=True, encoding="utf-8", check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "" or "[np.float64(0.0), np.float64(0.0)] 4.0" in done.stdout


# Memory.


def test_no_reference_is_kept_or_lost():
    f, (step, v, _), g = matrices(), training(), rosenbrock(tuple)
    x, rows, number = rng.normal(size=(3, 5)), np.ones(6), 1234.5
    unusual, wrong = np.asfortranarray(x), (x, "no number")
    held = (x, rows, number, unusual, wrong, wrong[1], x.dtype, np.float64, np.ndarray, f, g, step, f._entry,
            step._entry, v.state.current, v.state.spare, v.state.current.array, 0, False)  # fmt: skip

    def calls(count):
        for _ in range(count):
            f(x, x)
            g(number, number)
            step(rows)
            f(x, unusual)
            with suppress(gr.FeedError):
                f(*wrong)
            with suppress(gr.FeedError):
                f(x)

    calls(10)
    before = [sys.getrefcount(thing) for thing in held]
    calls(1000)
    after = [sys.getrefcount(thing) for thing in held]
    assert max(abs(a - b) for a, b in zip(after, before, strict=True)) <= 10


@pytest.mark.parametrize("shape", SHAPES)
def test_nothing_is_left_behind(shape):
    f, (step, _, _) = rosenbrock(SHAPES[shape]), training()

    def many():
        for _ in range(1000):
            f(1.5, 2.5)
            step(np.ones(6))
            f(1, 2.5)

    many()
    gc.collect()
    tracemalloc.start()
    try:
        many()
        gc.collect()
        before, _ = tracemalloc.get_traced_memory()
        many()
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 12_000  # a thousand objects would take twice that


def test_an_executable_goes_when_its_last_reference_goes():
    f = rosenbrock(lambda nodes: {"value": nodes[0], "slopes": nodes[1:]})
    f(1.5, 2.5)
    reference, kept = weakref.ref(f), weakref.ref(f.plan)
    gc.disable()
    try:
        del f
        assert reference() is None
        assert kept() is None
    finally:
        gc.enable()


def test_results_are_found_by_the_collector_and_calls_from_it_are_right():
    f, (step, v, _) = matrices(), training()
    seen = []

    class Trap:
        """Calls from within a collection, which a call's own list may start."""

        def __init__(self):
            self.me = self

        def __del__(self):
            seen.append(f(np.ones((3, 5)), np.ones((3, 5)))[1] + step(np.ones(6))[0] * 0)

    x = np.full((3, 5), 2.0)
    before = gc.get_threshold()
    gc.set_threshold(3, 1, 1)
    try:
        for _ in range(300):
            Trap()
            added, product = f(x, x)
            assert product == 60
            assert (added == 4).all()
    finally:
        gc.set_threshold(*before)
    gc.collect()
    assert len(seen) == 300
    assert set(seen) == {15.0}
    np.testing.assert_array_equal(v.value, np.full(6, 300.0))


# Variables.


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
    with state._swapping, state.GATE:
        thread.start()
        thread.join(0.1)
        assert not done
    thread.join(30)
    assert done


def test_an_exception_in_an_exchange_leaves_the_gate_open():
    with pytest.raises(KeyboardInterrupt), state._swapping, state.GATE:
        raise KeyboardInterrupt
    assert state.GATE.closed is False


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

faulthandler.dump_traceback_later(30, exit=True)
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
    with entry._installing, state._swapping, state.GATE:  # as another thread might
        child = os.fork()
        if not child:
            fresh = not (state.GATE.closed or state._swapping.locked() or entry._installing.locked())
            os._exit(0 if fresh and f(np.ones(6)) == [0, 0] and f(np.ones(6)) == [6, 6] else 1)
    assert os.waitpid(child, 0)[1] == 0
    np.testing.assert_array_equal(v.value, np.zeros(6))


# Programs without an entry.


def test_long_programs_and_such_that_call_numpy_go_through_python():
    x = gr.placeholder("x", (600, 600), "float64")
    f = gr.compile([x], gr.sum(gr.tanh(x)), backend="native")
    f(np.ones((600, 600)))
    assert sum(step.ns for step in f.plan.program.emitted.steps.listed) > entry.LONGEST_NS
    assert not hasattr(f, "_entry")
    g = gr.compile([x], gr.sort(x), backend="native")
    np.testing.assert_array_equal(g(-READONLY_600), np.sort(-READONLY_600))
    assert not hasattr(g, "_entry")


READONLY_600 = np.arange(360000.0).reshape(600, 600)


def test_an_argument_given_back_goes_through_python():
    x = gr.placeholder("x", (), "float64")
    f = gr.compile([x], [x, x + 1], backend="native")
    assert f(1.5) == f(1.5) == [1.5, 2.5]
    assert not hasattr(f, "_entry")
