"""Ranges, fills, patterned matrices and sorting against NumPy."""

import numpy as np
import pytest
from values import assert_explained, value

import graphc as gr
from graphc.evaluate import evaluate
from graphc.ir import Graph
from graphc.passes.specialize import specialize
from graphc.testing import check_gradient

INF, NAN = float("inf"), float("nan")
X = np.arange(12.0).reshape(3, 4)


def same(got, expected):
    """Equal in shape, dtype and every bit."""
    got, expected = np.asarray(got), np.asarray(expected)
    return (got.shape, got.dtype, got.tobytes()) == (expected.shape, expected.dtype, expected.tobytes())


# Fills and ranges


@pytest.mark.parametrize("dtype", ["float32", "float64", "int8", "bool"])
@pytest.mark.parametrize("shape", [(), 3, (2, 3), (0, 2), np.array(3), np.array([2, 3])], ids=repr)
def test_fills(shape, dtype):
    assert same(value(gr.zeros(shape, dtype)), np.zeros(shape, dtype))
    assert same(value(gr.ones(shape, dtype)), np.ones(shape, dtype))
    assert same(value(gr.full(shape, 1, dtype)), np.full(shape, 1, dtype))


def test_fills_like_another_array():
    like = np.zeros((2, 3), "f4")
    assert same(value(gr.zeros_like(like)), np.zeros_like(like))
    assert same(value(gr.ones_like(gr.constant(like), "int8")), np.ones_like(like, "int8"))
    assert same(value(gr.full_like(like, 2.5, dtype="f8")), np.full_like(like, 2.5, "f8"))


def test_the_default_dtypes_are_those_of_placeholders_and_of_numpy_integers():
    fills = gr.zeros(2), gr.ones(2), gr.full(2, 1.0), gr.one_hot([0], 2), gr.linspace(0, 1), gr.arange(2.0)
    assert {node.dtype for node in (*fills, gr.eye(2), gr.tri(2), gr.identity(2))} == {np.dtype("float32")}
    assert {node.dtype for node in (gr.full(2, 1), gr.arange(2), gr.argsort([1.0]))} == {np.dtype("int64")}
    assert gr.full(2, True).dtype == bool
    assert gr.full(2, np.float64(1)).dtype == np.float64


def test_a_fill_may_be_a_node_and_its_shape_symbolic():
    c = gr.placeholder("c", (), "f64")
    y = gr.full(("n", 2), c)
    assert str(y.type) == "f64[n, 2]"
    assert value(gr.grad(gr.full((3, 2), c * c).sum(), c), {c: np.float64(2)}) == 24


COUNTS = [(5,), (2, 7), (7, 2), (0, 10, 3), (np.int8(2), 5), (3.0,)]
REALS = [*COUNTS, (7, 2, -2), (-3,), (0.0, 1.0, 0.1), (1.0, 0.0, -0.3), (0, 1, 0.5)]
RANGES = [(numbers, dtype) for dtype in ("float32", "float64") for numbers in REALS]
RANGES += [(numbers, dtype) for dtype in ("int64", "u1") for numbers in COUNTS]


@pytest.mark.parametrize(("numbers", "dtype"), RANGES, ids=str)
def test_arange(numbers, dtype):
    assert same(value(gr.arange(*numbers, dtype=dtype)), np.arange(*numbers, dtype=dtype))


@pytest.mark.parametrize("endpoint", [True, False])
@pytest.mark.parametrize("num", [0, 1, 2, 7])
def test_linspace(num, endpoint):
    expected = np.linspace(-1, 2.5, num, endpoint=endpoint)
    assert same(value(gr.linspace(-1, 2.5, num, endpoint=endpoint, dtype="f64")), expected)
    start, stop = gr.placeholder("start", (), "f64"), gr.placeholder("stop", (2,), "f64")
    y = gr.linspace(start, stop, num, endpoint=endpoint)
    feed = {start: np.float64(-1), stop: np.array([2.5, 1e300])}
    expected = np.linspace(-1, feed[stop], num, endpoint=endpoint)
    np.testing.assert_allclose(value(y, feed), expected, rtol=1e-15, atol=1e-15)
    if endpoint and num > 1:
        assert value(y, feed)[-1].tolist() == [2.5, 1e300]


def test_one_hot():
    y = value(gr.one_hot([[0, 2], [-1, 3]], 3, "f64"))
    assert y.tolist() == [[[1, 0, 0], [0, 0, 1]], [[0, 0, 0], [0, 0, 0]]]


