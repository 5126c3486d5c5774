"""Indexing, lookups and updates against NumPy; symbolic sizes; derivatives where positions repeat."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from values import value

import graphc as gr
from graphc.evaluate import evaluate
from graphc.ir import Graph, topological
from graphc.passes.specialize import specialize
from graphc.testing import check_gradient
from graphc.text import parse

A = np.arange(2 * 3 * 4.0).reshape(2, 3, 4)
I1, I2 = np.array([0, 1, 1, 0, 1]), np.array([[-1], [1]])
MASK = A[0] % 2 == 0
NAN = float("nan")


def same(got, expected):
    """Equal in shape, dtype and every bit."""
    got, expected = np.asarray(got), np.asarray(expected)
    return (got.shape, got.dtype, got.tobytes()) == (expected.shape, expected.dtype, expected.tobytes())


def with_nodes(index, feed):
    """The index with a placeholder for every integer array in it."""
    if isinstance(index, tuple):
        return tuple(with_nodes(part, feed) for part in index)
    if not isinstance(index, np.ndarray) or index.dtype.kind == "b":
        return index
    leaf = gr.placeholder(f"i{len(feed)}", index.shape, index.dtype)
    feed[leaf] = index
    return leaf


def check_index(array, index, *, as_nodes=False):
    """Reading, setting and adding at an index are what they are in NumPy."""
    x = gr.placeholder("x", array.shape, array.dtype)
    feed = {x: array}
    key = with_nodes(index, feed) if as_nodes else index
    part = x[key]
    expected = array[index]
    assert (part.shape, part.dtype) == (expected.shape, expected.dtype)
    new = np.arange(100.0, 100 + expected.size).reshape(expected.shape)
    replaced, raised = array.copy(), array.copy()
    replaced[index] = new
    np.add.at(raised, index, new)
    results = evaluate([part, gr.set_at(x, key, new), gr.add_at(x, key, new)], feed)
    assert [same(*pair) for pair in zip(results, (expected, replaced, raised), strict=True)] == [True] * 3


BASIC = [
    (), ..., 1, -1, (0, -1), (0, 1, 2), None, (None, 0, None), (0, 1, 2, ...), (0, ..., None), np.s_[1:], np.s_[::-1],
    np.s_[..., ::2], np.s_[:, 5:1:-2], np.s_[-2:100, -100:-1], np.s_[3:1, 0], np.s_[..., 1, 2:2], np.s_[0:0:-1],
    np.s_[1::-1, :0:-1], np.s_[np.int64(1), np.int8(0) : np.int8(2)],
]  # fmt: skip


@pytest.mark.parametrize("index", BASIC, ids=str)
def test_basic_index(index):
    check_index(A, index)
    assert gr.placeholder("x", A.shape)[index].op.view


ADVANCED = [
    I1, [0, 1], ([1, 0], [0, -1]), np.s_[:, I1], np.s_[I1, :, I1], (I1, None, I1), np.s_[:, I1, I1], np.s_[0, :, I1],
    np.s_[:, 1, I2], (0, I1), (I2, I1), (..., I2, I1), (I1, ..., I1), np.s_[:, I1, ..., I1], (1, ..., I2, None), I2,
    (I1, I2, 0), np.s_[:, I2, None, 2], np.s_[None, I1, 1:, -1], A > 7, (0, MASK), np.s_[:, MASK],
    np.s_[:, MASK[:, 0], I1[:3]], (np.array([True, False]),), [], np.s_[:, []], np.zeros((0, 2), int), True, False,
    (True, I1), np.s_[:, True, I1], np.s_[I1, :, True], np.array(1), (np.array(1), I2),
    (I1.astype("u1"), I2.astype("i2")), I1.astype("u8"), np.s_[[[0, 1], [1, 0]], :1, ::-1], np.s_[0:0, I2],
    np.s_[np.array(0), np.array(2), :], range(2),
]  # fmt: skip


@pytest.mark.parametrize("as_nodes", [False, True])
@pytest.mark.parametrize("index", ADVANCED, ids=str)
def test_advanced_index(index, as_nodes):
    check_index(A, index, as_nodes=as_nodes)


@st.composite
def indexed_arrays(draw):
    """An array, and an index of slices, ints, new axes, `...` and integer arrays in any order."""
    array = draw(hnp.arrays(np.float64, hnp.array_shapes(max_dims=4, max_side=4), elements=st.just(1.0)))
    array[...] = np.arange(array.size).reshape(array.shape)
    common = draw(hnp.array_shapes(min_dims=0, max_dims=2, max_side=3))
    first, last = sorted(draw(st.tuples(*[st.integers(0, array.ndim)] * 2)))
    parts = [draw(_part(dim, common)) for dim in array.shape[:first]]
    if draw(st.booleans()):
        parts += [..., *[draw(_part(dim, common)) for dim in array.shape[last:]]]
    for _ in range(draw(st.integers(0, 2))):
        parts.insert(draw(st.integers(0, len(parts))), None)
    return array, tuple(parts)


def _part(dim, common):
    whole = hnp.arrays(np.int64, common, elements=st.integers(-dim, dim - 1))
    return st.one_of(st.integers(-dim, dim - 1), st.slices(dim), whole)


@settings(max_examples=150)
@given(indexed_arrays(), st.booleans())
def test_any_index(example, as_nodes):
    array, index = example
    check_index(array, index, as_nodes=as_nodes)


@settings(max_examples=40)
@given(indexed_arrays())
def test_any_index_has_derivatives(example):
    array, index = example
    x, feed = gr.placeholder("x", array.shape, "f64"), {}
    key = with_nodes(index, feed)
    part = x[key]
    new = gr.placeholder("new", part.shape, "f64")
    feed = {**feed, x: np.sin(array), new: np.cos(np.arange(part.size)).reshape(part.shape)}
    check_gradient(part * part, x, feed)
    check_gradient(gr.set_at(x, key, new) ** 2, [x, new], feed)
    check_gradient(gr.add_at(x, key, new) ** 2, [x, new], feed)


def test_the_last_value_at_a_position_stays_and_takes_the_derivative():
    x, new = gr.placeholder("x", (2,), "f64"), gr.placeholder("new", (3,), "f64")
    y = gr.set_at(x, [1, -1, 1], new)
    dx, dnew = gr.gradients(y, [x, new], seed=np.array([2.0, 3.0]))
    feed = {x: np.zeros(2), new: np.array([5.0, 6.0, 7.0])}
    assert [v.tolist() for v in evaluate([y, dx, dnew], feed)] == [[0.0, 7.0], [2.0, 0.0], [0.0, 0.0, 3.0]]


def test_infinities_written_over_leave_no_nan_in_the_derivative():
    x, new = gr.placeholder("x", (2,), "f64"), gr.placeholder("new", (2,), "f64")
    (dnew,) = gr.gradients(gr.set_at(x, [0, 0], gr.log(new)).sum(), [new])
    assert value(dnew, {x: np.zeros(2), new: np.array([0.0, 2.0])}).tolist() == [0.0, 0.5]


def test_updates_leave_negative_zeros_alone():
    x = gr.constant(np.array([-0.0, 1.0, -0.0]))
    assert same(value(gr.add_at(x, [1], 1.0)), np.array([-0.0, 2.0, -0.0]))


@pytest.mark.parametrize("shape", [(7, 600), (5000, 40), (3, 2, 300, 2)], ids=str)
def test_adding_long_rows_and_many_rows_keeps_the_order_of_sums(shape):
    rng = np.random.default_rng(0)
    at = rng.integers(-shape[0], shape[0], 2000)
    new = rng.standard_normal((2000, *shape[1:])).astype("f4")
    expected = np.ones(shape, "f4")
    np.add.at(expected, at, new)
    assert same(value(gr.add_at(gr.ones(shape), at, new)), expected)


# Masks


@pytest.mark.parametrize("mask", [A > 7, A[:, :, 0] > 5, np.array([False, True])], ids=lambda mask: str(mask.shape))
def test_masks_that_are_nodes_update(mask):
    x, chosen = gr.placeholder("x", A.shape, "f64"), gr.placeholder("chosen", mask.shape, "bool")
    replaced, raised = A.copy(), A.copy()
    replaced[mask] = NAN
    raised[mask] += 2
    results = evaluate([gr.set_at(x, chosen, NAN), gr.add_at(x, chosen, 2.0)], {x: A, chosen: mask})
    assert same(results[0], replaced)
    assert same(results[1], raised)


def test_masked_updates_have_derivatives():
    x, new = gr.placeholder("x", (2, 3), "f64"), gr.placeholder("new", (3,), "f64")
    chosen = gr.placeholder("chosen", (2,), "bool")
    feed = {x: np.ones((2, 3)), chosen: np.array([True, False]), new: np.arange(3.0)}
    check_gradient(gr.set_at(x, chosen, new) ** 2, [x, new], feed)
    check_gradient(gr.add_at(x, chosen, new) ** 2, [x, new], feed)


# Symbolic sizes

WITHIN = [
    np.s_[1:], np.s_[:-1], np.s_[::2], np.s_[::-1], np.s_[1:-1], np.s_[2:], np.s_[:3], np.s_[-2:], 0, -1, 3, np.s_[4:1],
    np.s_[-1:-3], np.s_[1::3], np.s_[:-5:-2], (..., 0), [0, -1], (-1, [1, 0]), np.s_[None, 2:, 1], np.s_[:],
]  # fmt: skip


def fixed(node, x, size):
    return specialize(Graph([x], [node]), sizes={"batch": size})


@pytest.mark.parametrize("size", [6, 9])
@pytest.mark.parametrize("index", WITHIN, ids=str)
def test_symbolic_axis(index, size):
    x = gr.placeholder("x", ("batch", 2), "f64")
    y = x[index]
    array = np.arange(2.0 * size).reshape(size, 2)
    graph = fixed(gr.gradients((y * y).sum(), [x])[0], x, size)
    expected = np.zeros((size, 2))
    expected[index] = 2 * array[index]
    assert y.array_type.substitute({"batch": size}).shape == array[index].shape
    assert same(evaluate(graph.outputs, {graph.inputs[0]: array})[0], expected)


def test_symbolic_sizes_are_expressions():
    x = gr.placeholder("x", ("batch",))
    parts = x[1:], x[:-1], x[::-1], x[::2], x[:3], x[-2:], x[3:1]
    assert [str(part.shape[0]) for part in parts] == [
        "batch - 1", "batch - 1", "batch", "floor(batch/2 + 1/2)", "3", "2", "0"]  # fmt: skip
    assert x[:].attrs["index"] == ()


def test_bounds_may_be_symbolic_dims():
    x, y = gr.placeholder("x", ("n",), "f64"), gr.placeholder("y", ("m",), "f64")
    joined = gr.concatenate([x, y])
    n = x.shape[0]
    assert [str(part.type) for part in (joined[:n], joined[n:], joined[n])] == ["f64[n]", "f64[m]", "f64[]"]


TOO_SHORT = [(np.s_[:5], 4), (np.s_[3:], 2), (np.s_[3:-3], 5), (np.s_[-4:], 3), (2, 2), (-3, 2)]


@pytest.mark.parametrize(("index", "size"), TOO_SHORT, ids=str)
def test_a_symbolic_axis_that_turns_out_too_short_is_an_error(index, size):
    x = gr.placeholder("x", ("batch",))
    with pytest.raises(gr.ShapeError, match=f"axis 0 of size {size}"):
        fixed(x[index], x, size)


# Text


def test_an_index_is_printed_as_it_is_stored_and_read_back():
    x, i = gr.placeholder("x", ("batch", 4, 5)), gr.placeholder("i", (3,), "int64")
    text = str(Graph([x, i], [gr.set_at(x[1:, ::-1, None], (slice(None), -1, 0, i), 2.0)]))
    assert "getitem(%x) {index=((1, batch, 1), (3, None, -1), None)} : f32[batch - 1, 4, 1, 5]" in text
    assert str(parse(text)) == text


def test_an_index_takes_one_node_unless_it_mixes_slices_and_arrays():
    x, i = gr.placeholder("x", (4, 5)), gr.placeholder("i", (3,), "int64")
    parts = x[1:, 2], x[i], x[:, i], x[1:, i]
    assert [[node.op.name for node in topological([part]) if node.inputs] for part in parts] == [
        ["getitem"], ["gather"], ["gather"], ["getitem", "gather"]]  # fmt: skip


# Lookups under NumPy's names


@pytest.mark.parametrize("axis", [None, 0, 1, -1])
@pytest.mark.parametrize("positions", [1, [1, 0, 1], I2, np.zeros((2, 0), int)], ids=str)
def test_take(positions, axis):
    assert same(value(gr.take(A, positions, axis)), np.take(A, positions, axis))


def test_take_writes_into_a_buffer_with_the_same_checks():
    gather, out = gr.OPS["gather"].body, np.zeros((2, 3))
    assert gather(np.arange(12.0).reshape(4, 3), np.array([-1, 0]), axes=(0,), at=0, out=out) is out
    assert out.tolist() == [[9, 10, 11], [0, 1, 2]]
    with pytest.raises(IndexError, match="index -5 is out of bounds for axis 0 with size 4"):
        gather(np.zeros((4, 3)), np.array([0, -5]), axes=(0,), at=0, out=out)


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_along_axis(axis):
    order = np.argsort(-A, axis)
    put = A.copy()
    np.put_along_axis(put, order, 2 * A, axis)
    assert same(value(gr.take_along_axis(A, order, axis)), np.take_along_axis(A, order, axis))
    assert same(value(gr.put_along_axis(A, order, 2 * A, axis)), put)
    sorted_back = np.take_along_axis(A, np.argsort(order, axis), axis)
    assert same(value(gr.add_along_axis(np.zeros_like(A), A, order, axis)), sorted_back)
