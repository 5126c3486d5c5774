"""The backward pass and the questions it answers."""

from __future__ import annotations

import math
import time

import autograd
import autograd.numpy as anp
import numpy as np
import pytest
from values import value

import graphc as gr
from graphc.evaluate import evaluate


@pytest.fixture
def x():
    return gr.placeholder("x", (3,), "float64")


POINT = np.array([0.5, -1.2, 2.0])


def test_gradients_come_in_the_order_of_wrt(x):
    w = gr.variable("w", [1.0, 2.0, 3.0])
    y = gr.sum(x * w)
    back = gr.gradients(y, [w, x])
    dw, dx = back
    assert len(back) == 2
    assert back[0] is dw
    assert list(back) == [dw, dx]
    np.testing.assert_array_equal(value(dw, {x: POINT}), POINT)
    np.testing.assert_array_equal(value(dx, {x: POINT}), [1.0, 2.0, 3.0])


def test_wrt_may_be_an_inner_node(x):
    inner = gr.sin(x)
    y = gr.sum(inner * inner)
    np.testing.assert_allclose(value(gr.grad(y, inner), {x: POINT}), 2 * np.sin(POINT))


def test_paths_counts_a_60_step_diamond_exactly_and_at_once():
    x = y = gr.placeholder("x", (), "float64")
    for _ in range(60):
        y = gr.sin(y) + gr.cos(y)
    started = time.perf_counter()
    back = gr.gradients(y, [x])
    assert back.paths(x) == 2**60 > 10**18
    assert time.perf_counter() - started < 5
    edges = sum(len(node.inputs) for node in gr.Graph([x], [y]).nodes)
    contributions = sum(len(back.contributions(node)) for node in gr.Graph([x], [y]).nodes)
    assert contributions == edges, "one visit per edge"


def test_the_adjoint_is_the_sum_of_its_contributions(x):
    a, b = gr.sin(x), gr.cos(x)
    y = gr.sum(a * b + x)
    back = gr.gradients(y, [x])
    edges = back.contributions(x)
    assert [(edge.consumer.op.name, edge.argument, edge.rule) for edge in edges] == [
        ("add", 1, "add"), ("cos", 0, "cos"), ("sin", 0, "sin")]  # fmt: skip
    total, *terms = evaluate([back.adjoint(x), *[edge.node for edge in edges]], {x: POINT})
    np.testing.assert_allclose(total, sum(terms))
    assert back.adjoint(x) is back[0]
    assert back.adjoint(x).op.name == "add_n"
    assert back.adjoint(a) is not None
    assert back.adjoint(y) is not None
    assert back.adjoint(gr.placeholder("other")) is None


def test_every_backward_node_knows_its_forward_node_argument_and_rule(x):
    y = gr.sum(gr.tanh(x) * x)
    back = gr.gradients(y, [x])
    forward = set(gr.Graph([x], [y]).nodes)
    made = [node for node in back.graph.nodes if node not in forward and node.origin.forward is not None]
    assert made
    for node in made:
        source = back.origin(node)
        assert source is not None
        assert source.forward in forward
        assert source.argument is None or 0 <= source.argument < len(source.forward.inputs)
        assert source.rule
        assert node.origin.where().startswith("tests") or "test_gradients" in node.origin.where()
    assert back.origin(x) is None


def test_print_names_the_rule_of_each_backward_node(x):
    text = str(gr.gradients(gr.sum(gr.tanh(x)), [x]))
    assert "tanh" in text
    assert "test_gradients.py" in text


def test_zero_cotangents_are_absent(x):
    y = gr.sum(gr.floor(x) + x)
    back = gr.gradients(y, [x])
    assert len(back.contributions(x)) == 1
    np.testing.assert_array_equal(value(back[0], {x: POINT}), np.ones(3))


