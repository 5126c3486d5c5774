"""The memory plan: what it reuses, what it must not, and what it predicts."""

from dataclasses import replace

import numpy as np
import pytest
from random_graphs import random_graph
from tracing import traced

import graphc as gr
from graphc.evaluate import evaluate
from graphc.executor import NumpyProgram
from graphc.executor import plan as plans
from graphc.executor.arena import ALIGNMENT, Arena
from graphc.executor.check import check_plan
from graphc.executor.cost import arrays as arrays_of
from graphc.executor.cost import temporary_bytes
from graphc.ir import Graph
from graphc.op import OPS
from graphc.samples import _SPEC, Call

SHAPE = (64, 64)
NBYTES = 64 * 64 * 4


def x_and_program(make, threads=1):
    x = gr.placeholder("x", SHAPE)
    outputs = make(x)
    graph = Graph([x], outputs)
    program = NumpyProgram(graph, threads)
    assert_right(program)
    return program


def check(program):
    plan = program.plan
    check_plan(plan.graph, plan.stages, plan.places, plan.memory)


def assert_right(program):
    """The plan is sound, and a run gives what evaluation gives, bit for bit."""
    check(program)
    graph = program.plan.graph
    rng = np.random.default_rng(0)
    feeds = [rng.standard_normal(node.shape).astype(node.dtype) for node in graph.inputs]
    expected = evaluate(graph.outputs, dict(zip(graph.inputs, feeds, strict=True)))
    for value, right in zip(program.run(feeds, {}, [None] * len(graph.outputs)), expected, strict=True):
        np.testing.assert_array_equal(value, right)


# The arena.


def test_arena_reuses_the_best_fit_and_merges_what_meets():
    arena = Arena()
    a, b, c = arena.take(640), arena.take(64), arena.take(128)
    assert (a, b, c) == (0, 640, 704)
    arena.give(a, 640)
    arena.give(c, 128)
    assert arena.take(100) == 704, "the smaller hole fits"
    arena.give(704, 100)
    arena.give(b, 64)
    assert arena.take(832) == 0, "all three are one again"
    assert arena.size == 832


def test_arena_grows_from_the_free_part_at_its_end():
    arena = Arena()
    first = arena.take(64)
    arena.give(arena.take(64), 64)
    assert arena.take(192) == 64
    assert (first, arena.size) == (0, 256)


def test_arena_never_gives_memory_twice():
    rng = np.random.default_rng(0)
    arena, live = Arena(), {}
    for _ in range(2000):
        if live and rng.random() < 0.5:
            offset = list(live)[rng.integers(len(live))]
            arena.give(offset, live.pop(offset) - offset)
        else:
            nbytes = int(rng.integers(0, 1000))
            offset = arena.take(nbytes)
            assert offset % ALIGNMENT == 0
            assert offset + nbytes <= arena.size
            end = offset + max(nbytes, 1)
            assert all(end <= other or other_end <= offset for other, other_end in live.items())
            live[offset] = end


# Reuse.


def test_a_chain_needs_one_buffer():
    def chain(x):
        for _ in range(50):
            x = gr.tanh(x)
        return [x.sum()]

    memory = x_and_program(chain).plan.memory
    assert len(memory.overwrites) == 49
    assert memory.arena_bytes == NBYTES + ALIGNMENT  # one matrix, and the sum


def test_products_take_turns_between_two_buffers():
    def chain(x):
        for _ in range(20):
            x = x @ x
        return [x.sum()]

    memory = x_and_program(chain).plan.memory
    assert not memory.overwrites
    assert memory.arena_bytes == 2 * NBYTES + ALIGNMENT or memory.arena_bytes == 2 * NBYTES


def test_results_are_written_to_their_own_arrays():
    program = x_and_program(lambda x: [gr.exp(gr.tanh(x))])
    assert program.plan.memory.arena_bytes == NBYTES
    assert program.describe().result_bytes == NBYTES


# What must not be written over.


def overwrites(make):
    return x_and_program(make).plan.memory.overwrites


def test_inputs_are_not_written_over():
    assert not overwrites(lambda x: [gr.tanh(x).sum()])


def test_a_value_read_later_is_not_written_over():
    assert not overwrites(lambda x: [(a := gr.tanh(x)).sum(), gr.exp(a).max(), (a @ x).sum()])


def test_an_operand_used_twice_is_written_over():
    assert len(overwrites(lambda x: [((a := gr.tanh(x)) * a).sum()])) == 1


def test_a_value_is_not_written_over_beside_a_transposed_view():
    assert not overwrites(lambda x: [((a := gr.tanh(x)) - a.T).sum()])


def test_a_value_is_not_written_over_beside_a_part_of_it():
    assert not overwrites(lambda x: [((a := gr.tanh(x)) - a[3]).sum()])


def test_a_value_whose_view_is_read_later_is_not_written_over():
    assert not overwrites(lambda x: [gr.exp(a := gr.tanh(x)).sum(), a.T[0].sum()])


def test_a_reshaped_view_may_be_written_over():
    assert len(overwrites(lambda x: [gr.exp(gr.tanh(x).reshape(-1)).sum()])) == 1


