"""Random graphs, with their gradients, keep their values through each pass and through all of them."""

import hypothesis
import pytest
import strategies
from hypothesis import given

from graphc.passes import DEFAULT
from graphc.pipeline import Pipeline
from graphc.testing_rules import check_pass
from graphc.validate import validate

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
