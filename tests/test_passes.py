"""Passes keep what graphs compute, pipelines say what they did, and the drivers end."""

import math
from dataclasses import replace
from itertools import pairwise

import hypothesis
import numpy as np
import pytest
import strategies
from hypothesis import given

import graphc as gr
from graphc.evaluate import evaluate
from graphc.ir import Graph
from graphc.passes import DEFAULT, MINIMAL
from graphc.passes.cse import cse
from graphc.passes.fold import fold
from graphc.passes.products import products
from graphc.passes.signs import RULES as SIGNS
from graphc.passes.signs import signs, subtract_constant
from graphc.passes.specialize import specialize
from graphc.pipeline import Pipeline, graph_pass
from graphc.rewrite import Firings, RuleSet, apply_rules
from graphc.rules import rule
from graphc.sweep import FIRINGS_PER_NODE
from graphc.testing_rules import check_pass
from graphc.validate import validate
from graphc.verify import verify

settings = hypothesis.settings(derandomize=True, deadline=None, max_examples=60, database=None)
PASSES = list({one.name: one for one in DEFAULT}.values())
EXACT = Pipeline(one for one in DEFAULT if one.kind == "exact")


def stages(graph, pipeline=DEFAULT, **context):
    return pipeline.run(graph, sizes={}, checked=True, keep_stages=True, **context).stages


# Random graphs: no passes, each pass, all passes.


@settings
@given(strategies.programs())
def test_exact_passes_keep_every_bit(program):
    """Of values and gradients, also beside zeros of either sign, infinities, subnormals and NaN."""
    for graph in (program.graph(), program.graph(gradient=True)):
        for special in (False, True):
            validate(stages(graph, EXACT), dict(zip(graph.inputs, program.feed(special=special), strict=True)))


@settings
@given(strategies.programs())
def test_all_passes_keep_values(program):
    for graph in (program.graph(), program.graph(gradient=True)):
        validate(stages(graph), dict(zip(graph.inputs, program.feed(), strict=True)))


@settings
@given(strategies.programs())
def test_fast_math_keeps_values_up_to_rounding(program):
    for graph in (program.graph(), program.graph(gradient=True)):
        validate(stages(graph, fast_math=True), dict(zip(graph.inputs, program.feed(), strict=True)))


@pytest.mark.slow
@hypothesis.settings(settings, max_examples=3000)
@given(strategies.programs(30))
def test_large_random_graphs(program):
    for graph in (program.graph(), program.graph(gradient=True)):
        feed = dict(zip(graph.inputs, program.feed(), strict=True))
        validate(stages(graph, EXACT), dict(zip(graph.inputs, program.feed(special=True), strict=True)))
        for fast_math in (False, True):
            validate(stages(graph, fast_math=fast_math), feed)


@pytest.mark.parametrize("one", PASSES, ids=lambda one: one.name)
@settings
@given(strategies.programs())
def test_each_pass_alone_does_all_its_work_at_once(one, program):
    graph = program.graph(gradient=True)
    feed = dict(zip(graph.inputs, program.feed(), strict=True))
    check_pass(one, graph, feed, idempotent=True)


# Pipelines.


def test_text_round_trips():
    text = "specialize, canonicalize, fold{max_bytes=1000, max_seconds=0.5}, algebra{fast_math=True}, cse"
    assert str(gr.passes.parse(text)) == text
    assert gr.passes.parse(str(DEFAULT)) == DEFAULT
    assert gr.passes.parse("") == ()


def test_the_name_printed_is_the_name_that_disables():
    for one in PASSES:
        assert one.name not in str(DEFAULT.without(one.name)).split(", ")
    assert DEFAULT.until("canonicalize") == DEFAULT[:2]


@pytest.mark.parametrize(("text", "message"), [
    ("canonicalise", "there is no pass canonicalise"), ("cse{size=3}", "pass cse has no option size"),
    ("fold{max_bytes=many}", "expected a number, True, False or None"), ("cse; fold", "expected a pass at"),
])  # fmt: skip
def test_texts_that_are_no_pipeline(text, message):
    with pytest.raises(gr.CompileError, match=message):
        gr.passes.parse(text)


