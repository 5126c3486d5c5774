"""What constant masks leave: values known where a mask lets nothing through, and elements that nothing reads.

Behind `where(mask, x, -inf)` a softmax is 0 wherever the mask is false, and of x only the rest is read. Everything is
told of the last two axes of a value, as a matrix of truth values that holds for all of a batch. Where what is known
holds of ordinary numbers only, since 0 · inf is not 0, there are conditions, to be checked at run time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from graphc import ops
from graphc.facts import number_of
from graphc.ir import Graph, Node
from graphc.op import OPS
from graphc.regions import Matrix, Region, Truths, everywhere
from graphc.types import TupleType, Type

Shape = tuple[int, ...]
SMALL_SHARE = 16
"""A condition is checked on values of at most so small a share of what it is about."""


@dataclass(frozen=True)
class Condition:
    """A node's op gives a value wherever one of its operands is a certain number, whatever the others are."""

    node: Node
    known: tuple[Any, ...]
    """For each operand the number, or None."""
    value: Any


@dataclass(frozen=True, eq=False)
class Known:
    """A value in a region, provided the conditions hold."""

    region: Region
    value: Any
    conditions: tuple[Condition, ...] = ()


@dataclass(frozen=True, eq=False)
class Read:
    """Where a value is read. With `finite` that is so if it is finite elsewhere, and if the conditions hold."""

    region: Region
    finite: bool = False
    conditions: tuple[Condition, ...] = ()

    def __or__(self, other: Read) -> Read:
        conditions = dict.fromkeys((*self.conditions, *other.conditions))
        return Read(self.region | other.region, self.finite or other.finite, tuple(conditions))


@dataclass
class Masks:
    """What is known of the values of a graph; values that nothing is known of are missing."""

    graph: Graph
    known: dict[Node, Known] = field(default_factory=dict)
    read: dict[Node, Read] = field(default_factory=dict)
    arrays: dict[Node, Truths] = field(default_factory=dict)
    """Constants of truth values."""
    chosen: dict[tuple[Node, Shape], tuple[Region, Region]] = field(default_factory=dict)
    """By one of these and the shape of matrices, where it is true of some matrix of a batch, and where of all."""

    def __post_init__(self) -> None:
        for node in self.graph.nodes:
            self._mask(node)
            found = self._known(node) if self.arrays and _is_matrix(node) else None
            if found is not None and not found.region.is_empty():
                self.known[node] = found
        if self.known:
            self._find_readers()

    def _mask(self, node: Node) -> None:
        """Note a constant of truth values, if it is of matrices."""
        array = node.attrs.get("value")
        if array is None and node.op.view and node.inputs[0] in self.arrays and isinstance(node.type, Type):
            array = node.op.body(self.arrays[node.inputs[0]], **node.attrs)
        if isinstance(array, np.ndarray) and array.dtype == bool and array.ndim >= 2 and array.size > 1:
            self.arrays[node] = array

    def _chosen(self, node: Node) -> tuple[Region, Region] | None:
        """For `where`: in which places some matrix of a batch takes the second operand, and in which all do."""
        condition = node.inputs[0]
        if node.op is not ops.where or condition not in self.arrays:
            return None
        key = condition, node.array_type.static_shape[-2:]
        if key not in self.chosen:
            self.chosen[key] = _of_matrices(self.arrays[condition], key[1])
        return self.chosen[key]

    def _known(self, node: Node) -> Known | None:
        chosen = self._chosen(node) if node.inputs else None
        if chosen is not None:
            some, every = chosen
            for region, source in ((~some, node.inputs[2]), (every, node.inputs[1])):
                number = number_of(source)
                if number is not None:
                    return Known(region, number.attrs["value"].item())
            return None
        if node.op.view:
            return self._known_through_view(node)
        return self._known_of_elements(node) if node.op.elementwise and isinstance(node.type, Type) else None

    def _known_through_view(self, node: Node) -> Known | None:
        below = self.known.get(node.inputs[0])
        turned = None if below is None else turns(node)
        if below is None or turned is None:
            return None
        return Known(below.region.T if turned else below.region, below.value, below.conditions)

    def _known_of_elements(self, node: Node) -> Known | None:
        """What an op makes of numbers, whatever its other operands are, or if they are what its conditions say."""
        behind = [self.known.get(source) if source.shape[-2:] == node.shape[-2:] else None for source in node.inputs]
        first = next((known for known in behind if known is not None), None)
        if first is None:
            return None
        here = [known if known is not None and known.region.equals(first.region) else None for known in behind]
        others = [source for source, known in zip(node.inputs, here, strict=True) if known is None]
        free = [source for source in others if number_of(source) is None]
        value = _value(node, [None if known is None else known.value for known in here])
        if np.isnan(value) or any(SMALL_SHARE * source.type.nbytes > node.type.nbytes for source in free):
            return None
        numbers = tuple(None if known is None else known.value for known in here)
        conditions = [condition for known in here if known is not None for condition in known.conditions]
        conditions += [Condition(node, numbers, value)] if free else []
        return Known(first.region, value, tuple(dict.fromkeys(conditions)))

    def _find_readers(self) -> None:
        whole = {node for node in self.graph.outputs if _is_matrix(node)}
        self.read = {node: Read(_all_of(node)) for node in whole}
        for node in reversed(self.graph.nodes):
            for place, source in enumerate(node.inputs):
                if _is_matrix(source):
                    read = self._read_by(node, place)
                    self.read[source] = self.read[source] | read if source in self.read else read

    def _read_by(self, node: Node, place: int) -> Read:
        """Where a node reads one of its operands."""
        source = node.inputs[place]
        read = self.read.get(node)
        turned = turns(node) if node.op.view else None
        if read is not None and turned is not None:
            return Read(read.region.T, read.finite, read.conditions) if turned else read
        if read is None or read.finite or not node.op.elementwise or source.shape[-2:] != node.shape[-2:]:
            return Read(_all_of(source))
        chosen = self._chosen(node)
        if chosen is not None and place > 0:
            return Read(read.region & (chosen[0] if place == 1 else ~chosen[1]), False, read.conditions)
        other = self.known.get(node.inputs[1 - place]) if node.op is OPS["multiply"] else None
        if other is None or other.value != 0 or (read.region & other.region).is_empty():
            return read
        return Read(read.region & ~other.region, True, (*read.conditions, *other.conditions))


