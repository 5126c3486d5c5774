"""What a backward graph says about itself: every value with its provenance, every adjoint as a sum."""

import re

import numpy as np
import pytest

import graphc as gr
from graphc.evaluate import evaluate


def model():
    x = gr.placeholder("x", ("batch", 3))
    W = gr.variable("W", np.ones((3, 2), "f4"))
    b = gr.variable("b", np.zeros(2, "f4"))
    with gr.scope("head"):
        h = gr.tanh(x @ W + b).named("h")
    return x, W, b, h, gr.sum(h * h).named("loss")


def without_lines(text):
    return re.sub(r"tests/test_explain\.py:\d+", "m.py", text)


PRINTED = """\
graph 'backward of loss'(%x: f32[batch, 3]) {
  %W = variable : f32[3, 2]                                             # m.py
  %matmul = matmul(%x, %W) : f32[batch, 2]                              # m.py
  %b = variable : f32[2]                                                # m.py
  %add = add(%matmul, %b) : f32[batch, 2]                               # m.py
  %head/h = tanh(%add) : f32[batch, 2]                                  # m.py
  %transpose = transpose(%x) {axes=(1, 0)} : f32[3, batch]              # from %matmul argument 1 by matmul, m.py
  %dloss = constant(1.0) : f32[]                                        # seed: d %loss / d %loss, m.py
  %dmultiply = broadcast_to(%dloss) {shape=(batch, 2)} : f32[batch, 2]  # from %loss argument 0 by sum, m.py
  %multiply_1 = multiply(%dmultiply, %head/h) : f32[batch, 2]           # from %multiply argument 0 by multiply, m.py
  %multiply_2 = multiply(%dmultiply, %head/h) : f32[batch, 2]           # from %multiply argument 1 by multiply, m.py
  %head/dh = add_n(%multiply_1, %multiply_2) : f32[batch, 2]            # sum over the 2 edges out of %head/h, m.py
  %constant = constant(1.0) : f32[]                                     # from %head/h argument 0 by tanh, m.py
  %multiply_3 = multiply(%head/h, %head/h) : f32[batch, 2]              # from %head/h argument 0 by tanh, m.py
  %subtract = subtract(%constant, %multiply_3) : f32[batch, 2]          # from %head/h argument 0 by tanh, m.py
  %dadd = multiply(%head/dh, %subtract) : f32[batch, 2]                 # from %head/h argument 0 by tanh, m.py
  %dW = matmul(%transpose, %dadd) : f32[3, 2]                           # from %matmul argument 1 by matmul, m.py
  %db = sum(%dadd) {axis=(0,), keepdims=False} : f32[2]                 # from %add argument 1 by add, m.py
  return %dW, %db                                                       # d %loss / d %W, %b
}"""


def test_each_value_says_where_it_came_from():
    _, W, b, _, loss = model()
    assert without_lines(str(gr.gradients(loss, [W, b]))) == PRINTED


def test_printed_gradients_read_back_and_compute_the_same():
    x, W, b, _, loss = model()
    back = gr.gradients(loss, [W, b])
    read = gr.parse(str(back))
    values = {"x": np.random.default_rng(0).standard_normal((4, 3)).astype("f4"), "W": W.value, "b": b.value}
    wanted = evaluate([*back], {x: values["x"]})
    got = evaluate(read.outputs, {leaf: values[leaf.name] for leaf in (*read.inputs, *read.variables)})
    assert all(np.array_equal(a, b) for a, b in zip(wanted, got, strict=True))


def test_every_line_says_the_line_of_the_user():
    x, W, b, _, loss = model()
    lines = str(gr.gradients(loss, [x, W, b])).splitlines()[1:-2]
    assert all(re.search(r"tests/test_explain\.py:\d+$", line) for line in lines)


