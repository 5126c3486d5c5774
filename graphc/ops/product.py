"""Products that sum: matrix products, inner and outer products, tensordot. (Einstein sums: einstein.py.)"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from graphc import ops
from graphc.errors import ShapeError
from graphc.ir import Node
from graphc.op import Cut, composite, primitive
from graphc.operators import Operand
from graphc.samples import call, cases
from graphc.types import Shape, Type, broadcast_shapes, normalize_axis, product, promote, unify

__all__ = ["dot", "inner", "matmul", "outer", "tensordot", "vdot"]


def _matmul_type(a: Type, b: Type) -> Type:
    """(..., m, k) and (..., k, n) give (..., m, n); a vector is a matrix of one row (left) or one column (right)."""
    if not a.rank or not b.rank:
        raise ShapeError(f"matmul expected operands of rank 1 or more, got {a} and {b}",
                         remedy="scale by a number with *")  # fmt: skip
    try:
        unify(a.shape[-1], b.shape[-2:][0])
    except ShapeError as problem:
        raise ShapeError(f"matmul expected equal inner dims, got {a} and {b}: {problem.problem}",
                         remedy=_remedy_for_inner_dims(a, b)) from None  # fmt: skip
    try:
        batch = broadcast_shapes(a.shape[:-2], b.shape[:-2])
    except ShapeError:
        raise ShapeError(f"matmul expected dims before the last two that broadcast together, got {a} and {b}",
                         remedy="make them equal, or 1 where a matrix should repeat") from None  # fmt: skip
    columns = b.shape[-1:] if b.rank > 1 else ()
    return Type(promote(a.dtype, b.dtype), (*batch, *a.shape[-2:-1], *columns))


def _remedy_for_inner_dims(a: Type, b: Type) -> str:
    matrices = a.rank <= 2 and b.rank <= 2
    swap = "transpose the {} operand (.T)" if matrices else "swap the last two axes of the {} operand"
    if b.rank > 1 and a.shape[-1] == b.shape[-1]:
        return swap.format("second")
    if a.rank > 1 and a.shape[-2] == b.shape[-2:][0]:
        return swap.format("first")
    if a.rank > 1 and b.rank > 1 and a.shape[-2] == b.shape[-1]:
        return "exchange the operands"
    return "the first operand's last dim must be the second's last but one (of a vector, its only one)"


def swapped(x: Node) -> Node:
    """A matrix, or each of a batch of them, transposed."""
    return x.T if x.ndim == 2 else ops.swapaxes(x, -1, -2)


def _matmul_vjp(g: Node, y: Node, a: Node, b: Node) -> tuple[Node, Node]:
    """For matrices dA = G Bᵀ and dB = Aᵀ G. An operand without batch dims sums over the other's in one product."""
    if a.ndim == 1 and b.ndim == 1:
        return g * b, g * a
    if a.ndim == 1:
        return _summed(b, g, -2, None), ops.expand_dims(a, -1) * ops.expand_dims(g, -2)
    if b.ndim == 1:
        return ops.expand_dims(g, -1) * b, _summed(g, a, None, -1)
    da = _summed(g, b, -2, -2) if a.ndim == 2 < b.ndim else g @ swapped(b)
    db = _summed(a, g, -1, -1) if b.ndim == 2 < a.ndim else swapped(a) @ g
    return da, db


def _summed(a: Node, b: Node, kept_a: int | None, kept_b: int | None) -> Node:
    """The product of two values, summed over all axes but one of each (or over all, where that is None)."""
    over = [[axis for axis in range(x.ndim) if kept is None or axis != x.ndim + kept]
            for x, kept in ((a, kept_a), (b, kept_b))]  # fmt: skip
    return tensordot(a, b, over)


def _matmul_cuts(y: Type, a: Type, b: Type) -> list[Cut]:
    """Along the rows or columns of one matrix, the longer first; along the first axis of a batch. Parts of fewer than
    128 rows or columns (256 where there are many) cost BLAS more than 5 % of its speed."""
    if a.rank == b.rank == 2:
        cuts = [Cut(0, (0, None)), Cut(1, (None, 1))]
        return [cut._replace(least=128 if y.shape[cut.axis] < 1024 else 256)  # type: ignore[operator]
                for cut in sorted(cuts, key=lambda cut: -y.shape[cut.axis])]  # type: ignore[operator]
    if y.rank < 3:
        return []
    return [Cut(0, tuple(0 if x.rank == y.rank and x.shape[0] != 1 else None for x in (a, b)))]


