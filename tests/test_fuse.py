"""Fusion: kernels hold what belongs together, and a fused graph has the values of the graph it came from."""

import sys

import numpy as np
import pytest
from random_graphs import random_graph

import graphc as gr
from graphc.ends import LARGEST_PART
from graphc.evaluate import evaluate
from graphc.ir import Graph
from graphc.op import OPS
from graphc.passes.fuse import fuse
from graphc.verify import verify


def fused(*outputs):
    return fuse(Graph(None, outputs), fusible=lambda node: True)


def names(graph):
    return [node.op.name for node in graph.nodes if not node.op.leaf and "value" not in node.attrs]


def assert_same_values(graph, after, feed):
    verify(after)
    for value, right in zip(evaluate(after.outputs, feed), evaluate(graph.outputs, feed), strict=True):
        np.testing.assert_allclose(value, right, rtol=1e-5, atol=1e-6)
        assert np.asarray(value).dtype == np.asarray(right).dtype


@pytest.mark.parametrize("seed", range(60))
def test_values_stay(seed):
    graph, feeds, _ = random_graph(seed)
    for options in ({"fusible": lambda node: True}, {"fusible": lambda node: node.op is not gr.tanh, "max_ops": 5}):
        after = fuse(graph, **options)
        assert_same_values(graph, after, dict(zip(graph.inputs, feeds, strict=True)))
        assert "kernel" in names(after)


def test_a_kernel_may_begin_with_a_reshape():
    x = gr.placeholder("x", (1, 6))
    graph = Graph(None, [gr.exp(gr.reshape(x, (6,)))])
    after = fuse(graph, fusible=lambda node: True)
    assert_same_values(graph, after, {x: np.ones((1, 6), "f4")})


def test_an_outer_product_of_rows_that_one_kernel_knows_is_a_kernel_of_its_own():
    x = gr.placeholder("x", (4, 6))
    row, column = gr.sum(x, axis=1), gr.max(x, axis=1, keepdims=True)
    graph = Graph(None, [gr.exp(gr.tanh(row) * gr.tanh(column))])
    after = fuse(graph, fusible=lambda node: True)
    assert_same_values(graph, after, {x: np.random.default_rng(0).standard_normal((4, 6)).astype("f4")})
    assert names(after).count("kernel") == 3


def native(inputs, outputs, *feeds):
    """The kernels of a graph compiled for the native backend, whose values are looked at."""
    pytest.importorskip("llvmlite")
    f = gr.compile(inputs, outputs, backend="native", threads=1)
    values = f(*feeds)
    for value, right in zip(values, evaluate(outputs, dict(zip(inputs, feeds, strict=True))), strict=True):
        np.testing.assert_allclose(value, right, rtol=1e-5, atol=1e-5)
    return [node for node in f.graph.nodes if node.op.name == "kernel"]


def test_kernels_stay_apart_where_one_reads_a_reduction_at_which_the_other_ends():
    a, b, u = (gr.placeholder(name, shape) for name, shape in (("a", (3, 3)), ("b", (1, 3)), ("u", (3, 3))))
    h = gr.tanh(a)
    y = gr.add_n(h * b, gr.sum(h * u, axis=0, keepdims=True) * u)
    rng = np.random.default_rng(0)
    assert len(native([a, b, u], [y], *(rng.normal(size=node.shape).astype("f4") for node in (a, b, u)))) == 2


def test_a_product_joins_a_kernel_that_became_one_of_several():
    a, b, c = (gr.placeholder(name, (8, 8)) for name in "abc")
    e = gr.exp(c)
    total = gr.sum(e, axis=1, keepdims=True)
    y = gr.cos(a @ b + e / total) * c
    z = (y - gr.sum(y, axis=1, keepdims=True) * (e / total)) / total
    rng = np.random.default_rng(0)
    native([a, b, c], [z], *(rng.normal(size=(8, 8)).astype("f4") for _ in range(3)))


def test_what_is_left_of_a_kernel_may_read_nothing_in_common():
    a, b, c = (gr.placeholder(name, (16, 16)) for name in "abc")
    u, v = gr.square(a @ b + c), gr.square(a @ b - c)
    feeds = [np.random.default_rng(seed).normal(size=(16, 16)).astype("f4") for seed in range(3)]
    for more in ([gr.max(u, axis=1), gr.sum(v, axis=1)], [gr.max(u, axis=0), gr.log(gr.exp(v * 1e-3))]):
        assert len(native([a, b, c], [u, v, *more], *feeds)) == 2


def test_a_kernel_may_read_a_repeated_number_as_a_piece_and_as_a_number():
    x = gr.placeholder("x", (6,))
    for number in (0.0, 0.5):
        same = gr.full(4, number, "float32")
        y = gr.tanh(gr.concatenate([x, same, gr.full(3, number, "float32")]))
        native([x], [y * gr.concatenate([same, x, same])[:13], gr.square(x[:4]) + same], np.ones(6, "f4"))


def test_without_a_backend_nothing_is_fused():
    graph = Graph(None, [gr.exp(gr.placeholder("x", (3,)) + 1)])
    assert fuse(graph) is graph


def test_a_chain_is_one_kernel():
    x = gr.placeholder("x", (3, 4))
    assert names(fused(gr.tanh(x * 2 + gr.exp(x)))) == ["kernel"]


