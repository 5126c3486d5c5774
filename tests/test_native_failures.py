"""LLVM fails to compile a module: what it was for is named in a warning and computed another way, with the same values.

Modules are counted as they come to be compiled, in a process with a single thread and no cache, so every test breaks
another one: kernels of the program below, what prepares their operands and combines their parts, products, loops,
then the driver and the code of calls.
"""

import os
import re
import threading

import numpy as np
import pytest

import graphc as gr

pytest.importorskip("llvmlite")

from entries import needs_entries
from test_native import python

from graphc.native import works
from graphc.native.calls.capi import can_enter
from graphc.native.code import background, host
from graphc.native.code.elementwise import is_native
from graphc.native.program import NativeProgram
from graphc.passes.fuse import fuse

BROKEN = """
import os, re, sys, warnings
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {{min(os.sched_getaffinity(0))}})
else:
    os.cpu_count = lambda: 1
import numpy as np, graphc as gr
from graphc.native.code import host
broken, modules, compile_module = {broken!r}, [], host.object_code

def compile_or_fail(text):
    name = re.search(r'define (?!internal).*@"?(\\w+)"?\\(', text).group(1)
    modules.append(name if name != "kernel" else len(modules) - sum(isinstance(module, str) for module in modules))
    if broken in (modules[-1], "kernel" if name == "kernel" else ""):
        raise RuntimeError("no such instruction")
    return compile_module(text)

host.object_code = compile_or_fail
rng = np.random.default_rng(0)
x, w, i = gr.placeholder("x", (300, 200), "float64"), gr.variable("w", rng.normal(size=(200, 100))), \\
          gr.placeholder("i", (300,), "int64")
loss, columns = gr.sum(gr.tanh(x @ w)), gr.transpose(gr.reshape(x, (30, 10, 200)), (0, 2, 1))
outputs = [loss, gr.grad(loss, x), gr.sum(gr.exp(x), axis=0), x[i], gr.cumsum(x, axis=0), gr.concatenate([x, x + 1]),
           columns - gr.sum(columns, axis=(1, 2), keepdims=True)]
feeds = rng.normal(size=(300, 200)), np.arange(300)[::-1].copy()
with warnings.catch_warnings(record=True) as seen:
    warnings.simplefilter("always")
    f = gr.compile([x, i], outputs, updates={{w: w * 0.5}}, backend="native")
    for _ in range(4):
        before = w.value
        results = f(*feeds)
updated, w.value = w.value, before
g = gr.compile([x, i], outputs, updates={{w: w * 0.5}}, backend="numpy")
for result, expected in zip(results, g(*feeds), strict=True):
    np.testing.assert_allclose(result, expected, rtol=1e-9, atol=1e-9)
np.testing.assert_array_equal(updated, w.value)
print(len(modules), type(f.plan.program).__name__, sorted({{str(warning.message) for warning in seen}}))
"""
KERNELS = 11
"""Modules of the program, but for the driver and those of calls."""


def broken(name):
    """What a process prints in which a module fails."""
    return python(BROKEN.format(broken=name), GRAPHC_CACHE="")


def test_without_failures_there_are_so_many_kernels_and_no_warning():
    count, program, *warnings = broken(None).split(maxsplit=2)
    assert (int(count), program, warnings) == (KERNELS + 1 + 2 * can_enter(), "NativeProgram", ["[]\n"])


@pytest.mark.parametrize("number", range(KERNELS))
def test_a_kernel_or_loop_or_product_that_fails_is_named_and_computed_by_numpy(number):
    printed = broken(number)
    assert "NativeProgram" in printed
    assert re.search("is computed by (NumPy|other native code), because compiling it failed: RuntimeError: no such "
                     "instruction", printed)  # fmt: skip
    assert printed.count("the kernel of") == 1


def test_products_that_fail_are_computed_by_loops_and_named_once(fresh, monkeypatch):
    """Each was named twice, as one that NumPy computes, and again for each failure that was found later."""
    compile_module = host.object_code

    def compile_or_fail(text):
        if 'ModuleID = "matmul' in text or 'ModuleID = "scan' in text:
            raise RuntimeError("no such instruction")
        return compile_module(text)

    monkeypatch.setattr(host, "object_code", compile_or_fail)
    fresh()
    x, w = gr.placeholder("x", (30, 20), "float64"), gr.placeholder("w", (20, 10), "float64")
    feeds = np.linspace(-1, 1, 600).reshape(30, 20), np.linspace(-2, 1, 200).reshape(20, 10)
    with pytest.warns(RuntimeWarning) as seen:
        product, totals = gr.compile([x, w], [x @ w, gr.cumsum(x, axis=0)], backend="native")(*feeds)
    told = [str(warning.message) for warning in seen]
    assert sum("kernel of matmul (" in words and "is computed by other native code, because" in words
               for words in told) == 1  # fmt: skip
    assert sum("kernel of cumsum (" in words and "is computed by NumPy, because" in words for words in told) == 1
    assert len(told) == 2
    np.testing.assert_allclose(product, feeds[0] @ feeds[1], rtol=1e-12)
    np.testing.assert_array_equal(totals, np.cumsum(feeds[0], axis=0))


