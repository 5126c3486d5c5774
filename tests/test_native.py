"""The native backend: the same values as the reference, whatever the graph, and the same bits for any threads."""

import subprocess
import sys

import numpy as np
import pytest

import graphc as gr
from graphc.evaluate import evaluate

pytest.importorskip("llvmlite")

from random_graphs import random_graph

from graphc.native import facts
from graphc.native.elementwise import is_native
from graphc.native.kernels import LIBRARY
from graphc.native.program import NativeProgram
from graphc.passes.fuse import fuse

rng = np.random.default_rng(0)


def native(inputs, outputs, threads=1):
    """The program of a graph as it stands."""
    return NativeProgram(fuse(gr.Graph(inputs, outputs), fusible=is_native), threads)


def values(program, feeds):
    """The outputs of a run without targets."""
    state = {variable: variable.value for variable in program.graph.variables}
    return program.run(feeds, state, [None] * len(program.graph.outputs))


def check(inputs, outputs, feeds, rtol=1e-6):
    """Compare two runs with the reference, types and all, and return the program."""
    program = native(inputs, outputs)
    expected = evaluate(outputs, dict(zip(inputs, feeds, strict=True)))
    for _ in range(2):
        for node, value, reference in zip(outputs, values(program, feeds), expected, strict=True):
            assert np.shape(value) == node.shape
            assert np.asarray(value).dtype == node.dtype
            np.testing.assert_allclose(value, reference, rtol=rtol, atol=rtol)
    return program


@pytest.mark.parametrize("seed", range(40))
def test_random_graphs_have_the_values_of_the_reference(seed):
    graph, feeds, _ = random_graph(seed)
    check(graph.inputs, graph.outputs, feeds, rtol=1e-9 if feeds[0].dtype == "f8" else 2e-4)


def test_a_softmax_with_its_gradient_is_one_kernel():
    x, w = gr.placeholder("x", (64, 100), "float64"), gr.placeholder("w", (100,), "float64")
    loss = gr.sum(gr.square(gr.nn.softmax(x * w)))
    program = check([x, w], [loss, *gr.gradients(loss, [x, w])], [rng.normal(size=(64, 100)), rng.normal(size=100)])
    assert [work.node.op.name for work in program.works.listed] == ["kernel"]


def test_columns_are_accumulated_though_short_rows_invite_to_vectorize_over_them():
    x = gr.placeholder("x", (6, 6), "float64")
    check([x], [gr.sum(x * 2, axis=0), x * 3], [rng.normal(size=(6, 6))])


def test_an_operand_that_varies_over_rows_stays_out_of_a_kernel_that_sums_everything():
    x, y = gr.placeholder("x", (4, 1), "float64"), gr.placeholder("y", (4, 6), "float64")
    z = gr.maximum(x, y)
    check([x, y], [z, z + gr.sum(z) * 0.5], [rng.normal(size=(4, 1)), rng.normal(size=(4, 6))])


def test_a_transposed_operand_is_gathered_where_a_kernel_walks_whole_arrays():
    x = gr.placeholder("x", (5, 4, 6), "float64")
    y = gr.transpose(x, (0, 2, 1))
    check([x], [y - gr.sum(y, axis=(1, 2), keepdims=True)], [rng.normal(size=(5, 4, 6))])


def test_a_kernel_that_llvm_rejects_is_computed_by_numpy_with_a_warning(monkeypatch):
    x = gr.placeholder("x", (5, 7), "float64")
    monkeypatch.setattr(LIBRARY, "kernel", lambda *args: (_ for _ in ()).throw(RuntimeError("no such instruction")))
    with pytest.warns(RuntimeWarning, match=r"kernel of add.* is computed by NumPy.*no such instruction"):
        check([x], [gr.sum(x + 1, axis=0)], [rng.normal(size=(5, 7))])


def test_updates_are_written_to_the_targets_and_a_failed_run_writes_none():
    w, n = gr.variable("w", np.arange(6.0)), gr.variable("n", np.array(0.0))
    x = gr.placeholder("x", (6,), "float64")
    step = gr.compile([x], gr.sum(w), updates={w: w - 0.5 * x, n: n + 1}, backend="native")
    for _ in range(3):
        step(np.ones(6))
    np.testing.assert_array_equal(w.value, np.arange(6.0) - 1.5)
    assert n.value == 3
    assert "fuse" in str(step.options.pipeline)
    assert any(facts.is_kernel(node) for node in step.graph.nodes)


def misaligned(array):
    """A copy that begins at an odd byte."""
    return np.frombuffer(b"\0" + array.tobytes(), "u1")[1:].view("f8").reshape(array.shape)


LAYOUTS = {"strided": lambda a: a[::2].T, "misaligned": misaligned, "swapped": lambda a: a.astype(">f8"),
           "fortran": np.asfortranarray}  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
def test_arrays_of_any_layout_are_taken(layout):
    array = LAYOUTS[layout](rng.normal(size=(8, 5)))
    x = gr.placeholder("x", array.shape, "float64")
    f = gr.compile([x], [x * 2, gr.sum(x, axis=0)], backend="native")
    array.flags.writeable = False
    doubled, total = f(array)
    np.testing.assert_allclose(doubled, array * 2)
    np.testing.assert_allclose(total, array.sum(0))


def test_importing_graphc_does_not_load_llvm():
    code = "import sys, graphc; assert not any('llvmlite' in name for name in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
