"""Kernels write what is concatenated to its place, and everything else still finds it there."""

import numpy as np
import pytest

import graphc as gr
from graphc.evaluate import evaluate

pytest.importorskip("llvmlite")

from graphc.native.code.elementwise import is_native
from graphc.native.finishing import is_along, is_finishable
from graphc.native.program import NativeProgram
from graphc.passes.fuse import fuse


def check(*outputs):
    """The program of a graph, whose values are the reference's on one thread and on two."""
    before = gr.Graph(None, outputs)
    graph = fuse(before, fusible=is_native, finishes=(is_finishable, is_along))
    rng = np.random.default_rng(0)
    feeds = [rng.standard_normal(node.shape).astype(node.dtype) for node in graph.inputs]
    expected = evaluate(outputs, dict(zip(before.inputs, feeds, strict=True)))
    programs = [NativeProgram(graph, threads) for threads in (1, 2)]
    for program in programs:
        for _ in range(2):
            for value, right in zip(program.run(feeds, {}, [None] * len(outputs)), expected, strict=True):
                np.testing.assert_allclose(value, right, rtol=1e-5, atol=1e-5)
    return programs[0]


def copies(program):
    """How many works concatenate."""
    return sum(work.node.op.name == "concatenate" for work in program.works.listed)


def xs(count, *shape):
    return [gr.placeholder(f"x{i}", shape) for i in range(count)]


@pytest.mark.parametrize("axis", [0, 1])
def test_pieces_are_written_in_place(axis):
    program = check(gr.concatenate([gr.exp(x) + i for i, x in enumerate(xs(3, 4, 32))], axis))
    assert copies(program) == 0


def test_a_piece_of_a_kernel_that_sums_all_of_it_is_copied():
    x, y = xs(2, 24, 24)
    one = gr.cos(x)
    check(gr.concatenate([y, one], 1) @ gr.concatenate([y, one], 0), gr.exp(gr.mean(one)))


def test_pieces_that_others_read():
    one, two = (gr.tanh(x) for x in xs(2, 8, 16))
    program = check(gr.square(gr.concatenate([one, two], 1)), one.T @ two, gr.sort(one, 1), one.reshape(16, 8) * 2)
    assert copies(program) == 0


def test_concatenations_of_concatenations():
    a, b, c, d = (gr.tanh(x) * 2 for x in xs(4, 8, 16))
    whole = gr.concatenate([gr.concatenate([a, b], 1), gr.concatenate([c, d], 1)], 0)
    assert copies(check(whole, a + d)) == 0


def test_results_of_one_kernel_and_of_products():
    x, w = gr.placeholder("x", (24, 40)), gr.placeholder("w", (40, 32))
    z = x @ w + 1
    program = check(gr.concatenate([gr.nn.relu(z), z * 2, z - 1], 1), gr.concatenate([gr.tanh(z), gr.exp(-z)], 0))
    assert copies(program) == 0


def heads(x, axes=(0, 2, 1, 3)):
    """Rows of 4 heads of 16 numbers, the heads first."""
    return gr.transpose(x.reshape((*x.shape[:-1], 4, 16)), axes)


@pytest.mark.parametrize("axes", [(0, 2, 1, 3), (0, 3, 1, 2), (0, 3, 2, 1)])
def test_products_seen_with_axes_exchanged_are_written_so(axes):
    x, y = xs(2, 2, 24, 64)
    left, right = heads(x), heads(y)
    w = gr.placeholder("w", (64, 8))
    program = check(gr.transpose(gr.swapaxes(left, -1, -2) @ right, axes).reshape((32, 64)) @ w)
    copied = [work for work in program.works.listed if work.node.op.name == "reshape"]
    assert len(copied) == (axes[-1] == 1)  # no vectors would be written