def test_a_product_that_fails_is_computed_by_numpy_where_its_elements_lie_otherwise(fresh, monkeypatch):
    compile_module = host.object_code

    def compile_or_fail(text):
        if 'ModuleID = "matmul' in text:
            raise RuntimeError("no such instruction")
        return compile_module(text)

    monkeypatch.setattr(host, "object_code", compile_or_fail)
    fresh()
    x = gr.placeholder("x", (4, 10, 20), "float64")
    product, feed = x @ gr.swapaxes(x, 1, 2), np.linspace(-1, 1, 800).reshape(4, 10, 20)
    rows = gr.swapaxes(product, 0, 1).reshape((10, 40))
    with pytest.warns(RuntimeWarning) as seen:
        result = gr.compile([x], rows @ gr.transpose(rows), backend="native")(feed)
    expected = (feed @ feed.swapaxes(1, 2)).swapaxes(0, 1).reshape(10, 40)
    np.testing.assert_allclose(result, expected @ expected.T, rtol=1e-12)
    assert sum("is computed by NumPy, because compiling it failed" in str(warning.message) for warning in seen) == 1


def test_all_kernels_may_fail():
    assert broken("kernel").count("the kernel of") > 5


def test_where_the_driver_fails_numpy_runs_the_program():
    printed = broken("help")
    assert "NumpyProgram" in printed
    assert "a graph runs on NumPy, because compiling the driver of native programs failed: RuntimeError" in printed


@needs_entries
def test_where_the_code_of_calls_fails_python_makes_them():
    printed = broken("call")
    assert "NativeProgram" in printed
    assert "calls go through Python, because their native code could not be made: RuntimeError" in printed


def test_kernels_that_fail_are_told_to_who_asked_whatever_another_thread_waits_for(monkeypatch):
    """It had taken them with its own, and who asked found out when it was too late to have NumPy compute them."""
    monkeypatch.setenv("GRAPHC_CACHE", "")
    asked, go_on, copies, compile_module = threading.Event(), threading.Event(), works._copies, host.object_code
    inputs = [gr.placeholder("x", (7,), dtype) for dtype in ("float32", "float64")]
    planned, others = (fuse(gr.Graph([x], [gr.sqrt(x * x)]), fusible=is_native) for x in inputs)
    programs = []

    def wait(*arguments):
        if threading.current_thread() is thread:
            asked.set()
            go_on.wait(60)
        return copies(*arguments)

    def compile_or_fail(text):
        if " x float>" in text:
            asked.wait(60)
            raise RuntimeError("no such instruction")
        return compile_module(text)

    monkeypatch.setattr(works, "_copies", wait)
    monkeypatch.setattr(host, "object_code", compile_or_fail)
    thread = threading.Thread(target=lambda: programs.append(NativeProgram(planned, 1)))
    thread.start()
    assert asked.wait(60)
    NativeProgram(others, 1)
    with pytest.warns(RuntimeWarning, match="is computed by NumPy, because compiling it failed"):
        go_on.set() or thread.join(60)
    np.testing.assert_array_equal(programs[0].run([np.arange(7, dtype="float32")], {}, [None])[0], np.arange(7.0))


