"""The native backend: the same values as the reference, whatever the graph, and the same bits for any threads."""

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import graphc as gr
from graphc.evaluate import evaluate

pytest.importorskip("llvmlite")

from random_graphs import random_graph

from graphc.native.code.elementwise import is_native
from graphc.native.code.failure import LLVMError
from graphc.native.code.library import LIBRARY
from graphc.native.kernel import facts
from graphc.native.memory import plan_memory
from graphc.native.program import NativeProgram
from graphc.op import OPS
from graphc.passes.fuse import fuse
from graphc.testing import _samples

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


def test_kernels_keep_the_names_and_lines_of_what_they_hold():
    x, w = gr.placeholder("x", (5,), "float64"), gr.placeholder("w", (), "float64")
    h = gr.tanh(x * w).named("h")
    y = gr.sum(h * 2).named("y")
    graph = fuse(gr.Graph([x, w], [y, h]), fusible=is_native)
    total, inner = graph.outputs
    body = total.inputs[0].inputs[0].attrs["body"]
    assert (total.name, inner.name) == ("y", "h")
    assert [node.name for node in body.nodes if node.name] == ["x", "w", "h", "y"]
    assert body.outputs[0].origin.line == h.origin.line
    assert str(gr.parse(str(graph))) == str(graph)


def test_what_only_moves_needs_no_kernel():
    x = gr.placeholder("x", (5, 1), "float64")
    program = check([x], [gr.broadcast_to(x[:, 0], (3, 5)) @ x], [rng.normal(size=(5, 1))])
    assert not any(facts.is_kernel(node) for node in program.graph.nodes)


@pytest.mark.parametrize("shape", [(1,), (2,), (3, 1), (1, 9)])
def test_a_sum_of_negative_zeros_is_zero_however_few_they_are(shape):
    x = gr.placeholder("x", shape, "float64")
    outputs = [gr.sum(x, axis=axis) for axis in (None, *range(len(shape)))]
    for value, expected in zip(values(native([x], outputs), [np.full(shape, -0.0)]),
                               evaluate(outputs, {x: np.full(shape, -0.0)}), strict=True):  # fmt: skip
        np.testing.assert_array_equal(np.signbit(value), np.signbit(expected))


def test_a_sum_of_a_repeated_number_joins_a_kernel():
    x = gr.placeholder("x", (4,), "float64")
    ones = gr.sum(gr.broadcast_to(gr.constant(2.0, "float64"), (4,)))
    check([x], [x * ones, ones], [rng.normal(size=4)])


PRODUCTS = [((2, 3), (3, 4)), ((3,), (3,)), ((3,), (3, 2)), ((2, 3), (3,)), ((4, 2, 3), (3, 5)), ((2, 3), (4, 3, 2)),
            ((4, 1, 2, 3), (5, 3, 2)), ((1, 2, 3), (4, 3, 2)), ((3,), (2, 3, 4)), ((2, 4, 3), (3,)),
            ((33, 65), (65, 17))]  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("a", "b"), PRODUCTS)
def test_products_of_all_ranks_and_transposes_are_native(a, b, dtype):
    x, y = gr.placeholder("x", a, dtype), gr.placeholder("y", b, dtype)
    program = check([x, y], [x @ y], [rng.normal(size=a).astype(dtype), rng.normal(size=b).astype(dtype)], rtol=1e-5)
    assert all(work.task is not None for work in program.works.listed)
    if x.ndim == y.ndim == 2:
        program = check([x, y], [y.T @ x.T], [rng.normal(size=a).astype(dtype), rng.normal(size=b).astype(dtype)], 1e-5)
        assert all(work.task is not None for work in program.works.listed)


