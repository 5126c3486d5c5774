"""Many rows, and long ones, are ordered in parts: as NumPy orders them in one call, and with interrupts in between."""

import numpy as np
import pytest
from interrupts import Interrupts
from tracing import traced

import graphc as gr
from graphc.executor.cost import temporary_bytes
from graphc.ops import ordering

DTYPES = ["?", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8"]
SIZES = {"PART_SIZE": 96, "LONG_ROW": 96, "RUN_SIZE": 32, "SAMPLES": 8, "BUCKET_SIZE": 16}
SPECIAL = [np.nan, -np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0]
ROWS = {
    "random": lambda n: rng().normal(0, 50, n), "rising": np.arange, "falling": lambda n: -np.arange(n),
    "ties": lambda n: rng().integers(-3, 4, n), "equal": np.zeros, "in turns": lambda n: np.arange(n) % 32 - 16,
    "special": lambda n: rng().choice(SPECIAL, n), "organ pipe": lambda n: -abs(np.arange(n) - n // 2),
    "mostly NaN": lambda n: np.where(rng().random(n) < 0.9, np.nan, rng().normal(0, 1, n)),
}  # fmt: skip


def rng():
    return np.random.default_rng(0)


@pytest.fixture
def small(monkeypatch):
    for name, size in SIZES.items():
        monkeypatch.setattr(ordering, name, size)


@pytest.fixture
def ordered(monkeypatch):
    """How many elements each call of NumPy's orders."""
    sizes, order, argsort = [], ordering._order, np.argsort
    monkeypatch.setattr(ordering, "_order", lambda x, *axis: sizes.append(x.size) or order(x, *axis))
    monkeypatch.setattr(np, "argsort", lambda x, *axis, kind: sizes.append(x.size) or argsort(x, *axis, kind=kind))
    return sizes


def cast(x, dtype):
    with np.errstate(invalid="ignore"):
        return np.asarray(x).astype(dtype)


def sort(x, axis):
    """What NumPy's stable sort gives: its quicksort of halves is not always right."""
    return np.sort(x, axis, kind="stable")


def assert_ordered(x, axis=0):
    """All ops that order, beside NumPy's single calls; equal elements may differ in the sign of a zero only."""
    positions = np.argsort(x, axis, kind="stable")
    np.testing.assert_array_equal(gr.OPS["sort"].body(x, axis=axis), sort(x, axis))
    np.testing.assert_array_equal(gr.OPS["argsort"].body(x, axis=axis), positions)
    backwards = x.shape[axis] - 1 - np.flip(np.argsort(np.flip(x, axis), axis, kind="stable"), axis)
    for k in {0, 1, x.shape[axis] // 2, x.shape[axis]}:
        values, places = gr.OPS["top_k"].body(x, k=k, axis=axis)
        first = np.moveaxis(np.moveaxis(backwards, axis, 0)[:k], 0, axis)
        np.testing.assert_array_equal(places, first)
        np.testing.assert_array_equal(values, np.take_along_axis(x, first, axis))
        assert (values.dtype, places.dtype) == (x.dtype, np.int64)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ROWS)
def test_a_long_row_is_ordered_as_in_one_call(name, dtype, small):
    for size in (97, 128, 129, 320, 1000):
        assert_ordered(cast(ROWS[name](size), dtype))


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("shape", [(2, 3, 130), (130, 1, 2), (1, 200, 1), (5, 0, 97), (0, 100, 2), (30, 20, 3)])
def test_long_rows_lie_along_any_axis_with_any_strides(shape, axis, small):
    x = rng().normal(0, 5, shape).round(1).astype("f4")
    for strided in (x, np.flip(x), x.T.copy().T, np.repeat(x, 2, 2)[..., ::2]):
        assert_ordered(strided, axis)
        into = np.empty((*shape, 2), "f4")[..., 0]
        assert gr.OPS["sort"].body(strided, axis=axis, out=into) is into
        np.testing.assert_array_equal(into, sort(strided, axis))


@pytest.mark.parametrize("name", ROWS)
def test_no_call_orders_more_than_a_bucket_and_a_share_of_the_row(name, small, ordered):
    size = 4000
    x = cast(ROWS[name](size), "f4")
    for op in ("sort", "argsort"):
        ordered.clear()
        gr.OPS[op].body(x, axis=0)
        runs, samples, buckets = ordered[: size // 32], ordered[size // 32], ordered[size // 32 + 1 :]
        assert (set(runs), samples) == ({32}, size // 4)
        assert max(buckets, default=0) <= 16 + size // 8
        assert sum(buckets) <= size
    runs = np.sort(x.reshape(-1, 32)).ravel()
    places = [place for place, *_ in ordering._buckets(ordering._runs(size), runs.__getitem__)]
    assert [place.start for place in places] == [0, *[place.stop for place in places[:-1]]]
    assert places[-1].stop == size
    assert max(place.stop - place.start for place in places) <= max(16 + size // 8, 32)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("shape", [(2, 3, 4), (1, 3, 20), (1, 9, 1), (3, 0, 2)])
def test_rows_are_ordered_some_at_a_time(shape, axis, monkeypatch, ordered):
    monkeypatch.setattr(ordering, "PART_SIZE", 20)
    x = rng().integers(0, 5, shape).astype("f4")
    for op in ("sort", "argsort"):
        ordered.clear()
        gr.OPS[op].body(x, axis=axis)
        assert sum(ordered) == x.size
        assert max(ordered, default=0) <= max(20, x.size // max(np.delete(shape, axis)))
    assert_ordered(x, axis)


@pytest.mark.parametrize("op", ["sort", "argsort", "top_k", "random_permutation"])
def test_an_interrupt_comes_between_calls_of_numpy(op, small):
    x = rng().normal(0, 1, 500).astype("f4")
    call = {
        "top_k": lambda: gr.OPS[op].body(x, k=200, axis=0)[1],
        "random_permutation": lambda: gr.OPS[op].body(np.array([1, 2], "u8"), n=500),
    }.get(op, lambda: gr.OPS[op].body(x, axis=0))
    expected = call()
    for number in (1, 20, 60, 100, 150):
        interrupts = Interrupts({ordering.__file__}, number, KeyboardInterrupt)
        with pytest.raises(KeyboardInterrupt):
            interrupts.call(call)
    np.testing.assert_array_equal(call(), expected)


@pytest.mark.parametrize("shape", [(500,), (3, 200), (200, 3), (97, 1, 2)])
@pytest.mark.parametrize("side", ["left", "right"])
def test_many_values_are_searched_for_some_at_a_time(shape, side, small, monkeypatch):
    where, values, sizes, search = np.arange(9.0), rng().integers(-1, 11, shape) / 1.0, [], np.searchsorted
    monkeypatch.setattr(np, "searchsorted", lambda a, part, side: sizes.append(part.size) or search(a, part, side))
    np.testing.assert_array_equal(gr.OPS["searchsorted"].body(where, values, side=side), search(where, values, side))
    assert (sum(sizes), len(sizes) > 1) == (values.size, True)
    assert max(sizes) <= 96


def test_a_long_permutation_is_the_order_of_its_words(small):
    words = np.random.Philox(key=np.array([1, 2], "u8"), counter=[0, 0, 0, 0]).random_raw(1000)
    permutation = gr.OPS["random_permutation"].body(np.array([1, 2], "u8"), n=1000)
    np.testing.assert_array_equal(permutation, np.argsort(words, kind="stable"))


@pytest.mark.parametrize("name", ROWS)
def test_halves_are_in_order(name):
    """NumPy's quicksort leaves many equal negative ones out of order on AVX-512."""
    x = cast(ROWS[name](100_000), "f2")
    np.testing.assert_array_equal(gr.OPS["sort"].body(x, axis=0), sort(x, 0))


def test_all_halves_are_ordered_in_short_rows_and_long_ones():
    x = rng().permutation(np.arange(1 << 16, dtype="u2")).view("f2")
    for shape in ((-1,), (-1, 16), (2, -1)):
        for axis in range(len(shape)):
            rows = x.reshape(shape)
            np.testing.assert_array_equal(gr.OPS["sort"].body(rows, axis=axis), sort(rows, axis))


@pytest.mark.parametrize("shape", [(60_000,), (40_000, 2), (3, 10_000)])
@pytest.mark.parametrize("dtype", ["i1", "f2", "f4", "f8"])
@pytest.mark.parametrize("op", ["sort", "argsort", "top_k"])
def test_no_more_memory_is_taken_than_declared(op, dtype, shape, monkeypatch):
    """Buckets of this size may be twice as long, by chance or as samples are few."""
    sizes = {"PART_SIZE": 1 << 14, "LONG_ROW": 1 << 15, "RUN_SIZE": 1 << 13, "BUCKET_SIZE": 1 << 13}
    for name, size in sizes.items():
        monkeypatch.setattr(ordering, name, size)
    x = cast(rng().normal(0, 50, shape), dtype)
    node = gr.OPS[op](gr.placeholder("x", shape, dtype), *[2] * (op == "top_k"), axis=0)
    gr.OPS[op].body(x, **node.attrs)
    with traced() as allocated:
        result = gr.OPS[op].body(x, **node.attrs)
        _, most = allocated()
    assert len(result)
    assert most - node.type.nbytes <= 1.05 * temporary_bytes(node) + 50_000
