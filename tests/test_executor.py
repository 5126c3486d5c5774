"""Programs of NumPy calls: their values, schedules, blocks and runs, errors, and what they tell about themselves."""

import re

import numpy as np
import pytest
from random_graphs import random_graph

import graphc as gr
from graphc.evaluate import evaluate
from graphc.executor import NumpyProgram, Program
from graphc.executor.check import check_plan
from graphc.executor.cost import WAKE_NS, nanoseconds, operations
from graphc.ir import Graph
from graphc.op import OPS


def draw(node, seed=0):
    values = np.random.default_rng(seed).standard_normal(node.shape)
    return np.asarray(values if node.type.is_float else values * 0 + 1, node.dtype)


def same_bits(a, b):
    a, b = np.asarray(a), np.asarray(b)
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def assert_evaluates(outputs, threads=(1, 2), feeds=None):
    """A program for any number of threads gives what evaluation gives, bit for bit. Returns the last one."""
    graph = Graph(None, outputs)
    feeds = feeds or [draw(node, i) for i, node in enumerate(graph.inputs)]
    expected = evaluate(graph.outputs, dict(zip(graph.inputs, feeds, strict=True)))
    for count in threads:
        program = NumpyProgram(graph, count)
        check_plan(graph, program.plan.stages, program.plan.places, program.plan.memory)
        for _ in range(2):
            results = program.run(feeds, {v: v.value for v in graph.variables}, [None] * len(outputs))
            for result, right in zip(results, expected, strict=True):
                assert same_bits(result, right)
    return program


# Values.


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("mode", ["coarse", "fine"])
def test_random_graphs_evaluate_to_the_same_bits(mode, threads, request):
    if mode == "fine":
        request.getfixturevalue("fine")
    for seed in range(50):
        graph, feeds, state = random_graph(seed)
        expected = evaluate(graph.outputs, dict(zip(graph.inputs, feeds, strict=True)))
        program = NumpyProgram(graph, threads)
        kept = [np.copy(feed) for feed in feeds]
        value = state.value
        for targets in ([None] * len(expected), [np.empty(node.shape, node.dtype) for node in graph.outputs]):
            results = program.run(feeds, {state: value}, targets)
            for result, right, target in zip(results, expected, targets, strict=True):
                assert same_bits(result, right)
                assert target is None or result is target
        assert all(same_bits(a, b) for a, b in zip(feeds, kept, strict=True)), "inputs are not written"
        assert same_bits(state.value, value)


def test_random_graphs_reach_everything(fine):
    """The test above means something: runs, parallel levels, values written in place, views and blocks do occur."""
    told = [NumpyProgram(random_graph(seed)[0], 2).describe() for seed in range(50)]
    for fact in ("runs", "parallel_levels", "in_place", "views", "blocks", "own_bytes", "scratch_bytes"):
        assert sum(getattr(one, fact) > 0 for one in told) > 10, fact


@pytest.mark.parametrize("op", [pytest.param(op, id=name) for name, op in OPS.items() if not op.leaf and not op.view])
def test_bodies_return_memory_of_their_own(op):
    """Only the results of ops that say `view` may share memory with operands: the plan relies on it."""
    rng = np.random.default_rng(0)
    for call in op.samples.for_arity(op.arity or 2) if op.samples else ():
        operands, _ = call.draw(rng)
        node = op(*operands, **call.attributes)
        arrays = [evaluate([source])[0] for source in node.inputs]
        results = op.body(*arrays, **node.attrs)
        for result in results if isinstance(results, tuple) else (results,):
            assert not any(np.may_share_memory(result, array) for array in arrays if isinstance(result, np.ndarray))


def test_numbers_are_numpy_scalars():
    x, y = gr.placeholder("x", ()), gr.placeholder("y", ())
    program = assert_evaluates([x * y, gr.sin(x) + y, x, gr.constant(2.5), (x > y)])
    results = program.run([np.float32(1.5) + np.zeros((), "f4"), np.array(2.0, "f4")], {}, [None] * 5)
    assert [type(value) for value in results] == [np.float32, np.float32, np.float32, np.float64, np.bool_]


def test_strided_inputs_give_the_bits_of_contiguous_ones():
    x = gr.placeholder("x", (300, 200))
    program = NumpyProgram(Graph([x], [x.sum(), x @ x.T, x.reshape(-1)]), 1)
    strided = np.random.default_rng(0).standard_normal((200, 600)).astype("f4")[:, ::2].T
    for a, b in zip(program.run([strided], {}, [None] * 3), program.run([strided.copy()], {}, [None] * 3), strict=True):
        assert same_bits(a, b)


