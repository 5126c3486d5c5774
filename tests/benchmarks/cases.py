"""What graphc is measured by: the arrays of each workload, and how far ahead of the best peer it should be.

Nothing here imports a framework, so that a process that measures one holds nothing of another. Arrays are made from
their names: all frameworks see the same numbers, and none has to keep a copy of what another was given.
"""

from __future__ import annotations

import itertools
import zlib
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

HEADS = 4
"""Of the transformer block."""


class Spec(NamedTuple):
    """How an array is made: normal numbers times `scale`, or uniform between bounds, or classes below a bound."""

    shape: tuple[int, ...]
    scale: float = 1.0
    bounds: tuple[float, float] | None = None
    classes: int = 0

    def make(self, name: str, dtype: str) -> Any:
        """The array of this name; a number for a shape ()."""
        rng = np.random.default_rng(zlib.crc32(name.encode()))
        if self.classes:
            return rng.integers(0, self.classes, self.shape)
        if self.bounds is None:
            values = rng.standard_normal(self.shape, "f4")
            values *= np.float32(self.scale)
        else:
            low, high = self.bounds
            values = rng.random(self.shape, "f4") * np.float32(high - low) + np.float32(low)
        return values.astype(dtype, copy=False) if self.shape else float(values)


class Arrays(NamedTuple):
    """What is fed each step, and the first values of the parameters."""

    feeds: list[Any]
    parameters: deque[Any]

    def taken(self) -> Iterator[Any]:
        """The parameters, each handed out once and not kept."""
        while self.parameters:
            yield self.parameters.popleft()


class Case(NamedTuple):
    """The arrays of a workload: those fed each step, and the parameters, which a training step changes."""

    name: str
    title: str
    reach: float
    dtype: str
    inputs: Mapping[str, Spec]
    parameters: Mapping[str, Spec]
    trains: bool = False

    def arrays(self) -> Arrays:
        """What every framework computes with, made now."""
        feeds = [spec.make(name, self.dtype) for name, spec in self.inputs.items()]
        return Arrays(feeds, deque(spec.make(name, self.dtype) for name, spec in self.parameters.items()))


def dense(*sizes: int) -> dict[str, Spec]:
    """Weights and biases of dense layers."""
    made = {}
    for layer, (a, b) in enumerate(itertools.pairwise(sizes)):
        made |= {f"w{layer}": Spec((a, b), (2 / a) ** 0.5), f"b{layer}": Spec((b,), 0.1)}
    return made


def square(n: int) -> Spec:
    """A square matrix that keeps the size of what it multiplies."""
    return Spec((n, n), n**-0.5)


def between(shape: int | tuple[int, ...], low: float, high: float) -> Spec:
    """Uniform numbers."""
    return Spec((shape,) if isinstance(shape, int) else shape, bounds=(low, high))


_BLOCK = {
    "g1": between(128, 0.5, 1.5), "b1": Spec((128,), 0.1), "wqkv": Spec((128, 384), 128**-0.5),
    "bqkv": Spec((384,), 0.1), "wo": square(128), "bo": Spec((128,), 0.1),
    "g2": between(128, 0.5, 1.5), "b2": Spec((128,), 0.1), "w1": Spec((128, 512), 128**-0.5),
    "c1": Spec((512,), 0.1), "w2": Spec((512, 128), 512**-0.5), "c2": Spec((128,), 0.1),
}  # fmt: skip
N = 2**20
_OPTIONS = {"s": between(N, 80, 120), "k": between(N, 80, 120), "t": between(N, 0.2, 2), "r": between(N, 0, 0.1),
            "v": between(N, 0.1, 0.5)}  # fmt: skip
_HEADS = Spec((4, 1024, 64))

_TABLE = (
    Case("rosenbrock", "(1-x)²+100(y-x²)², two floats", 1.5, "float64", {"x": Spec(()), "y": Spec(())}, {}),
    Case("logistic", "logistic regression, 64×30 f64", 1.8, "float64",
         {"x": Spec((64, 30)), "y": between(64, 0, 1)}, {"w": Spec((30,)), "b": Spec((1,))}, trains=True),
    Case("mlp_small", "64-32-10, batch 32, SGD", 3.0, "float32",
         {"x": Spec((32, 64)), "y": Spec((32,), classes=10)}, dense(64, 32, 10), trains=True),
    Case("mlp_adam", "784-512-256-10, batch 128, Adam", 1.25, "float32",
         {"x": Spec((128, 784)), "y": Spec((128,), classes=10)}, dense(784, 512, 256, 10), trains=True),
    Case("fused", "elementwise, 2²⁰ f32, 3 gradients", 2.0, "float32",
         {"x": Spec((N,)), "w": Spec((N,)), "b": Spec((N,))}, {}),
    Case("black_scholes", "Black-Scholes, 2²⁰ f64, 5 greeks", 1.8, "float64", _OPTIONS, {}),
    Case("transformer", "transformer block, 8×64×128", 1.4, "float32",
         {"x": Spec((8, 64, 128)), "y": Spec((8, 64, 128))}, _BLOCK, trains=True),
    Case("lstm", "LSTM, T 32, B 32, D 32, H 64", 2.0, "float32", {"x": Spec((32, 32, 32)), "y": Spec((32, 64))},
         {"w": Spec((32, 256), 0.125), "u": Spec((64, 256), 0.125), "b": Spec((256,), 0.1)}, trains=True),
    Case("chain200", "x + 0.001 sin(x) x, 200 times", 3.0, "float64", {"x": Spec((8,))}, {}),
    Case("chain2000", "the same, 2,000 times", 4.0, "float64", {"x": Spec((8,))}, {}),
    Case("branches", "32 branches tanh(x·w), 256×256", 1.3, "float32",
         {"x": square(256)}, {f"w{i}": square(256) for i in range(32)}),
    Case("hvp", "Hessian-vector, Rosenbrock, 10,000", 2.0, "float64",
         {"x": Spec((10_000,)), "v": Spec((10_000,))}, {}),
    Case("product1024", "1024³ product", 0.97, "float32", {"a": square(1024), "b": square(1024)}, {}),
    Case("layers24", "24 layers tanh(x·w), 1024×1024", 1.0, "float32",
         {"x": Spec((1024, 1024))}, {f"w{i}": square(1024) for i in range(24)}),
    Case("attention", "causal attention, 4×1024×64", 1.0, "float32", {"q": _HEADS, "k": _HEADS, "v": _HEADS}, {}),
)  # fmt: skip
PRODUCTS = {f"product{n}": n for n in (8, 16, 32, 64, 128, 256, 512, 1024, 2048)}
MAIN = tuple(case.name for case in _TABLE)
"""Those that a run without arguments measures."""
CASES = {
    name: Case(name, f"{n}³ product", 0.95, "float32", {"a": square(n), "b": square(n)}, {})
    for name, n in PRODUCTS.items()
} | {case.name: case for case in _TABLE}
