"""Random formulas over index maps, by which kernels read elsewhere, and what is asked of them."""

import random

import numpy as np

import graphc as gr
from graphc.evaluate import evaluate
from graphc.passes import expand, fuse

SIZES = [(1, 2, 3, 5, 8, 17, 33), (1, 4, 70, 129), (2, 1000, 4100)]
"""Short rows, rows of several vectors, and rows that are cut."""


class MapFormula:
    """A shape, a dtype, and the arrays for the inputs that a formula makes. `graph` makes it, once."""

    def __init__(self, seed, dtypes):
        self.choose, self.numbers = random.Random(seed), np.random.default_rng(seed)
        self.dtype = np.dtype(self.choose.choice(dtypes))
        self.inputs, self.arrays = [], []
        rank = self.choose.choice([1, 1, 2, 2, 3])
        sizes = SIZES[self.choose.randrange(3 if rank == 1 else 2)]
        self.shape = tuple(self.choose.choice(sizes[: 5 if rank == 3 else None]) for _ in range(rank))

    def feed(self, array):
        self.inputs.append(gr.placeholder(f"x{len(self.inputs)}", array.shape, array.dtype))
        self.arrays.append(array)
        return self.inputs[-1]

    def value(self, shape, depth):
        make = self.choose.choice([self.read, self.combined, *self.maps]) if depth and shape else self.read
        return make(shape, depth - 1)

    def combined(self, shape, depth):
        x, y = self.value(shape, depth), self.value(shape, depth)
        if self.dtype == bool:
            return x & y
        return self.choose.choice([gr.add, gr.subtract, gr.maximum])(x, y - gr.max(y, -1, keepdims=True))


def assert_computes_what_numpy_does(formula, threads):
    """Native code on so many threads, and the graph that it was made of."""
    graph = formula.graph()
    right = evaluate(graph.outputs, dict(zip(graph.inputs, formula.arrays, strict=True)))
    for count in threads:
        run = compiled(graph.inputs, graph.outputs, threads=count)
        assert_all_same(run(*formula.arrays), right)
    assert str(gr.parse(str(run.graph))) == str(run.graph)
    assert_all_same(evaluate(run.graph.outputs, dict(zip(run.graph.inputs, formula.arrays, strict=True))), right)


def assert_all_same(values, right):
    """Equal to the last bit, also in the sign of zeros."""
    for value, expected in zip(values, right, strict=True):
        value, expected = np.asarray(value), np.asarray(expected)
        np.testing.assert_array_equal(value, expected)
        assert value.dtype == expected.dtype
        if value.dtype.kind == "f":
            zero = expected == 0
            np.testing.assert_array_equal(np.signbit(value)[zero], np.signbit(expected)[zero])


def compiled(inputs, outputs, **options):
    return gr.compile(inputs, outputs, backend="native", **options)


def held(graph):
    """The ops in the kernels of a graph."""
    bodies = [node.attrs["body"] for node in graph.nodes if node.op.name == "kernel"]
    return [node.op.name for body in bodies for node in body.nodes]


def held_when_fused(formula):
    """The ops in the kernels that a formula falls into."""
    return held(fuse(expand(formula.graph(), fusible=lambda node: True), fusible=lambda node: node.op.elementwise))


def alone(graph):
    """The ops beside the kernels, and these."""
    return [node.op.name for node in graph.nodes if not node.op.leaf and not node.op.view and "value" not in node.attrs]
