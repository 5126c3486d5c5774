"""Values whose elements lie in turns, such as the colours of pixels, are read and written together."""

import numpy as np
import pytest

import graphc as gr

pytest.importorskip("llvmlite")

from guarded import run_guarded

from graphc.native.kernel import values
from graphc.native.program import NativeProgram

DTYPES = ["float64", "float32", "float16", "int64", "int32", "int8", "bool"]
rng = np.random.default_rng(0)


def drawn(shape, dtype):
    return (rng.normal(size=shape) * 3).astype(dtype)


def mixed(count, rows, length, dtype):
    """So many parts of an array that has them in turns, each with its neighbour, and all of these in turns."""
    x = gr.placeholder("x", (rows, length, count), dtype)
    parts = [x[..., i] for i in range(count)]
    return x, gr.stack([gr.where(parts[i - 1] > parts[i], parts[i - 1], -parts[i] if dtype != "bool" else parts[i])
                        for i in range(count)], -1)  # fmt: skip


def check(x, outputs, feed):
    expected = gr.compile([x], outputs, backend="numpy")(feed)
    for threads in (1, 2, 3):
        for value, right in zip(gr.compile([x], outputs, backend="native", threads=threads)(feed), expected,
                                strict=True):  # fmt: skip
            assert value.dtype == right.dtype
            np.testing.assert_array_equal(value, right)


@pytest.fixture
def counted(fresh, monkeypatch):
    """How many values are read together, and written, in all code that is written from now on."""
    found = {"read": set(), "written": set()}
    read, write = values.read_together, values.write_together

    def reading(code, place, lanes, count, *others):
        found["read"].add(count)
        return read(code, place, lanes, count, *others)

    def writing(code, together, *others):
        found["written"].add(len(together))
        write(code, together, *others)

    fresh()
    monkeypatch.setattr(values, "read_together", reading)
    monkeypatch.setattr(values, "write_together", writing)
    return found


@pytest.mark.usefixtures("each_unit")
@pytest.mark.parametrize("dtype", DTYPES)
def test_all_elements_are_those_of_numpy(dtype):
    for count, rows, length in ((2, 1, 3), (2, 3, 16), (2, 9, 4000), (3, 1, 1), (3, 2, 8), (3, 1, 33), (3, 90, 131),
                                (4, 7, 65), (5, 3, 40), (6, 1, 129), (7, 2, 31), (8, 3, 50)):  # fmt: skip
        x, whole = mixed(count, rows, length, dtype)
        check(x, [whole], drawn(x.shape, dtype))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("count", [2, 3, 4, 7])
def test_nothing_beyond_their_memory_is_touched(monkeypatch, count, dtype):
    for length in (1, 3, 8, 9, 17, 33, 64, 129):
        x, whole = mixed(count, 3, length, dtype)
        run, feed = gr.compile([x], [whole], backend="native"), drawn(x.shape, dtype)
        (right,) = gr.compile([x], [whole], backend="numpy")(feed)
        for (found,) in run_guarded(run, [feed], monkeypatch):
            np.testing.assert_array_equal(found, right)


def test_colours_and_their_gradient(counted):
    x = gr.placeholder("x", (64, 70, 3))
    gray = 0.25 * x[..., 0] + 0.5 * x[..., 1] + 0.125 * x[..., 2]
    loss = gr.sum(gray * gray)
    run = gr.compile([x], [loss, gr.grad(loss, x)], backend="native", threads=2)
    feed = drawn(x.shape, "float32")
    found, gradient = run(feed)
    assert counted == {"read": {3}, "written": {3}}
    weights = np.array([0.25, 0.5, 0.125], "float32")
    np.testing.assert_allclose(found, ((feed.astype("float64") @ weights) ** 2).sum(), rtol=1e-6)
    np.testing.assert_allclose(gradient, 2 * (feed @ weights)[..., None] * weights, rtol=1e-5, atol=1e-6)
    works = NativeProgram(run.plan.graph, 2).works.listed
    assert [work.node.op.name for work in works if not work.combines] == ["kernel"]


