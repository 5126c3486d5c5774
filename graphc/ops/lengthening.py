"""Ops that lengthen: room around the elements, the whole array over and over, each element several times."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphc import ops
from graphc.errors import GraphError, ShapeError
from graphc.ir import Node
from graphc.op import composite, lift, primitive
from graphc.operators import Operand
from graphc.ops.shape import Stored, broadcast_to, ravel, reshape
from graphc.samples import call, cases
from graphc.types import Shape, Type, as_shape, normalize_axis, show_shape

__all__ = ["pad", "repeat", "tile"]


def _widths(x: Operand, pad_width: Any, constant_values: complex = 0) -> Stored:
    node = lift(x)
    try:
        pairs = np.broadcast_to(np.asarray(pad_width, object), (node.ndim, 2))
    except ValueError:
        raise ShapeError(f"expected a width before and after each axis of {node.type}, got {pad_width!r}",
                         remedy="pass one width, one (before, after), or one such pair per axis") from None  # fmt: skip
    value = np.asarray(constant_values).astype(node.dtype).item()
    return (node,), {"pad_width": tuple(map(as_shape, pairs.tolist())), "constant_values": value}


def _padded(x: Type, *, pad_width: tuple[Shape, ...], constant_values: complex) -> Type:
    return x.with_shape(tuple(before + dim + after for dim, (before, after) in zip(x.shape, pad_width, strict=True)))


def _unpadded(g: Node, y: Node, x: Node, *, pad_width: tuple[Shape, ...], constant_values: complex) -> list[Node]:
    return [g[tuple(slice(before, before + dim) for dim, (before, _) in zip(x.shape, pad_width, strict=True))]]


@primitive(infer=_padded, name="pad", signature=_widths, vjp=_unpadded,
           samples=cases(call("f64[3]", pad_width=1), call("f64[2,3]", pad_width=(0, 2)), call("f64[]", pad_width=1),
                         call("f64[2,1]", pad_width=((1, 0), (2, 3)), constant_values=1.5),
                         call("i8[2]", pad_width=(1, 1), constant_values=-1), call("bool[2]", pad_width=1),
                         call("f32[0]", pad_width=((2, 0),))))  # fmt: skip
def _pad(x: Any, *, pad_width: tuple[tuple[int, int], ...], constant_values: complex, out: Any = None) -> Any:
    """Room before and after the elements of each axis, filled with a number."""
    before, after = zip(*pad_width, strict=True) if pad_width else ((), ())
    if out is None:
        out = np.empty(np.add(np.shape(x), np.add(before, after)).astype(int), np.asarray(x).dtype)
    out[...] = constant_values
    out[tuple(slice(start, start + size) for start, size in zip(before, np.shape(x), strict=True))] = x
    return out


_MODES = ("edge", "reflect", "symmetric", "wrap")


@composite(samples=cases(
    call("f64[3]", pad_width=2), *(call("f64[2,3]", pad_width=((1, 0), (1, 2)), mode=mode) for mode in _MODES),
    call("f64[2]", pad_width=((1, 3),), mode="constant", constant_values=7),
    call("f64[2]", pad_width=5, mode="reflect")))  # fmt: skip
def pad(x: Operand, pad_width: Any, mode: str = "constant", *, constant_values: complex = 0) -> Node:
    """Room before and after the elements of each axis: `pad_width` is a width, a pair of them, or a pair per axis.

    `mode` fills it with a number ("constant"), or with elements of the axis as np.pad does: "edge", "reflect",
    "symmetric" or "wrap"; these need an axis whose size is known when the graph is declared.
    """
    node = lift(x)
    if mode == "constant":
        return _pad(node, pad_width, constant_values=constant_values)
    if mode not in _MODES:
        raise GraphError(f"expected a mode of padding, got {mode!r}", remedy=f"use 'constant' or one of {_MODES}")
    for axis, width in enumerate(_widths(node, pad_width)[1]["pad_width"]):
        if width != (0, 0):
            node = _lengthened(node, axis, width, mode)
    return node


def _lengthened(x: Node, axis: int, width: tuple[int, int], mode: str) -> Node:
    """An axis with elements of its own before and after: parts of it side by side, where each is needed once."""
    size, (before, after) = _known_size(x, axis), width

    def part(start: int, stop: int) -> Node:
        return x[(slice(None),) * axis + (slice(start, stop),)]

    if mode == "edge":
        parts = [repeat(part(0, 1), before, axis), x, repeat(part(size - 1, size), after, axis)]
    elif max(width) > size - (mode == "reflect"):
        places = np.pad(np.arange(size), width, mode)  # type: ignore[call-overload]
        return ops.take(x, places, axis)
    elif mode == "wrap":
        parts = [part(size - before, size), x, part(0, after)]
    else:
        first, last = (1, size - 1) if mode == "reflect" else (0, size)
        parts = [ops.flip(part(first, first + before), axis), x, ops.flip(part(last - after, last), axis)]
    return ops.concatenate([part for part in parts if part.shape[axis] != 0], axis)


def _known_size(x: Node, axis: int) -> int:
    size = x.shape[axis]
    if isinstance(size, int) and size > 0:
        return size
    raise ShapeError(f"expected axis {axis} of {x.type} to have a size that is known and not 0",
                     remedy="pad with a constant, or declare the size")  # fmt: skip


@composite(samples=cases(call("f64[3]", reps=2), call("f64[2,3]", reps=(2, 1)), call("f64[3]", reps=(2, 3)),
                         call("f64[2,1,2]", reps=2), call("f64[]", reps=3), call("i64[2]", reps=0)))  # fmt: skip
def tile(x: Operand, reps: Any) -> Node:
    """The whole array over and over, side by side along each axis, `reps` times or so many times per axis."""
    node, counts = lift(x), as_shape(reps)
    rank = max(node.ndim, len(counts))
    sizes = (1,) * (rank - node.ndim) + node.shape
    counts = (1,) * (rank - len(counts)) + counts
    pairs = list(zip(counts, sizes, strict=True))
    apart = reshape(node, [dim for size in sizes for dim in (1, size)])
    repeated = broadcast_to(apart, [dim for pair in pairs for dim in pair])
    return reshape(repeated, [count * size for count, size in pairs])


@composite(samples=cases(call("f64[2,3]", repeats=2), call("f64[2,3]", repeats=3, axis=0), call("f64[]", repeats=2),
                         call("f64[2,3]", repeats=(1, 0, 2), axis=-1), call("i64[3]", repeats=0)))  # fmt: skip
def repeat(x: Operand, repeats: Any, axis: int | None = None) -> Node:
    """Each element so many times along an axis, by default along all in a row: one count for all, or one for each."""
    node = ravel(x) if axis is None else lift(x)
    at = normalize_axis(axis or 0, node.ndim)
    counts = as_shape(repeats)
    if len(counts) != 1:
        return _repeat_each(node, counts, at)
    before, size, after = node.shape[:at], node.shape[at], node.shape[at + 1 :]
    apart = broadcast_to(reshape(node, (*before, size, 1, *after)), (*before, size, counts[0], *after))
    return reshape(apart, (*before, size * counts[0], *after))


def _repeat_each(x: Node, counts: Shape, axis: int) -> Node:
    if x.shape[axis] != len(counts):
        raise ShapeError(f"expected a count for each element along axis {axis} of {x.type}, got {len(counts)} counts",
                         remedy="pass one count for all, or one for each")  # fmt: skip
    if not all(isinstance(count, int) for count in counts):
        raise ShapeError(f"expected a known count for each element, got {show_shape(counts)}",
                         remedy="pass one count for all, which may be a symbol")  # fmt: skip
    Type(np.dtype("int64"), (sum(counts),))
    return ops.take(x, np.repeat(np.arange(len(counts)), np.array(counts, int)), axis)
