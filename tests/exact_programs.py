"""Random programs that every executor must compute to the last bit: all dtypes, special values, ops that round once.

    inputs, feeds, outputs = drawn(seed, 12)

Numbers are quarters of small integers, so that sums and products are exact in any order, and among them infinities,
NaN, zeros of both signs, subnormals and the ends of each range. A sum or product is only taken of values of which it is
exact; the product of two numbers also, because it may not be rounded before something is added to it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from fuzz_picking import Unfit

import graphc as gr
from graphc.evaluate import evaluate

DTYPES = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32",
          "float64")  # fmt: skip
SIZES = (1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 25, 31, 32, 33, 47, 64, 65, 70)
MOST_ELEMENTS = 20_000
EXTREMES = ("maximum", "minimum", "fmax", "fmin", "max", "min", "relu", "clip")
TRIES = 6
"""So many steps are tried for each that is taken."""


def drawn(seed: int, size: int) -> tuple[list[gr.Node], list[Any], list[gr.Node]]:
    """Inputs, arrays for them, and outputs of a program of at most so many steps."""
    growth = Growth(np.random.default_rng([seed, 31]))
    for _ in range(TRIES * size):
        if len(growth.own) < size:
            growth.grow()
    made = growth.own or growth.inputs
    chosen = [made[-1], *(made[int(i)] for i in growth.rng.integers(0, len(made), growth.rng.integers(0, 4)))]
    return growth.inputs, [growth.values[node] for node in growth.inputs], chosen


class Growth:
    """A pool of values that steps add to."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        rows, columns = self.one(SIZES), self.one(SIZES)
        rows = 0 if rng.random() < 0.05 else rows
        shapes = ((rows, columns), (columns,), (rows, 1), (), (2, rows, columns), (rows,), (1, columns),
                  (columns, columns) if columns < 40 else (columns,))  # fmt: skip
        dtypes = rng.choice(DTYPES, 4)
        self.inputs = [gr.placeholder(f"x{i}", self.one(shapes), dtype=self.one(dtypes)) for i in range(6)]
        self.values = {node: np.asarray(_array(rng, node.dtype, node.shape)) for node in self.inputs}
        self.own: list[gr.Node] = []

    def one(self, values: Sequence[Any]) -> Any:
        if len(values) == 0:
            raise Unfit
        return values[int(self.rng.integers(len(values)))]

    def any(self, kinds: str = "fiub", rank: int = 0) -> Any:
        """One of the last values of some kinds."""
        found = [node for node in self.values if node.dtype.kind in kinds and node.ndim >= rank]
        if not found:
            raise Unfit
        return found[-1 - min(int(self.rng.geometric(0.35)) - 1, len(found) - 1)]

    def like(self, node: gr.Node, kinds: str = "fiub") -> Any:
        """A value that broadcasts with another."""
        return self.one([other for other in self.values if other.dtype.kind in kinds and _fit(node, other)][-8:])

    def axis(self, node: gr.Node) -> int:
        return int(self.rng.integers(-node.ndim, node.ndim))

    def part(self, node: gr.Node) -> tuple[slice, ...]:
        """What to take of the first axes of a value."""
        return tuple(self._slice(size) for size in node.shape[: int(self.rng.integers(1, node.ndim + 1))])

    def _slice(self, size: int) -> slice:
        a, b = sorted(int(i) for i in self.rng.integers(0, size + 1, 2))
        return slice(*self.one(((None,), (a, b), (None, None, -1), (None, None, 2), (b, None), (a, None, 3),
                                (None, None, -2))))  # fmt: skip

    def grow(self) -> None:
        """Take one step, if it fits."""
        try:
            node = self.one(STEPS)(self)
            if node in self.values or node.ndim > 5 or np.prod(node.shape) > MOST_ELEMENTS:
                return
            [value] = evaluate([node], self.values)
        except (gr.GraphcError, Unfit):
            return
        if self._is_exact(node, np.asarray(value)):
            self.values[node] = np.asarray(value)
            self.own.append(node)

    def _is_exact(self, node: gr.Node, value: Any) -> bool:
        """Whether a product needs no rounding, a sign is no NaN's, and no extreme is one of 0 and -0."""
        operands = [self.values[operand] for operand in node.inputs if operand in self.values]
        if node.op.name in ("signbit", "copysign"):
            return not any(np.isnan(operand).any() for operand in operands)
        if node.op.name in EXTREMES:
            return not any(np.any((operand == 0) & np.signbit(operand)) for operand in operands
                           if operand.dtype.kind == "f")  # fmt: skip
        if node.op.name not in ("multiply", "square") or value.dtype.kind != "f":
            return True
        a, b = evaluate([*node.inputs, *node.inputs][:2], self.values)
        known = ~np.isfinite(a) | ~np.isfinite(b)
        with np.errstate(all="ignore"):
            if value.dtype != np.float64:
                return bool(np.array_equal(np.multiply(np.asarray(a, "f8"), b), value, equal_nan=True))
            return bool(np.all(known | ((np.mod(value * 2**12, 1) == 0) & (np.abs(value) < 2**30))))

    def summed(self, node: gr.Node) -> gr.Node:
        """A value whose sums are exact in any order."""
        value = self.values[node]
        if value.dtype.kind == "f":
            most = 2**10 if value.dtype == np.float16 else 2**22
            if not (np.all(np.isfinite(value)) and np.all(np.mod(value * 64, 1) == 0)
                    and np.abs(value.astype("f8")).sum() * 64 < most):  # fmt: skip
                raise Unfit
        return node


