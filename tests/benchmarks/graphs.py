"""Graphs of any size, by shape: the inputs of the compile-time benchmarks and the million-node tests."""

from __future__ import annotations

from collections.abc import Callable

import graphc as gr


def chain(n: int) -> tuple[gr.Node, gr.Node]:
    """sin of sin of sin ...: n nodes in a line."""
    x = y = gr.placeholder("x", (4,), "float64")
    for _ in range(n):
        y = gr.sin(y)
    return x, gr.sum(y)


def tree(n: int) -> tuple[gr.Node, gr.Node]:
    """A balanced tree of products over n/2 leaves x + i."""
    x = gr.placeholder("x", (4,), "float64")
    level = [gr.add(x, float(i)) for i in range(max(1, n // 4))]
    while len(level) > 1:
        level = [gr.multiply(a, b) for a, b in zip(level[::2], level[1::2], strict=False)] + level[len(level) & ~1 :]
    return x, gr.sum(level[0])


def grid(n: int) -> tuple[gr.Node, gr.Node]:
    """A square grid in which each node adds its left and upper neighbour: exponentially many paths."""
    side = max(2, int(n**0.5))
    x = gr.placeholder("x", (4,), "float64")
    row = [gr.multiply(x, 1.0 + 1.0 / (j + 1)) for j in range(side)]
    for _ in range(side - 1):
        below = [gr.tanh(row[0])]
        for j in range(1, side):
            below.append(gr.add(below[-1], row[j]))
        row = below
    return x, gr.sum(row[-1])


def rnn(n: int) -> tuple[gr.Node, gr.Node]:
    """An unrolled recurrent network: h = tanh(h @ W + x[t] @ U + b)."""
    steps = max(1, n // 6)
    x = gr.placeholder("x", (2, 4), "float64")
    w, u, b = (gr.constant([[0.1] * 4] * 4), gr.constant([[0.2] * 4] * 4), gr.constant([0.0] * 4))
    h = gr.tanh(x @ u)
    for _ in range(steps):
        h = gr.tanh(h @ w + x @ u + b)
    return x, gr.sum(h)


SHAPES: dict[str, Callable[[int], tuple[gr.Node, gr.Node]]] = {"chain": chain, "tree": tree, "grid": grid, "rnn": rnn}
