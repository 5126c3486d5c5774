"""Declare + gradient + passes: microseconds per declared node, and how they grow per doubling.

    python tests/benchmarks/bench_compile.py [largest]

Each row doubles the graph from 10^3 nodes on; `growth` is the time's ratio to the row before, 2.0 being linear.
"""

from __future__ import annotations

import gc
import sys
import time

from graphs import SHAPES

import graphc as gr


def seconds(shape: str, n: int, order: int) -> tuple[float, int]:
    """Time to declare, differentiate `order` times and run the passes; and the nodes declared."""
    gc.collect()
    started = time.perf_counter()
    x, y = SHAPES[shape](n)
    result = y
    for _ in range(order):
        result = gr.sum(gr.grad(result, x))
    source = gr.Graph([x], [y, result])
    gr.passes.DEFAULT.run(source, sizes={})
    return time.perf_counter() - started, len(source)


def main() -> None:
    """Print the table."""
    largest = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    print(f"{'graph':<12}{'declared':>10}{'with grad':>11}{'s':>9}{'us/declared':>13}{'us/node':>9}{'growth':>8}")
    for shape, order in [*((shape, 1) for shape in SHAPES), ("chain", 2), ("grid", 2)]:
        n, before = 1000, None
        while n <= largest:
            took, total = min(seconds(shape, n, order) for _ in range(3 if n < 20_000 else 1))
            growth = f"{took / before:.2f}" if before else ""
            name = shape if order == 1 else f"{shape} 2nd"
            per_node = f"{took / n * 1e6:>13.1f}{took / total * 1e6:>9.1f}"
            print(f"{name:<12}{n:>10}{total:>11}{took:>9.3f}{per_node}{growth:>8}")
            n, before = 2 * n, took


if __name__ == "__main__":
    main()
