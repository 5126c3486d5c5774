"""What kernels have in common that share their code: a body without names, and without what its table has."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable

import numpy as np

from graphc.ir import Graph, Node, attrs_key
from graphc.maps import is_map
from graphc.windows import windows_of

IN_CODE = frozenset([0.0, 0.5, 1.0, 2.0, math.inf])
"""The sizes of floats that are in the code; all others stand in the table: a mean's factor or a learning rate."""


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
