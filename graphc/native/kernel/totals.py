"""The totals of reductions while a kernel walks: of most one value, of a place an extreme and where it stands.

An element takes the place of an extreme only if it is beyond it, so the first of equal ones stays. NaN is beyond all
that is not NaN. Nothing at all is the lowest (or highest) number at the first place: that is right where all are so.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from llvmlite import ir

from graphc.facts import is_place
from graphc.ir import Node
from graphc.native.code import elementwise
from graphc.native.code.scalars import Value, cast, constant
from graphc.native.code.writer import Code
from graphc.native.kernel.folding import folded
from graphc.native.kernel.lanes import hidden, widened
from graphc.native.kernel.phases import identity, is_counted, reduction_of
from graphc.op import Reduction

Total = tuple[Value, ...]
UINT8, INT32, INT64 = np.dtype("uint8"), np.dtype("int32"), np.dtype("int64")
FIRST = Reduction("highest", "minimum")


def raws(totals: Sequence[Total]) -> list[Any]:
    """What a loop carries of totals."""
    return [value.ir for total in totals for value in total]


def refilled(totals: Sequence[Total], found: Sequence[Any]) -> list[Total]:
    """Totals of the same kind, of what a loop carries."""
    left = iter(found)
    return [tuple(Value(next(left), value.dtype) for value in total) for total in totals]


@dataclass(frozen=True)
class Totals(ABC):
    """Writes what is done with the totals of one reduction."""

    code: Code
    node: Node

    @abstractmethod
    def start(self, width: int) -> Total:
        """The total of no elements, in so many lanes."""

    @abstractmethod
    def added(self, total: Total, term: Value, where: Value | None, mask: Any) -> Total:
        """A total with the elements of some lanes, which stand somewhere."""

    def placed(self, total: Total, first: Callable[[Node], Value]) -> Total:
        """A total with places, where vectors were counted. `first` tells where the elements of the first one stand."""
        return total

    @abstractmethod
    def both(self, one: Total, other: Total) -> Total:
        """The total of the elements of two."""

    @abstractmethod
    def folded(self, total: Total) -> Total:
        """The total of all lanes."""

    @abstractmethod
    def result(self, total: Total) -> Value:
        """What the reduction gives."""


class Sums(Totals):
    """Of a sum, and whatever else is one value."""

    def start(self, width: int) -> Total:
        """The reduction's identity."""
        return (widened(self.code, identity(reduction_of(self.node), self.node.array_type.dtype), width),)

    def added(self, total: Total, term: Value, where: Value | None, mask: Any) -> Total:
        """Lanes that are not there keep what they have."""
        (before,), (after,) = total, self.both(total, (term,))
        if mask is None:
            return (after,)
        return (Value(self.code.b.select(hidden(self.code, mask), after.ir, before.ir), after.dtype),)

    def both(self, one: Total, other: Total) -> Total:
        """One step of the reduction."""
        return (combined(self.code, self.node, *one, *other),)

    def folded(self, total: Total) -> Total:
        """One number from all lanes."""
        return (folded(self.code, reduction_of(self.node), *total),)

    def result(self, total: Total) -> Value:
        """The value."""
        return total[0]


