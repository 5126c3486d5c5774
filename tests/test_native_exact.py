"""Random programs of all dtypes and special values: the bits of the NumPy executor, and nothing beyond an array's end.

A long search, of other programs than the ones here:

    pytest tests/test_native_exact.py -m slow -n 2 --programs 20000
"""

import numpy as np
import pytest

import graphc as gr

pytest.importorskip("llvmlite")

from exact_programs import drawn
from fuzz_checks import LAYOUTS, same_bits
from test_native_fuzz import assert_guarded

from graphc.native.program import NativeProgram

pytestmark = pytest.mark.usefixtures("wholly_native")


def assert_exact(seed, size, monkeypatch):
    inputs, feeds, outputs = drawn(seed, size)
    f = gr.compile(inputs, outputs, backend="native", threads=1 + seed % 3)
    first = [np.array(value) for value in f(*feeds)]
    expected = gr.compile(inputs, outputs, backend="numpy", threads=1)(*feeds)
    same_bits(expected, first, f"seed {seed}")
    for layout in ("plain", *np.random.default_rng(seed).permutation(list(LAYOUTS))[:2], "plain"):
        laid_out = [LAYOUTS[layout](feed) if feed.ndim and layout != "lists" else feed for feed in feeds]
        same_bits(first, f(*laid_out), f"seed {seed}, {layout}")
    for threads in (1, 2, 3):
        found = NativeProgram(f.plan.graph, threads).run(feeds, {}, [None] * len(outputs))
        same_bits(first, found, f"seed {seed}, {threads} threads")
    assert_guarded(inputs, outputs, {}, feeds, monkeypatch)


@pytest.mark.parametrize("seed", range(24))
def test_programs_are_exact(seed, monkeypatch):
    assert_exact(seed, 12 if seed % 3 else 30, monkeypatch)


@pytest.mark.slow
def test_many_programs_are_exact(seeds, monkeypatch):
    for seed in seeds:
        assert_exact(seed, 12 if seed % 3 else 30, monkeypatch)
