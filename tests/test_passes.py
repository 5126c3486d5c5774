"""What single passes do, and that all of them together write what an expert would."""

import math
from itertools import pairwise

import numpy as np
import pytest

import graphc as gr
from graphc.evaluate import evaluate
from graphc.ir import Graph
from graphc.passes import DEFAULT, MINIMAL
from graphc.passes.cse import cse
from graphc.passes.fold import fold
from graphc.passes.products import products
from graphc.passes.specialize import specialize
from graphc.rewrite import Firings
from graphc.testing_rules import check_pass
from graphc.validate import values_of
from graphc.verify import verify

# cse


def test_cse_merges_large_constants_and_commuted_operands():
    x = gr.placeholder("x", (1000,))
    data = np.arange(1000, dtype="float32")
    close = data.copy()
    close[1] = -1
    first, same, *others = (gr.constant(each) for each in (data, data.copy(), -data, close))
    graph = cse(Graph([x], [x + first, same + x, *(x + other for other in others)]))
    assert graph.outputs[0] is graph.outputs[1]
    assert len({*graph.outputs}) == 3


def test_cse_keeps_the_order_of_longer_sums():
    """(x + y) + z rounds differently from (z + y) + x."""
    x, y, z = (gr.placeholder(name, (3,)) for name in "xyz")
    graph = cse(Graph([x, y, z], [gr.add_n(x, y, z), gr.add_n(z, y, x), gr.add_n(x, y, z)]))
    assert graph.outputs[0] is graph.outputs[2] is not graph.outputs[1]


# fold


def folded(node, **options):
    firings = Firings()
    return fold(Graph(None, [node]), firings=firings, **options).outputs[0], firings


def test_fold_computes_what_bodies_compute():
    table = np.arange(6.0).reshape(2, 3)
    result, firings = folded(gr.exp(gr.constant(table)).T @ gr.sin(gr.constant(table)))
    assert firings.counts == {"exp": 1, "sin": 1, "transpose": 1, "matmul": 1}
    assert np.array_equal(result.attrs["value"], np.exp(table).T @ np.sin(table))


def test_fold_computes_from_operands_whose_elements_lie_in_order():
    """NumPy adds in the order of memory, so a sum of a view has other last bits."""
    rng = np.random.default_rng(0)
    columns = gr.transpose(gr.constant(rng.standard_normal((9, 5))))
    x = gr.placeholder("x", (), "float64")
    summed = [gr.sum(columns, 1), gr.logsumexp(columns, 1), columns @ gr.constant(rng.standard_normal((9, 1)))]
    for node in summed:
        assert np.array_equal(folded(node)[0].attrs["value"], values_of([node], {})[0])
    gr.compile([x], [node * x for node in summed], debug=True)(1.5)


def test_fold_keeps_repeated_numbers_views():
    result, firings = folded(gr.broadcast_to(gr.constant(1.0, "float32"), (1000, 1000)))
    assert result.op is gr.broadcast_to
    assert not firings.total


def test_fold_keeps_views_of_large_constants():
    result, _ = folded(gr.constant(np.zeros((100, 100))).T)
    assert result.op is gr.transpose


def test_fold_leaves_errors_to_run_time():
    result, firings = folded(gr.constant(np.array([2, 3])) ** gr.constant(np.array([-1, 2])))
    assert result.op is gr.power
    assert "Integers to negative integer powers" in next(iter(firings.declined))


def test_fold_stops_at_its_budget_and_says_so():
    big = gr.exp(gr.constant(np.zeros(1000)))
    result, firings = folded(big, max_bytes=7999)
    assert result.op is gr.exp
    assert firings.stopped == "exp : f64[1000] was left to run time: it passes max_bytes"
    assert folded(big, max_bytes=8000)[0].attrs["value"].size == 1000
    result, firings = folded(big, max_seconds=0.0)
    assert result.op is gr.exp
    assert firings.stopped == "exp : f64[1000] was left to run time: no seconds left of max_seconds"


def test_fold_keeps_names():
    assert folded((gr.constant(2.0) * 3).named("six"))[0].name == "six"


# products


def shapes_of_products(graph):
    return [node.shape for node in graph.nodes if node.op is gr.matmul]


def matrices(*shapes):
    return [gr.placeholder(f"m{i}", shape, "float64") for i, shape in enumerate(shapes)]


def test_products_end_in_the_vector():
    a, b, v = matrices((50, 40), (40, 60), (60,))
    graph = Graph([a, b, v], [(a @ b) @ v])
    assert products(graph, fast_math=False) is graph
    assert shapes_of_products(check_pass(products, graph, fast_math=True)) == [(40,), (50,)]


def test_products_start_in_the_row():
    v, a, b = matrices((50,), (50, 40), (40, 60))
    assert shapes_of_products(check_pass(products, Graph([v, a, b], [v @ (a @ b)]), fast_math=True)) == [(40,), (60,)]


def test_products_take_the_textbook_order():
    """Cormen et al., section 15.2: ((A1 (A2 A3)) ((A4 A5) A6)) takes 15,125 multiplications."""
    dims = (30, 35, 15, 5, 10, 20, 25)
    factors = matrices(*pairwise(dims))
    product = factors[0]
    for factor in factors[1:]:
        product = product @ factor
    graph = check_pass(products, Graph(factors, [product]), fast_math=True)
    assert sum(math.prod(node.inputs[0].shape) * node.shape[1] for node in graph.nodes if node.inputs) == 15125


