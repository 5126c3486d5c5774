"""True values of formulas, by mpmath with so many digits that nothing overflows, underflows or cancels."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from graphc.ir import Node, topological

Array = np.ndarray[Any, Any]
BITS = 1200
"""Of precision: 1 + exp(−300) keeps more than 700 of them."""


def true_values(outputs: Sequence[Node], feed: Mapping[Node, Array]) -> list[Array]:
    """The values of nodes for exact operands, rounded to float64 at the end. Ops without an entry run their bodies."""
    import mpmath

    table = _table()
    values: dict[Node, Any] = {node: _exact(array) for node, array in feed.items()}
    with mpmath.workprec(BITS):
        for node in topological(outputs):
            if node not in values:
                operands = [values[source] for source in node.inputs]
                stored = node.attrs.get("value")
                apply = table.get(node.op.name, node.op.body)
                values[node] = _exact(stored) if stored is not None else apply(*operands, **node.attrs)
    return [np.asarray(values[node]).astype(np.float64) for node in outputs]


def _exact(array: Array) -> Array:
    import mpmath

    return np.asarray(np.frompyfunc(lambda x: mpmath.mpf(float(x)), 1, 1)(array), object)


@cache
def _table() -> dict[str, Callable[..., Any]]:
    """Ops by what they compute of exact numbers."""
    import mpmath

    functions: dict[str, tuple[Callable[..., Any], int]] = {
        "divide": (_quotient, 2), "reciprocal": (lambda x: _quotient(mpmath.mpf(1), x), 1),
        "negative": (lambda x: -x, 1), "abs": (abs, 1), "square": (lambda x: x * x, 1),
        "exp": (mpmath.exp, 1), "exp2": (lambda x: mpmath.power(2, x), 1), "expm1": (lambda x: mpmath.exp(x) - 1, 1),
        "log": (_log, 1), "log1p": (lambda x: _log(1 + x), 1), "log2": (lambda x: _log(x) / _log(2), 1),
        "sqrt": (lambda x: mpmath.sqrt(x) if x >= 0 else mpmath.nan, 1),
        "power": (lambda x, p: mpmath.power(x, p) if x > 0 or p == int(p) else mpmath.nan, 2),
        "sigmoid": (lambda x: _quotient(1, 1 + mpmath.exp(-x)), 1),
        "softplus": (lambda x: _log(1 + mpmath.exp(x)), 1),
        "logaddexp": (lambda x, y: _log(mpmath.exp(x) + mpmath.exp(y)), 2),
    }  # fmt: skip
    return {name: np.frompyfunc(function, count, 1) for name, (function, count) in functions.items()} | {
        "astype": lambda x, *, dtype: x,
        "sum": lambda x, *, axis, keepdims: np.sum(x, axis=axis, keepdims=keepdims),
        "max": lambda x, *, axis, keepdims: np.max(x, axis=axis, keepdims=keepdims),
    }  # fmt: skip


def _quotient(x: Any, y: Any) -> Any:
    if y != 0:
        return x / y
    return math.nan if x == 0 or x != x else math.copysign(math.inf, x)


def _log(x: Any) -> Any:
    import mpmath

    return mpmath.log(x) if x >= 0 else mpmath.nan
