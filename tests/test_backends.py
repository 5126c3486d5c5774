"""Which backend runs a graph: native code where it can, else NumPy, and what the user is told."""

import numpy as np
import pytest

import graphc as gr

pytest.importorskip("llvmlite")

from test_native import python

from graphc import compiler
from graphc.native import available


def test_auto_means_native_where_llvm_works():
    x = gr.placeholder("x", ())
    assert gr.compile([x], x * 2).options.backend == "native"
    assert gr.compile([x], x * 2, backend="numpy").options.backend == "numpy"
    assert gr.compile([x], x * 2, debug=True).options.backend == "numpy"


@pytest.fixture
def forgetful():
    """The warning that a process sees once is seen anew, before and after."""
    compiler._warn_of_numpy.cache_clear()
    yield
    compiler._warn_of_numpy.cache_clear()


def test_without_llvmlite_auto_is_numpy_in_silence_and_native_an_error(forgetful, monkeypatch):
    monkeypatch.setattr(compiler, "find_spec", lambda name: None)
    x = gr.placeholder("x", ())
    assert gr.compile([x], x * 2).options.backend == "numpy"
    with pytest.raises(gr.CompileError, match="llvmlite is not installed") as caught:
        gr.compile([x], x * 2, backend="native")
    assert "pip install" in caught.value.remedy


def test_where_native_code_cannot_run_one_warning_says_why_and_numpy_runs(forgetful, monkeypatch):
    monkeypatch.setattr(available, "knows_objects", lambda: False)
    x, problem = gr.placeholder("x", (2,)), "in memory in a way that it does not know"
    with pytest.warns(RuntimeWarning, match=problem):
        gr.compile([x], x * 2)
    f = gr.compile([x], x * 2)
    assert f.options.backend == "numpy", "in silence now"
    np.testing.assert_array_equal(f([1, 2]), [2, 4])
    with pytest.raises(gr.CompileError, match=problem):
        gr.compile([x], x * 2, backend="native")


LLVM_FAILS = """
import time, warnings, graphc as gr
from graphc.native.code import host

def fail(text):
    time.sleep(0.2)  # until the first graph is planned
    raise RuntimeError("no such processor")

host.object_code = fail
x = gr.placeholder("x", (2,))
with warnings.catch_warnings(record=True) as seen:
    warnings.simplefilter("always")
    for _ in range(3):
        assert gr.compile([x], x * 2)([1, 2]).tolist() == [2, 4]
        print(len(seen), repr(str(seen[-1].message)))
try:
    gr.compile([x], x * 2, backend="native")
except gr.CompileError as problem:
    print(repr(str(problem)))
"""


def test_where_llvm_fails_the_first_graph_finds_out_and_runs_on_numpy_as_all_others():
    first, second, third, error = python(LLVM_FAILS, GRAPHC_CACHE="").splitlines()
    assert "a graph runs on NumPy, because compiling the driver" in first
    assert "graphs run on NumPy, because the native backend cannot run: LLVM does not work here" in second
    assert int(third.split()[0]) == int(second.split()[0]), "in silence now"
    assert all("RuntimeError: no such processor" in line for line in (first, second, error))
