"""Products limited to what constant masks leave: the same values as without limits, for all numbers, NaN and inf."""

from functools import cache

import numpy as np
import pytest

import graphc as gr
from graphc.masks import Masks
from graphc.passes.limits import limits
from graphc.regions import Matrix, Region, everywhere, ranges

CAUSAL = np.tri(160, dtype=bool)
BAND = np.tri(160, k=20, dtype=bool) & ~np.tri(160, k=-30, dtype=bool)
BLOCKS = np.kron(np.eye(2, dtype=bool), np.ones((80, 80), bool))


def attention(mask, heads=4, width=64, dtype="f4"):
    """Inputs; the mean square of an attention with its gradients."""
    q, k, v = (gr.placeholder(name, (heads, len(mask), width), dtype) for name in "qkv")
    scores = q @ gr.swapaxes(k, -1, -2) * width**-0.5
    value = gr.mean(gr.square(gr.nn.softmax(gr.where(mask, scores, -np.inf)) @ v))
    return [q, k, v], [value, *gr.gradients(value, [q, k, v])]


def feeds(inputs, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(node.shape).astype(node.dtype) for node in inputs]


def limited(inputs, outputs):
    """The limited products that the compiler's passes make."""
    pytest.importorskip("llvmlite")
    step = gr.compile(inputs, outputs, backend="native")
    step(*(np.ones(node.shape, node.dtype) for node in inputs))
    return [node for node in step.graph.nodes if node.op.name == "matmul_within"]


def compiled(inputs, outputs):
    """On NumPy, and natively on one thread and on two."""
    pytest.importorskip("llvmlite")
    native = [gr.compile(inputs, outputs, backend="native", threads=threads) for threads in (1, 2)]
    return [gr.compile(inputs, outputs, backend="numpy"), *native]


@cache
def causal():
    return compiled(*attention(CAUSAL))


def assert_same(inputs, outputs, given, rtol=2e-5):
    """The native backend gives what NumPy gives."""
    assert_equal(compiled(inputs, outputs), given, rtol)


def assert_equal(steps, given, rtol=2e-5):
    """Results have the same bits for any number of threads, and are NumPy's but for rounding."""
    expected, one, two = (step(*given) for step in steps)
    for found, same, right in zip(one, two, expected, strict=True):
        np.testing.assert_array_equal(found, same)
        np.testing.assert_array_equal(np.isnan(found), np.isnan(right))
        scale = np.abs(right[np.isfinite(right)]).max(initial=0)
        np.testing.assert_allclose(found, right, rtol=rtol, atol=rtol * scale)


@pytest.mark.parametrize("mask", [CAUSAL, BAND, BLOCKS, CAUSAL.T, CAUSAL[None], np.stack([CAUSAL, BAND, BAND, CAUSAL])])
def test_attention_behind_a_mask(mask):
    inputs, outputs = attention(mask if mask.ndim == 2 else mask[0])
    if mask.ndim == 3:
        q, k, v = inputs
        scores = gr.where(mask, q @ gr.swapaxes(k, -1, -2), -np.inf)
        outputs = gr.gradients(gr.sum(gr.sin(gr.nn.softmax(scores) @ v)), inputs)
    assert len(limited(inputs, outputs)) == 6
    assert_same(inputs, outputs, feeds(inputs))


@pytest.mark.parametrize("mask", [CAUSAL, BAND])
def test_attention_in_double_precision(mask):
    inputs, outputs = attention(mask, dtype="f8")
    assert_same(inputs, outputs, feeds(inputs), rtol=1e-12)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 3e38])
@pytest.mark.parametrize("which", [0, 1, 2])
@pytest.mark.parametrize("row", [0, 90])
def test_what_is_not_finite_reaches_what_it_reaches_without_limits(bad, which, row):
    steps = causal()
    given = feeds(steps[0].source.inputs)
    given[which][1, row, 5] = bad
    assert_equal(steps, given)


def test_a_row_that_sees_nothing_is_nan():
    mask = CAUSAL.copy()
    mask[40] = False
    inputs, outputs = attention(mask)
    assert_same(inputs, outputs, feeds(inputs))


def test_a_cotangent_of_its_own_is_checked_as_well():
    inputs, _ = attention(CAUSAL)
    q, k, v = inputs
    g = gr.placeholder("g", v.shape)
    result = gr.nn.softmax(gr.where(CAUSAL, q @ gr.swapaxes(k, -1, -2), -np.inf)) @ v
    outputs = gr.gradients(gr.sum(result * g), inputs)
    given = feeds([*inputs, g])
    assert_same([*inputs, g], outputs, given)
    for which, bad in ((0, np.inf), (3, np.inf), (3, np.nan), (1, np.nan)):
        changed = [array.copy() for array in given]
        changed[which][2, 100, 3] = bad
        assert_same([*inputs, g], outputs, changed)


