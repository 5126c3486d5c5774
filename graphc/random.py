"""Random numbers with explicit keys: `gr.random.normal(gr.random.key(0), (3, 4))`.

The same key gives the same numbers, bit for bit, on any number of threads and any machine; nothing is hidden. For fresh
numbers at each run, feed a key, or fold a counter into one: `fold_in(key, step)`. For several independent draws in a
graph, split the key.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from graphc import ops
from graphc.errors import DTypeError, ShapeError
from graphc.ir import Node
from graphc.op import composite, lift, placed
from graphc.operators import Operand
from graphc.ops.core import constant
from graphc.ops.joining import MOST_PIECES
from graphc.ops.random import KEY, random_fold_in, random_normal, random_permutation, random_split, random_uniform
from graphc.samples import call, cases
from graphc.types import show_shape

__all__ = ["bernoulli", "fold_in", "key", "normal", "permutation", "split", "uniform"]


@placed
def key(seed: int) -> Node:
    """A key, a constant of type u64[2], made of a seed: any int ≥ 0. Seeds that are close give keys that are not."""
    if not isinstance(seed, (int, np.integer)) or isinstance(seed, bool) or seed < 0:
        raise DTypeError(f"expected a seed to be an int ≥ 0, got {seed!r}", remedy="use gr.random.fold_in for a node")
    return constant(np.random.SeedSequence(int(seed)).generate_state(2, np.uint64))


@composite(samples=cases(call(KEY), call(KEY, 3)))
def split(key: Operand, n: int = 2) -> tuple[Node, ...]:
    """n keys made of one, whose numbers are independent of each other. Use the parts, and the whole no more."""
    if not isinstance(n, (int, np.integer)) or isinstance(n, bool) or n < 0:
        raise ShapeError(f"expected the number of keys to be an int ≥ 0, got {n!r}")
    if n > MOST_PIECES:
        raise ShapeError(f"expected at most {MOST_PIECES} keys, got {n}",
                         remedy="use gr.random_split, which makes them rows of one value")  # fmt: skip
    keys = random_split(key, int(n))
    return tuple(keys[row] for row in range(n))


@composite(samples=cases(call(KEY, 3), call(KEY, "i64[](0,9)")))
def fold_in(key: Operand, i: Operand) -> Node:
    """A key made of a key and an integer, which may be a node: a step, a layer, the number of a worker."""
    return random_fold_in(key, i)


@composite(samples=cases(call(KEY, (2, 3)), call(KEY, (2, 3), "f64[3]", 2.0, dtype="f64"), call(KEY, 4, -1, 1)))
def uniform(key: Operand, shape: Any = (), low: Operand = 0, high: Operand = 1, dtype: Any = "float32") -> Node:
    """Numbers evenly spread over [low, high), in steps of the interval's 2⁻²⁴ (float32) or 2⁻⁵³ (float64).

    Bounds broadcast to the shape, and derivatives pass to them. Rounding may give `high` itself where the interval is
    narrow beside its bounds.
    """
    unit = random_uniform(key, shape, dtype)
    if isinstance(low, (int, float)) and isinstance(high, (int, float)):
        return unit if (low, high) == (0, 1) else low + unit * (high - low)
    start, end = (_as_float(bound, unit.dtype) for bound in (low, high))
    return _of_shape(start + unit * (end - start), unit)


def _as_float(bound: Operand, dtype: np.dtype[Any]) -> Node:
    node = lift(bound)
    return node if node.dtype == dtype else node.astype(dtype)


def _of_shape(numbers: Node, drawn: Node) -> Node:
    if numbers.shape != drawn.shape:
        raise ShapeError(f"expected parameters that broadcast to {show_shape(drawn.shape)}, got ones that broadcast to "
                         f"{show_shape(numbers.shape)}", remedy="draw numbers of the larger shape")  # fmt: skip
    return numbers


@composite(samples=cases(call(KEY, (2, 3)), call(KEY, 4, "float64"), call(KEY)))
def normal(key: Operand, shape: Any = (), dtype: Any = "float32") -> Node:
    """Numbers of the normal distribution of mean 0 and variance 1; `mean + deviation * normal(...)` for others."""
    return random_normal(key, shape, dtype)


@composite(samples=cases(call(KEY, 0.3, (2, 3)), call(KEY, "f64[3](0,1)"), call(KEY, "f32[3](0,1)", (2, 3)), call(KEY)))
def bernoulli(key: Operand, p: Operand = 0.5, shape: Any = None) -> Node:
    """Truth values that are True with probability p, in p's shape by default; p broadcasts."""
    chance = lift(p, np.dtype("float32")) if isinstance(p, (int, float)) else lift(p)
    dtype = chance.dtype if chance.type.is_float else "float32"
    drawn = random_uniform(key, chance.shape if shape is None else shape, dtype)
    return _of_shape(ops.less(drawn, chance), drawn)


@composite(samples=cases(call(KEY, 6), call(KEY, 0)))
def permutation(key: Operand, n: Any) -> Node:
    """The integers below n in random order, int64; `gr.take(x, permutation(key, n), axis=0)` shuffles n rows."""
    return random_permutation(key, n)
