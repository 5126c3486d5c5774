"""Products of f16, and of several dtypes, are products of the float that they are added up in, rounded once."""

import numpy as np
import pytest

import graphc as gr

pytest.importorskip("llvmlite")
pytestmark = pytest.mark.usefixtures("wholly_native")

SHAPES = [((37, 41), (41, 29)), ((5, 9, 33), (5, 33, 7)), ((3, 2, 17), (17, 4)), ((4, 0), (0, 3)), ((1, 9), (9, 5)),
          ((7, 9), (9, 1)), ((7, 9), (9,)), ((9,), (9, 7)), ((9,), (9,))]  # fmt: skip
DTYPES = [("float16", "float16"), ("float16", "float32"), ("float64", "float32"), ("int32", "float32")]


@pytest.mark.parametrize(("one", "other"), DTYPES)
@pytest.mark.parametrize("shapes", SHAPES)
def test_products_are_rounded_once(shapes, one, other):
    rng = np.random.default_rng(1)
    a, b = (np.asarray(rng.normal(scale=9, size=shape)).astype(dtype)
            for shape, dtype in zip(shapes, (one, other), strict=True))  # fmt: skip
    x, y = gr.placeholder("x", a.shape, one), gr.placeholder("y", b.shape, other)
    exact = a.astype("float64") @ b.astype("float64")
    results = [gr.compile([x, y], x @ y, backend="native", threads=threads)(a, b) for threads in (1, 2)]
    np.testing.assert_array_equal(*results)
    assert results[0].dtype == gr.compile([x, y], x @ y, backend="numpy")(a, b).dtype
    size = np.abs(a.astype("float64")) @ np.abs(b.astype("float64"))
    bound = 0.5 * np.spacing(np.abs(exact).astype(results[0].dtype)) + 1e-6 * size
    assert np.all(np.abs(results[0] - exact) <= bound)


@pytest.mark.parametrize(("one", "other"), DTYPES)
def test_products_of_matrices_are_those_of_one_float(one, other):
    x, y = gr.placeholder("x", (50, 60), one), gr.placeholder("y", (60, 70), other)
    for result in (x @ y, gr.einsum("ij,jk->ki", x, y)):
        graph = gr.compile([x, y], result, backend="native").graph
        inner = [node for outer in graph.nodes for node in (outer, *getattr(outer.attrs.get("body"), "nodes", ()))]
        products = [node for node in inner if node.op.name in ("matmul", "einsum")]
        wide = "float32" if "float16" in (one, other) else "float64"
        assert [{source.dtype.name for source in node.inputs} for node in products] == [{wide}]


def test_halves_that_are_read_once_are_not_copied():
    x, y = gr.placeholder("x", (50, 60), "float16"), gr.placeholder("y", (60,), "float16")
    (work,) = gr.compile([x, y], x @ y, backend="native").plan.program.works.listed
    assert work.node.op.name == "matmul"
