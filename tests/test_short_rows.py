"""Rows of a few elements: reduced by parts, or walked side by side, where that is faster, and right in every way."""

import numpy as np
import pytest

import graphc as gr
from graphc.evaluate import evaluate
from graphc.passes.expand import expand

pytest.importorskip("llvmlite")

from guarded import run_guarded

from graphc.native.code.elementwise import is_native
from graphc.native.code.library import LIBRARY
from graphc.native.kernel import short
from graphc.native.kernel.facts import blocks_of, steps_in_order
from graphc.native.kernel.kernel import Kernel
from graphc.native.program import NativeProgram
from graphc.passes.fuse import fuse

REDUCTIONS = ["sum", "prod", "max", "min"]
DTYPES = ["float32", "float64", "float16", "int64", "int32", "uint8", "bool"]
SPECIAL = [0.0, -0.0, np.inf, -np.inf, np.nan, 1.0]
rng = np.random.default_rng(0)


def drawn(shape, dtype):
    values = np.round(rng.normal(size=shape) * 3)
    return np.abs(values).astype(dtype) if dtype in ("uint8", "bool") else values.astype(dtype)


def check(x, y, array, expected):
    runs = [gr.compile([x], y, backend="native", threads=threads)(array) for threads in (1, 2, 3)]
    for found in runs:
        assert found.dtype == expected.dtype
        assert found.shape == expected.shape
        assert found.tobytes() == runs[0].tobytes()
        np.testing.assert_allclose(found, expected, rtol=1e-3 if expected.dtype == np.float16 else 1e-6)
    return runs[0]


def is_by_parts(y):
    graph = expand(gr.Graph(None, [y]), fusible=is_native)
    return any(node.op.name == "getitem" for node in graph.nodes)