# Matrices


@pytest.mark.parametrize("k", [0, 1, -1, 2, -5, 5])
@pytest.mark.parametrize("sizes", [(3, None), (2, 4), (4, 2), (0, 3)], ids=str)
def test_eye_and_tri(sizes, k):
    assert same(value(gr.eye(*sizes, k)), np.eye(*sizes, k, dtype="f4"))
    assert same(value(gr.tri(*sizes, k=k, dtype="int16")), np.tri(*sizes, k, dtype="int16"))


@pytest.mark.parametrize("k", [2**63, 2**70])
def test_diagonals_beyond_any_matrix_leave_all_of_a_triangle_or_nothing(k):
    for part, whole in ((gr.tril, k), (gr.triu, -k)):
        assert same(value(part(X, whole)), X)
        assert same(value(part(X, -whole)), np.zeros_like(X))


@pytest.mark.parametrize("k", [0, 1, -1, 9, -9])
@pytest.mark.parametrize("x", [X, X.T, X[0], X.reshape(2, 2, 3), X.astype(int), X > 3, np.full((2, 2), NAN)], ids=repr)
def test_triangles_and_diagonals(x, k):
    assert same(value(gr.tril(x, k)), np.tril(x, k))
    assert same(value(gr.triu(x, k)), np.triu(x, k))
    if x.ndim < 3:
        assert same(value(gr.diag(x, k)), np.diag(x, k))
    if x.ndim > 1:
        assert same(value(gr.diagonal(x, k)), np.diagonal(x, k))
        assert same(value(gr.diagonal(x, k, -1, 0)), np.diagonal(x, k, -1, 0))
        assert same(value(gr.trace(x, k)), np.trace(x, k))


def test_diagonals_of_symbolic_squares():
    x, v = gr.placeholder("x", ("n", "n"), "f64"), gr.placeholder("v", ("n",), "f64")
    y = gr.diagonal(x, 1), gr.trace(x, -1), gr.diag(v, 2), gr.tril(x)
    assert [str(node.type) for node in y] == ["f64[n - 1]", "f64[]", "f64[n + 2, n + 2]", "f64[n, n]"]
    graph = specialize(Graph([x, v], y), sizes={"n": 3})
    square, vector = X[:, :3], X[0, :3]
    expected = np.diagonal(square, 1), np.trace(square, -1), np.diag(vector, 2), np.tril(square)
    got = evaluate(graph.outputs, dict(zip(graph.inputs, (square, vector), strict=True)))
    assert [same(*pair) for pair in zip(got, expected, strict=True)] == [True] * 4


def test_a_triangle_hides_what_is_not_finite_from_derivatives():
    x = gr.placeholder("x", (2, 2), "f64")
    slope = gr.grad(gr.tril(gr.log(x)).sum(), x)
    assert value(slope, {x: np.array([[1.0, 0.0], [2.0, 4.0]])}).tolist() == [[1, 0], [0.5, 0.25]]


def test_ranges_of_symbolic_sizes():
    x = gr.placeholder("x", ("n", 2))
    n = x.shape[0]
    y = gr.arange(n), gr.arange(1, n + 1), gr.arange(0, n, 2), gr.eye(n, n + 1, dtype="i64")
    assert [str(node.type) for node in y] == ["i64[n]", "i64[n]", "i64[floor(n/2 + 1/2)]", "i64[n, n + 1]"]
    got = evaluate(specialize(Graph([x], y), sizes={"n": 5}).outputs)
    expected = np.arange(5), np.arange(1, 6), np.arange(0, 5, 2), np.eye(5, 6, dtype=int)
    assert [same(*pair) for pair in zip(got, expected, strict=True)] == [True] * 4


# Sorting

UNSORTED = np.array([[3.0, -0.0, NAN, 0.0, -INF, 3.0], [INF, 1.0, 1.0, NAN, 2.0, 1.0]])


@pytest.mark.parametrize("axis", [0, 1, -1, None])
@pytest.mark.parametrize("dtype", ["f8", "f4", "i8", "u1", "bool"])
def test_sort_and_argsort(dtype, axis):
    x = (UNSORTED if dtype[0] == "f" else np.nan_to_num(UNSORTED, posinf=9, neginf=0)).astype(dtype)
    np.testing.assert_array_equal(value(gr.sort(x, axis)), np.sort(x, axis))
    assert same(value(gr.argsort(x, axis)), np.argsort(x, axis, kind="stable"))


