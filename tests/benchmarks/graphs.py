"""Graphs of any size, by shape: the inputs of the compile-time benchmarks and the million-node tests."""

from __future__ import annotations

import random
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


ONE = (gr.abs, gr.arctan, gr.cos, gr.negative, gr.nn.sigmoid, gr.sin, gr.square, gr.tanh)
TWO = (gr.add, gr.maximum, gr.minimum, gr.multiply, gr.subtract)
NEAR = 100
"""A random node reads some of the last so many of its shape."""


def random_nodes(n: int) -> tuple[gr.Node, gr.Node]:
    """n ops in no order over numbers, vectors and a matrix; those that nothing reads are added up."""
    choice = random.Random(n).choice
    x = gr.placeholder("x", (4,), "float64")
    made = [[gr.sum(x)], [x], [gr.concatenate([x, -x])], [gr.stack([x, x + 1.0, x * 2.0])]]
    unread = dict.fromkeys(values[0] for values in made)
    for _ in range(n):
        values = choice(made)
        recent, op = values[-NEAR:], choice((choice(ONE), choice(TWO)))
        operands = [choice(recent) for _ in range(1 if op in ONE else 2)]
        for operand in operands:
            unread.pop(operand, None)
        values.append(op(*operands))
        unread[values[-1]] = None
    return x, gr.add_n(*map(gr.sum, unread))


SHAPES: dict[str, Callable[[int], tuple[gr.Node, gr.Node]]] = {"chain": chain, "tree": tree, "grid": grid, "rnn": rnn}
