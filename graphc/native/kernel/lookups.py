"""How kernels read at positions, and add where a position says.

A position that is the same all along a row is looked at once, before the row is walked: what it reads then lies side by
side. Others are looked at lane by lane. One outside its axis is written to a status word, and counts as 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np
from llvmlite import ir

from graphc.ir import Node
from graphc.native.code import elementwise
from graphc.native.code.indices import as_value, larger, plus, smaller, times
from graphc.native.code.scalars import I32, I64, POINTER, Value, Wide, cast, computed, stored_type, suffix
from graphc.native.driver.layout import FINE
from graphc.native.kernel.extents import positioned
from graphc.native.kernel.lanes import Lanes, read, widened

if TYPE_CHECKING:
    from graphc.native.kernel.values import Values

INT64, BYTE = np.dtype("int64"), ir.IntType(8)
ONE = Lanes(0, 1)
LAST = 2**63 - 1


class Lookups:
    """Writes what the nodes of one kernel do at positions."""

    def __init__(self, values: Values) -> None:
        self.of, self.code, self.b = values, values.code, values.b
        self.kernel, self.word = values.kernel, values.word
        self.lookups = {node: (number, lookup) for number, (node, lookup) in enumerate(self.kernel.lookups)}
        self.marks = {node: (number, axis) for number, (node, axis) in enumerate(self.kernel.marks)}
        self.statuses = {(node, at): number for number, (node, at, _, _) in enumerate(positioned(self.kernel.body))}
        self.rows: dict[Node, Any] = {}
        """By lookup where the first element of the row lies, by mark the position in the row, if that is known."""

    # ------------------------------------------------------------------------------------------------------- per row

    def begin(self, phase: int, columns: Lanes = ONE) -> None:
        """Look at the positions that are the same all along a row, or of each of some columns."""
        for node, (number, lookup) in self.lookups.items():
            if self.kernel.plan.phase[node] == phase and self._is_row(node, lookup.positions):
                found = [self._position(node, at, ONE) for at in range(len(lookup.axes))]
                self.rows[node] = self._offset(node, number, [at for at, _ in found])
        for node, (number, _) in self.marks.items():
            if self.kernel.plan.phase[node] == phase and not self.kernel.plan.is_inner(node.inputs[2]):
                self.rows[node] = self._checked(node, 0, 2, ("marked", number, 0), columns)

    def _is_row(self, node: Node, positions: Sequence[int]) -> bool:
        """Whether a value varies along the row, and the positions that it reads at do not."""
        plan = self.kernel.plan
        return plan.is_inner(node) and not any(plan.is_inner(node.inputs[at]) for at in positions)

    # ------------------------------------------------------------------------------------------------------- reading

    def value(self, node: Node, lanes: Lanes) -> Value:
        """The elements that a node reads at positions."""
        number, lookup = self.lookups[node]
        source = node.inputs[0]
        pointer, dtype = self.of.at[source], source.array_type.dtype
        step = self._step(pointer, len(self.kernel.space.sizes) - 1)
        if self.kernel.plan.is_inner(node) and node in self.rows:
            place = self._place(pointer, source, plus(self.b, self.rows[node], times(self.b, lanes.position, step)))
            return read(self.code, place, lanes, dtype, step)
        found = [self._position(node, at, lanes) for at in range(len(lookup.axes))]
        if not self.kernel.plan.is_wide(node):
            return read(self.code, self._place(pointer, source, self._offset(node, number, [at for at, _ in found])),
                        ONE, dtype)  # fmt: skip
        return self._lane_by_lane(node, number, found, lanes, step)

    def _lane_by_lane(self, node: Node, number: int, found: Sequence[tuple[Any, Any]], lanes: Lanes,
                      step: Any) -> Value:  # fmt: skip
        b, source, width = self.b, node.inputs[0], lanes.width
        way = self._offset(node, number, [at for at, _ in found])
        if not (isinstance(step, int) and step == 0):
            way = plus(b, self._spread(way, width), times(b, self._numbers(lanes), self._spread(step, width)))
        way = self._spread(way, width)
        fine = reduce(b.and_, [self._spread(inside, width) for _, inside in found])
        fine = fine if lanes.mask is None else b.and_(fine, lanes.mask)
        way = b.select(fine, way, self._spread(0, width))
        pointer, dtype = self.of.at[source], source.array_type.dtype
        if width == 1:
            return read(self.code, self._place(pointer, source, way), ONE, dtype)
        places = (self._place(pointer, source, b.extract_element(way, I32(lane))) for lane in range(width))
        return computed(b, self.code.collect(places, stored_type(dtype), width, dtype.itemsize), dtype)

    def _offset(self, node: Node, number: int, positions: Sequence[Any]) -> Any:
        """How many elements from an operand's first lies what is read there at the start of the row."""
        b, lookup, pointer = self.b, self.lookups[node][1], self.of.at[node.inputs[0]]
        way: Any = 0
        for axis, coordinate in enumerate(self.of.coordinates[: len(self.kernel.space.sizes) - 1]):
            way = plus(b, way, times(b, coordinate, self._step(pointer, axis)))
        for at, position in enumerate(positions[: len(lookup.axes)]):
            width = position.type.count if isinstance(position.type, ir.VectorType) else 1
            known = self.kernel.form.looked[number][at]
            step = self.word["looked step", number, at] if known is None else known
            term = position if isinstance(step, int) and step == 1 else b.mul(position, self._spread(step, width))
            way = self._added(way, term)
        return way

    def _added(self, x: Any, y: Any) -> Any:
        """The sum of two offsets, of which one may be a vector."""
        widths = [each.type.count if isinstance(getattr(each, "type", None), ir.VectorType) else 1 for each in (x, y)]
        if max(widths) == 1 or (isinstance(x, int) and x == 0):
            return plus(self.b, x, y)
        return self.b.add(self._spread(x, max(widths)), self._spread(y, max(widths)))

    # ------------------------------------------------------------------------------------------------------- adding

    def marked(self, node: Node, lanes: Lanes, here: Sequence[Value]) -> Value:
        """A value to which another is added where the position of its row is the element's own."""
        b, dtype = self.b, node.array_type.dtype
        x, term = (widened(self.code, cast(b, value, dtype), lanes.width) for value in here[:2])
        hit = self._hit(node, lanes)
        with_term = elementwise.total(b, dtype, x.ir, term.ir)
        return Value(b.select(hit, with_term, x.ir), dtype)

    def _hit(self, node: Node, lanes: Lanes) -> Any:
        """For which lanes the position is the element's own."""
        b, (number, axis) = self.b, self.marks[node]
        known = self.rows.get(node)
        position, inside = known or self._checked(node, 0, 2, ("marked", number, 0), lanes)
        group = self.kernel.space.group_of(axis)
        if group < len(self.kernel.space.sizes) - 1:
            place = as_value(self.of.coordinates[group])
            width = position.type.count if isinstance(position.type, ir.VectorType) else 1
            return b.and_(inside, b.icmp_unsigned("==", position, self._spread(place, width)))
        if lanes.width == 1:
            return b.and_(inside, b.icmp_unsigned("==", position, as_value(lanes.position)))
        apart = b.select(inside, b.sub(position, as_value(lanes.position)), I64(-1))
        near = b.trunc(larger(b, smaller(b, apart, lanes.width), -1), BYTE)
        numbers = ir.Constant(ir.VectorType(BYTE, lanes.width), list(range(lanes.width)))
        return b.icmp_unsigned("==", numbers, self.code.splat(near, lanes.width))

    # ------------------------------------------------------------------------------------------------------- positions

    def _position(self, node: Node, at: int, lanes: Lanes) -> tuple[Any, Any]:
        """The position along one looked-up axis, counted from the front, and whether it is inside."""
        number, lookup = self.lookups[node]
        return self._checked(node, at, lookup.positions[at], ("looked size", number, at), lanes)

    def _checked(self, node: Node, at: int, operand: int, size: tuple[str, int, int], lanes: Lanes) -> tuple[Any, Any]:
        b, source = self.b, node.inputs[operand]
        lanes = lanes if self.kernel.plan.is_wide(source) else ONE
        given = self._given(source, lanes)
        length = self._spread(self.word[size], lanes.width)
        zero = self._spread(0, lanes.width)
        position = given
        if source.array_type.dtype.kind == "i":
            position = b.select(b.icmp_signed("<", given, zero), b.add(given, length), given)
        inside = b.icmp_unsigned("<", position, length)
        self._tell(self.statuses[node, at], given, inside, lanes)
        return b.select(inside, position, zero), inside

    def _given(self, source: Node, lanes: Lanes) -> Any:
        """Positions as they stand there; one beyond the largest i64 is outside as that."""
        of, b = self.of, self.b
        if source in self.kernel.plan.boxed:
            value = of.read(of.at[source], source, lanes)
        else:
            value = of.operand(source, lanes.width)
        raw = cast(b, value, INT64).ir
        if source.array_type.dtype == np.uint64:
            return b.select(b.icmp_signed("<", raw, self._spread(0, lanes.width)), self._spread(LAST, lanes.width), raw)
        return raw

    def _tell(self, status: int, given: Any, inside: Any, lanes: Lanes) -> None:
        """Write a position outside to its status word."""
        b, width = self.b, lanes.width
        wrong = b.not_(inside) if lanes.mask is None else b.and_(b.not_(inside), lanes.mask)
        some = wrong
        if width > 1:
            some = self.code.call(f"llvm.vector.reduce.or.{suffix(wrong.type)}", ir.IntType(1), wrong)
        with b.if_then(some, likely=False):
            lowest = self._spread(FINE + 1, width)
            shown = b.select(b.icmp_signed(">", given, lowest), given, lowest)
            if width > 1:
                shown = b.select(wrong, shown, self._spread(FINE, width))
                shown = self.code.call(f"llvm.vector.reduce.smax.{suffix(shown.type)}", I64, shown)
            slot = b.gep(self.code.function.args[0], [I64(self.kernel.status_place + status)], source_etype=POINTER)
            b.store(shown, b.load(slot, typ=POINTER, align=8), align=8)

    # ------------------------------------------------------------------------------------------------------- places

    def _step(self, pointer: int, axis: int) -> Any:
        known = self.kernel.form.steps[pointer][axis]
        return self.word["step", pointer, axis] if known is None else known

    def _place(self, pointer: int, source: Node, way: Any) -> Any:
        return self.b.gep(self.of.pointers[pointer], [as_value(way)], source_etype=stored_type(source.array_type.dtype))

    def _spread(self, x: Any, width: int) -> Any:
        """An i64, or a truth value, in every lane."""
        if width == 1 or isinstance(getattr(x, "type", None), ir.VectorType):
            return as_value(x)
        if isinstance(x, int):
            return ir.Constant(Wide(I64, width), [I64(x)] * width)
        return self.code.splat(x, width)

    def _numbers(self, lanes: Lanes) -> Any:
        """The lanes' places along the row."""
        if lanes.width == 1:
            return as_value(lanes.position)
        numbers = ir.Constant(ir.VectorType(I64, lanes.width), list(range(lanes.width)))
        return self.b.add(numbers, self._spread(as_value(lanes.position), lanes.width))
