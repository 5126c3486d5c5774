"""Ops that rearrange: the same elements under another shape or order of axes, copied only where they must be."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from graphc import ops
from graphc.errors import ShapeError
from graphc.ir import Node
from graphc.op import composite, lift, primitive
from graphc.operators import Operand
from graphc.ops.indexing import copied
from graphc.samples import call, cases
from graphc.types import (
    AnyDim,
    Shape,
    Type,
    as_shape,
    broadcast_shapes,
    normalize_axes,
    normalize_axis,
    show_shape,
    size_of,
    unify,
)

__all__ = [
    "atleast_1d", "atleast_2d", "broadcast_arrays", "broadcast_to", "expand_dims", "flatten", "flip", "moveaxis",
    "ravel", "reshape", "roll", "squeeze", "swapaxes", "transpose",
]  # fmt: skip

Axes = int | Sequence[int]
Stored = tuple[Sequence[Node], dict[str, Any]]
"""Operands and attributes as a node keeps them: what a signature makes of a user's call."""


def _broadcasted(x: Type, *, shape: Shape) -> Type:
    lead = len(shape) - x.rank
    try:
        if lead < 0:
            raise ShapeError("its rank is higher")
        for have, want in zip(x.shape, shape[lead:], strict=True):
            if have != 1:
                unify(have, want)
    except ShapeError as error:
        problem = f"{x} does not broadcast to {show_shape(shape)}: {error.problem}"
        raise ShapeError(problem, remedy="only dims of 1 repeat, and new axes come first") from None
    return x.with_shape(shape)


def _summed(g: Node, y: Node, x: Node, *, shape: Shape) -> list[Node]:
    return [ops.sum_to(g, x.shape)]


@primitive(infer=_broadcasted, view=True, signature=lambda x, shape: ((lift(x),), {"shape": as_shape(shape)}),
           vjp=_summed,
           samples=cases(call("f64[3]", shape=(2, 3)), call("f64[2,1]", shape=(4, 2, 3)),
                         call("f64[]", shape=(2, 2)), call("f32[1,3]", shape=(0, 3)), call("i64[2]", shape=2),
                         call("f64[1]", shape=(1,))))  # fmt: skip
def broadcast_to(x: Any, *, shape: tuple[int, ...]) -> Any:
    """The elements repeated along new leading axes and along axes of size 1."""
    return np.broadcast_to(x, shape)


def _with_shape(x: Operand, shape: Any) -> Stored:
    node = lift(x)
    listed = list(shape) if isinstance(shape, (tuple, list)) else [shape]
    open_axes = [axis for axis, dim in enumerate(listed) if isinstance(dim, (int, np.integer)) and dim == -1]
    if len(open_axes) > 1:
        raise ShapeError(f"expected at most one dim of -1, got {shape!r}", remedy="write the other sizes out")
    for axis in open_axes:
        listed[axis] = _remaining(node.array_type, as_shape([*listed[:axis], *listed[axis + 1 :]]))
    return (node,), {"shape": as_shape(listed)}


def _remaining(x: Type, known: Shape) -> AnyDim:
    """The dim that -1 stands for."""
    size, rest = x.size, size_of(known)
    if rest == 0 or (isinstance(size, int) and isinstance(rest, int) and size % rest):
        raise ShapeError(f"the {size} elements of {x} leave no whole size for the dim -1 beside {show_shape(known)}",
                         remedy="choose dims whose product divides the number of elements")  # fmt: skip
    return size if rest == 1 else size // rest


def _reshaped(x: Type, *, shape: Shape) -> Type:
    try:
        unify(x.size, size_of(shape))
    except ShapeError:
        raise ShapeError(f"{x} has {x.size} elements, but {show_shape(shape)} has {size_of(shape)}",
                         remedy="make the products of the dims equal, or let one dim be -1") from None  # fmt: skip
    return x.with_shape(shape)


@primitive(infer=_reshaped, view=True, signature=_with_shape,
           vjp=lambda g, y, x, *, shape: (g.reshape(x.shape),),
           samples=cases(call("f64[2,3]", shape=(3, 2)), call("f64[4,3]", shape=(2, -1)), call("f64[]", shape=(1, 1)),
                         call("f32[1]", shape=()), call("i64[6]", shape=[2, 3]), call("f64[0,3]", shape=(3, 0, 5)),
                         call("f64[2,3,4]", shape=-1)))  # fmt: skip
