"""Totals of the columns of short rows, which registers hold: at every edge, on any number of threads."""

import numpy as np
import pytest

import graphc as gr
from graphc.evaluate import evaluate

pytest.importorskip("llvmlite")

from guarded import run_guarded

from graphc.native.code.elementwise import is_native
from graphc.native.kernel.facts import steps_in_order
from graphc.native.kernel.kernel import Kernel
from graphc.native.program import NativeProgram
from graphc.passes.fuse import fuse

DTYPES = ["float64", "float32", "float16", "int64", "int32", "uint8", "bool"]
rng = np.random.default_rng(0)


def drawn(shape, dtype):
    """Numbers whose sums are exact, and some NaN."""
    values = rng.integers(0, 3, shape).astype(dtype)
    if values.dtype.kind == "f":
        values[rng.random(shape) < 0.002] = np.nan
    return values


def fused(inputs, outputs):
    return fuse(gr.Graph(inputs, outputs), fusible=is_native)


def assert_right(inputs, outputs, feeds, **tolerances):
    right = evaluate(outputs, dict(zip(inputs, feeds, strict=True)))
    runs = [NativeProgram(fused(inputs, outputs), threads).run(feeds, {}, [None] * len(outputs)) for threads in (1, 3)]
    for expected, found, other in zip(right, *runs, strict=True):
        np.testing.assert_allclose(found, expected, **tolerances)
        assert found.dtype == expected.dtype
        assert found.tobytes() == other.tobytes()


def kernel_of(inputs, outputs):
    (node,) = (node for node in fused(inputs, outputs).nodes if "body" in node.attrs)
    return Kernel(node.attrs["body"], [steps_in_order(x.array_type) for x in node.inputs])


@pytest.mark.usefixtures("each_unit")
@pytest.mark.parametrize("dtype", DTYPES)
def test_totals_down_few_columns(dtype):
    for shape in ((1, 2), (3, 3), (4, 9), (5, 17), (7, 64), (1003, 5), (9001, 10)):
        x = gr.placeholder("x", shape, dtype)
        reductions = (gr.any, gr.all) if dtype == "bool" else (gr.sum, gr.max, gr.min)
        outputs = [reduce(x, 0) for reduce in reductions]
        assert_right([x], outputs, [drawn(shape, dtype)], rtol=0)


@pytest.mark.usefixtures("each_unit")
@pytest.mark.parametrize("dtype", DTYPES)
def test_places_down_few_columns(dtype):
    for shape in ((1, 2), (3, 3), (5, 16), (1003, 5), (40001, 2)):
        x = gr.placeholder("x", shape, dtype)
        assert_right([x], [gr.argmax(x, 0), gr.argmin(x, 0, keepdims=True)], [drawn(shape, dtype)])


@pytest.mark.parametrize("dtype", DTYPES)
def test_totals_over_a_middle_axis_in_parts_or_whole(dtype):
    for shape in ((3, 1000, 2), (63, 5, 3), (64, 9, 16), (65, 40, 3), (2, 40, 2, 3), (6000, 5, 3), (5, 20, 11, 7)):
        x = gr.placeholder("x", shape, dtype)
        totals = [gr.any, gr.all] if dtype == "bool" else [gr.sum, gr.max]
        outputs = [reduce(x, -2) for reduce in (*totals, gr.argmax, gr.argmin)]
        assert_right([x], outputs, [drawn(shape, dtype)], rtol=0)


@pytest.mark.usefixtures("each_unit")
def test_totals_over_a_middle_axis_that_registers_do_not_hold():
    """Blocks of rows share these: each has to clear its part, however many there are."""
    for shape in ((64, 2, 33), (64, 11, 65), (100, 5, 130)):
        x, values = gr.placeholder("x", shape, "int64"), drawn(shape, "int64")
        for outputs in ([gr.sum(x, 1)], [gr.sum(x > 0, 1), gr.max(x, 1)]):
            assert_right([x], outputs, [values], rtol=0)


def test_few_neighbours_of_which_some_are_beyond_a_box():
    x, y = gr.placeholder("x", (200, 3, 4)), gr.placeholder("y", (200, 2, 4))
    joined, padded = gr.concatenate([x, y], 1), x + gr.pad(y, ((0, 0), (1, 0), (0, 0)))
    feeds = [drawn(value.shape, "float32") for value in (x, y)]
    for outputs in ([gr.sum(joined * 2, 1)], [gr.sum(padded, 1), gr.argmax(padded, 1)]):
        assert_right([x, y], outputs, feeds, rtol=0)


