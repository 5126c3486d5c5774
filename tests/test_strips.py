"""Chains of kernels in strips of rows: the bits of one thread, no barrier within, and memory that strips may share."""

import numpy as np
import pytest

import graphc as gr

pytest.importorskip("llvmlite")

from graphc.native import schedule, strips
from graphc.native.elementwise import is_native
from graphc.native.finishing import is_along, is_finishable
from graphc.native.program import NativeProgram
from graphc.native.work import nbytes_of
from graphc.passes.fuse import fuse

ROWS, WIDTH = 48, 64


@pytest.fixture(autouse=True)
def _every_chain_pays(monkeypatch):
    monkeypatch.setattr(schedule, "LEAST_STRIP_NS", -1e9)
    monkeypatch.setattr(schedule, "LEAST_STRIP_SHARE", -1e9)
    monkeypatch.setattr(schedule, "LOOP_NS", -1e9)
    monkeypatch.setattr(schedule, "WAKING_NS", -1e9)


def fused(inputs, outputs):
    plain = gr.passes.DEFAULT.run(gr.Graph(inputs, outputs)).graph
    return fuse(plain, fusible=is_native, finishes=(is_finishable, is_along))


def programs(graph, threads=(1, 2, 3)):
    return [NativeProgram(graph, count) for count in threads]


def same_bits(graph, arrays, runs=4):
    """The programs for one, two and three threads, which agree."""
    made = programs(graph)
    expected = made[0].run(arrays, {}, [None] * len(graph.outputs))
    for program in made[1:]:
        for _ in range(runs):
            found = program.run(arrays, {}, [None] * len(graph.outputs))
            for one, other in zip(expected, found, strict=True):
                np.testing.assert_array_equal(one, other)
    return made


def strips_of(program):
    return [stage.strips for stage in program.stages if stage.strips is not None]


def weights(rng, *shapes):
    return [gr.constant(rng.standard_normal(shape).astype("f4") * 0.2) for shape in shapes]


