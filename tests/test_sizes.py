"""Another batch size compiles nothing: kernels, products, strips and loops are told their sizes."""

import numpy as np
import pytest

import graphc as gr

pytest.importorskip("llvmlite")

from strips import every_chain_pays, strips_of

from graphc.native.code.library import LIBRARY

HEADS, LENGTH, WIDTH = 2, 16, 32


def parameters(**shapes):
    rng = np.random.default_rng(len(shapes))
    return [gr.variable(name, 0.2 * rng.standard_normal(shape).astype("f4")) for name, shape in shapes.items()]


def mlp(batch):
    """A step of a classifier with Adam."""
    x, y = gr.placeholder("x", (batch, 96), "f4"), gr.placeholder("y", (batch,), "int64")
    w1, b1, w2, b2 = params = parameters(w1=(96, 160), b1=(160,), w2=(160, 10), b2=(10,))
    loss = gr.losses.softmax_cross_entropy(gr.nn.relu(x @ w1 + b1) @ w2 + b2, y)
    return [x, y], loss, gr.optim.adam(loss, params, lr=1e-3)


def transformer(batch):
    """A step of a pre-LN block with SGD."""
    x, y = (gr.placeholder(name, (batch, LENGTH, WIDTH), "f4") for name in "xy")
    g, b, wqkv, wo, w1, c1, w2 = params = parameters(g=(WIDTH,), b=(WIDTH,), wqkv=(WIDTH, 3 * WIDTH), wo=(WIDTH, WIDTH),
                                                     w1=(WIDTH, 64), c1=(64,), w2=(64, WIDTH))  # fmt: skip
    heads = (gr.nn.layer_norm(x, g, b) @ wqkv).reshape((batch, LENGTH, 3, HEADS, WIDTH // HEADS))
    q, k, v = (gr.swapaxes(heads[:, :, i], 1, 2) for i in range(3))
    attended = gr.nn.softmax(q @ gr.swapaxes(k, -1, -2)) @ v
    h = x + gr.swapaxes(attended, 1, 2).reshape(x.shape) @ wo
    loss = gr.losses.mse(h + gr.nn.gelu(h @ w1 + c1) @ w2, y)
    return [x, y], loss, gr.optim.sgd(loss, params, lr=0.1)


def lstm(batch, steps=5, size=32):
    """A step of an LSTM with SGD."""
    x, y = gr.placeholder("x", (steps, batch, 24), "f4"), gr.placeholder("y", (batch, size), "f4")
    w, u, b = params = parameters(w=(24, 4 * size), u=(size, 4 * size), b=(4 * size,))
    h = c = gr.zeros(y.shape, x.dtype)
    for t in range(steps):
        gates = x[t] @ w + h @ u + b
        i, f, g, o = (gates[:, at * size : (at + 1) * size] for at in range(4))
        c = gr.sigmoid(f) * c + gr.sigmoid(i) * gr.tanh(g)
        h = gr.sigmoid(o) * gr.tanh(c)
    loss = gr.losses.mse(h, y)
    return [x, y], loss, gr.optim.sgd(loss, params, lr=0.1)


def feed(node):
    rng = np.random.default_rng(7)
    if node.dtype.kind == "i":
        return rng.integers(0, 10, node.shape)
    return rng.standard_normal(node.shape).astype(node.dtype)


def stepped(declare, batch, **how):
    """A step: its loss, and the parameters after it."""
    inputs, loss, updates = declare(batch)
    step = gr.compile(inputs, loss, updates=updates, **how)
    return [step(*map(feed, inputs)), *(variable.value for variable in step.source.variables)]


def compiled_by_a_step(declare, batch, threads):
    """How many modules LLVM compiles for it; checks what it computes."""
    before = LIBRARY.compiled
    found = stepped(declare, batch, threads=threads)
    LIBRARY.finish(LIBRARY._by_content.values())
    count = LIBRARY.compiled - before
    for value, expected in zip(found, stepped(declare, batch, backend="numpy"), strict=True):
        np.testing.assert_allclose(value, expected, rtol=2e-3, atol=1e-4)
    return count


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    ("declare", "first", "others"),
    [(mlp, 128, (100, 72, 200, 112)), (transformer, 16, (12, 9, 20)), (lstm, 32, (48, 16, 60))],
)
def test_another_batch_size_compiles_nothing(declare, first, others, threads, monkeypatch):
    monkeypatch.setenv("GRAPHC_CACHE", "")
    compiled_by_a_step(declare, first, threads)
    assert [compiled_by_a_step(declare, batch, threads) for batch in others] == [0] * len(others)


def test_small_batches_share_their_code_too(monkeypatch):
    monkeypatch.setenv("GRAPHC_CACHE", "")
    compiled_by_a_step(mlp, 10, 1)
    assert compiled_by_a_step(mlp, 20, 1) == 0


def test_strips_of_another_batch_compile_nothing(monkeypatch):
    monkeypatch.setenv("GRAPHC_CACHE", "")
    every_chain_pays(monkeypatch)
    compiled_by_a_step(lstm, 32, 2)
    assert compiled_by_a_step(lstm, 48, 2) == 0
    inputs, loss, updates = lstm(48)
    step = gr.compile(inputs, loss, updates=updates, threads=2)
    step(*map(feed, inputs))
    assert strips_of(step.report().program)


# Loops.


def placed(name, *shape, dtype="f4"):
    return gr.placeholder(name, shape, dtype)


def of_positions(batch):
    """Rows looked up, and the derivative by them."""
    at, table = placed("at", batch, 5, dtype="int64"), placed("table", 30, 40)
    return [at, table], [table[at], gr.grad(gr.sum(gr.square(table[at])), table)]


def contracted(batch):
    """Sums of products that are no matrix products, and products of integers."""
    x, i = placed("x", batch, 12, 40), placed("i", batch, 5, dtype="int64")
    diagonals = gr.einsum("bti,bti->bt", x, x)
    whole = i @ gr.constant(np.arange(30).reshape(5, 6))
    return [x, i], [diagonals, gr.einsum("bti,btj,bt->b", x, x, diagonals), whole]


def walked(batch):
    """Running totals along either axis, and where the largest elements stand."""
    x = placed("x", batch, 40)
    return [x], [gr.cumsum(x, 0), gr.cumsum(x, 1), gr.argmax(x, 1)]


def drawn(batch):
    """Random numbers."""
    key = placed("key", 2, dtype="uint64")
    return [key], [gr.random.uniform(key, (batch, 40)), gr.random.normal(key, (batch, 40))]


def moved(batch):
    """Copies, margins, and parts put together."""
    x = placed("x", batch, 40)
    return [x], [gr.pad(x, ((1, 2), (3, 3))), gr.roll(x, 1, 0), gr.concatenate([x, gr.tanh(x)], 1), gr.frexp(x)[1]]


def run_loops(declare, batch):
    """How many modules LLVM compiles; results have NumPy's values, and on all numbers of threads the same bits."""
    inputs, outputs = declare(batch)
    feeds = [np.arange(2, dtype="u8") if node.dtype == np.uint64 else feed(node) for node in inputs]
    before = LIBRARY.compiled
    results = [gr.compile(inputs, outputs, threads=threads)(*feeds) for threads in (1, 2, 3)]
    LIBRARY.finish(LIBRARY._by_content.values())
    count = LIBRARY.compiled - before
    for one, *more, expected in zip(*results, gr.compile(inputs, outputs, backend="numpy")(*feeds), strict=True):
        assert all(np.array_equal(one, other) for other in more)
        np.testing.assert_allclose(one, expected, rtol=1e-4, atol=1e-4)
    return count


@pytest.mark.parametrize("declare", [of_positions, contracted, walked, drawn, moved])
def test_loops_of_another_batch_compile_nothing(declare, fresh):
    fresh()  # other tests in this process may have used the same loops
    assert run_loops(declare, 64) > 0
    assert [run_loops(declare, batch) for batch in (100, 70, 1000, 600)] == [0] * 4
