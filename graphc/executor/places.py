"""Where each value of a graph lives: which memory is planned, which is given, and which values are views of others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np

from graphc.evaluate import failed
from graphc.executor.cost import arrays, static_shape
from graphc.ir import Graph, Node
from graphc.ops.shape import reshape
from graphc.types import AnyType, TupleType, Type

LARGEST_CONSTANT = 1 << 20
"""Up to how many bytes the value of an op without operands is computed once and kept."""


class Place(Enum):
    """Where a value lives during a run."""

    LEAF = "the caller's array, never written"
    CONSTANT = "the program's array, never written"
    BUFFER = "the workspace, at a planned offset"
    RESULT = "an output array, fresh or the caller's"
    OWN = "memory that the body allocates"
    VIEW = "the memory of another value"


@dataclass(frozen=True)
class Places:
    """The place of each node; `root` is the node whose memory it uses: its own, or that of what it is a view of."""

    of: Mapping[Node, Place]
    root: Mapping[Node, Node]
    whole: frozenset[Node]
    """The views that are all of their root, element for element in its order."""
    constants: Mapping[Node, Any]

    def is_static(self, node: Node) -> bool:
        """Whether the array that holds a value is the same in every run of one workspace."""
        return self.of[self.root[node]] in (Place.BUFFER, Place.CONSTANT)

    def covers(self, node: Node) -> bool:
        """Whether a value fills its root in order: it is the root, or a reshaped view."""
        return self.root[node] is node or node in self.whole


def places_of(graph: Graph) -> Places:
    """Find the place of every node. Views are told from copies by calling their bodies on memory never touched."""
    of: dict[Node, Place] = {}
    root: dict[Node, Node] = {}
    constants: dict[Node, Any] = {}
    whole: set[Node] = set()
    views = _Views(graph)
    results = {node for node in graph.outputs if isinstance(node.type, Type) and node.type.shape}
    for node in graph.nodes:
        root[node] = node
        if node.op.leaf:
            of[node] = Place.LEAF
        elif _is_constant(node, of):
            constants[node] = _value(node, [constants[source] for source in node.inputs])
            of[node] = Place.CONSTANT
        elif node.op.view and views.shares_memory(node, constants):
            of[node] = Place.VIEW
            root[node] = root[node.inputs[0]]
            if views.is_whole(node, root[node].type):
                whole.add(node)
        elif not node.op.writes_out or isinstance(node.type, TupleType):
            of[node] = Place.OWN
        else:
            of[node] = Place.RESULT if node in results else Place.BUFFER
    return Places(of, root, frozenset(whole), constants)


def _is_constant(node: Node, of: Mapping[Node, Place]) -> bool:
    """Whether to compute a node once: a stored or small value without operands, or a view of one."""
    if node.inputs:
        return node.op.view and of[node.inputs[0]] is Place.CONSTANT
    stored = any(isinstance(value, np.ndarray) and value.nbytes == node.type.nbytes for value in node.attrs.values())
    return isinstance(node.type, Type) and (stored or node.type.nbytes <= LARGEST_CONSTANT)


def _value(node: Node, operands: Sequence[Any]) -> Any:
    try:
        value = node.op.body(*operands, **node.attrs)
    except Exception as error:
        raise failed(node, error) from error
    return value if isinstance(value, tuple) else np.asarray(value)


def seen_in(node: Node, operand: Any) -> Any:
    """What a view sees of its operand; for a reshape that would have to copy that, an array that is not touched."""
    if node.op is not reshape:
        return _value(node, [operand])
    shape = static_shape(node.array_type)
    try:
        return np.reshape(operand, shape, copy=False)
    except ValueError:
        return np.empty(shape, node.dtype)


class _Views:
    """Stand-ins for the values that views are taken of, all in one region of memory that is not touched."""

    def __init__(self, graph: Graph) -> None:
        viewed = [node.inputs[0].type.nbytes for node in graph.nodes if node.op.view and node.inputs]
        self._region = np.empty(max(viewed, default=0) + 1, np.uint8)
        self._stand_ins: dict[Node, Any] = {}

    def shares_memory(self, node: Node, constants: Mapping[Node, Any]) -> bool:
        """Whether a view's result lies in its operand's memory. (A reshape of a transposed value does not.)"""
        source = node.inputs[0]
        operand = self._stand_ins.get(source)
        if operand is None:
            operand = self._stand_in(source.type)
        result = seen_in(node, operand)
        self._stand_ins[node] = result
        parts = [part for part in (result if isinstance(result, tuple) else (result,)) if np.size(part)]
        return bool(parts) and all(np.may_share_memory(part, self._region) for part in parts)  # nothing shares nothing

    def is_whole(self, node: Node, root: AnyType) -> bool:
        """Whether a view has all elements of its root, in order."""
        result = self._stand_ins[node]
        return isinstance(result, np.ndarray) and result.flags.c_contiguous and result.nbytes == root.nbytes

    def _stand_in(self, kind: AnyType) -> Any:
        parts = tuple(np.ndarray(static_shape(part), part.dtype, self._region) for part in arrays(kind))
        return parts if isinstance(kind, TupleType) else parts[0]