def test_a_value_of_another_dtype_is_not_written_over():
    assert not overwrites(lambda x: [gr.tanh(x).astype("int32").sum()])


def test_a_product_never_writes_over_its_operand():
    assert not overwrites(lambda x: [(gr.tanh(x) @ x).sum()])


def test_outputs_that_are_inputs_constants_or_views_are_copies():
    k = gr.constant(np.arange(3.0))
    x = gr.placeholder("x", (2, 3))
    y = gr.tanh(x)
    program = NumpyProgram(Graph([x], [x, k, y.T, y, y, x.T[0, 0]]), 1)
    check(program)
    feed = np.ones((2, 3), "f4")
    results = program.run([feed], {}, [None] * 6)
    arrays = [feed, k.attrs["value"], *results[:5]]
    for i, array in enumerate(arrays):
        assert not any(np.may_share_memory(array, other) for other in arrays[:i])
    assert type(results[5]) is np.float32
    np.testing.assert_array_equal(results[2], results[3].T)


def test_results_stay_valid_after_other_runs():
    program = x_and_program(lambda x: [gr.tanh(x), gr.tanh(x).T, x.sum()])
    first = program.run([np.ones(SHAPE, "f4")], {}, [None] * 3)
    kept = [np.copy(value) for value in first]
    program.run([np.zeros(SHAPE, "f4")], {}, [None] * 3)
    for value, before in zip(first, kept, strict=True):
        np.testing.assert_array_equal(value, before)


# Random graphs, and planted faults.


@pytest.mark.parametrize("threads", [1, 2])
def test_plans_of_random_graphs_are_sound(fine, threads):
    for seed in range(60):
        check(NumpyProgram(random_graph(seed)[0], threads))


def given_up_early(graph, monkeypatch):
    """For each buffer, the program that would be made if its memory were free right after it was written."""
    right = plans.lifetimes
    program = NumpyProgram(graph, 1)
    for time, (unit,) in enumerate(program.plan.lives.moments):
        for node in unit.nodes:
            if unit.output is None and node in program.plan.memory.offsets:
                early = {**program.plan.lives.last_use, node: time}
                monkeypatch.setattr(plans, "lifetimes", lambda *args, u=early: replace(right(*args), last_use=u))
                yield NumpyProgram(graph, 1)
    monkeypatch.setattr(plans, "lifetimes", right)


def test_the_checker_finds_every_wrong_last_use_that_matters(fine, monkeypatch):
    """A plan that gives a wrong result never passes; one that happens to be right may."""
    mattered = 0
    for seed in range(12):
        graph, feeds, state = random_graph(seed)
        right = evaluate(graph.outputs, dict(zip(graph.inputs, feeds, strict=True)))
        for program in given_up_early(graph, monkeypatch):
            results = program.run(feeds, {state: state.value}, [None] * len(right))
            if not all(np.array_equal(a, b, equal_nan=True) for a, b in zip(results, right, strict=True)):
                mattered += 1
                wrong(program, "no longer|may still read")
    assert mattered > 10


def wrong(program, match):
    with pytest.raises(gr.CompileError, match=match):
        check(program)


def test_the_checker_finds_a_buffer_outside_the_memory():
    program = x_and_program(lambda x: [gr.tanh(x).sum()])
    program.plan.memory.arena_bytes -= ALIGNMENT
    wrong(program, "lies outside")


def test_the_checker_finds_a_product_over_its_operand():
    program = x_and_program(lambda x: [((a := gr.tanh(x)) @ a).sum()])
    a, product, _ = program.plan.memory.offsets
    program.plan.memory.offsets[product] = program.plan.memory.offsets[a]
    wrong(program, "may still read")


def test_the_checker_finds_parallel_units_that_share_memory(fine):
    x = gr.placeholder("x", SHAPE)
    parts = [gr.tanh(x @ x.T), gr.exp(x.T @ x)]
    program = NumpyProgram(Graph([x], [part.sum() for part in parts]), 2)
    check(program)
    offsets = program.plan.memory.offsets
    for part, other in zip(parts, reversed(parts), strict=True):
        offsets[part.inputs[0]] = offsets[other.inputs[0]] = 0
    wrong(program, "at the same time")


def test_the_checker_finds_scratch_values_that_share_memory(fine):
    x = gr.placeholder("x", SHAPE)
    a, b = gr.tanh(x), gr.exp(x)
    program = NumpyProgram(Graph([x], [a * b]), 1)
    (scratch,) = program.plan.memory.scratch.values()
    assert {a, b} == set(scratch.offsets)
    scratch.offsets[a] = scratch.offsets[b]
    wrong(program, "no longer")


# Predicted and measured.

SLACK = 20_000
"""For Python's own objects."""


def measured_peak(program, feeds, state, targets):
    with traced() as allocated:
        program.run(feeds, state, targets)
        return allocated()[1]


def deep_network(width=96, depth=12):
    x = gr.placeholder("x", (width, width))
    weights = [gr.variable(f"w{i}", np.eye(width, dtype="f4")) for i in range(depth)]
    y = x
    for weight in weights:
        y = gr.tanh(y @ weight)
    loss = (y * y).mean()
    gradients = list(gr.gradients(loss, weights))
    return Graph([x], [loss, *gradients]), weights