@primitive(infer=_matmul_type, vjp=_matmul_vjp, effort=lambda y, a, b: 2.0 * a.shape[-1], cuts=_matmul_cuts, blas=True,
           samples=cases(
    call("f64[2,3]", "f64[3,4]"), call("f32[2,3]", "f32[3,2]"), call("f64[3]", "f64[3]"), call("f64[3]", "f64[3,2]"),
    call("f64[2,3]", "f64[3]"), call("f64[4,2,3]", "f64[3,5]"), call("f64[2,3]", "f64[4,3,2]"),
    call("f64[4,1,2,3]", "f64[5,3,2]"), call("f64[1,2,3]", "f64[4,3,2]"), call("f64[3]", "f64[2,3,4]"),
    call("f64[2,4,3]", "f64[3]"), call("f64[2,0]", "f64[0,3]"), call("f64[0,3]", "f64[3,2]"),
    call("f64[2,0,3]", "f64[3,2]"), call("f32[2,3]", "f64[3,2]"), call("f16[2,3]", "f16[3,2]"),
    call("i64[2,3]", "i64[3,2]"), call("i8[2,3]", "u8[3,2]"), call("bool[2,3]", "bool[3,2]"),
    call("i64[2,3]", "f32[3,2]"), call("f64[2,2,3]", "f64[3,0]")))  # fmt: skip
def matmul(a, b, *, out=None):
    """The matrix product: (..., m, k) and (..., k, n) give (..., m, n), y[m, n] = Σₖ a[m, k] b[k, n].

    The dims before the last two broadcast. An operand of rank 1 is a row on the left and a column on the right, without
    that axis in the result. Truth values give truth values (an or of ands); integers wrap around. Raises ShapeError for
    operands of rank 0, for inner dims that differ and for batch dims that do not broadcast.
    """
    if a.ndim > 2 == b.ndim and a.flags.c_contiguous and a.size and b.size:
        # One product with the rows of all matrices, where NumPy would make one product per matrix.
        shape, rows = (*a.shape[:-1], b.shape[-1]), a.reshape(-1, a.shape[-1])
        return np.matmul(rows, b, out=None if out is None else out.reshape(-1, b.shape[-1])).reshape(shape)
    return np.matmul(a, b, out=out)


@composite(samples=cases(
    call("f64[3]", "f64[3]"), call("f64[2,3]", "f64[3,4]"), call("f64[2,3]", "f64[3]"), call("f32[]", "f32[3]"),
    call("f64[]", "f64[2,2]"), call("f64[2,3]", "f64[4,3,2]"), call("f64[5,2,3]", "f64[3]"),
    call("i64[3]", "i64[3]")))  # fmt: skip
def dot(a: Operand, b: Operand) -> Node:
    """NumPy's dot: the sum over a's last axis and b's last but one; a product where an operand is a scalar.

    Shapes (..., k) and (..., k, n) give a.shape[:-1] + b.shape[:-2] + (n,): all pairs of what matmul would broadcast.
    """
    a, b = matmul.lift((a, b))
    if not a.ndim or not b.ndim:
        return a * b
    return a @ b if b.ndim <= 2 else tensordot(a, b, (-1, -2))


@composite(samples=cases(
    call("f64[3]", "f64[3]"), call("f64[2,3]", "f64[4,3]"), call("f64[2,3]", "f64[3]"), call("f32[2,3]", "f32[]"),
    call("f64[2,3]", "f64[4,2,3]"), call("i64[3]", "i64[3]")))  # fmt: skip
def inner(a: Operand, b: Operand) -> Node:
    """NumPy's inner product: the sum over the last axis of both; a product where an operand is a scalar.

    Shapes (..., k) and (..., k) give a.shape[:-1] + b.shape[:-1].
    """
    a, b = matmul.lift((a, b))
    return tensordot(a, b, (-1, -1)) if a.ndim and b.ndim else a * b


@composite(samples=cases(
    call("f64[3]", "f64[3]"), call("f64[2,3]", "f64[2,3]"), call("f64[2,3]", "f64[6]"),
    call("f64[]", "f64[]")))  # fmt: skip
def vdot(a: Operand, b: Operand) -> Node:
    """The scalar Σᵢ aᵢ bᵢ over all elements of two values of equal size."""
    a, b = (_reshaped(x, (x.size,)) for x in matmul.lift((a, b)))
    return a @ b


