"""Activations and normalizations: values, derivatives at the extremes, shapes that do not fit, and few nodes."""

import math

import numpy as np
import pytest
import scipy.special
import scipy.stats
from values import value

import graphc as gr
from graphc import nn
from graphc.evaluate import evaluate
from graphc.testing import check_composite, check_gradient

INF, NAN = math.inf, math.nan
RNG = np.random.default_rng(5)


def derivative(formula, x, order=1, dtype="float64"):
    leaf = gr.placeholder("x", (), dtype)
    y = formula(leaf)
    for _ in range(order):
        (y,) = gr.gradients(y, [leaf], unconnected="zero")
    return float(value(y, {leaf: np.asarray(x, dtype)}))


FORMULAS = [getattr(nn, name) for name in nn.__all__ if not isinstance(getattr(nn, name), gr.Op)]


@pytest.mark.parametrize("formula", [pytest.param(f, id=f.__name__) for f in FORMULAS])
def test_formula(formula):
    check_composite(formula)


REFERENCES = {
    "elu": lambda x: np.where(x > 0, x, np.expm1(x)),
    "gelu": lambda x: x * scipy.stats.norm.cdf(x),
    "leaky_relu": lambda x: np.where(x > 0, x, 0.01 * x),
    "log_sigmoid": scipy.special.log_expit,
    "relu": lambda x: np.maximum(x, 0),
    "sigmoid": scipy.special.expit,
    "silu": lambda x: x * scipy.special.expit(x),
    "softplus": lambda x: np.logaddexp(x, 0),
    "tanh": np.tanh,
}


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("name", REFERENCES)
def test_activations_agree_with_their_formulas_from_tiny_to_huge(name, dtype):
    x = np.array([0.0, 1e-6, 0.3, 1, 5, 12, 40, 90, 800, 1e4, NAN])
    x = np.concatenate([-x[::-1], x]).astype(dtype)
    found = value(getattr(nn, name)(x))
    assert found.dtype == dtype
    with np.errstate(all="ignore"):
        expected = REFERENCES[name](x.astype("f8"))
    rtol = 40 * np.finfo(dtype).eps if name != "gelu" else 2e3 * np.finfo(dtype).eps  # erfc(x) of a rounded x
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=np.finfo(dtype).tiny)


