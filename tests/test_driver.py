"""The driver's helpers: they stay as long as the next stage may be near, and leave when nothing happens any more."""

import ctypes
import threading

import numpy as np
import pytest

import graphc as gr

pytest.importorskip("llvmlite")

from graphc.native import helpers
from graphc.native.code.library import LIBRARY
from graphc.native.driver import CLOSED, DONE, HEADER, STAGE_WORDS, STAGES, WORD
from graphc.native.program import NativeProgram

BLOCKS = 3


def helping(word, done):
    """A thread that helps a context with one stage, and the context."""
    words = np.zeros(HEADER + STAGE_WORDS, np.int64)
    words[[WORD, DONE, STAGES]] = word, done, HEADER
    words[HEADER : HEADER + STAGE_WORDS] = [0, 0, BLOCKS, 0]
    helper = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(LIBRARY.driver.addresses[1])
    thread = threading.Thread(target=helper, args=(words.ctypes.data,), daemon=True)
    thread.start()
    return thread, words


def test_a_helper_stays_while_another_thread_has_a_block():
    thread, words = helping(BLOCKS, BLOCKS - 1)
    thread.join(0.2)
    assert thread.is_alive()
    words[DONE] = BLOCKS
    thread.join(30)
    assert not thread.is_alive()


@pytest.mark.parametrize(("word", "done"), [(BLOCKS, BLOCKS), (CLOSED, 0)])
def test_a_helper_leaves_where_nothing_is_in_progress(word, done):
    thread, _ = helping(word, done)
    thread.join(30)
    assert not thread.is_alive()


def test_a_helper_that_one_run_does_not_repay_comes_where_runs_follow_one_another(monkeypatch):
    lent, now = [], iter([10.0, 10.001, 10.0012, 20.0])
    monkeypatch.setattr(helpers, "monotonic", lambda: next(now))
    monkeypatch.setattr(helpers.POOL, "lend", lambda task, argument: lent.append(argument))
    x = gr.placeholder("x", (128, 128))
    program = NativeProgram(gr.Graph([x], [x @ x]), 2)
    assert program.helpers is not None
    workspace = program.new_workspace()
    for expected in (0, 0, 1, 1, 1):  # the third comes soon after the second, and the fourth finds the helper there
        program.helpers.call(workspace)
        assert len(lent) == expected
