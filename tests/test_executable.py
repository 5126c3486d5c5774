"""Executables: arguments, results, variables, and the plans for the sizes that a feed brings."""

import copy
import pickle
import subprocess
import sys
from typing import NamedTuple

import numpy as np
import pytest

import graphc as gr
from graphc import executable
from graphc.executable import Executable

pytestmark = pytest.mark.usefixtures("each_backend")


@pytest.fixture
def x():
    return gr.placeholder("x", ("n",), "float64")


def test_results_have_the_structure_that_was_asked_for(x):
    f = gr.compile([x], {"sum": gr.sum(x), "both": (x + 1, [x * 2])})
    result = f([1.0, 2.0])
    assert list(result) == ["sum", "both"]
    assert result["sum"] == 3.0
    assert isinstance(result["both"], tuple)
    np.testing.assert_array_equal(result["both"][0], [2, 3])
    np.testing.assert_array_equal(result["both"][1][0], [2, 4])


class Pair(NamedTuple):
    first: object
    second: object


def test_named_tuples_and_nodes_of_several_results_are_tuples(x):
    pair = gr.compile([x], Pair(x + 1, [gr.sum(x)]))([1.0, 2.0])
    assert isinstance(pair, Pair)
    assert pair.second == [3.0]
    fraction, whole = gr.run(gr.modf(x), {x: [1.25, 2.5]})
    np.testing.assert_array_equal(fraction, [0.25, 0.5])
    np.testing.assert_array_equal(whole, [1, 2])


def test_executables_copy_as_themselves_and_do_not_pickle(x):
    f = gr.compile([x], gr.sum(x))
    assert copy.copy(f) is copy.deepcopy({"f": f})["f"] is f
    with pytest.raises(gr.GraphError, match="cannot be pickled"):
        pickle.dumps(f)
    source = pickle.loads(pickle.dumps(f.source))
    assert gr.compile(source.inputs, source.outputs)([1.0, 2.0]) == (3.0,)


def test_arguments_come_by_position_or_by_name_whatever_the_name():
    inputs = [gr.placeholder(name, (), "float64") for name in ("self", "args", "head/x")]
    f = gr.compile(inputs, inputs[0] - inputs[1] * inputs[2])
    assert f(7, 2, 3) == f(7, args=2, **{"head/x": 3}) == f(**{"head/x": 3, "self": 7, "args": 2}) == 1


def test_floats_take_integers_of_any_length_that_is_in_their_range():
    s, v, i = gr.placeholder("s"), gr.placeholder("v", (2,), "float64"), gr.placeholder("i", (2,), "uint64")
    f = gr.compile([s, v, i], [s * 2, v * 2, i])
    halves = f(2**100, [2**900, 0.25], [2**63, 1])
    assert [halves[0], *halves[1], *halves[2]] == [2.0**101, 2.0**901, 0.5, 2**63, 1]
    none = [0, 0]
    for wrong in ((10**400, none, none), (2**200, none, none), (0, [0, 10**400], none), (0, none, [2**64, 0]),
                  (0, none, [2**63, -1])):  # fmt: skip
        with pytest.raises(gr.FeedError, match="out of the dtype's range"):
            f(*wrong)


@pytest.mark.skipif(np.dtype("longdouble").itemsize == 8, reason="the longest floats are float64")
def test_floats_longer_than_float64_are_an_error_of_the_input_that_got_them(x):
    f = gr.compile([x], x + 1)
    with pytest.raises(gr.FeedError, match=r"x expected .*, got an array of dtype \w+, which is no dtype of graphc"):
        f(np.zeros(2, "longdouble"))


def test_results_share_memory_with_nothing(x):
    w = gr.variable("w", [1.0, 2.0])
    f = gr.compile([x], [x, x[::-1], w, w, gr.constant([3.0, 4.0]), x + w, x + w])
    fed = np.array([5.0, 6.0])
    results = [*f(fed), *f(fed)]
    for i, result in enumerate(results):
        assert result.flags.writeable
        assert not any(np.shares_memory(result, other) for other in (fed, w.state.array, *results[:i]))


def test_updates_read_old_values_and_all_become_current():
    a, b = gr.variable("a", [1.0, 2.0]), gr.variable("b", [3.0, 4.0])
    f = gr.compile([], [a, b], updates={a: b, b: a + b})
    for _ in range(3):
        old = a.value, b.value
        np.testing.assert_array_equal(f(), old)
        np.testing.assert_array_equal((a.value, b.value), (old[1], old[0] + old[1]))


def test_a_run_that_fails_leaves_every_variable_as_it_was():
    i = gr.placeholder("i", (), "int64")
    a, b = gr.variable("a", [1.0, 2.0]), gr.variable("b", 0.0)
    f = gr.compile([i], b, updates={a: a * 2, b: gr.take(a, i)})
    assert f(1) == 0.0
    with pytest.raises(gr.ExecutionError, match="out of bounds"):
        f(2)
    np.testing.assert_array_equal(a.value, [2, 4])
    assert b.value == 2.0
    assert f(0) == 2.0
    assert b.value == 2.0
    np.testing.assert_array_equal(a.value, [4, 8])