LINKS = [
    lambda h, rng: h @ weights(rng, (h.shape[1], WIDTH))[0],
    lambda h, rng: h @ weights(rng, (WIDTH, h.shape[1]))[0].T + weights(rng, (WIDTH,))[0],
    lambda h, rng: gr.tanh(h) + h,
    lambda h, rng: gr.nn.softmax(h),
    lambda h, rng: gr.concatenate([h[:, : WIDTH // 2] * 2, gr.exp(-gr.abs(h[:, WIDTH // 2 :]))], 1),
    lambda h, rng: h[:, ::-1] * 0.5,
    lambda h, rng: h - gr.mean(h, 1, keepdims=True),
]


@pytest.mark.parametrize("seed", range(8))
def test_random_chains_have_the_bits_of_one_thread(seed):
    rng = np.random.default_rng(seed)
    x = gr.placeholder("x", (ROWS, WIDTH), "f4")
    h, kept = x @ weights(rng, (WIDTH, WIDTH))[0], []
    for link in rng.integers(len(LINKS), size=14):
        h = LINKS[link](h, rng)
        kept.append(h)
    outputs = [h, kept[rng.integers(len(kept))] + h, gr.sum(kept[3], 0), h.T @ kept[5]]
    made = same_bits(fused([x], outputs), [rng.standard_normal(x.shape).astype("f4")])
    assert strips_of(made[1])


@pytest.mark.parametrize("batch", [2, 4, 6])
def test_batches_fall_into_strips(batch):
    rng = np.random.default_rng(batch)
    q, k, v = (gr.placeholder(name, (batch, 3, 40, 32), "f4") for name in "qkv")
    attended = gr.nn.softmax(q @ gr.swapaxes(k, -1, -2)) @ v
    arrays = [rng.standard_normal(q.shape).astype("f4") for _ in "qkv"]
    (found,) = strips_of(same_bits(fused([q, k, v], [attended]), arrays)[1])
    assert len(found.tasks) in (2, 3, 4)


def test_an_lstm_is_a_strip_forward_and_one_backward(monkeypatch):
    monkeypatch.undo()  # here they must pay
    rng = np.random.default_rng(0)
    steps, rows, size = 12, 32, 64
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
    graph = fused([x, w, u, b], [value, *gr.gradients(value, [w, u, b])])
    one, two, _ = same_bits(graph, [0.3 * rng.standard_normal(node.shape).astype("f4") for node in graph.inputs])
    found = strips_of(two)
    assert [len(each.tasks) for each in found] == [2, 2]
    assert min(len(each.works) for each in found) >= 2 * steps - 2
    assert len(two.stages) <= 8
    description = two.describe()
    assert description.chains == 2
    assert "2 after a chain of kernels in strips of rows" in str(description)
    assert one.describe().chains == 0


def test_what_needs_all_rows_ends_a_chain():
    x, w = gr.placeholder("x", (64, 64), "f4"), gr.placeholder("w", (64, 64), "f4")
    h = gr.tanh(gr.tanh(x @ w) @ w)
    y = gr.tanh(gr.tanh(w @ h) @ w)  # reads all rows of h
    rng = np.random.default_rng(0)
    made = same_bits(fused([x, w], [y]), [rng.standard_normal((64, 64)).astype("f4") for _ in "xw"])
    chains = strips_of(made[1])
    assert len(chains) == 2
    written = {memory for work in chains[0].works for memory in work.writes}
    assert any(memory in written for work in chains[1].works for memory in work.reads)


def test_memory_is_reused_within_a_chain_only_by_what_has_the_same_slabs():
    rng = np.random.default_rng(0)
    x = gr.placeholder("x", (ROWS, WIDTH), "f4")
    h = x
    for _ in range(20):
        h = gr.tanh(h @ weights(rng, (WIDTH, WIDTH))[0])
    _, program, _ = same_bits(fused([x], [h]), [rng.standard_normal(x.shape).astype("f4")])
    (found,) = strips_of(program)
    assert program.memories.arena_bytes <= 4 * ROWS * WIDTH * 4
    at: dict[int, list] = {}
    for memory in found.periods:
        if memory in program.memories.offsets:
            at.setdefault(program.memories.offsets[memory], []).append(memory)
    assert max(map(len, at.values())) > 5
    assert all(found.periods[memory] == nbytes_of(memory) for shared in at.values() for memory in shared)


def test_long_chains_end_so_that_interrupts_are_noticed(monkeypatch):
    rng = np.random.default_rng(0)
    x = gr.placeholder("x", (ROWS, WIDTH), "f4")
    h = x
    for _ in range(20):
        h = gr.tanh(h @ weights(rng, (WIDTH, WIDTH))[0])
    graph = fused([x], [h])
    assert len(strips_of(NativeProgram(graph, 2))) == 1
    monkeypatch.setattr(strips, "LONGEST_NS", 1e4)
    assert len(strips_of(same_bits(graph, [rng.standard_normal(x.shape).astype("f4")])[1])) > 3


def test_positions_beside_a_chain_are_checked():
    rng = np.random.default_rng(0)
    x, at = gr.placeholder("x", (ROWS, WIDTH), "f4"), gr.placeholder("at", (ROWS,), "int64")
    h = gr.tanh(gr.tanh(x @ weights(rng, (WIDTH, WIDTH))[0]) @ weights(rng, (WIDTH, WIDTH))[0])
    program = NativeProgram(fused([x, at], [gr.take(h, at, axis=0)]), 2)
    assert strips_of(program)
    array = rng.standard_normal(x.shape).astype("f4")
    with pytest.raises(gr.ExecutionError, match="48"):
        program.run([array, np.full(ROWS, 48)], {}, [None])
    program.run([array, np.zeros(ROWS, np.int64)], {}, [None])


def test_a_factor_that_many_products_read_transposed_is_turned_once():
    rng = np.random.default_rng(0)
    x, w = gr.placeholder("x", (ROWS, WIDTH), "f4"), gr.placeholder("w", (WIDTH, WIDTH), "f4")
    few, many = (fused([x, w], [_chained(x, w, count)]) for count in (3, 4))
    turned = [[node for node in NativeProgram(graph, 1).storage.home if node.op.name == "transpose"]
              for graph in (few, many)]  # fmt: skip
    assert list(map(len, turned)) == [0, 1]
    same_bits(many, [rng.standard_normal(node.shape).astype("f4") for node in (x, w)])


def _chained(h, w, count):
    for _ in range(count):
        h = gr.tanh(h @ w.T)
    return h
