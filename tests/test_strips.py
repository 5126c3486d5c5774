"""Chains of kernels in strips of rows: the bits of one thread, no barrier within, and memory that strips may share."""

import numpy as np
import pytest

import graphc as gr
from graphc.executor import NumpyProgram
from graphc.ir import Graph
from graphc.passes import DEFAULT

pytest.importorskip("llvmlite")

from strips import every_chain_pays, fused, random_chain, same_bits, strips_are_apart, strips_of

from graphc.native import strips
from graphc.native.code import host
from graphc.native.gemm.product import Product
from graphc.native.gemm.strips import strip_of
from graphc.native.memory import Left
from graphc.native.program import NativeProgram
from graphc.native.strips import Strips
from graphc.native.work import Parts, Work

ROWS, WIDTH = 48, 64


@pytest.fixture
def eager(monkeypatch):
    """Every chain pays."""
    every_chain_pays(monkeypatch)


def layers(count, rows=ROWS):
    """A chain of products and tanh, with weights of its own for each, and an array to feed it."""
    rng = np.random.default_rng(count)
    x = h = gr.placeholder("x", (rows, WIDTH), "f4")
    for _ in range(count):
        h = gr.tanh(h @ gr.constant(rng.standard_normal((WIDTH, WIDTH)).astype("f4") * 0.2))
    return x, h, rng.standard_normal(x.shape).astype("f4")


# Bits.


def check_chain(seed, monkeypatch):
    """Strips, the byte they touch, and NumPy's values; gives the programs."""
    graph, arrays = random_chain(seed)
    made, found = same_bits(fused(graph), arrays, monkeypatch)
    plain = DEFAULT.run(graph).graph
    expected = NumpyProgram(plain, 1).run(arrays, {}, [None] * len(plain.outputs))
    for value, right in zip(found, expected, strict=True):
        tolerance = 2e-3 if right.dtype == np.float32 else 1e-9
        np.testing.assert_allclose(value, right, rtol=tolerance, atol=tolerance * max(1.0, np.abs(right).max()))
    return made


@pytest.mark.parametrize("seed", range(6))
def test_random_chains_have_the_bits_of_one_thread(seed, eager, monkeypatch):
    check_chain(seed, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 1100))
def test_many_random_chains(seed, eager, monkeypatch):
    check_chain(seed, monkeypatch)


def test_random_chains_run_in_strips(eager):
    found = [strips_of(NativeProgram(fused(random_chain(seed)[0]), 2)) for seed in range(6)]
    assert sum(map(bool, found)) >= 4
    assert max(len(each.works) for chains in found for each in chains) >= 8


@pytest.mark.parametrize("batch", [2, 4, 6])
def test_batches_fall_into_strips(batch, eager, monkeypatch):
    rng = np.random.default_rng(batch)
    q, k, v = (gr.placeholder(name, (batch, 3, 40, 32), "f4") for name in "qkv")
    attended = gr.nn.softmax(q @ gr.swapaxes(k, -1, -2)) @ v
    arrays = [rng.standard_normal(q.shape).astype("f4") for _ in "qkv"]
    made, _ = same_bits(fused(Graph([q, k, v], [attended])), arrays, monkeypatch)
    (found,) = strips_of(made[1])
    assert len(found.tasks) in (2, 3)


@pytest.mark.parametrize("rows", [2, 40])
def test_a_long_chain_has_the_gradient_of_the_formula(rows, eager):
    x = y = gr.placeholder("x", (rows, 3), "float64")
    for _ in range(1000):
        y = gr.sin(y)
    run = gr.compile([x], [y, gr.grad(gr.sum(y), x)], threads=2)
    feed = np.linspace(0.1, 1.5, 3 * rows).reshape(rows, 3)
    expected, slope = feed, np.ones_like(feed)
    for _ in range(1000):
        expected, slope = np.sin(expected), slope * np.cos(expected)
    for _ in range(20):
        value, gradient = run(feed)
        np.testing.assert_allclose(value, expected, rtol=1e-12)
        np.testing.assert_allclose(gradient, slope, rtol=1e-11)