def test_state_and_targets():
    w = gr.variable("w", np.arange(4.0))
    step = gr.variable("step", 0)
    program = NumpyProgram(Graph([], [w.sum(), w * 2, step + 1]), 1, [w, step])
    state, targets = {w: w.value, step: step.value}, [None, np.empty(4), np.empty((), "i8")]
    total, doubled, count = program.run([], state, targets)
    assert doubled is targets[1]
    assert count is targets[2]
    assert (float(total), doubled.tolist(), int(count)) == (6.0, [0.0, 2.0, 4.0, 6.0], 1)
    assert program.describe().result_bytes == 0


def test_empty_arrays_and_tuples():
    x = gr.placeholder("x", (0, 3))
    y = gr.placeholder("y", (4, 3))
    fraction, whole = gr.modf(y)
    first, second = gr.split(y, 2)
    assert_evaluates([gr.tanh(x).T, gr.concatenate([x, y]), fraction + whole, first - second, second])


def test_constants_are_computed_once():
    program = assert_evaluates([gr.placeholder("x", (3,)) + gr.arange(3).astype("float32")])
    assert not any(node.op is gr.arange for stage in program.plan.stages for unit in stage.units for node in unit.nodes)


# Blocks and runs.


def products(count, size):
    x = gr.placeholder("x", (size, size))
    return [gr.matmul(x * (i + 1.0), x) for i in range(count)]


def threads_agree(outputs):
    """Programs for 1, 2 and 3 threads give the same bits, near those of evaluation. Returns the one for 2."""
    graph = Graph(None, outputs)
    feeds = [draw(node, i) for i, node in enumerate(graph.inputs)]
    programs = [NumpyProgram(graph, threads) for threads in (1, 2, 3)]
    results = [program.run(feeds, {}, [None] * len(outputs)) for program in programs]
    for other in results[1:]:
        assert all(same_bits(a, b) for a, b in zip(results[0], other, strict=True))
    for a, b in zip(results[0], evaluate(graph.outputs, dict(zip(graph.inputs, feeds, strict=True))), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-3)
    return programs[1]


@pytest.mark.parametrize("shapes", [((512, 300), (300, 96)), ((96, 300), (300, 520)), ((8, 200, 200), (200, 200)),
                                    ((8, 200, 200), (8, 200, 200)), ((8, 200, 200), (1, 200, 200)),
                                    ((200, 200), (8, 200, 200)), ((1, 200, 400), (7, 400, 200))])  # fmt: skip
def test_large_products_fall_into_blocks(shapes):
    a, b = (gr.placeholder(name, shape) for name, shape in zip("ab", shapes, strict=True))
    program = threads_agree([a @ b, gr.tanh(a) @ b])
    assert program.describe().blocks >= 4
    assert any(level.parallel for level in program.levels())


def test_products_of_transposed_values_fall_into_blocks():
    a, b = gr.placeholder("a", (128, 784)), gr.placeholder("b", (128, 512))
    program = threads_agree([a.T @ b, b.T @ a, (a.T @ b).T])
    assert program.describe().blocks >= 8


def test_vectors_do_not_fall_into_blocks():
    a, v = gr.placeholder("a", (3000, 2000)), gr.placeholder("v", (2000,))
    assert threads_agree([a @ v, v @ a.T, v @ v]).describe().blocks == 0


def test_a_chain_of_elementwise_nodes_is_one_run():
    x = gr.placeholder("x", (1000, 400))
    y = x
    for _ in range(5):
        y = gr.tanh(y) * 0.5 + gr.exp(-x)
    told = assert_evaluates([y, y.sum()]).describe()
    assert told.runs == 1
    assert told.blocks > 1
    assert told.value_bytes > 5 * told.peak_bytes


def test_operands_of_a_run_are_cut_where_they_have_its_axis(fine):
    shape = (1, 6, 4, 5)
    x = gr.placeholder("x", shape)
    shapes = [(), (5,), (1, 1), (4, 5), (4, 1), (6, 1, 1), (6, 4, 5), shape, (1, 1, 4, 1), (1, 1, 1, 1), (1,)]
    others = [gr.placeholder(f"o{i}", other) for i, other in enumerate(shapes)]
    y = x
    for other in others:
        y = gr.tanh(y * other) + other
    told = assert_evaluates([y, y > 0]).describe()
    assert (told.runs, told.blocks) == (1, 3)


