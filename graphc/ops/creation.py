"""Arrays made from numbers: constant fills, ranges, and one-hot codes.

Floats are float32 unless a dtype says otherwise, as placeholders are. Sizes may be symbolic: `gr.arange(x.shape[0])`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from graphc import ops
from graphc.errors import DTypeError, ShapeError
from graphc.ir import Node
from graphc.op import composite, float_of, lift, primitive
from graphc.operators import Operand
from graphc.ops.core import as_constant, constant
from graphc.samples import call, cases
from graphc.types import AnyDim, Dim, Type, as_dtype, as_shape, promote

__all__ = ["arange", "full", "linspace", "one_hot", "ones", "zeros"]

NUMBERS = (int, float, np.integer, np.floating)


@composite(samples=cases(call((2, 3)), call(()), call(4, dtype="int64"), call((0, 2), dtype="bool")))
def zeros(shape: Any, dtype: Any = "float32") -> Node:
    """Zeros of a shape, which may hold symbolic dims."""
    return full(shape, 0, dtype)


@composite(samples=cases(call((2, 3)), call(()), call(4, dtype="int64"), call((0, 2), dtype="bool")))
def ones(shape: Any, dtype: Any = "float32") -> Node:
    """Ones of a shape, which may hold symbolic dims."""
    return full(shape, 1, dtype)


@composite(samples=cases(call((2, 3), 1.5), call(3, 7), call((), 2.5, dtype="f64"), call((2, 3), "f64[3]"),
                         call((2,), "i64[]", dtype="f64")))  # fmt: skip
def full(shape: Any, fill_value: Operand, dtype: Any = None) -> Node:
    """A value, broadcast to a shape, which may hold symbolic dims."""
    if dtype is None and type(fill_value) is float:
        dtype = np.float32
    fill = fill_value if isinstance(fill_value, Node) else constant(as_constant(fill_value, dtype))
    if dtype is not None and fill.dtype != as_dtype(dtype):
        fill = fill.astype(dtype)
    shape = as_shape(shape)
    return fill if fill.shape == shape else ops.broadcast_to(fill, shape)


def _range(start: Any, stop: Any = None, step: Any = 1, dtype: Any = None) -> tuple[Sequence[Node], dict[str, Any]]:
    start, stop = (0, start) if stop is None else (start, stop)
    start, stop, step = (_number(value) for value in (start, stop, step))
    if dtype is None:
        dtype = np.float32 if float in map(type, (start, stop, step)) else np.int64
    return (), {"start": start, "stop": stop, "step": step, "dtype": as_dtype(dtype)}


def _number(value: Any) -> int | float | Dim:
    if isinstance(value, Dim):
        return value
    if not isinstance(value, NUMBERS) or isinstance(value, bool):
        raise DTypeError(f"expected a number known when the graph is declared, got {value!r}",
                         remedy="start from gr.arange(count), then multiply and add nodes")  # fmt: skip
    return float(value) if isinstance(value, (float, np.floating)) else int(value)


def _ranged(*, start: Any, stop: Any, step: Any, dtype: np.dtype[Any]) -> Type:
    if dtype.kind == "b":
        raise DTypeError("expected a dtype of numbers for a range, got bool", remedy="compare the range instead")
    if step == 0 or not all(isinstance(value, Dim) or math.isfinite(value) for value in (start, stop, step)):
        raise ShapeError(f"expected finite bounds and a step other than 0, got arange({start}, {stop}, {step})")
    return Type(dtype, (_count(start, stop, step),))


def _count(start: Any, stop: Any, step: Any) -> AnyDim:
    if not isinstance(start, Dim) and not isinstance(stop, Dim):
        return int(max(0, math.ceil((stop - start) / step)))
    if not isinstance(step, int) or float in (type(start), type(stop)):
        raise ShapeError(f"expected ints beside a symbolic dim, got arange({start}, {stop}, {step})")
    span: AnyDim = stop - start if step > 0 else start - stop
    return span if abs(step) == 1 else (span + (abs(step) - 1)) // abs(step)


@primitive(infer=_ranged, signature=_range,
           samples=cases(call(5), call(2, 7), call(7, 0, -2), call(0.0, 1.0, 0.25), call(3, 3),
                         call(4, dtype="float64"), call(start=1, stop=4, step=1, dtype="uint8")))  # fmt: skip
def arange(*, start: Any, stop: Any, step: Any, dtype: Any) -> Any:
    """Numbers from `start` (0) up to and without `stop`, `step` (1) apart: int64, or float32 where one is a float."""
    return np.arange(start, stop, step, dtype=dtype)


@composite(samples=cases(call(0.0, 1.0, 5), call("f64[]", "f64[]", 4), call(0, 1, 4, endpoint=False),
                         call("f32[2]", 2.0, 1), call(1.0, 3.0, 0), call(0.0, "f64[2,1]", 3, dtype="f32")))  # fmt: skip
def linspace(start: Operand, stop: Operand, num: int = 50, *, endpoint: bool = True, dtype: Any = None) -> Node:
    """`num` numbers evenly apart from `start` to `stop`, or short of it without `endpoint`; differentiable in both.

    They lie along a new first axis where the ends are arrays.
    """
    if not isinstance(num, (int, np.integer)) or num < 0:
        raise ShapeError(f"expected the count of a linspace to be an int ≥ 0, got {num!r}")
    Type(np.dtype("float64"), as_shape(num))
    if isinstance(start, (int, float)) and isinstance(stop, (int, float)):
        return constant(np.linspace(start, stop, num, endpoint=endpoint).astype(as_dtype(dtype or "float32")))
    first, last = ops.add.lift((start, stop))
    exact = float_of(promote(first.dtype, last.dtype))
    rank = max(first.ndim, last.ndim)
    parts = np.linspace(0, 1, num, endpoint=endpoint).astype(exact).reshape(-1, *[1] * rank)
    result = first * (1 - parts) + last * parts
    return result if dtype is None else result.astype(dtype)


@composite(samples=cases(call("i64[4](-1,4)", 3), call("i64[2,2](0,3)", 3, dtype="bool"), call(1, 2), call("u8[0]", 2)))
def one_hot(indices: Operand, depth: int, dtype: Any = "float32") -> Node:
    """A 1 at each index along a new last axis of size `depth`, zeros elsewhere; all zeros for indices outside it."""
    node = lift(indices)
    if node.dtype.kind not in "iu":
        raise DTypeError(f"expected integers, got {node.type}", nodes=[node], remedy='use .astype("int64")')
    if not isinstance(depth, (int, np.integer, Dim)) or (not isinstance(depth, Dim) and depth < 0):
        raise ShapeError(f"expected a depth ≥ 0, got {depth!r}", remedy="give the number of classes")
    return ops.equal(node[..., None], arange(depth)).astype(dtype)
