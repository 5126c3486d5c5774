"""Random graphs on the native backend: each value is what the body of its op makes of the values that it reads.

That holds node by node, so no tolerance has to cover what a graph does to its rounding errors. A long search:

    pytest tests/test_native_random.py -m slow -n 2
"""

import hypothesis
import numpy as np
import pytest
import strategies
from hypothesis import given
from hypothesis import strategies as st

import graphc as gr
from graphc.evaluate import in_order, value_of
from graphc.ir import Graph
from graphc.passes import DEFAULT, expand, fuse
from graphc.types import TupleType

pytest.importorskip("llvmlite")

from graphc.native.code.elementwise import is_native
from graphc.native.program import NativeProgram

settings = hypothesis.settings(derandomize=True, deadline=None, max_examples=12, database=None)
SIZES = [(3, 4), (1, 4), (3, 1), (1, 1), (0, 4), (3, 0), (2, 70)]
ULPS = 2.0
"""What mathematical functions are held to in test_vecmath.py, of NumPy's own error as well."""
ADDS_UP = frozenset(["sum", "prod", "add_n", "matmul", "einsum", "cumsum", "cumprod"])
"""Their terms are added in another order: errors are relative to the sum of the terms' sizes."""
EITHER_ZERO = frozenset(["minimum", "maximum", "min", "max", "clip"])
"""Of 0 and -0, which are equal, NumPy takes one or the other by dtype and order."""


def check(graph, feed):
    """Run a graph as it is optimized for the native backend, with all its values as results, and look at each."""
    optimized = expand(DEFAULT.run(graph, sizes={}).graph)
    computed = [node for node in optimized.nodes if not node.op.leaf and not isinstance(node.type, TupleType)]
    outputs = list(dict.fromkeys([*optimized.outputs, *computed]))
    values = dict(zip(outputs, run(Graph(optimized.inputs, outputs), feed), strict=True))
    alone = run(optimized, feed)  # fused otherwise
    values.update(zip(optimized.inputs, feed, strict=True))
    with np.errstate(all="ignore"):
        for node in optimized.nodes:
            if node not in values:
                values[node] = value_of(node, [values[source] for source in node.inputs])
            elif not node.op.leaf:
                compare(node, values)
    for node, value in zip(optimized.outputs, alone, strict=True):
        assert np.shape(value) == node.shape
        assert np.asarray(value).dtype == node.dtype


def run(graph, feed):
    program = NativeProgram(fuse(graph, fusible=is_native), 2)
    first, again = (program.run(feed, {}, [None] * len(graph.outputs)) for _ in range(2))
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)
    return first


def compare(node, values):
    """A value with what the body of its op makes of the same operands."""
    operands = [in_order(values[source]) for source in node.inputs]
    value, expected = np.asarray(values[node]), np.asarray(value_of(node, operands))
    assert (value.dtype, value.shape) == (expected.dtype, expected.shape)
    if value.dtype.kind != "f":
        np.testing.assert_array_equal(value, expected, str(node))
        return
    np.testing.assert_array_equal(np.isnan(value), np.isnan(expected), str(node))
    if node.op.name not in EITHER_ZERO:
        zero = (value == 0) & (expected == 0)
        np.testing.assert_array_equal(np.signbit(value)[zero], np.signbit(expected)[zero], str(node))
    known = ~np.isnan(value)
    difference = np.abs(value[known].astype("f8") - expected[known].astype("f8"))
    difference[value[known] == expected[known]] = 0  # infinities
    assert np.all(difference <= allowed(node, operands, expected)[known]), f"{node}: {value}, expected {expected}"


def allowed(node, operands, expected):
    """How far a value may be off."""
    size = expected.astype("f8")
    if node.op.name in ADDS_UP:
        sizes = [np.abs(operand) if operand.dtype.kind == "f" else operand for operand in map(np.asarray, operands)]
        return 16 * np.finfo(node.dtype).eps * np.abs(np.asarray(value_of(node, sizes), "f8"))
    largest = float(np.finfo(node.dtype).max)
    step = np.spacing(np.minimum(np.abs(size), largest).astype(node.dtype)).astype("f8")
    return np.where(np.isinf(size), 0, ULPS * step)


@settings
@given(strategies.programs(), st.booleans(), st.booleans(), st.sampled_from(SIZES))
def test_every_value_is_that_of_its_body(program, gradient, special, sizes):
    check(program.graph(gradient=gradient, sizes=sizes), program.feed(special=special, sizes=sizes))


@pytest.mark.slow
@hypothesis.settings(settings, max_examples=2000)
@given(strategies.programs(30), st.booleans(), st.booleans(), st.sampled_from(SIZES))
def test_large_random_graphs(program, gradient, special, sizes):
    check(program.graph(gradient=gradient, sizes=sizes), program.feed(special=special, sizes=sizes))


@settings
@given(strategies.programs(), st.booleans())
def test_updates_are_the_values_computed_and_read_the_old_ones(program, special):
    graph, feed = program.graph(), program.feed(special=special)
    floats = [node for node in graph.nodes if node.type.is_float]
    first, second = (gr.variable(name, np.zeros(node.shape), dtype=node.dtype)
                     for name, node in (("first", floats[-1]), ("second", floats[0])))  # fmt: skip
    updates = {first: floats[-1] + first, second: floats[0] - gr.sum(first).astype(second.dtype)}
    step = gr.compile(graph.inputs, list(updates.values()), updates=updates, backend="native")
    for _ in range(3):
        for variable, value in zip(updates, step(*feed), strict=True):
            np.testing.assert_array_equal(variable.value, value)
