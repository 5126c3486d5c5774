"""What rules ask about nodes: is it fixed, which number is it, what does it cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from graphc.ir import Node
from graphc.op import Op
from graphc.operators import OPS
from graphc.types import Dim, Type

DIM_GUESS = 64
"""The size that a symbol counts as in a cost."""
VIEWS_SEEN_THROUGH = 16
"""How long a chain of views rules look through, so that they stay linear."""
CHEAP = 4.0
"""The most additions an element that are done again wherever it is read: it would take longer to store and to read."""
NODE_COST = 256.0
"""What running a node costs beside its elements, in additions of one element: its call, its buffer."""


def effort_of(node: Node) -> float:
    """The additions that an element of a node takes; infinity for those that tell by their sizes."""
    return node.op.effort if isinstance(node.op.effort, (int, float)) else math.inf


def _behind_views(node: Node) -> Node:
    if not node.op.view:
        return node
    for _ in range(VIEWS_SEEN_THROUGH):
        if not node.op.view or not node.inputs:
            break
        node = node.inputs[0]
    return node


def is_fixed(node: Node) -> bool:
    """Whether a node is a constant, perhaps behind views."""
    return "value" in _behind_views(node).attrs


def number(node: Node) -> Any:
    """The one number that a node holds, perhaps repeated over a shape; None for anything else."""
    value = _behind_views(node).attrs.get("value")
    return value.item() if value is not None and value.size == 1 else None


def is_float(node: Node) -> bool:
    """Whether a node's elements are floats."""
    return node.type.is_float


def is_number(node: Node, value: float) -> bool:
    """Whether a node is that number, perhaps repeated over a shape; told apart by its sign, so −0 is not 0."""
    stored = number(node)
    return stored is not None and stored == value and bool(np.signbit(float(stored)) == np.signbit(float(value)))


def is_place(node: Node) -> bool:
    """Whether a node tells where an extreme stands."""
    return node.op.reduction is not None and node.op.reduction.place


def reduced_axes(node: Node) -> tuple[int, ...]:
    """The axes that a reduction is over."""
    axis = node.attrs["axis"]
    if axis is None:
        return tuple(range(node.inputs[0].ndim))
    return axis if isinstance(axis, tuple) else (axis,)


def reduced(op: Op, x: Node, axes: Sequence[int], *, keepdims: bool = True) -> Node:
    """A reduction of a value over axes: of places over one, or all."""
    has_one = op.reduction is not None and op.reduction.place
    axis: Any = tuple(axes) if not has_one else axes[0] if len(axes) == 1 else None
    return op(x, axis=axis, keepdims=keepdims)


def lies_across(node: Node) -> bool:
    """Whether elements side by side are not so in memory, since they lie transposed."""
    return node.op is OPS["transpose"] and node.attrs["axes"][-1] != node.ndim - 1


TRUTHS = (OPS["all"], OPS["any"])
"""Reductions to whether elements are true."""


def depends_on_order(node: Node) -> bool:
    """Whether a reduction's result depends on the order of its steps: the rounding of a sum, the sign of a zero, a
    place among the elements of several axes."""
    return node.op not in TRUTHS and (node.type.is_float or (is_place(node) and node.attrs["axis"] is None))


def are_floats(**binding: Any) -> bool:
    """Whether every node that a rule's holes matched holds floats."""
    return all(value.type.is_float for value in binding.values() if isinstance(value, Node))


def are_integers(**binding: Any) -> bool:
    """Whether the nodes that a rule's holes matched hold integers, or truth values, of one dtype.

    Arithmetic modulo 2ⁿ is exact; but a sign or sum taken in 8 bits is not the one in 64.
    """
    dtypes = {value.dtype for value in binding.values() if isinstance(value, Node)}
    return len(dtypes) == 1 and dtypes.pop().kind in "iub"


def are_alike(**binding: Any) -> bool:
    """Whether the nodes are all floats, or all of one dtype: their signs may move."""
    return are_floats(**binding) or are_integers(**binding)


def is_power_of_two(value: Any) -> bool:
    """Whether multiplying floats by a number only moves the exponent."""
    return isinstance(value, float) and math.isfinite(value) and value != 0 and math.frexp(value)[0] in (0.5, -0.5)


def inverse_is_exact(c: Node) -> bool:
    """Whether a node is one power of two whose inverse is a normal number too."""
    value = number(c)
    return is_power_of_two(value) and bool(abs(1 / value) >= np.finfo(c.dtype).tiny)


def is_shifted(x: Node, axis: tuple[int, ...]) -> bool:
    """Whether x is some z less its largest element along these axes, or some of them: then exp(x) cannot overflow."""
    if x.op is not OPS.get("subtract"):
        return False
    z, top = x.inputs
    return top.op is OPS.get("max") and top.inputs[0] is z and set(top.attrs["axis"]) <= set(axis)


def converts_exactly(source: np.dtype[Any], target: np.dtype[Any]) -> bool:
    """Whether every value of a dtype is one of another dtype."""
    if source == target or source.kind == "b":
        return True
    if target.kind != "f":
        return source.kind in "iu" and np.can_cast(source, target, "safe")
    if source.kind == "f":
        return source.itemsize <= target.itemsize
    return _integer_bits(source) <= np.finfo(target).nmant + 1


def _integer_bits(dtype: np.dtype[Any]) -> int:
    return 8 * dtype.itemsize - (dtype.kind == "i")


@lru_cache(maxsize=4096)
def count(kind: Any) -> float:
    """How many elements a value has; a symbol counts as `DIM_GUESS`."""
    if not isinstance(kind, Type):
        return float(sum(count(element) for element in kind.elements))
    if kind.is_static:
        return float(math.prod(kind.shape))  # type: ignore[arg-type]
    return float(math.prod(DIM_GUESS if isinstance(dim, Dim) else dim for dim in kind.shape))


def cost(node: Node) -> float:
    """What a node costs to run, in additions of one element; nothing where it can be folded."""
    if node.op.leaf or "value" in node.attrs:
        return 0.0
    if node.op.view:
        return NODE_COST / 4
    if node.inputs and all("value" in source.attrs for source in node.inputs):
        return 0.0
    kinds = [node.type, *(source.type for source in node.inputs)]
    effort = node.op.effort
    if callable(effort):
        return NODE_COST + effort(*map(_guessed, kinds), **node.attrs) * count(node.type)
    return NODE_COST + effort * max(map(count, kinds))


def _guessed(kind: Any) -> Any:
    return kind.with_shape(tuple([DIM_GUESS if isinstance(dim, Dim) else dim for dim in kind.shape]))


def number_of(node: Node) -> Node | None:
    """The constant number that a node repeats over its shape, or None; a kernel writes it into its code."""
    while node.op is OPS["broadcast_to"]:
        node = node.inputs[0]
    return node if "value" in node.attrs and node.array_type.shape == () else None


def only_ones_move(node: Node) -> bool:
    """Whether a node is a reshape that adds or drops nothing but axes of size 1."""
    if node.op is not OPS["reshape"]:
        return False
    before, after = ([dim for dim in shape if dim != 1] for shape in (node.inputs[0].shape, node.shape))
    return before == after
