"""Fusion: kernels hold what belongs together, and a fused graph has the values of the graph it came from."""

import numpy as np
import pytest
from random_graphs import random_graph

import graphc as gr
from graphc.evaluate import evaluate
from graphc.ir import Graph
from graphc.op import OPS
from graphc.passes.fuse import LARGEST_PART, fuse
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
    after = fuse(graph, fusible=lambda node: True)
    assert_same_values(graph, after, dict(zip(graph.inputs, feeds, strict=True)))
    assert "kernel" in names(after)


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
