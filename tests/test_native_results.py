"""Memory of results: written again once nobody holds them, and not before."""

import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import graphc as gr

pytest.importorskip("llvmlite")

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
