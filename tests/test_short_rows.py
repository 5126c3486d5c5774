"""Reductions of rows of a few elements: computed by parts where that is faster, and right either way."""

import numpy as np
import pytest

import graphc as gr
from graphc.passes.expand import expand

pytest.importorskip("llvmlite")

from graphc.native.code.elementwise import is_native
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
