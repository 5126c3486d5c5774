"""Ops that put arrays together, take them apart, and lengthen them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphc import ops
from graphc.errors import GraphError, ShapeError
from graphc.ir import Node
from graphc.op import composite, lift, primitive
from graphc.operators import Operand
from graphc.ops.shape import Stored, atleast_1d, atleast_2d, broadcast_to, expand_dims, ravel, reshape
from graphc.samples import call, cases
from graphc.types import AnyDim, Dim, Shape, TupleType, Type, as_shape, normalize_axis, promote, unify

__all__ = ["array_split", "concatenate", "hstack", "pad", "repeat", "split", "stack", "tile", "vstack"]


# Joining.


def _joined(*types: Type, axis: int) -> Type:
    first = types[0]
    for kind in types[1:]:
        _check_same_but_for(axis, first, kind)
    length: AnyDim = sum((kind.shape[axis] for kind in types[1:]), first.shape[axis])
    return Type(promote(*(kind.dtype for kind in types)), (*first.shape[:axis], length, *first.shape[axis + 1 :]))


def _check_same_but_for(axis: int, first: Type, other: Type) -> None:
    try:
        if first.rank != other.rank:
            raise ShapeError("their ranks differ")
        for at, (a, b) in enumerate(zip(first.shape, other.shape, strict=True)):
            if at != axis:
                unify(a, b)
    except ShapeError as error:
        raise ShapeError(f"{first} and {other} do not join along axis {axis}: {error.problem}",
                         remedy="make the shapes equal in every other axis") from None  # fmt: skip


def _parted(g: Node, y: Node, *arrays: Node, axis: int) -> list[Node]:
    ends: list[AnyDim] = [arrays[0].shape[axis]]
    for array in arrays[1:-1]:
        ends.append(ends[-1] + array.shape[axis])
    return [g] if len(arrays) == 1 else list(split(g, ends, axis))


@primitive(infer=_joined, name="concatenate", vjp=_parted,
           samples=cases(call("f64[2]", "f64[3]", axis=0), call("f64[2,1]", "f64[2,3]", "f64[2,0]", axis=1),
                         call("f32[2,2]", "f64[1,2]", axis=0), call("f64[3]", axis=0),
                         call("i8[2]", "bool[1]", axis=0)))  # fmt: skip
def _concatenate(*arrays: Any, axis: int, out: Any = None) -> Any:
    """Arrays joined along an axis that they all have."""
    return np.concatenate(arrays, axis=axis, out=out)


def _listed(arrays: Sequence[Operand]) -> list[Node]:
    if not isinstance(arrays, (list, tuple)) or not arrays:
        raise GraphError(f"expected a list of nodes or arrays, got {arrays!r}", remedy="pass [a, b, …], at least one")
    return [lift(array) for array in arrays]


@composite(samples=cases(call(["f64[2,3]", "f64[1,3]"]), call(["f64[2]", "f64[2,2]"], axis=None),
                         call(["i64[2,1]", "f32[2,2]"], axis=-1)))  # fmt: skip
def concatenate(arrays: Sequence[Operand], axis: int | None = 0) -> Node:
    """Arrays joined along an axis that they all have; axis None joins their elements in a row."""
    nodes = _listed(arrays)
    if axis is None:
        return _concatenate(*map(ravel, nodes), axis=0)
    return _concatenate(*nodes, axis=normalize_axis(axis, nodes[0].ndim))


@composite(samples=cases(call(["f64[3]", "f64[3]"]), call(["f64[2,3]", "f64[2,3]"], axis=-1),
                         call(["f64[]", "f64[]", "f64[]"])))  # fmt: skip
def stack(arrays: Sequence[Operand], axis: int = 0) -> Node:
    """Arrays of one shape, side by side along a new axis."""
    nodes = _listed(arrays)
    return concatenate([expand_dims(node, axis) for node in nodes], axis)


@composite(samples=cases(call(["f64[3]", "f64[3]"]), call(["f64[1,3]", "f64[2,3]"])))
def vstack(arrays: Sequence[Operand]) -> Node:
    """Arrays below each other: joined along the first axis, vectors as rows."""
    return concatenate([atleast_2d(node) for node in _listed(arrays)], 0)


@composite(samples=cases(call(["f64[3]", "f64[2]"]), call(["f64[2,3]", "f64[2,1]"])))
def hstack(arrays: Sequence[Operand]) -> Node:
    """Arrays beside each other: joined along the second axis, vectors along their only one."""
    nodes = [atleast_1d(node) for node in _listed(arrays)]
    return concatenate(nodes, 1 if nodes[0].ndim > 1 else 0)


# Parting.


def _cuts(x: Operand, indices_or_sections: Any, axis: int = 0) -> Stored:
    node = lift(x)
    cuts = indices_or_sections
    one = isinstance(cuts, (int, np.integer))
    stored = int(cuts) if one else tuple(cut if isinstance(cut, Dim) else int(cut) for cut in cuts)
    return (node,), {"indices_or_sections": stored, "axis": normalize_axis(axis, node.ndim)}


def _pieces(x: Type, *, indices_or_sections: int | tuple[AnyDim, ...], axis: int) -> TupleType:
    sizes = (_even if isinstance(indices_or_sections, int) else _between)(x, indices_or_sections, axis)
    return TupleType([x.with_shape((*x.shape[:axis], size, *x.shape[axis + 1 :])) for size in sizes])


def _even(x: Type, sections: Any, axis: int) -> list[AnyDim]:
    size = x.shape[axis]
    if sections < 1 or (isinstance(size, int) and size % sections):
        raise ShapeError(f"axis {axis} of {x} does not split into {sections} pieces of one size",
                         remedy="use a divisor of its size, indices, or gr.array_split")  # fmt: skip
    return [size // sections] * sections


def _between(x: Type, indices: Any, axis: int) -> list[AnyDim]:
    size = x.shape[axis]
    ends = [*indices, size] if isinstance(size, Dim) else [_clipped(index, size) for index in (*indices, size)]
    starts = [0, *ends[:-1]]
    if any(isinstance(a, int) and isinstance(b, int) and a > b for a, b in zip(starts, ends, strict=True)):
        raise ShapeError(f"expected indices in rising order to split axis {axis} of {x}, got {indices}",
                         remedy="sort them")  # fmt: skip
    return [end - start for start, end in zip(starts, ends, strict=True)]


def _clipped(index: Any, size: int) -> Any:
    """Where a cut falls, as NumPy's slices have it: negative ones count from the end, none falls outside."""
    return index if isinstance(index, Dim) else slice(index).indices(size)[1]


