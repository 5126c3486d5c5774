"""Kernels read boxes of their operands in place: padding, parts that are replaced, pieces side by side."""

import itertools

import numpy as np
import pytest

import graphc as gr
from graphc.ir import Graph

pytest.importorskip("llvmlite")

from guarded import run_guarded
from map_formulas import (
    MapFormula,
    alone,
    assert_all_same,
    assert_computes_what_numpy_does,
    compiled,
    held,
    held_when_fused,
)  # fmt: skip

from graphc.evaluate import evaluate


class Formula(MapFormula):
    """A random formula over whole arrays, slices and transposes, in which boxes are read at every depth."""

    def __init__(self, seed):
        super().__init__(seed, ["f8", "f4", "f2", "i4", "i1", "?"])
        self.maps = [self.padded, self.replaced, self.joined, self.stacked, self.rolled, self.cheap]

    def graph(self):
        value = self.value(self.shape, 4)
        # What only moves makes no kernel, and truth values have no sum.
        value = value ^ self.value(self.shape, 3) if self.dtype == bool else value + self.value(self.shape, 3)
        outputs = [value, gr.max(value, self.choose.randrange(len(self.shape)))]
        return Graph(self.inputs, outputs[: self.choose.choice([1, 2])])

    def read(self, shape, depth):
        kind = self.choose.choice(["whole", "whole", "steps", "transposed"])
        stored = {"whole": shape, "steps": tuple(2 * n + 1 for n in shape), "transposed": shape[::-1]}[kind]
        x = self.feed((self.numbers.normal(size=stored) * 4).astype(self.dtype))
        if kind == "steps":
            return x[(slice(1, None, 2),) * len(shape)]
        return gr.transpose(x) if kind == "transposed" else x

    def bounds(self, size):
        low = self.choose.randrange(size)
        return low, self.choose.randint(low + 1, size)

    def padded(self, shape, depth):
        ends = [self.bounds(size) for size in shape]
        fill = self.choose.choice([0, 1]) if self.dtype.kind != "f" else self.choose.choice([0.0, -0.0, 1.5, np.nan])
        inner = self.value(tuple(high - low for low, high in ends), depth)
        return gr.pad(inner, [(low, size - high) for (low, high), size in zip(ends, shape, strict=True)],
                      constant_values=fill)  # fmt: skip

    def replaced(self, shape, depth):
        index = [self.part(size) for size in shape]
        part = np.empty(shape, "?")[tuple(index)]
        base = self.value(shape, depth) if self.choose.random() < 0.6 else gr.zeros(shape, self.dtype)
        return gr.set_at(base, tuple(index), self.value(part.shape, depth))

    def part(self, size):
        low, high = self.bounds(size)
        backward = slice(high - 1, low - 1 if low else None, -1)
        steps = slice(low, high, self.choose.randint(2, 9))
        return self.choose.choice([slice(None), low, slice(low, high), steps, backward])

    def joined(self, shape, depth):
        axis = self.choose.randrange(len(shape))
        inner = range(1, shape[axis])
        cuts = [0, *sorted(self.choose.sample(inner, min(len(inner), self.choose.randint(1, 3)))), shape[axis]]
        pieces = [(*shape[:axis], b - a, *shape[axis + 1 :]) for a, b in itertools.pairwise(cuts)]
        return gr.concatenate([self.value(piece, depth) for piece in pieces], axis)

    def stacked(self, shape, depth):
        """Pieces that alternate, if the last axis has so many elements."""
        count = next((each for each in (2, 3, 4, 5, 7, 8) if shape[-1] % each == 0), 1)
        pieces = [self.value((*shape[:-1], shape[-1] // count), depth) for _ in range(count)]
        return gr.reshape(gr.stack(pieces, -1), shape)

    def cheap(self, shape, depth):
        """What a box may compute of what it reads; products are exact, so that totals may take them unrounded."""
        x = self.value(shape, depth)
        if self.dtype == bool:
            return ~x
        row = (*(1,) * self.choose.randrange(len(shape) + 1), *shape)[-len(shape) :]
        known = self.choose.choice([2, -2, np.inf if self.dtype.kind == "f" else 3])
        factor = self.feed(np.array(known, self.dtype))
        other = self.read(row, depth) if self.choose.random() < 0.5 else -x
        return self.choose.choice([lambda: -x, lambda: x * factor, lambda: gr.maximum(x, other), lambda: x * -2])()

    def rolled(self, shape, depth):
        axis = self.choose.choice([None, *range(len(shape))])
        return gr.roll(self.value(shape, depth), self.choose.randint(-3, 9), axis)


@pytest.mark.parametrize("seed", range(40))
def test_kernels_that_read_boxes_compute_what_numpy_does_on_any_number_of_threads(seed):
    assert_computes_what_numpy_does(Formula(seed), threads=(1, 2))


def test_random_formulas_have_boxes_in_kernels():
    ops = [op for seed in range(40) for op in held_when_fused(Formula(seed))]
    assert all(ops.count(op) >= 5 for op in ("pad", "setitem", "concatenate"))


def test_cheap_values_are_computed_in_the_boxes_that_are_read_of_them():
    """Only what they are made of is stored, and around a box nothing is computed: 0 · inf is not 0."""
    x, s = gr.placeholder("x", (40, 50), "f64"), gr.placeholder("s", (2,), "f64")
    g = gr.tanh(x)
    value = gr.pad(g * s[0], ((0, 0), (0, 3))) + gr.pad(-g, ((0, 0), (3, 0))) + gr.pad(g * s[1], ((0, 0), (1, 2)))
    run = compiled([x, s], [value])
    *_, last = (node for node in run.graph.nodes if node.op.name == "kernel")
    assert [source.shape for source in last.inputs].count((40, 50)) == 1
    inside = [node.op.name for node in last.attrs["body"].nodes]
    assert [inside.count(op) for op in ("multiply", "negative", "pad")] == [2, 1, 3]
    arrays = [np.random.default_rng(0).normal(size=(40, 50)), np.array([np.inf, -0.0])]
    feeds = dict(zip([x, s], arrays, strict=True))
    np.testing.assert_allclose(run(*arrays)[0], evaluate([value], feeds)[0], rtol=1e-15)


def test_a_value_that_others_read_where_they_are_is_computed_in_boxes_too_if_it_need_not_be_stored():
    x, y = gr.placeholder("x", (60, 70)), gr.placeholder("y", (60, 69))
    run = compiled([x, y], [gr.sum(gr.square(y * 2)), gr.pad(y * 2, ((0, 0), (1, 0))) + x])
    assert all(node.shape != (60, 69) for node in run.graph.nodes if node.op.name == "kernel")


@pytest.mark.usefixtures("each_unit")
def test_rows_are_walked_without_masks_between_the_ends_of_boxes(monkeypatch):
    monkeypatch.setenv("GRAPHC_CACHE", "")
    numbers = np.random.default_rng(0)
    for dtype, size, rows in itertools.product(["f8", "f4", "i1"], [5, 70, 701, 9001], [1, 3]):
        x, y = (gr.placeholder(name, (rows, size), dtype) for name in "xy")
        ends = gr.concatenate([x[:, :1], -y, x[:, -2:]], 1)
        total = gr.pad(x, ((1, 0), (1, 2))) + gr.pad(-x, ((0, 1), (3, 0))) + gr.pad(y[:, :1], ((0, 1), (0, size + 2)))
        halves = gr.concatenate([-x, y], 1)
        nothing = gr.pad(x, ((0, 0), (size, 0))) + gr.pad(y, ((0, 0), (0, size)))
        outputs = [total, gr.max(total, 1), gr.sum(ends + ends), halves + 1, nothing, gr.roll(x, 1, 1) - x]
        arrays = [(numbers.normal(size=(rows, size)) * 4).astype(dtype) for _ in "xy"]
        found, right = compiled([x, y], outputs)(*arrays), evaluate(outputs, dict(zip([x, y], arrays, strict=True)))
        np.testing.assert_allclose(found.pop(2), right.pop(2), rtol=1e-4)
        assert_all_same(found, right)


def test_neighbours_take_two_kernels():
    x, v = gr.placeholder("x", (10000,), "f64"), gr.placeholder("v", (10000,), "f64")
    value = gr.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)
    product = gr.hvp(value, x, v)
    run = compiled([x, v], [product])
    numbers = np.random.default_rng(0).normal(size=(2, 10000))
    np.testing.assert_allclose(run(*numbers)[0], product.eval(dict(zip([x, v], numbers, strict=True))), rtol=1e-12)
    assert alone(run.graph) == ["kernel", "kernel"]
    assert held(run.graph).count("pad") == 3


def test_an_array_is_not_overwritten_while_its_neighbours_are_read():
    x = gr.variable("x", np.arange(50000.0))
    moved = gr.set_at(x, slice(1, None), x[:-1]) * 2
    run = compiled([], [gr.sum(x)], updates={x: moved}, threads=2)
    right = np.arange(50000.0)
    for _ in range(3):
        run()
        right = np.concatenate([right[:1], right[:-1]]) * 2
    np.testing.assert_array_equal(x.value, right)


def test_what_only_moves_is_no_kernel():
    x, y = gr.placeholder("x", (30, 4)), gr.placeholder("y", (2, 4))
    run = compiled([x, y], [gr.concatenate([x, y]), gr.pad(x, 1), gr.set_at(x, slice(2, 4), y)])
    assert "kernel" not in alone(run.graph)


def test_pieces_for_a_product_are_written_where_it_reads_them():
    x, y, w = gr.placeholder("x", (8, 4)), gr.placeholder("y", (8, 4)), gr.placeholder("w", (8, 5))
    run = compiled([x, y, w], [gr.concatenate([gr.tanh(x), gr.tanh(y)], 1) @ w])
    assert "concatenate" in alone(run.graph)


@pytest.mark.usefixtures("each_unit")
def test_what_alternates_is_one_row_for_any_vectors(monkeypatch):
    """Also where the step does not divide the width, so that each vector begins with another piece."""
    monkeypatch.setenv("GRAPHC_CACHE", "")
    numbers = np.random.default_rng(0)
    for dtype, count, size in itertools.product(["f8", "f4", "i1"], [2, 3, 4, 6, 8], [5, 700]):
        pieces = [gr.placeholder(f"x{i}", (3, size), dtype) for i in range(count)]
        arrays = [(numbers.normal(size=(3, size)) * 4).astype(dtype) for _ in pieces]
        stacked = gr.stack(pieces, -1)
        placed = gr.setitem(gr.ones((3, 2 + count * size), dtype), pieces[0], index=(":", (1, 1 + count * size, count)))
        outputs = [gr.maximum(stacked * 2, stacked), gr.max(stacked + 1, (0, 1)), placed + placed]
        assert_all_same(compiled(pieces, outputs)(*arrays), evaluate(outputs, dict(zip(pieces, arrays, strict=True))))


def test_what_is_read_at_steps_is_one_kernel_with_its_gradient():
    x, y = gr.placeholder("x", (100, 300)), gr.placeholder("y", (100, 300))
    value = gr.sum(x[:, ::2] * x[:, 1::2] * y[:, 1::2])
    run = compiled([x, y], [value, *gr.gradients(value, [x, y])])
    assert set(alone(run.graph)) <= {"kernel", "item"}
    assert alone(run.graph).count("kernel") <= 2


def test_a_stack_is_one_kernel_and_its_gradient_reads_its_pieces():
    x, y = gr.placeholder("x", (100, 300)), gr.placeholder("y", (100, 300))
    value = gr.sum(gr.square(gr.stack([x, y], -1)))
    run = compiled([x, y], [value, *gr.gradients(value, [x, y])])
    assert set(alone(run.graph)) <= {"kernel", "item"}
    assert all(node.shape != (100, 300, 2) for node in run.graph.nodes if node.op.name != "kernel")
    assert alone(run.graph).count("kernel") <= 3


def test_steps_touch_nothing_beyond_their_memory(monkeypatch):
    x, y = gr.placeholder("x", (7, 43)), gr.placeholder("y", (7, 43))
    stacks = [gr.stack([x, y, x], -1), gr.stack([x[:, ::2], y[:, 1::2][:, :1] + x[:, ::2]], -1)]
    placed = gr.setitem(gr.zeros((15, 130)), x, index=((1, 15, 2), (1, 130, 3)))
    outputs = [*(stack * 2 for stack in stacks), placed + 1, x[:, ::7] * y[:, ::7] + x[:, 6::6]]
    run = compiled([x, y], outputs)
    feeds = [np.random.default_rng(0).normal(size=(7, 43)).astype("f4") for _ in (x, y)]
    right = run(*feeds)
    for found in run_guarded(run, feeds, monkeypatch):
        for value, expected in zip(found, right, strict=True):
            np.testing.assert_array_equal(value, expected)


def test_what_is_outside_of_a_box_is_not_looked_at():
    """Rows far from a small box at the end of a mapping: a read beside it would end the process."""
    x, y = gr.placeholder("x", (1, 3), "f64"), gr.placeholder("y", (500, 600), "f64")
    run = compiled([x, y], [gr.pad(x, ((7, 492), (590, 7))) + y])
    found = run(np.ones((1, 3)), np.zeros((500, 600)))[0]
    assert found.sum() == found[7, 590:593].sum() == 3


def test_kernels_of_other_sizes_share_their_code():
    from graphc.native.kernel.facts import facts_of

    def code(size, start):
        x = gr.placeholder("x", (size - 3,), "f64")
        padded = gr.pad(x, (start, 3 - start))
        return int(facts_of(Graph([x], [padded + padded]), [(1,)]).address)

    assert code(5000, 1) == code(7000, 2) != code(7000, 0)


def test_a_box_is_read_everywhere_along_axes_where_its_node_is_repeated():
    """A part replaced in a vector that a kernel repeats for rows: the last row had written what was there before."""
    x, v, s = gr.placeholder("x", (2, 3), "f64"), gr.placeholder("v", (3,), "f64"), gr.placeholder("s", (), "f64")
    replaced = gr.setitem(v, s, index=(0,)) * 0.5
    run = compiled([x, v, s], [gr.where(x > 0, v, x), replaced + v])
    assert alone(run.graph) == ["kernel"]
    found = run(np.ones((2, 3)), np.arange(3.0), np.float64(8))[1]
    assert found.tolist() == [4, 1.5, 3]
