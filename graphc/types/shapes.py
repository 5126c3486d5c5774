"""Shapes: tuples of dims, their broadcasting, and their axes."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import lru_cache
from typing import TypeAlias

import numpy as np

from graphc.errors import ShapeError
from graphc.types.dims import AnyDim, Dim, as_dim, broadcast_dim, product

Shape: TypeAlias = tuple[AnyDim, ...]
LARGEST_SIZE = 2**63 - 1


def as_shape(spec: object, owner: str = "") -> Shape:
    """A shape from what a user wrote: one dim or a sequence of them; None is a symbol named after its owner."""
    if isinstance(spec, np.ndarray):
        spec = spec.tolist()
    if spec is None or isinstance(spec, (int, str, Dim, np.integer)):
        spec = (spec,)
    if not isinstance(spec, Iterable):
        raise ShapeError(f"expected a shape, got {spec!r}", remedy='write a tuple such as ("batch", 784)')
    shape = tuple(as_dim(dim, owner and f"{owner}_dim{axis}") for axis, dim in enumerate(spec))
    size_of(shape)
    return shape


def size_of(shape: Shape) -> AnyDim:
    """How many elements a shape holds; raises when that passes 2⁶³ - 1."""
    size = math.prod(shape) if all(isinstance(dim, int) for dim in shape) else product(shape)
    if isinstance(size, int) and size > LARGEST_SIZE:
        raise ShapeError(f"{show_shape(shape)} has {size} elements, more than 2⁶³ - 1", remedy="use smaller dims")
    return size


def show_shape(shape: Shape) -> str:
    """A shape as it is printed: `[batch, 784]`."""
    return f"[{', '.join(map(str, shape))}]"


@lru_cache(maxsize=16384)
def broadcast_shapes(*shapes: Shape) -> Shape:
    """The common shape of several under NumPy's broadcasting."""
    result = shapes[0]
    for shape in shapes[1:]:
        if shape == result:
            continue
        rank = max(len(result), len(shape))
        try:
            pairs = zip(_left_pad(result, rank), _left_pad(shape, rank), strict=True)
            result = tuple(broadcast_dim(a, b) for a, b in pairs)
        except ShapeError as problem:
            both = f"{show_shape(result)} and {show_shape(shape)}"
            raise ShapeError(
                f"expected shapes that broadcast together, got {both}: {problem.problem}",
                remedy="make the dims equal, or reshape one operand so that a dim of 1 stands where it should repeat",
            ) from None
    return result


def _left_pad(shape: Shape, rank: int) -> Shape:
    return (1,) * (rank - len(shape)) + shape


def normalize_axis(axis: object, rank: int) -> int:
    """An axis counted from the left; raises when it is out of range."""
    if not isinstance(axis, (int, np.integer)) or isinstance(axis, bool):
        raise ShapeError(f"expected an axis to be an int, got {axis!r}", remedy="name one axis by its number")
    if not -rank <= axis < rank:
        raise ShapeError(
            f"axis {axis} is out of range for a value of rank {rank}",
            remedy=f"use an axis from {-rank} to {rank - 1}" if rank else "a value of rank 0 has no axes",
        )
    return int(axis) % rank


def normalize_axes(axes: object, rank: int) -> tuple[int, ...]:
    """Several axes counted from the left and sorted; None means all of them."""
    if axes is None:
        return tuple(range(rank))
    listed = axes if isinstance(axes, (tuple, list)) else (axes,)
    normalized = tuple(sorted(normalize_axis(axis, rank) for axis in listed))
    if len(set(normalized)) != len(normalized):
        raise ShapeError(f"axes {axes!r} name an axis twice", remedy="name each axis once")
    return normalized
