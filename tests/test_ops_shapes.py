"""Reductions and shapes beyond the tests derived from samples: NumPy and autograd as oracles, symbolic
sizes, random arguments, and the stored forms."""

import itertools

import autograd
import autograd.numpy as anp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from values import gradient_at, value, value_at

import graphc as gr
from graphc.evaluate import evaluate
from graphc.ir import Graph
from graphc.op import OPS
from graphc.passes.specialize import specialize
from graphc.types import Dim

INF, NAN = np.inf, np.nan
POINT = np.array([[0.5, -1.5, 2.0, 0.0], [1.0, 3.0, -0.7, 0.2], [-2.0, 0.4, 1.1, 0.9], [0.3, 0.0, 0.8, -0.6]])


def run(outputs, feed):
    """The values, the symbolic sizes taken from the feed."""
    sizes = {dim.key: size for leaf, value in feed.items() for dim, size in zip(leaf.shape, value.shape, strict=True)
             if isinstance(dim, Dim)}  # fmt: skip
    graph = specialize(Graph(tuple(feed), outputs), sizes=sizes)
    return evaluate(graph.outputs, dict(zip(graph.inputs, feed.values(), strict=True)))


# NumPy and autograd compute the same formula: `n` is the namespace.

FORMULAS = {
    "sum": lambda n, x: n.sum(x, axis=1, keepdims=True),
    "mean": lambda n, x: n.mean(x, axis=(0, 1)),
    "var": lambda n, x: n.var(x, axis=0, ddof=1),
    "std": lambda n, x: n.std(x, axis=-1, keepdims=True),
    "prod": lambda n, x: n.prod(x + 3.0, axis=0),
    "max": lambda n, x: n.max(x, axis=1),
    "min": lambda n, x: n.min(x, axis=0, keepdims=True),
    "cumsum": lambda n, x: n.cumsum(x, axis=1),
    "cumsum of all": lambda n, x: n.cumsum(x),
    "reshape": lambda n, x: n.reshape(x, (2, -1, 2)),
    "ravel": lambda n, x: n.ravel(x),
    "transpose": lambda n, x: n.transpose(n.reshape(x, (4, 2, 2)), (2, 0, 1)),
    "swapaxes": lambda n, x: n.swapaxes(n.reshape(x, (4, 2, 2)), 0, -1),
    "moveaxis": lambda n, x: n.moveaxis(n.reshape(x, (4, 2, 2)), 0, 1),
    "expand_dims": lambda n, x: n.expand_dims(x, 1),
    "squeeze": lambda n, x: n.squeeze(n.reshape(x, (4, 1, 4, 1))),
    "concatenate": lambda n, x: n.concatenate([x, x * x], axis=1),
    "stack": lambda n, x: n.stack([x, n.sin(x)], axis=-1),
    "vstack": lambda n, x: n.vstack([x, x[0] * 2.0]),
    "hstack": lambda n, x: n.hstack([x, x[:, :1] * x[:, 1:2]]),
    "split": lambda n, x: n.multiply(*n.split(x, 2, 1)),
    "array_split": lambda n, x: n.array_split(x, 3)[0] if n is anp else next(iter(n.array_split(x, 3))),
    "pad": lambda n, x: n.pad(x, ((1, 0), (2, 3)), "constant"),
    "tile": lambda n, x: n.tile(x, (2, 1, 3)),
    "repeat": lambda n, x: n.repeat(x, 3, axis=1),
    "roll": lambda n, x: n.roll(x, 3, axis=1),
    "roll of all": lambda n, x: n.roll(x, -2),
    "diff": lambda n, x: n.diff(x, axis=0),
    "norm": lambda n, x: n.norm(x, axis=1) if n is gr else n.linalg.norm(x, axis=1),
    "norm of order 3": lambda n, x: n.norm(x, 3, 1) if n is gr else n.linalg.norm(x, 3, 1),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_values_and_two_gradients_agree_with_autograd(name):
    formula = FORMULAS[name]
    point = POINT + 0.01  # off the zeros, where autograd's norm has no derivative

    def energy(n):
        return lambda x: n.sum(n.sin(formula(n, x)))

    np.testing.assert_allclose(value_at(lambda x: formula(gr, x), point), formula(anp, point), rtol=1e-13, atol=1e-14)
    first = autograd.grad(energy(anp))
    np.testing.assert_allclose(gradient_at(energy(gr), point), first(point), rtol=1e-11, atol=1e-12)
    second = autograd.grad(lambda x: anp.sum(first(x)))(point)
    np.testing.assert_allclose(gradient_at(energy(gr), point, order=2), second, rtol=1e-10, atol=1e-11)


REDUCTIONS = ("sum", "prod", "max", "min", "mean", "var", "std", "any", "all", "ptp", "count_nonzero")


@pytest.mark.parametrize("name", REDUCTIONS)
def test_reductions_are_numpys_for_all_axes_and_dtypes(name):
    x = np.random.default_rng(0).integers(-3, 4, (2, 3, 4))
    axes = [None, *range(-3, 3), *itertools.permutations(range(3), 2), (0, 1, 2), ()]
    for axis, dtype, keepdims in itertools.product(axes, ("f8", "f4", "i8", "i2", "u1", "?"), (False, True)):
        if name == "ptp" and dtype == "?":
            continue  # NumPy has no difference of truth values
        array = x.astype(dtype)
        got = value_at(lambda a: getattr(gr, name)(a, axis, keepdims=keepdims), array)  # noqa: B023
        expected = np.asarray(getattr(np, name)(array, axis=axis, keepdims=keepdims))
        assert (np.shape(got), got.dtype) == (expected.shape, expected.dtype)
        np.testing.assert_allclose(got, expected, rtol=1e-6 if dtype == "f4" else 1e-13, atol=1e-6)


@pytest.mark.parametrize("mode", ["edge", "reflect", "symmetric", "wrap", "constant"])
def test_padding_modes_are_numpys_also_beyond_the_size(mode):
    x = np.arange(6.0).reshape(2, 3)
    for width in (1, (2, 0), ((0, 3), (7, 5))):
        np.testing.assert_array_equal(value_at(lambda a: gr.pad(a, width, mode), x), np.pad(x, width, mode))  # noqa: B023


def test_a_half_precision_mean_does_not_overflow():
    x = np.full(1000, 1000, "f2")
    assert value_at(gr.mean, x) == np.mean(x) == 1000
    assert value_at(gr.mean, x).dtype == np.float16


def test_argmax_takes_the_first_of_ties_and_of_nans():
    x = np.array([[1.0, 5.0, 5.0], [NAN, 9.0, NAN]])
    for name, axis in itertools.product(("argmax", "argmin"), (None, 0, 1)):
        got = value_at(lambda a: getattr(gr, name)(a, axis), x)  # noqa: B023
        np.testing.assert_array_equal(got, getattr(np, name)(x, axis))


def test_a_norm_of_each_order_is_numpys():
    x = np.array([3.0, -4.0, 0.0])
    for order in (None, 1, 2, 3, 0.5, INF, -INF, 0, -1):
        np.testing.assert_allclose(value_at(lambda a: gr.norm(a, order), x), np.linalg.norm(x, order))  # noqa: B023
    assert value_at(lambda a: gr.norm(a, -1), np.array([INF])) == INF
    assert value_at(gr.norm, np.array([3, 4], "i4")).dtype == np.float64


# Symbolic sizes.

SYMBOLIC = {
    "sum": (lambda x: gr.sum(x, 0), "f64[4]"),
    "mean": (gr.mean, "f64[]"),
    "std": (lambda x: gr.std(x, 0, ddof=1), "f64[4]"),
    "max": (lambda x: gr.max(x, 0, keepdims=True), "f64[1, 4]"),
    "prod": (lambda x: gr.prod(x, (0, 1)), "f64[]"),
    "cumprod": (lambda x: gr.cumprod(x, 0, reverse=True), "f64[batch, 4]"),
    "reshape": (lambda x: gr.reshape(x, (2, -1)), "f64[2, 2*batch]"),
    "reshape to a dim": (lambda x: gr.reshape(x, (2, x.shape[0], 2)), "f64[2, batch, 2]"),
    "ravel": (gr.ravel, "f64[4*batch]"),
    "transpose": (lambda x: x.T, "f64[4, batch]"),
    "broadcast_to": (lambda x: gr.broadcast_to(x, (3, *x.shape)), "f64[3, batch, 4]"),
    "concatenate": (lambda x: gr.concatenate([x, gr.constant(np.ones((2, 4))), x]), "f64[2*batch + 2, 4]"),
    "split": (lambda x: gr.multiply(*gr.split(x, 2)), "f64[floor(batch/2), 4]"),
    "cut": (lambda x: list(gr.split(x, [1, -1]))[1], "f64[batch - 2, 4]"),
    "pad": (lambda x: gr.pad(x, ((1, 2), (0, 0))), "f64[batch + 3, 4]"),
    "tile": (lambda x: gr.tile(x, (2, 1)), "f64[2*batch, 4]"),
    "repeat": (lambda x: gr.repeat(x, 3), "f64[12*batch]"),
    "roll": (lambda x: gr.roll(x, 1), "f64[batch, 4]"),
    "diff": (lambda x: gr.diff(x, axis=0), "f64[batch - 1, 4]"),
    "norm": (lambda x: gr.norm(x, axis=1), "f64[batch]"),
    "logsumexp": (lambda x: gr.logsumexp(x, 0), "f64[4]"),
}


@pytest.mark.parametrize("name", SYMBOLIC)
def test_symbolic_sizes_give_the_values_and_gradients_of_known_ones(name):
    function, declared = SYMBOLIC[name]
    results = []
    for shape in (("batch", 4), (4, 4)):
        x = gr.placeholder("x", shape, "float64")
        y = function(x)
        slope = gr.grad(gr.sum(gr.sin(y)), x)
        results.append((y, slope, *run([y, slope], {x: POINT + 0.01})))
    (y, slope, *values), (*_, known, known_slope) = results
    assert (str(y.type), str(slope.type)) == (declared, "f64[batch, 4]")
    np.testing.assert_array_equal(values[0], known)
    np.testing.assert_array_equal(values[1], known_slope)


def test_dims_in_a_shape_may_be_named():
    x = gr.placeholder("x", ("batch", 4))
    assert gr.reshape(x, ("batch", 2, -1)).type == gr.reshape(x, (x.shape[0], 2, 2)).type
    assert gr.broadcast_to(x, ("n", "batch", 4)).shape == (Dim("n"), Dim("batch"), 4)
    assert gr.reshape(gr.placeholder("y", (6,)), ("batch", -1)).shape[0] == Dim("batch")


def test_a_split_of_a_symbolic_axis_is_checked_when_the_size_is_known():
    x = gr.placeholder("x", ("batch",), "float64")
    half = next(iter(gr.split(x, 2)))
    with pytest.raises(gr.ShapeError, match=r"axis 0 of f64\[3\] does not split into 2 pieces"):
        run([half], {x: np.ones(3)})


# The stored form, and random arguments.


def test_the_stored_form_passed_again_gives_the_same_node():
    x = gr.placeholder("x", (2, 3, 4))
    nodes = [gr.sum(x, -1), gr.max(x, (2, 0), keepdims=True), gr.argmax(x), gr.argmin(x, -2), gr.cumsum(x),
             gr.cumprod(x, -1, reverse=True), gr.reshape(x, (4, -1)), gr.transpose(x), gr.broadcast_to(x, [5, 2, 3, 4]),
             gr.flip(x), gr.roll(x, 2), gr.roll(x, (1, 2), (-1, 0)), gr.split(x, [1, 2], -1), gr.pad(x, 1),
             gr.concatenate([x, x], -1), gr.linear_recurrence(x, x), gr.logsumexp(x, 0)]  # fmt: skip
    for node in nodes:
        again = OPS[node.op.name](*node.inputs, **node.attrs)
        assert Graph(None, [again]).structure() == Graph(None, [node]).structure()


def test_sum_to_adds_as_few_nodes_as_it_can():
    g = gr.placeholder("g", (2, 3, 4))
    assert gr.sum_to(g, (2, 3, 4)) is g
    for shape, nodes in {(1, 3, 1): 2, (3, 4): 2, (): 2, (3, 1): 3}.items():
        result = gr.sum_to(g, shape)
        assert (result.shape, len(Graph([g], [result]))) == (shape, nodes)


shapes = st.lists(st.integers(0, 4), min_size=1, max_size=3)


@settings(max_examples=60)
@given(shapes, st.data())
def test_any_arguments_rearrange_as_numpy_does(shape, data):
    x = np.arange(1.0, 1 + np.prod(shape)).reshape(shape)
    axis = data.draw(st.integers(-x.ndim, x.ndim - 1))
    draws = {
        "roll": (data.draw(st.integers(-9, 9)), data.draw(st.sampled_from([axis, None]))),
        "flip": (axis,), "cumsum": (axis,), "cumprod": (axis,), "repeat": (data.draw(st.integers(0, 3)), axis),
        "tile": (data.draw(st.lists(st.integers(0, 3), max_size=4)),),
        "pad": (data.draw(st.lists(st.tuples(*[st.integers(0, 2)] * 2), min_size=x.ndim, max_size=x.ndim)),),
        "transpose": (data.draw(st.permutations(range(x.ndim))),), "swapaxes": (axis, 0), "moveaxis": (axis, -1),
    }  # fmt: skip
    for name, arguments in draws.items():
        got = value_at(lambda a: getattr(gr, name)(a, *arguments), x)  # noqa: B023
        np.testing.assert_array_equal(got, getattr(np, name)(x, *arguments), strict=True)
    indices = sorted(data.draw(st.lists(st.integers(0, 9), max_size=3)))
    pieces = evaluate(list(gr.split(gr.constant(x), indices, axis)))
    for got, expected in zip(pieces, np.split(x, indices, axis), strict=True):
        np.testing.assert_array_equal(got, expected, strict=True)


def test_results_of_several_are_reached_by_index_like_numpys():
    x = gr.placeholder("x", (6,), "float64")
    parts = gr.split(x, 3)
    assert len(parts) == len(list(parts)) == 3
    fed = np.arange(6.0)
    np.testing.assert_array_equal(parts[0].eval({x: fed}), [0, 1])
    np.testing.assert_array_equal(parts[-1].eval({x: fed}), [4, 5])
    np.testing.assert_array_equal(gr.run(parts[1:], {x: fed}), [[2, 3], [4, 5]])
    for index in (3, -4, "a"):
        with pytest.raises(gr.ShapeError, match="one of 3 results"):
            parts[index]


@pytest.mark.parametrize("whole", [np.int64, np.int32, np.uint8])
def test_numpys_integers_count_as_pythons(whole):
    """One of uint8 has no negative, of which the other numbers of a diagonal are made."""
    x, row = np.arange(24.0).reshape(4, 6), np.arange(3.0)
    one, two, four = map(whole, (1, 2, 4))
    pairs = [
        (gr.concatenate(list(gr.array_split(x, four, axis=1))[::-1], 1),
         np.concatenate(np.array_split(x, 4, axis=1)[::-1], 1)),
        (gr.diagonal(x, one), np.diagonal(x, 1)), (gr.trace(x, two), np.trace(x, 2)),
        (gr.diag(row, one), np.diag(row, 1)), (gr.round(x / 7, one), np.round(x / 7, 1)),
        (gr.tensordot(x, x.T, axes=one), np.tensordot(x, x.T, axes=1)),
        (gr.tensordot(x, x, axes=(one, one)), np.tensordot(x, x, axes=(1, 1))),
        (gr.polygamma(row + 1, order=one), value(gr.polygamma(row + 1, order=1))),
    ]  # fmt: skip
    for ours, theirs in pairs:
        np.testing.assert_array_equal(value(ours), theirs)


def test_nothing_is_left_of_differences_taken_more_often_than_there_are_elements():
    x = np.arange(6.0).reshape(2, 3)
    for n in (3, 4, 2**70):
        np.testing.assert_array_equal(value(gr.diff(x, n)), np.diff(x, 3))
        assert value(gr.diff(x > 2, n, axis=0)).shape == (0, 3)


def test_diff_of_truth_values_is_numpys():
    x = np.array([[True, False, False], [True, True, False]])
    for n, axis in [(1, 0), (1, 1), (2, 1), (0, 1)]:
        ours, theirs = value(gr.diff(x, n, axis)), np.diff(x, n, axis)
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)


def test_no_counts_repeat_an_axis_of_no_elements():
    np.testing.assert_array_equal(value(gr.repeat(np.zeros((0, 2)), [], 0)), np.repeat(np.zeros((0, 2)), [], 0))


@pytest.mark.parametrize("mistake", [
    lambda x: gr.round(x, 1.5), lambda x: gr.split(x, [1.5]), lambda x: gr.split(x, 2.0), lambda x: gr.split(x, None),
    lambda x: gr.repeat(x, [], 0), lambda x: gr.transpose(x, 1), lambda x: gr.transpose(x, 1.5),
])  # fmt: skip
def test_what_is_no_whole_number_is_refused(mistake):
    """Of one and a half places, one was taken."""
    with pytest.raises(gr.GraphcError, match="Remedy"):
        mistake(gr.placeholder("x", (4, 6)))
