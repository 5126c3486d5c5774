"""Kernels: one code for all sizes, right for every length, layout and vector unit, compiled in the background."""

import ctypes
import gc
import itertools
import os
import re
import time
import warnings
import weakref
from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest

import graphc as gr
from graphc.evaluate import evaluate

pytest.importorskip("llvmlite")

import llvmlite.binding as llvm
from guarded import run_guarded
from llvmlite import ir

from graphc.native import stretches
from graphc.native.code import background, cache, host, spelling
from graphc.native.code.elementwise import is_native
from graphc.native.code.library import LIBRARY, Library
from graphc.native.code.spelling import spelled
from graphc.native.code.vectors import Unit
from graphc.native.code.writer import SYMBOL, Code
from graphc.native.kernel import extents, facts, lanes
from graphc.native.kernel.kernel import Kernel
from graphc.native.kernel.rows import Writer
from graphc.native.program import NativeProgram
from graphc.native.strides import c_order
from graphc.passes.fuse import fuse

rng = np.random.default_rng(0)


def native(inputs, outputs, threads=1):
    """The program of a graph as it stands."""
    return NativeProgram(fuse(gr.Graph(inputs, outputs), fusible=is_native), threads)


def run(program, feeds):
    return program.run(feeds, {}, [None] * len(program.graph.outputs))


def check(inputs, outputs, feeds, rtol=1e-6):
    """Compare a run with the reference."""
    reference = evaluate(outputs, dict(zip(inputs, feeds, strict=True)))
    for value, expected in zip(run(native(inputs, outputs), feeds), reference, strict=True):
        np.testing.assert_allclose(value, expected, rtol=rtol, atol=rtol)


def compiled_by(action):
    before = LIBRARY.compiled
    action()
    return LIBRARY.compiled - before


# ------------------------------------------------------------------------------------------------------- one code


def model(batch, width):
    """A softmax, a loss over all rows, sums of columns and plain elements."""
    x, b = gr.placeholder("x", (batch, width)), gr.placeholder("b", (width,))
    y = gr.nn.softmax(gr.tanh(x * 1.625 + b), axis=1)
    loss = gr.mean(gr.square(y - 0.375))
    return [x, b], [loss, y, *gr.gradients(loss, [x, b])]


def test_another_batch_and_another_width_compile_nothing(monkeypatch):
    monkeypatch.setenv("GRAPHC_CACHE", "")

    def runs(batch, width):
        inputs, outputs = model(batch, width)
        feeds = [rng.normal(size=node.shape).astype("f4") for node in inputs]
        check(inputs, outputs, feeds, rtol=1e-5)

    assert compiled_by(lambda: runs(32, 300)) > 0
    assert compiled_by(lambda: runs(33, 300)) == 0
    assert compiled_by(lambda: runs(31, 271)) == 0


def test_another_batch_compiles_no_product(monkeypatch):
    monkeypatch.setenv("GRAPHC_CACHE", "")
    x = gr.placeholder("x", ("batch", 40))
    first, bias, last = (gr.variable(name, rng.normal(size=shape).astype("f4"))
                         for name, shape in (("first", (40, 96)), ("bias", (96,)), ("last", (96, 24))))  # fmt: skip
    y = gr.nn.relu(x @ first + bias) @ last
    loss = gr.mean(gr.square(y))
    step, reference = (gr.compile([x], [y, *gr.gradients(loss, [first, bias, last])], backend=backend)
                       for backend in ("native", "numpy"))  # fmt: skip

    def runs(batch):
        feed = rng.normal(size=(batch, 40)).astype("f4")
        for value, expected in zip(step(feed), reference(feed), strict=True):
            np.testing.assert_allclose(value, expected, rtol=1e-3, atol=1e-3)

    assert compiled_by(lambda: runs(64)) > 3
    assert [compiled_by(partial(runs, batch)) for batch in (96, 80, 128, 125)] == [0] * 4


