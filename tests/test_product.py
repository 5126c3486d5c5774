"""Matrix products and their kin: NumPy's results, readable derivatives, sentences for what does not fit."""

import itertools

import numpy as np
import pytest
from values import value

import graphc as gr
from graphc.testing import check_gradient
from graphc.types import DTYPES

pytestmark = pytest.mark.usefixtures("each_backend")

RNG = np.random.default_rng(7)
SHAPES = [(3,), (2, 3), (3, 2), (4, 2, 3), (4, 3, 2), (1, 3, 3), (5, 1, 3, 3), (0, 3), (3, 0), (2, 3, 0)]


def array(shape, dtype="f8"):
    return (RNG.standard_normal(shape) * 3).astype(dtype)


def ops_of(*outputs):
    return [node.op.name for node in gr.Graph(None, outputs).nodes if not node.op.leaf]


def same_as_numpy(function, reference, *operands, **attributes):
    """The result of both, or an error of both."""
    try:
        expected = reference(*operands, **attributes)
    except ValueError:
        with pytest.raises(gr.ShapeError, match="Remedy:"):
            function(*operands, **attributes)
        return
    node = function(*operands, **attributes)
    found = value(node)
    assert (node.shape, node.dtype) == (np.shape(expected), expected.dtype)
    assert (np.shape(found), np.asarray(found).dtype) == (np.shape(expected), expected.dtype)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


# NumPy's results


@pytest.mark.parametrize("name", ["matmul", "dot", "inner", "outer", "vdot"])
def test_every_pair_of_shapes_gives_what_numpy_gives(name):
    for a, b in itertools.product([(), *SHAPES], repeat=2):
        same_as_numpy(getattr(gr, name), getattr(np, name), array(a), array(b))


@pytest.mark.parametrize("axes", [0, 1, 2, (-1, -2), (0, 0), ((1, 0), (0, 1)), ([0], [-1]), ((0, 0), (0, 1))])
def test_tensordot_gives_what_numpy_gives_for_every_form_of_axes(axes):
    for a, b in itertools.product([(3, 3), (3, 2), (2, 3, 3), (3, 3, 2)], repeat=2):
        if axes == ((0, 0), (0, 1)):  # NumPy takes an axis twice where sizes allow, and gives a strange result
            with pytest.raises(gr.ShapeError, match="distinct"):
                gr.tensordot(array(a), array(b), axes=axes)
        else:
            same_as_numpy(gr.tensordot, np.tensordot, array(a), array(b), axes=axes)


def test_matmul_has_numpys_dtype_for_every_pair():
    for a, b in itertools.product(DTYPES.values(), repeat=2):
        x, y = np.array([[1, 0], [1, 1]]).astype(a), np.array([[1, 1], [0, 1]]).astype(b)
        expected = x @ y
        found = value(gr.matmul(x, y))
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)


def test_integers_wrap_around_and_truth_values_stay_so():
    row = np.full((1, 8), 100, "i1")
    assert value(gr.matmul(row, row.T)).item() == np.int64(80000).astype("i1")
    truth = np.array([[True, False], [False, False]])
    np.testing.assert_array_equal(value(gr.matmul(truth, truth)), truth)


def test_many_rows_against_one_matrix_are_one_product_also_into_a_buffer():
    x, w = array((6, 5, 4)), array((4, 3))
    for rows in (x, x.transpose(1, 0, 2), x[::2], x[:, :0]):
        expected = np.matmul(rows, w)
        out = np.full(expected.shape, np.nan)
        np.testing.assert_allclose(gr.matmul.body(rows, w, out=out), expected, rtol=1e-14)
        np.testing.assert_array_equal(out, gr.matmul.body(rows, w))


def test_arrays_and_numbers_are_lifted_on_both_sides():
    x = gr.placeholder("x", (2, 3))
    data = array((2, 3), "f4")
    np.testing.assert_allclose(value(x @ np.eye(3, dtype="f4"), {x: data}), data)
    np.testing.assert_allclose(value(np.eye(2, dtype="f4") @ x, {x: data}), data)
    assert gr.dot(2.0, x).dtype == np.float32, "a Python number takes the dtype beside it"


# Derivatives


def test_the_derivative_of_a_layer_is_two_products_of_matrices():
    x, w = gr.placeholder("x", ("batch", 784)), gr.variable("w", np.zeros((784, 10), "f4"))
    g = gr.placeholder("g", ("batch", 10))
    dx, dw = gr.gradients(x @ w, [x, w], seed=g)
    assert (dx.op.name, dx.inputs[0], dx.inputs[1].op.name, dx.inputs[1].inputs) == ("matmul", g, "transpose", (w,))
    assert (dw.op.name, dw.inputs[0].op.name, dw.inputs[0].inputs, dw.inputs[1]) == ("matmul", "transpose", (x,), g)


def test_a_matrix_shared_by_a_batch_gets_its_derivative_in_one_product():
    x, w = gr.placeholder("x", ("batch", "time", 8)), gr.placeholder("w", (8, 4))
    g = gr.placeholder("g", ("batch", "time", 4))
    _, dw = gr.gradients(x @ w, [x, w], seed=g)
    assert sorted(ops_of(dw)) == ["matmul", "reshape", "reshape", "transpose"]
    feed = {x: array((5, 3, 8), "f4"), g: array((5, 3, 4), "f4")}
    np.testing.assert_allclose(value(dw, feed), np.einsum("btk,btn->kn", feed[x], feed[g]), rtol=1e-5, atol=3e-5)


