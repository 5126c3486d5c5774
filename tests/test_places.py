"""Places of extremes in kernels: argmax and argmin of what is computed on the fly, along rows, down columns, of all."""

import numpy as np
import pytest

import graphc as gr
from graphc.errors import ShapeError
from graphc.evaluate import evaluate
from graphc.ir import Graph
from graphc.passes.expand import expand
from graphc.passes.fuse import fuse

pytest.importorskip("llvmlite")

from fuzz_checks import everything_parallel

from graphc.native.code.elementwise import is_native
from graphc.native.program import NativeProgram

DTYPES = ["float16", "float32", "float64", "int8", "uint16", "int32", "int64", "uint64", "bool"]
AXES = [((33, 70), 1), ((5, 1000), 1), ((9, 3), 1), ((70, 10), 1), ((6, 90, 4), -1), ((1, 300), -1), ((5, 7, 40), -1),
        ((37, 150), 0), ((40, 128), 0), ((3, 20, 160), 1), ((6000,), 0), ((6000,), None), ((70, 90), None),
        ((5, 7, 170), None), ((9, 3), 0), ((1,), 0), ((1, 1), None)]  # fmt: skip


def fused(inputs, outputs):
    return fuse(expand(Graph(inputs, outputs), fusible=is_native), fusible=is_native)


def kernels(graph):
    return [node.attrs["body"] for node in graph.nodes if node.op.name == "kernel"]


def check(inputs, outputs, feeds):
    """Compare with the reference, and threads with each other, bit for bit."""
    graph = fused(inputs, outputs)
    right = evaluate(outputs, dict(zip(inputs, feeds, strict=True)))
    for threads in (1, 2, 3):
        found = NativeProgram(graph, threads).run(feeds, {}, [None] * len(outputs))
        for value, expected in zip(found, right, strict=True):
            np.testing.assert_array_equal(value, expected)
            assert np.asarray(value).dtype == np.asarray(expected).dtype
    return graph


def many_alike(rng, shape, dtype):
    """Few different values, so that there are ties everywhere; of floats also those that compare in their own way."""
    if dtype == "bool":
        return rng.random(shape) < rng.choice([0.0, 0.01, 0.5, 1.0])
    if np.dtype(dtype).kind != "f":
        limits = np.iinfo(dtype)
        return rng.choice(np.array([limits.min, limits.min, 1, 2, limits.max], dtype), shape)
    special = [-np.inf, -np.inf, 0.0, -0.0, 1.0, *([np.inf] if rng.random() < 0.5 else [])]
    values = rng.choice(np.array(special, dtype), shape)
    values[rng.random(shape) < 0.002] = np.nan
    return values if rng.random() < 0.8 else np.full(shape, rng.choice(special), dtype)


@pytest.mark.usefixtures("each_unit")
@pytest.mark.parametrize("dtype", DTYPES)
def test_places_are_numpys_along_all_axes_for_any_number_of_blocks_and_threads(dtype):
    rng = np.random.default_rng(DTYPES.index(dtype))
    with everything_parallel():
        for shape, axis in AXES:
            x, y, c = (gr.placeholder(name, shape, kind) for name, kind in (("x", dtype), ("y", dtype), ("c", "bool")))
            chosen = gr.where(c, x, y)
            feeds = [many_alike(rng, shape, dtype) for _ in "xy"] + [rng.random(shape) < 0.5]
            check([x, y, c], [gr.argmax(chosen, axis), gr.argmin(chosen, axis, keepdims=True)], feeds)


@pytest.mark.usefixtures("each_unit")
@pytest.mark.parametrize("dtype", ["int8", "uint8", "bool"])
def test_places_among_more_bytes_than_a_byte_counts_vectors_of(dtype):
    rng = np.random.default_rng(0)
    for size in (65_535, 65_536, 65_537, 300_000, 1_000_003):
        x = gr.placeholder("x", (size,), dtype)
        lowest, highest = (False, True) if dtype == "bool" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
        outputs = [gr.argmax(x), gr.argmin(x), gr.argmax(gr.logical_not(x)), gr.sum(x), gr.argmin(x.astype("int16"))]
        check([x], outputs, [np.full(size, lowest, dtype)])
        check([x], outputs, [np.full(size, highest, dtype)])
        for places in ((size - 1,), (255, 256), (65_535 % size, size - 200), rng.integers(0, size, 3)):
            for one, others in ((highest, lowest), (lowest, highest)):
                values = np.full(size, others, dtype)
                values[list(places)] = one
                check([x], outputs, [values])


