"""Small nodes in no order: time to the first value, with an empty cache and with a warm one, and time per step.

    python tests/benchmarks/bench_first.py [nodes]

Nothing repeats itself, so that hardly any two kernels share code: a worst case for compilation. Each row is a process
of its own; the time of its imports is not counted. The values of all rows are compared.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from typing import Any

import numpy as np
from graphs import random_nodes

import graphc as gr
import graphc.compiler
import graphc.native.calls.entry
import graphc.native.program
from graphc.native.code.library import LIBRARY

ROWS = (("empty cache", "native"), ("warm cache", "native"), ("NumPy", "numpy"))
STEPS = 50


def measure(nodes: int, backend: str) -> dict[str, Any]:
    """Compile and run the graph in this process."""
    x, y = random_nodes(nodes)
    feed = np.linspace(-0.9, 0.8, 4)
    started = time.perf_counter()
    f = gr.compile([x], y, backend=backend)
    value = float(f(feed))
    first, cpu = time.perf_counter() - started, time.process_time()
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"value": value, "first": first, "cpu": cpu, "megabytes": megabytes, "kernels": LIBRARY.compiled,
            "step": min(_seconds(f, feed) for _ in range(STEPS))}  # fmt: skip


def _seconds(f: Any, feed: Any) -> float:
    started = time.perf_counter()
    f(feed)
    return time.perf_counter() - started


def main() -> None:
    """Print the table."""
    nodes = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    print(f"{nodes} nodes{'first s':>20}{'CPU s':>8}{'peak MB':>9}{'compiled':>10}{'step us':>9}")
    values = []
    with tempfile.TemporaryDirectory() as cache:
        for name, backend in ROWS:
            command = [sys.executable, __file__, str(nodes), backend]
            done = subprocess.run(command, env=os.environ | {"GRAPHC_CACHE": cache}, stdout=subprocess.PIPE, check=True)
            row = json.loads(done.stdout)
            values.append(row["value"])
            print(f"{name:<12}{row['first']:>19.2f}{row['cpu']:>8.2f}{row['megabytes']:>9.0f}{row['kernels']:>10}"
                  f"{row['step'] * 1e6:>9.0f}")  # fmt: skip
    np.testing.assert_allclose(values, values[-1], rtol=1e-9)


if __name__ == "__main__":
    if len(sys.argv) > 2:
        print(json.dumps(measure(int(sys.argv[1]), sys.argv[2])))
    else:
        main()
