"""Copies that repeat each element a few times side by side, in vectors of all widths and where rows hold none."""

import numpy as np
import pytest

import graphc as gr

pytest.importorskip("llvmlite")

from graphc.native.code.vectors import Unit, host_unit
from graphc.native.loops import spreading

UNITS = {"host": host_unit(), "32 bytes": Unit(32, 16, masked=False), "16 bytes": Unit(16, 16, masked=False)}
DTYPES = ["float32", "float64", "float16", "int8", "int64", "bool", "uint16"]
rng = np.random.default_rng(0)


def drawn(shape, dtype):
    values = rng.normal(size=shape) * 50
    return values > 0 if dtype == "bool" else values.astype(dtype)


def check(shape, dtype, repeated, right, threads=2):
    x = gr.placeholder("x", shape, dtype)
    f = gr.compile([x], repeated(x), backend="native", threads=threads)
    array = drawn(shape, dtype)
    found, expected = f(array), right(array)
    assert found.dtype == expected.dtype
    assert np.array_equal(found, expected)
    return found


@pytest.fixture
def spreads(monkeypatch):
    """The nests that were made."""
    made, find = [], spreading.spread

    def noted(*arguments):
        nest = find(*arguments)
        made.extend([nest] if nest is not None else [])
        return nest

    monkeypatch.setattr("graphc.native.works.spread", noted)
    return made


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_elements_repeated_side_by_side(monkeypatch, spreads, unit, dtype):
    monkeypatch.setattr(spreading, "host_unit", lambda: UNITS[unit])
    for n in (2, 3, 15, 16, 33, 100):
        for times in (2, 3, 10, 12):
            check((3, n), dtype, lambda x, k=times: gr.repeat(x, k, axis=1), lambda x, k=times: np.repeat(x, k, axis=1))
    assert len(spreads) == 24


@pytest.mark.parametrize("n", [4095, 4096, 4097, 4099, 9000])
def test_long_rows_fall_into_pieces_of_which_the_last_may_hold_no_vector(spreads, n):
    for threads in (1, 2, 3):
        check((n,), "float32", lambda x: gr.repeat(x, 3), lambda x: np.repeat(x, 3), threads)
    assert len(spreads) == 3


@pytest.mark.parametrize("dtype", ["float64", "int8"])
def test_elements_that_lie_apart_or_backward(spreads, dtype):
    for shape in ((7, 5), (40, 33)):
        check(shape, dtype, lambda x: gr.repeat(x.T[::2], 2, axis=1), lambda x: np.repeat(x.T[::2], 2, axis=1))
        check(shape, dtype, lambda x: gr.repeat(x[:, ::-1], 3, axis=1), lambda x: np.repeat(x[:, ::-1], 3, axis=1))
        check(shape, dtype, lambda x: gr.repeat(x[:, 1:4], 2, axis=1), lambda x: np.repeat(x[:, 1:4], 2, axis=1))
    assert len(spreads) == 6


def test_blocks_and_what_is_part_of_a_concatenation(spreads):
    check((6, 20), "float32", lambda x: gr.repeat(gr.repeat(x, 10, axis=0), 10, axis=1),
          lambda x: np.repeat(np.repeat(x, 10, axis=0), 10, axis=1))  # fmt: skip
    check((6, 20), "float32", lambda x: gr.concatenate([x, gr.repeat(x, 2, axis=1)[:, 1:]], 1),
          lambda x: np.concatenate([x, np.repeat(x, 2, axis=1)[:, 1:]], 1))  # fmt: skip
    assert spreads


def test_bits_stay_whatever_they_mean(spreads):
    array = np.array([0x7FA00001, 0xFFC12345, 0x80000000, 1] * 9, "uint32").view("float32")
    x = gr.placeholder("x", array.shape, "float32")
    found = gr.compile([x], gr.repeat(x, 2), backend="native")(array)
    assert np.array_equal(found.view("uint32"), np.repeat(array.view("uint32"), 2))
    assert len(spreads) == 1


def test_what_is_repeated_more_often_is_no_spread(spreads):
    check((30,), "float32", lambda x: gr.repeat(x, 40), lambda x: np.repeat(x, 40))
    assert not spreads
