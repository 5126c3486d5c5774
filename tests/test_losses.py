"""Losses: values, gradients in closed form, the extremes, and sentences for labels that do not fit."""

import math

import numpy as np
import pytest
import scipy.special
from values import value

import graphc as gr
from graphc import losses
from graphc.evaluate import evaluate
from graphc.testing import check_composite, check_gradient

INF = math.inf
RNG = np.random.default_rng(11)


@pytest.mark.parametrize("name", losses.__all__)
def test_formula(name):
    check_composite(getattr(losses, name))


# Values


P, T = RNG.standard_normal((3, 4)), RNG.standard_normal((3, 4))
UNIT, SIGNS = scipy.special.expit(P), np.sign(T)
R = np.abs(P - T)
VALUES = {
    "mse": ((P, T), {}, (P - T) ** 2),
    "mae": ((P, T), {}, R),
    "huber": ((P, T), {"delta": 0.7}, np.where(R <= 0.7, R**2 / 2, 0.7 * (R - 0.35))),
    "hinge": ((P, SIGNS), {}, np.maximum(0, 1 - SIGNS * P)),
    "binary_cross_entropy": ((UNIT, T > 0), {}, -np.log(np.where(T > 0, UNIT, 1 - UNIT))),
    "binary_cross_entropy_with_logits": ((P, T > 0), {}, np.logaddexp(0, np.where(T > 0, -P, P))),
    "softmax_cross_entropy": ((P, np.array([0, 3, 1])), {}, -scipy.special.log_softmax(P, -1)[range(3), [0, 3, 1]]),
}


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize(("reduction", "reduce"), [("mean", np.mean), ("sum", np.sum), ("none", np.asarray)])
def test_values_and_reductions(name, reduction, reduce):
    operands, options, expected = VALUES[name]
    node = getattr(losses, name)(*operands, **options, reduction=reduction)
    found = value(node)
    assert (found.shape, node.shape) == (np.shape(reduce(expected)),) * 2
    np.testing.assert_allclose(found, reduce(expected), rtol=1e-12)


def test_every_loss_has_a_value_test():
    assert sorted(VALUES) == sorted(losses.__all__)


@pytest.mark.parametrize("name", sorted(set(losses.__all__) - {"softmax_cross_entropy"}))
def test_targets_of_integers_or_truths_keep_the_predictions_dtype(name):
    prediction = np.full(4, 0.25, "f4")
    kinds = ["i8"] if name == "hinge" else ["i8", "u1", "bool"]
    for kind in kinds:
        node = getattr(losses, name)(prediction, np.ones(4, kind))
        assert node.dtype == np.float32
        assert value(node) == value(getattr(losses, name)(prediction, np.ones(4, "f4")))


def test_huber_is_smooth_where_it_turns_linear():
    x = gr.placeholder("x", (5,), "float64")
    slope = gr.grad(losses.huber(x, 0, delta=2.0, reduction="sum"), x)
    np.testing.assert_array_equal(value(slope, {x: [-5.0, -2.0, 0.5, 2.0, INF]}), [-2, -2, 0.5, 2, 2])


def test_mae_has_no_slope_where_the_prediction_is_right():
    x = gr.placeholder("x", (3,), "float64")
    slope = gr.grad(losses.mae(x, 1.0, reduction="sum"), x)
    np.testing.assert_array_equal(value(slope, {x: [0.0, 1.0, 2.0]}), [-1, 0, 1])


# Binary cross-entropy at its ends


def test_binary_cross_entropy_of_sure_and_right_is_0_and_of_sure_and_wrong_infinite():
    p = gr.placeholder("p", (4,), "float64")
    target = np.array([0.0, 1.0, 0.0, 1.0])
    loss = losses.binary_cross_entropy(p, target, reduction="none")
    feed = {p: [0.0, 1.0, 1.0, 0.0]}
    np.testing.assert_array_equal(value(loss, feed), [0, 0, INF, INF])
    np.testing.assert_array_equal(value(gr.grad(gr.sum(loss), p), feed), [1, -1, INF, -INF])