@pytest.mark.parametrize("shape", [(20000, 1), (1, 20000)])
def test_many_numbers_reduced_over_an_axis_of_one(shape):
    x = gr.placeholder("x", shape)
    axis = shape.index(1)
    outputs = [gr.sum(gr.exp(x) * 2, axis), gr.max(x, axis), gr.argmax(x * 2, axis)]
    assert_right([x], outputs, [drawn(shape, "float32")], rtol=1e-6)


def test_the_first_extreme_or_nan_of_blocks_and_rows_side_by_side_is_found():
    x, values = gr.placeholder("x", (9001, 4)), np.zeros((9001, 4), "f4")
    values[[8000, 5], 0], values[[7001, 7002, 9000], 1], values[[4000, 4500], 2] = 1, np.nan, -0.0
    values[:, 3] = -np.inf
    assert_right([x], [gr.argmax(x, 0), gr.argmin(x, 0), gr.argmax(-x, 0)], [values])
    (run, *_) = NativeProgram(fused([x], [gr.argmax(x, 0)]), 1).run([values], {}, [None])
    assert run.tolist() == [5, 7001, 0, 0]


def test_what_registers_hold_stands_beside_nothing_else():
    x = gr.placeholder("x", (3000, 7, 6), "float64")
    p = gr.nn.softmax(x, -1)
    outputs = [gr.argmax(x, 1), gr.sum(x, 1), gr.sum(x), gr.sum(p, 1), gr.max(x, 0), gr.argmax(x, 2), gr.argmin(x)]
    feeds = [np.random.default_rng(1).normal(size=x.shape)]
    for some in (outputs, outputs[::-1], outputs[:4], outputs[3:]):
        assert_right([x], some, feeds, rtol=1e-12)


@pytest.mark.parametrize("columns", [2, 5, 16, 33])
def test_totals_beside_what_is_computed_of_rows(columns):
    for rows in (1, 6, 2001):
        shapes = {"x": (rows, columns), "y": (rows, columns), "b": (columns,), "c": (rows, 1)}
        x, y, b, c = inputs = [gr.placeholder(name, shape, "float64") for name, shape in shapes.items()]
        p = gr.nn.softmax(x, 1)
        outputs = [gr.sum(gr.tanh(x) * y, 0), gr.sum(y * b * c, 0), x * y, gr.max(x * c, 0), gr.sum(p * y, 0), p]
        feeds = [rng.normal(size=node.shape) for node in inputs]
        assert_right(inputs, outputs, feeds, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("shape", [(1, 3), (70, 5), (131, 16)], ids=str)
def test_totals_touch_nothing_beyond_their_memory(monkeypatch, shape):
    x = gr.placeholder("x", shape)
    outputs, feeds = [gr.sum(x, 0), gr.max(x * x, 0), gr.argmax(x, 0)], [drawn(shape, "float32")]
    run = gr.compile([x], outputs, backend="native")
    right = run(*feeds)
    for found in run_guarded(run, feeds, monkeypatch):
        np.testing.assert_array_equal(found, right)


def test_which_totals_are_held():
    def held(shape, *reductions):
        x = gr.placeholder("x", shape)
        return len(kernel_of([x], [reduce(x * 2 + 1) for reduce in reductions]).held)

    def down(x):
        return gr.sum(x, 0)

    def middle(x):
        return gr.sum(x, 1)

    assert held((1000, 2), down) == 1
    assert held((1000, 10), down, lambda x: gr.max(x, 0)) == 2
    assert held((10, 100, 3), lambda x: gr.sum(x, (0, 1))) == 1
    assert held((1000, 2000), down) == 0, "long rows"
    assert held((10, 100, 3), middle) == 1
    assert held((10, 100, 3), middle, down) == 0, "not alike"
    assert held((10000, 5, 3), middle, lambda x: gr.argmin(x, 1)) == 2, "each found by one block"


def test_heavy_rows_are_walked_one_at_a_time():
    x = gr.placeholder("x", (1000, 3))
    assert kernel_of([x], [gr.sum(x, 0)]).rows_abreast == 4
    assert kernel_of([x], [gr.sum(gr.tanh(x), 0)]).rows_abreast < 4
