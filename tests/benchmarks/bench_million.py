"""A chain of 1,000,000 nodes through everything, at the default recursion limit.

python tests/benchmarks/bench_million.py [nodes]
"""

from __future__ import annotations

import pickle
import resource
import sys
import time

import numpy as np
from graphs import chain

import graphc as gr


def main() -> None:
    """Print seconds for each step."""
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    clock = time.perf_counter()

    def lap(what: str) -> None:
        nonlocal clock
        now = time.perf_counter()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(f"{what:<14}{now - clock:8.2f} s   {peak / 1024:8.0f} MB", flush=True)
        clock = time.perf_counter()

    x, y = chain(n)
    lap("declare")
    dx = gr.grad(y, x)
    lap("differentiate")
    f = gr.compile([x], [y, dx])
    f.prepare()
    lap("compile")
    value, slope = f(np.ones(4))
    lap("run")
    assert np.isfinite(value)
    assert np.isfinite(slope).all()
    text = str(f.source)
    lap("print")
    packed = pickle.dumps(f.source)
    lap("pickle")
    assert len(pickle.loads(packed)) == len(f.source)
    lap("unpickle")
    print(f"{len(text) / 1e6:.0f} MB of text, {len(packed) / 1e6:.0f} MB pickled")
    print(f"recursion limit {sys.getrecursionlimit()}")
    clock = time.perf_counter()
    del f, y, dx, x
    lap("delete")


if __name__ == "__main__":
    main()
