"""Elements that lie side by side, spread over every so many lanes of a vector.

Which lanes these are depends on where the vector is. Where the step divides the width, it is known, for walks are at
multiples of the width; else the code chooses among as many ways as there are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

from llvmlite import ir

from graphc.native.code.indices import as_value, larger, smaller
from graphc.native.code.scalars import I64
from graphc.native.code.writer import Code
from graphc.native.kernel.lanes import Lanes

LANE = ir.IntType(16)


class Spread:
    """The lanes of a vector that hold something: those whose place leaves `left` over where a step divides it."""

    def __init__(self, code: Code, lanes: Lanes, every: int, left: int) -> None:
        self.code, self.b, self.lanes, self.every = code, code.b, lanes, every
        known = lanes.width % every == 0
        self._ways = [left] if known else list(range(every))
        self.shift: Any = I64(left) if known else self._first(left)
        """The first of these lanes."""
        self.count = max(1 << (-(-lanes.width // every) - 1).bit_length(), 2)
        """So many elements are read, a vector of them: perhaps some more than there are lanes for."""

    def _first(self, left: int) -> Any:
        b = self.b
        return b.urem(b.add(b.mul(as_value(self.lanes.position), I64(self.every - 1)), I64(left)), I64(self.every))

    def mask(self, start: Any, end: Any) -> Any:
        """Which of the elements have a lane, from one on and before another if these are given; None for all."""
        b, width, terms = self.b, self.lanes.width, []
        numbers = [i * self.every for i in range(self.count)]
        places = b.add(_constant(LANE, numbers), self.code.splat(b.trunc(self.shift, LANE), self.count))
        if max(numbers) + max(self._ways) >= width:
            terms.append(b.icmp_signed("<", places, _constant(LANE, [width] * self.count)))
        if start is not None:
            terms.append(b.icmp_signed(">=", places, self._cut(start)))
        if end is not None:
            terms.append(b.icmp_signed("<", places, self._cut(end)))
        mask = self.lanes.mask
        if mask is not None:
            nothing = ir.Constant(mask.type, None)
            terms.append(self._chosen(lambda way: b.shuffle_vector(mask, nothing, _constant(ir.IntType(32), [
                min(way + each, width) for each in numbers]))))  # fmt: skip
        return reduce(b.and_, terms) if terms else None

    def _cut(self, lane: Any) -> Any:
        within = larger(self.b, smaller(self.b, lane, self.lanes.width), 0)
        return self.code.splat(self.b.trunc(within, LANE), self.count)

    def over(self, found: Any, under: Any) -> Any:
        """The elements in their lanes, over a vector."""
        width, every = self.lanes.width, self.every
        wide = self.b.shuffle_vector(found, found, _order(range(self.count), width))
        return self._chosen(lambda way: self.b.shuffle_vector(wide, under, _order([
            (lane - way) // every if lane >= way and (lane - way) % every == 0 else width + lane
            for lane in range(width)], width)))  # fmt: skip

    def _chosen(self, made: Callable[[int], Any]) -> Any:
        """What is made for the way in force."""
        first, *others = self._ways
        chosen = made(first)
        for way in others:
            chosen = self.b.select(self.b.icmp_signed("==", self.shift, I64(way)), made(way), chosen)
        return chosen


def _order(lanes: Sequence[int], width: int) -> Any:
    """The order of a vector so wide, whose other lanes do not matter."""
    return _constant(ir.IntType(32), [*lanes, *[0] * (width - len(lanes))])


def _constant(kind: Any, numbers: list[int]) -> Any:
    return ir.Constant(ir.VectorType(kind, len(numbers)), numbers)
