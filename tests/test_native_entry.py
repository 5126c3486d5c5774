"""Calls that are native code: the same results and types as the way through Python."""

import inspect
import subprocess
import sys

import numpy as np
import pytest

import graphc as gr
from graphc.executable import Executable

pytest.importorskip("llvmlite")

from entries import SHAPES, Slow, entered, matrices, needs_entries, rosenbrock

from graphc.native import stretches
from graphc.native.calls import capi, install
from graphc.native.code.failure import LLVMError

pytestmark = [needs_entries, pytest.mark.usefixtures("each_way")]

rng = np.random.default_rng(0)


# Results.


@pytest.mark.parametrize("shape", SHAPES)
def test_results_come_in_what_was_asked_for(shape, only_native):
    f = rosenbrock(SHAPES[shape])
    expected = f._slow(1.25, -0.5)
    only_native()
    result = f(1.25, -0.5)
    assert result == expected
    assert type(result) is type(expected)
    assert repr(result) == repr(expected)


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "int64", "int32", "int8", "uint8", "bool"])
@pytest.mark.parametrize("shape", [(), (4,), (2, 3, 4), (0, 3)])
def test_arguments_and_results_of_all_dtypes_and_ranks(dtype, shape, only_native):
    x = gr.placeholder("x", shape, dtype)
    y = gr.logical_not(x) if dtype == "bool" else x + x
    value = (rng.normal(size=shape) * 10).astype(dtype)
    given = value[()] if shape == () else value
    f = entered(gr.compile([x], [y, gr.sum(x)] if shape else [y], backend="native"), given)
    expected = f._slow(given)
    only_native()
    for result, reference in zip(f(given), expected, strict=True):
        assert type(result) is type(reference)
        assert result.dtype == reference.dtype
        np.testing.assert_array_equal(result, reference)


def test_results_are_fresh_and_stay_valid():
    f = matrices()
    x = rng.normal(size=(3, 5))
    results = [f(x, np.full((3, 5), float(i)))[0] for i in range(5)]
    for i, result in enumerate(results):
        np.testing.assert_array_equal(result, x + i)
        assert result.flags.owndata
        assert result.flags.writeable


def test_a_number_is_read_from_whatever_holds_it_as_it_is(only_native):
    f = rosenbrock()
    expected = f(1.5, 2.0)
    only_native()
    assert f(np.float64(1.5), np.array(2.0)) == expected


def test_python_floats_are_rounded_to_f32_and_refused_beyond_its_range(only_native):
    x = gr.placeholder("x", (), "float32")
    f = entered(gr.compile([x], x * 2, backend="native"), 1.0)
    with pytest.raises(gr.FeedError, match="out of the dtype's range"):
        f(1e300)
    only_native()
    assert f(0.1) == np.float32(0.1) * 2
    assert f(float("inf")) == np.inf
    assert np.isnan(f(float("nan")))
    assert type(f(np.float32(3))) is np.float32
    with pytest.raises(Slow):
        f(1e300)


def test_a_position_outside_is_an_error_and_changes_nothing(only_native):
    w, x = gr.variable("w", np.zeros(3)), gr.placeholder("x", (4,), "float64")
    at = gr.placeholder("at", (2,), "int64")
    f = gr.compile([x, at], gr.take(x, at), updates={w: w + 1}, backend="native")
    entered(f, np.arange(4.0), np.array([0, 1]))
    for _ in range(3):
        with pytest.raises(gr.ExecutionError, match="index 4 is out of bounds"):
            f(np.arange(4.0), np.array([0, 4]))
        np.testing.assert_array_equal(f(np.arange(4.0), np.array([3, 0])), [3, 0])
    np.testing.assert_array_equal(w.value, np.full(3, 5.0))
    only_native()
    f(np.arange(4.0), np.array([3, 0]))
    with pytest.raises(Slow):
        f(np.arange(4.0), np.array([4, 0]))
    f(np.arange(4.0), np.array([3, 0]))
    np.testing.assert_array_equal(w.value, np.full(3, 7.0))


def test_a_symbolic_size_is_entered_for_the_size_used_last(only_native):
    x = gr.placeholder("x", ("n",), "float64")
    f = gr.compile([x], gr.sum(x), backend="native")
    for size in (3, 5, 3, 4):
        assert f(np.ones(size)) == f(np.ones(size)) == size
        assert f.plan.sizes == {"n": size}
    f.prepare(n=7)
    assert f(np.ones(4)) == 4
    assert f.plan.sizes == {"n": 4}
    only_native()
    assert f(np.ones(4)) == 4
    with pytest.raises(Slow):
        f(np.ones(5))


# The class.


