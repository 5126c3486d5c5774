"""Locks: no interrupt leaves one taken, wherever it comes."""

import ast
import importlib
import os
import signal
import threading
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import graphc as gr
from graphc import compiler, state
from graphc.executable import Executable
from graphc.executor.blas import SingleThreadedBlas
from graphc.locks import exclusively

PACKAGE = Path(gr.__file__).parent


@pytest.fixture
def native():
    """The modules of the native backend that have locks."""
    pytest.importorskip("llvmlite")
    from graphc.native import workers
    from graphc.native.calls import install
    from graphc.native.code import background, host, library

    return SimpleNamespace(workers=workers, install=install, background=background, host=host, library=library)


class Interrupted:
    """A lock that an interrupt comes right after: after it was taken, before its block begins."""

    def __init__(self):
        self._lock = threading.RLock()
        self.left = 1

    def acquire(self, *args, **named):
        taken = self._lock.acquire(*args, **named)
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt
        return taken

    def release(self):
        self._lock.release()

    def _is_owned(self):
        return self._lock._is_owned()

    __enter__ = acquire

    def __exit__(self, *_):
        self.release()


def is_free(lock, timeout=5):
    """Whether another thread can take it."""
    found = []

    def take():
        found.append(lock.acquire(timeout=timeout))
        if found[0]:
            lock.release()

    thread = threading.Thread(target=take)
    thread.start()
    thread.join(60)
    return found == [True]


def interrupt(holder, attribute, function, monkeypatch):
    """Call a function, in which an interrupt comes when it has taken a lock, and see that it let go of that; call it
    again."""
    lock = Interrupted()
    monkeypatch.setattr(holder, attribute, lock)
    with pytest.raises(KeyboardInterrupt):
        function()
    assert is_free(lock)
    function()


def compiled(backend="numpy"):
    x = gr.placeholder("x", (3,), "float64")
    return gr.compile([x], [x + 1], backend=backend)


def test_the_fake_is_left_taken_by_a_context():
    lock = Interrupted()
    with pytest.raises(KeyboardInterrupt), lock:
        pass
    assert not is_free(lock)


def test_a_function_lets_go_of_its_lock_wherever_an_interrupt_comes():
    lock = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        exclusively(lock, lambda: None)
    assert is_free(lock)


def test_planning_lets_go(monkeypatch):
    f = compiled()
    interrupt(f, "_planning", lambda: f(np.ones(3)), monkeypatch)


def test_making_an_entry_lets_go(native, monkeypatch):
    f = compiled("native")
    f(np.ones(3))
    interrupt(f, "_planning", lambda: f(np.ones(3)), monkeypatch)


def test_requests_let_go(monkeypatch):
    x = gr.placeholder("x", (3,), "float64")
    interrupt(compiler._requests, "_lock", lambda: gr.run(x + 1, {x: np.ones(3)}), monkeypatch)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_forked_during_a_request_makes_its_own(monkeypatch):
    monkeypatch.setattr(compiler._requests, "_lock", lock := threading.RLock())
    begun, forked = threading.Event(), threading.Event()
    other = threading.Thread(target=exclusively, args=(lock, lambda: begun.set() or forked.wait(60)))
    other.start()
    begun.wait(60)
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # of threads in the parent
        child = os.fork()
    if not child:
        signal.alarm(60)
        x = gr.placeholder("x", (3,), "float64")
        os._exit(int(gr.run(x + 1, {x: np.ones(3)})[0] != 2))
    forked.set()
    other.join(60)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_waits_for_what_another_thread_imports(tmp_path, monkeypatch):
    slow = "import threading, time\nthreading.current_thread().begun.set()\ntime.sleep(0.2)\n"
    (tmp_path / "slow.py").write_text(slow, encoding="utf-8")
    monkeypatch.setattr(gr, "__path__", [*gr.__path__, str(tmp_path)])
    other = threading.Thread(target=importlib.import_module, args=["graphc.slow"])
    other.begun = threading.Event()
    other.start()
    other.begun.wait(60)
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # of threads in the parent
        child = os.fork()
    if not child:
        signal.alarm(10)
        os._exit(int(not importlib.import_module("graphc.slow")))
    other.join(60)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize("lock", ["writing", "swapping"])
def test_assignment_lets_go(lock, monkeypatch):
    v = gr.variable("v", np.zeros(3))
    holder, attribute = {"writing": (v.state, "writing"), "swapping": (state.GATE, "swapping")}[lock]
    interrupt(holder, attribute, lambda: setattr(v, "value", np.ones(3)), monkeypatch)


def test_holding_blas_lets_go(monkeypatch):
    blas = SingleThreadedBlas()

    def hold():
        blas.find_libraries()
        blas.call(lambda: None)

    interrupt(blas, "_lock", hold, monkeypatch)
    blas._modules = 0
    blas._lock.left = 2
    with pytest.raises(KeyboardInterrupt):
        hold()
    assert is_free(blas._lock)


NOTHING = "; final\ndefine void @kernel() {\n  ret void\n}\n"
LIBRARY_CALLS = {
    "kernel": lambda library: library.kernel(("nothing",), lambda: NOTHING, "kernel"),
    "begin_driver": lambda library: library.begin_driver(),
}


