"""Basic indexing, NumPy's `x[1:, 0, None]`: views that read, and their inverse that writes.

The stored index has one part per axis of x, and None for every new axis, the trailing full slices left out:
":" for a whole axis, an int for a position, (start, stop, step) for a slice; bounds count from the front and lie within
the axis, and a stop of None means "past the front" of a slice that runs backwards. Positions may be symbolic dims:
`x[:-1]` of `f32[batch]` is stored as `((0, batch - 1, 1),)`.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from graphc import ops
from graphc.errors import DTypeError, ShapeError
from graphc.ir import Node
from graphc.op import lift, primitive
from graphc.operators import Index, Operand
from graphc.samples import call, cases
from graphc.types import AnyDim, Dim, Shape, Type, show_shape, unify

__all__ = ["getitem", "setitem"]

Bounds: TypeAlias = tuple[AnyDim, AnyDim | None, int]
BasicIndex: TypeAlias = tuple[AnyDim | Bounds | str | None, ...]
WHOLE = ":"
NOTHING: Bounds = (0, 0, 1)


def expanded(parts: Sequence[Any], rank: int, whole: Any = slice(None)) -> list[Any]:
    """The parts of an index with `...`, or what is missing at the end, replaced by parts that stand for whole axes."""
    used = sum(part is not Ellipsis and getattr(part, "basic", part) is not None for part in parts)
    if used > rank:
        raise ShapeError(f"expected at most {rank} indices for a value of rank {rank}, got {used}",
                         remedy="drop an index, or add axes first with None")  # fmt: skip
    dots = [at for at, part in enumerate(parts) if part is Ellipsis]
    if len(dots) > 1:
        raise ShapeError("expected at most one ... in an index, got more", remedy="write the other axes out as :")
    at = dots[0] if dots else len(parts)
    return [*parts[:at], *[whole] * (rank - used), *parts[at + 1 :]]


def stored_index(parts: Sequence[Any], shape: Shape) -> BasicIndex:
    """The stored form of ints, slices and None, one per axis of `shape` beside the new axes."""
    axes = iter(enumerate(shape))
    stored = [None if part is None else _stored_part(part, *next(axes)) for part in parts]
    while stored and stored[-1] == WHOLE:
        stored.pop()
    return tuple(stored)


def _stored_part(part: Any, axis: int, dim: AnyDim) -> Any:
    if isinstance(part, slice):
        return _bounds(part, dim)
    position = part if isinstance(part, Dim) else operator.index(part)
    if isinstance(position, int) and isinstance(dim, int) and not -dim <= position < dim:
        raise ShapeError(f"index {position} is out of range for axis {axis} of size {dim}",
                         remedy=f"use indices from {-dim} to {dim - 1}" if dim else "an empty axis has no elements")
    return _from_front(position, dim)


def _from_front(position: AnyDim, dim: AnyDim) -> AnyDim:
    return dim + position if isinstance(position, int) and position < 0 else position


def _bounds(part: slice, dim: AnyDim) -> Bounds | str:
    """A slice with its bounds counted from the front. On an axis of symbolic size the bounds are taken as within it."""
    start, stop, step = map(_slice_number, (part.start, part.stop, 1 if part.step is None else part.step))
    if not isinstance(step, int) or step == 0:
        raise ShapeError(f"expected the step of a slice to be an int other than 0, got {step}",
                         remedy="write x[::2], or x[::-1] to reverse")  # fmt: skip
    if isinstance(dim, int) and not isinstance(start, Dim) and not isinstance(stop, Dim):
        start, last, step = slice(start, stop, step).indices(dim)
        stop = last if last >= 0 else None
    else:
        _check_decidable(start, stop, step, dim)
        start = _from_front(start, dim) if start is not None else 0 if step > 0 else dim - 1
        stop = _from_front(stop, dim) if stop is not None else dim if step > 0 else None
    size = _count(start, stop, step)
    if isinstance(size, int) and size <= 0:
        return NOTHING
    return WHOLE if (start, stop, step) == (0, dim, 1) else (start, stop, step)


def _slice_number(bound: Any) -> AnyDim | None:
    if bound is None or isinstance(bound, Dim):
        return bound
    if isinstance(bound, Node):
        raise ShapeError("expected the bounds of a slice to be numbers known when the graph is declared, got a node",
                         nodes=[bound], remedy="use gr.take(x, start + gr.arange(count), axis)")  # fmt: skip
    try:
        return operator.index(bound)
    except TypeError:
        raise DTypeError(f"expected the bounds of a slice to be ints, got {bound!r}") from None


def _check_decidable(start: AnyDim | None, stop: AnyDim | None, step: int, dim: AnyDim) -> None:
    first, last = (start, stop) if step > 0 else (stop, start)
    if isinstance(first, int) and isinstance(last, int) and first < 0 <= last:
        raise ShapeError(f"how many elements lie from {first} to {last} on an axis of size {dim} depends on {dim}",
                         remedy="count both bounds from the same end, or declare an axis of integer size")  # fmt: skip


def _count(start: AnyDim, stop: AnyDim | None, step: int) -> AnyDim:
    span = stop - start if step > 0 else start - (-1 if stop is None else stop)  # type: ignore[operator]
    stride = abs(step)
    return span if stride == 1 else (span + (stride - 1)) // stride


def selected(x: Type, *, index: BasicIndex) -> Type:
    """The type of a basic selection from the stored index."""
    if sum(part is not None for part in index) > x.rank:
        raise ShapeError(f"index {index} has more parts than {x} has axes")
    dims: list[AnyDim] = []
    axis = 0
    for part in index:
        if part is None:
            dims.append(1)
            continue
        if isinstance(part, tuple):
            dims.append(_checked_count(part, x.shape[axis], axis))
        elif part == WHOLE:
            dims.append(x.shape[axis])
        else:
            _check_position(part, x.shape[axis], axis)
        axis += 1
    return x.with_shape((*dims, *x.shape[axis:]))


def _check_position(position: Any, dim: AnyDim, axis: int) -> None:
    if not isinstance(position, (int, Dim)):
        raise ShapeError(f'expected a stored index of ints, (start, stop, step), ":" and None, got {position!r}')
    if isinstance(position, int) and (position < 0 or (isinstance(dim, int) and position >= dim)):
        raise ShapeError(f"position {position} is not on axis {axis} of size {dim}", remedy="use a longer array")


def _checked_count(bounds: Bounds, dim: AnyDim, axis: int) -> AnyDim:
    start, stop, step = bounds
    low, high = (start, stop) if step > 0 else (0 if stop is None else stop + 1, start + 1)
    ends = [end for end in (0, low, high, dim) if isinstance(end, int)]
    if ends != sorted(ends):
        raise ShapeError(f"a slice from {start} to {stop} by {step} does not lie on axis {axis} of size {dim}",
                         remedy="use a longer array; an axis of integer size cuts the bounds as NumPy does")
    return _count(start, stop, step)


def _as_slices(index: BasicIndex) -> Any:
    """What NumPy takes. The closing `...` keeps a selection of rank 0 an array, which can be written to."""
    parts = [slice(None) if part == WHOLE else slice(*part) if isinstance(part, tuple) else part for part in index]
    return (*parts, ...)


def _read(x: Operand, key: Index = ..., *, index: BasicIndex | None = None) -> tuple[Sequence[Node], dict[str, Any]]:
    node = lift(x)
    if index is None:
        parts = key if isinstance(key, tuple) else (key,)
        index = stored_index(expanded(parts, node.ndim), node.shape)
    return (node,), {"index": index}


def _getitem_vjp(g: Node, y: Node, x: Node, *, index: BasicIndex) -> tuple[Node]:
    """Zeros with g in its place; where x has only got new axes, g without them: a view, through which masks move."""
    if all(part in (None, WHOLE) for part in index):
        return (ops.reshape(g, x.shape),)
    return (setitem(ops.zeros_like(x), g, index=index),)


@primitive(infer=selected, view=True, signature=_read,
           vjp=_getitem_vjp,
           samples=cases(call("f64[3,4]", index=(1,)), call("f64[5]", index=((1, 4, 2),)),
                         call("f64[4]", index=((3, None, -1),)), call("f64[3,4]", index=(":", (0, 3, 1))),
                         call("f64[2,3]", index=(None, 1, None)), call("f32[3]", index=(2,)),
                         call("f64[]", index=(None,)), call("i64[2,3]", index=((0, 0, 1),)),
                         call("f64[3,2,4]", (slice(None, None, -2), ..., -1)), call("bool[4]", slice(-3, 10))))
def getitem(x: Any, *, index: BasicIndex) -> Any:
    """The part of x that ints, slices, None and `...` select: `x[1:, ::-1, None, -1]`, a view."""
    return x[_as_slices(index)]


def _replaced(x: Type, value: Type, *, index: BasicIndex) -> Type:
    check_part(value, selected(x, index=index))
    return x


def check_part(value: Type, part: Type) -> None:
    """Raise unless values have the type of the selection they replace or add to."""
    remedy = "use gr.set_at or gr.add_at, which broadcast and convert"
    if value.dtype != part.dtype:
        raise DTypeError(f"expected values of dtype {part.dtype} for the selection, got {value}", remedy=remedy)
    try:
        if value.rank != part.rank:
            raise ShapeError(f"the ranks are {value.rank} and {part.rank}")
        for have, want in zip(value.shape, part.shape, strict=True):
            unify(have, want)
    except ShapeError as error:
        raise ShapeError(f"expected values of shape {show_shape(part.shape)}, got {value}: {error.problem}",
                         remedy=remedy) from None  # fmt: skip


def copied(x: Any, out: Any) -> Any:
    """A C-contiguous copy of x to write to, in `out` where that is given."""
    if out is None:
        return np.array(x, order="C")
    np.copyto(out, x)
    return out


def _write(x: Operand, value: Operand, *, index: BasicIndex) -> tuple[Sequence[Any], dict[str, Any]]:
    return (lift(x), value), {"index": index}


@primitive(infer=_replaced, signature=_write,
           vjp=lambda g, y, x, value, *, index: (setitem(g, ops.zeros_like(value), index=index),
                                                 getitem(g, index=index)),
           samples=cases(call("f64[3,4]", "f64[4]", index=(1,)), call("f64[5]", "f64[2]", index=((1, 4, 2),)),
                         call("f64[2,3]", "f64[1,2,1]", index=(None, ":", (0, 1, 1))),
                         call("f32[3]", "f32[]", index=(2,)), call("i64[4]", "i64[4]", index=((3, None, -1),))))
def setitem(x: Any, value: Any, *, index: BasicIndex, out: Any = None) -> Any:
    """A copy of x in which the part that a stored index selects is replaced."""
    result = copied(x, out)
    result[_as_slices(index)] = value
    return result
