"""Elementwise sums round as NumPy's do, so that a value computed in several places is the same in each."""

import numpy as np
import pytest

import graphc as gr

pytest.importorskip("llvmlite")

OTHER_USES = {"none": None, "total": gr.sum, "column": lambda p: gr.sum(p, 0), "place": lambda p: gr.argmax(p, 1),
              "result": gr.exp}  # fmt: skip


@pytest.mark.parametrize("other", OTHER_USES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("shape", "axis"), [((64, 3), 1), ((100, 10), 1), ((300, 400), 1), ((300, 400), 0)])
def test_the_gradient_of_a_maximum_finds_it_whatever_else_uses_the_products(shape, axis, dtype, other):
    rng = np.random.default_rng(0)
    inputs = [gr.placeholder(name, of, dtype) for name, of in (("x", shape), ("y", shape), ("c", (shape[0], 1)))]
    x, y, c = inputs
    p = x * y
    use = OTHER_USES[other]
    outputs = [gr.grad(gr.sum(gr.max(p + c, axis)), x), *([use(p)] if use else [])]
    feeds = [rng.normal(size=node.shape).astype(dtype) for node in inputs]
    found, *_ = gr.compile(inputs, outputs, backend="native")(*feeds)
    expected, *_ = gr.compile(inputs, outputs, backend="numpy")(*feeds)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_sums_and_differences_of_products_have_numpys_bits(dtype):
    rng = np.random.default_rng(1)
    x, y, z = inputs = [gr.placeholder(name, (1000,), dtype) for name in "xyz"]
    outputs = [x * y + z, x * y - z, z - x * y, gr.add_n(x * y, y * z, x * z), gr.square(x) + x, x * x - x * x * y]
    feeds = [rng.normal(size=1000).astype(dtype) for _ in inputs]
    found, expected = (gr.compile(inputs, outputs, backend=backend)(*feeds) for backend in ("native", "numpy"))
    for value, right in zip(found, expected, strict=True):
        np.testing.assert_array_equal(value, right)


def test_equal_products_cancel():
    x, y = gr.placeholder("x", (1000,)), gr.placeholder("y", (1000,))
    values = np.random.default_rng(2).normal(size=1000).astype("float32")
    assert not gr.compile([x, y], x * x - y * y, backend="native")(values, values).any()
