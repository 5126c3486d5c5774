"""Kernels read at positions in place, and add at them: gathers, rows' own positions, the derivative of label picks."""

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
    held_when_fused,
)

from graphc.native.code.vectors import Unit
from graphc.native.kernel import lanes

POSITIONS = ["i8", "i4", "i2", "u1", "u2", "u8"]
UNITS = [Unit(64, 32, masked=True), Unit(32, 16, masked=False)]


class Formula(MapFormula):
    """A random formula in which kernels read, and add, at positions of every kind."""

    def __init__(self, seed):
        super().__init__(seed, ["f8", "f4", "f2", "i4", "i1"])
        self.maps = [self.gathered, self.gathered, self.along, self.marked]

    def graph(self):
        value = self.value(self.shape, 3) + self.value(self.shape, 2)
        outputs = [value, gr.max(value, self.choose.randrange(len(self.shape)))]
        return Graph(self.inputs, outputs[: self.choose.choice([1, 2])])

    def read(self, shape, depth):
        return self.feed((self.numbers.normal(size=shape) * 4).astype(self.dtype))

    def positions(self, shape, size):
        """Some come from memory, as they are or with gaps, others from the kernel."""
        dtype = np.dtype(self.choose.choice(POSITIONS))
        low = -min(size, 100) if dtype.kind == "i" else 0
        array = np.asarray(self.numbers.integers(low, min(size, 100), shape)).astype(dtype)
        kind = self.choose.choice(["whole", "gaps", "computed"])
        if kind == "gaps":
            return gr.transpose(self.feed(np.transpose(array).copy()))
        node = self.feed(array)
        return gr.maximum(node, node) if kind == "computed" else node

    def gathered(self, shape, depth):
        """Some neighbouring axes of the shape are those of the positions."""
        at = self.choose.randrange(len(shape) + 1)
        end = self.choose.randint(at, len(shape))
        count = self.choose.choice([1, 1, 2])
        looked = [self.choose.choice([1, 2, 5, 40]) for _ in range(count)]
        block, rest = shape[at:end], [*shape[:at], *shape[end:]]
        axes = sorted(self.choose.sample(range(len(rest) + count), count))
        whole, sizes = iter(rest), iter(looked)
        table = tuple(next(sizes) if axis in axes else next(whole) for axis in range(len(rest) + count))
        x = self.value(table, depth) if np.prod(table) < 50000 else self.read(table, 0)
        indices = [self.positions(block, size) for size in looked]
        return gr.gather(x, *indices, axes=tuple(axes), at=at)

    def along(self, shape, depth):
        axis = self.choose.randrange(len(shape))
        size = self.choose.choice([1, 3, 50])
        table = tuple(size if at == axis else self.choose.choice([dim, dim, 1]) for at, dim in enumerate(shape))
        some = tuple(dim if at == axis or table[at] == 1 else self.choose.choice([dim, 1])
                     for at, dim in enumerate(shape))  # fmt: skip
        return gr.take_along_axis(self.value(table, depth), self.positions(some, size), axis)

    def marked(self, shape, depth):
        axis = self.choose.randrange(len(shape))
        one = tuple(1 if at == axis else dim for at, dim in enumerate(shape))
        base = self.value(shape, depth) if self.choose.random() < 0.6 else gr.zeros(shape, self.dtype)
        return gr.add_along_axis(base, self.value(one, depth), self.positions(one, shape[axis]), axis)


@pytest.mark.parametrize("seed", range(60))
def test_kernels_that_read_at_positions_compute_what_numpy_does_on_any_number_of_threads(seed):
    assert_computes_what_numpy_does(Formula(seed), threads=(1, 2, 3))


@pytest.mark.parametrize("seed", range(60, 80))
@pytest.mark.parametrize("unit", UNITS)
def test_on_any_vector_unit(monkeypatch, seed, unit):
    monkeypatch.setattr(lanes, "host_unit", lambda: unit)
    assert_computes_what_numpy_does(Formula(seed), threads=(1,))