def test_a_contraction_of_heads_is_a_native_product_of_strided_operands():
    q, k = gr.placeholder("q", (2, 8, 3, 5), "float64"), gr.placeholder("k", (2, 9, 3, 5), "float64")
    scores = gr.einsum("bqhd,bkhd->bhqk", q, k)
    feeds = [rng.normal(size=q.shape), rng.normal(size=k.shape)]
    program = check([q, k], [scores, scores @ gr.transpose(k, (0, 2, 1, 3))], feeds)
    assert all(work.task is not None for work in program.works.listed)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_shared_stages_give_the_same_bits_for_any_number_of_threads(dtype):
    x, w = gr.placeholder("x", (700, 300), dtype), gr.placeholder("w", (300, 500), dtype)
    y = gr.sum(gr.tanh(x @ w) * 0.5, axis=0)
    feeds = [rng.normal(size=(700, 300)).astype(dtype), rng.normal(size=(300, 500)).astype(dtype)]
    outputs = [gr.sum(y), *gr.gradients(gr.sum(y), [x, w])]
    programs = [native([x, w], outputs, threads) for threads in (1, 2, 3)]
    assert any(stage.shared for stage in programs[1].stages)
    results = [values(program, feeds) for program in programs for _ in range(3)]
    for result in results:
        for one, other in zip(results[0], result, strict=True):
            np.testing.assert_array_equal(one, other)


def test_a_kernel_that_llvm_rejects_is_computed_by_numpy_with_a_warning(monkeypatch):
    x, driver = gr.placeholder("x", (5, 7), "float64"), LIBRARY.begin_driver()
    monkeypatch.setattr(LIBRARY, "begin_driver", lambda: driver)
    monkeypatch.setattr(LIBRARY, "kernel", lambda *args: (_ for _ in ()).throw(LLVMError("no such instruction")))
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


@pytest.mark.parametrize("shape", [(), (1,), (3, 4), (100,)])
@pytest.mark.parametrize("dtype", ["float64", "float32", "int64", "int8", "bool"])
def test_signs_of_halves_come_from_any_dtype_without_a_library(dtype, shape):
    x = gr.placeholder("x", shape, dtype)
    half = x.astype("float16")
    feed = np.asarray(rng.normal(size=shape) * 3).astype(dtype)
    check([x], [gr.tanh(half), gr.copysign(half + 1, half)], [feed], rtol=2e-3)


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


def test_positions_outside_an_axis_raise_and_nothing_is_written():
    x, i = gr.placeholder("x", (4, 5), "float64"), gr.placeholder("i", (4, 1), "int64")
    w = gr.variable("w", np.zeros(3))
    y = gr.take_along_axis(x, i, axis=1)
    f = gr.compile([x, i], [y, gr.gradients(gr.sum(y * 2), [x])[0]], updates={w: w + 1}, backend="native")
    assert all(work.task is not None for work in f.plan.program.works.listed)
    feed = rng.normal(size=(4, 5))
    for _ in range(2):
        picked, gradient = f(feed, np.array([[0], [-1], [2], [3]]))
        np.testing.assert_array_equal(picked[:, 0], feed[range(4), [0, -1, 2, 3]])
        np.testing.assert_array_equal(np.nonzero(gradient)[1], [0, 4, 2, 3])
        with pytest.raises(gr.ExecutionError, match=r"take_along_axis failed: IndexError: index -6 is out of bounds"):
            f(feed, np.array([[0], [-6], [2], [3]]))
    np.testing.assert_array_equal(w.value, [2, 2, 2])


MOVED = ("take_along_axis", "add_along_axis", "gather", "setitem", "concatenate")
COMPUTED = ("add_n", "any", "all", "sum", "max", "where", "astype", "matmul", "einsum", "reciprocal")


@pytest.mark.parametrize("name", MOVED + COMPUTED)
def test_samples_of_an_op_have_the_values_of_its_body(name):
    op = OPS[name]
    for sample in _samples(op.name, op, op.samples.for_arity(op.arity or 0)):
        tolerance = 1e-3 if "f16" in str(sample.call) else 1e-5
        check(list(sample.feed), [sample.node], list(sample.feed.values()), rtol=tolerance)


SCALARS = [(1.5, 0.5), (np.float64(1.5), 0.5), (np.array(1.5), np.float32(0.5)), (True, 2)]