def test_products_seen_with_axes_exchanged_are_written_to_their_place():
    x, y = xs(2, 2, 24, 64)
    left, right = heads(x), heads(y)
    one = gr.transpose((left @ gr.swapaxes(right, -1, -2)) @ right, (0, 2, 1, 3))
    two = gr.transpose(gr.swapaxes(left, -1, -2) @ (left @ gr.swapaxes(right, -1, -2)) + 1, (0, 3, 1, 2))
    whole = gr.stack([one, two, gr.tanh(one)], axis=2).reshape((48, 192))
    program = check(whole @ whole.T, gr.sum(two, 0))
    assert copies(program) == 0


def test_what_is_given_an_output_or_taken_twice_is_copied():
    x, y, z = xs(3, 4, 32)
    one, two = gr.exp(y), gr.exp(z)
    program = check(gr.concatenate([x, one, two, two], 0), gr.concatenate([one, gr.tanh(x)], 1), two)
    assert copies(program) == 4


def test_pieces_without_neighbours_and_reductions_are_copied():
    x, y = xs(2, 40, 8)
    program = check(gr.stack([gr.exp(x), gr.exp(y)], axis=2), gr.concatenate([gr.sum(x, 0), gr.sum(y * y, 0)], 0))
    assert copies(program) == 4


def test_an_array_of_a_numpy_call_and_one_of_a_kernel():
    x, y = xs(2, 4, 32)
    check(gr.concatenate([gr.sort(gr.exp(x), 1), gr.exp(y)], 0), gr.sort(gr.tanh(y), 1))


def test_a_large_concatenation_over_several_threads():
    pieces = [gr.tanh(x) * x for x in xs(4, 300, 300)]
    program = check(gr.square(gr.concatenate(pieces, 1)), *[piece @ pieces[0] for piece in pieces])
    assert copies(program) == 0


@pytest.mark.parametrize("seed", range(20))
def test_random_joins(seed):
    rng = np.random.default_rng(seed)
    values = xs(3, 16, 16)
    for _ in range(12):
        x, y = (values[i] for i in rng.integers(0, len(values), 2))
        made = [lambda x, y: gr.tanh(x[:16, :16] + y[:16, :16]), lambda x, y: gr.concatenate([x[:16], y[:16]], 1)
                if x.shape[0] >= 16 <= y.shape[0] else x, lambda x, y: gr.exp(-gr.square(x)),
                lambda x, y: gr.nn.relu(x[:16, :16] @ y[:16, :16]), lambda x, y: x[8:, :] * 2]  # fmt: skip
        value = made[int(rng.integers(5))](x, y)
        if min(value.shape) >= 16 and max(value.shape) < 200:
            values.append(value)
    picked = rng.choice(len(values), 2, replace=False)
    check(gr.concatenate([values[-1][:16, :16], values[-2][:16, :16]], 0), *[values[i] for i in picked if i > 2])


@pytest.mark.parametrize("n", [8, 33, 64])
def test_a_view_of_another_piece_is_copied_to_its_place(n):
    x = gr.placeholder("x", (n, n), "float32")
    a = gr.tanh(x)
    y = a @ a + a.T @ a.T
    feed = np.random.default_rng(0).standard_normal((n, n)).astype("f4")
    expected = gr.compile([x], y, backend="numpy")(feed)
    assert np.allclose(gr.compile([x], y, backend="native")(feed), expected, rtol=1e-4, atol=1e-4)


def test_a_kernel_of_constants_is_copied():
    """It is computed once, before any concatenation has memory: its piece had other bytes in every run."""
    t, u = gr.placeholder("t", (2, 12), "bool"), gr.variable("u", np.zeros((12, 12)))
    f = gr.compile([t], gr.concatenate([gr.logical_not(gr.less(u, u)), t]), backend="native")
    for _ in range(3):
        expected = np.concatenate([np.ones((12, 12), bool), np.zeros((2, 12), bool)])
        np.testing.assert_array_equal(f(np.zeros((2, 12), bool)), expected)