def test_random_formulas_have_lookups_in_kernels():
    ops = [op for seed in range(60) for op in held_when_fused(Formula(seed))]
    assert all(ops.count(op) >= 10 for op in ("gather", "take_along_axis", "add_along_axis"))


def test_an_embedding_and_what_is_done_with_it_is_one_kernel():
    table, shift = gr.placeholder("table", (50, 16)), gr.placeholder("shift", (7, 16))
    ids = gr.placeholder("ids", (3, 7), "int64")
    run = compiled([table, shift, ids], [gr.nn.layer_norm(table[ids] * 4 + shift)])
    assert alone(run.graph) == ["kernel"]
    assert "%gather = gather(%table, %ids) {axes=(0,), at=0} : f32[3, 7, 16]" in str(run.graph)


def test_what_only_reads_at_positions_is_no_kernel():
    x, i = gr.placeholder("x", (5, 6)), gr.placeholder("i", (3,), "int64")
    assert alone(compiled([x, i], [x[i], x[:, i]]).graph) == ["gather", "gather"]


def test_kernels_of_other_sizes_share_their_code():
    from graphc.native.kernel.facts import facts_of

    def code(rows, width, count):
        x, i = gr.placeholder("x", (rows, width), "f64"), gr.placeholder("i", (count,), "int64")
        gathered = x[i]
        return int(facts_of(Graph([x, i], [gathered + gathered]), [(width, 1), (1,)]).address)

    assert code(10, 500, 7) == code(99, 700, 300) != code(10, 3, 7)


# ------------------------------------------------------------------------------------------------------- outside


CASES = {
    "row by row": lambda x, i: gr.tanh(x[i]), "lane by lane": lambda x, i: gr.tanh(x[:, i]),
    "pairs": lambda x, i: x[i, i] * 2, "along rows": lambda x, i: gr.exp(gr.take_along_axis(x[:3], i[:, None], 1)),
    "one in all": lambda x, i: gr.exp(x[i[1]]), "added": lambda x, i: gr.exp(
        gr.add_along_axis(gr.square(x[:3]), gr.ones((3, 1), "float64"), i[:, None], 1)),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("bad", [5, -6, 2**62, -(2**63)])
def test_positions_outside_raise_with_the_node_and_nothing_is_written(case, bad):
    x, i = gr.placeholder("x", (5, 5), "float64"), gr.placeholder("i", (3,), "int64")
    w = gr.variable("w", np.zeros(3))
    run = compiled([x, i], [CASES[case](x, i)], updates={w: w + 1})
    assert set(alone(run.graph)) == {"kernel"}
    feed = np.random.default_rng(0).normal(size=(5, 5))
    before = run(feed, np.array([0, -5, 4]))
    told = r"index -?\d+ is out of bounds for axis [01] with size 5"
    for _ in range(3):
        with pytest.raises(gr.ExecutionError, match=told) as caught:
            run(feed, np.array([0, bad, 1]))
        assert "test_lookups.py:" in str(caught.value)
        assert any(f"{op} failed" in str(caught.value) for op in ("gather", "take_along_axis", "add_along_axis"))
    np.testing.assert_array_equal(w.value, [1, 1, 1])
    np.testing.assert_array_equal(run(feed, np.array([0, -5, 4])), before)


def test_lanes_beyond_the_end_of_a_row_are_not_looked_at():
    """Positions made in the kernel would be outside there."""
    x, i = gr.placeholder("x", (5,), "float64"), gr.placeholder("i", (7,), "int64")
    table = np.arange(5.0)
    found = compiled([x, i], [gr.take_along_axis(x, 7 - gr.maximum(i, 3), 0) * 2])(table, np.full(7, 5))[0]
    np.testing.assert_array_equal(found, np.full(7, 4.0))


@pytest.mark.parametrize("seed", range(20))
def test_nothing_beyond_an_array_is_looked_at(seed, monkeypatch):
    formula = Formula(seed)
    graph = formula.graph()
    run = compiled(graph.inputs, graph.outputs)
    right = run(*formula.arrays)
    for found in run_guarded(run, formula.arrays, monkeypatch):
        assert_all_same(found, right)
