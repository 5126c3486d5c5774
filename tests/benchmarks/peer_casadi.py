"""The workloads on CasADi, its functions called through buffers: where a call costs least.

The variants, by what a step does beside computing:

- "buffer": nothing. Arguments were laid in before the first step, and results stay where the next step overwrites
  them.
- "fresh": takes arrays and returns new ones, or Python floats, as a step does of which a caller sees no buffers.
- "call": `f(x, y)`, which converts arguments and returns CasADi's own matrices.
- "c": as "buffer", the C code that CasADi generates, compiled with gcc.

CasADi computes in f64 only, and by columns. It keeps nothing between calls: parameters that a step changes are
results, and two sets of buffers take turns as arguments and as results.
"""

from __future__ import annotations

import itertools
import subprocess
import tempfile
from array import array
from collections.abc import Callable, Iterable, Sequence
from functools import partial, reduce
from pathlib import Path
from typing import Any, NamedTuple

import casadi as ca
import numpy as np
from cases import Arrays, Case
from peer import Peer

LR = 0.1
GCC = ("gcc", "-O3", "-march=native", "-shared", "-fPIC")


def make(case: Case, arrays: Arrays, variant: str) -> Peer:
    """The step of a workload."""
    feeds = [np.asarray(feed, "f8") for feed in arrays.feeds]
    parameters = [np.asarray(value, "f8") for value in arrays.taken()]
    f = function(case, [value.shape for value in (*feeds, *parameters)])
    f = in_c(f) if variant == "c" else f
    if variant == "call":
        return called(case, f, feeds, parameters)
    if case.trains:
        return training(f, feeds, parameters, fresh=variant == "fresh")
    shapes = [(), *(feed.shape for feed in feeds)] if f.n_out() > 1 else [feeds[0].shape]
    if variant == "fresh":
        return Peer((fresh if feeds[0].shape else fresh_floats)(f, feeds), lambda: (), partial(shaped, shapes))
    one = bound(f, [by_columns(feed) for feed in feeds], rooms(f))
    return Peer(one.run, lambda: (), lambda _: shaped(shapes, one.results))


def function(case: Case, shapes: Sequence[tuple[int, ...]]) -> Any:
    """What a step computes: of one that trains the loss and the new parameters.

    Of matrix operations (MX) wherever there is an array, for those were faster than scalar ones (SX) in all of them.
    """
    kind = ca.MX if any(shapes) else ca.SX
    symbols = [kind.sym(name, *sized(shape)) for name, shape in zip(case.inputs | case.parameters, shapes, strict=True)]
    results = WRITTEN[case.name](*symbols)
    if case.trains:
        results = [results, *(w - LR * ca.gradient(results, w) for w in symbols[len(case.inputs) :])]
    return ca.Function(case.name, symbols, list(results))