def test_the_updates_of_all_parameters_share_their_code():
    shapes = [(784, 512), (512,), (512, 256), (256,), (256, 10), (10,)]
    params = [gr.variable(f"p{i}", np.zeros(shape, "f4")) for i, shape in enumerate(shapes)]
    grads = [gr.placeholder(f"g{i}", shape) for i, shape in enumerate(shapes)]
    step = gr.compile(grads, [], updates=gr.optim.adam(grads, params, lr=1e-3), backend="native")
    step(*(np.ones(shape, "f4") for shape in shapes))
    works = step.report().program.works.listed
    codes = {int(work.task.address) for work in works if facts.is_kernel(work.node) and work.node.type.nbytes > 64}
    assert len(codes) <= 2
    np.testing.assert_allclose(params[0].value, -1e-3, rtol=1e-5)


@dataclass(frozen=True)
class Described:
    """Something a kernel may be found by."""

    sizes: tuple[int, ...]
    dtype: object


def test_structures_are_spelled_alike_only_if_they_are_equal():
    same = [spelled(Described((1, 2), np.dtype("f4"))) for _ in range(2)]
    assert same[0] == same[1] is not None
    others = [Described((12,), np.dtype("f4")), Described((1, 2), np.dtype("f8")), Described((1, True), np.dtype("f4")),
              (1, 2), ((1,), 2), ((1, 2),), "1 2", b"1", 0.0, -0.0, None]  # fmt: skip
    assert len({*map(spelled, others), same[0]}) == len(others) + 1
    assert spelled((1, object())) is None


def test_a_row_that_all_rows_read_is_not_written_over_by_the_first():
    x = gr.placeholder("x", (16,), "float64")
    row = gr.concatenate([x[5:], x[:5]])
    check([x], [gr.broadcast_to(row, (4, 16)) * 1.0, gr.flip(gr.cos(row)) @ x], [rng.normal(size=16)])


# ------------------------------------------------------------------------------------------------------- any length


@pytest.mark.usefixtures("each_unit")
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "int32", "int8", "bool"])
def test_elements_and_reductions_of_any_length_are_right(dtype):
    for n in (*range(1, 20), 31, 33, 64, 67, 130, 300):
        x = gr.placeholder("x", (n,), dtype)
        feed = rng.integers(0, 5, n).astype(dtype)
        check([x], [gr.logical_not(x) | (x > 2), gr.sum(x), gr.max(x), gr.min(x), gr.any(x), gr.all(x)], [feed])


@pytest.mark.usefixtures("each_unit")
@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "float16"])
def test_long_bodies_of_short_elements_are_right(dtype):
    x = gr.placeholder("x", (1000,), dtype)
    y = x
    for number in range(50):
        y = gr.where(y > number, x - y, y + x)
    check([x], [y], [rng.integers(0, 9, 1000).astype(dtype)])


@pytest.mark.usefixtures("each_unit")
@pytest.mark.parametrize("n", [1, 2, 3, 5, 8, 10, 16, 17, 40, 63, 65, 100, 257, 5000])
def test_rows_of_any_length_are_right(n):
    x, b = gr.placeholder("x", (3, 5, n), "float64"), gr.placeholder("b", (5, 1), "float64")
    y = gr.exp(x * b - gr.max(x, axis=-1, keepdims=True))
    outputs = [y / gr.sum(y, axis=-1, keepdims=True), gr.sum(y, axis=0), gr.sum(y * x), gr.prod(x * 0.1 + 1, axis=2)]
    check([x, b], outputs, [rng.normal(size=(3, 5, n)), rng.normal(size=(5, 1))], rtol=1e-9)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int8", "bool"])
@pytest.mark.parametrize("n", [2, 5, 6, 10, 12, 14, 33, 50])
def test_rows_shorter_than_vectors_are_reduced_without_choices_that_llvm_knows(monkeypatch, n, dtype):
    """Of these it makes shuffles that take 20 cycles."""
    monkeypatch.setattr(lanes, "host_unit", lambda: Unit(64, 32, masked=True))
    x = gr.placeholder("x", (70, n), dtype)
    outputs = [op(x, 1, keepdims=True) for op in (gr.max, gr.min, gr.any)]
    text = Writer(Kernel(gr.Graph([x], outputs), [(n, 1)])).text()
    assert not re.search(r"select +<\d+ x i1> <", text)
    check([x], outputs, [rng.integers(0, 2 if dtype == "bool" else 9, x.shape).astype(dtype)])