@composite(samples=cases(
    call("f64[3]", "f64[4]"), call("f64[2,2]", "f64[3]"), call("f32[]", "f32[3]"),
    call("i64[2]", "f64[3]")))  # fmt: skip
def outer(a: Operand, b: Operand) -> Node:
    """The products y[i, j] = a[i] b[j] of all elements of two values."""
    a, b = matmul.lift((a, b))
    return _reshaped(a, (a.size, 1)) * _reshaped(b, (b.size,))


Axes = int | Sequence[int | Sequence[int]]


@composite(samples=cases(
    call("f64[2,3]", "f64[3,4]", axes=1), call("f64[2,3,4]", "f64[3,4,2]"), call("f64[2]", "f64[3]", axes=0),
    call("f64[2,3,4]", "f64[4,5,3]", axes=((1, 2), (2, 0))), call("f64[2,3]", "f64[2,4]", axes=(0, 0)),
    call("f64[2,3]", "f64[4,3]", axes=(-1, -1)), call("f64[2,3,4]", "f64[4]", axes=1),
    call("f64[2]", "f64[2,3]", axes=1), call("f64[2,0]", "f64[0,3]", axes=1),
    call("i64[2,3]", "i64[3]", axes=1)))  # fmt: skip
def tensordot(a: Operand, b: Operand, axes: Axes = 2) -> Node:
    """The product of two values summed over pairs of axes, as one product of matrices.

    `axes` is a number n, for the last n axes of a and the first n of b, or two lists of axes that pair up. The result
    has a's other axes, then b's. Raises ShapeError for lists of different lengths and for paired dims that differ.
    """
    a, b = matmul.lift((a, b))
    over_a, over_b = _paired_axes(axes, a, b)
    if not over_a:
        return _reshaped(a, (*a.shape, *(1,) * b.ndim)) * b
    free_a, free_b = ([axis for axis in range(x.ndim) if axis not in over] for x, over in ((a, over_a), (b, over_b)))
    y = _matrix(a, free_a, over_a) @ _matrix(b, over_b, free_b)
    return _reshaped(y, (*_dims(a, free_a), *_dims(b, free_b)))


def _paired_axes(axes: Axes, a: Node, b: Node) -> tuple[tuple[int, ...], tuple[int, ...]]:
    if isinstance(axes, (int, np.integer)):
        axes = int(axes)
        if not 0 <= axes <= min(a.ndim, b.ndim):
            raise ShapeError(f"tensordot expected to sum over 0 to {min(a.ndim, b.ndim)} axes, got {axes}",
                             nodes=[a, b], remedy="pass how many axes pair up, or two lists of axes")  # fmt: skip
        axes = (tuple(range(a.ndim - axes, a.ndim)), tuple(range(axes)))
    if len(axes) != 2:
        raise ShapeError(f"tensordot expected axes to be a number or two lists, got {axes!r}", nodes=[a, b],
                         remedy="write axes=([1], [0])")  # fmt: skip
    over_a, over_b = (tuple(normalize_axis(axis, x.ndim) for axis in (one if isinstance(one, Iterable) else [one]))
                      for one, x in zip(axes, (a, b), strict=True))  # fmt: skip
    if not len(over_a) == len(over_b) == len({*over_a}) == len({*over_b}):
        raise ShapeError(f"tensordot expected two lists of distinct axes, equally long, got {axes!r}", nodes=[a, b],
                         remedy="list the axes of a, then the axes of b that they pair with")  # fmt: skip
    for i, j in zip(over_a, over_b, strict=True):
        try:
            unify(a.shape[i], b.shape[j])
        except ShapeError as problem:
            raise ShapeError(f"tensordot cannot pair axis {i} of a with axis {j} of b: {problem.problem}", nodes=[a, b],
                             remedy="pair axes of equal size") from None  # fmt: skip
    return over_a, over_b


def _dims(x: Node, axes: Iterable[int]) -> Shape:
    return tuple(x.shape[axis] for axis in axes)


def _matrix(x: Node, rows: Sequence[int], columns: Sequence[int]) -> Node:
    """A value as a matrix with some axes as its rows and the others as its columns; a vector where either are none."""
    shape = tuple(product(_dims(x, axes)) for axes in (rows, columns) if axes)
    order = (*rows, *columns)
    return _reshaped(x if order == tuple(range(x.ndim)) else ops.transpose(x, order), shape)


def _reshaped(x: Node, shape: Shape) -> Node:
    return x if x.shape == shape else ops.reshape(x, shape)