def test_the_checks_here_catch_strips_that_are_not_apart(eager, monkeypatch):
    monkeypatch.setattr(strips.Chain, "_is_own", lambda *_: True)
    x, h, feed = layers(2)
    two = NativeProgram(fused(Graph([x], [gr.transpose(h) @ h])), 2)  # each strip reads all rows
    with pytest.raises(AssertionError):
        strips_are_apart(two)
    monkeypatch.setattr("strips.strips_are_apart", lambda _: None)
    with pytest.raises(AssertionError):
        same_bits(fused(Graph([x], [gr.tanh(gr.roll(h, 1, 0)) @ h.T])), [feed], monkeypatch)


# What a chain is.


def lstm(steps, rows=32, size=64):
    """The last state of an LSTM, squared, and its gradients."""
    x = gr.placeholder("x", (steps, rows, 32), "f4")
    w, u, b = (gr.placeholder(name, shape, "f4") for name, shape in
               (("w", (32, 4 * size)), ("u", (size, 4 * size)), ("b", (4 * size,))))  # fmt: skip
    h = c = gr.zeros((rows, size), "f4")
    for t in range(steps):
        gates = x[t] @ w + h @ u + b
        i, f, g, o = (gates[:, at * size : (at + 1) * size] for at in range(4))
        c = gr.sigmoid(f) * c + gr.sigmoid(i) * gr.tanh(g)
        h = gr.sigmoid(o) * gr.tanh(c)
    value = gr.sum(h**2)
    return Graph([x, w, u, b], [value, *gr.gradients(value, [w, u, b])])


def test_an_lstm_is_a_chain_forward_and_one_backward(monkeypatch):
    graph = fused(lstm(12))
    rng = np.random.default_rng(0)
    arrays = [0.3 * rng.standard_normal(node.shape).astype("f4") for node in graph.inputs]
    made, _ = same_bits(graph, arrays, monkeypatch)
    one, two = made[:2]
    assert not strips_of(one)
    forward, backward = found = strips_of(two)
    assert len(forward.works) >= 2 * 12 - 2
    assert len(backward.works) >= 12  # a step is one kernel, and no states are copied for the product over all steps
    assert {len(each.tasks) for each in found} == {2}
    assert two.describe().barriers <= 6
    longest = max(found, key=lambda each: len(each.works))
    assert f"strips    {len(longest.works)} kernels in a row, by 2 strips of their rows" in str(two.describe())
    assert [each.kernels for each in two.describe().chains] == [len(each.works) for each in found]
    assert not one.describe().chains
    assert "by 2 strips of their rows" not in str(one.describe())
    blocks = {node: count for level in two.levels() for node, count in zip(level.nodes, level.blocks, strict=True)}
    assert {blocks[work.node] for each in (forward, backward) for work in each.works} == {2}


def test_what_needs_all_rows_ends_a_chain(eager, monkeypatch):
    x, w = gr.placeholder("x", (64, 64), "f4"), gr.placeholder("w", (64, 64), "f4")
    h = gr.tanh(gr.tanh(x @ w) @ w)
    y = gr.tanh(gr.tanh(w @ h) @ w)  # reads all rows of h
    rng = np.random.default_rng(0)
    made, _ = same_bits(fused(Graph([x, w], [y])), [rng.standard_normal((64, 64)).astype("f4") for _ in "xw"],
                        monkeypatch)  # fmt: skip
    first, second = strips_of(made[1])
    written = {memory for work in first.works for memory in work.writes}
    assert any(memory in written for work in second.works for memory in work.reads)


def test_rows_that_do_not_divide_are_no_strips(eager):
    x, h, _ = layers(4, rows=31)
    found = strips_of(NativeProgram(fused(Graph([x], [h])), 2))
    assert all(work.node.op.name != "matmul" for each in found for work in each.works)


def test_kernels_of_one_vector_and_those_that_read_other_rows(eager, monkeypatch):
    x = y = gr.placeholder("x", (4,), "float64")
    for _ in range(40):
        y = gr.sin(y)
    same_bits(fused(Graph([x], [y, gr.grad(gr.sum(y), x)])), [np.linspace(0.1, 0.9, 4)], monkeypatch)
    z, h, feed = layers(1)
    moved = gr.exp(gr.pad(h, ((5, 0), (0, 0)))[:ROWS]) + gr.roll(h, 7, 0)
    same_bits(fused(Graph([z], [moved, h])), [feed], monkeypatch)


