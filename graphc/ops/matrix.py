"""Matrices with a pattern: the unit matrix, triangles and diagonals. `k` counts diagonals upwards from the main one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphc import ops
from graphc.errors import ShapeError
from graphc.ir import Node
from graphc.op import composite, lift, primitive
from graphc.operators import Operand
from graphc.ops.core import constant
from graphc.ops.creation import arange, zeros
from graphc.ops.gathering import gather, scatter, scatter_add
from graphc.samples import call, cases
from graphc.types import AnyDim, Type, as_dim, as_dtype, normalize_axis

__all__ = ["diag", "diagonal", "eye", "identity", "trace", "tri", "tril", "triu"]


def _sizes(N: Any, M: Any = None, k: int = 0, dtype: Any = "float32") -> tuple[Sequence[Node], dict[str, Any]]:
    rows = as_dim(N)
    return (), {"N": rows, "M": rows if M is None else as_dim(M), "k": _diagonal_number(k), "dtype": as_dtype(dtype)}


def _diagonal_number(k: Any) -> int:
    if not isinstance(k, (int, np.integer)) or isinstance(k, bool):
        raise ShapeError(f"expected the number of a diagonal to be an int, got {k!r}")
    return int(k)


def _matrix(*, N: AnyDim, M: AnyDim, k: int, dtype: np.dtype[Any]) -> Type:
    return Type(dtype, (N, M))


SIZES = cases(call(3), call(2, 4, 1), call(4, 2, k=-1, dtype="int64"), call(0), call(3, 3, 9, dtype="bool"),
              call(2, k=-5, dtype="f64"))  # fmt: skip


@primitive(infer=_matrix, signature=_sizes, samples=SIZES)
def eye(*, N: Any, M: Any, k: int, dtype: np.dtype[Any]) -> Any:
    """A matrix of N rows and M (N) columns with ones on diagonal k (0) and zeros elsewhere."""
    return np.eye(N, M, k, dtype)


@primitive(infer=_matrix, signature=_sizes, samples=SIZES)
def tri(*, N: Any, M: Any, k: int, dtype: np.dtype[Any]) -> Any:
    """A matrix of N rows and M (N) columns with ones on and below diagonal k (0) and zeros elsewhere."""
    return np.tri(N, M, min(max(k, -N), M), dtype)


@composite(samples=cases(call(3), call(0, dtype="i64")))
def identity(n: Any, dtype: Any = "float32") -> Node:
    """The unit matrix of n rows and columns."""
    return eye(n, dtype=dtype)


TRIANGLES = cases(call("f64[3,3]"), call("f64[2,3,4]", 1), call("f32[4,2]", k=-1), call("i64[3]"), call("bool[2,2]"),
                  call("f64[0,2]"))  # fmt: skip


@composite(samples=TRIANGLES)
def tril(x: Operand, k: int = 0) -> Node:
    """The last two axes with zeros above diagonal k."""
    node = lift(x)
    return ops.where(_below(node, k), node, constant(0, node.dtype))


@composite(samples=TRIANGLES)
def triu(x: Operand, k: int = 0) -> Node:
    """The last two axes with zeros below diagonal k."""
    node = lift(x)
    return ops.where(_below(node, _diagonal_number(k) - 1), constant(0, node.dtype), node)


def _below(x: Node, k: int) -> Node:
    if not x.ndim:
        raise ShapeError(f"expected a matrix, got {x.type}", nodes=[x], remedy="a value of rank 0 has no triangle")
    return tri(*x.shape[-2:], k=k, dtype=bool)


@composite(samples=cases(call("f64[3,3]"), call("f64[3,4]", 1), call("f64[4,3]", -2), call("f64[2,3,4]", 0, -1, 0),
                         call("f32[2,2]", 5), call("i64[2,3,4]", offset=1, axis1=2, axis2=1)))  # fmt: skip
def diagonal(x: Operand, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Node:
    """A diagonal of the matrices that two axes span, along a new last axis."""
    node, offset = lift(x), _diagonal_number(offset)
    first, second = normalize_axis(axis1, node.ndim), normalize_axis(axis2, node.ndim)
    if first == second:
        raise ShapeError(f"expected two axes, got axis {axis1} twice", nodes=[node], remedy="name two axes")
    rows, columns = _positions(_length(node, first, second, offset), offset)
    if first > second:
        rows, columns = columns, rows
    return gather(node, rows, columns, axes=tuple(sorted((first, second))), at=node.ndim - 2)


def _length(x: Node, first: int, second: int, k: int) -> AnyDim:
    """How long diagonal k is; on a square of symbolic size k is taken as lying within."""
    rows, columns = x.shape[first], x.shape[second]
    if isinstance(rows, int) and isinstance(columns, int):
        return max(0, min(rows + min(k, 0), columns - max(k, 0)))
    if rows != columns:
        raise ShapeError(f"how long a diagonal of {x.type} is depends on {rows} and {columns}", nodes=[x],
                         remedy="declare axes of integer sizes, or of one name where the matrix is square")  # fmt: skip
    return rows - abs(k)


def _positions(length: AnyDim, k: int) -> list[Node]:
    """The rows and the columns of the elements on diagonal k."""
    return [arange(start, length + start) if start else arange(length) for start in (max(-k, 0), max(k, 0))]


@composite(samples=cases(call("f64[3]"), call("f64[3]", 1), call("f32[2]", -2), call("f64[3,3]"), call("f64[3,2]", -1),
                         call("i64[0]"), call("bool[2]")))  # fmt: skip
def diag(x: Operand, k: int = 0) -> Node:
    """A vector as diagonal k of a matrix of zeros; of a matrix, its diagonal k."""
    node = lift(x)
    if node.ndim == 2:
        return diagonal(node, k)
    if node.ndim != 1:
        raise ShapeError(f"expected a vector or a matrix, got {node.type}", nodes=[node], remedy="use gr.diagonal")
    length, k = node.shape[0], _diagonal_number(k)
    size = length + abs(k)
    write = scatter if node.dtype.kind == "b" else scatter_add
    return write(zeros((size, size), node.dtype), node, *_positions(length, k), axes=(0, 1), at=0)


@composite(samples=cases(call("f64[3,3]"), call("f64[2,4]", 1), call("f64[2,3,3]", 0, 1, 2), call("i8[2,2]"),
                         call("f32[3,2]", offset=-1)))  # fmt: skip
def trace(x: Operand, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Node:
    """The sum over a diagonal of the matrices that two axes span."""
    return ops.sum(diagonal(x, offset, axis1, axis2), axis=-1)