def test_threads_that_load_code_at_the_same_time_have_one_linker(monkeypatch):
    """Each had made its own, and the code that was loaded with the other one was freed."""
    different = 0
    for _ in range(40):
        monkeypatch.setattr(host, "_linkers", {})
        barrier, found = threading.Barrier(2), []

        def ask(barrier=barrier, found=found):
            host.machine()
            barrier.wait(60)
            found.append(host._linker())

        threads = [threading.Thread(target=ask) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        different += found[0] is not found[1]
    assert different == 0


INTERRUPTED = """
import faulthandler, os
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {{min(os.sched_getaffinity(0))}})
else:
    os.cpu_count = lambda: 1
import numpy as np, graphc as gr
from graphc.native.code import host
left, compile_module = {number}, host.object_code

def compile_or_stop(text):
    global left
    left -= 1
    if not left:
        raise KeyboardInterrupt
    return compile_module(text)

def run():
    f = gr.compile([x], [gr.sum(gr.sin(x)), gr.cumsum(gr.exp(x)), gr.max(gr.tanh(x))], backend="native")
    return [f(np.ones(30)) for _ in range(3)][2][0], type(f.plan.program).__name__

host.object_code = compile_or_stop
faulthandler.dump_traceback_later(300, exit=True)
x = gr.placeholder("x", (30,), "float64")
try:
    run()
except KeyboardInterrupt:
    print("interrupted")
    print(*run())
"""


@pytest.mark.parametrize("number", [1, 2, 3, pytest.param(4, marks=needs_entries)])  # the last one is of calls
def test_what_an_interrupt_kept_from_being_compiled_is_compiled_later(number):
    stopped, value, program = python(INTERRUPTED.format(number=number), GRAPHC_CACHE="").split()
    assert (stopped, program) == ("interrupted", "NativeProgram")
    assert float(value) == pytest.approx(30 * 0.8414709848078965, rel=1e-14)


INTERRUPTED_IN_A_TABLE = """
import sys
import numpy as np, graphc as gr

def begin(frame, event, arg):
    if frame.f_code.co_name == "_escape_string":
        steps = iter(range(20))
        def step(frame, event, arg):
            if next(steps) == 15:
                raise KeyboardInterrupt
            return step
        return step

x = gr.placeholder("x", (3,), "float64")
sys.settrace(begin)
try:
    gr.compile([x], gr.sin(x), backend="native")(np.ones(3))
except KeyboardInterrupt:
    print("interrupted")
sys.settrace(None)
f = gr.compile([x], gr.cos(x), backend="native")
print(f(np.zeros(3))[0], type(f.plan.program).__name__)
"""


def test_an_interrupt_leaves_no_table_half_filled_that_modules_are_written_with():
    assert python(INTERRUPTED_IN_A_TABLE, GRAPHC_CACHE="").split()[-2:] == ["1.0", "NativeProgram"]


FORKS = """
import os, signal, threading, time, warnings
import numpy as np, graphc as gr
warnings.filterwarnings("ignore", ".*multi-threaded, use of fork", DeprecationWarning)
x, feed = gr.placeholder("x", (50, 40), "float64"), np.ones((50, 40))
gr.compile([x], x + 1, backend="native")(feed)
for number in range(8):
    outputs = [gr.cumsum(gr.exp(x), number % 2), x.T @ gr.tanh(x * (number + 0.5)), gr.sum(gr.sin(x) ** number)]
    f = gr.compile([x], outputs, backend="native")
    thread = threading.Thread(target=f, args=[feed])
    thread.start()
    time.sleep(0.03 * number)
    child = os.fork()
    if not child:
        signal.alarm(60)
        found = [f(feed)[0][-1, -1] for _ in range(3)]
        os._exit(0 if np.allclose(found, np.e * (40 if number % 2 else 50)) else 1)
    print(os.waitpid(child, 0)[1], end=" ")
    thread.join()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_forked_while_another_thread_plans_and_compiles_does_so_too():
    assert python(FORKS, GRAPHC_CACHE="").split() == ["0"] * 8


def test_who_waits_for_a_job_does_it_where_an_interrupt_has_ended_it():
    begun, go_on, calls = threading.Event(), threading.Event(), []

    def compute():
        calls.append(threading.current_thread())
        begun.set()
        if len(calls) == 1:
            go_on.wait(60)
            raise KeyboardInterrupt
        return 42

    queue = background.Queue()
    job = queue.put(compute, short=True)
    waiter = threading.Thread(target=lambda: begun.wait(60) and calls.append(job.result(queue)), daemon=True)
    waiter.start()
    threading.Timer(0.05, go_on.set).start()
    with pytest.raises(KeyboardInterrupt):
        job.wait(queue)
    waiter.join(60)
    assert calls[1:] == [waiter, 42]
    assert job.result(queue) == 42


def test_where_no_thread_can_be_started_who_waits_does_the_job(monkeypatch):
    def refuse(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(background, "available_cores", lambda: 3)
    queue = background.Queue()
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        jobs = [queue.put(threading.current_thread) for _ in range(3)]
        assert [job.result(queue) for job in jobs] == [threading.current_thread()] * 3
    threads = [queue.put(threading.current_thread) for _ in range(3)]
    assert {job.result(queue).name for job in threads} <= {"graphc compiles", threading.current_thread().name}
    assert len(queue._threads) <= 2


def test_the_longest_job_is_begun_first_and_of_several_the_oldest(monkeypatch):
    monkeypatch.setattr(background.Queue, "_another", lambda _: None)
    queue, begun = background.Queue(), []
    for number, length in enumerate([5, 9, 0, 9]):
        last = queue.put(lambda number=number: begun.append(number), length)
    last.wait(queue)
    queue.put(lambda: None).wait(queue)
    assert begun == [1, 3, 0, 2]