class Places(Totals):
    """Of the place of an extreme."""

    def start(self, width: int) -> Total:
        """The reduction's identity at the first place."""
        dtype = self.node.inputs[0].array_type.dtype
        return widened(self.code, identity(reduction_of(self.node), dtype), width), self._place(0, width)

    def added(self, total: Total, term: Value, where: Value | None, mask: Any) -> Total:
        """What is there is compared once."""
        assert where is not None
        beyond = self._is_beyond(term, total[0])
        if mask is not None:
            beyond = self.code.b.and_(beyond, hidden(self.code, mask))
        return self._chosen(beyond, (term, where), total)

    def both(self, one: Total, other: Total) -> Total:
        """Of equal extremes the one that stands before the other."""
        b = self.code.b
        first = b.icmp_signed("<", other[1].ir, one[1].ir)
        not_below = b.not_(self._is_beyond(one[0], other[0]))
        return self._chosen(b.or_(self._is_beyond(other[0], one[0]), b.and_(first, not_below)), other, one)

    def folded(self, total: Total) -> Total:
        """The first place of those lanes that have the extreme of all."""
        b, (value, place) = self.code.b, total
        if not isinstance(value.ir.type, ir.VectorType):
            return total
        width = value.ir.type.count
        top = folded(self.code, reduction_of(self.node), value)
        beaten = self._is_beyond(widened(self.code, top, width), value)
        nowhere = self._place(np.iinfo(place.dtype).max, width)
        return top, folded(self.code, FIRST, Value(b.select(beaten, nowhere.ir, place.ir), place.dtype))

    def result(self, total: Total) -> Value:
        """The place in 64 bits."""
        return cast(self.code.b, total[1], INT64)

    def _place(self, at: int, width: int) -> Value:
        dtype = place_dtype(self.node)
        return widened(self.code, Value(ir.Constant(ir.IntType(8 * dtype.itemsize), at), dtype), width)

    def _chosen(self, condition: Any, one: Total, other: Total) -> Total:
        pairs = zip(one, other, strict=True)
        return tuple(Value(self.code.b.select(condition, x.ir, y.ir), y.dtype) for x, y in pairs)

    def _is_beyond(self, x: Value, y: Value) -> Any:
        b, symbol = self.code.b, ">" if reduction_of(self.node).combine == "maximum" else "<"
        if y.dtype.kind != "f":
            return (b.icmp_signed if y.dtype.kind == "i" else b.icmp_unsigned)(symbol, x.ir, y.ir)
        return b.and_(b.fcmp_unordered(symbol, x.ir, y.ir), b.fcmp_ordered("ord", y.ir, constant(y.ir, 0.0)))


class Counts(Places):
    """Of the place of an extreme among bytes, where a byte counts vectors: places fill four for each of bytes."""

    def start(self, width: int) -> Total:
        """The reduction's identity in the first vector."""
        value, _ = super().start(width)
        return self._as_bytes(value), widened(self.code, Value(ir.Constant(ir.IntType(8), 0), UINT8), width)

    def added(self, total: Total, term: Value, where: Value | None, mask: Any) -> Total:
        """Truth values are compared as numbers, too."""
        return super().added(total, self._as_bytes(term), where, mask)

    def _as_bytes(self, value: Value) -> Value:
        return cast(self.code.b, value, UINT8) if value.dtype.kind == "b" else value

    def placed(self, total: Total, first: Callable[[Node], Value]) -> Total:
        """Each lane's place is that in the first vector, and as many vectors later as are counted."""
        b, (value, number), start = self.code.b, total, first(self.node)
        later = cast(b, number, start.dtype).ir
        place = b.add(start.ir, b.mul(later, ir.Constant(later.type, later.type.count)))
        return cast(b, value, self.node.inputs[0].array_type.dtype), Value(place, start.dtype)


def totals_of(code: Code, node: Node, *, counted: bool = False) -> Totals:
    """What writes the totals of a reduction, perhaps where vectors are counted."""
    if counted and is_counted(node):
        return Counts(code, node)
    return Places(code, node) if is_place(node) else Sums(code, node)


def part_length(node: Node) -> int:
    """How many elements of the result's dtype a block's part of a number takes: of a place two."""
    return 2 if is_place(node) else 1


def place_dtype(node: Node) -> np.dtype[Any]:
    """What places are counted in: beside elements of 64 bits as many, so that there are as many in a vector."""
    return INT64 if node.inputs[0].array_type.dtype.itemsize == INT64.itemsize else INT32


def combined(code: Code, node: Node, total: Value, term: Value) -> Value:
    """A reduction's total with one more term."""
    return elementwise.combine(code.b, reduction_of(node).combine, node.array_type.dtype, total, term)