def _array(rng: np.random.Generator, dtype: np.dtype[Any], shape: Sequence[int]) -> Any:
    """Small numbers; among them, half of the time, special ones."""
    if dtype.kind == "b":
        return rng.random(shape) < 0.5
    if dtype.kind == "f":
        facts: Any = np.finfo(dtype)
        values = (rng.integers(-24, 25, shape) / 4).astype(dtype)
        special = (np.nan, np.inf, -np.inf, -0.0, 0.0, facts.max, -facts.max, facts.tiny, facts.smallest_subnormal,
                   -facts.smallest_subnormal, 60000)  # fmt: skip
    else:
        facts = np.iinfo(dtype)
        values = rng.integers(max(facts.min, -9), 10, shape).astype(dtype)
        special = (facts.min, facts.max, facts.max - 1, facts.min + 1, facts.max // 2)
    seldom = rng.random(shape) < (0.2 if rng.random() < 0.5 else 0)
    return np.where(seldom, rng.choice(np.array(special, dtype), shape), values).astype(dtype)


def _fit(one: gr.Node, other: gr.Node) -> bool:
    try:
        return bool(np.prod(np.broadcast_shapes(one.shape, other.shape)) <= MOST_ELEMENTS)
    except ValueError:
        return False


# The steps.

ARITHMETIC = (gr.add, gr.subtract, gr.multiply, gr.maximum, gr.minimum, gr.fmax, gr.fmin)
COMPARISONS = (gr.less, gr.less_equal, gr.equal, gr.not_equal, gr.greater, gr.greater_equal)
FLOATS = (gr.negative, gr.abs, gr.floor, gr.ceil, gr.rint, gr.trunc, gr.sign, gr.sqrt, gr.square, gr.reciprocal,
          gr.relu, gr.isnan, gr.isinf, gr.isfinite, gr.signbit, lambda x: gr.clip(x, -1, 2), lambda x: x * 0.5,
          lambda x: 1 - x)  # fmt: skip
PAIRS = (gr.divide, gr.copysign, gr.mod, gr.floor_divide, gr.nextafter, gr.fmod)
INTEGERS = (gr.bitwise_and, gr.bitwise_or, gr.bitwise_xor, gr.floor_divide, gr.mod, gr.gcd, gr.lcm, gr.left_shift,
            gr.right_shift, gr.fmod, gr.divide)  # fmt: skip
BITS = (gr.invert, gr.abs, gr.negative, gr.sign, gr.square, gr.bitwise_count, gr.logical_not)


def _pair(kinds: str, ops: Sequence[Callable[..., Any]]) -> Callable[[Growth], Any]:
    def step(g: Growth) -> Any:
        x = g.any(kinds)
        return g.one(ops)(x, g.like(x, kinds))

    return step


def _chosen(g: Growth) -> Any:
    mask = g.any("b")
    x = g.like(mask)
    return gr.where(mask, x, g.like(x))


def _cast(g: Growth) -> Any:
    """Another dtype; floats become integers where C says what they are."""
    x, dtype = g.any(), np.dtype(g.one(DTYPES))
    value = g.values[x]
    if value.dtype.kind == "f" and dtype.kind in "iu":
        low = 0 if dtype.kind == "u" else -100
        if not np.all((value >= low) & (value <= 100)):
            raise Unfit
    return x.astype(dtype)


def _moved(g: Growth) -> Any:
    x = g.any(rank=1)
    axis, other = g.axis(x), g.axis(x)
    return g.one((lambda: x.T, lambda: gr.flip(x, axis), lambda: gr.roll(x, int(g.rng.integers(-4, 9)), axis),
                  lambda: gr.ravel(x), lambda: gr.expand_dims(x, axis), lambda: gr.swapaxes(x, axis, other),
                  lambda: gr.pad(x, [tuple(int(i) for i in g.rng.integers(0, 3, 2)) for _ in x.shape]),
                  lambda: gr.repeat(x, 2, axis), lambda: gr.tile(x, 2), lambda: x[g.part(x)]))()  # fmt: skip


def _joined(g: Growth) -> Any:
    x = g.any(rank=1)
    axis = g.axis(x) % x.ndim
    rest = lambda node: [*node.shape[:axis], *node.shape[axis + 1 :]]  # noqa: E731
    fits = [other for other in g.values if other.ndim == x.ndim and rest(other) == rest(x)]
    return gr.concatenate([*(g.one(fits) for _ in range(int(g.rng.integers(1, 4)))), x], axis)


def _reduced(g: Growth) -> Any:
    x = g.any(rank=1)
    axis, keep = g.one((None, g.axis(x), g.axis(x))), bool(g.rng.integers(2))
    reduce = g.one((gr.max, gr.min, gr.argmax, gr.argmin, gr.any, gr.all, gr.count_nonzero, gr.sum, gr.prod, gr.sum))
    if reduce is gr.prod and x.dtype.kind == "f":
        raise Unfit
    return reduce(g.summed(x) if reduce is gr.sum else x, axis, keepdims=keep)


def _running(g: Growth) -> Any:
    x = g.summed(g.any(rank=1))
    return gr.cumsum(x, g.axis(x), reverse=bool(g.rng.integers(2)))


def _gathered(g: Growth) -> Any:
    x = g.any(rank=1)
    axis = g.axis(x)
    size = x.shape[axis]
    places = g.rng.integers(-size, size, g.one(((3,), (2, 2), (5,), ()))) if size else np.zeros(0, "int64")
    return gr.take(x, gr.constant(places.astype(g.one(("int32", "int64")))), axis)


def _product(g: Growth) -> Any:
    a = g.summed(g.any("fiu", 2))
    fits = [b for b in g.values if b.dtype == a.dtype and b.ndim and b.shape[max(b.ndim - 2, 0)] == a.shape[-1]]
    if not fits:
        raise Unfit
    return a @ g.summed(g.one(fits))


def _sorted(g: Growth) -> Any:
    x = g.any(rank=1)
    return g.one((gr.sort, gr.argsort))(x, g.axis(x))


def _replaced(g: Growth) -> Any:
    x = g.any(rank=1)
    index = g.part(x)
    value = g.like(x[index])
    if value.dtype != x.dtype:
        raise Unfit
    return g.one((gr.set_at, gr.add_at) if x.dtype.kind != "b" else (gr.set_at,))(x, index, value)


STEPS: tuple[Callable[[Growth], Any], ...] = (
    *[_pair("fiub", ARITHMETIC)] * 4, _pair("fiub", COMPARISONS), _pair("f", PAIRS), _pair("iu", INTEGERS), _chosen,
    *[_cast] * 2, *[lambda g: g.one(FLOATS)(g.any("f"))] * 2, lambda g: g.one(BITS)(g.any("iub")), *[_moved] * 2,
    _joined, *[_reduced] * 2, _running, _gathered, _product, _sorted, _replaced,
)  # fmt: skip
