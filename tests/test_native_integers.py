"""Integers in vectors: quotients, which come from floats, at the ends of their dtypes and next to multiples."""

import numpy as np
import pytest

import graphc as gr

pytest.importorskip("llvmlite")

DTYPES = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
rng = np.random.default_rng(0)


def interesting(dtype):
    """All numbers of 8 bits; else those around powers of two and the ends, and some of every length."""
    info = np.iinfo(dtype)
    if info.bits == 8:
        return np.arange(info.min, info.max + 1).astype(dtype)
    powers = [sign * (1 << place) + step for place in range(info.bits) for step in (-1, 0, 1) for sign in (1, -1)]
    near_ends = [info.min, info.min + 1, info.max - 1, info.max]
    numbers = rng.integers(info.min, info.max, info.bits, dtype, endpoint=True)
    chosen = [int(x) >> place for place, x in enumerate(numbers)]
    found = {x for x in (*powers, *near_ends, *chosen, 3, 5, 7, 10) if info.min <= x <= info.max}
    return np.array(sorted(found), dtype)


def multiples(dtype):
    """Numbers one below, at and one above products, and a factor of each."""
    info = np.iinfo(dtype)
    some = interesting(dtype)
    factors, others = (rng.choice(some[some != 0], 20_000).astype(object) for _ in range(2))
    products = factors * others + rng.integers(-1, 2, factors.size).astype(object)
    fitting = np.array([info.min <= x <= info.max for x in products])
    return products[fitting].astype(dtype), factors[fitting].astype(dtype)


@pytest.mark.parametrize("name", ["floor_divide", "remainder", "fmod"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_quotients_and_what_they_leave_are_exact(dtype, name):
    pairs = [np.ravel(grid) for grid in np.meshgrid(interesting(dtype), interesting(dtype))]
    x, y = (np.concatenate(both) for both in zip(pairs, multiples(dtype), strict=True))
    a, b = (gr.placeholder(name, x.shape, dtype) for name in "ab")
    f = gr.compile([a, b], getattr(gr, name)(a, b), backend="native", threads=1)
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(f(x, y), getattr(np, name)(x, y))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_scaling_by_powers_of_two_rounds_once(dtype):
    info = np.finfo(dtype)
    smallest = info.smallest_subnormal
    sizes = np.array([info.tiny, smallest, 3 * smallest, 1.5, 1 + info.eps, info.max], dtype)
    x, exponents = (grid.ravel() for grid in np.meshgrid(np.concatenate([sizes, -sizes]), np.arange(-2300, 2300)))
    a, e = gr.placeholder("a", x.shape, dtype), gr.placeholder("e", x.shape, "int64")
    f = gr.compile([a, e], gr.ldexp(a, e), backend="native", threads=1)
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(f(x, exponents), np.ldexp(x, exponents))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_mantissa_and_exponent_of_every_size(dtype):
    info = np.finfo(dtype)
    x = np.ldexp(1.37, np.arange(-1100, 1030)).astype(dtype)
    x = np.concatenate([x, -x, np.array([0.0, -0.0, np.inf, -np.inf, info.tiny, info.smallest_subnormal], dtype)])
    a = gr.placeholder("a", x.shape, dtype)
    mantissa, exponent = gr.compile([a], list(gr.frexp(a)), backend="native", threads=1)(x)
    expected = np.frexp(x)
    np.testing.assert_array_equal(mantissa.view(f"u{x.itemsize}"), expected[0].view(f"u{x.itemsize}"))
    np.testing.assert_array_equal(exponent, expected[1])


@pytest.mark.parametrize("size", [1, 3, 64, 300, 1000])
def test_the_bits_of_truth_values_are_counted_in_bytes(size):
    truths = rng.integers(0, 2, size).astype(bool)
    x = gr.placeholder("x", (size,), "bool")
    counted = gr.compile([x], gr.bitwise_count(x), backend="native")(truths)
    assert counted.dtype == np.uint8
    np.testing.assert_array_equal(counted, truths)


@pytest.mark.parametrize("name", ["equal", "not_equal", "less", "less_equal", "greater", "greater_equal"])
@pytest.mark.parametrize("signed", ["int64", "int8"])
def test_signed_and_unsigned_integers_are_compared_exactly(name, signed):
    """They have no dtype in common but float64, in which neighbours of 2**63 are one number."""
    limits = np.iinfo(signed)
    x = np.repeat(np.array([limits.min, -1, 0, 5, limits.max - 1, limits.max], signed), 7)
    y = np.tile(np.array([0, 5, limits.max - 2, limits.max - 1, limits.max, 2**63, 2**64 - 1], "uint64"), 6)
    a, b = gr.placeholder("a", (42,), signed), gr.placeholder("b", (42,), "uint64")
    op, reference = getattr(gr, name), getattr(np, name)
    found = gr.compile([a, b], [op(a, b), op(b, a)], backend="native")(x, y)
    np.testing.assert_array_equal(found, [reference(x, y), reference(y, x)])


UNSURE = (np.inf, -np.inf, np.nan, -1.0, -2.5, 300.0, -300.0, 40000.0, -65504.0, 65504.0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_halves_that_do_not_fit_become_the_integers_that_numpy_makes_of_them(dtype):
    halves = np.resize(np.array(UNSURE, "float16"), 1000)
    x = gr.placeholder("x", (1000,), "float16")
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(gr.compile([x], x.astype(dtype), backend="native")(halves), halves.astype(dtype))
