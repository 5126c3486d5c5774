"""A training step of a 784-512-256-10 MLP (batch 128, float32, Adam), against the same step written in NumPy by hand.

    python tests/benchmarks/bench_mlp.py [seconds]

Both run in one process, interleaved; the ratio of medians is what counts. Losses are compared before anything is timed.
"""

from __future__ import annotations

import itertools
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import graphc as gr

SIZES, BATCH, LR, B1, B2, EPS = (784, 512, 256, 10), 128, 1e-3, 0.9, 0.999, 1e-8


def parameters() -> list[np.ndarray[Any, Any]]:
    """He-initialised weights and zero biases."""
    rng = np.random.default_rng(0)
    made = []
    for a, b in itertools.pairwise(SIZES):
        made += [rng.normal(0, (2 / a) ** 0.5, (a, b)).astype("f4"), np.zeros(b, "f4")]
    return made


def numpy_step() -> Callable[[Any, Any], Any]:
    """The step as a careful person writes it: no framework, in-place where it is easy."""
    p = parameters()
    m, v = [np.zeros_like(a) for a in p], [np.zeros_like(a) for a in p]
    t = 0

    def step(x: Any, y: Any) -> Any:
        nonlocal t
        w1, b1, w2, b2, w3, b3 = p
        h1 = np.maximum(x @ w1 + b1, 0)
        h2 = np.maximum(h1 @ w2 + b2, 0)
        z = h2 @ w3 + b3
        z -= z.max(axis=1, keepdims=True)
        e = np.exp(z)
        s = e.sum(axis=1, keepdims=True)
        rows = np.arange(len(y))
        loss = (np.log(s[:, 0]) - z[rows, y]).mean()
        dz = e / s
        dz[rows, y] -= 1
        dz /= np.float32(len(y))
        d2 = (dz @ w3.T) * (h2 > 0)
        d1 = (d2 @ w2.T) * (h1 > 0)
        grads = [x.T @ d1, d1.sum(0), h1.T @ d2, d2.sum(0), h2.T @ dz, dz.sum(0)]
        t += 1
        scale = np.float32(LR * (1 - B2**t) ** 0.5 / (1 - B1**t))
        eps = np.float32(EPS * (1 - B2**t) ** 0.5)
        for a, g, mi, vi in zip(p, grads, m, v, strict=True):
            mi *= np.float32(B1)
            mi += np.float32(1 - B1) * g
            vi *= np.float32(B2)
            vi += np.float32(1 - B2) * (g * g)
            a -= scale * mi / (np.sqrt(vi) + eps)
        return loss

    return step


def graphc_step() -> gr.Executable:
    """The step as a graph."""
    x, y = gr.placeholder("x", (BATCH, SIZES[0])), gr.placeholder("y", (BATCH,), "int64")
    variables = [gr.variable(f"p{i}", value) for i, value in enumerate(parameters())]
    h = x
    for layer in range(3):
        h = h @ variables[2 * layer] + variables[2 * layer + 1]
        h = gr.nn.relu(h) if layer < 2 else h
    loss = gr.losses.softmax_cross_entropy(h, y)
    return gr.compile([x, y], loss, updates=gr.optim.adam(loss, variables, lr=LR))


def main() -> None:
    """Print the table."""
    budget = float(sys.argv[1]) if len(sys.argv) > 1 else 10.0
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(BATCH, SIZES[0])).astype("f4"), rng.integers(0, 10, BATCH)
    steps: dict[str, Callable[..., Any]] = {"numpy": numpy_step(), "graphc": graphc_step()}
    losses = {name: [float(step(x, y)) for _ in range(5)] for name, step in steps.items()}
    np.testing.assert_allclose(losses["graphc"], losses["numpy"], rtol=2e-4)
    times: dict[str, list[float]] = {name: [] for name in steps}
    deadline = time.perf_counter() + budget
    while time.perf_counter() < deadline:
        for name, step in steps.items():
            started = time.perf_counter()
            step(x, y)
            times[name].append(time.perf_counter() - started)
    medians = {name: statistics.median(values) for name, values in times.items()}
    for name, median in medians.items():
        best, steps_run = min(times[name]), len(times[name])
        print(f"{name:<8} median {median * 1e3:7.3f} ms   best {best * 1e3:7.3f} ms   {steps_run} steps")
    print(f"numpy / graphc {medians['numpy'] / medians['graphc']:.2f}  (above 1: graphc is faster)")


if __name__ == "__main__":
    main()
