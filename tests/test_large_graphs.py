"""Long and wide graphs go through everything at Python's default recursion limit."""

from __future__ import annotations

import copy
import io
import pickle
import sys

import numpy as np
import pytest

import graphc as gr

SIZES = [5_000, pytest.param(1_000_000, marks=pytest.mark.slow)]


def chain(n):
    x = y = gr.placeholder("x", (4,), "float64")
    for _ in range(n):
        y = gr.sin(y)
    return x, gr.sum(y)


@pytest.mark.parametrize("n", SIZES)
def test_a_chain_is_declared_differentiated_compiled_run_printed_pickled_and_deleted(n):
    assert sys.getrecursionlimit() <= 1000
    x, y = chain(n)
    dx = gr.grad(y, x)
    f = gr.compile([x], [y, dx], threads=2)
    value, slope = f(np.full(4, 0.5))
    expected = np.full(4, 0.5)
    product = np.ones(4)
    for _ in range(n):
        product = product * np.cos(expected)
        expected = np.sin(expected)
    np.testing.assert_allclose(value, expected.sum(), rtol=1e-9)
    np.testing.assert_allclose(slope, product, rtol=1e-6)
    text = str(f.source)
    assert str(gr.parse(text)) == text
    again = pickle.loads(pickle.dumps(f.source))
    assert again.structure() == f.source.structure()
    assert copy.deepcopy(y) is y
    assert f.graph.structure() is not None
    del f, x, y, dx, again, text


def test_a_node_with_many_operands_and_a_value_with_many_readers():
    x = gr.placeholder("x", (2,), "float64")
    terms = [x * float(i) for i in range(2_000)]
    y = gr.sum(gr.add_n(*terms))
    f = gr.compile([x], [y, gr.grad(y, x)])
    value, slope = f(np.ones(2))
    assert value == 2 * sum(range(2_000))
    np.testing.assert_array_equal(slope, np.full(2, float(sum(range(2_000)))))


def test_pickling_keeps_names_lines_values_and_sharing():
    w = gr.variable("w", [1.0, 2.0])
    x = gr.placeholder("x", ("n", 2), "float64")
    shared = gr.exp(x @ w).named("shared")
    graph = pickle.loads(pickle.dumps(gr.Graph([x], [shared * shared, shared], "twice")))
    product, once = graph.outputs
    assert product.inputs[0] is product.inputs[1] is once
    assert (once.name, graph.name) == ("shared", "twice")
    assert once.origin.where() == shared.origin.where()
    np.testing.assert_array_equal(graph.variables[0].value, [1.0, 2.0])
    unset = gr.parse("graph(%x: f32[2]) {\n  %w = variable : f32[2]\n  %y = add(%x, %w) : f32[2]\n  return %y\n}")
    assert pickle.loads(pickle.dumps(unset)).variables[0].state.current is None
    node = pickle.loads(pickle.dumps(shared))
    assert str(gr.Graph(None, [node])) == str(gr.Graph(None, [shared]))


def test_values_are_pickled_as_of_one_moment_while_they_are_trained():
    v, w = (gr.variable(name, np.full(3, 1.0)) for name in "vw")
    step = gr.compile([], [], updates={v: v + 1, w: w * 2}, backend="numpy")

    class Meanwhile(pickle.Pickler):
        """Trains before it writes an array."""

        def persistent_id(self, value):
            if isinstance(value, np.ndarray):
                for _ in range(2):
                    step()

    step()
    file = io.BytesIO()
    Meanwhile(file).dump(gr.Graph(None, [v * w]))
    assert [set(variable.value) for variable in pickle.loads(file.getvalue()).variables] == [{2.0}, {2.0}]
    assert set(v.value) == {6.0}


def test_a_variable_out_of_a_pickle_has_memory_of_its_own():
    """Buffers may be files that other processes have mapped, too."""
    v = gr.variable("v", np.ones(4))
    taken = []
    text = pickle.dumps(gr.Graph(None, [v * 2]), protocol=5, buffer_callback=taken.append)
    buffers = [bytes(buffer.raw()) for buffer in taken]
    w = pickle.loads(text, buffers=buffers).variables[0]
    step = gr.compile([], [], updates={w: w + 1}, backend="numpy")
    for _ in range(4):
        step()
    np.testing.assert_array_equal(w.value, np.full(4, 5.0))
    assert buffers == [bytes(buffer.raw()) for buffer in taken]
