"""Text: what is printed reads back as the same graph, under the same names."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from texts import round_trip

import graphc as gr
from graphc.op import OPS
from graphc.text import parse, to_text, value_names


def test_a_graph_reads_like_the_code_that_made_it():
    x = gr.placeholder("x", ("batch", 784))
    y = gr.placeholder("y", ("batch",), "int64")
    W = gr.variable("W", np.zeros((784, 10), "f4"))
    with gr.scope("head"):
        logits = (x @ W).named("logits")
    graph = gr.Graph([x, y], [gr.sum(gr.tanh(logits) * 0.1, axis=0)], "mlp")
    assert str(round_trip(graph)) == (
        "graph mlp(%x: f32[batch, 784], %y: i64[batch]) {\n"
        "  %W = variable : f32[784, 10]\n"
        "  %head/logits = matmul(%x, %W) : f32[batch, 10]\n"
        "  %tanh = tanh(%head/logits) : f32[batch, 10]\n"
        "  %constant = constant(0.1) : f32[]\n"
        "  %multiply = multiply(%tanh, %constant) : f32[batch, 10]\n"
        "  %sum = sum(%multiply) {axis=(0,), keepdims=False} : f32[10]\n"
        "  return %sum\n"
        "}"
    )


@pytest.mark.parametrize("name", [None, "plain", "two words", "it's", 'say "so"', "", "a\nb", "ö", "graph", "(", "#"])
def test_graphs_keep_their_names(name):
    x = gr.placeholder("x")
    assert round_trip(gr.Graph([x], [x], name)).name == name


def test_no_outputs_and_no_inputs():
    round_trip(gr.Graph([], []))
    round_trip(gr.Graph([gr.placeholder("unused")], []))


def test_the_same_output_twice():
    x = gr.placeholder("x")
    round_trip(gr.Graph([x], [x, gr.exp(x), x]))


# Names.


def names(*outputs):
    graph = gr.Graph(None, outputs)
    found = value_names(graph.nodes)
    round_trip(graph)
    return [found[node] for node in graph.nodes]


def test_names_are_different():
    x = gr.placeholder("x")
    a, b = gr.exp(x).named("logits"), gr.sin(x).named("logits")
    assert names(a, b, gr.tanh(x), gr.tanh(a)) == ["%x", "%logits", "%logits_1", "%tanh", "%tanh_1"]


def test_inputs_keep_their_names_for_feeds():
    x = gr.placeholder("tanh_1")
    assert names(gr.exp(x).named("tanh_1"), gr.tanh(x), gr.tanh(x)) == ["%tanh_1", "%tanh_1_1", "%tanh", "%tanh_2"]


def test_users_names_that_look_made_survive():
    x = gr.placeholder("x")
    first = gr.tanh(x)
    assert names(first, gr.tanh(first).named("tanh"), gr.tanh(x)) == ["%x", "%tanh_1", "%tanh", "%tanh_2"]
    assert names(first, gr.exp(first).named("tanh_2"), gr.tanh(x)) == ["%x", "%tanh", "%tanh_2", "%tanh_1"]


def test_names_that_text_cannot_hold_are_changed():
    x = gr.placeholder("x")
    assert names(gr.exp(x).replace(name="a b%{"), gr.exp(x).replace(name="")) == ["%x", "%a_b__", "%_"]


some_names = st.sampled_from([None, "exp", "exp_1", "tanh", "tanh_1", "tanh_1_1", "x"])


@given(st.lists(st.tuples(st.sampled_from(["exp", "tanh"]), some_names), max_size=8))
def test_any_names_read_back(nodes):
    value = gr.placeholder("x")
    outputs = []
    for op, name in nodes:
        made = OPS[op](value)
        value = made.named(name) if name else made
        outputs.insert(0, value)
    round_trip(gr.Graph(None, outputs))


def test_handwritten_names_stay():
    graph = parse("graph(%x: f32[]) { %a = tanh(%x) : f32[] %tanh_7 = tanh(%a) : f32[] return %tanh_7, %a }")
    assert [node.name for node in graph.nodes] == ["x", "a", "tanh_7"]
    assert parse("graph(%x: f32[]) { %tanh = tanh(%x) : f32[] return %tanh }").outputs[0].name is None


# Reading.


def test_comments_are_for_people():
    x = gr.placeholder("x", 3)
    graph = gr.Graph([x], [gr.exp(gr.tanh(x))])
    remarks = {"exp": "about exp:\n%exp # {"}
    text = to_text(graph, comments=lambda node: remarks.get(node.op.name, ""))
    assert "  %exp = exp(%tanh) : f32[3]  # about exp: %exp # {\n" in text
    assert "tanh(%x) : f32[3]\n" in text
    assert parse("# before\n" + text + "  # behind\n").structure() == graph.structure()


def test_short_text_is_for_people():
    graph = gr.Graph([], [gr.constant(np.arange(1000.0)), gr.constant([1.0, 2.0, 3.0])])
    text = to_text(graph, short=True)
    assert "constant(0.0, 1.0, 2.0, …) : f64[1000]" in text
    assert "constant(1.0, 2.0, 3.0) : f64[3]" in text
    with pytest.raises(gr.FormatError, match="short=True"):
        parse(text)


def test_nodes_know_their_line_of_the_text():
    graph = parse("graph(%x: f32[]) {\n\n  %tanh = tanh(%x) : f32[]\n  return %tanh\n}", source="model.txt")
    assert graph.outputs[0].origin.where() == "model.txt:3"


def test_variables_come_without_a_value():
    graph = parse("graph() {\n  %W = variable : f32[2]\n  return %W\n}")
    with pytest.raises(gr.GraphError, match="no value yet"):
        _ = graph.variables[0].value
    graph.variables[0].value = [1.0, 2.0]
    assert graph.outputs[0].eval().tolist() == [1.0, 2.0]


@pytest.mark.parametrize("backend", ["auto", "numpy"])
@pytest.mark.parametrize("size", [3, 1 << 21])
def test_variables_without_a_value_are_not_updated_either(backend, size):
    """No array says how large the next one is: native code wrote beyond it."""
    (v,) = parse(f"graph() {{\n  %v = variable : f64[{size}]\n  return %v\n}}").variables
    x, w = gr.placeholder("x", (size,), "float64"), gr.variable("w", np.zeros(size))
    f = gr.compile([x], [], updates={v: x * 2, w: w + x}, backend=backend)
    for _ in range(2):
        with pytest.raises(gr.GraphError, match="no value yet"):
            f(np.ones(size))
    v.value = np.zeros(size)
    f(np.ones(size))
    np.testing.assert_array_equal(v.value, np.full(size, 2.0))
    np.testing.assert_array_equal(w.value, np.ones(size))


def test_text_holds_no_lines_of_the_user():
    assert ".py" not in str(gr.Graph(None, [gr.exp(gr.placeholder("x"))]))


def chain(length):
    x = gr.placeholder("x", 3)
    y = x
    for i in range(length // 2):
        y = gr.tanh(y)
        y = y * x if i % 3 else y + 1.5
    return gr.Graph([x], [y])


def test_long_chains():
    round_trip(chain(20_000))


@pytest.mark.slow
def test_a_million_nodes():
    graph = chain(1_000_000)
    assert str(parse(str(graph))) == str(graph)