@pytest.mark.usefixtures("each_unit")
@pytest.mark.parametrize("dtype", ["int8", "uint8", "bool"])
def test_places_in_rows_of_bytes_beside_what_else_rows_have(dtype):
    rng = np.random.default_rng(0)
    for shape in ((3, 33_001), (7, 700)):
        x, mask = gr.placeholder("x", shape, dtype), gr.placeholder("mask", shape, "bool")
        outputs = [gr.argmax(x, 1), gr.argmin(gr.where(mask, x, 0), 1), gr.sum(x, 1), gr.argmax(gr.logical_not(x)),
                   gr.equal(gr.max(x, 1, keepdims=True), x)]  # fmt: skip
        check([x, mask], outputs, [many_alike(rng, shape, dtype), rng.random(shape) < 0.5])
        last = np.zeros(shape, dtype)
        last[:, -1] = 1
        check([x, mask], outputs, [last, np.ones(shape, bool)])


@pytest.mark.parametrize("axis", [0, 1, -1, None])
def test_a_place_is_found_in_the_kernel_that_computes_what_is_compared(axis):
    x, mask = gr.placeholder("x", (4, 300, 200), "f4"), gr.placeholder("mask", (200,), "f4")
    (body,) = kernels(fused([x, mask], [gr.argmin(x * x + mask, axis)]))
    assert [node.op.name for node in body.nodes if node.inputs] == ["multiply", "add", "argmin"]


def test_what_follows_a_place_and_other_reductions_are_in_the_same_kernel():
    rng = np.random.default_rng(1)
    for columns in (40, 10):
        x, label = gr.placeholder("x", (90, columns), "f4"), gr.placeholder("label", (90,), "i64")
        y = x - gr.max(x, 1, keepdims=True)
        outputs = [gr.equal(gr.argmax(y, 1), label), gr.argmin(y, 1) + label, gr.argmax(y), gr.argmin(y)]
        feeds = [rng.normal(size=(90, columns)).astype("f4"), rng.integers(0, columns, 90)]
        assert len(kernels(check([x, label], outputs, feeds))) == 1


@pytest.mark.usefixtures("each_unit")
def test_elements_before_a_part_without_masks_are_before_it():
    """A row with a box is walked in the box first; what was before it stands before it all the same."""
    x, y = gr.placeholder("x", (6, 180), "f4"), gr.placeholder("y", (6, 200), "f4")
    padded = gr.pad(x, ((0, 0), (9, 11))) + y
    values = np.zeros((6, 200), "f4")
    values[1, 3] = values[1, 50] = values[1, 195] = 1
    values[2, 195] = values[2, 50] = values[3, 5] = values[3, 195] = np.nan
    check([x, y], [gr.argmax(padded, 1), gr.argmax(padded), gr.argmin(padded, 1)], [np.zeros((6, 180), "f4"), values])


def test_places_in_arrays_that_lie_transposed():
    rng = np.random.default_rng(2)
    x = gr.placeholder("x", (70, 90), "i4")
    t = gr.transpose(x)
    values = [t, t * t, t + 1 - gr.reshape(x, (90, 70))]
    outputs = [op(value, axis) for value in values for op in (gr.argmax, gr.argmin) for axis in (0, 1, None)]
    check([x], outputs, [rng.integers(-3, 3, (70, 90)).astype("i4")])


def test_a_kernel_that_reads_across_its_rows_does_not_find_places():
    x = gr.placeholder("x", (300, 300), "f4")
    first, second = kernels(fused([x], [gr.argmax(gr.transpose(x) + x, 1)]))
    assert [first.outputs[0].op.name, second.outputs[0].op.name] == ["add", "argmax"]


def test_places_down_columns_are_found_by_kernels_if_these_are_few():
    few, more = gr.placeholder("x", (5000, 16), "f4"), gr.placeholder("x", (5000, 17), "f4")
    assert kernels(fused([few], [gr.argmax(few, 0)]))
    assert not kernels(fused([more], [gr.argmax(more, 0)]))


def test_sizes_that_are_known_with_the_arrays():
    x = gr.placeholder("x", ("n", "m"), "f8")
    f = gr.compile([x], [gr.argmax(gr.square(x), 1), gr.argmin(gr.square(x), 0), gr.argmax(-x)], backend="native")
    rng = np.random.default_rng(3)
    for shape in [(3, 5), (40, 300), (300, 40), (1, 7), (129, 128)]:
        values = rng.normal(size=shape)
        expected = [np.argmax(values**2, 1), np.argmin(values**2, 0), np.argmax(-values)]
        for value, right in zip(f(values), expected, strict=True):
            np.testing.assert_array_equal(value, right)


def test_a_place_among_no_elements_is_an_error():
    x = gr.placeholder("x", ("n", 3), "f8")
    for axis in (0, None):
        f = gr.compile([x], gr.argmax(x * 2, axis), backend="native")
        with pytest.raises(ShapeError, match="empty"):
            f(np.zeros((0, 3)))