@pytest.mark.parametrize("call", LIBRARY_CALLS.values(), ids=LIBRARY_CALLS)
def test_asking_for_code_lets_go(call, native, monkeypatch):
    library = native.library.Library()
    interrupt(library, "_lock", lambda: call(library), monkeypatch)
    assert library.finish(library._by_content.values())


def test_llvm_is_not_called_by_the_main_thread_which_interrupts_come_to(native, monkeypatch):
    callers, kind = set(), type(native.host.ffi.lib._lock)
    take = kind.__enter__
    monkeypatch.setattr(kind, "__enter__", lambda lock: callers.add(threading.current_thread()) or take(lock))
    monkeypatch.setattr(native.library, "LIBRARY", library := native.library.Library())
    monkeypatch.setattr(library._disk, "get", lambda key: None)
    for function in (native.host.identity, native.host.this_host):
        function.cache_clear()
    driver = library.begin_driver()
    assert library.finish([driver, library.kernel(("nothing",), lambda: NOTHING, "kernel")])
    assert callers
    assert threading.main_thread() not in callers


@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
def test_where_another_thread_works_for_the_main_one_an_interrupt_ends_the_wait_alone(native):
    """Sent by the thread that works, to come at a time we know."""
    done, go_on = threading.Event(), threading.Event()

    def work():
        os.kill(os.getpid(), signal.SIGINT)
        go_on.wait(60)
        done.set()

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            native.background.apart(work)
    finally:
        signal.signal(signal.SIGINT, before)
    assert not done.is_set()
    go_on.set()
    assert done.wait(60)


def test_errors_of_what_another_thread_does_are_raised(native):
    with pytest.raises(ZeroDivisionError):
        native.background.apart(lambda: 1 / 0)


def test_installing_calls_lets_go(native, monkeypatch):
    entry = native.install.Entry(native.install.CALL, {}, [])
    interrupt(native.install, "_installing", lambda: native.install.install(Executable, entry), monkeypatch)


def test_jobs_let_go(native, monkeypatch):
    job = native.background.Job(lambda: 42)
    interrupt(job, "lock", job.run, monkeypatch)
    assert job.result(native.background.Queue()) == 42


def test_starting_threads_that_compile_lets_go(native, monkeypatch):
    queue = native.background.Queue()
    monkeypatch.setattr(native.background, "available_cores", lambda: 3)
    interrupt(queue, "_lock", lambda: queue.put(lambda: 42), monkeypatch)


def test_making_workers_lets_go(native, monkeypatch):
    pool = native.workers.Pool()
    monkeypatch.setattr(pool, "_make", lambda number: None)
    interrupt(pool, "_making", lambda: pool.have(1), monkeypatch)


def test_threads_that_fork_at_the_same_time_let_go_of_what_they_have_taken_themselves(native, monkeypatch):
    """The second one waits for the first one in vain, and goes on first."""
    monkeypatch.setattr(native.library, "PATIENCE", 0.01)
    library = native.library.Library()
    library.pause()
    try:
        other = threading.Thread(target=lambda: library.pause() or library.resume())
        other.start()
        other.join(60)
        locks = [library._lock, *native.host.locks()]
        assert not any(is_free(lock, timeout=0.01) for lock in locks)
    finally:
        library.resume()
    assert all(is_free(lock) for lock in locks)


def test_no_lock_is_a_context():
    """From Python 3.14 on, an interrupt may come when one is entered, before its block begins."""
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in PACKAGE.rglob("*.py")}
    locks = {name for tree in trees.values() for node in ast.walk(tree) if isinstance(node, ast.Assign)
             if ast.unparse(node.value) in ("threading.Lock()", "threading.RLock()", "threading.Condition()")
             for target in node.targets if (name := last_name(target))}  # fmt: skip
    assert {"_lock", "writing", "swapping", "_planning", "_making", "_installing"} <= locks
    blocks = [(path, node) for path, tree in trees.items() for node in ast.walk(tree) if isinstance(node, ast.With)]
    assert not [f"{path.name}:{block.lineno}" for path, block in blocks
                if any(last_name(item.context_expr) in locks for item in block.items)]  # fmt: skip


def last_name(target):
    """`x` of `x` and of `self.x`."""
    return {ast.Name: "id", ast.Attribute: "attr"}.get(type(target)) and ast.unparse(target).rpartition(".")[2]


@pytest.mark.parametrize("lock", ["swapping", "writing"])
def test_a_handler_that_waits_for_who_waits_for_it_says_so(lock, monkeypatch):
    monkeypatch.setattr(state, "LONGEST_WAIT", 0.2)
    interrupted, written = gr.variable("interrupted", 1.0), gr.variable("written", 1.0)
    outer = state.GATE.swapping if lock == "swapping" else interrupted.state.writing
    begun = threading.Event()

    def write_both():
        with written.state.writing:
            begun.set()
            with outer:
                pass

    thread = threading.Thread(target=write_both)
    with outer:
        thread.start()
        begun.wait(60)
        with pytest.raises(gr.ExecutionError, match="handler of a signal writes a variable that another thread writes"):
            written.value = 2.0
    thread.join(60)
    written.value = 2.0
    assert written.value == 2