def test_runs_mix_dtypes(fine):
    x = gr.placeholder("x", (6, 5))
    mask = x > 0
    y = gr.where(mask, x, x.astype("float64") * 2)
    told = assert_evaluates([y.astype("float32") * mask, mask, gr.logical_not(mask).astype("int8") + 1]).describe()
    assert told.runs >= 1


def test_a_run_never_waits_for_itself(fine):
    """Nodes of one shape that depend on each other through a node outside cannot be one run."""
    x = gr.placeholder("x", (6, 5))
    a = gr.tanh(x)
    b = gr.exp(a) - a.sum(1, keepdims=True)
    c = b * a + b.max()
    assert_evaluates([c, a * c, (a * c).T @ c])


def test_values_read_outside_a_run_are_kept(fine):
    x = gr.placeholder("x", (6, 5))
    a = gr.tanh(x)
    b = gr.exp(a)
    assert_evaluates([b * a, a @ b.T, a])


def test_a_value_that_dies_in_a_run_may_be_written_over_block_by_block(fine):
    x = gr.placeholder("x", (8, 8))
    product = x @ x
    last = gr.exp(gr.tanh(product) + product)
    program = assert_evaluates([last.sum(), last.max()])
    assert product in program.plan.memory.overwrites.values()


def test_a_value_that_dies_in_a_run_is_not_written_over_while_another_block_may_read_it(fine):
    """product[0] belongs to the first block, but every block reads it."""
    x = gr.placeholder("x", (8, 8))
    product = x @ x
    program = assert_evaluates([(gr.tanh(product) + product[0]).sum()])
    assert product not in program.plan.memory.overwrites.values()


# The schedule.


def test_levels():
    x, y = gr.placeholder("x", (2, 2)), gr.placeholder("y", (2, 2))
    a, b = gr.tanh(x), gr.exp(y)
    levels = NumpyProgram(Graph([x, y], [a @ b]), 2).levels()
    assert [list(level) for level in levels] == [[x, y], [a, b], [levels[2].nodes[0]]]
    assert not any(level.parallel for level in levels), "nothing here is worth a thread"
    assert str(levels[1]).split()[:3] == ["level", "1", "serial"]


def stage_threads(outputs, threads=2):
    return [stage.threads for stage in NumpyProgram(Graph(None, outputs), threads).plan.stages]


def test_wide_levels_of_large_nodes_run_in_parallel():
    program = threads_agree(products(8, 256))
    assert [level.threads for level in program.levels()][-1] == 2
    assert stage_threads(products(8, 256), threads=1) == [1]


def test_chains_and_small_graphs_are_one_serial_stage():
    """So they run exactly as on one thread."""
    x = gr.placeholder("x", (100, 100))
    y = x
    for _ in range(30):
        y = gr.tanh(y) * 0.5
    assert stage_threads([y]) == [1]
    assert stage_threads([gr.tanh(x + i).sum() for i in range(10)]) == [1]
    number = gr.placeholder("number", ())
    assert stage_threads([gr.sin(number + i) for i in range(3000)]) == [1]


def test_a_level_of_many_tiny_nodes_beside_large_ones():
    number = gr.placeholder("number", ())
    assert 2 in stage_threads([*products(4, 256), *(gr.sin(number + i) for i in range(50))])
    threads_agree([*products(4, 256), *(gr.sin(number + i) for i in range(50))])


def test_parallel_work_must_gain_what_waking_costs():
    """The model's own numbers: the serial time less the longest share exceeds the cost of waking."""
    for size in (64, 96, 128, 160, 192, 256):
        outputs = products(2, size)
        level = Graph(None, outputs).levels()[-1]
        gain = sum(map(nanoseconds, level)) / 2
        assert (2 in stage_threads(outputs)) == (gain > WAKE_NS)


def test_a_million_nodes_would_do():
    """A deep chain is planned and run without recursion, and in linear time (10 µs a node, not tested)."""
    x = gr.placeholder("x", ())
    y = x
    for _ in range(20_000):
        y = gr.sin(y)
    program = NumpyProgram(Graph([x], [y]), 2)
    assert program.plan.memory.arena_bytes == 64
    assert 0 < float(program.run([np.array(1.0, "f4")], {}, [None])[0]) < 0.02


