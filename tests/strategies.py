"""Random graphs as Hypothesis strategies: small, of many ops and dtypes, with their gradients; they shrink.

    @given(strategies.programs())
    def test_…(program):
        graph, feed = program.graph(gradient=True), program.feed(special=True)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

import graphc as gr
from graphc.ir import Graph

ROWS, COLUMNS = 3, 4
INPUTS = (("a", (ROWS, COLUMNS), "float64"), ("b", (COLUMNS,), "float64"), ("c", (ROWS, 1), "float64"),
          ("s", (), "float64"), ("w", (COLUMNS, COLUMNS), "float64"), ("f", (ROWS, COLUMNS), "float32"),
          ("i", (ROWS, COLUMNS), "int64"), ("k", (COLUMNS,), "int8"), ("t", (ROWS, COLUMNS), "bool"))  # fmt: skip
SPECIAL = (0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 1e-310, 1e300, -2.5)

UNARY = (
    gr.negative, gr.tanh, gr.square, gr.abs, gr.relu, gr.sigmoid, gr.exp, gr.floor, gr.sign, gr.softplus, gr.log1p,
    gr.sqrt, gr.reciprocal, gr.cos, gr.logical_not, gr.isnan, gr.stop_gradient, gr.positive, gr.log, gr.expm1, gr.erf,
    gr.rint,
)  # fmt: skip
BINARY = (
    gr.add, gr.subtract, gr.multiply, gr.divide, gr.maximum, gr.minimum, gr.less, gr.greater_equal, gr.equal,
    gr.logical_and, gr.logical_or, gr.matmul, gr.hypot, gr.logaddexp, gr.not_equal,
)  # fmt: skip
NUMBERS = (0, 1, -1, 2, 0.5, -0.0, 3.0, np.inf, 4, -8)
"""Constants that rules look for."""
CONDITIONS = (
    lambda x, y: x > 0, lambda x, y: gr.logical_not(x < y), lambda x, y: gr.isfinite(x), lambda x, y: gr.equal(x, y),
)  # fmt: skip
REDUCTIONS = (gr.sum, gr.max, gr.min, gr.prod, gr.mean, gr.any, gr.all, gr.logsumexp)
VIEWS = (
    lambda x: x.T, lambda x: x.reshape(x.size), lambda x: gr.expand_dims(x, 0), lambda x: x[..., ::-1],
    lambda x: gr.broadcast_to(x, (2, *x.shape)), lambda x: gr.broadcast_to(x, (ROWS, COLUMNS)), lambda x: x[:1],
    lambda x: x.reshape(x.shape), lambda x: gr.flip(x), lambda x: gr.pad(x, 0), lambda x: gr.concatenate([x, x]),
    lambda x: gr.squeeze(x),
)  # fmt: skip
FORMULAS = (
    lambda x: gr.log(1 + gr.exp(x)), lambda x: 1 / (1 + gr.exp(-x)), lambda x: gr.log(gr.sum(gr.exp(x))),
    gr.nn.softmax, gr.nn.log_softmax, gr.nn.layer_norm, lambda x: gr.exp(x) / gr.sum(gr.exp(x), -1, keepdims=True),
    lambda x: x**2, lambda x: x**3, lambda x: gr.add_n(x, x, x), lambda x: gr.add_n(x), lambda x: x - x * gr.sigmoid(x),
    lambda x: gr.log(gr.sigmoid(x)), lambda x: gr.negative(-x), lambda x: (x * 2) * 0.25, lambda x: gr.var(x),
)  # fmt: skip


@dataclass(frozen=True)
class Program:
    """Steps that grow a graph node by node: what a strategy draws, and an example is printed as."""

    steps: tuple[tuple[int, int, int, int], ...]
    seed: int

    def nodes(self, sizes: tuple[int, int] = (ROWS, COLUMNS)) -> list[gr.Node]:
        """The inputs and every node that the steps make; a step that does not fit its operands makes none."""
        made = [gr.placeholder(name, _sized(shape, sizes), dtype) for name, shape, dtype in INPUTS]
        for kind, which, first, second in self.steps:
            try:
                made.append(STEPS[kind % len(STEPS)](which, made[first % len(made)], made[second % len(made)]))
            except gr.GraphcError:
                continue
        return made

    def graph(self, *, gradient: bool = False, sizes: tuple[int, int] = (ROWS, COLUMNS)) -> Graph:
        """The last values, and the gradients of the sum of the last float with respect to the inputs it depends on."""
        nodes = self.nodes(sizes)
        inputs, outputs = nodes[: len(INPUTS)], nodes[-3:]
        floats = [node for node in nodes[len(INPUTS) :] if node.type.is_float and node.ndim < 4]
        if gradient and floats:
            loss = gr.sum(floats[-1])
            wrt = [node for node in inputs if node.type.is_float]
            outputs = [loss, *gr.gradients(loss, wrt, unconnected="zero")]
        return Graph(inputs, outputs)

    def feed(self, *, special: bool = False, sizes: tuple[int, int] = (ROWS, COLUMNS)) -> list[np.ndarray]:
        """Arrays for the inputs: moderate numbers, or zeros, infinities, subnormals and NaN among them."""
        rng = np.random.default_rng(self.seed)
        return [_array(rng, _sized(shape, sizes), np.dtype(dtype), special) for _, shape, dtype in INPUTS]


def _sized(shape, sizes):
    """A shape of INPUTS with other numbers of rows and columns."""
    return tuple({ROWS: sizes[0], COLUMNS: sizes[1]}.get(size, size) for size in shape)


def _array(rng, shape, dtype, special):
    if dtype.kind == "b":
        return rng.integers(0, 2, shape).astype(bool)
    if dtype.kind == "i":
        return np.asarray(rng.integers(-4, 5, shape), dtype)
    if special:
        return np.asarray(rng.choice(SPECIAL, shape)).astype(dtype)
    return np.asarray(rng.uniform(0.25, 2, shape) * rng.choice([1, 1, -1], shape), dtype)


def _reduced(which, x, y):
    reduction = REDUCTIONS[which % len(REDUCTIONS)]
    axis = [None, 0, -1][which % 3]
    return reduction(x, axis, keepdims=which % 2 == 1)


def _chosen(which, x, y):
    condition = CONDITIONS[which % len(CONDITIONS)](x, y)
    return gr.where(condition, *((x, y), (y, 0), (x, x))[which % 3])


STEPS = (
    lambda which, x, y: UNARY[which % len(UNARY)](x),
    lambda which, x, y: BINARY[which % len(BINARY)](x, y),
    lambda which, x, y: BINARY[which % 7](x, NUMBERS[which % len(NUMBERS)]),
    lambda which, x, y: BINARY[which % 7](NUMBERS[which % len(NUMBERS)], x),
    lambda which, x, y: VIEWS[which % len(VIEWS)](x),
    _reduced,
    _chosen,
    lambda which, x, y: FORMULAS[which % len(FORMULAS)](x),
    lambda which, x, y: gr.add_n(x, y, x),
    lambda which, x, y: x.astype(["float32", "float64", "int64", "float16"][which % 4]),
)  # fmt: skip
"""The kinds of step: each gets a number that chooses among its forms, and two nodes."""


def programs(size: int = 12) -> st.SearchStrategy[Program]:
    """Random programs of up to `size` steps."""
    numbers = st.integers(0, 359)
    return st.builds(Program, st.lists(st.tuples(st.integers(0, len(STEPS) - 1), numbers, numbers, numbers),
                                       min_size=1, max_size=size).map(tuple), st.integers(0, 2**32 - 1))  # fmt: skip
