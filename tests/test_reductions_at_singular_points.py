"""Reductions at singular points: the conventions for ties, zeros and infinities."""

import numpy as np
import pytest
from values import gradient_at, value_at

import graphc as gr

INF, NAN = np.inf, np.nan


def test_ties_share_the_gradient_of_max_and_min_evenly():
    x = [[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]]
    np.testing.assert_array_equal(gradient_at(lambda a: gr.max(a, 1), x), [[0, 1 / 2, 1 / 2], [1 / 3] * 3])
    np.testing.assert_array_equal(gradient_at(lambda a: gr.min(a, 1), x), [[1, 0, 0], [1 / 3] * 3])
    np.testing.assert_array_equal(gradient_at(gr.max, [NAN, 1.0]), [0, 0])
    np.testing.assert_array_equal(gradient_at(gr.max, [INF, INF, 0.0]), [1 / 2, 1 / 2, 0])


def test_the_gradient_of_a_product_uses_the_others_beside_zeros():
    np.testing.assert_array_equal(gradient_at(gr.prod, [2.0, 0.0, 5.0]), [0, 10, 0])
    np.testing.assert_array_equal(gradient_at(gr.prod, [0.0, 0.0, 5.0]), [0, 0, 0])
    # d²/dx² of x y z in direction (1, 1, 1), at (0, 0, 5): the row sums of [[0, z, y], [z, 0, x], [y, x, 0]]
    np.testing.assert_array_equal(gradient_at(gr.prod, [0.0, 0.0, 5.0], order=2), [5, 5, 0])
    np.testing.assert_array_equal(gradient_at(gr.prod, [[0.0, 2.0], [3.0, 4.0]]), [[24, 0], [0, 0]])
    np.testing.assert_array_equal(gradient_at(gr.prod, [1e200, 1e200, 0.0]), [0, 0, INF])


def test_the_gradient_of_running_products_has_no_division():
    # y = (a, ab, abc): dy/da = 1 + b + bc, dy/db = a + ac, dy/dc = ab
    np.testing.assert_array_equal(gradient_at(gr.cumprod, [2.0, 0.0, 5.0]), [1, 12, 0])
    np.testing.assert_array_equal(gradient_at(lambda a: gr.cumprod(a, exclusive=True), [2.0, 0.0, 5.0]), [1, 2, 0])
    np.testing.assert_array_equal(gradient_at(gr.cumprod, [0.0, 0.0, 5.0], order=2), [6, 6, 0])


@pytest.mark.parametrize("function", [gr.norm, gr.std, lambda x: gr.norm(x, 3), lambda x: gr.norm(x, 1)])
def test_lengths_and_spreads_have_gradient_0_at_0(function):
    for order in (1, 2):
        np.testing.assert_array_equal(gradient_at(function, [0.0, 0.0, 0.0], order), [0, 0, 0])


def test_nan_passes_through_a_norm():
    assert np.isnan(value_at(gr.norm, np.array([NAN, 0.0])))
    assert np.isnan(value_at(gr.std, np.array([NAN, 0.0])))


def test_logsumexp_of_infinities():
    cases = {(-INF, -INF): -INF, (-INF, 1.0): 1.0, (INF, 1.0): INF, (INF, -INF): INF, (1e3, 1e3): 1e3 + np.log(2)}
    for x, expected in cases.items():
        assert value_at(gr.logsumexp, np.array(x)) == pytest.approx(expected)
    assert np.isnan(value_at(gr.logsumexp, np.array([NAN, INF])))
    assert value_at(gr.logsumexp, np.zeros(0)) == -INF
    for order in (1, 2):
        np.testing.assert_array_equal(gradient_at(gr.logsumexp, [-INF, -INF], order), [0, 0])
        np.testing.assert_array_equal(gradient_at(gr.logsumexp, [-INF, 7.0], order), [0, 2 - order])


def test_a_spread_without_degrees_of_freedom_is_not_a_number():
    for ddof in (2, 3):
        np.testing.assert_array_equal(value_at(lambda a: gr.var(a, ddof=ddof), np.array([1.0, 1.0])), NAN)  # noqa: B023
    assert value_at(lambda a: gr.var(a, ddof=2), np.array([1.0, 2.0])) == INF