def test_without_an_unknown_pass():
    with pytest.raises(gr.CompileError, match="has no pass fuze"):
        DEFAULT.without("fuze")


def test_options_stand_before_context():
    x = gr.placeholder("x", (3,))
    graph = Graph([x], [x - x])
    assert len(gr.passes.parse("algebra{fast_math=False}").run(graph, fast_math=True).graph) == 2
    assert gr.passes.parse("algebra").run(graph, fast_math=True).graph.outputs[0].op is gr.broadcast_to


def test_receipts():
    x = gr.placeholder("x", (3,))
    result = Pipeline((signs, cse)).run(Graph([x], [-(-x) + 1]))  # noqa: B002
    first, second = result.receipts
    assert (first.name, first.before, first.after, first.firings.counts) == ("signs", 5, 3, {"negative_of_negative": 1})
    assert (second.name, second.before, second.after) == ("cse", 3, 3)
    assert first.seconds > 0


def test_where_each_node_went():
    x = gr.placeholder("x", ("n",))
    twice, again = gr.tanh(x) * 1, gr.tanh(x)
    total = gr.sum(twice + again)
    result = DEFAULT.run(Graph([x], [total]), sizes={"n": 3})
    moved = result.moved
    assert moved[x] is result.graph.inputs[0]
    assert moved[twice] is moved[again] is moved[twice.inputs[0]]
    assert moved[total] is result.graph.outputs[0]
    assert moved[total].origin is total.origin


def test_replacements_have_the_origin_and_name_of_what_they_replace():
    x = gr.placeholder("x", (3,))
    here = (1 / (1 + gr.exp(-x))).named("share")
    after = DEFAULT.run(Graph([x], [here])).graph.outputs[0]
    assert (after.op, after.name) == (gr.sigmoid, "share")
    assert after.origin.where() == here.origin.where() != ""


def test_an_operand_that_stands_for_a_result_keeps_its_own_name():
    x = gr.placeholder("x", (3,))
    inner = gr.tanh(x).named("inner")
    assert DEFAULT.run(Graph([x], [(inner * 1).named("outer")])).graph.outputs[0] is inner


def test_a_graph_that_no_pass_changes_stays_the_same_graph():
    x = gr.placeholder("x", (3,))
    graph = Graph([x], [gr.sum(gr.tanh(x))])
    result = DEFAULT.run(graph)
    assert result.graph is graph
    assert result.moved.get(graph.outputs[0], graph.outputs[0]) is graph.outputs[0]


@graph_pass
def broken(graph: Graph) -> Graph:
    """A pass that fails."""
    raise RuntimeError("no idea")


@graph_pass
def mistyped(graph: Graph) -> Graph:
    """A pass whose result is not well formed."""
    return Graph(graph.inputs, [graph.outputs[0].replace(type=graph.inputs[0].type.with_dtype("int8"))])


@pytest.mark.parametrize(("one", "problem"), [
    (broken, "RuntimeError: no idea"), (mistyped, "expected tanh to have type")])  # fmt: skip
def test_a_failure_names_the_pass_those_before_it_and_its_input(one, problem):
    x = gr.placeholder("x", (3,))
    with pytest.raises(gr.CompileError, match=f"pass {one.name} failed after cse: .*{problem}") as caught:
        Pipeline((cse, one)).run(Graph([x], [gr.tanh(x)]), checked=True)
    path = str(caught.value).split("saved in ")[1].split(";")[0]
    with open(path, encoding="utf-8") as saved:
        assert gr.parse(saved.read()).outputs[0].op is gr.tanh


def test_the_users_errors_pass_through():
    x, y = gr.placeholder("x", ("n",)), gr.placeholder("y", ("m",))
    with pytest.raises(gr.ShapeError, match="3 and 4"):
        DEFAULT.run(Graph([x, y], [x + y]), sizes={"n": 3, "m": 4})