@primitive(infer=_pieces, view=True, signature=_cuts,
           vjp=lambda g, y, x, *, indices_or_sections, axis: (concatenate(g, axis),),
           samples=cases(call("f64[4]", indices_or_sections=2), call("f64[2,6]", indices_or_sections=3, axis=-1),
                         call("f64[5,2]", indices_or_sections=(1, 3)), call("f32[4]", indices_or_sections=(2, 2, 9)),
                         call("i64[4]", indices_or_sections=[-1]),
                         call("f64[0,2]", indices_or_sections=2)))  # fmt: skip
def split(x: Any, *, indices_or_sections: Any, axis: int) -> Any:
    """Consecutive pieces along an axis: so many of one size, or cut at these indices. Unpack the result."""
    return tuple(np.split(x, indices_or_sections, axis))


@composite(samples=cases(call("f64[5]", indices_or_sections=3), call("f64[2,4]", indices_or_sections=2, axis=1)))
def array_split(x: Operand, indices_or_sections: Any, axis: int = 0) -> Node:
    """Consecutive pieces along an axis, as `split`, the first ones longer by one where the size does not divide."""
    node = lift(x)
    size = node.shape[normalize_axis(axis, node.ndim)]
    sections = indices_or_sections
    if isinstance(sections, int) and isinstance(size, int) and sections > 0:
        least, longer = divmod(size, sections)
        return split(node, [at * least + min(at, longer) for at in range(1, sections)], axis)
    return split(node, sections, axis)


# Lengthening.


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
            places = np.pad(np.arange(_known_size(node, axis)), width, mode)  # type: ignore[call-overload]
            node = ops.take(node, places, axis)
    return node


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
    if len(counts) > 1:
        return _repeat_each(node, counts, at)
    before, size, after = node.shape[:at], node.shape[at], node.shape[at + 1 :]
    apart = broadcast_to(reshape(node, (*before, size, 1, *after)), (*before, size, counts[0], *after))
    return reshape(apart, (*before, size * counts[0], *after))


def _repeat_each(x: Node, counts: Shape, axis: int) -> Node:
    if x.shape[axis] != len(counts):
        raise ShapeError(f"expected a count for each element along axis {axis} of {x.type}, got {len(counts)} counts",
                         remedy="pass one count for all, or one for each")  # fmt: skip
    return ops.take(x, np.repeat(np.arange(len(counts)), np.array(counts, int)), axis)
