"""Which backend runs a graph: native code where it can, else NumPy, and what the user is told."""

import numpy as np
import pytest

import graphc as gr

pytest.importorskip("llvmlite")

from graphc import compiler
from graphc.native import available
from graphc.native.code import host
from graphc.native.code import library as kernels
from graphc.native.code.library import Library


def test_auto_means_native_where_llvm_works():
    x = gr.placeholder("x", ())
    assert gr.compile([x], x * 2).options.backend == "native"
    assert gr.compile([x], x * 2, backend="numpy").options.backend == "numpy"
    assert gr.compile([x], x * 2, debug=True).options.backend == "numpy"


@pytest.fixture
def forgetful():
    """The answers that a process keeps are asked for anew, before and after."""
    for answer in (available.why_unusable, compiler._native_runs):
        answer.cache_clear()
    yield
    for answer in (available.why_unusable, compiler._native_runs):
        answer.cache_clear()


def test_without_llvmlite_auto_is_numpy_in_silence_and_native_an_error(forgetful, monkeypatch):
    monkeypatch.setattr(compiler, "find_spec", lambda name: None)
    x = gr.placeholder("x", ())
    assert gr.compile([x], x * 2).options.backend == "numpy"
    with pytest.raises(gr.CompileError, match="llvmlite is not installed") as caught:
        gr.compile([x], x * 2, backend="native")
    assert "pip install" in caught.value.remedy


PROBLEMS = {"objects": "in memory in a way that it does not know", "llvm": "RuntimeError: no such processor"}


@pytest.mark.parametrize("problem", PROBLEMS)
def test_where_native_code_cannot_run_one_warning_says_why_and_numpy_runs(problem, forgetful, monkeypatch):
    if problem == "objects":
        monkeypatch.setattr(available, "knows_objects", lambda: False)
    else:
        monkeypatch.setattr(kernels, "LIBRARY", Library())
        monkeypatch.setattr(host, "object_code", lambda text: (_ for _ in ()).throw(RuntimeError("no such processor")))
        monkeypatch.setenv("GRAPHC_CACHE", "")
    x = gr.placeholder("x", (2,))
    with pytest.warns(RuntimeWarning, match=PROBLEMS[problem]):
        f = gr.compile([x], x * 2)
    assert gr.compile([x], x * 2).options.backend == "numpy", "in silence now"
    np.testing.assert_array_equal(f([1, 2]), [2, 4])
    with pytest.raises(gr.CompileError, match=PROBLEMS[problem]):
        gr.compile([x], x * 2, backend="native")
