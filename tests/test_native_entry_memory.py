"""Calls that are native code: no reference is lost or kept, whatever happens around them."""

import gc
import sys
import weakref
from contextlib import suppress

import numpy as np
import pytest

import graphc as gr

pytest.importorskip("llvmlite")

from entries import SHAPES, matrices, needs_entries, rosenbrock, training
from tracing import traced

pytestmark = [needs_entries, pytest.mark.usefixtures("each_way")]

rng = np.random.default_rng(0)


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
    with traced() as allocated:
        many()
        gc.collect()
        before, _ = allocated()
        many()
        gc.collect()
        after, _ = allocated()
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
