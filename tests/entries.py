"""Programs whose calls are native code, for several test files."""

import threading
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import pytest

import graphc as gr

pytest.importorskip("llvmlite")

from graphc.native.calls import capi

needs_entries = pytest.mark.skipif(not capi.can_enter(), reason="this Python keeps objects elsewhere")


class Slow(Exception):
    """The way through Python was taken."""


def entered(f, *args):
    """An executable after two calls, with an entry."""
    f(*args)
    assert not hasattr(f, "_entry")
    f(*args)
    assert hasattr(f, "_entry")
    return f


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


@contextmanager
def called_meanwhile(f):
    """Another thread calls an executable over and over."""
    stop = threading.Event()

    def call():
        while not stop.is_set():
            f()

    thread = threading.Thread(target=call)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(300)
    assert not thread.is_alive()


class Triple(NamedTuple):
    first: object
    second: object
    third: object


SHAPES = {"list": list, "tuple": tuple, "named tuple": lambda nodes: Triple(*nodes),
          "dict": lambda nodes: dict(zip("abc", nodes, strict=True)),
          "nested": lambda nodes: [nodes[0], tuple(nodes[1:])],
          "one": lambda nodes: nodes[0], "list of one": lambda nodes: nodes[:1]}  # fmt: skip
