"""Small products that belong together become one, and slices of their results take the place of each."""

import numpy as np
import pytest

import graphc as gr
from graphc.evaluate import evaluate
from graphc.ir import Graph
from graphc.op import OPS
from graphc.passes.batch_products import MOST_WORK, batch_products
from graphc.passes.cse import cse
from graphc.passes.pieces import pieces
from graphc.rewrite import Firings
from graphc.verify import verify

RNG = np.random.default_rng(0)


def batched(*outputs):
    """What the passes make of a graph, checked against it on random operands."""
    graph = Graph(None, outputs)
    after = cse(pieces(batch_products(graph)))
    verify(after)
    feed = {node: RNG.standard_normal(node.shape).astype(node.dtype) for node in graph.inputs}
    moved = dict(zip(after.inputs, feed.values(), strict=True))
    for value, right in zip(evaluate(after.outputs, moved), evaluate(graph.outputs, feed), strict=True):
        np.testing.assert_allclose(value, right, rtol=1e-4, atol=1e-5)
    return after


def count(graph, name):
    return sum(node.op is OPS[name] for node in graph.nodes)


def matrix(name, *shape):
    return gr.placeholder(name, shape)


def test_slices_of_one_array_are_multiplied_at_once_and_nothing_is_copied():
    x, w = matrix("x", 5, 4, 8), matrix("w", 8, 3)
    after = batched(*[gr.tanh(x[t] @ w) for t in (3, 0, 4, 1, 2)])
    assert count(after, "matmul") == 1
    assert count(after, "concatenate") == 0


def test_other_rows_are_copied_where_columns_repay_it():
    left, narrow, wide = [matrix(f"a{i}", 4, 8) for i in range(3)], matrix("n", 8, 3), matrix("w", 8, 64)
    assert count(batched(*[a @ narrow for a in left]), "matmul") == 3
    after = batched(*[a @ wide for a in left])
    assert (count(after, "matmul"), count(after, "concatenate")) == (1, 1)


def test_products_that_need_each_other_stay():
    h, w = matrix("h", 4, 8), matrix("w", 8, 8)
    x = matrix("x", 2, 4, 8)
    first = gr.tanh(x[0] @ w)
    after = batched(first, gr.tanh(first @ w) + x[1] @ w, h)
    assert count(after, "matmul") == 2


def test_a_sum_of_products_is_one_over_all_of_their_k():
    x, g = matrix("x", 3, 16, 8), [matrix(f"g{t}", 16, 32) for t in range(3)]
    for names in ((0, 1, 2), (2, 0, 1)):
        after = batched(gr.add_n(*[x[t].T @ g[t] for t in names]))
        assert (count(after, "matmul"), count(after, "concatenate"), count(after, "add_n")) == (1, 1, 0)


def test_what_else_is_added_stays_a_term():
    a, b, c, d, rest = (matrix(name, 8, 8) for name in "abcde")
    after = batched(gr.add_n(a @ b, rest, c @ d))
    assert (count(after, "matmul"), count(after, "add_n") + count(after, "add")) == (1, 1)


def test_a_product_that_others_read_stays_a_term():
    a, b, c, d = (matrix(name, 8, 8) for name in "abcd")
    product = a @ b
    assert count(batched(product + c @ d, product), "matmul") == 2


def test_long_k_is_not_copied():
    a, b, c, d = matrix("a", 4, 100), matrix("b", 100, 4), matrix("c", 4, 100), matrix("d", 100, 4)
    assert count(batched(a @ b + c @ d), "matmul") == 2


def test_large_products_stay():
    size = round((2 * MOST_WORK) ** (1 / 3))
    a, b, c, d = (matrix(name, size, size) for name in "abcd")
    graph = Graph(None, [a @ b + c @ d, a @ d])
    assert batch_products(graph) is graph


def test_sums_over_the_same_factors_share_their_concatenation():
    x, g = matrix("x", 3, 16, 8), [matrix(f"g{t}", 16, 32) for t in range(3)]
    h = [matrix(f"h{t}", 16, 24) for t in range(3)]
    order = (2, 1, 0)
    outputs = [gr.add_n(*[left.T @ g[t] for t, left in ((t, lefts[t]) for t in order)]) for lefts in (h, x)]
    after = batched(*outputs, gr.add_n(*[gr.sum(g[t], axis=0) for t in order]))
    assert (count(after, "matmul"), count(after, "sum")) == (2, 1)
    assert sum(node.op is OPS["concatenate"] and len(node.inputs) == 3 for node in after.nodes) == 2  # of g, and of h


def test_the_limit_holds():
    x, w = matrix("x", 5, 4, 8), matrix("w", 8, 3)
    graph = Graph(None, [x[t] @ w for t in range(5)])
    assert batch_products(graph, firings=Firings(limit=0)) is graph


@pytest.mark.parametrize("steps", [2, 5])
def test_an_unrolled_loop_multiplies_its_inputs_and_its_derivatives_once(steps):
    x, (u, w) = matrix("x", steps, 4, 32), [gr.variable(name, np.eye(32, dtype="f4")) for name in "uw"]
    h = gr.constant(np.ones((4, 32), "f4"))
    for t in range(steps):
        h = gr.tanh(x[t] @ w + h @ u)
    f = gr.compile([x], [h, *gr.gradients(gr.sum(h), [u, w])], backend="numpy")
    value = RNG.standard_normal((steps, 4, 32)).astype("f4")
    f(value)
    assert count(f.graph, "matmul") == 1 + steps + (steps - 1) + 2
    reference = gr.compile([x], [h, *gr.gradients(gr.sum(h), [u, w])], backend="numpy", pipeline="specialize")
    for one, other in zip(f(value), reference(value), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)