def test_a_vector_gets_its_derivative_by_products_with_vectors():
    matrix, vector, g = (gr.placeholder(name, shape) for name, shape in [("m", (4, 3)), ("v", (3,)), ("g", (4,))])
    dm, dv = gr.gradients(matrix @ vector, [matrix, vector], seed=g)
    assert ops_of(dv) == ["matmul"]
    assert dv.inputs == (g, matrix)
    assert ops_of(dm) == ["reshape", "multiply"]


@pytest.mark.parametrize(("a", "b"), [(a, b) for a, b in itertools.product(SHAPES, repeat=2)
                                      if a[-1] == b[-2:][0] and 0 not in a + b])  # fmt: skip
def test_derivatives_for_every_pair_of_shapes(a, b):
    x, y = gr.placeholder("x", a, "float64"), gr.placeholder("y", b, "float64")
    check_gradient(x @ y, [x, y], {x: array(a), y: array(b)}, order=2)


def test_derivatives_with_symbolic_sizes_sum_over_broadcast_batches():
    x, y = gr.placeholder("x", ("b", 1, "m", "k"), "float64"), gr.placeholder("y", ("h", "k", 2), "float64")
    assert (x @ y).shape == (*x.shape[:1], *y.shape[:1], x.shape[2], 2)
    check_gradient(x @ y, [x, y], {x: array((2, 1, 3, 4)), y: array((5, 4, 2))}, order=2)


def test_derivatives_reach_the_float_operand_beside_integers():
    x, counts = gr.placeholder("x", (2, 3), "float32"), gr.placeholder("n", (3, 2), "int64")
    (dx,) = gr.gradients(gr.sum(x @ counts), [x])
    assert dx.dtype == np.float32
    n = np.arange(6).reshape(3, 2)
    np.testing.assert_array_equal(value(dx, {x: array((2, 3), "f4"), counts: n}), np.tile(n.sum(1), (2, 1)))


def test_empty_products_have_derivatives():
    x, y = gr.placeholder("x", (2, 0), "float64"), gr.placeholder("y", (0, 3), "float64")
    dx, dy = gr.gradients(gr.sum(x @ y), [x, y])
    feed = {x: np.zeros((2, 0)), y: np.zeros((0, 3))}
    assert (value(dx, feed).shape, value(dy, feed).shape) == ((2, 0), (0, 3))


# Sizes and costs


def test_a_symbolic_inner_dim_meets_an_integer_and_the_integer_stays():
    x, w = gr.placeholder("x", ("batch", "features")), gr.placeholder("w", (784, 10))
    assert str((x @ w).type) == "f32[batch, 10]"
    assert str(gr.tensordot(x, w, axes=0).type) == "f32[batch, features, 784, 10]"
    assert str(gr.vdot(x, x).type) == "f32[]"
    assert str(gr.outer(x, w).type) == "f32[batch*features, 7840]"


def test_the_effort_counts_two_flops_per_inner_element():
    x, y = gr.placeholder("x", (2, 3, 5)).type, gr.placeholder("y", (5, 4)).type
    assert gr.matmul.effort(gr.matmul.infer(x, y), x, y) == 10


# Sentences


@pytest.mark.parametrize(("a", "b", "remedy"), [
    ((2, 3), (4, 3), "transpose the second operand (.T)"),
    ((3, 2), (3, 4), "transpose the first operand (.T)"),
    ((3, 4), (2, 3), "exchange the operands"),
    ((7, 2, 3), (7, 4, 3), "swap the last two axes of the second operand"),
    ((3,), (2, 3), "transpose the second operand (.T)"),
    ((2, 5), (3,), "the first operand's last dim must be the second's last but one"),
])  # fmt: skip
def test_contradictory_inner_dims_raise_with_the_way_out(a, b, remedy):
    x, y = gr.placeholder("x", a), gr.placeholder("y", b)
    with pytest.raises(gr.ShapeError) as caught:
        x @ y
    message = str(caught.value)
    assert f"expected equal inner dims, got {x.type} and {y.type}" in message
    assert remedy in message
    assert "test_product.py" in message


def test_symbols_that_cannot_be_equal_raise_when_declared():
    n = gr.placeholder("n", ("n",))
    with pytest.raises(gr.ShapeError, match="inner dims"):
        gr.concatenate([n, np.zeros(1, "f4")]) @ n


@pytest.mark.parametrize(("call", "sentence"), [
    (lambda x: x @ 2.0, "rank 1 or more"),
    (lambda x: gr.matmul(gr.placeholder("u", (4, 2, 3)), gr.placeholder("v", (5, 3, 2))), "before the last two"),
    (lambda x: gr.tensordot(x, x, axes=3), "sum over 0 to 2 axes, got 3"),
    (lambda x: gr.tensordot(x, x, axes=([0], [0, 1])), "equally long"),
    (lambda x: gr.tensordot(x, x, axes=(0,)), "a number or two lists"),
    (lambda x: gr.tensordot(x, x, axes=(0, 1)), "cannot pair axis 0 of a with axis 1 of b"),
    (lambda x: gr.vdot(x, np.zeros(7)), "inner dims"),
])  # fmt: skip
def test_what_does_not_fit_raises_a_sentence(call, sentence):
    with pytest.raises(gr.ShapeError, match=sentence) as caught:
        call(gr.placeholder("x", (2, 3)))
    assert "Remedy:" in str(caught.value)
