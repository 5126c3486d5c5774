"""Products take along what is done to their elements: bias, activation, scaling, masks, sums with other arrays."""

import numpy as np
import pytest

import graphc as gr
from graphc.evaluate import evaluate, value_of
from graphc.ir import Graph
from graphc.passes.fuse import fuse
from graphc.text import parse
from graphc.verify import verify

pytest.importorskip("llvmlite")

from random_graphs import random_graph

from graphc.native.code.elementwise import is_native
from graphc.native.finishing import is_along, is_finishable, product_in
from graphc.native.program import NativeProgram

RNG = np.random.default_rng(0)


def fused(*outputs):
    return fuse(Graph(None, outputs), fusible=is_native, finishes=(is_finishable, is_along))


def draw(kind):
    if kind.dtype.kind == "b":
        return RNG.random(kind.shape) < 0.5
    return RNG.standard_normal(kind.shape).astype(kind.dtype)


def run(program, feeds):
    state = {variable: variable.value for variable in program.graph.variables}
    return program.run(feeds, state, [None] * len(program.graph.outputs))


def noise(graph, feeds):
    """How far each output moves when every node of a graph rounds: what another order of operations may change.

    Ops that add up terms round by the size of the largest, others by the size of each element.
    """
    rng, right = np.random.default_rng(1), evaluate(graph.outputs, dict(zip(graph.inputs, feeds, strict=True)))
    moved = [np.zeros(node.shape) for node in graph.outputs]
    for _ in range(4):
        values = dict(zip(graph.inputs, feeds, strict=True))
        for node in graph.nodes:
            value = values[node] if node in values else value_of(node, [values[i] for i in node.inputs])
            values[node] = rounded(node, value, rng) if node.type.is_float else value
        moved = [np.maximum(most, np.abs(values[node] - np.asarray(one, "f8")))
                 for most, node, one in zip(moved, graph.outputs, right, strict=True)]  # fmt: skip
    return [one.max(initial=0) for one in moved]


def rounded(node, value, rng):
    eps, signs = np.finfo(node.dtype).eps, rng.choice([-1.0, 1.0], value.shape)
    if node.op.elementwise or node.op.view or not node.inputs:
        return (value * (1 + eps * signs)).astype(node.dtype)
    terms = max(max(operand.shape, default=1) for operand in node.inputs)
    return (value + eps * terms**0.5 * np.abs(value).max(initial=0) * signs).astype(node.dtype)


def assert_near(found, right, moved):
    size = np.abs(np.asarray(right, "f8")).max(initial=0)
    eps = np.finfo(right.dtype).eps if right.dtype.kind == "f" else 0
    np.testing.assert_allclose(found, right, rtol=0, atol=8 * (moved + eps * size))


def check(*outputs):
    """The fused graph, whose values are those of the graph it came from, interpreted and native."""
    before, graph = Graph(None, outputs), fused(*outputs)
    verify(graph)
    feeds = [draw(node.type) for node in graph.inputs]
    expected = evaluate(outputs, dict(zip(before.inputs, feeds, strict=True)))
    meant = evaluate(graph.outputs, dict(zip(graph.inputs, feeds, strict=True)))
    one, two = (run(NativeProgram(graph, threads), feeds) for threads in (1, 2))
    moves = noise(before, feeds)
    for value, other, same, right, moved in zip(one, two, meant, expected, moves, strict=True):
        assert_near(value, right, moved)
        assert_near(same, right, moved)
        assert np.asarray(value).dtype == right.dtype
        assert np.asarray(value).tobytes() == np.asarray(other).tobytes()
    return graph


def kernels(graph):
    """The ops in the body of each kernel; a node on its own is one."""
    return [[inner.op.name for inner in node.attrs["body"].nodes if inner.inputs] if "body" in node.attrs
            else [node.op.name] for node in graph.nodes if node.inputs and not node.op.view]  # fmt: skip


def operands(m, k, n, dtype="float32", batch=()):
    return gr.placeholder("a", (*batch, m, k), dtype), gr.placeholder("b", (k, n), dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(32, 64, 256), (5, 7, 3), (128, 200, 77), (1, 300, 40), (40, 300, 1), (3, 9000, 2)])
def test_a_layer_is_one_kernel(shape, dtype):
    a, b = operands(*shape, dtype)
    bias = gr.placeholder("bias", shape[2:], dtype)
    graph = check(gr.nn.relu(a @ b + bias))
    if shape[2] > 1:
        assert kernels(graph) == [["matmul", "add", "relu"]]


@pytest.mark.parametrize("shape", [(3, 0, 5), (0, 4, 5), (3, 4, 0)])
def test_a_product_without_elements_or_terms_is_no_kernel_but_native_all_the_same(shape):
    x, y = operands(*shape, "float32")
    f = gr.compile([x, y], gr.nn.relu(x @ y + 1.5), backend="native")
    result = f(np.ones(shape[:2], "f4"), np.ones(shape[1:], "f4"))
    np.testing.assert_array_equal(result, np.full(shape[::2], 1.5 + shape[1], "f4"))
    assert "nothing is left to NumPy" in str(f.report())


def test_the_printed_graph_shows_the_product_and_what_is_done_to_it():
    a, b = operands(8, 4, 6)
    graph = fused(gr.nn.relu(a @ b + gr.placeholder("bias", (6,))))
    text = str(graph)
    assert "%matmul = matmul(%a, %b) : f32[8, 6]" in text
    assert str(parse(text)) == text