def test_both_forms_of_gelu_and_the_named_parameters():
    x = np.linspace(-4, 4, 33)
    inner = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
    approximate = value(nn.gelu(x, approximate=True))
    np.testing.assert_allclose(approximate, 0.5 * x * (1 + np.tanh(inner)), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(value(nn.leaky_relu(x, 0.2)), np.where(x > 0, x, 0.2 * x))
    np.testing.assert_allclose(value(nn.elu(x, 1.5)), np.where(x > 0, x, 1.5 * np.expm1(x)))


# Derivatives where formulas bend or overflow


@pytest.mark.parametrize(("name", "x", "expected"), [
    ("relu", 0.0, 0.0), ("leaky_relu", 0.0, 0.01), ("elu", 0.0, 1.0), ("softplus", 0.0, 0.5), ("log_sigmoid", 0.0, 0.5),
    ("elu", 1000.0, 1.0), ("elu", -1000.0, 0.0), ("silu", 1000.0, 1.0), ("silu", -1000.0, 0.0), ("gelu", 50.0, 1.0),
    ("gelu", -50.0, 0.0), ("softplus", 1e5, 1.0), ("softplus", -1e5, 0.0), ("log_sigmoid", -1e5, 1.0),
    ("log_sigmoid", 1e5, 0.0), ("softplus", INF, 1.0), ("softplus", -INF, 0.0), ("leaky_relu", INF, 1.0),
    ("elu", INF, 1.0),
])  # fmt: skip
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_derivatives_at_bends_and_extremes(name, x, expected, dtype):
    assert derivative(getattr(nn, name), x, dtype=dtype) == pytest.approx(expected, abs=1e-30, rel=1e-6)


@pytest.mark.parametrize(("name", "x", "expected"), [
    ("softplus", 0.0, 0.25), ("log_sigmoid", 0.0, -0.25), ("softplus", 700.0, 0.0), ("elu", 1000.0, 0.0),
    ("silu", 0.0, 0.5),
    ("gelu", 0.0, math.sqrt(2 / math.pi)), ("elu", -1.0, math.exp(-1)),
])  # fmt: skip
def test_second_derivatives(name, x, expected):
    assert derivative(getattr(nn, name), x, order=2) == pytest.approx(expected, abs=1e-300)


# Softmax


def test_softmax_of_large_numbers_is_as_exact_as_that_of_small_ones():
    x = RNG.standard_normal((4, 6)).astype("f4")
    far = (x + np.float32(8192)).astype("f4")  # rounded here, once; the shift itself loses nothing
    exact = (far - np.float32(8192)).astype("f8")
    np.testing.assert_allclose(value(nn.softmax(far)), scipy.special.softmax(exact, -1), rtol=1e-6)
    np.testing.assert_allclose(value(nn.log_softmax(far)), scipy.special.log_softmax(exact, -1), rtol=1e-6)


@pytest.mark.parametrize("x", [[1.0, -INF, 2.0], [-INF, 0.0, -INF], [1e30, -1e30, 0.0], [1e4, 1e4, -1e4]])
def test_softmax_is_0_and_flat_where_an_element_is_minus_infinity(x):
    leaf = gr.placeholder("x", (3,), "float64")
    y = nn.softmax(leaf)
    expected = scipy.special.softmax(x)
    feed = {leaf: np.array(x)}
    np.testing.assert_allclose(value(y, feed), expected)
    rows = value(gr.jacobian(y, leaf), feed)
    np.testing.assert_allclose(rows, np.diag(expected) - np.outer(expected, expected), atol=1e-15)


def test_log_softmax_and_its_gradient_are_finite_wherever_they_are():
    leaf = gr.placeholder("x", (3,), "float64")
    y = nn.log_softmax(leaf)
    for x in ([1e4, 0.0, -1e4], [-800.0, -900.0, 0.0], [5.0, -INF, 2.0]):
        feed = {leaf: np.array(x)}
        np.testing.assert_allclose(value(y, feed), scipy.special.log_softmax(x))
        np.testing.assert_allclose(value(gr.grad(y[0], leaf), feed), [1, 0, 0] - scipy.special.softmax(x), atol=1e-300)


def test_softmax_over_symbolic_and_several_axes():
    x = gr.placeholder("x", ("batch", "classes"), "float64")
    data = RNG.standard_normal((4, 5))
    for axis in (0, -1, (0, 1)):
        y = nn.softmax(x, axis)
        assert y.type == x.type
        np.testing.assert_allclose(value(y, {x: data}), scipy.special.softmax(data, axis))
        np.testing.assert_allclose(value(nn.log_softmax(x, axis), {x: data}), scipy.special.log_softmax(data, axis))
        check_gradient(y, [x], {x: data})


# Layer normalization


def normalized(x, axes, eps=1e-5):
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + eps)


@pytest.mark.parametrize(("axis", "shape", "aligned"), [
    (-1, (4,), (4,)), ((1, 2), (3, 4), (3, 4)), (1, (3,), (3, 1)), ((0, 2), (2, 4), (2, 1, 4)), (0, (2,), (2, 1, 1)),
])  # fmt: skip
def test_layer_norm_scales_along_the_axes_it_normalizes(axis, shape, aligned):
    x, w, b = RNG.standard_normal((2, 3, 4)) * 3 + 7, RNG.standard_normal(shape), RNG.standard_normal(shape)
    expected = normalized(x, axis) * w.reshape(aligned) + b.reshape(aligned)
    np.testing.assert_allclose(value(nn.layer_norm(x, w, b, axis)), expected, rtol=1e-10)


def test_layer_norm_over_symbolic_dims():
    x = gr.placeholder("x", ("batch", "features"), "float64")
    y = nn.layer_norm(x, gr.placeholder("w", ("features",), "float64"))
    w = y.inputs[1]
    feed = {x: RNG.standard_normal((3, 5)), w: RNG.standard_normal(5)}
    assert y.type == x.type
    np.testing.assert_allclose(value(y, feed), normalized(feed[x], -1) * feed[w])
    check_gradient(y, [x, w], feed)


def test_layer_norm_loses_nothing_to_a_large_mean():
    x = (RNG.standard_normal((2, 64)) + 4096).astype("f4")
    np.testing.assert_allclose(value(nn.layer_norm(x)), normalized(x.astype("f8"), -1), rtol=2e-3, atol=1e-3)


