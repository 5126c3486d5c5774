"""Spherical Bessel functions in native code: near and below their order, where their series takes turns."""

import mpmath
import numpy as np
import pytest

import graphc as gr

pytest.importorskip("llvmlite")


def exact(order, x):
    size = mpmath.sqrt(mpmath.pi / (2 * abs(x))) * mpmath.besselj(order + mpmath.mpf(0.5), abs(x))
    return size if x > 0 else size * (-1) ** order


@pytest.mark.parametrize("order", [1, 2, 3, 6, 7])
def test_values_around_the_order(order):
    edges = [np.nextafter(order, 0), order, np.nextafter(order, 99), 1e-30, 1e-9, 0.999, 1, 1.001]
    points = np.concatenate([np.linspace(0.05, order * 1.1, 60), edges])
    points = np.concatenate([points, -points])
    x = gr.placeholder("x", points.shape, "float64")
    found = gr.compile([x], gr.spherical_jn(x, order), backend="native")(points)
    with mpmath.workprec(120):
        right = np.array([float(exact(order, mpmath.mpf(float(point)))) for point in points])
    np.testing.assert_allclose(found, right, rtol=8 * np.finfo("f8").eps, atol=0)


def test_values_at_the_ends():
    x = gr.placeholder("x", (4,), "float64")
    found = gr.compile([x], [gr.spherical_jn(x, order) for order in (0, 1, 4)], backend="native")
    feed = np.array([0, np.inf, -np.inf, np.nan])
    np.testing.assert_array_equal(found(feed), [[1, 0, 0, np.nan], [0, 0, 0, np.nan], [0, 0, 0, np.nan]])