@pytest.mark.parametrize("arguments", SCALARS)
def test_numbers_of_any_kind_are_taken_by_the_short_way_or_the_long(arguments):
    x, y = gr.placeholder("x", (), "float64"), gr.placeholder("y", (), "float64")
    f = (1 - x) ** 2 + 100 * (y - x * x) ** 2
    run = gr.compile([x, y], {"f": f, "g": tuple(gr.gradients(f, [x, y]))}, backend="native")
    a, b = map(float, arguments)
    for _ in range(3):
        result = run(*arguments)
        assert result["f"] == pytest.approx((1 - a) ** 2 + 100 * (b - a * a) ** 2)
        assert isinstance(result["f"], np.float64)
        assert result["g"][1] == pytest.approx(200 * (b - a * a))
    with pytest.raises(gr.FeedError):
        run("1.5", 2)
    with pytest.raises(gr.FeedError, match="expected a value for y"):
        run(1.5)


def trainer(threads=None):
    """A step that is long enough for several threads, and what to feed it."""
    generator = np.random.default_rng(1)
    x, w = gr.placeholder("x", (256, 300), "float64"), gr.variable("w", generator.normal(size=(300, 200)))
    loss = gr.sum(gr.square(gr.tanh(x @ w)))
    step = gr.compile([x], loss, updates={w: w - 1e-3 * gr.gradients(loss, [w])[0]}, backend="native", threads=threads)
    return step, w, generator.normal(size=(256, 300))


def test_training_gives_the_same_bits_on_one_thread_and_on_two():
    (one, w1, x), (two, w2, _) = trainer(1), trainer(2)
    assert [one(x) for _ in range(20)] == [two(x) for _ in range(20)]
    np.testing.assert_array_equal(w1.value, w2.value)


def test_concurrent_calls_do_not_share_memory():
    x = gr.placeholder("x", (200, 300), "float64")
    f = gr.compile([x], [gr.tanh(x @ x.T) * 2, gr.sum(x)], backend="native", threads=2)
    feeds = [rng.normal(size=(200, 300)) for _ in range(6)]
    expected = [f(feed) for feed in feeds]

    def call(i):
        for _ in range(20):
            for value, reference in zip(f(feeds[i]), expected[i], strict=True):
                np.testing.assert_array_equal(value, reference)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(call, range(6)))


def test_results_stay_when_the_program_runs_again():
    x = gr.placeholder("x", (5,), "float64")
    f = gr.compile([x], [x + 1, gr.cumsum(x)], backend="native")
    first = f(np.zeros(5))
    f(np.ones(5))
    np.testing.assert_array_equal(first[0], np.ones(5))
    np.testing.assert_array_equal(first[1], np.zeros(5))


def test_the_program_keeps_no_arguments_alive():
    x = gr.placeholder("x", (5,), "float64")
    f = gr.compile([x], [x + 1, gr.cumsum(x)], backend="native")
    g = gr.compile([x], [x + 1], backend="native")
    for call in (f, g, g):
        array = np.ones(5).view(np.ndarray)
        before = sys.getrefcount(array)
        call(array)
        assert sys.getrefcount(array) == before


CHILD = """
import os, sys, numpy as np
sys.path.insert(0, "tests")
from test_native import trainer
step, w, x = trainer(2)
first = step(x)
pid = os.fork()
value = step(x)
if pid == 0:
    os._exit(0 if value < first and all(step(x) > 0 for _ in range(50)) else 1)
assert os.waitpid(pid, 0)[1] == 0
"""

INTERRUPTED = """
import signal, sys, time, threading, os
sys.path.insert(0, "tests")
from test_native import trainer
signal.signal(signal.SIGINT, signal.default_int_handler)  # shells have what they run in the background ignore it
step, w, x = trainer(2)
step(x)
threading.Timer(0.5, lambda: (times.append(time.process_time()), os.kill(os.getpid(), signal.SIGINT))).start()
times = []
try:
    while True:
        step(x)
except KeyboardInterrupt:
    took = time.process_time() - times[0]
    assert step(x) > 0
    print(f"interrupted after {took:.3f} s")
"""