@pytest.mark.parametrize("name", REDUCTIONS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_of_a_few_elements(name, dtype):
    for shape, axis in [((1027, 2), 1), ((513, 3), -1), ((7, 75, 4), 2), ((300, 5), 1), ((33, 17, 2, 2), (2, 3)),
                        ((5, 31, 2, 17, 2), (2, 4)), ((2, 520, 3, 1), (3, 0, 2))]:  # fmt: skip
        for keepdims in (False, True):
            x, array = gr.placeholder("x", shape, dtype), drawn(shape, dtype)
            y = getattr(gr, name)(x, axis, keepdims=keepdims)
            check(x, y, array, getattr(np, name)(array, axis, keepdims=keepdims))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", REDUCTIONS)
def test_special_values_of_short_rows(name, dtype):
    pairs = np.array([[a, b] for a in SPECIAL for b in SPECIAL], dtype)
    array = np.tile(pairs, (40, 1))
    x = gr.placeholder("x", array.shape, dtype)
    y = getattr(gr, name)(x, 1)
    assert is_by_parts(y)
    with np.errstate(all="ignore"):
        expected = getattr(np, name)(array, 1)
    found = check(x, y, array, expected)
    signed = expected != 0 if name in ("max", "min") else ~np.isnan(expected)  # of two zeros either is the larger
    assert np.array_equal(np.signbit(found)[signed], np.signbit(expected)[signed])


def test_parts_of_what_is_seen_otherwise_and_their_gradient():
    x, array = gr.placeholder("x", (6, 30, 20), "float64"), drawn((6, 30, 20), "float64")
    blocks = gr.reshape(x, (6, 15, 2, 10, 2))
    check(x, gr.grad(gr.sum(gr.sum(blocks, (2, 4)) ** 2), x), array,
          2 * np.repeat(np.repeat(array.reshape(6, 15, 2, 10, 2).sum((2, 4)), 2, 1), 2, 2))  # fmt: skip
    turned = gr.transpose(x, (2, 0, 1))
    check(x, gr.max(gr.reshape(turned, (20, 6, 15, 2)), 3), array,
          array.transpose(2, 0, 1).reshape(20, 6, 15, 2).max(3))  # fmt: skip


def test_which_are_computed_by_parts():
    x, wide = gr.placeholder("x", (600, 2), "float32"), gr.placeholder("w", (400, 4), "float64")
    small = gr.placeholder("s", (400, 2), "float32")
    assert is_by_parts(gr.sum(x, 1))
    assert is_by_parts(gr.max(gr.reshape(gr.exp(x), (300, 2, 2)), 2))
    assert is_by_parts(gr.sum(gr.reshape(wide, (400, 2, 2)), 2))
    assert not is_by_parts(gr.sum(x, 0))
    assert not is_by_parts(gr.sum(x))
    assert not is_by_parts(gr.sum(gr.exp(x), 1))
    assert not is_by_parts(gr.sum(small, 1))
    assert not is_by_parts(gr.sum(wide, 1))


@pytest.mark.usefixtures("each_unit")
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_extremes_of_special_values_wherever_they_stand(dtype):
    """Also NaN with a sign, and zeros, of which the maximum is the positive one."""
    for length in (5, 8, 13, 16, 31, 70):
        array = np.tile(drawn((3, length), dtype) - 20, (2 * length, 1))
        for number, special in enumerate((np.nan, -np.nan, np.inf, -np.inf, 1e-7, -1e-7)):
            array[np.arange(length) * 6 + number, np.arange(length)] = special
        array[0], array[1] = -0.0, 0.0
        array[0, length // 2], array[1, length // 2] = 0.0, -0.0
        x = gr.placeholder("x", array.shape, dtype)
        program = NativeProgram(fuse(gr.Graph([x], [gr.max(x, 1), gr.min(x, 1)]), fusible=is_native), 2)
        top, bottom = program.run([array], {}, [None, None])
        np.testing.assert_array_equal(top, array.max(1))
        np.testing.assert_array_equal(bottom, array.min(1))
        assert not np.signbit(top[:2]).any()
        assert np.signbit(bottom[:2]).all()


# ------------------------------------------------------------------------------------------------------- side by side


def short_rows(rows, length, dtype):
    """A softmax and its logarithm, weighted; numbers per row; what is accumulated over all rows."""
    shapes = {"x": (rows, length), "y": (rows, length), "b": (length,), "c": (rows, 1)}
    x, y, b, c = inputs = [gr.placeholder(name, shape, dtype) for name, shape in shapes.items()]
    below = x - gr.max(x, 1, keepdims=True)
    total = gr.sum(gr.exp(below) * gr.exp(b), 1, keepdims=True)
    p = gr.exp(below) / total
    outputs = [p, below - gr.log(total) * c, gr.sum(p * y, 0), gr.sum(p * y), gr.sum(p * c, 1), gr.max(p * y),
               gr.max(below, 0), gr.all(x > y, 0), gr.astype(x > y, "int8")]  # fmt: skip
    return inputs, outputs, [rng.normal(size=node.shape).astype(dtype) for node in inputs]


def walked_side_by_side(inputs, outputs):
    kernels = (node for node in fuse(gr.Graph(inputs, outputs), fusible=is_native).nodes if "body" in node.attrs)
    return [Kernel(node.attrs["body"], [steps_in_order(x.array_type) for x in node.inputs]).short for node in kernels]


def assert_side_by_side(inputs, outputs, feeds, **tolerances):
    """Some kernel walks rows so, and results are right, with the same bits on any number of threads."""
    assert any(walked_side_by_side(inputs, outputs))
    right = evaluate(outputs, dict(zip(inputs, feeds, strict=True)))
    graph = fuse(gr.Graph(inputs, outputs), fusible=is_native)
    runs = [NativeProgram(graph, threads).run(feeds, {}, [None] * len(outputs)) for threads in (1, 2, 3)]
    for expected, found, *others in zip(right, *runs, strict=True):
        np.testing.assert_allclose(found, expected, **tolerances)
        assert all(other.tobytes() == found.tobytes() for other in others)


@pytest.mark.usefixtures("each_unit")
@pytest.mark.parametrize(("dtype", "rtol"), [("float64", 1e-12), ("float32", 1e-5), ("float16", 2e-2)])
def test_rows_side_by_side_are_right_at_every_edge_on_any_number_of_threads(dtype, rtol):
    for rows, length in ((64, 2), (65, 3), (79, 5), (127, 7), (513, 8), (64, 9), (100, 10), (97, 12)):
        inputs, outputs, feeds = short_rows(rows, length, dtype)
        assert_side_by_side(inputs, outputs, feeds, rtol=rtol, atol=5 * rtol)


@pytest.mark.parametrize(("dtype", "lengths"), [("float64", (5, 6)), ("float32", (5, 7, 10, 12)), ("float16", (9, 16))])
@pytest.mark.usefixtures("each_unit")
def test_extremes_alone_of_rows_side_by_side(monkeypatch, dtype, lengths):
    monkeypatch.setattr(short, "LEAST_ROWS_ALONE", 64)
    for rows, length in ((rows, length) for rows in (64, 97, 1000) for length in lengths):
        x, array = gr.placeholder("x", (rows, length), dtype), drawn((rows, length), dtype)
        array[rng.integers(0, rows, 9), rng.integers(0, length, 9)] = np.resize([np.nan, -np.inf, np.inf, -0.0], 9)
        outputs = [gr.max(x, 1), gr.min(x, 1, keepdims=True), gr.max(-x * x, 1)]
        assert any(walked_side_by_side([x], outputs))
        graph = fuse(gr.Graph([x], outputs), fusible=is_native)
        runs = [NativeProgram(graph, threads).run([array], {}, [None] * 3) for threads in (1, 2, 3)]
        for expected, found, *others in zip(evaluate(outputs, {x: array}), *runs, strict=True):
            np.testing.assert_array_equal(found, expected)
            assert all(other.tobytes() == found.tobytes() for other in others)


def test_totals_alone_of_rows_side_by_side(monkeypatch):
    monkeypatch.setattr(short, "LEAST_ROWS_ALONE", 64)
    x, y = (gr.placeholder(name, (5, 80, 6), "float32") for name in "xy")
    outputs = [gr.sum(x * y, 2), gr.max(x, 2), gr.sum(x, (1, 2)), gr.prod(y, 2) + 1, gr.exp(x)]
    assert_side_by_side([x, y], outputs, [drawn(x.shape, "float32"), drawn(x.shape, "float32")], rtol=1e-5, atol=1e-5)


def test_blocks_are_as_many_as_an_even_number():
    assert blocks_of(100, 19_000.0) == (100, 1)
    assert blocks_of(100, 65_000.0) == (25, 4)
    assert blocks_of(3, 65_000.0) == (1, 3)
    assert blocks_of(100_000, 90_000.0, multiple=1024) == (25_600, 4)
    assert blocks_of(100, 65_000.0, [1 << 20]) == (50, 2)


@pytest.mark.parametrize("dtype", ["bool", "int8", "int64", "uint16"])
@pytest.mark.usefixtures("each_unit")
def test_short_rows_of_integers(dtype):
    for rows, length in ((64, 12), (131, 5), (300, 9)):
        x, array = gr.placeholder("x", (rows, length), dtype), drawn((rows, length), dtype)
        outputs = [gr.equal(x, gr.max(x, 1, keepdims=True)), gr.min(x, 1, keepdims=True) + x]
        assert all(walked_side_by_side([x], outputs))
        program = NativeProgram(fuse(gr.Graph([x], outputs), fusible=is_native), 2)
        for found, expected in zip(program.run([array], {}, [None, None]), evaluate(outputs, {x: array}), strict=True):
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
@pytest.mark.parametrize("length", [2, 5, 8, 12])
def test_rows_side_by_side_touch_nothing_beyond_their_memory(monkeypatch, length, dtype):
    for rows in (64, 75, 129):
        inputs, outputs, feeds = short_rows(rows, length, dtype)
        run = gr.compile(inputs, outputs, backend="native")
        right = run(*feeds)
        for found in run_guarded(run, feeds, monkeypatch):
            for value, expected in zip(found, right, strict=True):
                np.testing.assert_array_equal(value, expected)


def labelled(rows, length, dtype):
    """The cross-entropy of labels, some counted from the end, its gradient, and what is looked up alone."""
    x, i = gr.placeholder("x", (rows, length), dtype), gr.placeholder("i", (rows, 1), "int64")
    taken = gr.take_along_axis(gr.nn.log_softmax(x, 1), i, axis=1)
    outputs = [taken, -gr.mean(taken), gr.grad(-gr.mean(taken), x)]
    return [x, i], outputs, [rng.normal(size=x.shape).astype(dtype), rng.integers(-length, length, i.shape)]


@pytest.mark.usefixtures("each_unit")
@pytest.mark.parametrize(("dtype", "rtol"), [("float64", 1e-12), ("float32", 1e-5)])
def test_labels_of_short_rows(dtype, rtol):
    for rows, length in ((64, 2), (77, 5), (100, 10), (200, 12)):
        inputs, outputs, feeds = labelled(rows, length, dtype)
        assert_side_by_side(inputs, outputs, feeds, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("wrong", [10, -11, 2**40])
def test_a_label_of_a_short_row_outside_is_named(wrong):
    for function in (lambda x, i: gr.take_along_axis(gr.nn.softmax(x, 1), i, axis=1),
                     lambda x, i: gr.grad(gr.sum(gr.take_along_axis(gr.nn.softmax(x, 1), i, axis=1)), x)):  # fmt: skip
        x, i = gr.placeholder("x", (100, 10)), gr.placeholder("i", (100, 1), "int64")
        run = gr.compile([x, i], function(x, i), backend="native")
        labels = np.full((100, 1), 3)
        run(np.ones((100, 10), "f4"), labels)
        for row in (0, 70, 99):
            labels[:] = 3
            labels[row] = wrong
            with pytest.raises(gr.ExecutionError, match=f"IndexError: index {wrong} is out of bounds"):
                run(np.ones((100, 10), "f4"), labels)


def test_labels_of_short_rows_touch_nothing_beyond_their_memory(monkeypatch):
    for rows, length in ((64, 5), (75, 10), (129, 16)):
        inputs, outputs, feeds = labelled(rows, length, "float32")
        run = gr.compile(inputs, outputs, backend="native")
        right = run(*feeds)
        for found in run_guarded(run, feeds, monkeypatch):
            for value, expected in zip(found, right, strict=True):
                np.testing.assert_array_equal(value, expected)


def test_which_rows_are_walked_side_by_side():
    def of(shape, axis=-1, dtype="float32", function=gr.nn.softmax):
        x = gr.placeholder("x", shape, dtype)
        return any(walked_side_by_side([x], [function(x, axis)]))

    assert of((100, 10))
    assert of((64, 16))
    assert of((3, 100, 7))
    assert of((10, 10, 7))
    assert of((100, 12), dtype="float64")
    assert not of((63, 10)), "few rows"
    assert not of((100, 17)), "long rows"
    assert not of((100, 13), dtype="float64"), "rows of more than a line and a half"
    assert not of((100, 10), axis=0), "columns"
    assert of((20_000, 12), function=gr.sum)
    assert of((20_000, 6), dtype="float64", function=gr.max)
    assert not of((10_000, 10), function=gr.sum), "few rows, whose results alone are wanted"
    assert not of((20_000, 13), function=gr.sum), "long ones"
    assert not of((20_000, 6), dtype="int32", function=gr.max), "of integers"


def test_short_rows_with_gaps_are_walked_one_after_the_other():
    x = gr.placeholder("x", (100, 24))
    feed = rng.normal(size=x.shape).astype("float32")
    run = gr.compile([x], [gr.nn.softmax(x[:, ::2], 1), gr.nn.softmax(x[:, 3:12], 1)], backend="native")
    for found, part in zip(run(feed), (feed[:, ::2], feed[:, 3:12]), strict=True):
        raised = np.exp(part - part.max(1, keepdims=True))
        np.testing.assert_allclose(found, raised / raised.sum(1, keepdims=True), rtol=1e-5)


def test_short_rows_of_any_number_share_their_code(monkeypatch):
    monkeypatch.setenv("GRAPHC_CACHE", "")
    x = gr.placeholder("x", ("batch", 11))
    run = gr.compile([x], gr.nn.softmax(x * 1.75, 1), backend="native")
    run(np.ones((1000, 11), "f4"))
    before = LIBRARY.compiled
    run(np.ones((777, 11), "f4"))
    assert LIBRARY.compiled == before