def reshape(x: Any, *, shape: tuple[int, ...]) -> Any:
    """The same elements, the last axis running fastest, in another shape; one dim may be -1, for what remains."""
    return np.reshape(x, shape)


def _permutation(x: Operand, axes: Sequence[int] | None = None) -> Stored:
    node = lift(x)
    axes = range(node.ndim)[::-1] if axes is None else axes
    listed = axes if isinstance(axes, Iterable) else (axes,)
    order = tuple(normalize_axis(axis, node.ndim) for axis in listed)
    if sorted(order) != list(range(node.ndim)):
        raise ShapeError(f"expected each axis of {node.type} once, got axes {tuple(listed)}",
                         remedy=f"list the axes 0 to {node.ndim - 1} in their new order")  # fmt: skip
    return (node,), {"axes": order}


@primitive(infer=lambda x, *, axes: x.with_shape(tuple(x.shape[axis] for axis in axes)),
           view=True, signature=_permutation,
           vjp=lambda g, y, x, *, axes: (g.transpose([axes.index(axis) for axis in range(len(axes))]),),
           samples=cases(call("f64[2,3]"), call("f64[2,3,4]", axes=(1, 2, 0)), call("f64[2,3,4]", axes=(0, -1, 1)),
                         call("f64[]"), call("f32[3]"), call("i64[0,2]")))  # fmt: skip
def transpose(x: Any, *, axes: tuple[int, ...]) -> Any:
    """The axes reversed, or in the order given."""
    return np.transpose(x, axes)


def _all_axes(x: Operand, axis: Axes | None = None) -> Stored:
    node = lift(x)
    return (node,), {"axis": normalize_axes(axis, node.ndim)}


def _flipped_back(g: Node, y: Node, x: Node, *, axis: tuple[int, ...]) -> list[Node]:
    return [flip(g, axis)]


@primitive(infer=lambda x, *, axis: x, signature=_all_axes, vjp=_flipped_back,
           samples=cases(call("f64[2,3]"), call("f64[2,3]", axis=-1), call("f64[2,3,2]", axis=(0, 2)), call("f64[]"),
                         call("bool[3]"), call("f32[0,2]", axis=0)))  # fmt: skip
def flip(x: Any, *, axis: tuple[int, ...], out: Any = None) -> Any:
    """The elements in reverse order along some axes, by default all."""
    return copied(np.flip(x, axis), out)


def _each(axis: Axes, rank: int) -> list[int]:
    return [normalize_axis(each, rank) for each in (axis if isinstance(axis, (tuple, list)) else (axis,))]


def _shifts(x: Operand, shift: Axes, axis: Axes | None = None) -> Stored:
    """One total shift per axis, the axes in order; without an axis, one for the elements in a row."""
    node = lift(x)
    steps = np.atleast_1d(np.asarray(shift))
    if steps.dtype.kind not in "biu":
        raise ShapeError(f"expected shifts to be ints, got {shift!r}", remedy="give whole numbers of places")
    if axis is None:
        return (node,), {"shift": int(steps.sum()), "axis": None}
    axes = _each(axis, node.ndim)
    if len(steps) != len(axes) and 1 not in (len(steps), len(axes)):
        raise ShapeError(f"expected one shift per axis, got shift {shift} and axis {axis}",
                         remedy="list as many shifts as axes, or one for all")  # fmt: skip
    total = dict.fromkeys(sorted(axes), 0)
    for step, each in np.broadcast(steps, axes):
        total[each] += int(step)
    return (node,), {"shift": tuple(total.values()), "axis": tuple(total)}


def _rolled_back(g: Node, y: Node, x: Node, *, shift: Any, axis: Any) -> list[Node]:
    return [roll(g, -shift if axis is None else [-step for step in shift], axis)]


@primitive(infer=lambda x, *, shift, axis: x, signature=_shifts, vjp=_rolled_back,
           samples=cases(call("f64[5]", shift=2), call("f64[2,3]", shift=-1), call("f64[]", shift=3),
                         call("f64[2,3]", shift=(1, 2), axis=(1, 0)), call("f64[3,2]", shift=1, axis=(0, 1)),
                         call("f32[3,2]", shift=5, axis=-2), call("f64[4]", shift=(1, 2), axis=0),
                         call("i64[0]", shift=1)))  # fmt: skip