@pytest.mark.usefixtures("each_unit")
def test_operands_with_gaps_and_results_laid_out_otherwise_are_right():
    for n in (1, 4, 9, 40, 200):
        x = gr.placeholder("x", (6, 2 * n, 7), "float64")
        y = gr.transpose(x, (2, 0, 1))[:, :, ::2]
        check([x], [gr.sin(y) + 1, gr.sum(y * 2, axis=2), gr.concatenate([y[::-1], y * 3], axis=2)],
              [rng.normal(size=x.shape)])  # fmt: skip


@pytest.mark.usefixtures("each_unit")
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_what_takes_the_long_form_is_right_beside_what_does_not(dtype):
    feed = rng.normal(size=37).astype(dtype)
    feed[[3, 8, 36]] = 1e30, -3e20, 7e9
    feed[20] = np.nan
    x = gr.placeholder("x", feed.shape, dtype)
    y = gr.placeholder("y", feed.shape, dtype)
    other = (rng.normal(size=37) * 1e-3).astype(dtype)
    check([x, y], [gr.sin(x), gr.cos(x), gr.tan(x) * 0 + gr.sin(x * 2), gr.remainder(gr.abs(x), y), gr.fmod(x, y)],
          [feed, other], rtol=1e-6 if dtype == "float32" else 1e-14)  # fmt: skip


# ------------------------------------------------------------------------------------------------------- the background


def test_without_their_sources_kernels_are_known_by_their_text(monkeypatch, tmp_path):
    monkeypatch.setenv("GRAPHC_CACHE", str(tmp_path))
    monkeypatch.setattr(spelling, "__file__", str(tmp_path / "none" / "spelling.py"))
    spelling.writers.cache_clear()
    x = gr.placeholder("x", (5,), "float64")
    assert spelling.writers() is None
    assert np.array_equal(gr.compile([x], 11 * x + 13, backend="native")(np.arange(5.0)), 11 * np.arange(5.0) + 13)
    spelling.writers.cache_clear()


def test_what_llvm_rejects_in_the_background_is_computed_by_numpy_with_a_warning(monkeypatch):
    monkeypatch.setenv("GRAPHC_CACHE", "")
    compile_one = host.object_code
    monkeypatch.setattr(host, "object_code", lambda text: compile_one(text.replace("llvm.sqrt", "llvm.sqrrt")))
    x = gr.placeholder("x", (301,), "float64")
    feed = rng.random(301)
    with pytest.warns(RuntimeWarning, match="sqrt.* is computed by NumPy"):
        program = native([x], [gr.sqrt(x + 7.123) * 3, gr.sum(gr.exp(x)[None] @ gr.exp(x)[:, None])])
    monkeypatch.undo()
    root, product = run(program, [feed])
    np.testing.assert_allclose(root, np.sqrt(feed + 7.123) * 3)
    np.testing.assert_allclose(product, np.exp(feed) @ np.exp(feed))


def test_long_kernels_are_cut_where_an_interrupt_may_come(monkeypatch):
    x = gr.placeholder("x", (700, 900), "float64")
    outputs = [gr.sum(gr.exp(gr.sin(x) * gr.cos(x))), gr.sum(gr.tanh(x), axis=0), gr.tanh(x) * 2]
    feeds = [rng.normal(size=x.shape)]
    for threads in (1, 2):
        whole = native([x], outputs, threads)
        expected = run(whole, feeds)
        with monkeypatch.context() as patched:
            patched.setattr(stretches, "LONGEST_NS", 1e5)
            cut = native([x], outputs, threads)
        assert len(cut.emitted.steps.listed) >= len(whole.emitted.steps.listed) + 5
        for one, other in zip(run(cut, feeds), expected, strict=True):
            np.testing.assert_array_equal(one, other)


