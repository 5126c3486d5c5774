"""Random programs on the native backend: values, bits, layouts, threads, slopes, and nothing beyond an array's end.

A long search, of other programs than the ones here:

    pytest tests/test_native_fuzz.py -m slow -n 2 --programs 20000
"""

import numpy as np
import pytest

import graphc as gr

pytest.importorskip("llvmlite")

import fuzz_checks
from fuzz_checks import check, same_bits
from fuzz_programs import drawn, smaller
from guarded import run_guarded

from graphc.op import OPS
from graphc.testing import _samples

pytestmark = pytest.mark.usefixtures("wholly_native")


def assert_right(program):
    try:
        check(program)
    except Exception as error:
        kind = type(error)
        raise AssertionError(f"{smaller(program, lambda other: _fails_alike(other, kind))}") from error


def _fails_alike(program, kind):
    try:
        check(program)
    except Exception as other:
        return type(other) is kind
    return False


@pytest.mark.parametrize("seed", range(20))
def test_programs_are_right(seed):
    assert_right(drawn(seed, 8))


ILL_CONDITIONED = 1500764
"""Computes cosines of float32 near 1000."""
FAULTS = {"float64": 1e-4, "float32": 0.05, "float16": 1.0}


def test_an_ill_conditioned_program_is_right():
    assert_right(drawn(ILL_CONDITIONED, 40))


@pytest.mark.parametrize("seed", [*range(20), ILL_CONDITIONED])
def test_a_wrong_value_is_found(seed):
    """One element of one result is off by a part of the largest one."""
    program = drawn(seed, 40)
    made, feeds = program.made(), program.feeds()
    expected = fuzz_checks._evaluated(made, feeds)
    for number, value in enumerate(expected):
        size = np.abs(value).max(initial=0)
        if value.dtype.kind == "f" and 0 < size < np.inf:
            wrong = np.array(value)
            wrong.flat[-1] += max(size, 1) * FAULTS[program.dtype]
            found = [*expected[:number], wrong, *expected[number + 1 :]]
            with pytest.raises(AssertionError, match=f"output {number}"):
                fuzz_checks._check_values(program, made, program.rows, feeds, expected, found)


@pytest.mark.slow
def test_many_programs_are_right(seeds):
    for seed in seeds:
        assert_right(drawn(seed, 14 if seed % 4 else 40))


def assert_guarded(inputs, outputs, updates, feeds, monkeypatch):
    variables = [variable.value for variable in updates]
    f = gr.compile(inputs, outputs, updates=updates, backend="native", threads=1)
    expected = [np.array(value) for value in f(*feeds)] + [np.array(variable.value) for variable in updates]
    for variable, value in zip(updates, variables, strict=True):
        variable.value = value
    for found in run_guarded(f, feeds, monkeypatch):
        same_bits(expected, found, "guarded")


def sampled(names, monkeypatch):
    for name in names:
        op = OPS[name]
        for sample in _samples(name, op, op.samples.for_arity(op.arity or 0)) if op.samples is not None else ():
            outputs = list(sample.node) if hasattr(sample.node.type, "elements") else [sample.node]
            feeds = [np.asarray(value) for value in sample.feed.values()]
            assert_guarded(list(sample.feed), outputs, {}, feeds, monkeypatch)


SOME = ("exp", "sum", "max", "matmul", "concatenate", "gather", "scatter_add", "cumsum", "where", "pad", "setitem",
        "einsum", "take_along_axis", "astype", "flip")  # fmt: skip


@pytest.mark.parametrize("name", SOME)
def test_ops_touch_nothing_beyond_their_memory(name, monkeypatch):
    sampled([name], monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(8))
def test_all_ops_touch_nothing_beyond_their_memory(part, monkeypatch):
    sampled(sorted(OPS)[part::8], monkeypatch)


LANES = (1, 2, 7, 8, 9, 10, 15, 16, 17, 25, 33, 41)


@pytest.mark.parametrize("short", ["int8", "int16", "int32"])
def test_rows_that_are_cut_or_widened_end_where_they_end(short, monkeypatch):
    """LLVM stores the only lane of a mask as wide as it was before it was truncated."""
    rng = np.random.default_rng(0)
    for n in LANES:
        x, y = gr.placeholder("x", (3, n), "int64"), gr.placeholder("y", (3, n), short)
        rows = (x + gr.sum(x, 1, keepdims=True)).astype(short)
        wide = y.astype("int64") + gr.sum(y, 1, keepdims=True)
        picked = gr.take(x, gr.constant([2, 0]), 0).astype(short)
        feeds = [rng.integers(-99, 99, (3, n)), rng.integers(-99, 99, (3, n)).astype(short)]
        assert_guarded([x, y], [rows, wide, picked, rows.astype("float32")], {}, feeds, monkeypatch)


@pytest.mark.slow
def test_programs_touch_nothing_beyond_their_memory(seeds, monkeypatch):
    for seed in seeds:
        program = drawn(seed)
        made = program.made()
        assert_guarded(made.inputs, made.outputs, made.updates, program.feeds(), monkeypatch)
