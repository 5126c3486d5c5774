"""Workers that sleep in native code, and the locks on which they do."""

import pytest

pytest.importorskip("llvmlite")

from test_native import python

LOCKS = """
import ctypes, os, threading
from concurrent.futures import ThreadPoolExecutor
import numpy as np, graphc as gr
from graphc.native import workers

locks, opened = [None], []

def allocate():
    locks.append(threading.Lock())
    return len(locks) - 1

def take(lock, wait):
    return int(locks[lock].acquire(bool(wait)))

def let_go(lock):
    if not locks[lock].locked():
        opened.append(lock)
    else:
        locks[lock].release()

workers._allocate = allocate
workers._take = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int)(take)
workers._let_go = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(let_go)
x = gr.placeholder("x", (200, 300), "float64")
f = gr.compile([x], [gr.tanh(x @ x.T) * 2, gr.sum(x)], backend="native", threads=3)
feed = np.linspace(-1, 1, 60000).reshape(200, 300)
expected = f(feed)

def call(_):
    for _ in range(40):
        for value, reference in zip(f(feed), expected, strict=True):
            np.testing.assert_array_equal(value, reference)

with ThreadPoolExecutor(4) as pool:
    list(pool.map(call, range(4)))
assert len(locks) > 1, "there were workers"
assert not opened, f"{len(opened)} times an open lock was let go of"
os._exit(0)  # a worker may still come to `take`, which is Python code here: not while Python ends
"""


def test_a_lock_is_let_go_of_once_for_each_time_that_it_is_taken():
    """From Python 3.15 on, a process ends that lets go of an open one."""
    python(LOCKS)