# ------------------------------------------------------------------------------------------------------- the disk


def test_a_cache_that_grows_too_large_loses_what_was_used_least_lately(monkeypatch, tmp_path):
    monkeypatch.setenv("GRAPHC_CACHE", str(tmp_path))
    monkeypatch.setattr(cache, "LARGEST_BYTES", 10_000)
    kept = cache.DiskCache(warnings.warn)
    for number in range(20):
        kept.put(f"{number:02}", bytes(1000))
        old = time.time() - 1e6 + number
        os.utime(tmp_path / f"{number:02}", (old, old))
    assert kept.get("03") == bytes(1000)
    cache.DiskCache(warnings.warn).put("00new", bytes(1000))
    assert {path.name for path in tmp_path.iterdir()} == {"03", "14", "15", "16", "17", "18", "19"} - {"14"} | {"00new"}
    assert cache.DiskCache(warnings.warn).get("00") is None


def test_stored_kernels_are_loaded_without_further_threads(monkeypatch, tmp_path):
    monkeypatch.setenv("GRAPHC_CACHE", str(tmp_path))

    def load(library, name):
        return library.kernel((name,), lambda: f"define i64 @{name}() {{\n  ret i64 42\n}}\n", name).loaded

    cold, warm = Library(), Library()
    load(cold, "answer")
    load(warm, "other")  # with the first one LLVM starts, by another thread
    monkeypatch.setattr(background.Queue, "_start", lambda *_: pytest.fail("a thread was made"))
    assert ctypes.CFUNCTYPE(ctypes.c_int64)(load(warm, "answer").address)() == 42
    assert warm.compiled == 1


# ----------------------------------------------------------------------------------------------------- what is kept


@pytest.mark.parametrize("size", [3, 300])
def test_what_kernels_are_written_from_is_freed(monkeypatch, size):
    monkeypatch.setenv("GRAPHC_CACHE", "")
    parts = []

    class Watched(Writer):
        def text(self):
            parts.extend(map(weakref.ref, (self, self.code.entry, self.code.module, self.pointers[0])))
            return super().text()

    monkeypatch.setattr(facts, "Writer", Watched)
    monkeypatch.setattr(facts, "LIBRARY", Library())
    inputs, outputs = model(size, size + 1)
    gc.disable()
    try:
        made = native(inputs, [*outputs, gr.argmax(outputs[1], axis=1)])
        assert parts
        assert all(part() is None for part in parts)
    finally:
        gc.enable()
    assert made.works.facts


def test_what_has_compiled_a_kernel_is_freed(monkeypatch):
    monkeypatch.setenv("GRAPHC_CACHE", "")
    kernels = Library()
    text = "define void @kernel(ptr %a, i64 %b, i64 %c, i64 %d) {\n ret void\n}"
    assert kernels.finish([kernels.kernel("returns", lambda: text, "kernel")])
    assert not any(made.job._compute for made in kernels._by_content.values())


# ------------------------------------------------------------------------------------------------------- across rows


@pytest.mark.usefixtures("each_unit")
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "int8", "bool"])
def test_values_that_lie_across_the_rows_are_right_at_every_edge_of_a_tile(monkeypatch, dtype):
    monkeypatch.setattr("graphc.native.kernel.kernel.FAR_BYTES", 1)
    for rows, columns in ((1, 65), (2, 128), (31, 129), (33, 100), (64, 65), (70, 193)):
        x, y = gr.placeholder("x", (columns, rows), dtype), gr.placeholder("y", (rows, columns), dtype)
        feeds = [rng.normal(size=node.shape) * 3 for node in (x, y)]
        with np.errstate(all="ignore"):
            check([x, y], [x.T * y, gr.concatenate([x.T, y], 1) * y[:, :1]], [feed.astype(dtype) for feed in feeds])


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("fresh", [extents.FRESH_BYTES, 0])
def test_any_order_of_axes_is_right_on_any_number_of_threads(order, fresh, monkeypatch):
    monkeypatch.setattr(extents, "FRESH_BYTES", fresh)
    x = gr.placeholder("x", (70, 75, 90), "float32")
    y = gr.transpose(x, order)
    feed = rng.normal(size=x.shape).astype("float32")
    outputs = [gr.square(y), y[::-1] * 2, gr.flip(y, -1) * y, gr.max(y * 2, -1), gr.concatenate([y * 3, y], 1)]
    right = evaluate(outputs, {x: feed})
    for threads in (1, 2, 3):
        found = gr.compile([x], outputs, backend="native", threads=threads)(feed)
        for value, expected in zip(found, right, strict=True):
            np.testing.assert_array_equal(value, expected)


