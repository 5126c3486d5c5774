"""The workloads on PyTensor: one compiled function a step, whose arguments are arrays that it need not check.

The variants are its linkers: "c" (mode CVM, which runs all rewrites, as FAST_RUN did) and "numba", now its default.
Parameters are shared variables, and a step of training updates them. What it compiles for C is kept in the
`base_compiledir` of PYTENSOR_FLAGS, and it links products to the BLAS of `blas__ldflags`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt
from cases import Arrays, Case
from peer import Peer

LR = 0.1
MODES = {"c": "CVM", "numba": "NUMBA"}


def make(case: Case, arrays: Arrays, variant: str) -> Peer:
    """The step of a workload."""
    feeds = [np.asarray(feed) for feed in arrays.feeds]
    inputs = [
        pt.tensor(name, dtype=feed.dtype, shape=feed.shape) for name, feed in zip(case.inputs, feeds, strict=True)
    ]
    parameters = [
        pytensor.shared(value, name, shape=value.shape)
        for name, value in zip(case.parameters, arrays.taken(), strict=True)
    ]
    results, updates = WRITTEN[case.name](*inputs, *parameters), []
    if case.trains:
        gradients = pytensor.grad(results, parameters)
        rate = np.asarray(LR, case.dtype)
        updates = [(w, w - rate * gradient) for w, gradient in zip(parameters, gradients, strict=True)]
    step = pytensor.function(inputs, results, updates=updates, mode=MODES[variant], trust_input=True)
    return Peer(partial(step, *feeds), lambda: [w.get_value() for w in parameters])


def rosenbrock(x: Any, y: Any) -> Any:
    value = (1 - x) ** 2 + 100 * (y - x**2) ** 2
    return [value, *pytensor.grad(value, [x, y])]


def logistic(x: Any, y: Any, w: Any, b: Any) -> Any:
    z = x @ w + b
    return pt.mean(pt.softplus(z) - y * z)


def mlp_small(x: Any, y: Any, w0: Any, b0: Any, w1: Any, b1: Any) -> Any:
    chances = pt.special.log_softmax(pt.maximum(x @ w0 + b0, 0) @ w1 + b1, axis=1)
    right = pt.eq(y[:, None], np.arange(10))  # an index would leave the C linker for Python
    return -pt.mean(pt.sum(pt.switch(right, chances, 0), axis=1))


def chain(x: Any, *, steps: int) -> Any:
    y = x
    for _ in range(steps):
        y = y + 0.001 * pt.sin(y) * y
    value = pt.sum(y)
    return [value, pytensor.grad(value, x)]


def hvp(x: Any, v: Any) -> Any:
    value = pt.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)
    return pytensor.gradient.hessian_vector_product(value, [x], [v])[0]


WRITTEN: dict[str, Callable[..., Any]] = {
    "rosenbrock": rosenbrock, "logistic": logistic, "mlp_small": mlp_small,
    "chain200": partial(chain, steps=200), "chain2000": partial(chain, steps=2000), "hvp": hvp,
}  # fmt: skip
