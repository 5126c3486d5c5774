"""Long walks fall into stretches, so that a run comes back to Python soon: the bits are those of one long walk."""

import numpy as np
import pytest

import graphc as gr

pytest.importorskip("llvmlite")

from graphc import spaces
from graphc.executor import places
from graphc.native import stretches
from graphc.native.code.vectors import host_unit
from graphc.native.gemm import blocking
from graphc.native.gemm.problem import Matrix, Problem
from graphc.native.kernel import kernel
from graphc.native.loops import walks
from graphc.native.loops.scans import ABREAST
from graphc.native.program import NativeProgram

SHORT_STRETCH = 20


@pytest.fixture
def short(monkeypatch):
    """Stretches of a few elements."""
    monkeypatch.setattr(walks, "STRETCH", SHORT_STRETCH)


def planned(x, y, threads=1):
    """The program of an executable that has not run."""
    return gr.compile([x], y, backend="native", threads=threads).plan.program


def check(inputs, outputs, feeds):
    """The bits are those of one walk by NumPy, on any number of threads."""
    expected = gr.compile(inputs, outputs, backend="numpy")(*feeds)
    for threads in (1, 2, 3):
        found = gr.compile(inputs, outputs, backend="native", threads=threads)(*feeds)
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one, other)


def around(together):
    """Lengths of some walks together at which another stretch begins."""
    return [SHORT_STRETCH * count // together + more for count in (1, 2) for more in (-1, 0, 1, 2)]


FORMS = {
    "one row": [((n,), 0) for n in around(1)],
    "rows one by one": [((3, n), 1) for n in around(1)],
    "rows abreast": [((2 * ABREAST + 1, n), 1) for n in around(ABREAST)],
    "columns": [((n, 5), 0) for n in around(5)],
    "more columns than go together": [((3, 700), 0)],
}


@pytest.mark.parametrize("dtype", ["float16", "float32", "int64"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.usefixtures("short", "wholly_native")
def test_recurrences_go_on_from_stretch_to_stretch(form, dtype):
    rng = np.random.default_rng(7)
    for shape, axis in FORMS[form]:
        values, decay = (rng.normal(scale=1.1, size=shape).astype(dtype) for _ in range(2))
        x, y = gr.placeholder("x", shape, dtype), gr.placeholder("y", shape, dtype)
        outputs = [op(x, axis, exclusive=one, reverse=one) for op in (gr.cumsum, gr.cumprod) for one in (False, True)]
        if dtype != "int64":
            outputs += [gr.linear_recurrence(y, x, axis), gr.linear_recurrence(y, x, axis, reverse=True)]
        check([x, y], outputs, [values, decay])


@pytest.mark.parametrize("dtype", ["float32", "int8", "bool"])
@pytest.mark.parametrize(("shape", "axis"), [((53,), 0), ((2, 47), 1), ((47, 3), 0), ((3, 600), 0)])
@pytest.mark.usefixtures("short", "wholly_native")
def test_the_first_of_equal_extremes_is_found_across_stretches(shape, axis, dtype):
    rng = np.random.default_rng(8)
    x = gr.placeholder("x", shape, dtype)
    values = rng.integers(-2, 3, shape).astype(dtype)
    first_nan = np.where(rng.random(shape) < 0.05, np.nan, values).astype(dtype) if dtype == "float32" else values
    for feed in (values, first_nan, values[::-1].copy()):
        for op in (gr.argmax, gr.argmin):
            for threads in (1, 2):
                alone = NativeProgram(gr.Graph([x], [op(x, axis)]), threads)  # in no kernel with what is beside it
                assert len(alone.works.listed) > 1
                (found,) = alone.run([feed], {}, [None])
                np.testing.assert_array_equal(found, getattr(np, op.__name__)(feed, axis))


CONTRACTIONS = [("ij,ji->", (7, 9), (9, 7)), ("ij,ji->", (2, 90), (90, 2)), ("ijk,jki->", (3, 5, 7), (5, 7, 3)),
                ("ij,ji->j", (30, 9), (9, 30)), ("ij,jk->ik", (3, 70), (70, 3)), ("ij,j->i", (3, 70), (70,)),
                ("j,jk->k", (70,), (70, 600)), ("ij,jk->ik", (70, 70), (70, 70))]  # fmt: skip


@pytest.mark.parametrize("dtype", ["int64", "int8", "bool", "float16", "float32"])
@pytest.mark.usefixtures("short", "wholly_native")
def test_totals_go_on_from_stretch_to_stretch(dtype):
    rng = np.random.default_rng(11)
    for subscripts, *shapes in CONTRACTIONS:
        feeds = [rng.integers(-2, 3, shape).astype(dtype) for shape in shapes]
        x, y = (gr.placeholder(name, shape, dtype) for name, shape in zip("xy", shapes, strict=True))
        expected = np.einsum(subscripts, *(feed.astype(bool if dtype == "bool" else "float64") for feed in feeds))
        for threads in (1, 2):
            found = gr.compile([x, y], gr.einsum(subscripts, x, y), backend="native", threads=threads)(*feeds)
            np.testing.assert_array_equal(found, expected.astype(dtype))
    x = gr.placeholder("x", (7, 9), "int64")
    assert len(planned(x, gr.einsum("ij,ji->", x, x.T)).works.listed) > 1


@pytest.mark.usefixtures("short", "wholly_native")
def test_positions_are_taken_in_order_from_stretch_to_stretch():
    rng = np.random.default_rng(9)
    for shape in ((97,), (97, 3), (97, 100)):
        x, at = gr.placeholder("x", shape), gr.placeholder("at", (97,), "int32")
        zeros = gr.zeros((6, *shape[1:]))
        feeds = [rng.normal(size=shape).astype("float32"), rng.integers(-6, 6, 97).astype("int32")]
        check([x, at], [gr.add_at(zeros, at, x), gr.set_at(zeros, at, x)], feeds)
    wrong = [feeds[0], np.full(97, 3, "int32")]
    wrong[1][-1] = 6
    for threads in (1, 2):
        with pytest.raises(gr.ExecutionError, match="index 6 is out of bounds for axis 0 with size 6"):
            gr.compile([x, at], gr.add_at(zeros, at, x), backend="native", threads=threads)(*wrong)


@pytest.mark.parametrize(("shape", "axis"), [((2 * 10**8,), 0), ((2, 10**8), 1), ((9, 3 * 10**7), 1), ((10**8, 2), 0)])
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_long_recurrences_come_back_to_python(shape, axis, dtype):
    x = gr.placeholder("x", shape, dtype)
    for threads in (1, 2):
        made = planned(x, gr.cumsum(x, axis), threads)
        found = made.emitted.steps.listed
        assert len(found) >= 6
        assert all(segment.ns <= threads * stretches.LONGEST_NS for segment in found)
        assert str(made.describe()).count("cumsum") == 1, "to the reader it is one kernel"


def test_threads_share_every_stretch():
    x = gr.placeholder("x", (4, 10**8))
    shares = [share for segment in planned(x, gr.cumsum(x, 1), 2).emitted.steps.listed for share in segment.shares]
    assert {sum(task.blocks for task in share.tasks) for share in shares} == {2}


def test_short_recurrences_are_one_walk():
    for length, count in ((walks.STRETCH, 1), (walks.STRETCH + 1, 2)):
        x = gr.placeholder("x", (length,))
        assert len(planned(x, gr.cumsum(x)).works.listed) == count


def test_large_new_results_are_written_in_several_segments():
    x = gr.placeholder("x", (10**8,))
    for threads in (1, 2):
        assert len(planned(x, gr.tanh(x), threads).emitted.steps.listed) >= 4


def rows(count=2, dtype="float32"):
    return gr.placeholder("x", (count, 10**9), dtype)


def vector(dtype="float32", size=10**8):
    return gr.placeholder("x", (size,), dtype)


LONG = {
    "a softmax of two rows": lambda: gr.nn.softmax(rows()),
    "two rows of length 1": lambda: (x := rows()) / gr.sqrt(gr.sum(x * x, -1, keepdims=True)),
    "sums of two rows": lambda: gr.sum(gr.exp(x := rows()) + gr.tanh(x), 1),
    "the largest of two rows": lambda: gr.argmax(rows() * 2, 1),
    "the trace of a product": lambda: gr.einsum("ij,ji->", x := gr.placeholder("x", (30000, 30000)), x + 1),
    "a product of integers": lambda: (x := rows(dtype="int64")) @ x.T,
    "a product of halves": lambda: (x := gr.placeholder("x", (9000, 9000), "float16")) @ x,
    "a product of many rows": lambda: gr.placeholder("x", (10**6, 1000)) @ gr.placeholder("y", (1000, 1000)),
    "remainders": lambda: gr.fmod(vector("float64"), 1e-300),
    "divisors": lambda: gr.gcd(x := vector("int64"), gr.flip(x)),
    "powers of integers": lambda: gr.power(x := vector("int64"), gr.flip(x)),
    "a range": lambda: gr.arange(10**9) + gr.placeholder("x", (1,), "int64"),
    "places in a long vector": lambda: gr.searchsorted(gr.arange(10**8), vector("int64")),
}


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", LONG)
def test_whatever_takes_long_comes_back_to_python(name, threads):
    y = LONG[name]()
    inputs = [node for node in gr.Graph(None, [y]).nodes if node.op.leaf and node.inputs == ()]
    program = gr.compile(inputs, y, backend="native", threads=threads).plan.program
    found = program.emitted.steps.listed
    assert len(found) > 3
    assert max(segment.ns for segment in found) <= 1.3 * stretches.LONGEST_NS
    works = [work for work in program.works.listed if work.ns > stretches.LONGEST_NS]
    assert all(work.task.blocks >= 2 * work.ns / stretches.LONGEST_NS for work in works), "threads share each stretch"


UNLUCKY = {
    "fmod": ("float64", 1e-307), "remainder": ("float64", 1e-307), "floor_divide": ("float32", 1e-38),
    "gcd": ("int64", 2**60), "lcm": ("uint32", 1836311903), "power": ("int64", 2**62),
}  # fmt: skip


@pytest.mark.parametrize("op", UNLUCKY)
def test_what_values_may_add_is_part_of_the_plan(op):
    dtype, other = UNLUCKY[op]
    x = gr.placeholder("x", (10**7,), dtype)
    program = gr.compile([x], getattr(gr, op)(x, np.dtype(dtype).type(other)), backend="native").plan.program
    (work,) = program.works.listed
    assert work.extra_ns > 10 * work.ns
    assert len(program.emitted.steps.listed) > work.extra_ns / stretches.LONGEST_NS
    plain = gr.compile([x], x + x, backend="native").plan.program.works.listed
    assert plain[0].extra_ns == 0


def test_what_a_reshape_sees_is_found_without_a_copy(monkeypatch):
    monkeypatch.setattr(places, "_value", None)  # calls no body, which would copy
    x = gr.placeholder("x", (3, 2))
    operand = np.zeros((2, 3), "float32").T
    for shape, is_seen in (((6,), False), ((3, 1, 2), True)):
        found = places.seen_in(gr.reshape(x, shape), operand)
        assert (found.shape, found.dtype) == (shape, operand.dtype)
        assert np.may_share_memory(found, operand) == is_seen


@pytest.mark.parametrize("dtype", ["float32", "float16", "int64"])
@pytest.mark.usefixtures("wholly_native")
def test_long_rows_in_parts_have_the_values_of_whole_ones(dtype, monkeypatch):
    rng = np.random.default_rng(10)
    feed = rng.integers(-9, 9, (3, 30011)).astype(dtype)
    for longest in (10**6, 9000):
        monkeypatch.setattr(spaces, "LONGEST_ROW", longest)
        monkeypatch.setattr(kernel, "LONGEST_ROW", longest)
        x = gr.placeholder("x", feed.shape, dtype)
        outputs = [gr.sum(x, 1), gr.max(x, 1), x - gr.min(x, 1, keepdims=True), gr.argmax(x * x, 1), gr.all(x > -9, 1)]
        found = [gr.compile([x], outputs, backend="native", threads=threads)(feed) for threads in (1, 2)]
        expected = [feed.sum(1), feed.max(1), feed - feed.min(1, keepdims=True), np.argmax(feed * feed, 1),
                    (feed > -9).all(1)]  # fmt: skip
        for one, two, right in zip(*found, expected, strict=True):
            np.testing.assert_array_equal(one, two)
            np.testing.assert_array_equal(one, right)


def test_blocks_of_a_large_product_of_few_steps_have_whole_rows():
    problem = Problem((), 20000, 20000, 30, np.dtype("float32"), Matrix((), 30, 1), Matrix((), 20000, 1), general=True)
    cut = blocking.plan(problem, host_unit())
    assert cut.panels.count == 1
    assert cut.tiles.count > blocking.BLOCKS
