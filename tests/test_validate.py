"""Translation validation and check_pass name the pass and the rule at fault: planted faults."""

from dataclasses import replace

import numpy as np
import pytest

import graphc as gr
from graphc.ir import Graph
from graphc.passes.cse import cse
from graphc.passes.signs import RULES as SIGNS
from graphc.passes.signs import signs
from graphc.pipeline import Pipeline, graph_pass
from graphc.rewrite import Firings, RuleSet, apply_rules
from graphc.rules import rule
from graphc.testing_rules import check_pass
from graphc.validate import validate


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
        validate(Pipeline((exact,)).run(graph, keep_stages=True).stages, feed)
    validate(Pipeline((replace(exact, kind="fast"),)).run(graph, keep_stages=True).stages, feed)


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