def test_a_product_with_a_triangle():
    x, y = gr.placeholder("x", (400, 300)), gr.placeholder("y", (300, 200))
    mask = np.tri(400, 300, k=-50, dtype=bool)
    z = gr.where(mask, x, 0.0)
    outputs = [z @ y, gr.transpose(y) @ gr.transpose(z), gr.transpose(gr.transpose(y) @ gr.transpose(z))]
    assert len(limited([x, y], outputs)) >= 2
    assert_same([x, y], outputs, feeds([x, y]))


def test_what_is_read_elsewhere_is_computed():
    q, k = gr.placeholder("q", (4, 160, 64)), gr.placeholder("k", (4, 64, 160))
    s = q @ k
    masked = gr.where(CAUSAL, s, -np.inf)
    assert len(limited([q, k], [gr.exp(masked)])) == 1
    for other in (s, gr.sum(s, axis=-1), gr.where(CAUSAL, 0.0, s), s[0], gr.exp(s)):
        assert not limited([q, k], [masked, other])


def test_small_products_and_masks_that_leave_most_stay():
    assert not limited(*attention(CAUSAL, heads=1, width=8))
    assert not limited(*attention(np.tri(160, k=120, dtype=bool)))
    q, k = gr.placeholder("q", (4, 160, 64)), gr.placeholder("k", (4, 64, 160))
    mask = gr.placeholder("mask", (160, 160), "bool")
    assert not limited([q, k, mask], [gr.where(mask, q @ k, -np.inf)])


def test_without_a_backend_that_has_kernels_nothing_is_limited():
    graph = gr.Graph(*attention(CAUSAL))
    assert limits(graph) is graph


def test_masks_say_where_values_are_known_and_read():
    x, y = gr.placeholder("x", (3, 6, 40)), gr.placeholder("y", (3, 6, 1))
    mask = np.tri(6, 40, dtype=bool)
    product = x * 2
    masked = gr.where(mask, product, 0.0)
    divided, turned = masked / y, gr.swapaxes(masked, 1, 2)
    graph = gr.Graph([x, y], [gr.exp(gr.where(mask, gr.sin(x), -np.inf)), divided, turned])
    masks = Masks(graph)
    np.testing.assert_array_equal(masks.known[masked].region.truths, ~mask)
    np.testing.assert_array_equal(masks.known[turned].region.truths, ~mask.T)
    assert (masks.known[divided].value, len(masks.known[divided].conditions)) == (0, 1)
    assert masks.known[graph.outputs[0]].value == 0
    np.testing.assert_array_equal(masks.read[product].region.truths, mask)


def test_conditions_hold_numbers_though_a_body_makes_arrays():
    """Of numbers `where` makes an array of rank 0, which cannot be looked up among other conditions."""
    x, y = gr.placeholder("x", (3, 6, 40)), gr.placeholder("y", (3, 6, 1))
    chosen = gr.where(y > 0, gr.where(np.tri(6, 40, dtype=bool), x, 0.0), 0.0)
    masks = Masks(gr.Graph([x, y], [gr.exp(chosen * 2)]))
    (condition,) = masks.known[chosen].conditions
    assert (condition.node, condition.value) == (chosen, 0)
    assert isinstance(condition.value, np.float32)


def test_regions_are_what_masks_of_the_same_truth_values_are():
    rng = np.random.default_rng(0)
    square = Matrix(rng.random((5, 5)) < 0.5)
    regions = [Region(square, inverted, turned) for inverted in (False, True) for turned in (False, True)]
    regions += [everywhere((5, 5)), ~everywhere((5, 5)), Region(Matrix(square.truths.copy()))]
    for one in regions:
        assert (one.is_empty(), one.is_all()) == (not one.truths.any(), one.truths.all())
        np.testing.assert_array_equal(one.T.truths, one.truths.T)
        for two in regions:
            np.testing.assert_array_equal((one & two).truths, one.truths & two.truths)
            np.testing.assert_array_equal((one | two).truths, one.truths | two.truths)
            assert one.equals(two) == np.array_equal(one.truths, two.truths)


def test_ranges_of_rows():
    live = np.array([[0, 0, 0], [0, 1, 0], [1, 0, 1]], bool)
    np.testing.assert_array_equal(ranges(Region(Matrix(live))), [[0, 0], [1, 2], [0, 3]])


def test_a_mask_beside_the_parts_of_a_split_compiles():
    x = gr.placeholder("x", (4, 4), "float64")
    masked = gr.where(np.tri(4, dtype=bool), gr.concatenate([x[1:], x[:1]]), 0.0)
    gradient = gr.grad(gr.sum(gr.square(masked @ gr.concatenate([gr.tanh(x)[:2], masked[2:]]))), x)
    feed = np.random.default_rng(0).standard_normal((4, 4))
    expected = gr.compile([x], gradient, backend="numpy")(feed)
    assert np.allclose(gr.compile([x], gradient, backend="native")(feed), expected, rtol=1e-12)
