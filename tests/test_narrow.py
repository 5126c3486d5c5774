"""Parts of values are computed as values of parts: the same numbers, less work, and no copies."""

import random

import numpy as np
import pytest

import graphc as gr
from graphc.evaluate import evaluate
from graphc.ir import Graph
from graphc.passes import expand, narrow

pytest.importorskip("llvmlite")

from map_formulas import alone, assert_all_same, compiled


def narrowed(graph):
    return narrow(expand(graph, fusible=lambda node: True), fusible=lambda node: True)


class Formula:
    """A random formula over elementwise ops, padding and pieces, of which parts are taken at every depth."""

    def __init__(self, seed):
        self.choose, self.numbers = random.Random(seed), np.random.default_rng(seed)
        self.inputs, self.arrays = [], []
        self.dtype = np.dtype(self.choose.choice(["f8", "f4", "i4"]))
        shape = tuple(self.choose.choice([1, 2, 5, 9]) for _ in range(self.choose.choice([1, 2, 3])))
        self.made = [self.read(shape)]

    def read(self, shape):
        array = (self.numbers.normal(size=shape) * 4).astype(self.dtype)
        if array.size and self.dtype.kind == "f":
            array.flat[0] = self.choose.choice([-0.0, np.nan, np.inf])
        self.inputs.append(gr.placeholder(f"x{len(self.inputs)}", shape, self.dtype))
        self.arrays.append(array)
        return self.inputs[-1]

    def graph(self):
        for _ in range(12):
            self.made.append(self.step(self.choose.choice(self.made[-4:])))
        return Graph(self.inputs, [self.made[-1], *self.choose.sample(self.made, 2)])

    def step(self, x):
        if not x.shape:
            return gr.broadcast_to(x, (5,)) + self.read((5,))
        makers = [self.part, self.part, self.part, self.elementwise, self.elementwise, self.padded, self.joined]
        return self.choose.choice([*makers, self.repeated])(x)

    def part(self, x):
        return x[tuple(self.choose.choice(self.parts(size)) for size in x.shape[: self.choose.randint(1, x.ndim)])]

    def parts(self, size):
        low = self.choose.randrange(size) if size else 0
        ends = slice(low, self.choose.randint(low, size))
        bounds = [slice(low, None), ends, slice(low, None, 3), slice(None, None, -1), slice(size, low, -2)]
        return [slice(None), *bounds, low] if size else [slice(None)]

    def elementwise(self, x):
        row = (*(1,) * self.choose.randrange(x.ndim + 1), *x.shape)[-x.ndim :]
        other = self.read(self.choose.choice([x.shape, row, x.shape[1:], ()]))
        return self.choose.choice([lambda: x - other, lambda: gr.abs(other) - x, lambda: x * 2 - x])()

    def padded(self, x):
        fill = self.choose.choice([0, 1] if self.dtype.kind == "i" else [0.0, -0.0, np.nan])
        return gr.pad(x, [(self.choose.randrange(3), self.choose.randrange(3)) for _ in x.shape], constant_values=fill)

    def joined(self, x):
        axis = self.choose.randrange(x.ndim)
        return gr.concatenate([x, self.read(x.shape), -x], axis)

    def repeated(self, x):
        return gr.broadcast_to(x, (2, *x.shape))


@pytest.mark.parametrize("seed", range(60))
def test_parts_are_what_they_were(seed):
    formula = Formula(seed)
    graph = formula.graph()
    feeds = dict(zip(graph.inputs, formula.arrays, strict=True))
    right = evaluate(graph.outputs, feeds)
    assert_all_same(evaluate(narrowed(graph).outputs, feeds), right)
    assert_all_same(compiled(graph.inputs, graph.outputs, pipeline="specialize", threads=2)(*formula.arrays), right)


def test_random_formulas_are_narrowed():
    graphs = [expand(Formula(seed).graph(), fusible=lambda node: True) for seed in range(60)]
    changed = [graph for graph in graphs if narrow(graph, fusible=lambda node: True) is not graph]
    assert len(changed) >= 15


def test_of_a_value_only_the_part_is_computed_that_is_read():
    x = gr.placeholder("x", (1000, 1000))
    run = compiled([x], [gr.tanh(x * x + 1)[:10, 5]])
    assert all(node.shape in [(1000, 1000), (10,)] for node in run.graph.nodes)
    assert run(np.ones((1000, 1000), "f4"))[0].shape == (10,)


def test_dear_values_are_computed_once_if_parts_overlap_and_so_are_those_of_products():
    x, w = gr.placeholder("x", (50, 60)), gr.placeholder("w", (60, 40))
    y, z = gr.exp(x), gr.nn.relu(x @ w)
    for value in (y[1:] - y[:-1], z[:, 5:]):
        graph = Graph([x, w], [value])
        assert narrowed(graph) is graph
    cheap = -x
    graph = Graph([x], [cheap[1:] * cheap[:-1]])
    assert narrowed(graph) is not graph


def test_reductions_stay_in_the_kernel_of_what_is_taken_of_them():
    x = gr.placeholder("x", (50, 60))
    graph = Graph([x], [gr.nn.softmax(x)[:, :5]])
    assert "getitem" in [node.op.name for node in narrowed(graph).outputs]


def test_steps_of_a_wave_are_kernels_alone():
    u, v = gr.placeholder("u", (1001,)), gr.placeholder("v", (1001,))
    around = gr.pad(u, 1)
    moved = v + 0.1 * (around[2:] - 2 * u + around[:-2])
    value = gr.sum(gr.square(u + 0.1 * moved)) + gr.sum(gr.square(moved))
    run = compiled([u, v], [value, *gr.gradients(value, [u, v])])
    assert set(alone(run.graph)) <= {"kernel", "item"}
    assert "1003" not in str(run.graph)


def test_steps_with_fixed_ends_keep_count_of_what_kernels_read():
    """Of what boxes are read, some was read where it is, too."""
    u = x = gr.placeholder("u", (1001,), "f64")
    for _ in range(4):
        u = gr.concatenate([u[:1], u[1:-1] + 0.1 * (u[2:] - 2 * u[1:-1] + u[:-2]), u[-1:]])
    outputs = [gr.sum(gr.square(u)), gr.grad(gr.sum(gr.square(u)), x)]
    array = np.random.default_rng(0).normal(size=1001)
    for value, right in zip(compiled([x], outputs)(array), evaluate(outputs, {x: array}), strict=True):
        np.testing.assert_allclose(value, right, rtol=1e-12)