def sized(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Rows and columns of what CasADi has in place of an array."""
    return (*shape, 1, 1)[:2]


def in_c(f: Any) -> Any:
    """The function as a library of compiled C."""
    with tempfile.TemporaryDirectory() as folder:
        code = ca.CodeGenerator(f"{f.name()}.c")
        code.add(f)
        library = Path(folder) / "f.so"
        subprocess.run([*GCC, code.generate(f"{folder}/"), "-o", str(library), "-lm"], check=True)
        return ca.external(f.name(), str(library))


class Bound(NamedTuple):
    """A function with the arrays that its arguments are read from and its results written to; it holds no others."""

    buffer: Any
    run: Callable[[], Any]
    arguments: list[Any]
    results: list[Any]


def bound(f: Any, arguments: list[Any], results: list[Any]) -> Bound:
    """The function on these flat arrays."""
    buffer, run = f.buffer()
    for number, value in enumerate(arguments):
        buffer.set_arg(number, memoryview(value))
    for number, value in enumerate(results):
        buffer.set_res(number, memoryview(value))
    return Bound(buffer, run, arguments, results)


def rooms(f: Any) -> list[Any]:
    """Arrays for its results."""
    return [np.zeros(f.nnz_out(number)) for number in range(f.n_out())]


def by_columns(value: Any) -> Any:
    """The elements in CasADi's order."""
    return np.ravel(value, order="F").copy()


def shaped(shapes: Sequence[tuple[int, ...]], results: Iterable[Any]) -> list[Any]:
    """Results as arrays of these shapes."""
    return [np.reshape(value, shape, order="F") for shape, value in zip(shapes, results, strict=True)]


def training(f: Any, feeds: list[Any], parameters: list[Any], *, fresh: bool) -> Peer:
    """A step that writes the new parameters where the step before read them; fresh ones are handed their feeds."""
    shapes = [value.shape for value in parameters]
    feeds, first, second = map(by_columns, feeds), map(by_columns, parameters), rooms(f)[1:]
    feeds, first, loss = list(feeds), list(first), np.zeros(1)
    there, back = (bound(f, [*feeds, *a], [loss, *b]) for a, b in ((first, second), (second, first)))
    turns, last = itertools.cycle((there, back)), [back]

    def step() -> Any:
        last[0] = now = next(turns)
        now.run()

    def handed() -> Any:
        last[0] = now = next(turns)
        for number, feed in enumerate(feeds):
            now.buffer.set_arg(number, memoryview(feed))
        now.run()
        return loss.item()

    return Peer(
        handed if fresh else step,
        lambda: shaped(shapes, last[0].results[1:]),
        lambda result: result if fresh else loss[0],
    )


def fresh(f: Any, feeds: list[Any]) -> Callable[[], Any]:
    """A step that reads the arrays it is given and writes to new ones."""
    sizes, feeds = [f.nnz_out(number) for number in range(f.n_out())], [by_columns(feed) for feed in feeds]
    buffer, run = f.buffer()

    def step() -> Any:
        for number, feed in enumerate(feeds):
            buffer.set_arg(number, memoryview(feed))
        results = [np.empty(size) for size in sizes]
        for number, result in enumerate(results):
            buffer.set_res(number, memoryview(result))
        run()
        return results

    return step


def fresh_floats(f: Any, feeds: list[Any]) -> Callable[[], Any]:
    """A step from two floats to three, by way of buffers of one float each."""
    (x, y), cells = map(float, feeds), [array("d", [0.0]) for _ in range(5)]
    a, b, value, dx, dy = cells
    one = bound(f, cells[:2], cells[2:])

    def step(run: Any = one.run) -> Any:
        a[0], b[0] = x, y
        run()
        return value[0], dx[0], dy[0]

    step.bound = one  # type: ignore[attr-defined]  # the buffer lives as long as the step
    return step


def called(case: Case, f: Any, feeds: list[Any], parameters: list[Any]) -> Peer:
    """A step that calls the function as any Python function, with NumPy arrays, floats or its own matrices."""
    feeds, shapes = [feed if feed.shape else float(feed) for feed in feeds], [value.shape for value in parameters]
    kept = [ca.DM(value.reshape(sized(value.shape))) for value in parameters]

    def train() -> Any:
        loss, *kept[:] = f(*feeds, *kept)
        return loss

    def shown(results: Any) -> Any:
        results = results if isinstance(results, tuple) else (results,)
        return [value.full().ravel() if min(value.shape) == 1 < value.numel() else float(value) for value in results]

    step = train if case.trains else partial(f, *feeds)
    return Peer(step, lambda: shaped(shapes, (value.full() for value in kept)), shown)


# The computations: what is to be shown; of those that train the loss.


def rosenbrock(x: Any, y: Any) -> Any:
    value = (1 - x) ** 2 + 100 * (y - x**2) ** 2
    return value, ca.gradient(value, x), ca.gradient(value, y)


def logistic(x: Any, y: Any, w: Any, b: Any) -> Any:
    z = x @ w + b
    return ca.sum1(ca.fmax(z, 0) + ca.log1p(ca.exp(-ca.fabs(z))) - y * z) / z.numel()


def mlp_small(x: Any, y: Any, w0: Any, b0: Any, w1: Any, b1: Any) -> Any:
    rows, classes = x.shape[0], b1.numel()
    z = ca.fmax(x @ w0 + ca.repmat(b0.T, rows, 1), 0) @ w1 + ca.repmat(b1.T, rows, 1)
    top = reduce(ca.fmax, ca.horzsplit(z))
    right = ca.repmat(y, 1, classes) == ca.repmat(ca.DM(range(classes)).T, rows, 1)
    chances = top + ca.log(ca.sum2(ca.exp(z - ca.repmat(top, 1, classes)))) - ca.sum2(right * z)
    return ca.sum1(chances) / rows


def chain(x: Any, *, steps: int) -> Any:
    y = x
    for _ in range(steps):
        y = y + 0.001 * ca.sin(y) * y
    value = ca.sum1(y)
    return value, ca.gradient(value, x)


def hvp(x: Any, v: Any) -> Any:
    value = ca.sum1(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)
    return [ca.jtimes(ca.gradient(value, x), x, v)]


WRITTEN: dict[str, Callable[..., Any]] = {
    "rosenbrock": rosenbrock, "logistic": logistic, "mlp_small": mlp_small,
    "chain200": partial(chain, steps=200), "chain2000": partial(chain, steps=2000), "hvp": hvp,
}  # fmt: skip
