"""The driver's workers: they come when invited, stay as long as the next stage may be near, and leave otherwise."""

import ctypes
import sys
import threading
import time
import weakref

import numpy as np
import pytest

import graphc as gr

pytest.importorskip("llvmlite")

from graphc.native import workers
from graphc.native.code.library import LIBRARY
from graphc.native.driver import HELP
from graphc.native.driver.layout import (
    CLOSED,
    DONE,
    HEADER,
    PRESENT,
    RUNNING,
    STAGE_WORDS,
    STAGES,
    TASK_WORDS,
    WANTED,
    WORD,
    WORD_BYTES,
    WORKER_WORDS,
)
from graphc.native.program import NativeProgram
from graphc.native.workers import WORKERS

BLOCKS = 3


def helping(word, done, running=0, asked=0):
    """A thread that helps a context with one stage, the context, and the worker's words."""
    words = np.zeros(HEADER + STAGE_WORDS, np.int64)
    words[[WORD, DONE, STAGES, RUNNING]] = word, done, HEADER, running
    words[HEADER : HEADER + STAGE_WORDS] = [0, 0, BLOCKS, 0]
    worker = np.zeros(WORKER_WORDS, np.int64)
    worker[0] = asked
    address = LIBRARY.driver.addresses[HELP]
    helper = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)(address)
    thread = threading.Thread(target=helper, args=(words.ctypes.data, worker.ctypes.data), daemon=True)
    thread.start()
    return thread, words, worker


def test_a_helper_stays_while_another_thread_has_a_block():
    thread, words, _ = helping(BLOCKS, BLOCKS - 1)
    thread.join(0.2)
    assert thread.is_alive()
    words[DONE] = BLOCKS
    thread.join(300)
    assert not thread.is_alive()


@pytest.mark.parametrize(("word", "done"), [(BLOCKS, BLOCKS), (CLOSED, 0)])
def test_a_helper_leaves_where_nothing_is_in_progress(word, done):
    thread, *_ = helping(word, done)
    thread.join(300)
    assert not thread.is_alive()


def test_a_helper_that_is_called_elsewhere_leaves_between_runs_only():
    thread, words, _ = helping(BLOCKS, BLOCKS - 1, running=1, asked=8)
    thread.join(0.2)
    assert thread.is_alive()
    words[RUNNING] = 0
    thread.join(300)
    assert not thread.is_alive()
    assert words[DONE] == BLOCKS - 1


def test_a_helper_leaves_a_context_that_is_given_up():
    thread, words, _ = helping(BLOCKS, BLOCKS - 1, running=1)
    words[RUNNING] = -1
    thread.join(300)
    assert not thread.is_alive()


def shared_program(threads=2):
    """A program that one run repays waking a worker for, and a workspace of it."""
    x = gr.placeholder("x", (800, 800))
    program = NativeProgram(gr.Graph([x], [gr.tanh(x @ x)]), threads)
    assert program.helpers is not None
    assert program.helpers.eager
    return program


def run(program):
    """A run, after which the program has one workspace, which is returned."""
    program.run([np.ones((800, 800), "f4")], {}, [None])
    (workspace,) = program.workspaces
    return workspace


def until(holds, seconds=300):
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(1e-4)


def test_workers_come_stay_for_a_while_and_sleep_again():
    program = shared_program()
    for _ in range(5):
        workspace = run(program)
        until(lambda: not workspace.words[PRESENT])  # noqa: B023
    assert WORKERS.words[0] >= 1


def test_a_program_that_goes_dismisses_its_workers():
    for _ in range(30):
        words = run(shared_program()).words
        assert not words[PRESENT]  # the workspace went with the program
        assert words[RUNNING] in (0, -1)  # 0 where the worker had left before


def test_where_an_interrupt_ends_a_dismissal_the_words_stay_until_the_next_one(monkeypatch):
    def interrupt(context):
        raise KeyboardInterrupt

    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)
    program = shared_program()
    workspace = run(program)
    words, workspace.dismiss = weakref.ref(workspace.words), interrupt
    del workspace, program
    assert words() is not None, "a worker may be looking at them"
    run(shared_program())
    assert words() is None


