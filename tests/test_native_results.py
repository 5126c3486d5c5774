"""Memory of results: written again once nobody holds them, and not before."""

import itertools
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import graphc as gr

pytest.importorskip("llvmlite")

from graphc.evaluate import evaluate
from graphc.native.calls.results import LEAST_BYTES, Results

SIZE = 1 << 18


@pytest.fixture
def square():
    x = gr.placeholder("x", (SIZE,), "float64")
    return gr.compile([x], x * x, backend="native")


def address(array):
    return array.ctypes.data


def full(number):
    return np.full(SIZE, float(number))


def test_memory_of_a_result_let_go_is_used_again(square):
    square(full(1))
    first = address(square(full(2)))
    assert address(square(full(3))) == first


def test_results_held_stay_as_they_are(square):
    results = [square(full(i)) for i in range(6)]
    assert len({address(result) for result in results}) == 6
    for i, result in enumerate(results):
        assert (result == i * i).all()


def test_two_memories_take_turns_where_the_last_result_is_held(square):
    addresses = []
    for i in range(8):
        result = square(full(i))
        addresses.append(address(result))
        assert result[-1] == i * i
    assert addresses[2:] == addresses[2:4] * 3


@pytest.mark.parametrize("hold", [
    lambda result: result[3:5], memoryview, weakref.ref, lambda result: result.setflags(write=False),
    lambda result: result.resize((2, SIZE // 2), refcheck=False),
], ids=["view", "buffer", "weak reference", "read-only", "reshaped in place"])  # fmt: skip
def test_memory_that_anybody_can_reach_or_that_was_changed_is_left_alone(square, hold):
    result = square(full(3))
    held, first = hold(result), address(result)
    del result
    other = square(full(4))
    assert address(other) != first
    assert other.shape == (SIZE,)
    assert other.flags.writeable
    assert (other == 16).all()
    if isinstance(held, memoryview | np.ndarray):
        assert held[0] == 9


def test_no_more_is_kept_than_the_report_tells(square):
    results = [square(full(i)) for i in range(10)]
    alive = [weakref.ref(result) for result in results]
    del results
    kept = square.report().program.describe().kept_bytes
    assert sum(one().nbytes for one in alive if one() is not None) == kept == 2 * 8 * SIZE
    assert f"up to {kept / 1e6:.3g} MB of earlier results are kept for later ones" in str(square.report())
    assert kept not in (square.peak_bytes, 0)


def test_programs_with_small_results_keep_none():
    x = gr.placeholder("x", (5,), "float64")
    w = gr.variable("w", np.zeros(SIZE))
    f = gr.compile([x], x * x, updates={w: w + 1}, backend="native")
    assert f.report().program.describe().kept_bytes == 0
    assert "are kept" not in str(f.report())


def test_small_results_are_left_to_the_allocator():
    source = Results((LEAST_BYTES // 16,), np.dtype("f8"))
    array = source.array()
    source.given(array)
    assert not source._given


def test_threads_get_arrays_of_their_own(square):
    def worker(number):
        for i in range(50):
            result = square(full(number + i))
            assert (result == (number + i) ** 2).all()
            kept = result[:10]
            del result
            square(full(-1))
            assert (kept == (number + i) ** 2).all()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(worker, [0, 100, 200, 300]))


SHAPES = [(3,), (1,), (0, 2), (33, 65), ()]


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int8", "uint64", "bool"])
def test_outputs_that_are_inputs_or_outputs_twice_are_copied_by_native_code(dtype, threads):
    for shape in SHAPES:
        x = gr.placeholder("x", shape, dtype)
        w = gr.variable("w", np.ones(shape, dtype))
        made = x | x if dtype == "bool" else x + x
        seen = gr.reshape(x, (*shape, 1))
        outputs = [x, made, w, seen, x, gr.reshape(made, (1, *shape)), made, gr.reshape(made, (*shape, 1)), seen]
        f = gr.compile([x], outputs, backend="native", threads=threads)
        array = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
        right = evaluate(outputs, {x: array, w: w.value})
        for _ in range(3):
            found = f(array)
            for value, expected in zip(found, right, strict=True):
                assert value.shape == expected.shape
                assert value.dtype == expected.dtype
                assert np.array_equal(value, expected)
            memories = [array, w.value, *found] if shape else []
            assert not any(np.may_share_memory(a, b) for a, b in itertools.combinations(memories, 2))
        assert not shape or "nothing is left to NumPy" in str(f.report())


@pytest.mark.parametrize("threads", [1, 2])
def test_large_constants_that_are_outputs_are_copied_by_native_code(threads):
    x, array = gr.placeholder("x", (3,)), np.arange(2**19, dtype="float32")
    constant = gr.constant(array)
    f = gr.compile([x], [constant, x * 2, constant, gr.reshape(constant, (2, -1))], backend="native", threads=threads)
    for _ in range(2):
        found = f(np.ones(3, "float32"))
        for place in (0, 2, 3):
            assert np.array_equal(found[place].ravel(), array)
            found[place][...] = 0
    assert "nothing is left to NumPy" in str(f.report())


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_variables_that_change_places_or_take_an_input_are_copied_by_native_code(threads):
    x = gr.placeholder("x", (1000,), "float64")
    v, w, u = (gr.variable(name, np.full(1000, start)) for name, start in [("v", 1.0), ("w", 2.0), ("u", 3.0)])
    step = gr.compile([x], [v, w], updates={v: w, w: v, u: x}, backend="native", threads=threads)
    for i in range(1, 5):
        first, second = step(full(i)[:1000])
        before = (1.0, 2.0) if i % 2 else (2.0, 1.0)
        assert (first[0], second[-1]) == before
        assert (v.value[0], w.value[-1], u.value[-1]) == (*before[::-1], i)
    assert "nothing is left to NumPy" in str(step.report())