@pytest.mark.parametrize("threads", [1, 2])
def test_the_peak_is_as_predicted(threads):
    graph, weights = deep_network()
    program = NumpyProgram(graph, threads)
    feeds, state = [np.ones((96, 96), "f4")], {w: w.value for w in weights}
    peak = measured_peak(program, feeds, state, [None] * len(graph.outputs))
    assert peak - SLACK <= program.peak_bytes <= peak + SLACK


def test_targets_are_not_counted():
    graph, weights = deep_network()
    program = NumpyProgram(graph, 1, weights)
    targets = [None, *(np.empty_like(w.value) for w in weights)]
    peak = measured_peak(program, [np.ones((96, 96), "f4")], {w: w.value for w in weights}, targets)
    assert peak - SLACK <= program.peak_bytes <= peak + SLACK


def test_what_bodies_allocate_is_counted_and_given_back():
    x = gr.placeholder("x", (50_000,), "float64")
    y = x
    for _ in range(6):
        y = gr.cumsum(y, 0) if not gr.cumsum(y, 0).op.writes_out else gr.roll(y, 1)
    program = NumpyProgram(Graph([x], [y.sum()]), 1)
    assert program.describe().own_bytes == 2 * 400_000
    peak = measured_peak(program, [np.ones(50_000)], {}, [None])
    assert peak - SLACK <= program.peak_bytes <= peak + SLACK


def test_runs_need_little_more_than_their_operands_and_results():
    x = gr.placeholder("x", (1 << 20,), "float32")
    y = x
    for _ in range(10):
        y = gr.tanh(y) * 2 + gr.exp(x)
    program = NumpyProgram(Graph([x], [y]), 1)
    assert program.describe().runs == 1
    assert program.peak_bytes < 1.5 * (4 << 20), "the result, and blocks for the rest"
    assert measured_peak(program, [np.ones(1 << 20, "f4")], {}, [None]) < program.peak_bytes + SLACK


def enlarged(operand):
    """A sample of some ten thousand elements in place of one of a few."""
    match = _SPEC.match(operand) if isinstance(operand, str) else None
    dims = [int(dim) for dim in match["shape"].split(",") if dim.strip()] if match else []
    factor = {1: 20_000, 2: 100, 3: 20, 4: 8}.get(len(dims), 1)
    large = ",".join(str(dim * factor) for dim in dims)
    return operand.replace(f"[{match['shape']}]", f"[{large}]") if dims else operand


def large_calls(op):
    """Nodes over large operands and the operands' values, for the sample calls that may be enlarged."""
    rng = np.random.default_rng(0)
    for call in op.samples.for_arity(op.arity or 2):
        arrays, attrs = Call(tuple(map(enlarged, call.operands)), call.attributes).draw(rng)
        leaves = [gr.placeholder(f"p{i}", value.shape, value.dtype) if isinstance(value, np.ndarray) else value
                  for i, value in enumerate(arrays)]  # fmt: skip
        feed = {leaf: value for leaf, value in zip(leaves, arrays, strict=True) if isinstance(value, np.ndarray)}
        try:
            node = op(*leaves, **attrs)
            *operands, _ = evaluate([*node.inputs, node], feed)  # the body may import modules, which are not its memory
        except gr.GraphcError:
            continue  # an attribute, or another operand, belongs to the small sizes
        floats = {value.dtype.name for value in operands} - {"int64", "bool"}
        results = {part.dtype.name for part in arrays_of(node.type)} - {"int64", "bool"}
        if floats in ({"float32"}, {"float64"}) and results <= floats:
            yield node, operands


def allocated_on_the_way(node, operands):
    """The bytes that a body has allocated at most, its result not counted."""
    keywords = dict(node.attrs)
    if node.op.writes_out:
        keywords["out"] = np.empty(node.shape, node.dtype)
    with traced() as allocated:
        node.op.body(*operands, **keywords)
        return allocated()[1] - (0 if node.op.writes_out else node.type.nbytes)


COMPUTED = [pytest.param(op, id=name) for name, op in OPS.items() if op.samples and not op.view and op.arity != 0]


@pytest.mark.parametrize("op", COMPUTED)
def test_bodies_allocate_no_more_than_declared(op):
    """What `temporaries` says, plus NumPy's buffers."""
    for node, operands in large_calls(op):
        assert allocated_on_the_way(node, operands) <= 1.05 * temporary_bytes(node) + 150_000, node


def test_parts_of_a_split_keep_the_memory_they_lie_in_beside_an_empty_part():
    """An empty part shares no memory, which had made copies of all parts: their memory was given to the next value."""
    x = gr.placeholder("x", (3, 3), "float32")
    y = gr.concatenate([x, gr.tanh(x)[:0]], 0)
    gradient = gr.compile([x], gr.grad(gr.sum(gr.sin(x - y)), x), backend="numpy", pipeline="cse")
    assert not gradient(np.ones((3, 3), "f4")).any()
