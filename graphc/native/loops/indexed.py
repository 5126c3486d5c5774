"""Reading and writing at positions that are known only when the program runs.

For each point e of the index space, with positions i, j, ... looked up there,

    read    result[e] = x[e with i, j, ... along the axes]
    put     result[e with i, j, ... along the axes] = value[e]
    add     result[e with i, j, ... along the axes] += value[e]
    check   only the positions are looked at

Positions from the end are negative. One outside its axis is written to the status word, and nothing is read or written.
Where points may write to one place they are taken one after the other, in order: axes along which results differ come
first, and make the rows; the others are walked within each row.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from llvmlite import ir

from graphc.native.code import elementwise
from graphc.native.code.indices import Index, as_value, plus, times
from graphc.native.code.scalars import Value, cast, load, store
from graphc.native.code.writer import Code
from graphc.native.driver.layout import FINE
from graphc.native.loops.nests import Nest, constant, each_row, fetch, nested, place, put, row_count
from graphc.native.loops.walks import stretches_of

CHUNK = {"read": 4096, "put": 64, "add": 64, "check": 4096}
"""Points of the innermost axis in one row. Rows that write walk through all positions, so that short ones would cost
more, and long ones would be few."""
NS_PER_POINT, NS_PER_FAR, FAR_BYTES = 0.8, 6.0, 1 << 22
"""A position that is looked at, and one in an array that is too large to be near."""
INT64 = np.dtype("int64")
LAST = ir.Constant(ir.IntType(64), 2**63 - 1)


@dataclass(frozen=True)
class Looked:
    """An axis that positions are along: its size, and elements to step in the array that is read or written."""

    size: int
    step: int


@dataclass(frozen=True)
class Indexed(Nest):
    """The operands are the positions, one array for each axis, then what is read or the values."""

    apart: tuple[int, ...]
    """The axes along which nothing is written twice, ..."""
    in_order: tuple[int, ...]
    """... and those after them."""
    axes: tuple[Looked, ...]
    mode: str

    @property
    def stretches(self) -> Iterator[tuple[Indexed, tuple[int, ...]]]:
        """The same in stretches of the points in order, and the bytes of each operand before these."""
        if not self.in_order:
            yield self, (0,) * len(self.operands)
            return
        length, *inner = self.in_order
        bytes_of = [array.steps[len(self.apart)] * array.dtype.itemsize for array in self.operands]
        together = math.prod([*inner, *(min(size, CHUNK[self.mode]) for size in self.apart[-1:])])
        for start, stop in stretches_of(length, together):
            yield replace(self, in_order=(stop - start, *inner)), tuple(start * each for each in bytes_of)

    @property
    def rows(self) -> int:
        """Points of the axes along which results differ."""
        return row_count(self.apart, CHUNK[self.mode])

    @property
    def ns(self) -> float:
        """Single elements here and there are not read in vectors; those of large arrays come from far."""
        points = math.prod((*self.apart, *self.in_order))
        single = any(array.steps[len(self.apart) - 1 :][:1] != (0,) for array in self.operands[: len(self.axes)])
        reach = sum(axis.size * abs(axis.step) for axis in self.axes) * self.operands[-1].dtype.itemsize
        far = self.mode != "check" and reach > FAR_BYTES
        return points * (NS_PER_FAR if far else NS_PER_POINT) if single else 0.0

    @property
    def statuses(self) -> int:
        """A word for each axis."""
        return len(self.axes)

    def write(self, code: Code, operands: Sequence[Any], results: Sequence[Any], statuses: Sequence[Any]) -> None:
        """A row: all points along the axes in order, and for each those along the innermost axis."""
        writer = _Writer(self, code, operands, results[0], statuses)
        each_row(code, self.apart, CHUNK[self.mode], writer.row)


class _Writer:
    """Writes the loops of one kernel."""

    def __init__(self, nest: Indexed, code: Code, operands: Sequence[Any], result: Any,
                 statuses: Sequence[Any]) -> None:  # fmt: skip
        self.nest, self.code, self.b = nest, code, code.b
        self.positions, self.source, self.result = operands[: len(nest.axes)], operands[-1], result
        self.statuses = statuses
        self.inner = len(nest.apart) - 1
        varying = [self.inner >= 0 and nest.operands[i].steps[self.inner] != 0 for i in range(len(nest.axes))]
        self.once = [i for i, varies in enumerate(varying) if not varies]
        """The positions that are the same all along a row, ..."""
        self.each = [i for i, varies in enumerate(varying) if varies]
        """... and those that are not."""

    def row(self, outer: list[Index], start: Index, stop: Index) -> None:
        def point(in_order: list[Index], _: list[Any]) -> None:
            at_start = [*outer, *([start] if self.nest.apart else []), *in_order]
            known = {i: self._position(i, at_start) for i in self.once}
            self._guarded(known, lambda: self._along(outer, in_order, start, stop, known))

        nested(self.code, self.nest.in_order, point)

    def _along(self, outer: list[Index], in_order: list[Index], start: Index, stop: Index,
               known: dict[int, tuple[Any, Any]]) -> None:  # fmt: skip
        def indices(j: Index) -> list[Index]:
            return [*outer, *([j] if self.nest.apart else []), *in_order]

        def careful(j: Index) -> None:
            own = {i: self._position(i, indices(j)) for i in self.each}
            self._guarded(own, lambda: self._element(indices(j), {**known, **own}))

        if not self.each:
            if self.nest.mode != "check":
                self.code.loop(start, stop, 1, lambda j: self._element(indices(j), known), parallel=True)
            return
        if self.nest.mode != "read" or any(axis.size == 0 for axis in self.nest.axes):
            self.code.loop(start, stop, 1, careful)
            return
        wrong = self.code.loop(start, stop, 1, lambda j, wrong: self._free(indices(j), known, wrong), [constant(0)],
                               parallel=True)[0]  # fmt: skip
        with self.b.if_then(self.b.icmp_signed("!=", wrong, constant(0)), likely=False):
            self.code.loop(start, stop, 1, careful)

    def _free(self, indices: list[Index], known: dict[int, tuple[Any, Any]], wrong: Any) -> list[Any]:
        """Read an element without branches, from the axis's start where the position is outside, and tell so."""
        safe = dict(known)
        for i in self.each:
            at, inside = self._position(i, indices)
            safe[i] = self.b.select(inside, at, constant(0)), inside
            wrong = self.b.or_(wrong, self.b.select(inside, constant(0), constant(1)))
        self._element(indices, safe)
        return [wrong]

    def _position(self, number: int, indices: list[Index]) -> tuple[Any, Any]:
        """A position counted from the front, and whether it is inside."""
        b, array = self.b, self.nest.operands[number]
        given = self._given(number, indices)
        size = as_value(self.nest.axes[number].size)
        from_end = b.icmp_signed("<", given, constant(0)) if array.dtype.kind == "i" else ir.Constant(ir.IntType(1), 0)
        at = b.select(from_end, b.add(given, size), given)
        return at, b.icmp_unsigned("<", at, size)

    def _given(self, number: int, indices: list[Index]) -> Any:
        """A position as it stands there; one beyond the largest i64 is outside as that."""
        array = self.nest.operands[number]
        raw = cast(self.b, fetch(self.code, self.positions[number], array, indices), INT64).ir
        if array.dtype == np.uint64:
            return self.b.select(self.b.icmp_signed("<", raw, constant(0)), LAST, raw)
        return raw

    def _guarded(self, found: dict[int, tuple[Any, Any]], write: Any) -> None:
        """Write something for where all positions are inside; elsewhere their status words get them."""
        for number, (at, inside) in found.items():
            size = as_value(self.nest.axes[number].size)
            with self.b.if_then(self.b.not_(inside), likely=False):
                negative = self.b.icmp_signed("<", at, constant(0))
                given = self.b.select(negative, self.b.sub(at, size), at)
                shown = self.b.select(self.b.icmp_signed(">", given, constant(FINE)), given, constant(FINE + 1))
                self.b.store(shown, self.statuses[number], align=8)
        if not found:
            write()
            return
        fine = None
        for _, inside in found.values():
            fine = inside if fine is None else self.b.and_(fine, inside)
        with self.b.if_then(fine):
            write()

    def _element(self, indices: list[Index], known: dict[int, tuple[Any, Any]]) -> None:
        mode, code = self.nest.mode, self.code
        if mode == "check":
            return
        way: Index = 0
        for number, (at, _) in known.items():
            way = plus(self.b, way, times(self.b, at, self.nest.axes[number].step))
        value_of, into = self.nest.operands[-1], self.nest.results[0]
        if mode == "read":
            put(code, fetch(code, self.source, value_of, indices, way), self.result, into, indices)
            return
        value, there = fetch(code, self.source, value_of, indices), place(code, self.result, into, indices, way)
        if mode == "add":
            value = _sum(self.b, load(self.b, there, into.dtype), value)
        store(self.b, value, there)


def _sum(b: ir.IRBuilder, x: Value, y: Value) -> Value:
    """The sum, rounded as NumPy's is; nothing is reordered."""
    return Value(elementwise.total(b, x.dtype, x.ir, y.ir), x.dtype)
