"""Where an op is defined: the declarations from which its tests draw arguments.

`reals(-3, 3)` says that an elementwise op takes any reals there; the tests choose shapes and dtypes.
`cases(call("f64[3,4]", axis=1))` lists calls, with random arrays of the types named: `f64[3,4](0.5,2)` is uniform in
[0.5, 2), `i64[5](0,3)` integers in [0, 3), `f64[2]` standard normal, `bool[4]` coin tosses.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from graphc.types import DTYPES

_SPEC = re.compile(r"(?P<dtype>\w+)\[(?P<shape>[\d, ]*)\](\((?P<low>[^,]+),(?P<high>[^)]+)\))?$")
SHAPES: tuple[tuple[tuple[int, ...], ...], ...] = (
    ((), (), ()), ((3,), (3,), (3,)), ((2, 3), (3,), (2, 1)), ((3, 1), (1, 4), (3, 4)), ((), (2, 2), (1,)),
    ((0, 2), (1, 2), ()),
)  # fmt: skip
"""Shapes for the operands of one elementwise call: rank 0, equal, broadcast both ways, empty."""


@dataclass(frozen=True)
class Call:
    """One call of an op: operands (types to draw from, or values as they are) and attributes."""

    operands: tuple[Any, ...]
    attributes: dict[str, Any] = field(default_factory=dict)

    def draw(self, rng: np.random.Generator) -> tuple[list[Any], dict[str, Any]]:
        """The arguments, random where a type was named."""
        return [_draw(operand, rng) for operand in self.operands], self.attributes


def _draw(operand: Any, rng: np.random.Generator) -> Any:
    if isinstance(operand, list):
        return [_draw(element, rng) for element in operand]
    return array_of(operand, rng) if isinstance(operand, str) and _SPEC.match(operand) else operand


def array_of(spec: str, rng: np.random.Generator) -> np.ndarray[Any, Any]:
    """A random array of a type written as `f64[3,4]` or `i64[5](0,3)`."""
    match = _SPEC.match(spec)
    if match is None:
        raise ValueError(f"expected a sample type such as f64[3,4] or i64[5](0,3), got {spec!r}")
    dtype = DTYPES[match["dtype"]]
    shape = tuple(int(dim) for dim in match["shape"].split(",") if dim.strip())
    bounds = (float(match["low"]), float(match["high"])) if match["low"] else None
    if dtype.kind == "b":
        return rng.integers(0, 2, shape).astype(bool)
    if dtype.kind in "iu":
        low, high = bounds or (0, 10)
        return rng.integers(int(low), int(high), shape).astype(dtype)
    values = rng.standard_normal(shape) if bounds is None else rng.uniform(*bounds, shape)
    return np.asarray(values, dtype)


def generator(name: str) -> np.random.Generator:
    """Random numbers that depend on a name only."""
    return np.random.default_rng(zlib.crc32(name.encode()))


def call(*operands: Any, **attributes: Any) -> Call:
    """One sample call, its operands given as types such as `f64[3,4]` or as values."""
    return Call(operands, attributes)


@dataclass(frozen=True)
class Samples:
    """The calls that an op's tests make."""

    calls: tuple[Call, ...] = ()
    ranges: tuple[tuple[float, float], ...] = ()
    dtypes: tuple[str, ...] = ("f64",)

    def for_arity(self, arity: int) -> Iterator[Call]:
        """The listed calls, then for an elementwise op each dtype over each combination of shapes."""
        yield from self.calls
        for dtype in self.dtypes if self.ranges else ():
            for shapes in SHAPES[: 4 if arity == 1 else None]:
                yield Call(tuple(self._spec(dtype, shapes[i % 3], i) for i in range(arity)))

    def _spec(self, dtype: str, shape: tuple[int, ...], operand: int) -> str:
        low, high = self.ranges[min(operand, len(self.ranges) - 1)]
        return f"{dtype}[{','.join(map(str, shape))}]({low},{high})"


def cases(*calls: Call) -> Samples:
    """Exactly these calls."""
    return Samples(calls)


def reals(*bounds: float | tuple[float, float]) -> Samples:
    """Any reals in a range: `reals(-3, 3)` for every operand, `reals((0, 3), (-1, 1))` operand by operand."""
    return Samples(ranges=_ranges(bounds), dtypes=("f64", "f32", "f16"))


def numbers(*bounds: float | tuple[float, float]) -> Samples:
    """Reals and integers in a range, as `reals`."""
    return Samples(ranges=_ranges(bounds), dtypes=("f64", "f32", "f16", "i64", "i8", "u8"))


def integers(*bounds: float | tuple[float, float]) -> Samples:
    """Integers in a range, as `reals`."""
    return Samples(ranges=_ranges(bounds), dtypes=("i64", "i32", "i8", "u8", "u64"))


def truths() -> Samples:
    """Truth values."""
    return Samples(ranges=((0, 1),), dtypes=("bool",))


def _ranges(bounds: tuple[Any, ...]) -> tuple[tuple[float, float], ...]:
    return bounds if isinstance(bounds[0], tuple) else (bounds,)
