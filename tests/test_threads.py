"""Threads: the pool, forks, interrupts, exits, concurrent calls, and BLAS beside them."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest
from threadpoolctl import ThreadpoolController, threadpool_limits

import graphc as gr
from graphc.executor import NumpyProgram
from graphc.executor.blas import SingleThreadedBlas
from graphc.executor.threads import POOL, Pool, available_cores
from graphc.ir import Graph

FORKS = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
WIDE = 192
"""A product of such matrices is worth a second thread."""


def wide_graph(count=6):
    """Independent products, then their sum."""
    x = gr.placeholder("x", (WIDE, WIDE))
    return Graph([x], [gr.add_n(*[gr.tanh(x * (1 / (i + 1))) @ x for i in range(count)])])


@pytest.fixture(scope="module")
def program():
    made = NumpyProgram(wide_graph(), 2)
    assert any(level.parallel for level in made.levels())
    return made


def feed(seed=0):
    return np.random.default_rng(seed).standard_normal((WIDE, WIDE)).astype("f4")


# The pool.


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_every_task_runs_once(threads):
    pool, done = Pool(), []
    for _ in range(200):
        pool.run([lambda argument, i=i: argument.append(i) for i in range(20)], done, threads)
    assert sorted(done) == sorted(list(range(20)) * 200)


def meeting(count):
    """Tasks that end only when all of them run at once."""
    barrier = threading.Barrier(count)
    return [lambda _: barrier.wait(30)] * count


def test_tasks_run_at_once():
    pool = Pool()
    for threads in (2, 4, 3):
        pool.run(meeting(threads), None, threads)


def test_tasks_may_use_the_pool():
    pool, done = Pool(), []
    inner = [lambda argument: argument.append(1)] * 10
    pool.run([lambda _: pool.run(inner, done, 3)] * 10, None, 3)
    assert len(done) == 100


def test_a_busy_pool_costs_no_waiting():
    pool, release, done = Pool(), threading.Event(), []
    blocked = threading.Thread(target=pool.run, args=([lambda _: release.wait(30)] * 2, None, 2))
    blocked.start()
    while pool.invitations or pool.idle:
        time.sleep(0.001)
    pool.run([lambda _: done.append(threading.current_thread())] * 5, None, 2)
    assert done == [threading.current_thread()] * 5
    release.set()
    blocked.join(30)
    assert not blocked.is_alive()


@pytest.mark.parametrize("on_worker", [False, True])
def test_an_error_ends_the_job_and_reaches_the_caller(on_worker):
    caller, barrier, late = threading.current_thread(), threading.Barrier(2), []

    def fail(_):
        barrier.wait(30)
        if (threading.current_thread() is not caller) == on_worker:
            raise ValueError("planted")
        time.sleep(0.05)

    pool = Pool()
    with pytest.raises(ValueError, match="planted"):
        pool.run([fail, fail, *[lambda _: late.append(1)] * 100], None, 2)
    assert len(late) < 100
    pool.run(meeting(2), None, 2)


def test_workers_ignore_floating_point_errors():
    with np.errstate(all="raise"):
        barrier = threading.Barrier(2)

        def divide(argument):
            barrier.wait(30)
            if threading.current_thread() is not threading.main_thread():
                argument.append(np.ones(3) / np.zeros(3))

        results = []
        Pool().run([divide] * 2, results, 2)
    assert np.isinf(results[0]).all()


def test_available_cores():
    assert 1 <= available_cores() <= (os.cpu_count() or 1)


# Programs.


def test_concurrent_calls_never_mix(program):
    feeds = [feed(i) for i in range(8)]
    alone = NumpyProgram(program.plan.graph, 1)
    right = [alone.run([x], {}, [None])[0] for x in feeds]
    wrong = []

    def call(i):
        for _ in range(15):
            (result,) = program.run([feeds[i]], {}, [None])
            if not np.array_equal(result, right[i]):
                wrong.append(i)

    threads = [threading.Thread(target=call, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong


@FORKS
def test_a_fork_has_workers_of_its_own(program):
    (right,) = program.run([feed()], {}, [None])

    def run_again():
        (result,) = program.run([feed()], {}, [None])
        POOL.run(meeting(2), None, 2)
        return np.array_equal(result, right)

    assert in_child(run_again) == 0
    (again,) = program.run([feed()], {}, [None])
    np.testing.assert_array_equal(again, right)


def in_child(check, seconds=60):
    """The exit status of a forked child, 0 if the check holds there; it is killed when it hangs."""
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if check() else 1)
        finally:
            os._exit(2)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "hangs"


def failing_graph(rows):
    """A gather whose positions may be out of range, beside work for another thread."""
    x = gr.placeholder("x", (rows, rows))
    i = gr.placeholder("i", (rows, rows), "int64")
    return Graph([x, i], [gr.take_along_axis(x, i, 0), x @ x, x.T @ x])


@pytest.mark.parametrize("threads", [1, 2])
def test_an_error_names_the_node_and_leaves_the_program_usable(threads):
    graph = failing_graph(400)
    program = NumpyProgram(graph, threads)
    assert any(level.parallel for level in program.levels()) == (threads == 2)
    x, good = np.ones((400, 400), "f4"), np.zeros((400, 400), "i8")
    message = r"take_along_axis failed: IndexError: (.|\n)*made at .*test_threads.py:\d+"
    for _ in range(3):
        with pytest.raises(gr.ExecutionError, match=message):
            program.run([x, good + 400], {}, [None] * 3)
        assert np.array_equal(program.run([x, good], {}, [None] * 3)[0], x)


# Whole processes.


def run_script(text):
    """The exit status, output and errors of a process that runs a script."""
    setup = """
        import os, signal, sys, threading, time
        import numpy as np
        import graphc as gr
        from graphc.executor import NumpyProgram
        from graphc.ir import Graph
        signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in what shells run in the background

        def interrupt():
            if os.name == "nt":  # where `kill` ends the process
                signal.raise_signal(signal.SIGINT)
            else:
                os.kill(os.getpid(), signal.SIGINT)
    """
    source = textwrap.dedent(setup) + textwrap.dedent(text)
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, timeout=600, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("size", [3000, 100])
def test_an_interrupt_ends_a_run_within_a_second(threads, size):
    status, output, errors = run_script(f"""
        size = {size}
        x = gr.placeholder("x", (size, size))
        y = x
        for _ in range({100 if size == 3000 else 40_000}):
            y = gr.tanh(y @ x)
        program = NumpyProgram(Graph([x], [y]), {threads})
        timer = threading.Timer(0.2, lambda: (times.append(time.process_time()), interrupt()))
        times = []
        ones = np.full((size, size), 1 / size, "f4")
        timer.start()
        try:
            program.run([ones], {{}}, [None])
            print("not interrupted")
        except KeyboardInterrupt:
            print(f"{{time.process_time() - times[0]:.3f}}")
        small = gr.placeholder("small", (300, 300))
        eye = np.eye(300, dtype="f4")
        assert np.array_equal(NumpyProgram(Graph([small], [small @ small]), 2).run([eye], {{}}, [None])[0], eye)
    """)
    assert status == 0, errors
    assert float(output) < 2, "a second of two threads"


def test_an_interrupted_program_stays_usable():
    status, output, errors = run_script("""
        x = gr.placeholder("x", (400, 400))
        y = x
        for _ in range(60):
            y = gr.tanh(gr.add_n(y @ x, x @ y))
        program = NumpyProgram(Graph([x], [y]), 2)
        assert any(level.parallel for level in program.levels())
        eye = np.eye(400, dtype="f4")
        (right,) = program.run([eye], {}, [None])
        for pause in (0.01, 0.02, 0.05, 0.1, 0.1, 0.1):
            threading.Timer(pause, interrupt).start()
            try:
                while True:
                    program.run([eye], {}, [None])
            except KeyboardInterrupt:
                pass
            assert np.array_equal(program.run([eye], {}, [None])[0], right)
        print("usable")
    """)
    assert (status, output) == (0, "usable\n"), errors


def test_a_process_ends_while_workers_wait():
    status, output, errors = run_script("""
        x = gr.placeholder("x", (256, 256))
        program = NumpyProgram(Graph([x], [x @ x, x.T @ x, x @ x.T, gr.tanh(x) @ x]), 2)
        program.run([np.ones((256, 256), "f4")], {}, [None] * 4)
        assert any(thread.name.startswith("graphc") for thread in threading.enumerate())
        print("done")
    """)
    assert (status, output, errors) == (0, "done\n", "")


# BLAS.


@pytest.fixture
def two_for_blas():
    """Of its own, BLAS has two threads; between tests it has one."""
    with threadpool_limits(2, "blas"):
        yield


def blas_threads():
    return [library.get_num_threads() for library in ThreadpoolController().select(user_api="blas").lib_controllers]


def seen_by(program, feeds):
    """How many threads BLAS has during a run."""
    seen = []
    program._steps = (lambda _: seen.append(blas_threads()), *program._steps)
    program.run(feeds, {}, [None])
    return seen


@pytest.mark.usefixtures("two_for_blas")
def test_blas_has_one_thread_during_a_run_and_its_own_number_after():
    before = blas_threads()
    assert seen_by(NumpyProgram(wide_graph(), 2), [feed()]) == [[1] * len(before)]
    assert blas_threads() == before


@pytest.mark.usefixtures("two_for_blas")
def test_blas_is_left_alone_without_products():
    x = gr.placeholder("x", (3,))
    assert seen_by(NumpyProgram(Graph([x], [x + 1]), 2), [np.ones(3, "f4")]) == [blas_threads()]


@pytest.mark.usefixtures("two_for_blas")
def test_blas_is_restored_by_the_last_run():
    before = blas_threads()
    blas = SingleThreadedBlas()
    blas.find_libraries()

    def run():
        assert blas.call(blas_threads) == [1] * len(before)
        return blas_threads()

    assert blas.call(run) == [1] * len(before)
    assert blas_threads() == before


@pytest.mark.usefixtures("two_for_blas")
@pytest.mark.parametrize("left", range(1, 6))
def test_an_interrupt_at_any_time_restores_blas(left):
    """As it may come after each call of C code: those that ask for a number of threads, set it, or compute."""
    before, blas = blas_threads(), SingleThreadedBlas()
    library = Interrupted(left, before[0])
    blas._libraries, blas._modules = [library], len(sys.modules)
    with pytest.raises(KeyboardInterrupt):
        blas.call(lambda: library.get_num_threads() == 1 and library.get_num_threads())
    assert library.threads == before[0]
    assert not blas._users


class Interrupted:
    """A BLAS library, and an interrupt that comes after so many calls of it."""

    def __init__(self, left, threads):
        self.left, self.threads = left, threads

    def get_num_threads(self):
        return self._interrupted(self.threads)

    def set_num_threads(self, threads):
        self.threads = threads
        self._interrupted()

    def _interrupted(self, value=None):
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt
        return value


@FORKS
@pytest.mark.usefixtures("two_for_blas")
def test_a_fork_in_the_middle_of_a_run_restores_blas():
    before = blas_threads()
    blas = SingleThreadedBlas()
    blas.find_libraries()

    def is_restored():
        blas.restore_in_child()
        return blas_threads() == before

    assert blas.call(lambda: in_child(is_restored)) == 0
