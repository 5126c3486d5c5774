"""Advanced indexing: elements at positions that arrays hold, read (`gather`) and written (`scatter`, `scatter_add`).

`gather(x, i, j, axes=(0, 2), at=1)` looks up axes 0 and 2 of x at the positions i and j, broadcast together; their
common shape stands at axis 1 of the result, among the axes of x that remain. Negative positions count from the end;
positions outside raise IndexError when the graph runs, and ShapeError at once where they are known.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphc import ops
from graphc.errors import DTypeError, ShapeError
from graphc.ir import Node
from graphc.op import Cotangents, lift, primitive
from graphc.operators import Operand
from graphc.ops.indexing import check_part, copied, getitem
from graphc.ops.selection import split_index
from graphc.samples import call, cases
from graphc.types import AnyDim, Shape, Type, broadcast_shapes

__all__ = ["gather", "last_writes", "scatter", "scatter_add"]

Axes = tuple[int, ...]
Stored = tuple[Sequence[Any], dict[str, Any]]
LONG_ROW = 512
"""Elements from which a row is added by one NumPy call; shorter ones share a call, a chunk of them at a time."""
CHUNK = 1 << 16


def _gathered(x: Type, *indices: Type, axes: Axes, at: int) -> Type:
    _check_axes(x, indices, axes, at)
    rest = [dim for axis, dim in enumerate(x.shape) if axis not in axes]
    return x.with_shape((*rest[:at], *_block(indices), *rest[at:]))


def _block(indices: Sequence[Type]) -> Shape:
    """The shape of the positions, broadcast together."""
    return broadcast_shapes(*(i.shape for i in indices))


def _check_axes(x: Type, indices: Sequence[Type], axes: Axes, at: int) -> None:
    known = list(axes) == sorted(set(axes) & set(range(x.rank)))
    if not axes or not known or len(axes) != len(indices) or not 0 <= at <= x.rank - len(axes):
        raise ShapeError(f"expected an array of positions for each looked-up axis of {x}, in order, got axes {axes}, "
                         f"{len(indices)} arrays and a result that stands at axis {at}")  # fmt: skip
    _check_integers(indices)


def _check_integers(indices: Sequence[Type]) -> None:
    for index in indices:
        if index.dtype.kind not in "iu":
            raise DTypeError(f"expected integer positions, got {index}", remedy='convert them with .astype("int64")')


def _read(x: Operand, *indices: Any, axes: Axes | None = None, at: int | None = None) -> Stored:
    node = lift(x)
    if axes is not None:
        return (node, *map(lift, indices)), {"axes": axes, "at": at}
    basic, arrays, axes, at = split_index(node, *indices)
    return (getitem(node, index=basic) if basic else node, *arrays), {"axes": axes, "at": at}


def _gather_vjp(g: Node, y: Node, x: Node, *indices: Node, axes: Axes, at: int) -> Cotangents:
    return scatter_add(ops.zeros_like(x), g, *indices, axes=axes, at=at), *[None] * len(indices)


@primitive(infer=_gathered, signature=_read, vjp=_gather_vjp, effort=lambda y, *operands, **attrs: 2.0, temporaries=1,
           samples=cases(call("f64[4,3]", "i64[5](-4,4)", axes=(0,), at=0),
                         call("f64[2,4]", "i32[2,2](0,4)", axes=(1,), at=1),
                         call("f64[3,4]", "i64[3,1](0,3)", "u8[2](0,4)", axes=(0, 1), at=0),
                         call("f64[4]", "i64[](0,4)", axes=(0,), at=0),
                         call("f64[3,2,4]", "i64[2](0,3)", "i64[](0,4)", axes=(0, 2), at=1),
                         call("f32[3,4]", "i64[0]", axes=(0,), at=1), call("i64[3,4]", (1, [2, 0, 2])),
                         call("f64[3,4]", ([True, False, True], ..., [0, -1]))))  # fmt: skip
def gather(x: Any, *indices: Any, axes: Axes, at: int, out: Any = None) -> Any:
    """The elements of x at positions along some axes: `x[i]`, `x[:, i, j]`, `x[mask]` with a constant mask.

    Raises IndexError for positions outside x.
    """
    positions = [as_positions(index) for index in indices]
    if len(axes) == 1 and at == axes[0]:
        return _taken(x, positions[0], axes[0], out)
    key: list[Any] = [slice(None)] * np.ndim(x)
    for axis, position in zip(axes, positions, strict=True):
        key[axis] = position
    together = axes[-1] - axes[0] == len(axes) - 1
    rank = max(position.ndim for position in positions)
    lands = axes[0] if together or not rank else 0
    result = np.moveaxis(x[tuple(key)], range(lands, lands + rank), range(at, at + rank))
    return copied(result, out) if out is not None or not rank else result


def as_positions(index: Any) -> np.ndarray[Any, Any]:
    """Positions as NumPy's own integers; ones beyond the largest stay outside every array."""
    positions = np.asarray(index)
    if positions.dtype == np.uint64:
        positions = np.minimum(positions, np.iinfo(np.int64).max)
    return positions.astype(np.intp, copy=False)