# Drivers.


@rule
def never_ends(x):
    """tanh(x) = tanh(tanh(x)), say"""
    return gr.tanh(x), gr.tanh(gr.tanh(x))


def test_rules_without_end_are_stopped_and_it_is_said():
    x = gr.placeholder("x", (3,))
    firings = Firings()
    rules = RuleSet([replace(never_ends, kind="stabilizing"), subtract_constant])
    verify(apply_rules(Graph([x], [gr.exp(gr.tanh(x)), x - 1]), rules, firings))
    assert firings.stopped == f"stopped after {FIRINGS_PER_NODE} firings for one node, the last being never_ends"
    assert firings.counts["subtract_constant"] == 1


def test_a_limit_stops_firing():
    x = gr.placeholder("x", (3,))
    graph = Graph([x], [gr.negative(gr.negative(gr.tanh(gr.negative(gr.negative(x)))))])
    for limit in range(3):
        firings = Firings(limit=limit)
        assert len(signs(graph, firings=firings)) == 6 - 2 * limit
        assert firings.total == limit


def test_a_rule_is_declined_where_others_read_what_it_would_replace():
    factor, firings = gr.passes.parse("reassociate{fast_math=True}")[0], Firings()
    a, b, c = (gr.placeholder(name, (1000,)) for name in "abc")
    left, right = a * b, a * c
    assert factor(Graph([a, b, c], [left + right]), firings=firings).outputs[0].op is gr.multiply
    assert factor(Graph([a, b, c], [left + right, left, right]), firings=firings).outputs[0].op is gr.add
    assert firings.declined == {"common_factor_of_sum: others read what it would replace, so it would add work": 1}


@pytest.mark.parametrize("grow", [
    lambda y, x: gr.tanh(y) * x, lambda y, x: gr.negative(gr.negative(y)), lambda y, x: y * 1.0, lambda y, x: y - 1.0,
    lambda y, x: y + y, lambda y, x: (y * 3.0) + x, lambda y, x: gr.transpose(gr.exp(gr.transpose(y))),
    lambda y, x: y @ x, lambda y, x: gr.broadcast_to(gr.expand_dims(y, 0), (1, 2, 2))[0], lambda y, x: 1.0 - y,
])  # fmt: skip
@pytest.mark.parametrize("fast_math", [False, True])
def test_deep_graphs(grow, fast_math):
    """Chains of 10,000 nodes at the default recursion limit, with rules that fire at every one of them or at none."""
    x = y = gr.placeholder("x", (2, 2))
    for _ in range(5000):
        y = grow(y, x)
    result = DEFAULT.run(Graph([x], [y]), fast_math=fast_math)
    assert len(result.graph) <= 25_000
    assert not any(receipt.firings.stopped for receipt in result.receipts)


def test_what_rules_make_is_interned():
    """Two nodes that a rule makes equal are one at once, so that other rules see it: σ(x) σ(x) is σ(x)²."""
    x = gr.placeholder("x", (3,))
    logistic = lambda: 1 / (1 + gr.exp(-x))  # noqa: E731
    graph = DEFAULT.without("cse").run(Graph([x], [gr.maximum(logistic(), logistic())])).graph
    assert graph.outputs[0].op is gr.sigmoid


# cse


def test_cse_merges_large_constants_and_commuted_operands():
    x = gr.placeholder("x", (1000,))
    data = np.arange(1000, dtype="float32")
    graph = cse(Graph([x], [x + gr.constant(data), gr.constant(data.copy()) + x, gr.constant(-data) + x]))
    assert graph.outputs[0] is graph.outputs[1] is not graph.outputs[2]


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
    f = gr.compile([x], -(-x) * 1, pipeline=MINIMAL)  # noqa: B002
    assert np.array_equal(f(np.arange(3.0, dtype="float32")), np.arange(3.0))
    assert [node.op.name for node in f.graph.nodes] == ["placeholder", "negative", "negative", "constant", "multiply"]