def test_products_that_others_read_stay():
    a, b, v = matrices((50, 40), (40, 60), (60,))
    both = a @ b
    graph = Graph([a, b, v], [both @ v, both])
    assert products(graph, fast_math=True).outputs[0].inputs[0].op is gr.matmul


def test_a_column_that_becomes_a_row_ends_a_chain():
    a, v, b, c = matrices((9, 3), (3,), (9, 20), (20, 2))
    graph = check_pass(products, Graph([a, v, b, c], [((a @ v) @ b) @ c]), fast_math=True)
    assert graph.outputs[0].shape == (2,)


@pytest.mark.parametrize("columns", [(), (1,)])
def test_long_chains_are_ordered_window_by_window(columns):
    dims = [3 + i % 7 for i in range(200)]
    factors = matrices(*pairwise(dims), (dims[-1], *columns))
    product = factors[0]
    for factor in factors[1:]:
        product = product @ factor / 4
    check_pass(products, Graph(factors, [product]), fast_math=True)
    chain = factors[0]
    for factor in factors[1:]:
        chain = chain @ factor
    graph = products(Graph(factors, [chain]), fast_math=True)
    assert all(node.shape[1:] == columns for node in graph.nodes if node.op is gr.matmul)


# specialize


def test_specialize_substitutes_in_attributes_too():
    x = gr.placeholder("x", ("n", "m"))
    flat = gr.reshape(x, (x.shape[0] * x.shape[1],))
    graph = specialize(Graph([x], [flat, gr.ones_like(x)]), sizes={"n": 3, "m": 4})
    verify(graph)
    assert [node.shape for node in graph.outputs] == [(12,), (3, 4)]
    assert graph.inputs[0].name == "x"


def test_specialize_checks_what_was_taken_as_equal():
    x, y = gr.placeholder("x", ("n", 3)), gr.placeholder("y", ("m", 3))
    graph = Graph([x, y], [x * y])
    assert specialize(graph, sizes={"n": 2, "m": 2}).outputs[0].shape == (2, 3)
    with pytest.raises(gr.ShapeError) as caught:
        specialize(graph, sizes={"n": 2, "m": 4})
    assert "multiply" in str(caught.value)
    with pytest.raises(gr.ShapeError, match="with n = 2, m = 1"):
        specialize(graph, sizes={"n": 2, "m": 1})


def test_minimal_runs_the_graph_as_declared():
    x = gr.placeholder("x", ("n",))
    f = gr.compile([x], -(-x) * 1, pipeline=MINIMAL, backend="numpy")  # noqa: B002
    assert np.array_equal(f(np.arange(3.0, dtype="float32")), np.arange(3.0))
    assert [node.op.name for node in f.graph.nodes] == ["placeholder", "negative", "negative", "constant", "multiply"]


# What an expert would write.


def ops_after(*outputs, **context):
    graph = DEFAULT.run(Graph(None, outputs), **context).graph
    return [node.op.name for node in graph.nodes if node.inputs]


def test_gradient_of_softmax_is_the_textbooks():
    x, g = gr.placeholder("x", (3, 4)), gr.placeholder("g", (3, 4))
    gradient = gr.gradients(gr.nn.softmax(x), [x], seed=g)[0]
    assert ops_after(gradient) == ["max", "subtract", "exp", "sum", "divide", "multiply", "sum", "subtract", "multiply"]


def test_gradient_of_naive_log_softmax_survives_underflow():
    x, g = gr.placeholder("x", (1, 3)), gr.placeholder("g", (1, 3))
    naive = gr.log(gr.exp(x) / gr.sum(gr.exp(x), 1, keepdims=True))
    outputs = [naive, gr.gradients(naive, [x], seed=g)[0]]
    f = gr.compile([x, g], outputs)
    value, slope = f(np.array([[0, 1000, -1000]], "float32"), np.ones((1, 3), "float32"))
    assert np.array_equal(value, [[-1000, 0, -2000]])
    assert np.array_equal(slope, [[1, -2, 1]])


def test_gradient_of_naive_logistic_loss_survives_overflow():
    z, t = gr.placeholder("z", (4,)), gr.placeholder("t", (4,))
    p = 1 / (1 + gr.exp(-z))
    loss = -gr.sum(t * gr.log(p) + (1 - t) * gr.log(1 - p))
    f = gr.compile([z, t], [loss, *gr.gradients(loss, [z])])
    value, slope = f(np.array([-1000, 1000, -1000, 1000], "float32"), np.array([0, 1, 1, 0], "float32"))
    assert value == 2000
    assert np.array_equal(slope, [0, 0, -1, 1])


def test_variables_are_read_as_they_are():
    v = gr.variable("v", np.ones(3), "float32")
    after = DEFAULT.run(Graph([], [v * 1, gr.exp(v)])).graph
    assert after.outputs[0] is v
    assert np.array_equal(evaluate([after.outputs[0]])[0], np.ones(3))