def _taken(x: Any, positions: Any, axis: int, out: Any) -> Any:
    """np.take, which buffers its output unless told to wrap around: so the positions are checked here."""
    if out is None:
        return np.take(x, positions, axis)
    return np.take(x, _from_front(positions, x.shape[axis], axis), axis, out, mode="clip")


def _from_front(positions: Any, size: int, axis: int) -> Any:
    """Positions counted from the front, or IndexError."""
    if not positions.size:
        return positions
    low, high = positions.min(), positions.max()
    if low < -size or high >= size:
        raise IndexError(f"index {low if low < -size else high} is out of bounds for axis {axis} with size {size}")
    return np.where(positions < 0, positions + size, positions) if low < 0 else positions


def cells_of(indices: Sequence[Any], sizes: Sequence[int], strides: Sequence[int], axes: Sequence[int]) -> Any:
    """Where each tuple of positions lies, in elements: one array of the positions' common shape."""
    rows = zip(map(as_positions, indices), sizes, strides, axes, strict=True)
    return sum(_from_front(position, size, axis) * stride for position, size, stride, axis in rows)


def strides_of(shape: Sequence[int]) -> list[int]:
    """How many elements a step along each axis of a C-contiguous array passes."""
    return [int(np.prod(shape[axis + 1 :])) for axis in range(len(shape))]


def _lined_up(x: Any, value: Any, indices: Sequence[Any], axes: Axes, at: int) -> tuple[Any, Any, Any]:
    """Rows to write: where each starts in x, where its elements lie from there, and the values, one row each."""
    strides, others = strides_of(x.shape), [axis for axis in range(x.ndim) if axis not in axes]
    starts = np.asarray(cells_of(indices, [x.shape[a] for a in axes], [strides[a] for a in axes], axes))
    within = np.zeros(1, np.intp)
    for axis in others:
        within = np.add.outer(within, np.arange(x.shape[axis]) * strides[axis]).reshape(-1)
    rows = np.moveaxis(np.asarray(value), range(at, at + starts.ndim), range(starts.ndim))
    return starts.reshape(-1), within, rows.reshape(starts.size, within.size)


def _written(x: Type, value: Type, *indices: Type, axes: Axes, at: int) -> Type:
    check_part(value, _gathered(x, *indices, axes=axes, at=at))
    return x


def _added(x: Type, value: Type, *indices: Type, axes: Axes, at: int) -> Type:
    if x.dtype.kind == "b":
        raise DTypeError(f"expected numbers to add to, got {x}", remedy="use gr.set_at, or convert with .astype")
    return _written(x, value, *indices, axes=axes, at=at)


def _scatter_add_vjp(g: Node, y: Node, x: Node, value: Node, *indices: Node, axes: Axes, at: int) -> Cotangents:
    return g, gather(g, *indices, axes=axes, at=at), *[None] * len(indices)


