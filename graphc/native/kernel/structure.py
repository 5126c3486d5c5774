"""What kernels have in common that share their code: a body without names and what its table has, and a form."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from graphc.ir import Graph, Node, attrs_key
from graphc.maps import is_map
from graphc.native.code.functions import Function
from graphc.native.kernel.lanes import Width
from graphc.windows import windows_of

IN_CODE = frozenset([0.0, 0.5, 1.0, 2.0, math.inf])
"""The sizes of floats that are in the code; all others stand in the table: a mean's factor or a learning rate."""
KnownSteps = tuple[tuple[int | None, ...], ...]
"""Of each pointer along each axis: 0, 1, -1 or a small number along the row, or None for a number of the table."""


@dataclass(frozen=True)
class Form:
    """What the code of a kernel depends on beside its body."""

    width: Width
    stretch: bool
    chunked: bool
    length: int
    """The length of short rows and stretches, else 0."""
    varies: tuple[tuple[bool, ...], ...]
    """Of each value, along which axes."""
    steps: KnownSteps
    stashes: tuple[tuple[int, int], ...]
    """Values kept for later phases, and the bytes for each."""
    cuts: tuple[tuple[tuple[bool, bool], ...], ...] = ()
    """Of each box that is read, whether it begins and ends inside of each axis."""
    stepped: tuple[tuple[tuple[int, ...], int], ...] = ()
    """Of each box its steps along each axis, and what of its start a step along the row leaves over."""
    within: tuple[bool, ...] = ()
    """Whether each box reaches over the longest part of the row in which none begins or ends, where that is most."""
    looked: tuple[tuple[int | None, ...], ...] = ()
    """Of each lookup the steps along the axes looked up, 1 or None for a number of the table."""
    marked: tuple[int, ...] = ()
    """The axes along which elements are compared with positions."""
    tiled: int | None = None
    """The axis of which several rows are walked together."""
    staged: tuple[int, ...] = ()
    """The pointers whose elements lie side by side along that axis, and pass the stack row by row."""
    order: tuple[int, ...] = ()
    """The axes of tiles from that which is counted slowest on."""
    down: int | None = None
    """The axis that is walked, where it is not the last."""
    column: int = 0
    """The length of columns that are short rows, walked side by side, else 0."""
    compact: bool = False
    """Whether it is written once, and calls functions: soon compiled, for it takes longer to run, ..."""
    functions: tuple[Function, ...] = ()
    """... and which these are."""
    interleaved: tuple[tuple[int, ...], ...] = ()
    """The pointers whose elements lie in turns."""
    neighbours: int = 1
    """How many rows add to the same totals, if these are few, which one block finds."""


def may_mask(steps: KnownSteps, staged: Sequence[int]) -> bool:
    """Whether all that lies along the row does so without gaps, or passes the stack."""
    return all(inner is not None or i in staged for i, (*_, inner) in enumerate(steps))


def structure_of(body: Graph, known: Callable[[Node], Hashable]) -> Hashable:
    """A body as the op of each node, the numbers of its operands and what is `known` of it; its inputs and outputs."""
    index = {node: i for i, node in enumerate(body.nodes)}
    rows = tuple((node.op.name, tuple(index[i] for i in node.inputs), known(node)) for node in body.nodes)
    return rows, tuple(index[i] for i in body.inputs), tuple(index[o] for o in body.outputs)


def ops_of(body: Graph) -> str:
    """What a body computes, in a word or a few."""
    held = dict.fromkeys(node.op.name for node in body.nodes if node.inputs and not node.op.view)
    return ", ".join(held) or "copy"


def all_of(node: Node) -> Hashable:
    """All but a node's name."""
    return attrs_key(node.attrs) if node.attrs else (), node.type


def without_sizes(node: Node) -> Hashable:
    """What code depends on: not sizes and axes, which the form has, nor what the table has."""
    return _attrs(node), node.array_type.dtype.str


def _attrs(node: Node) -> Hashable:
    if windows_of(node):
        return attrs_key({name: value for name, value in node.attrs.items() if name == "constant_values"})
    if node.op.reduction:
        return node.op.reduction
    if not node.attrs or node.op.view or is_in_table(node) or is_map(node):
        return ()
    return attrs_key(node.attrs)


def is_in_table(node: Node) -> bool:
    """Whether a node is a number that stands in the table, so that the code does not depend on it."""
    if node.inputs or "value" not in node.attrs or node.array_type.dtype not in (np.float32, np.float64):
        return False
    return abs(float(node.attrs["value"])) not in IN_CODE


def bits_of(node: Node) -> int:
    """The bit pattern of such a number, as the first bytes of a word."""
    value = np.zeros(8 // node.array_type.dtype.itemsize, node.array_type.dtype)
    value[0] = node.attrs["value"]
    return int(value.view(np.int64)[0])