def roll(x: Any, *, shift: Any, axis: Any) -> Any:
    """The elements moved on by `shift` places along some axes, by default along all in a row; the last come first."""
    return np.roll(x, shift, axis)


@composite(samples=cases(call("f64[2,3]"), call("f64[]")))
def ravel(x: Operand) -> Node:
    """All elements along one axis, the last axis running fastest."""
    node = lift(x)
    return reshape(node, node.size)


flatten = ravel


@composite(samples=cases(call("f64[2,3]", axis=0), call("f64[2,3]", axis=(0, -1)), call("f64[]", axis=0)))
def expand_dims(x: Operand, axis: Axes) -> Node:
    """New axes of size 1, which stand at `axis` in the result."""
    node = lift(x)
    count = len(axis) if isinstance(axis, (tuple, list)) else 1
    new = normalize_axes(axis, node.ndim + count)
    dims = iter(node.shape)
    return reshape(node, tuple(1 if at in new else next(dims) for at in range(node.ndim + count)))


@composite(samples=cases(call("f64[1,3,1]"), call("f64[1,3,1]", axis=-1), call("f64[1,1]", axis=(0, 1)), call("f64[]")))
def squeeze(x: Operand, axis: Axes | None = None) -> Node:
    """Axes of size 1 left out: those named, by default all that are known to have that size."""
    node = lift(x)
    known = tuple(at for at, dim in enumerate(node.shape) if dim == 1)
    gone = known if axis is None else normalize_axes(axis, node.ndim)
    for at in gone:
        if isinstance(node.shape[at], int) and at not in known:
            raise ShapeError(f"expected axis {at} of {node.type} to have size 1, got {node.shape[at]}",
                             remedy="squeeze axes of size 1 only; sum or index the others")  # fmt: skip
    return reshape(node, tuple(dim for at, dim in enumerate(node.shape) if at not in gone))


@composite(samples=cases(call("f64[2,3,4]", axis1=0, axis2=-1), call("f64[2,3]", axis1=0, axis2=0)))
def swapaxes(x: Operand, axis1: int, axis2: int) -> Node:
    """Two axes exchanged."""
    node = lift(x)
    order = list(range(node.ndim))
    first, second = normalize_axis(axis1, node.ndim), normalize_axis(axis2, node.ndim)
    order[first], order[second] = second, first
    return transpose(node, order)


@composite(samples=cases(call("f64[2,3,4]", source=0, destination=-1),
                         call("f64[2,3,4]", source=(0, 1), destination=(1, 2)),
                         call("f64[2,3]", source=-1, destination=0)))
def moveaxis(x: Operand, source: Axes, destination: Axes) -> Node:
    """Some axes moved to other places; the others keep their order."""
    node = lift(x)
    sources, places = _each(source, node.ndim), _each(destination, node.ndim)
    if not len(set(sources)) == len(set(places)) == len(sources) == len(places):
        raise ShapeError(f"expected one place for each axis, got source {source} and destination {destination}",
                         remedy="list as many destinations as sources, each axis once")  # fmt: skip
    moved = dict(zip(places, sources, strict=True))
    others = iter(axis for axis in range(node.ndim) if axis not in sources)
    return transpose(node, [moved[at] if at in moved else next(others) for at in range(node.ndim)])


@composite(samples=cases(call("f64[]"), call("f64[2,3]")))
def atleast_1d(x: Operand) -> Node:
    """The value, as an array of one element where it has rank 0."""
    node = lift(x)
    return node if node.ndim else reshape(node, 1)


@composite(samples=cases(call("f64[]"), call("f64[3]"), call("f64[2,3]")))
def atleast_2d(x: Operand) -> Node:
    """The value with leading axes of size 1 up to rank 2."""
    node = lift(x)
    return node if node.ndim >= 2 else reshape(node, (1,) * (2 - node.ndim) + node.shape)


@composite(samples=cases(call("f64[3,1]", "f64[2]", "f64[]")))
def broadcast_arrays(*arrays: Operand) -> tuple[Node, ...]:
    """Each array repeated to the shape they have in common."""
    nodes = [lift(array) for array in arrays]
    shape = broadcast_shapes(*(node.shape for node in nodes)) if nodes else ()
    return tuple(broadcast_to(node, shape) for node in nodes)