def test_a_large_transposed_operand_is_walked_in_tiles_and_a_small_one_is_not():
    def tiled(size):
        x, y = gr.placeholder("x", (size, size)), gr.placeholder("y", (size, size))
        accesses = [(1, size), (size, 1)]
        return Kernel(gr.Graph([x, y], [x * y]), accesses).form.tiled

    assert (tiled(300), tiled(30)) == (0, None)


def test_large_results_are_written_in_the_order_in_which_they_lie():
    """They would be mapped while the first rows are walked, in one stretch."""

    def order(shape, axes):
        x = gr.placeholder("x", shape)
        steps = [int(np.prod([shape[before] for before in axes[axes.index(axis) + 1 :]])) for axis in range(3)]
        kernel = Kernel(gr.Graph([x], [x * 2]), [c_order(shape)], [steps])
        return kernel.form.tiled, kernel.form.order, kernel.space.groups

    assert order((70, 75, 90), (2, 1, 0)) == (0, (1, 0, 2), ((0,), (1,), (2,)))
    assert order((700, 750, 900), (2, 1, 0)) == (1, (2, 0, 1), ((1,), (0,), (2,)))
    assert order((20, 75, 90), (1, 0, 2)) == (None, (), ((0,), (1,), (2,)))
    assert order((2000, 750, 90), (1, 0, 2)) == (None, (), ((1,), (0,), (2,)))


@pytest.mark.usefixtures("each_unit")
@pytest.mark.parametrize("dtype", ["float64", "float32", "int8"])
def test_a_result_that_is_seen_transposed_is_written_so(monkeypatch, dtype):
    monkeypatch.setattr("graphc.native.kernel.kernel.FAR_BYTES", 1)
    for shape in ((1, 65), (31, 129), (33, 100), (64, 17), (5, 40, 70)):
        x, y = gr.placeholder("x", shape, dtype), gr.placeholder("y", shape[-1:], dtype)
        feeds = [(rng.normal(size=node.shape) * 3).astype(dtype) for node in (x, y)]
        outputs = [gr.transpose(x + y), gr.swapaxes(x * y, -1, -2), gr.transpose(x)]
        check([x, y], outputs, feeds)
        run = gr.compile([x, y], outputs, backend="native")
        if 1 not in shape:
            works = NativeProgram(run.plan.graph, 2).works.listed
            assert all(work.task is not None for work in works)
            assert len(works) == 2


def test_a_transposed_result_is_written_to_targets_and_beside_others():
    x = gr.placeholder("x", (70, 90), "float32")
    product = x * 2
    outputs = [gr.transpose(product), gr.transpose(gr.exp(x)), gr.exp(x)[1:, ::-2], gr.broadcast_to(x[0] * 3, (5, 90))]
    feed = rng.normal(size=x.shape).astype("float32")
    right = evaluate(outputs, {x: feed})
    for threads in (1, 2, 3):
        run = gr.compile([x], outputs, backend="native", threads=threads)
        program = NativeProgram(run.plan.graph, threads)
        targets = [np.full(node.shape, 7, "float32") for node in outputs]
        for found in (run(feed), program.run([feed], {}, targets)):
            for value, expected in zip(found, right, strict=True):
                np.testing.assert_allclose(value, expected, rtol=1e-6)
        assert all(work.task is not None for work in program.works.listed)


