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
    run, feeds = gr.compile([x], [gr.sum(x, 0), gr.max(x * x, 0)], backend="native"), [drawn(shape, "float32")]
    right = run(*feeds)
    for found in run_guarded(run, feeds, monkeypatch):
        np.testing.assert_array_equal(found, right)


def test_which_totals_are_held():
    def held(shape, *reductions):
        x = gr.placeholder("x", shape)
        return len(kernel_of([x], [reduce(x * 2 + 1) for reduce in reductions]).held)

    def down(x):
        return gr.sum(x, 0)

    assert held((1000, 2), down) == 1
    assert held((1000, 10), down, lambda x: gr.max(x, 0)) == 2
    assert held((10, 100, 3), lambda x: gr.sum(x, (0, 1))) == 1
    assert held((1000, 2000), down) == 0, "long rows"
    assert held((10, 100, 3), lambda x: gr.sum(x, 1)) == 0, "of which there are several"


def test_heavy_rows_are_walked_one_at_a_time():
    x = gr.placeholder("x", (1000, 3))
    assert kernel_of([x], [gr.sum(x, 0)]).rows_abreast == 4
    assert kernel_of([x], [gr.sum(gr.tanh(x), 0)]).rows_abreast < 4
