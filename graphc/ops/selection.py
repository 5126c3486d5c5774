"""NumPy's rules for an index that holds arrays: what is basic, what is looked up, and where the result stands."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from graphc.errors import DTypeError, ShapeError
from graphc.ir import Node
from graphc.op import lift
from graphc.operators import OPS, selects
from graphc.ops.core import as_constant
from graphc.ops.indexing import BasicIndex, expanded, stored_index
from graphc.types import AnyDim


class Selection(NamedTuple):
    """An index taken apart: first a basic selection, then lookups at `arrays` along `axes` of it."""

    basic: BasicIndex
    arrays: tuple[Node, ...]
    axes: tuple[int, ...]
    at: int


class Part(NamedTuple):
    """One part of an index: what basic indexing does with it, and what is looked up along the axis that this leaves."""

    basic: Any
    array: Node | None = None
    advanced: bool = False
    size: int | None = None
    """The size that the axis must have: a mask's own."""


def split_index(x: Node, key: Any) -> Selection:
    """The lookups that an index asks for.

    They take the place of the arrays where these stand side by side (ints beside arrays count as arrays), and come
    first where a slice, None or `...` parts them. A constant mask becomes the positions of its True entries.
    """
    listed: list[Any] = []
    for part in key if isinstance(key, tuple) else (key,):
        listed += _as_parts(part)
    parts: list[Part] = expanded(listed, x.ndim, Part(slice(None)))
    basic = stored_index([part.basic for part in parts], x.shape)
    _check_known(x, parts)
    left = [part for part in parts if part.array is not None or not part.advanced]
    looked_up = tuple((axis, part.array) for axis, part in enumerate(left) if part.array is not None)
    first = next((at for at, part in enumerate(parts) if part.advanced), 0)
    return Selection(basic, tuple(array for _, array in looked_up), tuple(axis for axis, _ in looked_up),
                     first if _side_by_side(listed) else 0)  # fmt: skip


def _as_parts(part: Any) -> list[Any]:
    if part is Ellipsis:
        return [part]
    if not selects(part):
        return [Part(part, advanced=part is not None and not isinstance(part, slice))]
    value = known_value(part)
    if value is not None and value.dtype.kind == "b":
        return _mask_parts(value)
    return [Part(slice(None), _integers(part, value), advanced=True)]


def known_value(part: Any) -> np.ndarray[Any, Any] | None:
    """The array that a part is, or that a constant holds; None for other nodes."""
    if not isinstance(part, Node):
        return as_constant(part)
    return part.attrs["value"] if part.op is OPS["constant"] else None


def _mask_parts(mask: np.ndarray[Any, Any]) -> list[Part]:
    if not mask.ndim:
        return [Part(None, lift(np.zeros(int(mask), np.int64)), advanced=True)]
    return [Part(slice(None), lift(positions), True, size)
            for positions, size in zip(mask.nonzero(), mask.shape, strict=True)]  # fmt: skip


def _integers(part: Any, value: np.ndarray[Any, Any] | None) -> Node:
    if value is not None and not value.size and not isinstance(part, (Node, np.ndarray)):
        return lift(value.astype(np.int64))
    node = lift(part)
    if node.dtype.kind == "b":
        raise ShapeError(f"how many elements a mask of type {node.type} selects is not known before the graph runs",
                         nodes=[node], remedy="use gr.where(mask, x, 0); gr.set_at takes masks")  # fmt: skip
    if node.dtype.kind not in "iu":
        raise DTypeError(f"expected positions to be integers, got {node.type}", nodes=[node],
                         remedy='convert them with .astype("int64")')  # fmt: skip
    return node


def _side_by_side(listed: list[Any]) -> bool:
    advanced = [part is not Ellipsis and part.advanced for part in listed]
    return True not in advanced or all(advanced[advanced.index(True) : len(advanced) - advanced[::-1].index(True)])


def _check_known(x: Node, parts: list[Part]) -> None:
    axes = iter(enumerate(x.shape))
    for part in parts:
        if part.basic is not None:
            axis, dim = next(axes)
            _check_mask(part, axis, dim)
            if part.array is not None:
                check_positions(part.array, axis, dim)


def _check_mask(part: Part, axis: int, dim: AnyDim) -> None:
    if part.size is not None and part.size != dim:
        raise ShapeError(f"expected a mask of size {dim} along axis {axis}, got {part.size}",
                         remedy="give the mask the axis's size, or index with the positions np.flatnonzero(mask)")


def check_positions(positions: Node, axis: int, dim: AnyDim) -> None:
    """Raise for constant positions outside an axis of known size."""
    value = known_value(positions)
    if isinstance(dim, int) and value is not None and value.size and not -dim <= value.min() <= value.max() < dim:
        outside = value.min() if value.min() < -dim else value.max()
        raise ShapeError(f"index {outside} is out of range for axis {axis} of size {dim}",
                         remedy=f"use indices from {-dim} to {dim - 1}" if dim else "an empty axis has no elements")