def test_a_transposed_operand_and_a_mask_go_along():
    """The derivative of a layer with a rectifier: where(h > 0, g Wᵀ, 0)."""
    g, w, h = gr.placeholder("g", (64, 96)), gr.placeholder("w", (80, 96)), gr.placeholder("h", (64, 80))
    graph = check(gr.where(h > 0, g @ w.T, 0))
    assert sorted(kernels(graph)[0]) == ["greater", "matmul", "where"]


def test_sums_of_columns_stay_a_kernel_that_reads_what_is_stored():
    g, w, h = gr.placeholder("g", (64, 96)), gr.placeholder("w", (80, 96)), gr.placeholder("h", (64, 80))
    masked = gr.where(h > 0, g @ w.T, 0)
    graph = check(masked, gr.sum(masked, axis=0))
    assert kernels(graph)[1:] == [["sum"]]


def test_several_results_are_stored():
    a, b = operands(33, 20, 50)
    z = a @ b + gr.placeholder("bias", (50,))
    graph = check(z, gr.maximum(z, 0), z > 0)
    assert len(kernels(graph)) == 1


def test_a_product_is_added_to_what_is_there_and_to_another_product():
    a, b = operands(40, 20, 50)
    c, d = gr.placeholder("c", (40, 50)), gr.placeholder("d", (50, 50))
    graph = check(c + 0.5 * (a @ b) + c @ d)
    assert len(kernels(graph)) == 2
    assert product_in(graph.outputs[0]) is not None


@pytest.mark.parametrize("batch", [(3,), (2, 3)])
def test_batches(batch):
    a, b = operands(9, 20, 31, batch=batch)
    c, d = gr.placeholder("c", (*batch, 9, 31)), gr.placeholder("d", (*batch, 31, 17))
    rows = gr.placeholder("rows", (*batch, 9, 1))
    check((a @ b) * 2 + c)
    check((c @ d) * rows - 1)


def test_a_square_product_added_to_its_own_factor():
    x, w = gr.placeholder("x", (48, 48)), gr.placeholder("w", (48, 48))
    check(x + x @ w)
    check((x @ x) * x - w)


def test_what_others_read_keeps_the_product():
    a, b = operands(8, 4, 6)
    product = a @ b
    assert kernels(check(product, product + 1))[0] == ["matmul"]
    assert ["matmul"] in kernels(check(product + 1, gr.sum(product, axis=1)))


def test_mathematics_stays_a_kernel():
    a, b = operands(32, 40, 50)
    assert kernels(check(gr.tanh(a @ b))) == [["matmul"], ["tanh"]]
    assert kernels(check(gr.tanh(a @ b + 1))) == [["matmul", "add"], ["tanh"]]


def test_many_large_arrays_stay_a_kernel():
    a, b = operands(300, 40, 400)
    more = [gr.placeholder(f"x{i}", (300, 400)) for i in range(5)]
    assert kernels(check(gr.add_n(a @ b, *more))) == [["matmul"], ["add_n"]]


def test_operands_of_other_ranks_and_dtypes():
    a, b = operands(16, 8, 24)
    scale, mask = gr.placeholder("scale", ()), gr.placeholder("mask", (16, 24), "bool")
    check(gr.where(mask, a @ b, scale))
    check((a @ b) * scale)
    check((a @ b).astype("float64") + 1)


def test_nothing_goes_along_with_vectors_and_integers():
    a, v = gr.placeholder("a", (6, 5)), gr.placeholder("v", (5,))
    assert kernels(check(a @ v + 1)) == [["matmul"], ["add"]]
    i, j = gr.placeholder("i", (4, 3), "int64"), gr.placeholder("j", (3, 2), "int64")
    assert fused(i @ j + 1).nodes


@pytest.mark.parametrize("seed", range(40))
def test_random_graphs(seed):
    graph, feeds, _ = random_graph(seed)
    after = fuse(graph, fusible=is_native, finishes=(is_finishable, is_along))
    verify(after)
    expected = evaluate(graph.outputs, dict(zip(graph.inputs, feeds, strict=True)))
    tolerance = 1e-9 if feeds[0].dtype == "f8" else 2e-4
    for value, right in zip(run(NativeProgram(after, 2), feeds), expected, strict=True):
        np.testing.assert_allclose(value, right, rtol=tolerance, atol=tolerance)


def test_random_networks():
    """Chains of products of random shapes with random work between them, and their derivatives."""
    for seed in range(12):
        rng = np.random.default_rng(seed)
        width, rows = int(rng.integers(1, 50)), int(rng.integers(1, 70))
        x = h = gr.placeholder("x", (rows, width), "float64")
        parameters = []
        for layer in range(int(rng.integers(1, 4))):
            out = int(rng.integers(1, 60))
            shapes = {f"w{layer}": (width, out), f"b{layer}": (out,)}
            w, bias = (gr.placeholder(name, shape, "float64") for name, shape in shapes.items())
            parameters += [w, bias]
            h, width = h @ w + bias, out
            h = [gr.nn.relu, gr.square, lambda z: z * 0.5, gr.tanh, abs][int(rng.integers(5))](h)
        loss = gr.sum(h * h)
        check(loss, *gr.gradients(loss, [x, *parameters]))