# Errors and debugging.


def test_an_error_in_a_run_names_the_node(fine):
    x = gr.placeholder("x", (4, 4), "int64")
    graph = Graph([x], [gr.power(x, x - 5) + 1])
    message = r"power failed: ValueError: Integers to negative(.|\n)*test_executor.py:\d+"
    for threads in (1, 2):
        with pytest.raises(gr.ExecutionError, match=message):
            NumpyProgram(graph, threads).run([np.ones((4, 4), "i8")], {}, [None])


def test_debug_names_the_first_bad_node_its_line_and_its_operands():
    x, y = gr.placeholder("x", (3,)), gr.placeholder("y", (3,))
    bad = gr.log(x)
    graph = Graph([x, y], [gr.exp(bad) + y / (x - 1)])
    program = NumpyProgram(graph, 2, debug=True)
    with pytest.raises(gr.ExecutionError) as caught:
        program.run([np.array([2, 0.5, -1], "f4"), np.ones(3, "f4")], {}, [None])
    text = str(caught.value)
    assert text.startswith("log made NaN from finite operands: %x is from -1 to 2")
    assert f"test_executor.py:{bad.origin.line}" in text
    with pytest.raises(gr.ExecutionError, match="divide made inf from finite operands: %y is 1; subtract is from 0"):
        program.run([np.array([1, 2, 3], "f4"), np.ones(3, "f4")], {}, [None])
    assert np.isfinite(program.run([np.array([2, 3, 4], "f4"), np.ones(3, "f4")], {}, [None])[0]).all()


def test_debug_lets_values_pass_that_were_not_finite_before():
    x = gr.placeholder("x", (2,))
    program = NumpyProgram(Graph([x], [gr.tanh(x) * 2, x - x]), 1, debug=True)
    assert np.isnan(program.run([np.array([np.inf, 1], "f4")], {}, [None] * 2)[1][0])


def test_debug_names_the_forward_node_of_a_derivative():
    x = gr.placeholder("x", ())
    root = gr.sqrt(x)
    (derivative,) = gr.gradients(root, [x])
    program = NumpyProgram(Graph([x], [derivative]), 1, debug=True)
    with pytest.raises(gr.ExecutionError, match=r"divide made inf .* in the derivative of sqrt") as caught:
        program.run([np.zeros((), "f4")], {}, [None])
    assert root in caught.value.nodes


def test_debug_gives_the_same_bits(fine):
    for seed in range(20):
        graph, feeds, state = random_graph(seed)
        results = [NumpyProgram(graph, 2, debug=debug).run(feeds, {state: state.value}, [None] * len(graph.outputs))
                   for debug in (False, True)]  # fmt: skip
        assert all(map(same_bits, *results))


# What a program tells.


def test_a_numpy_program_is_a_program():
    made: Program = NumpyProgram(Graph(None, products(2, 16)))
    assert made.peak_bytes == made.describe().peak_bytes
    assert made.plan.threads >= 1


def test_description():
    text = str(NumpyProgram(Graph(None, products(2, 256)), 2).describe())
    assert re.search(r"2 threads: \d+ nodes in 3 levels", text)
    assert "in place" in text
    described = NumpyProgram(Graph(None, products(1, 256)), 1).describe()
    assert described.operations == 2 * 256**3 + 256**2


def test_profile_accounts_for_every_computed_node():
    x = gr.placeholder("x", (600, 300))
    y = gr.tanh(x) * 2 + gr.exp(x)
    graph = Graph([x], [(y @ y.T).sum(), y.T])
    for threads in (1, 2):
        program = NumpyProgram(graph, threads)
        profile = program.profile([draw(x)], {}, [None] * 2)
        computed = {node for node in graph.nodes if node.inputs}
        assert computed - set(profile.nodes) <= {node for node in graph.nodes if node.op.view}
        assert len(profile.levels) == len(program.levels())
        assert sum(profile.levels) == pytest.approx(profile.total)
        assert "µs" in str(profile)


def test_operations_count_elements_of_the_larger_side():
    x = gr.placeholder("x", (30, 20))
    assert operations(x.sum(0)) == 600
    assert operations(x @ x.T) == 2 * 30 * 20 * 30
    assert operations(gr.tanh(x)) == 600 * gr.tanh.effort
    assert operations(x.T) == operations(x) == 0