def test_what_runs_backward_is_read_where_it_lies():
    x = gr.placeholder("x", (6, 70))
    run = gr.compile([x], gr.tanh(gr.flip(x, 1)) + gr.flip(x), backend="native")
    assert "flip" not in str(run.graph)
    feed = rng.normal(size=x.shape).astype("float32")
    np.testing.assert_allclose(run(feed), np.tanh(feed[:, ::-1]) + feed[::-1, ::-1], rtol=1e-6, atol=1e-6)


@pytest.mark.usefixtures("each_unit")
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "int8", "bool"])
def test_elements_some_steps_apart_are_read_in_vectors(dtype):
    for step, length in ((2, 1), (2, 40), (3, 7), (3, 131), (4, 5000), (5, 40)):
        x = gr.placeholder("x", (3, step * length), dtype)
        first, last = x[:, ::step], x[:, step - 1 :: step]
        feed = (rng.normal(size=x.shape) * 3).astype(dtype)
        check([x], [first * last, gr.logical_not(last), gr.max(first * last, 1)], [feed], rtol=1e-5)


@pytest.mark.parametrize("dtype", ["float64", "int64", "float32", "int8", "bool"])
@pytest.mark.parametrize("step", [2, 3, 5, 8])
def test_elements_some_steps_apart_touch_nothing_beyond_their_memory(monkeypatch, step, dtype):
    for length in (3, 8, 9, 33, 65):
        x = gr.placeholder("x", (4, step * length), dtype)
        first, last = x[:, ::step], x[:, step - 1 :: step]
        run = gr.compile([x], [gr.logical_not(last), first * last, gr.max(first * last, 1)], backend="native")
        feed = (rng.normal(size=x.shape) * 3).astype(dtype)
        right = run(feed)
        for found in run_guarded(run, [feed], monkeypatch):
            for value, expected in zip(found, right, strict=True):
                np.testing.assert_array_equal(value, expected)


@pytest.mark.usefixtures("each_unit")
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "int64", "int8", "bool"])
def test_elements_some_steps_apart_are_written_in_vectors(dtype):
    for pieces, rows, length in ((2, 1, 1), (2, 3, 2), (2, 3, 7), (3, 70, 9), (3, 1, 200), (4, 5, 65), (5, 3, 40)):
        x, y = (gr.placeholder(name, (rows, length), dtype) for name in "xy")
        feeds = [(rng.normal(size=x.shape) * 3).astype(dtype) for _ in "xy"]
        parts = [gr.where(x > y, x, y) if i == 1 else x + y if i % 2 else x * y for i in range(pieces)]
        short = [gr.astype(part, "int8") for part in parts]
        check([x, y], [gr.stack(parts, -1), gr.stack(short, -1)], feeds, rtol=1e-3)


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "int8", "bool"])
@pytest.mark.parametrize("pieces", [2, 3, 4])
def test_elements_written_some_steps_apart_touch_nothing_beyond_their_memory(monkeypatch, pieces, dtype):
    for length in (1, 3, 8, 9, 33, 65):
        x = gr.placeholder("x", (4, length), dtype)
        run = gr.compile([x], gr.stack([x + x, x * x, x, x + x + x][:pieces], -1), backend="native")
        feed = (rng.normal(size=x.shape) * 3).astype(dtype)
        right = run(feed)
        for (found,) in run_guarded(run, [feed], monkeypatch):
            np.testing.assert_array_equal(found, right)


def test_steps_touch_nothing_beyond_their_memory(monkeypatch):
    x = gr.placeholder("x", (5, 12 * 43), "float32")
    outputs = [x[:, 1::2] * 2, gr.tanh(x[:, 2::3]), gr.tanh(x[:, 3::4]) * 2 + gr.exp(x[:, ::4]), x[:, 11:24:3] + 1]
    run = gr.compile([x], outputs, backend="native")
    feed = rng.normal(size=x.shape).astype("float32")
    right = run(feed)
    for found in run_guarded(run, [feed], monkeypatch):
        for value, expected in zip(found, right, strict=True):
            np.testing.assert_array_equal(value, expected)


