"""Two threads against one: wide graphs, chains and tiny graphs, and what waking a thread costs.

    python tests/benchmarks/bench_parallel.py [seconds per row]

BLAS has one thread in both. The two programs run in turns; the ratio of medians is what counts: 2 is the most for wide
graphs, 1 is right for chains and tiny graphs, which take the same path for any number of threads.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import graphc as gr
from graphc.executor import NumpyProgram
from graphc.executor.threads import POOL
from graphc.ir import Graph


def products() -> Graph:
    """32 independent products of 512 × 512 matrices."""
    x = gr.placeholder("x", (512, 512))
    factors = [gr.constant(np.random.default_rng(i).standard_normal((512, 512)).astype("f4")) for i in range(32)]
    return Graph([x], [x @ factor for factor in factors])


def one_product() -> Graph:
    """A single product, in blocks."""
    x = gr.placeholder("x", (1024, 1024))
    return Graph([x], [x @ x])


def elementwise() -> Graph:
    """A formula on a million elements: one run."""
    x = gr.placeholder("x", (1000, 1000))
    return Graph([x], [gr.tanh(x) * gr.exp(-x * x) + gr.log1p(gr.abs(x))])


def adam() -> Graph:
    """An optimizer's step on 400 000 elements."""
    x = gr.placeholder("x", (784, 512))
    m, v = 0.9 * x + 0.1 * gr.square(x), 0.999 * gr.abs(x) + 0.001 * gr.square(x)
    return Graph([x], [m, v, x - 0.001 * m / (gr.sqrt(v) + 1e-8)])


def chain() -> Graph:
    """100 nodes in a row."""
    x = y = gr.placeholder("x", (100, 100))
    for _ in range(50):
        y = gr.tanh(y) * 0.5
    return Graph([x], [y])


def tiny() -> Graph:
    """A few numbers."""
    x = gr.placeholder("x", ())
    return Graph([x], [gr.sin(x) * x, x + 1, gr.exp(x)])


GRAPHS = (products, one_product, elementwise, adam, chain, tiny)


def durations(call: Callable[[], object], count: int) -> Iterator[float]:
    """Seconds of each of some calls."""
    for _ in range(count):
        started = time.perf_counter()
        call()
        yield time.perf_counter() - started


def compare(graph: Graph, seconds: float) -> tuple[float, float]:
    """The median seconds of a call on one thread and on two, in turns of about a hundredth of a second."""
    feeds = [np.asarray(np.random.default_rng(0).standard_normal(node.shape), node.dtype) for node in graph.inputs]
    programs = [NumpyProgram(graph, threads) for threads in (1, 2)]
    targets = [np.empty(node.shape, node.dtype) if node.shape else None for node in graph.outputs]
    calls: list[Callable[[], Any]] = [lambda p=program: p.run(feeds, {}, targets) for program in programs]  # type: ignore[misc]
    count = max(1, int(0.01 / min(durations(calls[0], 3))))
    taken: list[list[float]] = [[], []]
    deadline = time.perf_counter() + seconds
    while time.perf_counter() < deadline:
        for call, times in zip(calls, taken, strict=True):
            times.extend(durations(call, count))
    return statistics.median(taken[0]), statistics.median(taken[1])


def wake_seconds() -> float:
    """What a parallel stage costs beyond its work: two equal tasks on two threads, less one of them alone."""
    array = np.ones(200_000, "f4")

    def task(_: Any) -> None:
        np.exp(array)

    alone = statistics.median(durations(lambda: task(None), 300))
    together = statistics.median(durations(lambda: POOL.run([task, task], None, 2), 300))
    return together - alone


def main() -> None:
    """Print the table."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 3.0
    print(f"{'graph':<14}{'1 thread µs':>14}{'2 threads µs':>14}{'ratio':>8}")
    for make in GRAPHS:
        one, two = compare(make(), seconds)
        print(f"{make.__name__:<14}{one * 1e6:>14.1f}{two * 1e6:>14.1f}{one / two:>8.2f}")
    print(f"waking and meeting another thread: {wake_seconds() * 1e6:.0f} µs")


if __name__ == "__main__":
    main()