def _of_matrices(truths: Truths, shape: Shape) -> tuple[Region, Region]:
    """Where some matrix of a batch is true, and where all are, without walking what repeats."""
    truths = truths[tuple(0 if step == 0 else slice(None) for step in truths.strides[:-2])]
    batch = tuple(range(truths.ndim - 2))
    found = [truths.any(axis=batch), truths.all(axis=batch)] if batch else [truths]
    regions = [Region(Matrix(np.broadcast_to(each, shape))) for each in found]
    return regions[0], regions[-1]


def _all_of(node: Node) -> Region:
    return everywhere(node.array_type.static_shape[-2:])


def _is_matrix(node: Node) -> bool:
    """Whether a value is matrices of floats of more than one row and column."""
    if not isinstance(node.type, Type) or not node.type.is_static or node.ndim < 2 or node.dtype.kind != "f":
        return False
    shape = node.type.static_shape
    return 0 not in shape and 1 not in shape[-2:]


def turns(node: Node) -> bool | None:
    """Whether a view exchanges the last two axes; None where it does more to them than that."""
    source = node.inputs[0]
    if isinstance(node.type, TupleType) or isinstance(source.type, TupleType) or min(node.ndim, source.ndim) < 2:
        return None
    if node.op is OPS["transpose"]:
        rank, axes = node.ndim, node.attrs["axes"]
        leading = tuple(range(rank - 2))
        return {(*leading, rank - 2, rank - 1): False, (*leading, rank - 1, rank - 2): True}.get(axes)
    kept = source.shape[-2:] == node.shape[-2:]
    return False if kept and node.op in (OPS["reshape"], OPS["broadcast_to"]) else None


def _value(node: Node, known: Sequence[Any]) -> Any:
    """What an op makes of some numbers, with 1 in the place of what is not known."""
    operands = []
    for source, value in zip(node.inputs, known, strict=True):
        number = number_of(source)
        if value is None:
            value = 1 if number is None else number.attrs["value"]
        operands.append(source.dtype.type(value))
    with np.errstate(all="ignore"):
        return np.asarray(node.op.body(*operands, **node.attrs))[()]  # some bodies make arrays of rank 0