def test_sorting_has_derivatives():
    x = gr.placeholder("x", (3, 4), "f64")
    feed = {x: np.random.default_rng(0).permutation(np.arange(12.0)).reshape(3, 4)}
    weights = np.arange(12.0).reshape(3, 4)
    check_gradient(gr.sort(x, 0) ** 2 * weights, x, feed)
    values, _ = gr.top_k(x, 2, axis=0)
    check_gradient(values**3, x, feed)
    assert value(gr.grad((gr.sort(x) * weights).sum(), x), {x: np.zeros((3, 4))}).tolist() == weights.tolist()


def test_top_k_takes_the_largest_first_and_of_equal_ones_the_first():
    values, positions = evaluate(list(gr.top_k(np.array([[1, 3, 3, 0], [2, 2, 2, 2]]), 3)))
    assert values.tolist() == [[3, 3, 1], [2, 2, 2]]
    assert positions.tolist() == [[1, 2, 0], [0, 1, 2]]
    assert evaluate(list(gr.top_k(UNSORTED, 2)))[1].tolist() == [[2, 0], [3, 0]]
    assert evaluate(list(gr.top_k(X, 2, axis=0)))[1].tolist() == [[2] * 4, [1] * 4]
    assert [part.shape for part in evaluate(list(gr.top_k(X, 0)))] == [(3, 0)] * 2


@pytest.mark.parametrize("side", ["left", "right"])
def test_searchsorted(side):
    vector, places = np.array([1.0, 2.0, 2.0, 5.0]), np.array([[0.0, 2.0], [5.0, NAN]])
    assert same(value(gr.searchsorted(vector, places, side)), np.searchsorted(vector, places, side))


# Errors

NODE = gr.placeholder("node", (), "int64")
MISTAKES = [
    (lambda: gr.arange(NODE), gr.DTypeError, "known when the graph is declared", "gr.arange(count)"),
    (lambda: gr.arange(0, 5, 0), gr.ShapeError, "a step other than 0", ""),
    (lambda: gr.arange(0, INF), gr.ShapeError, "finite bounds", ""),
    (lambda: gr.arange(3, dtype=bool), gr.DTypeError, "dtype of numbers", ""),
    (lambda: gr.arange(0.5, gr.placeholder("x", ("n",)).shape[0]), gr.ShapeError, "ints beside a symbolic dim", ""),
    (lambda: gr.linspace(0, 1, -1), gr.ShapeError, "an int ≥ 0, got -1", ""),
    (lambda: gr.one_hot([0.5], 3), gr.DTypeError, "expected integers, got f64[1]", "astype"),
    (lambda: gr.zeros(-1), gr.ShapeError, "a dim ≥ 0, got -1", ""),
    (lambda: gr.full(3, [1.0, 2.0]), gr.ShapeError, "f64[2] does not broadcast to [3]", ""),
    (lambda: gr.eye(2, k=0.5), gr.ShapeError, "number of a diagonal to be an int, got 0.5", ""),
    (lambda: gr.eye(-2), gr.ShapeError, "a dim ≥ 0, got -2", ""),
    (lambda: gr.tril(NODE), gr.ShapeError, "expected a matrix, got i64[]", ""),
    (lambda: gr.diag(NODE), gr.ShapeError, "a vector or a matrix, got i64[]", "gr.diagonal"),
    (lambda: gr.diagonal(X, 0, 1, -1), gr.ShapeError, "two axes, got axis 1 twice", ""),
    (lambda: gr.diagonal(gr.placeholder("x", ("n", "m"))), gr.ShapeError, "depends on n and m", "one name"),
    (lambda: gr.sort(NODE), gr.ShapeError, "axis -1 is out of range", "no axes"),
    (lambda: gr.top_k(X, 5), gr.ShapeError, "axis 1 of f64[3, 4] has 4 elements, got k = 5", "smaller k"),
    (lambda: gr.top_k(X, -1), gr.ShapeError, "k to be an int ≥ 0", ""),
    (lambda: gr.searchsorted(X, 1.0), gr.ShapeError, "a vector to search in, got f64[3, 4]", "one row"),
    (lambda: gr.searchsorted(X[0], 1.0, "middle"), gr.ShapeError, "\"left\" or \"right\"", ""),
]  # fmt: skip


@pytest.mark.parametrize(("mistake", "kind", "problem", "remedy"), MISTAKES)
def test_mistakes_are_explained(mistake, kind, problem, remedy):
    assert_explained(mistake, kind, problem, remedy)