def python(code, **environment):
    """Run code in another process and return what it printed.

    Limits are in time of the processor where they can be: a busy machine may leave a process none for a minute.
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600, check=False,
                          env={**os.environ, **environment}, cwd=Path(__file__).parents[1])  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_runs_on_with_helpers_of_its_own():
    python(CHILD)


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
def test_an_interrupt_leaves_the_program_usable():
    printed = python(INTERRUPTED)
    assert "interrupted after" in printed
    assert float(printed.split("after ")[1].split()[0]) < 2, "a second of two threads"


SMALL = """
import numpy as np, graphc as gr
x = gr.placeholder("x", (7,), "float64")
assert np.array_equal(gr.compile([x], x * 3 + 1, backend="native")(np.arange(7.0)), np.arange(7.0) * 3 + 1)
"""


def test_kernels_are_kept_on_disk_and_damaged_entries_replaced(tmp_path):
    assert not python(SMALL, GRAPHC_CACHE=str(tmp_path))
    entries = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert len(entries) >= 2
    assert not python(SMALL, GRAPHC_CACHE=str(tmp_path))
    for name, content in entries.items():
        (tmp_path / name).write_bytes(content[:-10])
    assert "damaged" in python(SMALL, GRAPHC_CACHE=str(tmp_path))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == entries


@pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX's")
def test_a_directory_that_others_may_write_is_not_trusted(tmp_path):
    tmp_path.chmod(0o777)
    assert "other users may write to it" in python(SMALL, GRAPHC_CACHE=str(tmp_path))
    assert not list(tmp_path.iterdir())


def test_a_cache_that_cannot_be_written_costs_a_warning(tmp_path):
    (tmp_path / "file").write_text("")
    assert "cannot write" in python(SMALL, GRAPHC_CACHE=str(tmp_path / "file"))


@pytest.mark.parametrize("cached", [False, True])
def test_the_dump_has_code_in_files_that_say_what_it_is_and_that_the_report_names(cached, fresh, tmp_path, monkeypatch):
    x, w = gr.placeholder("x", (16, 16)), gr.placeholder("w", (16, 16))
    outputs = [gr.sum(gr.square(x) * 5.5, axis=0), gr.cumsum(x, axis=1), gr.tanh(x @ w), gr.sort(x, axis=0)]
    monkeypatch.setenv("GRAPHC_CACHE", str(tmp_path / "cache"))
    fresh()
    if cached:
        before = gr.compile([x, w], outputs, backend="native").report()
        assert "IR and assembly" not in str(before)
        assert not any(line.file for line in before.program.describe().kernels)
    fresh()
    monkeypatch.setenv("GRAPHC_DUMP", str(tmp_path / "dump"))
    report = gr.compile([x, w], outputs, backend="native").report()
    assert f"kernel; IR and assembly (.s) are in {tmp_path / 'dump'}\n" in str(report)
    files = [Path(line.file) for line in report.program.describe().kernels]
    assert {file.parent for file in files} == {tmp_path / "dump"}
    titles = {re.sub(r"-[0-9a-f]{8}$", "", file.name): file for file in files}
    assert set(titles) == {"square-multiply-sum", "scans-cumsum", "matmul-float32", "tanh"}
    assert all(f"  {file.name}.ll\n" in str(report) for file in files)
    dumped = {path.name for path in (tmp_path / "dump").iterdir()}
    assert {f"{file.name}{suffix}" for file in files for suffix in (".ll", ".s")} <= dumped
    assert any(name.startswith("driver-") for name in dumped)
    assert "fmul" in titles["square-multiply-sum"].with_suffix(".ll").read_text(encoding="utf-8")


def test_the_report_lists_kernels_and_what_is_not_native():
    x = gr.placeholder("x", (11, 13), "float64")
    f = gr.compile([x], [gr.sum(gr.square(x) * 5.5, axis=0), gr.sort(x, axis=0)], backend="native")
    text = str(f.report())
    assert "backend native" in text
    assert "square, multiply, sum" in text or "square, sum, multiply" in text
    assert "1 x sort has no native code" in text
    assert "2 stretches of native code; 0 barriers" in text or "1 stretch of native code; 0 barriers" in text
    (kernel,) = f.report().program.describe().kernels
    assert (kernel.operations, kernel.nbytes) == (2 * 143 + 143, 8 * (143 + 13))
    assert kernel.where.startswith(f"{Path('tests', 'test_native.py')}:")
    assert f.peak_bytes > 0
    assert sum(f.profile(rng.normal(size=(11, 13))).levels) > 0
    assert len(f.levels()) == len(f.graph.levels())


def test_the_report_has_a_line_for_kernels_that_are_alike_and_keeps_to_the_dearest_of_many():
    x = gr.placeholder("x", (64, 64))
    y = x
    for _ in range(40):
        y = gr.tanh(y @ x)
    text = str(gr.compile([x], y, backend="native").report())
    assert "80 kernels in 1 stretch of native code" in text or "40 kernels in 1 stretch of native code" in text
    assert "nothing is left to NumPy" in text
    assert "40 x " in text
    sizes = [gr.placeholder(f"x{n}", (n,)) for n in range(1, 50)]
    text = str(gr.compile(sizes, [x * 2 for x in sizes], backend="native").report())
    assert "in 19 more kernels" in text
    assert text.count("  multiply  #") == 30


def test_the_report_says_what_the_peak_consists_of():
    x = gr.placeholder("x", (300, 300))
    f = gr.compile([x], gr.tanh(gr.cumsum(x, axis=0)) @ x, backend="native")
    told = f.report().program.describe()
    (line,) = (line for line in str(f.report()).splitlines() if line.startswith("memory"))
    assert (told.result_bytes, told.own_bytes) == (360_000, 0)
    assert told.buffer_bytes >= 360_000
    assert 0 < told.peak_bytes - told.buffer_bytes - told.result_bytes < 10_000
    names = [part.split(" ")[0] for part in line.partition(": ")[2].split(", ")]
    assert names == ["arena", "results", "NumPy's", "driver"]


def test_the_peak_counts_what_numpy_allocates_on_the_way():
    x, key = gr.placeholder("x", (90_000,)), gr.placeholder("key", (2,), "uint64")
    outputs = [gr.top_k(x, 2)[0], gr.argsort(x)[:2], gr.random_permutation(key, 90_000)[:2]]
    told = [gr.compile([x, key], y, backend="native").report().program.describe() for y in outputs]
    assert [t.own_bytes for t in told] == [4 * 360_000 + 2 * 12, 1.5 * 720_000, 2.5 * 720_000]
    assert all(t.own_bytes <= t.peak_bytes - t.result_bytes < t.own_bytes + 10_000 for t in told)


def test_what_waits_for_itself_or_for_far_memory_is_expected_to_take_longer():
    x, many = gr.placeholder("x", (1000, 1000)), gr.placeholder("many", (50_000_000,))
    i, j = (gr.placeholder(name, (size,), "int64") for name, size in (("i", 4_000_000), ("j", 50_000_000)))
    key, few = gr.placeholder("key", (2,), "uint64"), gr.placeholder("few", (1000,))

    def told(y):
        return gr.compile([x, many, i, j, key, few], y, backend="native").report().program.describe()

    down, along, half, alone = (told(gr.cumsum(one, axis=axis)).seconds
                                for one, axis in ((x, 0), (x, 1), (x.astype("float16"), 1), (x, None)))  # fmt: skip
    assert alone > 2 * along > 4 * down
    assert half > 3 * along
    near, far = (told(gr.take(source, i)).seconds for source in (few, many))
    assert far > 5 * near > 0.01
    assert told(gr.searchsorted(few, many)).seconds > 2 * told(gr.searchsorted(few[:10], many)).seconds
    normal, uniform = (told(draw(key, (4_000_000,))).seconds for draw in (gr.random.normal, gr.random.uniform))
    assert normal > 3 * uniform > 0.004
    interruptible = [gr.take(many, j), gr.spherical_jn(many[:5_000_000], 2), gr.polygamma(many[:5_000_000], 1)]
    assert all(told(y).stretches > 1 for y in interruptible)


def test_importing_graphc_does_not_load_llvm():
    code = "import sys, graphc; assert not any('llvmlite' in name for name in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("threads", [1, 2])
def test_values_lie_in_the_memory_of_results_that_are_written_later(threads):
    x, *weights = (gr.placeholder(name, (160, 160)) for name in "xabcde")
    h = x
    for w in weights:
        h = gr.tanh(h @ w)
    loss = gr.sum(h)
    outputs = [loss, *gr.gradients(loss, weights)]
    program = native([x, *weights], outputs, threads)
    assert len(program.memories.lent) >= 4
    alone = plan_memory(program.stages, program.storage).arena_bytes
    assert program.memories.arena_bytes <= alone - 4 * x.type.nbytes
    feeds = [rng.normal(size=(160, 160)).astype("f4") / 12 for _ in range(6)]
    expected = evaluate(outputs, dict(zip([x, *weights], feeds, strict=True)))
    first = values(program, feeds)
    kept = [value.copy() for value in first]
    second = values(program, [feed[::-1].copy() for feed in feeds])
    for found, same, right, other in zip(first, kept, expected, second, strict=True):
        np.testing.assert_array_equal(found, same)
        np.testing.assert_allclose(found, right, rtol=1e-4, atol=1e-4)
        assert not np.shares_memory(found, other)


def test_what_numpy_reads_or_writes_is_not_lent():
    x, w = gr.placeholder("x", (160, 160)), gr.placeholder("w", (160, 160))
    y = gr.sort(gr.exp(x), axis=0)
    feeds = [rng.normal(size=(160, 160)).astype("f4") / 12 for _ in range(2)]
    program = check([x, w], [gr.sort(y @ w, axis=1) @ w], feeds, 1e-4)
    called = [work for work in program.works.listed if work.task is None]
    assert called
    assert not any(memory in program.memories.lent for work in called for memory in (*work.reads, *work.writes))


def test_a_logarithm_of_a_sum_of_exponentials_and_its_gradient_share_these():
    x = gr.placeholder("x", (50, 30), "float64")
    feed = rng.normal(size=x.shape)
    feed[1], feed[2, 3], feed[3, 4], feed[4, 5:] = -np.inf, np.inf, np.nan, -np.inf
    for y, exponentials in ((gr.log(gr.sum(gr.exp(x), axis=1)), 1), (gr.logsumexp(x, axis=1), 2)):
        outputs = [y, gr.grad(gr.sum(y), x)]
        f, right = (gr.compile([x], outputs, threads=1, backend=backend) for backend in ("native", "numpy"))
        with np.errstate(all="ignore"):
            for value, expected in zip(f(feed), right(feed), strict=True):
                np.testing.assert_allclose(value, expected, rtol=1e-13)
        bodies = [node.attrs["body"] for node in f.graph.nodes if node.op.name == "kernel"]
        inside = [node.op.name for body in bodies for node in body.nodes]
        assert (inside.count("exp"), inside.count("max")) == (exponentials, 1)


def test_a_product_is_expected_to_take_as_long_whatever_is_packed_before_it():
    x, y = (gr.placeholder(name, (1024, 1024)) for name in "xy")
    plain, packed = (gr.compile([x, y], product, backend="native").report().program.describe().kernels
                     for product in (x @ y, x.T @ y))  # fmt: skip
    assert len(plain) == len(packed) == 1
    assert packed[0].seconds == pytest.approx(plain[0].seconds, rel=0.01)


def test_what_no_cache_holds_is_expected_to_take_longer_by_how_it_lies():
    """Streams of 2²⁴ elements take longer a byte as those of 2²⁰, transposes and reads at steps more."""

    def expected(shape, result):
        x = gr.placeholder("x", shape)
        return gr.compile([x], result(x), backend="native").report().program.describe().kernels[0].seconds

    near, far = (expected((2**k,), lambda x: x * 2.0 + 1.0) / 2**k for k in (20, 24))
    assert 2 * near < far < 6 * near
    assert expected((2**25,), lambda x: x[::16] + 1.0) > expected((2**24,), lambda x: x + 1.0) / 2
    for n, least, most in ((300, 0.9, 1.1), (2000, 2, 6), (4096, 2, 6)):
        plain = expected((n, n), lambda x: x + 1.0)
        assert least * plain < expected((n, n), lambda x: x.T + 1.0) < most * plain