def test_the_method_says_what_it_is_and_serves_subclasses_and_the_other_backend(only_native):
    rosenbrock()
    assert str(inspect.signature(Executable.__call__)) == "(self, /, *args, **named)"
    assert inspect.getdoc(Executable.__call__) == inspect.getdoc(Executable._slow)
    x = gr.placeholder("x", (), "float64")
    assert gr.compile([x], x + 1, backend="numpy")(1.5) == 2.5

    class Counting(Executable):
        calls = 0

        def __call__(self, /, *args, **named):
            self.calls += 1
            return super().__call__(*args, **named)

    base = rosenbrock()
    f = Counting(base.source, base._rebuild, 3, (), base.options)
    entered(f, 1.5, 2.0)
    only_native()
    assert f(1.5, 2.0) == base(1.5, 2.0)
    assert f.calls == 3
    with pytest.raises(TypeError):
        Executable.__call__(5, 1.0)


def test_inputs_given_by_names_of_the_methods_own_arguments():
    inputs = [gr.placeholder(name, (), "float64") for name in ("self", "args", "named")]
    f = entered(gr.compile(inputs, inputs[0] - inputs[1] * inputs[2], backend="native"), 7.0, 2.0, 3.0)
    assert f(7.0, 2.0, 3.0) == f(named=3.0, args=2.0, self=7.0) == 1


def test_checked_executables_are_not_entered():
    x = gr.placeholder("x", (), "float64")
    f = gr.compile([x], x + 1, backend="native", debug=True)
    assert f(1.0) == f(1.0) == 2.0
    assert not hasattr(f, "_entry")


def test_updates_alone_give_an_empty_container(only_native):
    w = gr.variable("w", np.zeros(3))
    f = entered(gr.compile([], [], updates={w: w + 1}, backend="native"))
    g = entered(gr.compile([], (), updates={w: w + 1}, backend="native"))
    f(), g()
    only_native()
    assert f() == []
    assert g() == ()
    np.testing.assert_array_equal(w.value, np.full(3, 8.0))


def test_a_slot_that_is_none_is_not_found():
    with pytest.raises(ValueError, match="is no slot"):
        capi.slot_of(Executable, "options")


def test_what_cannot_be_compiled_is_called_through_python_with_a_warning(monkeypatch):
    class Own(Executable):
        pass

    def refuse(*_):
        raise LLVMError("no such instruction")

    entry = matrices()._entry
    monkeypatch.setattr(install.LIBRARY, "kernel", refuse)
    monkeypatch.delattr(Executable, install.KEPT, raising=False)
    with pytest.warns(RuntimeWarning, match=r"calls go through Python.*no such instruction"):
        assert not install.install(Own, entry)


LATE = """
import graphc as gr

class Late:
    def __init__(self):
        x, w = gr.placeholder("x", (), "float64"), gr.variable("w", 1.0, "float64")
        self.f = gr.compile([x], [gr.sin(x), w * x], updates={w: w + 1}, backend="native")
        self.f(1.0), self.f(1.0)
        self.me = self

    def __del__(self):
        print(self.f(0.0), self.f(1.0)[1])

import builtins
builtins.late = Late()
"""


def test_calls_at_the_very_end_of_the_interpreter_are_right():
    done = subprocess.run([sys.executable, "-c", LATE], capture_output=True, encoding="utf-8", check=False, timeout=600)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "" or "[np.float64(0.0), np.float64(0.0)] 4.0" in done.stdout


# Programs without an entry.


def test_programs_of_several_stretches_are_entered(monkeypatch, only_native):
    x = gr.placeholder("x", (600, 600), "float64")
    monkeypatch.setattr(stretches, "LONGEST_NS", 1e5)
    f = entered(gr.compile([x], [gr.sum(gr.tanh(x)), gr.exp(x)], backend="native"), READONLY_600)
    assert len(f.plan.program.emitted.steps.listed) > 1
    expected = f._slow(READONLY_600)
    only_native()
    for one, other in zip(f(READONLY_600), expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_programs_that_call_numpy_go_through_python():
    x = gr.placeholder("x", (600, 600), "float64")
    g = gr.compile([x], gr.sort(x), backend="native")
    np.testing.assert_array_equal(g(-READONLY_600), np.sort(-READONLY_600))
    assert not hasattr(g, "_entry")


READONLY_600 = np.arange(360000.0).reshape(600, 600)


def test_an_argument_given_back_goes_through_python():
    x = gr.placeholder("x", (), "float64")
    f = gr.compile([x], [x, x + 1], backend="native")
    assert f(1.5) == f(1.5) == [1.5, 2.5]
    assert not hasattr(f, "_entry")