def test_binary_cross_entropy_of_tiny_probabilities_is_exact():
    assert value(losses.binary_cross_entropy(np.array([1e-20]), np.array([0.0]))) == pytest.approx(1e-20, abs=0)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_binary_cross_entropy_with_logits_is_finite_at_the_extremes(dtype):
    z = gr.placeholder("z", (6,), dtype)
    loss = losses.binary_cross_entropy_with_logits(z, np.array([0, 1, 0, 1, 0, 1]), reduction="none")
    feed = {z: np.array([1e4, 1e4, -1e4, -1e4, 0, 0], dtype)}
    np.testing.assert_allclose(value(loss, feed), [1e4, 0, 0, 1e4, math.log(2), math.log(2)], rtol=1e-6)
    np.testing.assert_allclose(value(gr.grad(gr.sum(loss), z), feed), [1, 0, 0, -1, 0.5, -0.5], rtol=1e-6)


def test_binary_cross_entropy_with_logits_curves_at_0_where_training_starts():
    z = gr.placeholder("z", (), "float64")
    curvature = gr.grad(gr.grad(losses.binary_cross_entropy_with_logits(z, 1.0), z), z)
    assert value(curvature, {z: 0.0}) == 0.25


# Softmax cross-entropy


def test_classes_one_hot_rows_and_probabilities_agree():
    logits, classes = RNG.standard_normal((2, 5, 4)), RNG.integers(0, 4, (2, 5))
    one_hot = np.eye(4)[classes]
    expected = -scipy.special.log_softmax(logits, -1)
    for labels in (classes, classes.astype("u1"), one_hot, one_hot.astype("i4"), one_hot.astype(bool)):
        found = value(losses.softmax_cross_entropy(logits, labels))
        np.testing.assert_allclose(found, (expected * one_hot).sum(-1).mean())
    smooth = 0.9 * one_hot + 0.025
    np.testing.assert_allclose(value(losses.softmax_cross_entropy(logits, smooth)), (expected * smooth).sum(-1).mean())


@pytest.mark.parametrize("kind", ["classes", "probabilities"])
def test_the_gradient_is_softmax_less_the_labels_over_the_batch(kind):
    x, classes = gr.placeholder("x", ("batch", 4), "float64"), np.array([1, 0, 3])
    one_hot = np.eye(4)[classes]
    labels = classes if kind == "classes" else one_hot
    data = RNG.standard_normal((3, 4)) * 100
    slope = gr.grad(losses.softmax_cross_entropy(x, labels), x)
    np.testing.assert_allclose(value(slope, {x: data}), (scipy.special.softmax(data, -1) - one_hot) / 3, atol=1e-15)
    check_gradient(losses.softmax_cross_entropy(x, labels), [x], {x: data / 100})


@pytest.mark.parametrize("kind", ["classes", "probabilities"])
def test_masked_classes_and_huge_logits_give_finite_losses_and_gradients(kind):
    x = gr.placeholder("x", (3, 3))
    data = np.array([[-INF, 2, 1], [1e30, -1e30, 0], [-1e4, 1e4, -INF]], "f4")
    classes = np.array([1, 0, 0])
    labels = classes if kind == "classes" else np.eye(3, dtype="f4")[classes]
    loss = losses.softmax_cross_entropy(x, labels, reduction="none")
    found, slope = evaluate([loss, gr.grad(gr.sum(loss), x)], {x: data})
    np.testing.assert_allclose(found, [math.log(1 + math.exp(-1)), 0, 2e4], rtol=1e-6)
    np.testing.assert_allclose(slope, [[0, -0.26894143, 0.26894143], [0, 0, 0], [-1, 1, 0]], rtol=1e-6)