def test_a_sum_over_paths_is_explained_edge_by_edge():
    _, W, b, h, loss = model()
    assert without_lines(gr.gradients(loss, [W, b]).explain(h)) == """\
%head/h = tanh(%add) : f32[batch, 2] (m.py)
2 paths lead from %head/h to %loss, over 2 edges:
  argument 0 of %multiply = multiply(%head/h, %head/h) (m.py)
    contributes, by the rule of multiply, %multiply_1 = multiply(%dmultiply, %head/h) : f32[batch, 2]
  argument 1 of %multiply = multiply(%head/h, %head/h) (m.py)
    contributes, by the rule of multiply, %multiply_2 = multiply(%dmultiply, %head/h) : f32[batch, 2]
The adjoint d %loss / d %head/h is their sum:
  %head/dh = add_n(%multiply_1, %multiply_2) : f32[batch, 2]"""


def test_a_single_edge_is_its_own_sum():
    _, W, b, _, loss = model()
    assert without_lines(gr.gradients(loss, [W, b]).explain(b)) == """\
%b : f32[2] (m.py)
2 paths lead from %b to %loss, over 1 edge:
  argument 1 of %add = add(%matmul, %b) (m.py)
    contributes, by the rule of add, %db = sum(%dadd) {axis=(0,), keepdims=False} : f32[2]
The adjoint d %loss / d %b is %db."""


def test_what_is_differentiated_has_the_seed():
    _, W, b, _, loss = model()
    assert without_lines(gr.gradients(loss, [W, b]).explain(loss)) == """\
%loss is what is differentiated (m.py). Its adjoint d %loss / d %loss is the seed:
  %dloss = constant(1.0) : f32[]"""


def test_no_path():
    _, W, _, _, loss = model()
    other = gr.placeholder("other")
    assert without_lines(gr.gradients(loss, [W]).explain(other)) == (
        "%loss does not depend on %other (m.py): no path leads from it to %loss, so the derivative is zero."
    )


def test_a_path_without_a_derivative():
    x = gr.placeholder("x")
    y = (gr.stop_gradient(x) * gr.placeholder("z")).named("y")
    assert without_lines(gr.gradients(y, [y.inputs[1]]).explain(x)) == (
        "%y depends on %x (m.py), but no derivative passes %stop_gradient = stop_gradient (m.py), where every path "
        "from it ends: the derivative is zero."
    )


def test_values_are_called_as_they_are_printed():
    _, W, b, h, loss = model()
    back = gr.gradients(loss, [W, b])
    printed = [line.split("  #")[0].strip() for line in str(back).splitlines()]
    explained = "\n".join([back.explain(node) for node in (W, b, h)])
    contributions = re.findall(r"by the rule of \w+, (.*)", explained)
    assert len(contributions) == 4
    assert set(contributions) <= set(printed)


def test_many_paths_are_counted_not_walked():
    x = gr.placeholder("x")
    y = x
    for _ in range(20_000):
        y = y + y
    text = gr.gradients(y, [x]).explain(x)
    assert "about 10^6020 paths lead from %x" in text


def test_several_results():
    x = gr.placeholder("x", 6)
    parts = gr.split(x, 3).named("parts")
    first, _, last = parts
    text = without_lines(gr.gradients(gr.sum(first * last), [x]).explain(parts))
    assert text == """\
%parts = split(%x) {indices_or_sections=3, axis=0} : (f32[2], f32[2], f32[2]) (m.py)
2 paths lead from %parts to %sum, over 2 edges:
  result 2 of %item_1 = item(%parts) {index=2} (m.py)
    contributes, by the rule of item, %ditem_1 = multiply(%dmultiply, %item) : f32[2]
  result 0 of %item = item(%parts) {index=0} (m.py)
    contributes, by the rule of item, %ditem = multiply(%dmultiply, %item_1) : f32[2]
%parts holds several results: each edge carries the adjoint of one, and its rule takes them all."""


def test_second_gradients_tell_forward_from_backward():
    x = gr.placeholder("x", 3)
    first = gr.grad(gr.sum(x**3), x)
    text = str(gr.gradients(gr.sum(first), [x]))
    assert "return %dx" in text
    assert text.count("seed:") == 1


def test_what_is_no_node_gets_a_sentence():
    _, W, _, _, loss = model()
    with pytest.raises(gr.GradientError, match="expected a node, got 'W' of type str"):
        gr.gradients(loss, [W]).explain("W")