def test_a_branch_not_taken_never_leaks(x):
    safe = gr.where(x > 0, gr.sqrt(x), 0.0)
    np.testing.assert_allclose(value(gr.grad(gr.sum(safe), x), {x: np.array([4.0, -1.0, 0.0])}), [0.25, 0, 0])
    deep = gr.where(x > 0, gr.log(gr.sqrt(x) * 2.0) / x, x)
    found = value(gr.grad(gr.sum(deep), x), {x: np.array([1.0, -1.0, -2.0])})
    assert np.isfinite(found).all()
    assert list(found[1:]) == [1, 1]
    nested = gr.where(x > 0, gr.where(x < 1, gr.arcsin(x), gr.log(x - 1)), 0.0)
    found = value(gr.grad(gr.sum(nested), x), {x: np.array([0.5, 3.0, -2.0])})
    np.testing.assert_allclose(found, [1 / math.sqrt(0.75), 0.5, 0])


def test_a_branch_not_taken_does_not_leak_through_what_moves_its_mask(x):
    z = gr.placeholder("z", (2, 3), "float64")
    feed = {x: np.array([4.0, -1.0, 0.0]), z: np.ones((2, 3))}
    broadcast = gr.sum(gr.where(x > 0, gr.sqrt(x) * z, 0.0))
    np.testing.assert_allclose(value(gr.grad(broadcast, x), feed), [0.5, 0, 0])
    reshaped = gr.sum(gr.where(gr.reshape(x, (3, 1)) > 0, gr.reshape(gr.sqrt(x), (3, 1)), 0.0))
    np.testing.assert_allclose(value(gr.grad(reshaped, x), feed), [0.25, 0, 0])
    repeated = gr.sum(gr.where(x > 0, gr.broadcast_to(gr.log(x), (2, 3)), 0.0))
    np.testing.assert_allclose(value(gr.grad(repeated, x), feed), [0.5, 0, 0])


def test_masks_survive_a_second_gradient(x):
    y = gr.sum(gr.where(x > 0, gr.sqrt(x), 0.0))
    second = gr.grad(gr.sum(gr.grad(y, x)), x)
    np.testing.assert_allclose(value(second, {x: np.array([4.0, -1.0, 1.0])}), [-0.25 * 4**-1.5, 0, -0.25])


def test_a_seed_pulls_back_through_a_non_scalar(x):
    y = gr.exp(x)
    seed = np.array([1.0, 0.0, 2.0])
    np.testing.assert_allclose(value(gr.gradients(y, [x], seed=seed)[0], {x: POINT}), seed * np.exp(POINT))


def f(v):
    return anp.sum(anp.sin(v) * v**2) * anp.exp(v[0] * v[1])


def graph_of_f(x):
    return gr.sum(gr.sin(x) * x**2) * gr.exp(x[0] * x[1])


def test_any_order_against_autograd(x):
    y = graph_of_f(x)
    np.testing.assert_allclose(value(gr.grad(y, x), {x: POINT}), autograd.grad(f)(POINT), rtol=1e-12)
    np.testing.assert_allclose(value(gr.hessian(y, x), {x: POINT}), autograd.hessian(f)(POINT), rtol=1e-11)
    third = gr.grad(gr.sum(gr.hessian(y, x)), x)
    expected = autograd.grad(lambda v: anp.sum(autograd.hessian(f)(v)))(POINT)
    np.testing.assert_allclose(value(third, {x: POINT}), expected, rtol=1e-10)


def test_products_with_jacobian_and_hessian(x):
    v = np.array([1.0, -2.0, 0.5])
    y = gr.stack([graph_of_f(x), gr.sum(x * x), gr.prod(x), gr.max(x)])
    full = value(gr.jacobian(y, x), {x: POINT})
    assert full.shape == (4, 3)
    np.testing.assert_allclose(value(gr.jvp(y, x, v), {x: POINT}), full @ v, rtol=1e-12)
    hv = value(gr.hvp(graph_of_f(x), x, v), {x: POINT})
    np.testing.assert_allclose(hv, autograd.hessian(f)(POINT) @ v, rtol=1e-11)
    wide = gr.jacobian(x[:2] * 2.0, x)
    np.testing.assert_array_equal(value(wide, {x: POINT}), [[2, 0, 0], [0, 2, 0]])