# Translation validation: planted faults.


@rule
def planted_rule(x):
    """tanh(x) = x, which holds at 0 only"""
    return gr.tanh(x), x


PLANTED = RuleSet([*SIGNS.rules, planted_rule])


@graph_pass
def planted(graph: Graph, *, firings: Firings | None = None) -> Graph:
    """Signs, with one rule that is wrong."""
    return apply_rules(graph, PLANTED, firings)


@graph_pass
def swapped(graph: Graph) -> Graph:
    """A pass that mixes up its outputs."""
    return Graph(graph.inputs, graph.outputs[::-1])


def test_validation_names_the_first_wrong_pass_and_rule():
    x = gr.placeholder("x", (3,))
    y = gr.negative(gr.negative(gr.exp(-(gr.negative(x)))))
    f = gr.compile([x], gr.tanh(y) - 1, pipeline=Pipeline((cse, planted, signs)), debug=True)
    message = r"pass planted changed the value of output 0 by rule planted_rule \(firing 3 of 4\): it was"
    with pytest.raises(gr.CompileError, match=message):
        f(np.ones(3, "float32"))


def test_validation_names_a_pass_without_rules():
    x = gr.placeholder("x", (3,))
    f = gr.compile([x], [x + 1, x + 2], pipeline=Pipeline((swapped, cse)), debug=True)
    with pytest.raises(gr.CompileError, match="pass swapped changed the value of output 0: it was"):
        f(np.ones(3, "float32"))


def test_validation_sees_one_bit_where_a_pass_is_exact():
    @rule
    def nearly(x, y):
        """x y y = x y²"""
        return x * y * y, x * gr.square(y)

    @graph_pass
    def exact(graph: Graph, *, firings: Firings | None = None) -> Graph:
        """A pass that rounds once less."""
        return apply_rules(graph, RuleSet([nearly]), firings)

    x, y = gr.placeholder("x", (99,), "float64"), gr.placeholder("y", (99,), "float64")
    graph = Graph([x, y], [x * y * y])
    rng = np.random.default_rng(0)
    feed = {x: rng.standard_normal(99), y: rng.standard_normal(99)}
    with pytest.raises(gr.CompileError, match="by rule nearly"):
        validate(stages(graph, Pipeline((exact,))), feed)
    validate(stages(graph, Pipeline((replace(exact, kind="fast"),))), feed)


def test_validation_reads_variables_and_passes_what_is_right():
    w = gr.variable("w", np.ones((4, 2)), "float32")
    x, t = gr.placeholder("x", ("n", 4)), gr.placeholder("t", ("n",), "int64")
    loss = gr.losses.softmax_cross_entropy(x @ w, t)
    step = gr.compile([x, t], loss, updates=gr.optim.adam(loss, [w]), debug=True)
    rng = np.random.default_rng(0)
    for _ in range(3):
        step(rng.standard_normal((5, 4)).astype("float32"), rng.integers(0, 2, 5))


def test_check_pass_sees_a_wrong_pass():
    x = gr.placeholder("x", (3,))
    with pytest.raises(gr.CompileError, match="pass planted changed output 0"):
        check_pass(planted, Graph([x], [gr.tanh(x)]))
    with pytest.raises(gr.CompileError, match="pass swapped changed output 0"):
        check_pass(swapped, Graph([x], [x + 1, x + 2]))


def test_check_pass_sees_one_that_needs_two_runs():
    @graph_pass
    def lazy(graph: Graph, *, firings: Firings | None = None) -> Graph:
        """Signs, one at a time."""
        return signs.function(graph, firings=Firings(limit=1))

    x = gr.placeholder("x", (3,))
    graph = Graph([x], [gr.tanh(gr.negative(gr.negative(gr.tanh(gr.negative(gr.negative(x))))))])
    with pytest.raises(gr.CompileError, match="pass lazy changes its own result"):
        check_pass(lazy, graph, idempotent=True)


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