def test_the_gradient_needs_one_exponential_and_few_passes_over_the_logits():
    x, y = gr.placeholder("x", ("batch", 10)), gr.placeholder("y", ("batch",), "int64")
    loss = losses.softmax_cross_entropy(x, y)
    graph = gr.Graph([x, y], [loss, gr.grad(loss, x)])
    full = [node.op.name for node in graph.nodes if node.shape == x.shape and not node.op.leaf]
    assert full.count("exp") == 1
    assert sorted(set(full) - {"broadcast_to"}) == ["add_along_axis", "add_n", "exp", "multiply", "subtract"]
    assert len([name for name in full if name != "broadcast_to"]) == 5
    assert [node for node in graph.nodes if node.dtype == np.float64] == []


def test_a_class_that_does_not_exist_raises_when_the_graph_runs():
    with pytest.raises(gr.ExecutionError, match="out of bounds"):
        value(losses.softmax_cross_entropy(np.zeros((2, 3)), np.array([0, 3])))


# Sentences


@pytest.mark.parametrize(("labels", "error", "sentence"), [
    ((("batch",), "float32"), gr.DTypeError, "to be integer classes, got f32"),
    ((("batch",), "bool"), gr.DTypeError, "to be integer classes, got bool"),
    ((("batch", 1), "int64"), gr.ShapeError, r"drop their last axis: labels\[..., 0\]"),
    ((("batch", 7), "float32"), gr.ShapeError, r"shape \[batch\] \(classes\) or \[batch, 10\] \(probabilities\)"),
    (((), "int64"), gr.ShapeError, "give each row of logits one label"),
])  # fmt: skip
def test_labels_that_do_not_fit_raise_a_sentence(labels, error, sentence):
    logits, wrong = gr.placeholder("x", ("batch", 10)), gr.placeholder("y", *labels)
    with pytest.raises(error, match=sentence) as caught:
        losses.softmax_cross_entropy(logits, wrong)
    assert "test_losses.py" in str(caught.value)


@pytest.mark.parametrize("name", losses.__all__)
def test_integer_predictions_raise_a_sentence(name):
    with pytest.raises(gr.DTypeError, match=rf"{name} expected .* of a float dtype, got i64") as caught:
        getattr(losses, name)(np.ones((2, 3), "i8"), np.ones((2, 3)))
    assert "astype" in str(caught.value)


@pytest.mark.parametrize(("prediction", "target", "remedy"), [
    (("b", 1), ("b",), "prediction[..., 0]"), (("b",), ("b", 1), "target[..., 0]"), ((3, 4), (4,), "broadcast_to"),
    ((3,), (4,), "broadcast_to"),
])  # fmt: skip
def test_shapes_that_would_broadcast_raise_instead(prediction, target, remedy):
    x, y = gr.placeholder("x", prediction), gr.placeholder("y", target)
    with pytest.raises(gr.ShapeError, match="of the prediction's shape") as caught:
        losses.mse(x, y)
    assert remedy in str(caught.value)


def test_symbolic_sizes_fit_when_they_may_be_equal():
    x, y = gr.placeholder("x", ("batch", 3)), gr.placeholder("y", (8, "n"))
    assert str(losses.mse(x, y, reduction="none").type) == "f32[8, 3]"


@pytest.mark.parametrize("call", [
    lambda x: losses.mse(x, x, reduction="average"),
    lambda x: losses.huber(x, x, delta=0),
    lambda x: losses.huber(x, x, delta=math.nan),
])  # fmt: skip
def test_options_that_make_no_sense_raise(call):
    with pytest.raises(gr.GraphError, match="expected"):
        call(gr.placeholder("x", (3,)))


@pytest.mark.parametrize("kind", ["bool", "u1"])
def test_hinge_refuses_targets_that_cannot_be_minus_1(kind):
    with pytest.raises(gr.DTypeError, match="targets -1 and 1") as caught:
        losses.hinge(np.ones(3), np.ones(3, kind))
    assert "- 1" in str(caught.value)
