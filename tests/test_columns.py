"""Kernels that walk down columns: what follows a reduction over an axis that is not the last is computed with it."""

import numpy as np
import pytest

import graphc as gr
from graphc.evaluate import evaluate
from graphc.ir import Graph
from graphc.passes.fuse import fuse
from graphc.spaces import LONGEST_COLUMN, SHORT_COLUMN

pytest.importorskip("llvmlite")

from graphc.native.code.elementwise import is_native
from graphc.native.program import NativeProgram

rng = np.random.default_rng(0)


def fused(inputs, outputs):
    return fuse(Graph(inputs, outputs), fusible=is_native)


def kernels(graph):
    return [node.attrs["body"] for node in graph.nodes if node.op.name == "kernel"]


def normalized(x, axis):
    """As in batch normalization."""
    centered = x - gr.mean(x, axis, keepdims=True)
    return centered / gr.sqrt(gr.mean(centered * centered, axis, keepdims=True) + 1e-3)


def check(inputs, outputs, feeds, rtol=1e-5):
    """Compare with the reference, and threads with each other, bit for bit."""
    graph = fused(inputs, outputs)
    right = evaluate(outputs, dict(zip(inputs, feeds, strict=True)))
    runs = [NativeProgram(graph, threads).run(feeds, {}, [None] * len(outputs)) for threads in (1, 2, 3)]
    for value, other, another, expected in zip(*runs, right, strict=True):
        np.testing.assert_allclose(value, expected, rtol=rtol, atol=rtol)
        assert np.asarray(value).dtype == np.asarray(expected).dtype
        assert np.asarray(value).tobytes() == np.asarray(other).tobytes() == np.asarray(another).tobytes()
    return graph


@pytest.mark.usefixtures("each_unit")
@pytest.mark.parametrize("n", [128, 129, 143, 160, 191, 300])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_normalization_over_the_batch_and_its_gradient_are_one_kernel(n, dtype):
    x, g = gr.placeholder("x", (37, n), dtype), gr.placeholder("g", (n,), dtype)
    y = normalized(x, 0) * g
    loss = gr.sum(gr.tanh(y) * y)
    feeds = [rng.normal(size=node.shape).astype(dtype) for node in (x, g)]
    graph = check([x, g], [y, loss, *gr.gradients(loss, [x, g])], feeds, 1e-4 if dtype == "float32" else 1e-9)
    whole = [body for body in kernels(graph) if any(node.shape == x.shape for node in body.nodes)]
    assert len(whole) == 1


@pytest.mark.parametrize(("shape", "axis"), [
    ((4, 20, 130), 1), ((4, 5, 6, 64), (0, 1)), ((4, 5, 6, 64), (0, 1, 2)), ((3, 4, 5, 64), (1, 2)),
    ((9, 1, 16, 17), 0), ((1, 40, 1, 128), 1),
])  # fmt: skip
def test_any_axes_next_to_each_other_may_be_walked(shape, axis):
    x = gr.placeholder("x", shape, "float64")
    y = normalized(x, axis)
    outputs = [y, gr.max(y, axis), gr.sum(y)]
    graph = check([x], outputs, [rng.normal(size=shape)], 1e-9)
    many = np.prod(shape) // np.prod([shape[each] for each in np.atleast_1d(axis)]) >= 128
    assert (len(kernels(graph)) == 1) == bool(many)


@pytest.mark.parametrize("dtype", ["float16", "int32", "uint8", "bool", "int64"])
def test_every_dtype_is_walked(dtype):
    x = gr.placeholder("x", (30, 200), dtype)
    top, any_, count = gr.max(x, 0), gr.any(x > 2, 0), gr.sum(x, 0)
    outputs = [gr.where(any_, gr.equal(x, top), x > 0), gr.where(any_, x, count), top, gr.min(x, 0), gr.all(x < top)]
    check([x], outputs, [rng.integers(0, 5, (30, 200)).astype(dtype)], 1e-2 if dtype == "float16" else 1e-9)


@pytest.mark.parametrize("fill", [np.nan, np.inf, -np.inf, -0.0])
def test_special_values_come_through(fill):
    x = gr.placeholder("x", (20, 130), "float32")
    feed = rng.normal(size=x.shape).astype("float32")
    feed[3, ::7] = feed[:, 64] = fill
    with np.errstate(all="ignore"):
        check([x], [x - gr.max(x, 0), x / gr.sum(x, 0), gr.sum(x), gr.max(gr.abs(x) - gr.min(x, 0))], [feed], 1e-4)


