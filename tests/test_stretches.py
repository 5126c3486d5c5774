"""Long walks fall into stretches, so that a run comes back to Python soon: the bits are those of one long walk."""

import numpy as np
import pytest

import graphc as gr

pytest.importorskip("llvmlite")

from graphc.native import stretches
from graphc.native.loops import walks
from graphc.native.loops.scans import ABREAST
from graphc.native.program import NativeProgram

SHORT_STRETCH = 20


@pytest.fixture
def short(monkeypatch):
    """Stretches of a few elements."""
    monkeypatch.setattr(walks, "STRETCH", SHORT_STRETCH)


def planned(x, y, threads=1):
    """The program of an executable that has not run."""
    return gr.compile([x], y, backend="native", threads=threads).plan.program


def check(inputs, outputs, feeds):
    """The bits are those of one walk by NumPy, on any number of threads."""
    expected = gr.compile(inputs, outputs, backend="numpy")(*feeds)
    for threads in (1, 2, 3):
        found = gr.compile(inputs, outputs, backend="native", threads=threads)(*feeds)
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one, other)


def around(together):
    """Lengths of some walks together at which another stretch begins."""
    return [SHORT_STRETCH * count // together + more for count in (1, 2) for more in (-1, 0, 1, 2)]


FORMS = {
    "one row": [((n,), 0) for n in around(1)],
    "rows one by one": [((3, n), 1) for n in around(1)],
    "rows abreast": [((2 * ABREAST + 1, n), 1) for n in around(ABREAST)],
    "columns": [((n, 5), 0) for n in around(5)],
    "more columns than go together": [((3, 700), 0)],
}


@pytest.mark.parametrize("dtype", ["float16", "float32", "int64"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.usefixtures("short", "wholly_native")
def test_recurrences_go_on_from_stretch_to_stretch(form, dtype):
    rng = np.random.default_rng(7)
    for shape, axis in FORMS[form]:
        values, decay = (rng.normal(scale=1.1, size=shape).astype(dtype) for _ in range(2))
        x, y = gr.placeholder("x", shape, dtype), gr.placeholder("y", shape, dtype)
        outputs = [op(x, axis, exclusive=one, reverse=one) for op in (gr.cumsum, gr.cumprod) for one in (False, True)]
        if dtype != "int64":
            outputs += [gr.linear_recurrence(y, x, axis), gr.linear_recurrence(y, x, axis, reverse=True)]
        check([x, y], outputs, [values, decay])


@pytest.mark.parametrize("dtype", ["float32", "int8", "bool"])
@pytest.mark.parametrize(("shape", "axis"), [((53,), 0), ((2, 47), 1), ((47, 3), 0), ((3, 600), 0)])
@pytest.mark.usefixtures("short", "wholly_native")
def test_the_first_of_equal_extremes_is_found_across_stretches(shape, axis, dtype):
    rng = np.random.default_rng(8)
    x = gr.placeholder("x", shape, dtype)
    values = rng.integers(-2, 3, shape).astype(dtype)
    first_nan = np.where(rng.random(shape) < 0.05, np.nan, values).astype(dtype) if dtype == "float32" else values
    for feed in (values, first_nan, values[::-1].copy()):
        for op in (gr.argmax, gr.argmin):
            for threads in (1, 2):
                alone = NativeProgram(gr.Graph([x], [op(x, axis)]), threads)  # in no kernel with what is beside it
                assert len(alone.works.listed) > 1
                (found,) = alone.run([feed], {}, [None])
                np.testing.assert_array_equal(found, getattr(np, op.__name__)(feed, axis))


@pytest.mark.usefixtures("short", "wholly_native")
def test_positions_are_taken_in_order_from_stretch_to_stretch():
    rng = np.random.default_rng(9)
    for shape in ((97,), (97, 3), (97, 100)):
        x, at = gr.placeholder("x", shape), gr.placeholder("at", (97,), "int32")
        zeros = gr.zeros((6, *shape[1:]))
        feeds = [rng.normal(size=shape).astype("float32"), rng.integers(-6, 6, 97).astype("int32")]
        check([x, at], [gr.add_at(zeros, at, x), gr.set_at(zeros, at, x)], feeds)
    wrong = [feeds[0], np.full(97, 3, "int32")]
    wrong[1][-1] = 6
    for threads in (1, 2):
        with pytest.raises(gr.ExecutionError, match="index 6 is out of bounds for axis 0 with size 6"):
            gr.compile([x, at], gr.add_at(zeros, at, x), backend="native", threads=threads)(*wrong)


@pytest.mark.parametrize(("shape", "axis"), [((2 * 10**8,), 0), ((2, 10**8), 1), ((9, 3 * 10**7), 1), ((10**8, 2), 0)])
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_long_recurrences_come_back_to_python(shape, axis, dtype):
    x = gr.placeholder("x", shape, dtype)
    for threads in (1, 2):
        made = planned(x, gr.cumsum(x, axis), threads)
        found = made.emitted.steps.listed
        assert len(found) >= 6
        assert all(segment.ns <= stretches.LONGEST_NS for segment in found)
        assert str(made.describe()).count("cumsum") == 1, "to the reader it is one kernel"


def test_short_recurrences_are_one_walk():
    for length, count in ((walks.STRETCH, 1), (walks.STRETCH + 1, 2)):
        x = gr.placeholder("x", (length,))
        assert len(planned(x, gr.cumsum(x)).works.listed) == count


def test_large_new_results_are_written_in_several_segments():
    x = gr.placeholder("x", (10**8,))
    for threads in (1, 2):
        assert len(planned(x, gr.tanh(x), threads).emitted.steps.listed) >= 4