WRITES = cases(call("f64[4,3]", "f64[5,3]", "i64[5](-4,4)", axes=(0,), at=0),
               call("f64[2,4]", "f64[2,2,2]", "i32[2,2](0,4)", axes=(1,), at=1),
               call("f64[3,4]", "f64[3,2]", "i64[3,1](0,3)", "u8[2](0,4)", axes=(0, 1), at=0),
               call("f64[4]", "f64[]", "i64[](0,4)", axes=(0,), at=0),
               call("f64[3,2,4]", "f64[2,2]", "i64[2](0,3)", "i64[](0,4)", axes=(0, 2), at=1),
               call("f32[3,4]", "f32[4,0]", "i64[0]", axes=(0,), at=1),
               call("i64[3]", "i64[4]", "i64[4](0,3)", axes=(0,), at=0))  # fmt: skip


@primitive(infer=_added, vjp=_scatter_add_vjp, samples=WRITES, effort=3, temporaries=2)
def scatter_add(x: Any, value: Any, *indices: Any, axes: Axes, at: int, out: Any = None) -> Any:
    """A copy of x with values added at positions, one after the other where positions repeat: the inverse of `gather`.

    Raises IndexError for positions outside x.
    """
    result = copied(x, out)
    starts, within, rows = _lined_up(result, value, indices, axes, at)
    flat = result.reshape(-1)
    if within.size >= LONG_ROW and within[-1] == within.size - 1:
        for start, row in zip(starts.tolist(), rows, strict=True):
            flat[start : start + row.size] += row
        return result
    chunk = max(1, CHUNK // max(1, within.size))
    for first in range(0, starts.size, chunk):
        some = slice(first, first + chunk)
        np.add.at(flat, np.add.outer(starts[some], within).reshape(-1), rows[some].reshape(-1))
    return result


def _scatter_vjp(g: Node, y: Node, x: Node, value: Node, *indices: Node, axes: Axes, at: int) -> Cotangents:
    """Where positions repeat, the last value written is the one that counts."""
    last = last_writes(*indices, sizes=tuple(x.shape[axis] for axis in axes))
    rest = x.ndim - len(axes) - at
    aligned = last[(..., *[None] * rest)] if rest else last
    unwritten = scatter(g, ops.zeros_like(value), *indices, axes=axes, at=at)
    return unwritten, ops.where(aligned, gather(g, *indices, axes=axes, at=at), 0), *[None] * len(indices)


@primitive(infer=_written, vjp=_scatter_vjp, samples=WRITES, effort=2, temporaries=2)
def scatter(x: Any, value: Any, *indices: Any, axes: Axes, at: int, out: Any = None) -> Any:
    """A copy of x with values put at positions; the last one stays where positions repeat.

    Raises IndexError for positions outside x.
    """
    result = copied(x, out)
    starts, within, rows = _lined_up(result, value, indices, axes, at)
    chunk = max(1, CHUNK // max(1, within.size))
    for first in range(0, starts.size, chunk):
        some = slice(first, first + chunk)
        result.reshape(-1)[np.add.outer(starts[some], within).reshape(-1)] = rows[some].reshape(-1)
    return result


def _truths(*indices: Type, sizes: tuple[AnyDim, ...]) -> Type:
    if len(sizes) != len(indices):
        raise ShapeError(f"expected the size of each of {len(indices)} axes, got {sizes}")
    _check_integers(indices)
    return Type(np.dtype("bool"), _block(indices))


@primitive(infer=_truths, vjp=lambda g, y, *indices, sizes: [None] * len(indices), temporaries=5,
           samples=cases(call("i64[6](-3,3)", sizes=(3,)), call("i64[2,1](0,2)", "i64[3](0,2)", sizes=(2, 2)),
                         call("i64[](0,3)", sizes=(3,)), call("u8[0]", sizes=(2,))))  # fmt: skip
def last_writes(*indices: Any, sizes: tuple[int, ...]) -> Any:
    """Which positions no later one repeats: the writes that last when values are put there one after the other."""
    cells = np.asarray(cells_of(indices, sizes, strides_of(sizes), range(len(sizes))))
    _, from_end = np.unique(cells.reshape(-1)[::-1], return_index=True)
    result = np.zeros(cells.size, bool)
    result[cells.size - 1 - from_end] = True
    return result.reshape(cells.shape)
