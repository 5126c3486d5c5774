"""Ops that put arrays together and take them apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphc.errors import GraphError, ShapeError
from graphc.ir import Node
from graphc.op import composite, lift, primitive
from graphc.operators import Operand
from graphc.ops.shape import Stored, atleast_1d, atleast_2d, expand_dims, ravel
from graphc.samples import call, cases
from graphc.types import AnyDim, Dim, TupleType, Type, normalize_axis, promote, unify

__all__ = ["array_split", "concatenate", "hstack", "split", "stack", "vstack"]

MOST_PIECES = 2**20
"""An array falls into no more: each piece is a value of the graph."""


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
    for node in nodes[1:]:
        _check_same_shape(nodes[0], node)
    return concatenate([expand_dims(node, axis) for node in nodes], axis)


def _check_same_shape(first: Node, other: Node) -> None:
    try:
        same = first.ndim == other.ndim and [unify(a, b) for a, b in zip(first.shape, other.shape, strict=True)]
    except ShapeError:
        same = False
    if same is False:
        raise ShapeError(f"stack expected arrays of one shape, got {first.type} and {other.type}", nodes=[first, other],
                         remedy="use gr.concatenate to join along an axis they have")  # fmt: skip


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
    node, cuts = lift(x), indices_or_sections
    stored = int(cuts) if isinstance(cuts, (int, np.integer)) else _indices(cuts)
    return (node,), {"indices_or_sections": stored, "axis": normalize_axis(axis, node.ndim)}


def _indices(cuts: Any) -> tuple[AnyDim, ...]:
    listed = tuple(cuts) if isinstance(cuts, (tuple, list, np.ndarray)) and np.ndim(cuts) == 1 else (cuts,)
    if all(isinstance(cut, (int, np.integer, Dim)) for cut in listed):
        return tuple(cut if isinstance(cut, Dim) else int(cut) for cut in listed)
    raise ShapeError(f"expected a number of pieces or a list of indices to split at, got {cuts!r}",
                     remedy="give whole numbers")  # fmt: skip


def _pieces(x: Type, *, indices_or_sections: int | tuple[AnyDim, ...], axis: int) -> TupleType:
    sizes = (_even if isinstance(indices_or_sections, int) else _between)(x, indices_or_sections, axis)
    return TupleType([x.with_shape((*x.shape[:axis], size, *x.shape[axis + 1 :])) for size in sizes])


def _checked(sections: int) -> int:
    if sections > MOST_PIECES:
        raise ShapeError(f"expected at most {MOST_PIECES} pieces, got {sections}",
                         remedy="use gr.reshape, which makes them rows of one value")  # fmt: skip
    return sections


def _even(x: Type, sections: Any, axis: int) -> list[AnyDim]:
    size = x.shape[axis]
    if sections < 1 or (isinstance(size, int) and size % sections):
        raise ShapeError(f"axis {axis} of {x} does not split into {sections} pieces of one size",
                         remedy="use a divisor of its size, indices, or gr.array_split")  # fmt: skip
    return [size // sections] * _checked(sections)


def _between(x: Type, indices: Any, axis: int) -> list[AnyDim]:
    size = x.shape[axis]
    ends = [*(_clipped(index, size) for index in indices), size]
    starts = [0, *ends[:-1]]
    if any(isinstance(a, int) and isinstance(b, int) and a > b for a, b in zip(starts, ends, strict=True)):
        raise ShapeError(f"expected indices in rising order to split axis {axis} of {x}, got {indices}",
                         remedy="sort them")  # fmt: skip
    return [end - start for start, end in zip(starts, ends, strict=True)]


def _clipped(index: AnyDim, size: AnyDim) -> AnyDim:
    """Where a cut falls, as NumPy's slices have it: negative ones count from the end, none falls outside."""
    if isinstance(index, int) and isinstance(size, int):
        return slice(index).indices(size)[1]
    return size + index if isinstance(index, int) and index < 0 else index


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
    if isinstance(sections, (int, np.integer)) and isinstance(size, int) and sections > 0:
        least, longer = divmod(size, _checked(int(sections)))
        return split(node, [at * least + min(at, longer) for at in range(1, sections)], axis)
    return split(node, sections, axis)
