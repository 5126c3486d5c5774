"""What a handler of signals raises, such as a time-out, reaches the user from wherever it comes, and costs nothing."""

import functools
import gc
import random
import signal
import threading
from pathlib import Path

import numpy as np
import pytest

import graphc as gr

pytest.importorskip("llvmlite")

from entries import needs_entries
from interrupts import Interrupts

from graphc import passes, pipeline
from graphc.evaluate import evaluate
from graphc.executable import Executable
from graphc.native import available, products, works
from graphc.native.calls import calling, install
from graphc.native.calls.capi import can_enter
from graphc.native.code import background, cache, host, pages, spelling
from graphc.native.code.library import LIBRARY
from graphc.native.kernel import facts
from graphc.native.program import NativeProgram
from graphc.signals import let_through

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="needs signals")
PACKAGE = Path(gr.__file__).parent
FEED = np.linspace(-1, 1, 96).reshape(12, 8)
CALLS = 3
"""The first call plans, the second one makes the code of calls, and the third one goes through it."""


def request():
    """A variable, and what compiles a graph of kernels, products and loops that updates it."""
    x, w = gr.placeholder("x", (12, 8), "float64"), gr.variable("w", np.ones((8, 8)))
    loss = gr.sum(gr.tanh(x @ w))
    outputs = [loss, gr.grad(loss, x), gr.cumsum(x, axis=0)]
    return w, lambda: gr.compile([x], outputs, updates={w: w * 0.5}, threads=2)


def results(f):
    return [np.array(value) for _ in range(CALLS) for value in f(FEED)]


@pytest.fixture(scope="module")
def expected():
    return results(request()[1]())


def assert_ended(call, fresh, expected):
    """Compile and call, which `call` ends by a time-out; and see that nothing is lost by that."""
    fresh()
    (w, compiled), made = request(), []
    with pytest.raises(TimeoutError, match="late") as caught:
        call(lambda: made.append(compiled()) or results(made[0]))
    assert type(caught.value) is TimeoutError
    del caught
    assert gc.isenabled()
    assert w.value[0, 0] in [0.5**count for count in range(CALLS + 1)]
    w.value = np.ones((8, 8))
    for f in (*made, request()[1]()):
        for value, reference in zip(results(f), expected, strict=True):
            np.testing.assert_array_equal(value, reference)
        assert type(f.plan.program) is NativeProgram
        assert not [work.why for work in f.plan.program.works.listed if work.task is None and work.output is None]
        assert hasattr(f, "_entry") == can_enter(), "calls go through Python"
        assert all(map(is_free, (LIBRARY._lock, LIBRARY._queue._lock, install._installing, f._planning)))


def is_free(lock):
    """Whether another thread can take it."""
    found = []
    thread = threading.Thread(target=lambda: found.append(lock.acquire(timeout=10)) or lock.release())
    thread.start()
    thread.join()
    return found == [True]


def is_late(*_):
    raise TimeoutError("late")


@pytest.fixture
def alarm():
    before = signal.signal(signal.SIGALRM, is_late)
    yield
    signal.signal(signal.SIGALRM, before)


STAGES = {
    "a pass": (pipeline, "_check_interface"), "the probe": (available, "knows_objects"),
    "a look into the cache": (cache, "_mark_used"), "the name of an entry": (spelling, "_spell"),
    "the hash of the sources": (spelling, "_sources"), "the IR of a kernel": (facts.Writer, "text"),
    "the code of a product": (products, "Compiled"), "what is known of a kernel": (facts, "Facts"),
    "the loops of an op": (works, "pieces_of"),
    "waiting for code": (background.Job, "wait"), "asking another thread": (background, "apart"),
    "giving pages back": (pages, "_unwritten"), "the code of calls": (calling, "text"),
    "an entry": (Executable, "_made_entry"), "the driver": (host, "identity"), "a result": (NativeProgram, "give_back"),
}  # fmt: skip


@pytest.mark.parametrize("stage", [
    pytest.param(stage, marks=needs_entries) if stage == "the code of calls" else stage for stage in STAGES
])  # fmt: skip
def test_a_time_out_in_any_stage_reaches_the_user(stage, fresh, expected, alarm, monkeypatch, tmp_path):
    """Its handler runs where that stage begins, once."""
    holder, name = STAGES[stage]
    function, left = getattr(holder, name), [1]

    def late(*args, **named):
        if left and threading.current_thread() is threading.main_thread():
            left.pop()
            signal.raise_signal(signal.SIGALRM)
        return function(*args, **named)

    if stage == "a look into the cache":
        monkeypatch.setenv("GRAPHC_CACHE", str(tmp_path / "cache"))
        fresh()
        results(request()[1]())
    with monkeypatch.context() as patched:
        patched.setattr(holder, name, functools.wraps(function)(late))
        patched.setattr(late, "cache_clear", getattr(function, "cache_clear", None), raising=False)
        assert_ended(lambda run: run(), fresh, expected)
    assert not left