def test_the_plans_used_last_are_kept(x, monkeypatch):
    monkeypatch.setattr(executable, "PLANS_KEPT", 2)
    f = gr.compile([x], gr.sum(x))
    plans = {}
    for n in (1, 2, 1, 3, 1):
        assert f(np.ones(n)) == n
        plans.setdefault(n, f.plan)
    assert f.plan is plans[1]  # used again in between, it outlived the plan for 2
    f(np.ones(3))
    assert f.plan is plans[3]
    f(np.ones(2))
    assert f.plan is not plans[2]


def test_a_call_runs_the_plan_for_its_own_sizes_whatever_other_threads_run(x):
    class Busy(Executable):
        """Between any two lines of ours, another thread has run on three numbers."""

        _latest = property(lambda self: self._plans[3,], lambda self, plan: None)

    f = gr.compile([x], x + 1)
    f(np.ones(3))
    del f._latest
    f.__class__ = Busy
    for n in (5, 3, 5):
        np.testing.assert_array_equal(f(np.ones(n)), np.full(n, 2.0))


def test_sizes_may_be_prepared_in_any_order():
    a, b = gr.placeholder("a", ("n", 2)), gr.placeholder("b", ("m",))
    f = gr.compile([a, b], gr.sum(a) + gr.sum(b))
    prepared = f.prepare(m=3, n=1).plan
    assert f(np.ones((1, 2), "float32"), np.ones(3, "float32")) == 5
    assert f.plan is prepared


def test_what_is_known_before_the_sizes_are_can_be_looked_at(x):
    f = gr.compile([x], gr.sum(gr.tanh(x) * 2), name="early")
    assert [len(level) for level in f.levels()] == [2, 1, 1, 1]
    assert "? µs" in str(f.levels())
    assert "early: 5 nodes declared" in str(f.report())
    for unplanned in (lambda: f.peak_bytes, lambda: f.report().peak_bytes):
        with pytest.raises(gr.CompileError, match="prepare"):
            unplanned()
    f(np.ones(3))
    assert "?" not in str(f.levels())
    assert f.report().peak_bytes == f.peak_bytes > 0


@pytest.mark.parametrize("sizes", [{}, {"m": 3}, {"n": -1}, {"n": 2.5}, {"n": "three"}, {"n": 3, "m": 3}])
def test_sizes_to_prepare_for_are_those_of_the_symbols(x, sizes):
    with pytest.raises(gr.CompileError, match=r"call f.prepare\(n=128\)"):
        gr.compile([x], gr.sum(x)).prepare(**sizes)


@pytest.mark.parametrize("pipeline", ["", "canonicalize, cse", gr.passes.DEFAULT.without("specialize")])
def test_a_program_has_sizes_whatever_the_pipeline(x, pipeline):
    f = gr.compile([x], gr.mean(x), pipeline=pipeline)
    assert f([1.0, 2.0, 6.0]) == 3.0
    assert f.report().passes[0].name == "specialize"


AT_EXIT = """
import numpy as np, graphc as gr

class Last:
    def __init__(self, step):
        self.step = step

    def __del__(self):
        print(*self.step(ones))

x, w = gr.placeholder("x", ("n",), "float64"), gr.variable("w", [0.5] * 4)
ones = np.ones(4)
step = gr.compile([x], [gr.sum(x * w), gr.sum(gr.exp(x - 1))], updates={w: w + x}, backend="BACKEND").prepare(n=4)
for _ in range(CALLS):
    step(ones)
last = Last(step)
"""


@pytest.mark.parametrize("calls", [0, 1, 2, 3])
def test_a_call_may_be_the_last_thing_that_happens(calls, each_backend):
    """A finalizer runs when nothing can be imported any more."""
    code = AT_EXIT.replace("BACKEND", each_backend).replace("CALLS", str(calls))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == (f"{2.0 + 4 * calls} 4.0\n", "")


# One-shot runs.


def test_a_feed_may_hold_what_was_differentiated():
    x = gr.placeholder("x", (2,), "float64")
    linear, quadratic = gr.sum(3 * x), gr.sum(x * x)
    for key in (x, "x"):
        np.testing.assert_array_equal(gr.grad(linear, x).eval({key: [1, 2]}), [3, 3])
        np.testing.assert_array_equal(gr.hessian(quadratic, x).eval({key: [1, 2]}), 2 * np.eye(2))
        np.testing.assert_array_equal(gr.hvp(linear, x, [1.0, 1.0]).eval({key: [1, 2]}), [0, 0])
    with pytest.raises(gr.FeedError, match="expected f64"):
        gr.grad(linear, x).eval({x: [1, 2, 3]})
    with pytest.raises(gr.FeedError, match="got one for %y"):
        gr.grad(linear, x).eval({x: [1, 2], gr.placeholder("y"): 1})


def test_a_feed_may_tell_a_size():
    x, y = gr.placeholder("x", ("n", 2), "float64"), gr.placeholder("y", ("n",), "float64")
    both = gr.concatenate([x, x])
    np.testing.assert_array_equal(gr.zeros_like(both).eval({x: np.ones((3, 2))}), np.zeros((6, 2)))
    np.testing.assert_array_equal(gr.grad(gr.sum(both[1:]), x).eval({"x": np.ones((2, 2))}), [[1, 1], [2, 2]])
    with pytest.raises(gr.FeedError, match="got one for %y"):
        gr.sum(x).eval({x: np.ones((3, 2)), y: np.ones(3)})
