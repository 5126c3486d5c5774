"""Random small graphs for tests of executors: every kind of place that a value can live in, and views of views."""

import numpy as np

import graphc as gr
from graphc.ir import Graph

UNARY = (gr.tanh, gr.negative, gr.square, gr.relu, gr.exp, gr.abs, gr.floor, gr.positive)
BINARY = (gr.add, gr.subtract, gr.multiply, gr.maximum, gr.arctan2)


def random_graph(seed, rows=4, columns=6, size=30):
    """A graph over float placeholders and a variable, and arrays to feed it: all values stay of moderate size."""
    rng = np.random.default_rng(seed)
    dtype = rng.choice(["float32", "float64"])
    shapes = [(rows, columns), (columns,), (rows, 1), (), (columns, columns)]
    inputs = [gr.placeholder(f"x{i}", shape, dtype) for i, shape in enumerate(shapes)]
    state = gr.variable("state", rng.standard_normal((rows, columns)).astype(dtype))
    nodes = [*inputs, state, gr.constant(rng.standard_normal((rows, columns)).astype(dtype))]
    for _ in range(size):
        nodes.append(_grown(nodes, rng))
    outputs = [nodes[i] for i in rng.choice(len(nodes), rng.integers(1, 5))] + [nodes[-1], nodes[-1]]
    feeds = [rng.standard_normal(node.shape).astype(dtype) for node in inputs]
    return Graph(inputs, outputs), feeds, state


def _grown(nodes, rng):
    """One node more, over some of the last ones."""
    pick = lambda: nodes[max(0, len(nodes) - 1 - int(rng.geometric(0.15)))]  # noqa: E731
    x, y = pick(), pick()
    kind = rng.integers(0, 12)
    if kind < 2:
        return gr.tanh(UNARY[rng.integers(len(UNARY))](x))
    if kind < 5:
        try:
            return gr.tanh(BINARY[rng.integers(len(BINARY))](x, y))
        except gr.ShapeError:
            return x + x
    return _REARRANGE[kind - 5](x, y, rng)


def _product(x, y, rng):
    """x @ xᵀ scaled down, or a product that fits."""
    if x.ndim == 2 and y.ndim == 2 and x.shape[1] == y.shape[0]:
        return gr.tanh(x @ y)
    return gr.tanh(x @ x.T) if x.ndim == 2 else gr.tanh(x * 2)


def _view(x, y, rng):
    if x.ndim < 2:
        return x
    kinds = (lambda: x.T, lambda: x.reshape(x.size), lambda: x.T.reshape(x.size), lambda: x[1:, ::-1],
             lambda: x[:1], lambda: x[0, 0], lambda: gr.broadcast_to(x, (2, *x.shape))[1])  # fmt: skip
    return kinds[rng.integers(7)]()


def _reduced(x, y, rng):
    return gr.tanh(x.sum(int(rng.integers(x.ndim)), keepdims=bool(rng.integers(2)))) if x.ndim else x - 1


def _chosen(x, y, rng):
    return gr.where(x > 0, x, -x * 0.5) if rng.integers(2) else (x > 0).astype(x.dtype)


def _pieces(x, y, rng):
    """A tuple's elements: views of the operand, or results of their own."""
    if x.ndim and x.shape[0] > 1 and rng.integers(2):
        first, second = gr.split(x, [1])
        return gr.concatenate([second, first])
    fraction, whole = gr.modf(x * 1.5)
    return fraction + whole * 0.5


def _same(x, y, rng):
    return x * x + x


def _number(x, y, rng):
    return gr.tanh(x.mean()) * 0.5 + x


_REARRANGE = (_product, _view, _reduced, _chosen, _pieces, _same, _number)