@pytest.mark.parametrize("seed", range(5))
def test_a_time_out_at_any_moment_reaches_the_user(seed, fresh, expected):
    """Six of the tens of thousands of moments at which a handler may run."""
    folders = PACKAGE, Path(passes.__file__).parent
    files = {str(file) for folder in folders for file in folder.rglob("*.py")}
    fresh()
    all_of_them = Interrupts(files, 10**9, TimeoutError("late"))
    all_of_them.call(lambda: results(request()[1]()))
    assert all_of_them.seen > 20_000
    for number in random.Random(seed).sample(range(1, all_of_them.seen * 9 // 10), 6):
        interrupts = Interrupts(files, number, TimeoutError("late"))
        try:
            assert_ended(interrupts.call, fresh, expected)
        except BaseException as error:
            error.add_note(f"the time-out came at {interrupts.where}")
            raise


def test_errors_of_our_own_are_no_failures_of_llvm(fresh, monkeypatch):
    def wrong(self):
        raise ZeroDivisionError("planted")

    fresh()
    with monkeypatch.context() as patched:
        patched.setattr(facts.Writer, "text", wrong)
        with pytest.raises(ZeroDivisionError, match="planted"):
            results(request()[1]())
    results(request()[1]())


class Handlers:
    """Handlers of all kinds."""

    def method(self, signum, frame):
        is_late()

    @staticmethod
    def any_number(*given):
        is_late()

    partial = functools.partial(lambda what, signum, frame: is_late(), "what")


@pytest.mark.parametrize("handler", [is_late, Handlers().method, Handlers.any_number, Handlers.partial])
def test_an_error_of_a_handler_is_told_from_others(handler):
    def fail():
        raise TimeoutError("of its own")

    try:
        fail()
    except TimeoutError as error:
        let_through(error)
    before = signal.signal(signal.SIGALRM, handler)
    try:
        signal.raise_signal(signal.SIGALRM)
    except TimeoutError as error:
        with pytest.raises(TimeoutError, match="late"):
            let_through(error)
    finally:
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_time_out_in_native_code_between_calls_of_numpy_reaches_the_user(threads, alarm, monkeypatch):
    """Threads share a segment of such a program, which stands for no node."""
    x = gr.placeholder("x", (300_000,), "float64")
    f = gr.compile([x], gr.tanh(gr.sort(gr.exp(x))), threads=threads)
    feed = np.linspace(-1, 1, 300_000)
    first = f(feed)
    with monkeypatch.context() as patched:
        patched.setattr(f.plan.program, "_drive", lambda address: signal.raise_signal(signal.SIGALRM))
        with pytest.raises(TimeoutError, match="late"):
            f(feed)
    np.testing.assert_array_equal(f(feed), first)


def test_a_time_out_between_steps_of_numpy_reaches_the_user(alarm, monkeypatch):
    """A step that threads share stands for no node."""
    x = gr.placeholder("x", (300_000,), "float64")
    f = gr.compile([x], gr.tanh(gr.sort(gr.exp(x) + 1)), backend="numpy", threads=2)
    feed = np.linspace(-1, 1, 300_000)
    first = f(feed)
    program = f.plan.program
    with monkeypatch.context() as patched:
        patched.setattr(program, "_steps", [lambda values: signal.raise_signal(signal.SIGALRM), *program._steps])
        with pytest.raises(TimeoutError, match="late"):
            f(feed)
    np.testing.assert_array_equal(f(feed), first)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_time_out_in_a_body_is_no_failure_of_the_node(threads):
    x = gr.placeholder("x", (300, 300))
    f = gr.compile([x], [gr.tanh(x), gr.tanh(x + 1)], backend="numpy", threads=threads)
    feed = np.ones((300, 300), "float32")
    first = f(feed)
    interrupts = Interrupts({gr.tanh.body.__code__.co_filename}, 1, TimeoutError("late"))
    with pytest.raises(TimeoutError, match="late"):
        interrupts.call(lambda: f(feed))
    np.testing.assert_array_equal(f(feed), first)
    with pytest.raises(TimeoutError, match="late"):
        Interrupts({gr.tanh.body.__code__.co_filename}, 1, TimeoutError("late")).call(
            lambda: evaluate([gr.tanh(x)], {x: feed})
        )
