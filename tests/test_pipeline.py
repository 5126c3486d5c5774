"""Pipelines print and parse, say what they did, and name the pass that failed."""

import functools

import pytest

import graphc as gr
from graphc.ir import Graph
from graphc.passes import DEFAULT
from graphc.passes.cse import cse
from graphc.passes.signs import signs
from graphc.pipeline import Pass, Pipeline, graph_pass


def test_text_round_trips():
    text = "specialize, canonicalize, fold{max_bytes=1000, max_seconds=0.5}, algebra{fast_math=True}, cse"
    assert str(gr.passes.parse(text)) == text
    assert gr.passes.parse(str(DEFAULT)) == DEFAULT
    assert gr.passes.parse("") == ()


def test_the_name_printed_is_the_name_that_disables():
    for name in {one.name for one in DEFAULT}:
        assert name not in str(DEFAULT.without(name)).split(", ")
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


def test_a_pass_of_any_callable_gets_the_context_that_it_takes():
    """A function of its own, and where the parameters are another one's: of a partial, of a wrapper, of an object."""

    def sized(graph, *, sizes, **others):
        seen.append((sizes, others))
        return graph

    class Sized:
        def __call__(self, graph, *, sizes):
            return sized(graph, sizes=sizes)

    seen, graph = [], Graph([], [gr.ones((3,))])
    wrapper = functools.wraps(sized)(lambda *args, **named: sized(*args, **named))
    for function in (sized, functools.partial(sized), wrapper, Sized(), Sized().__call__):
        assert Pass("sized", function)(graph, sizes={"n": 3}, fast_math=True) is graph
    assert seen == [({"n": 3}, {})] * 5


FORGETFUL = [
    (lambda graph: None, "expected a pass to return a graph, got None"),
    (lambda graph: Graph(graph.inputs, []), "expected a pass to keep 1 outputs, got 0"),
    (lambda graph: Graph(graph.inputs, [gr.sum(graph.outputs[0])]), r"keep an output's type f32\[3\], got f32\[\]"),
    (lambda graph: Graph(graph.inputs, [graph.outputs[0].astype("f64")]), "keep an output's type"),
    (lambda graph: Graph([gr.placeholder("y", (3,))], [gr.ones((3,))]), "keep the graph's inputs"),
]


@pytest.mark.parametrize(("function", "problem"), FORGETFUL)
def test_a_pass_keeps_inputs_and_the_types_of_outputs(function, problem):
    x = gr.placeholder("x", (3,))
    with pytest.raises(gr.CompileError, match=f"pass wrong failed: .*{problem}"):
        Pipeline((Pass("wrong", lambda graph: function(graph)),)).run(Graph([x], [gr.tanh(x)]))


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