def test_products_that_add_up_in_another_order_are_no_strips():
    lies = {"batch": (), "n": 64, "dtype": np.dtype("f4"), "b": (64, 1), "c": (64, 1)}
    assert strip_of(Product(m=32, k=64, a=(64, 1), **lies), 2)
    assert strip_of(Product(m=32, k=64, a=(64, 1), **lies), 3) is None
    assert strip_of(Product(m=2, k=64, a=(64, 1), **lies), 2) is None
    assert strip_of(Product(m=32, k=100_000, a=(100_000, 1), **lies), 2) is None  # k is cut
    assert strip_of(Product(m=32, k=64, a=(-64, 1), **lies), 2) is None
    thin = lies | {"n": 1, "b": (1, 1), "c": (1, 1)}
    assert strip_of(Product(m=32, k=4096, a=(4096, 1), **thin), 2) is None  # a sum in each lane


def test_long_chains_end_so_that_interrupts_are_noticed(eager, monkeypatch):
    x, h, feed = layers(20)
    graph = fused(Graph([x], [h]))
    assert len(strips_of(NativeProgram(graph, 2))) == 1
    monkeypatch.setattr(strips, "LONGEST_NS", 1e4)
    made, _ = same_bits(graph, [feed], monkeypatch)
    assert len(strips_of(made[1])) > 3


def test_where_llvm_fails_on_a_strip_levels_are_shared(eager, monkeypatch):
    x, h, feed = layers(3, rows=30)  # strips of 6 rows, too few for the code that all numbers of rows share
    graph = fused(Graph([x], [h]))
    expected = NativeProgram(graph, 1).run([feed], {}, [None])
    compiled = host.object_code

    def failing(text):
        raise RuntimeError("no")

    monkeypatch.setattr(host, "object_code", failing)
    for _ in range(2):
        with pytest.warns(RuntimeWarning, match="chains of kernels run level by level"):
            made = NativeProgram(graph, 5)
        assert not strips_of(made)
        np.testing.assert_array_equal(made.run([feed], {}, [None]), expected)
    monkeypatch.setattr(host, "object_code", compiled)


# Memory.


def test_memory_is_reused_within_a_chain_by_what_has_the_same_slabs(eager, monkeypatch):
    x, h, feed = layers(20)
    made, _ = same_bits(fused(Graph([x], [h])), [feed], monkeypatch)
    two = made[1]
    (found,) = strips_of(two)
    assert two.memories.arena_bytes <= 4 * ROWS * WIDTH * 4
    places = [two.memories.offsets[each] for each in found.slabs if each in two.memories.offsets]
    assert len(places) > 3 * len(set(places))


def test_memory_with_other_slabs_is_not_reused_within_a_chain():
    first, other, later = (Parts(96) for _ in range(3))
    work = Work(None, (), (first, other, later), 0.0)
    left = Left(Strips((work,), (), {first: 48, other: 24, later: 48}))
    left.leave([first])
    assert left.take(other) is None
    assert left.take(later) is first
    assert left.take(later) is None


def test_positions_beside_a_chain_are_checked(eager):
    x, h, feed = layers(2)
    at = gr.placeholder("at", (ROWS,), "int64")
    made = NativeProgram(fused(Graph([x, at], [gr.take(h, at, axis=0)])), 2)
    assert strips_of(made)
    with pytest.raises(gr.ExecutionError, match="48"):
        made.run([feed, np.full(ROWS, 48)], {}, [None])
    made.run([feed, np.zeros(ROWS, np.int64)], {}, [None])


# Transposes.


@pytest.mark.parametrize("count", [3, 4])
def test_a_factor_that_many_products_read_transposed_is_turned_once(count, eager, monkeypatch):
    rng = np.random.default_rng(0)
    x, w = gr.placeholder("x", (ROWS, WIDTH), "f4"), gr.placeholder("w", (WIDTH, WIDTH), "f4")
    h = x
    for _ in range(count):
        h = gr.tanh(h @ w.T)
    arrays = [rng.standard_normal(node.shape).astype("f4") * np.float32(0.3) for node in (x, w)]
    made, (found,) = same_bits(fused(Graph([x, w], [h])), arrays, monkeypatch)
    turned = [node for node in made[0].storage.home if node.op.name == "transpose"]
    assert len(turned) == (count >= 4)
    expected = arrays[0]
    for _ in range(count):
        expected = np.tanh(expected @ arrays[1].T)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
