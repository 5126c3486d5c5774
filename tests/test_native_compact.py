"""Compact kernels: a program of many different ones has them call functions, and computes what others compute."""

import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

import graphc as gr
from graphc.op import OPS

pytest.importorskip("llvmlite")

from graphc.native import kernel_works, vecmath
from graphc.native.code import functions, host
from graphc.native.code.functions import Function
from graphc.native.code.library import LIBRARY
from graphc.native.kernel import facts

CALLED = sorted(name for name in vecmath.FUNCTIONS if name in OPS and OPS[name].effort >= functions.LONG)
rng = np.random.default_rng(0)


def compiled(inputs, outputs, threads=1):
    return gr.compile(inputs, outputs, backend="native", threads=threads)


def written_by(monkeypatch, action):
    """The forms of the kernels that something needs."""
    forms, kernel = [], LIBRARY.kernel

    def noted(structure, write, *symbols):
        if symbols == ("kernel",) and isinstance(structure, tuple):
            forms.append(structure[-1])
        return kernel(structure, write, *symbols)

    with monkeypatch.context() as patched:
        patched.setattr(LIBRARY, "kernel", noted)
        facts.copying.cache_clear()
        action()
    return forms


def random_nodes(n):
    folder = str(Path(__file__).parent / "benchmarks")
    sys.path.insert(0, folder)
    try:
        from graphs import random_nodes
    finally:
        sys.path.remove(folder)
    return random_nodes(n)


def special_values(dtype, count):
    """Numbers of every size, zeros, infinities and NaN."""
    info = np.finfo(dtype)
    few = [0.0, -0.0, 0.5, 1.0, -1.0, 3.0, -7.25, 1e4, 1e9, info.max, -info.max, info.tiny, np.inf, -np.inf, np.nan]
    return np.concatenate([few, rng.normal(scale=3, size=count), rng.normal(scale=1e6, size=count)]).astype(dtype)


def assert_same_bits(values, expected):
    for value, other in zip(values, expected, strict=True):
        np.testing.assert_array_equal(value, other)
        np.testing.assert_array_equal(np.signbit(value) & ~np.isnan(value), np.signbit(other) & ~np.isnan(other))


@pytest.mark.usefixtures("each_unit")
@pytest.mark.parametrize("name", CALLED)
def test_functions_give_the_bits_of_their_code_in_kernels(monkeypatch, name):
    op = OPS[name]
    for dtype in ("float32", "float64"):
        numbers = special_values(dtype, 40)
        given = [numbers, rng.permutation(numbers)][: op.arity]
        found = {}
        for much in (1e9, -1):
            monkeypatch.setattr(kernel_works, "MUCH", much)
            inputs = [gr.placeholder(f"x{i}", ("n",), dtype) for i, _ in enumerate(given)]
            f = compiled(inputs, op(*inputs))
            found[much] = [f(*(x[:size] for x in given)) for size in (1, 3, 8, numbers.size)]
        assert_same_bits(*found.values())


def test_functions_are_called_for_numbers_rows_and_what_is_reduced(monkeypatch):
    x, y = gr.placeholder("x", (5, 11), "float64"), gr.placeholder("y", (5, 1), "float64")
    softened = gr.nn.softmax(gr.sin(x) * gr.exp(y), axis=1)
    outputs = [softened, gr.sum(gr.tanh(softened)), gr.tanh(gr.sum(x)), *gr.gradients(gr.sum(softened**2.5), [x, y])]
    feeds = [rng.normal(size=(5, 11)), rng.normal(size=(5, 1))]
    expected = gr.compile([x, y], outputs, backend="numpy")(*feeds)
    monkeypatch.setattr(kernel_works, "MUCH", -1)
    forms = written_by(monkeypatch, lambda: compiled([x, y], outputs).prepare())
    assert {1} < {function.width for form in forms for function in form.functions}
    for value, other in zip(compiled([x, y], outputs)(*feeds), expected, strict=True):
        np.testing.assert_allclose(value, other, rtol=1e-12, atol=1e-14)


def test_only_the_small_kernels_of_programs_with_many_are_compact(monkeypatch):
    x, y = random_nodes(1500)
    assert any(form.compact for form in written_by(monkeypatch, lambda: compiled([x], y).prepare()))
    large = gr.placeholder("large", (kernel_works.SMALL + 1,), "float64")
    forms = written_by(monkeypatch, lambda: compiled([x, large], [y, gr.tanh(large) + gr.sin(large)]).prepare())
    assert sum(not form.compact for form in forms) == 1
    x, y = random_nodes(100)
    assert not any(form.compact for form in written_by(monkeypatch, lambda: compiled([x], y).prepare()))


def test_a_program_of_many_kernels_computes_what_numpy_computes_on_any_number_of_threads():
    x, y = random_nodes(1500)
    outputs, feed = [y, gr.grad(y, x)], rng.normal(size=4)
    expected = gr.compile([x], outputs, backend="numpy")(feed)
    found = [compiled([x], outputs, threads)(feed) for threads in (1, 2, 3)]
    for value, other in zip(found[0], expected, strict=True):
        np.testing.assert_allclose(value, other, rtol=1e-9)
    for other in found[1:]:
        assert_same_bits(other, found[0])


def test_compact_kernels_share_no_code_with_others(monkeypatch):
    x = gr.placeholder("x", (3,), "float64")
    forms = [written_by(monkeypatch, lambda: compiled([x], x * x + 1.5).prepare())]
    monkeypatch.setattr(kernel_works, "MUCH", -1)
    forms.append(written_by(monkeypatch, lambda: compiled([x], x * x + 1.5).prepare()))
    assert [[form.compact for form in kernels] for kernels in forms] == [[False], [True]]


def test_a_function_that_llvm_rejects_costs_a_warning(fresh, monkeypatch):
    fresh()
    monkeypatch.setattr(kernel_works, "MUCH", -1)
    monkeypatch.setattr(Function, "text", lambda self: "define nothing")
    x = gr.placeholder("x", (3,), "float64")
    with pytest.warns(RuntimeWarning, match="kernel of sin, add .* is computed by NumPy"):
        value = compiled([x], gr.sin(x) + 2.25)([1.0, 2.0, 3.0])
    np.testing.assert_array_equal(value, np.sin([1.0, 2.0, 3.0]) + 2.25)


def test_brief_code_is_compiled_with_little_effort(monkeypatch):
    text = "define double @f(double %x) {\n %y = fadd double %x, %x\n ret double %y\n}\n"
    efforts = []
    machine = host.machine
    monkeypatch.setattr(host, "_idle", {0: [], 3: []})
    monkeypatch.setattr(host, "machine", lambda effort=3: efforts.append(effort) or machine(effort))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert host.object_code(host.BRIEF + text)
        assert host.object_code(host.FINAL + text)
    assert efforts == [0, 3]