def test_reductions_beside(counted):
    x = gr.placeholder("x", (40, 300, 2), "int64")
    first, second = x[..., 0] + 1, x[..., 1] * 2
    outputs = [gr.stack([first, second], -1), gr.sum(first), gr.max(second, 1), gr.sum(first * second, 0)]
    check(x, outputs, drawn(x.shape, "int64"))
    assert counted["read"] == {2}


def test_reductions_that_the_parts_need():
    x = gr.placeholder("x", (500, 2), "float64")
    tops = [x[:, i] - gr.max(x[:, i]) for i in range(2)]
    check(x, [gr.stack(tops, 1)], drawn(x.shape, "float64"))
    x = gr.placeholder("x", (500, 9, 2), "float64")
    tops = [x[..., i] - gr.max(x[..., i], 1, keepdims=True) for i in range(2)]
    check(x, [gr.stack(tops, 2), gr.concatenate([top.reshape(100, 45) for top in tops], 1)],
          drawn(x.shape, "float64"))  # fmt: skip


def test_down_columns(counted):
    x = gr.placeholder("x", (30, 50, 3), "float32")
    mixed = gr.minimum(x[..., 0], x[..., 1]) - x[..., 2]
    check(x, [mixed - gr.max(mixed, 0)], drawn(x.shape, "float32"))
    assert counted["read"] == {3}


def test_pieces_that_are_results_or_taken_twice_are_copied():
    x = gr.placeholder("x", (50, 30, 2), "float64")
    first, second = x[..., 0] * 2, x[..., 1] + x[..., 0]
    check(x, [gr.stack([first, second, first], -1), gr.stack([second, first], -1), second],
          drawn(x.shape, "float64"))  # fmt: skip


def test_pieces_of_a_piece():
    x = gr.placeholder("x", (33, 20, 3), "int32")
    a, b, c = (x[..., i] + i for i in range(3))
    whole = gr.stack([a - b, b - c, c - a], -1)
    check(x, [gr.concatenate([whole, gr.stack([a, b, c], -1) * 2], 0), gr.concatenate([whole, x], -1)],
          drawn(x.shape, "int32"))  # fmt: skip


def test_a_result_in_turns_with_an_operand(counted):
    """A kernel that reads one piece of a concatenation and writes its neighbour reads the one, and writes the other."""
    x, y = gr.placeholder("x", (1000,), "float64"), gr.placeholder("y", (1000,), "float64")
    larger, product = gr.maximum(x, y), x * y
    high = gr.sort(larger)[-3:-2]
    others = [gr.where(larger > high, larger - y, y - larger), gr.where(product < high, product, x)]
    whole = gr.stack([gr.concatenate([larger, product]), gr.concatenate(others)], -1)
    feeds = [drawn(1000, "float64") for _ in range(2)]
    found, right = (gr.compile([x, y], [whole], backend=name)(*feeds)[0] for name in ("native", "numpy"))
    np.testing.assert_array_equal(found, right)
    assert not counted["read"]
    assert not counted["written"]


def test_parts_that_miss_one_or_lie_otherwise_are_read_one_by_one(counted):
    x = gr.placeholder("x", (20, 90, 4), "float32")
    some = gr.stack([x[..., 0] + x[..., 1], x[..., 1] - x[..., 2]], -1)
    apart = x[:, ::2, 0] * x[:, 1::2, 1] + x[:, ::2, 1]
    check(x, [some, apart, x[:-1, :, 3] - x[1:, :, 3]], drawn(x.shape, "float32"))
    assert counted["read"] == set()


def test_stacked_numbers():
    x = gr.placeholder("x", (3,), "float64")
    check(x, [gr.stack([x[0] + x[1], x[1] * x[2], x[2] - x[0]])], drawn(x.shape, "float64"))
