"""A fused elementwise kernel out of cache against plain copies by NumPy on as many threads: bytes a second.

    python tests/benchmarks/bench_copy.py [seconds]

Both read one array of 128 MB and write another that is there already. They take turns, and the best times count.
"""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

import graphc as gr
from graphc.executor.threads import available_cores

N = 2**25


def copier(x: Any, y: Any, threads: int) -> Any:
    """A function that copies x to y, a part on each thread."""
    pool = ThreadPoolExecutor(threads)
    parts = list(zip(np.array_split(y, threads), np.array_split(x, threads), strict=True))
    return lambda: list(pool.map(lambda part: np.copyto(*part), parts))


def kernel(x: Any, threads: int) -> Any:
    """A step that writes 1 + x (2 - x) into a variable."""
    node, result = gr.placeholder("x", (N,)), gr.variable("y", np.zeros(N, "f4"))
    step = gr.compile([node], [], updates={result: 1 + node * (2 - node)}, backend="native", threads=threads)
    step(x)
    np.testing.assert_allclose(result.value, 1 + x * (2 - x), rtol=1e-5, atol=1e-6)
    return lambda: step(x)


def main() -> None:
    """Print the table."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 3.0
    x = np.random.default_rng(0).standard_normal(N, "f4")
    for threads in range(1, available_cores() + 1):
        calls = copier(x, np.zeros_like(x), threads), kernel(x, threads)
        best = [float("inf")] * 2
        deadline = time.perf_counter() + seconds
        while time.perf_counter() < deadline:
            for i, call in enumerate(calls):
                started = time.perf_counter()
                call()
                best[i] = min(best[i], time.perf_counter() - started)
        copied, computed = (2 * x.nbytes / one / 1e9 for one in best)
        print(f"{threads} threads: copy {copied:5.1f} GB/s, kernel {computed:5.1f} GB/s, ratio {computed / copied:.2f}")


if __name__ == "__main__":
    main()