def test_softmax_is_one_kernel():
    x = gr.placeholder("x", (3, 4))
    e = gr.exp(x - gr.max(x, axis=1, keepdims=True))
    assert names(fused(e / gr.sum(e, axis=1, keepdims=True))) == ["kernel"]


def test_an_op_the_backend_cannot_fuse_stays():
    x = gr.placeholder("x", (3,))
    graph = Graph(None, [gr.exp(gr.tanh(x) + 1)])
    assert names(fuse(graph, fusible=lambda node: node.op is not gr.tanh)) == ["tanh", "kernel"]


def test_a_kernel_stops_growing():
    y = gr.placeholder("x", (3,))
    for _ in range(10):
        y = gr.tanh(y)
    after = fuse(Graph(None, [y]), fusible=lambda node: True, max_ops=4)
    assert [len(node.attrs["body"].nodes) - 1 for node in after.nodes if node.op is OPS["kernel"]] == [4, 4, 2]


def test_a_reduction_over_the_outer_axis_may_end_a_kernel():
    x = gr.placeholder("x", (5, 8), "float64")
    graph = Graph(None, [gr.sum(gr.exp(x), axis=0)])
    after = fuse(graph, fusible=lambda node: True)
    assert [name for name in names(after) if name != "reshape"] == ["kernel"]
    assert_same_values(graph, after, {graph.inputs[0]: np.random.default_rng(0).standard_normal((5, 8))})


def test_a_reduction_that_would_keep_too_much_per_block_stays_on_its_own():
    x = gr.placeholder("x", (2, LARGEST_PART + 1), "float64")
    graph = Graph(None, [gr.sum(gr.exp(x), axis=0), gr.max(x, axis=0)])
    after = fuse(graph, fusible=lambda node: True)
    assert names(after) == ["kernel", "sum", "max"]
    assert_same_values(graph, after, {graph.inputs[0]: np.random.default_rng(0).standard_normal((2, LARGEST_PART + 1))})


def test_cheap_values_are_computed_again_where_kernels_read_them():
    x, w = gr.placeholder("x", (6, 6)), gr.placeholder("w", (6, 6))
    h = gr.tanh(x @ w)
    loss = gr.sum(gr.tanh(h @ w))
    graph = Graph(None, [loss, *gr.gradients(loss, [x, w])])
    after = fuse(graph, fusible=lambda node: True)
    made = [node for node in after.nodes if node.op.name == "kernel"]
    assert not any(inner.op.name == "subtract" for inner in made[0].attrs["body"].nodes)  # 1 - h² comes later, from h
    feeds = np.random.default_rng(0).standard_normal((2, 6, 6)).astype("f4")
    assert_same_values(graph, after, dict(zip((x, w), feeds, strict=True)))


def test_what_is_computed_again_may_be_read_by_what_is_no_kernel():
    x = gr.placeholder("x", (6, 5))
    y = gr.exp(x)
    z = 1 - y * y
    graph = Graph(None, [y, gr.exp(z), gr.sum(z, axis=0), gr.max(z * 2), gr.exp(gr.sum(z) + z)])
    after = fuse(graph, fusible=lambda node: node.op is not gr.negative)
    assert_same_values(graph, after, {x: np.random.default_rng(0).standard_normal((6, 5)).astype("f4")})


def repeated(steps):
    """A loop, unrolled."""
    x = h = gr.placeholder("x", (8,))
    for _ in range(steps):
        h = gr.tanh(h * x) + gr.sin(h)
    return h


def without_order(n):
    """Nodes of whose neighbourhoods hardly two are alike."""
    draws, values = np.random.default_rng(0), [gr.placeholder("x", (8,))]
    for number in draws.integers(6, size=n):
        one, other = (values[max(0, len(values) - 1 - back)] for back in draws.integers(9, size=2))
        made = gr.tanh(one), gr.sin(one), one * other, one + other, one - other, gr.maximum(one, other)
        values.append(made[number])
    return gr.add_n(*values[-9:])


@pytest.mark.parametrize(("value", "grows"), [(repeated(1000), False), (without_order(4000), True)])
def test_kernels_of_graphs_that_do_not_repeat_themselves_hold_more(monkeypatch, value, grows):
    kernels = names(fused(value)).count("kernel")
    monkeypatch.setattr(sys.modules["graphc.passes.fuse"], "MANY_KINDS", 10**9)
    assert grows == (2 * kernels < names(fused(value)).count("kernel"))


def test_steps_of_an_unrolled_loop_share_a_body_and_others_do_not():
    x, half = gr.placeholder("x", (8,)), gr.constant(0.5, "f4")
    y = x
    for _ in range(12):
        y = gr.sin(y) * y + half
    once = gr.sin(y) * y + half
    again = gr.sin(once) * once + half  # the same on another line, which its body tells
    graph = Graph(None, [again])
    after = fuse(graph, fusible=lambda node: True, max_ops=3)
    assert_same_values(graph, after, {x: np.linspace(-1, 1, 8).astype("f4")})
    bodies = [node.attrs["body"] for node in after.nodes if node.op.name == "kernel"]
    assert len(bodies) == 14
    assert len(set(bodies)) == 4  # the first step reads x by its name
    lines = {node.origin.line for body in set(bodies) for node in body.nodes if node.op is gr.add}
    assert len(lines) == 3