def test_tiles_touch_nothing_beyond_their_memory(monkeypatch):
    x, y = gr.placeholder("x", (129, 300)), gr.placeholder("y", (300, 129))
    run = gr.compile([x, y], [x.T * y, gr.flip(x, 1).T * y, (x * 2).T, x.T], backend="native")
    feeds = [rng.normal(size=node.shape).astype("float32") for node in (x, y)]
    right = run(*feeds)
    for found in run_guarded(run, feeds, monkeypatch):
        for value, expected in zip(found, right, strict=True):
            np.testing.assert_array_equal(value, expected)


def test_a_reduction_of_a_transpose_reads_what_is_transposed():
    x = gr.placeholder("x", (6, 40, 50))
    f = gr.compile([x], gr.mean(gr.moveaxis(x, 1, -1), axis=-1), backend="native")
    assert not [node for node in f.graph.nodes if node.op is gr.transpose]
    values = np.random.default_rng(0).normal(size=(6, 40, 50)).astype("float32")
    np.testing.assert_allclose(f(values), values.mean(axis=1), rtol=1e-4, atol=1e-6)
    kept = gr.compile([x], gr.mean(gr.moveaxis(x, 1, -1), axis=-1), backend="numpy")
    assert [node for node in kept.graph.nodes if node.op is gr.transpose], "NumPy adds up in the order asked for"


@pytest.mark.parametrize(("width", "active"), [(2, 1), (4, 3), (8, 1), (8, 5), (16, 8), (16, 1), (64, 33), (64, 63)])
def test_llvm_does_not_know_hidden_masks(width, active):
    """Not even its passes do, and what it stores by such a mask ends where it ends."""
    code, byte = Code.kernel("masked"), ir.IntType(8)
    ones = ir.Constant(ir.VectorType(byte, width), [1] * width)
    code.store_where(ones, code.table(1)[0], code.masks.hidden(width, active), np.dtype("int8"))
    code.parallel = True
    text = code.text()
    object_code = host.object_code(text)
    module, target = llvm.parse_assembly(text), llvm.Target.from_default_triple().create_target_machine()
    passes = llvm.create_pass_builder(target, llvm.create_pipeline_tuning_options(speed_level=3))
    passes.getModulePassManager().run(module, passes)
    assert re.search(r"call void @llvm\.masked\.store.* x i1> %", str(module))
    loaded, memory = host.Loaded(object_code, SYMBOL), np.zeros(80, "int8")
    kernel = ctypes.CFUNCTYPE(None, ctypes.c_void_p, *[ctypes.c_int64] * 3)(loaded.address)
    table = np.array([memory.ctypes.data])
    kernel(table.ctypes.data, 0, 1, 1)
    assert memory.tolist() == [1] * active + [0] * (80 - active)


@pytest.mark.parametrize("width", [2, 4, 8, 16])
@pytest.mark.parametrize(("wide", "narrow"), [(16, 8), (32, 8), (32, 16), (64, 8), (64, 16), (64, 32)])
def test_the_only_lane_of_a_mask_is_as_wide_as_it_became(width, wide, narrow):
    for lane in range(width):
        code = Code.kernel("truncated")
        out, numbers = code.table(2)
        whole = code.b.load(numbers, typ=ir.VectorType(ir.IntType(wide), width), align=wide // 8)
        mask = ir.Constant(ir.VectorType(ir.IntType(1), width), [int(i == lane) for i in range(width)])
        cut = code.b.trunc(whole, ir.VectorType(ir.IntType(narrow), width))
        code.store_where(cut, out, mask, np.dtype(f"int{narrow}"))
        loaded = host.Loaded(host.object_code(code.text()), SYMBOL)
        found, given = np.zeros(width + 8, f"int{narrow}"), np.full(width, -1, f"int{wide}")
        table = np.array([found.ctypes.data, given.ctypes.data])
        ctypes.CFUNCTYPE(None, ctypes.c_void_p, *[ctypes.c_int64] * 3)(loaded.address)(table.ctypes.data, 0, 1, 1)
        assert found.nonzero()[0].tolist() == [lane]