def test_layer_norm_of_equal_elements_is_0_with_a_finite_gradient():
    x = gr.placeholder("x", (4,))
    y = nn.layer_norm(x)
    feed = {x: np.full(4, 3.0, "f4")}
    np.testing.assert_array_equal(value(y, feed), np.zeros(4, "f4"))
    assert np.isfinite(value(gr.grad(y[0], x), feed)).all()


@pytest.mark.parametrize(("role", "shape"), [("weight", (3,)), ("bias", (2, 4)), ("bias", ()), ("weight", (1,))])
def test_layer_norm_refuses_parameters_of_other_shapes(role, shape):
    x = gr.placeholder("x", (2, 4))
    with pytest.raises(gr.ShapeError, match=rf"expected a {role} of shape \[4\], got f32") as caught:
        nn.layer_norm(x, **{role: gr.placeholder("p", shape)})
    assert "Remedy:" in str(caught.value)
    assert "test_nn.py" in str(caught.value)


# Dropout and linear


def test_dropout_drops_that_share_and_keeps_the_mean():
    x = gr.placeholder("x", (200, 500))
    y = nn.dropout(x, 0.3, gr.random.key(1))
    data = np.ones((200, 500), "f4")
    dropped, slope = evaluate([y, gr.grad(gr.sum(y), x)], {x: data})
    assert set(np.unique(dropped)) == {0, np.float32(1) * np.float32(1 / 0.7)}
    assert np.mean(dropped == 0) == pytest.approx(0.3, abs=0.01)
    np.testing.assert_array_equal(slope, dropped)


def test_dropout_depends_on_its_key_only():
    x, key = np.ones(64, "f4"), gr.placeholder("key", (2,), "uint64")
    y = nn.dropout(x, 0.5, key)
    first, again, other = (value(y, {key: np.array(k, "u8")}) for k in ([1, 2], [1, 2], [3, 4]))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_dropout_is_nothing_when_not_training_and_never_leaks_what_it_drops():
    x = gr.placeholder("x", (64,))
    assert nn.dropout(x, 0.5, gr.random.key(0), training=False) is x
    assert nn.dropout(x, 0, gr.random.key(0)) is x
    y = value(nn.dropout(x, 0.5, gr.random.key(0)), {x: np.full(64, INF, "f4")})
    assert set(y) == {0, INF}


@pytest.mark.parametrize("rate", [1, 1.5, -0.1, NAN])
def test_dropout_refuses_rates_outside_0_to_1(rate):
    with pytest.raises(gr.GraphError, match=r"a rate in \[0, 1\)"):
        nn.dropout(np.ones(3), rate, gr.random.key(0))


def test_linear_is_a_product_and_a_sum():
    x, w, b = RNG.standard_normal((5, 2, 3)), RNG.standard_normal((3, 4)), RNG.standard_normal(4)
    np.testing.assert_allclose(value(nn.linear(x, w, b)), x @ w + b)
    np.testing.assert_allclose(value(nn.linear(x, w)), x @ w)


# Nodes


def steps(y):
    """The nodes that compute: neither leaves nor constants."""
    return [node for node in gr.Graph(None, [y]).nodes if node.inputs]


@pytest.mark.parametrize(("formula", "count"), [
    (nn.silu, 2), (nn.log_sigmoid, 3), (nn.leaky_relu, 3), (nn.elu, 4), (nn.gelu, 4), (nn.softmax, 6),
    (nn.log_softmax, 7), (nn.layer_norm, 9),
])  # fmt: skip
def test_formulas_are_few_nodes(formula, count):
    y = formula(gr.placeholder("x", (8, 16)))
    assert len(steps(y)) == count


@pytest.mark.parametrize("formula", [nn.softmax, nn.log_softmax, nn.layer_norm, nn.gelu, nn.elu, nn.leaky_relu])
def test_single_precision_stays_single_through_the_gradient(formula):
    x = gr.placeholder("x", (8, 16))
    graph = gr.Graph([x], [gr.grad(gr.sum(formula(x) * np.ones(16, "f4")), x)])
    assert [node for node in graph.nodes if node.dtype == np.float64] == []