def test_broadcasting_is_summed_once():
    a, b = gr.placeholder("a", (3, 1), "float64"), gr.placeholder("b", (4,), "float64")
    da, db = gr.gradients(gr.sum(a * b), [a, b])
    feed = {a: np.ones((3, 1)), b: np.arange(4.0)}
    np.testing.assert_array_equal(value(da, feed), np.full((3, 1), 6.0))
    np.testing.assert_array_equal(value(db, feed), np.full(4, 3.0))


def test_mixed_precision_gradients_have_their_operands_dtype():
    a, b = gr.placeholder("a", (3,), "float32"), gr.placeholder("b", (3,), "float64")
    da, db = gr.gradients(gr.sum(a * b), [a, b])
    assert (da.dtype, db.dtype) == ("float32", "float64")


def test_unconnected_says_where_the_path_ends(x):
    with pytest.raises(gr.GradientError, match="no derivative passes stop_gradient"):
        gr.grad(gr.sum(gr.stop_gradient(x * 2.0)), x)
    with pytest.raises(gr.GradientError, match="no derivative passes astype"):
        gr.grad(gr.sum(x.astype("int64").astype("float64")), x)
    with pytest.raises(gr.GradientError, match="does not depend"):
        gr.grad(gr.sum(x), gr.placeholder("z"))
    zero = gr.gradients(gr.sum(x), [gr.placeholder("z", (2,))], unconnected="zero")[0]
    np.testing.assert_array_equal(value(zero), np.zeros(2))


def test_a_path_through_a_flat_op_gives_zeros(x):
    for flat in (gr.sign, gr.floor, gr.rint):
        np.testing.assert_array_equal(value(gr.grad(gr.sum(flat(x * 2.0)), x), {x: POINT}), np.zeros(3))


def test_an_op_without_a_rule_is_an_error_not_a_zero(x):
    mystery = gr.Op(name="mystery", body=lambda a: a, infer=lambda t: t, arity=1)
    with pytest.raises(gr.GradientError, match="mystery has no derivative rule"):
        gr.grad(gr.sum(mystery(x) + x), x)


def test_stop_gradient_is_a_constant_to_differentiation(x):
    y = gr.sum(x * gr.stop_gradient(x))
    np.testing.assert_array_equal(value(gr.grad(y, x), {x: POINT}), POINT)


def test_several_results_of_one_op(x):
    first, second = gr.split(gr.concatenate([x, x * 2.0]), 2)
    y = gr.sum(first * first) + gr.sum(second)
    np.testing.assert_allclose(value(gr.grad(y, x), {x: POINT}), 2 * POINT + 2)
    only = gr.split(gr.concatenate([x, x * 2.0]), 2)
    first_only = next(iter(only))
    np.testing.assert_allclose(value(gr.grad(gr.sum(first_only * first_only), x), {x: POINT}), 2 * POINT)


def test_explain_reads_as_sentences(x):
    back = gr.gradients(gr.sum(gr.sin(x) + x), [x])
    text = back.explain(x)
    assert "sin" in text
    assert "2 paths" in text


@pytest.mark.parametrize("order", [1, 2])
def test_check_gradient_catches_a_derivative_wrong_by_a_thousandth(x, order):
    y = gr.sum(gr.sin(x))
    gr.testing.check_gradient(y, [x], {x: POINT}, order=order)
    wrong = gr.Op(name="sine", body=np.sin, infer=lambda t: t, arity=1, elementwise=True,
                  vjp=lambda g, y, a: (g * gr.cos(a) * 1.001,))  # fmt: skip
    with pytest.raises(gr.GradientError):
        gr.testing.check_gradient(gr.sum(wrong(x)), [x], {x: POINT}, order=order)


def test_a_long_chain_of_differences_ends_in_a_broadcast(x):
    scalar = gr.placeholder("b", (), "float64")
    y = x - scalar
    for _ in range(3000):
        y = x - y
    assert value(gr.grad(gr.sum(y), scalar), {x: POINT, scalar: 1.0}) == -3


def test_a_mask_moves_past_new_axes(x):
    weights = np.ones((3, 2))
    y = gr.where(x > 0, gr.sum(gr.sqrt(x)[:, None] * weights, 1), 0)
    np.testing.assert_array_equal(value(gr.grad(gr.sum(y), x), {x: [-1.0, 0.0, 4.0]}), [0, 0, 0.5])