def test_a_worker_goes_from_one_program_to_another_that_runs_in_turn():
    one, other = shared_program(), shared_program()
    first, second = run(one), run(other)
    for _ in range(20):
        run(one), run(other)
    until(lambda: not first.words[PRESENT] and not second.words[PRESENT])


def test_programs_may_want_different_numbers_of_workers():
    few, many = shared_program(2), shared_program(5)
    assert WORKERS.words[0] >= 4
    expected = few.run([np.ones((800, 800), "f4")], {}, [None])[0]
    for program in (many, few) * 5:
        np.testing.assert_array_equal(program.run([np.ones((800, 800), "f4")], {}, [None])[0], expected)
        assert all(workspace.words[PRESENT] <= workspace.words[WANTED] for workspace in program.workspaces)


def test_a_helper_that_one_run_does_not_repay_comes_where_runs_follow_one_another(monkeypatch):
    now = iter([10.0, 10.001, 10.0012, 10.0013, 20.0])
    monkeypatch.setattr(workers, "perf_counter", lambda: next(now))
    x = gr.placeholder("x", (128, 128))
    program = NativeProgram(gr.Graph([x], [x @ x]), 2)
    assert program.helpers is not None
    workspace = program.new_workspace()
    for expected in (0, 0, 1, 1):  # the third comes soon after the second
        program.helpers.call(workspace)
        assert workspace.words[WANTED] == expected
    workspace.words[PRESENT] = 1
    program.helpers.call(workspace)  # which asks no clock: the worker is there
    assert workspace.words[WANTED] == 1
    workspace.words[PRESENT] = 0
    program.helpers.call(workspace)
    assert workspace.words[WANTED] == 0


def shared(counts, threads, wanted=None):
    """Blocks of tasks with so many each, shared by threads: what ran in turn, and the context's words.

    What ran: the task, its first row and the end of its rows, and the block that was to be claimed next.
    """
    kernel = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 4)
    ran = []
    code = kernel(lambda table, first, end, block: ran.append((table, first or 0, end, int(words[WORD]))))
    tasks = HEADER + STAGE_WORDS
    tables = tasks + TASK_WORDS * len(counts)
    words = np.zeros(tables + len(counts), np.int64)
    words[[WORD, STAGES, WANTED, RUNNING]] = 0, HEADER, (wanted or threads) - 1, 1
    words[HEADER:tasks] = [tasks, tables, sum(counts), 0]
    for i, count in enumerate(counts):
        begun = sum(counts[:i])
        words[tasks + TASK_WORDS * i :][:TASK_WORDS] = [
            ctypes.cast(code, ctypes.c_void_p).value, tables + i, 10 * count - 3, 10, count, begun, 0, 0]  # fmt: skip
    worker = np.zeros(WORKER_WORDS, np.int64)
    help_ = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)(LIBRARY.driver.addresses[HELP])
    helpers = [threading.Thread(target=help_, args=(words.ctypes.data, worker.ctypes.data)) for _ in range(threads)]
    for helper in helpers:
        helper.start()
    for helper in helpers:
        helper.join(300)
    start = words.ctypes.data + WORD_BYTES * tables
    return [((table - start) // WORD_BYTES, *others) for table, *others in ran], words


@pytest.mark.parametrize("counts", [[1], [7, 1, 30, 2], [1] * 50, [200]])
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_run_each_block_once(counts, threads):
    ran, words = shared(counts, threads)
    expected = [(i, 10 * n, min(10 * n + 10, 10 * count - 3)) for i, count in enumerate(counts) for n in range(count)]
    assert sorted(place for *place, _ in ran) == sorted(map(list, expected))
    assert words[DONE] == words[WORD] == sum(counts)


def test_many_blocks_are_claimed_at_first_and_single_ones_in_the_end():
    ran, _ = shared([30, 2], 1, wanted=2)
    ends = [claimed for *_, claimed in ran]
    sizes = [ends.count(end) for end in sorted(set(ends))]
    assert sizes == [4, 3, 3, 2, 2, 2, 2] + [1] * 14
    assert ends == sorted(ends)