def test_reductions_of_other_axes_are_accumulated_beside():
    x, w = gr.placeholder("x", (6, 30, 128), "float64"), gr.placeholder("w", (30, 1), "float64")
    y = normalized(x, 1) * w
    outputs = [y, gr.sum(y, (0, 1)), gr.sum(y, 0), gr.sum(y, 1), gr.max(y, (1, 2)), gr.sum(y, 2), gr.prod(y * 0.1 + 1)]
    check([x, w], outputs, [rng.normal(size=x.shape), rng.normal(size=w.shape)], 1e-9)


def test_operands_may_lie_in_any_way():
    x, y = gr.placeholder("x", (150, 40), "float64"), gr.placeholder("y", (80, 300), "float64")
    some = y[::2, ::-2]
    outputs = [normalized(gr.transpose(x), 0) + some, normalized(some, 0)]
    check([x, y], outputs, [rng.normal(size=x.shape), rng.normal(size=y.shape)], 1e-9)


def test_dear_values_are_kept_for_the_next_walk():
    x = gr.placeholder("x", (50, 200), "float64")
    exp = gr.exp(x - gr.max(x, 0))
    graph = check([x], [exp / gr.sum(exp, 0)], [rng.normal(size=x.shape)], 1e-12)
    assert len(kernels(graph)) == 1


def test_few_columns_and_long_ones_are_walked_row_by_row():
    """Threads share rows there, and no column would stay near."""

    def count(rows, columns, times=3):
        y = gr.placeholder("x", (rows, columns), "float64")
        x = y
        for _ in range(times):
            y = y - gr.mean(y, 0)
        return len(kernels(fused([x], [y])))

    assert count(100, 128) == count(SHORT_COLUMN, 128, 1) == count(LONGEST_COLUMN, 128) == 1
    assert min(count(100, 120), count(SHORT_COLUMN + 1, 128, 1), count(LONGEST_COLUMN + 1, 128)) > 1


def test_sums_that_are_only_results_leave_rows_as_they_are():
    """A bias's gradient and its update: a matrix is read as it lies."""
    x, b = gr.placeholder("x", (100, 256), "float32"), gr.placeholder("b", (256,), "float32")
    y = gr.tanh(x + b)
    graph = fused([x, b], [y, b - 0.1 * gr.sum(1 - y * y, 0)])
    assert len(kernels(graph)) == 2


def test_an_index_map_stays_out_of_a_kernel_of_columns():
    x = gr.placeholder("x", (40, 200), "float64")
    shifted = gr.pad(x[1:], ((0, 1), (0, 0)))
    check([x], [normalized(x + shifted, 0), shifted - gr.mean(x, 0)], [rng.normal(size=x.shape)], 1e-9)


# --------------------------------------------------------------------------------------------- transposed operands


def softmax(x):
    exp = gr.exp(x - gr.max(x, -1, keepdims=True))
    return exp / gr.sum(exp, -1, keepdims=True)


@pytest.mark.parametrize(("shape", "axes"), [
    ((40, 33), (1, 0)), ((40, 5, 16), (1, 2, 0)), ((40, 5, 16), (2, 1, 0)), ((3, 40, 17), (0, 2, 1)),
])  # fmt: skip
def test_rows_of_transposed_operands_are_walked_as_columns(shape, axes):
    x, y = gr.placeholder("x", shape, "float64"), gr.placeholder("y", shape, "float64")
    w = gr.placeholder("w", (shape[axes[0]], *(1,) * (len(shape) - 1)), "float64")
    xt, yt = gr.transpose(x, axes), gr.transpose(y, axes)
    z = softmax(xt * w) * yt
    outputs = [
        z,
        gr.sum(z),
        gr.sum(z, -1),
        gr.max(z, tuple(range(len(shape)))),
        *gr.gradients(gr.sum(z * z), [x, y, w]),
    ]
    graph = check([x, y, w], outputs, [rng.normal(size=node.shape) for node in (x, y, w)], 1e-9)
    assert any(body.inputs[0].shape == shape for body in kernels(graph))


def test_a_softmax_of_columns_needs_no_transpose():
    x = gr.placeholder("x", (100, 64), "float32")
    graph = check([x], [gr.transpose(softmax(gr.transpose(x)))], [rng.normal(size=x.shape).astype("float32")])
    assert [node.op.name for node in graph.nodes] == ["placeholder", "kernel"]


def test_kernels_stay_where_something_else_spans_them_or_a_sum_would_be_apart():
    x, y = gr.placeholder("x", (40, 64), "float64"), gr.placeholder("y", (64, 40), "float64")
    xt = gr.transpose(x)
    outputs = [softmax(xt) + y, softmax(xt) * 2, gr.sum(softmax(xt) * 3, 0), gr.sum(xt, 0), softmax(xt[:4])]
    for some in (outputs, outputs[1:3], outputs[4:]):
        check([x, y], some, [rng.normal(size=node.shape) for node in (x, y)], 1e-9)
