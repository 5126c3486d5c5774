"""Derivatives where squares overflow or underflow: as exact as their true value is a number of the dtype."""

import mpmath
import numpy as np
import pytest

import graphc as gr

pytestmark = pytest.mark.usefixtures("each_backend")
DTYPES = ["float16", "float32", "float64"]
ULPS = 16


def numbers(dtype, *, least=None, seed=0):
    """Numbers of all exponents, but for those near the largest, whose lengths would overflow; none is subnormal."""
    info = np.finfo(dtype)
    lowest = info.minexp if least is None else np.log2(least)
    return np.exp2(np.random.default_rng(seed).uniform(lowest, info.maxexp - 1, 200)).astype(dtype)


def assert_close(found, exact):
    """Within some units in the last place, or of the smallest number."""
    info = np.finfo(found.dtype)
    for value, true in zip(found, exact, strict=True):
        if abs(true) < float(info.max) / 2:
            unit = max(abs(true) * float(info.eps), mpmath.mpf(float(info.smallest_subnormal)))
            assert np.isfinite(value)
            assert abs(mpmath.mpf(float(value)) - true) <= ULPS * unit


def exactly(formula, *arrays):
    with mpmath.workprec(4500):
        return [formula(*(mpmath.mpf(float(value)) for value in values)) for values in zip(*arrays, strict=True)]


def slopes(op, feeds, order=1):
    inputs = [gr.placeholder(name, feed.shape, feed.dtype) for name, feed in zip("xy", feeds, strict=False)]
    y = op(*inputs)
    for _ in range(order):
        y = gr.grad(gr.sum(y), inputs[0])
    return gr.compile(inputs, y)(*feeds)


@pytest.mark.parametrize("dtype", DTYPES)
def test_of_one_number(dtype):
    small, large = numbers(dtype), numbers(dtype, least=1.5)
    assert_close(slopes(gr.arcsinh, [small]), exactly(lambda x: 1 / mpmath.hypot(x, 1), small))
    assert_close(slopes(gr.arccosh, [large]), exactly(lambda x: 1 / mpmath.sqrt(x * x - 1), large))
    assert_close(slopes(gr.log10, [small]), exactly(lambda x: 1 / (x * mpmath.log(10)), small))


@pytest.mark.parametrize("dtype", DTYPES)
def test_of_two_numbers(dtype):
    x, y = numbers(dtype), numbers(dtype, seed=1)
    y[:100] = np.minimum(x[:100] * np.linspace(0.2, 2, 100).astype(dtype), np.finfo(dtype).max / 2)
    x[::3] *= -1
    assert_close(slopes(gr.arctan2, [x, y]), exactly(lambda a, b: b / (a * a + b * b), x, y))
    assert_close(slopes(lambda b, a: gr.arctan2(a, b), [x, y]), exactly(lambda b, a: -a / (a * a + b * b), x, y))
    assert_close(slopes(gr.hypot, [x, y]), exactly(lambda a, b: a / mpmath.hypot(a, b), x, y))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_second_ones(dtype):
    root = float(np.finfo(dtype).max) ** 0.25
    x = numbers(dtype)
    x = x[(x > 1 / root) & (x < root**1.9)]
    y = x * np.linspace(0.3, 2, len(x)).astype(dtype)
    assert_close(slopes(gr.arctan2, [x, y], 2), exactly(lambda a, b: -2 * a * b / (a * a + b * b) ** 2, x, y))
    assert_close(slopes(gr.hypot, [x, y], 2), exactly(lambda a, b: b * b / mpmath.hypot(a, b) ** 3, x, y))
    assert_close(slopes(gr.arcsinh, [x], 2), exactly(lambda a: -a / mpmath.hypot(a, 1) ** 3, x))


def test_at_singular_points():
    zero, one, inf = np.zeros(1), np.ones(1), np.full(1, np.inf)
    assert np.isnan(slopes(gr.arctan2, [zero, zero]))
    assert slopes(gr.hypot, [zero, zero]) == 0

    assert slopes(lambda b, a: gr.arctan2(a, b), [inf, one]) == 0
    assert slopes(gr.arccosh, [one]) == np.inf
    assert slopes(gr.arcsinh, [inf]) == 0
