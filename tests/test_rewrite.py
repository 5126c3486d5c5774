"""The driver of rules ends, counts, keeps sharing, and copes with deep graphs."""

from dataclasses import replace

import pytest

import graphc as gr
from graphc.ir import Graph
from graphc.passes import DEFAULT
from graphc.passes.signs import signs, subtract_constant
from graphc.rewrite import Firings, RuleSet, apply_rules
from graphc.rules import rule
from graphc.sweep import FIRINGS_PER_NODE
from graphc.verify import verify


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
    """Chains of 4,000 nodes at the default recursion limit, with rules that fire at every one of them or at none."""
    x = y = gr.placeholder("x", (2, 2))
    for _ in range(2000):
        y = grow(y, x)
    result = DEFAULT.run(Graph([x], [y]), fast_math=fast_math)
    assert len(result.graph) <= 10_000
    assert not any(receipt.firings.stopped for receipt in result.receipts)


def test_what_rules_make_is_interned():
    """Two nodes that a rule makes equal are one at once, so that other rules see it: σ(x) σ(x) is σ(x)²."""
    x = gr.placeholder("x", (3,))
    logistic = lambda: 1 / (1 + gr.exp(-x))  # noqa: E731
    graph = DEFAULT.without("cse").run(Graph([x], [gr.maximum(logistic(), logistic())])).graph
    assert graph.outputs[0].op is gr.sigmoid


def test_what_becomes_its_own_operand_reads_it_no_longer():
    """An identity that goes had counted as a reader of what it passes on, which kept rules from replacing that."""
    s = gr.placeholder("s", (1,), "float64")
    ones = gr.transpose(gr.broadcast_to(gr.constant(1.0), (4,)), (0,))
    once = gr.passes.canonicalize(gr.Graph([s], [ones / s]))
    assert gr.passes.canonicalize(once).structure() == once.structure()
