"""Workloads written in NumPy by hand, where their derivatives are short."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from cases import PRODUCTS, Arrays, Case
from peer import Peer


def make(case: Case, arrays: Arrays, variant: str) -> Peer:
    """The step of a workload."""
    return Peer(partial(WRITTEN[case.name], *arrays.feeds, *arrays.taken()), lambda: ())


def rosenbrock(x: float, y: float) -> Any:
    """In Python floats."""
    a, b = 1 - x, y - x * x
    return a * a + 100 * b * b, -2 * a - 400 * x * b, 200 * b


def hvp(x: Any, v: Any) -> Any:
    """The tridiagonal Hessian times v."""
    here, u = x[:-1], v[:-1]
    result = np.zeros_like(x)
    result[:-1] = (1200 * here * here - 400 * x[1:] + 2) * u - 400 * here * v[1:]
    result[1:] += 200 * v[1:] - 400 * here * u
    return result


WRITTEN: dict[str, Callable[..., Any]] = {
    "rosenbrock": rosenbrock, "hvp": hvp, **dict.fromkeys(PRODUCTS, np.matmul),
}  # fmt: skip
