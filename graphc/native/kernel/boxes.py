"""How kernels read through index maps: an operand where its box is, and what lies under it elsewhere.

Along the row the box is a mask, and lanes outside of it are not read. A row outside of the box along another axis has
an empty mask. What lies at steps along the row is read side by side and then spread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import reduce
from typing import Any, NamedTuple

from llvmlite import ir

from graphc.ir import Node
from graphc.native.code.indices import as_value, larger, plus, smaller, times
from graphc.native.code.limited import apply
from graphc.native.code.scalars import I32, I64, Value, cast, computed, number, stored_type
from graphc.native.code.writer import Code
from graphc.native.kernel.extents import feeding
from graphc.native.kernel.kernel import Kernel
from graphc.native.kernel.lanes import Lanes, counter, read, widened
from graphc.native.kernel.spread import Spread
from graphc.native.kernel.table import Word
from graphc.windows import Window, windows_of


class _Row(NamedTuple):
    """The row of a box: where it is along each axis but the last, and whether it is inside; None if it always is."""

    places: tuple[Any, ...]
    inside: Any


class Boxes:
    """Writes the reads of one kernel's boxes."""

    def __init__(self, code: Code, kernel: Kernel, pointers: Sequence[Any], word: Mapping[Word, Any],
                 at: Mapping[Node, int], number: Callable[[Node, int], Value]) -> None:  # fmt: skip
        """`number` gives what does not vary, in every lane of a vector so wide."""
        self.code, self.b, self.kernel = code, code.b, kernel
        self.pointers, self.word, self.at, self.number = pointers, word, at, number
        every = ((node, window) for node in kernel.body.nodes for window in windows_of(node))
        self.numbers = {key: i for i, key in enumerate(every)}

    def value(self, node: Node, lanes: Lanes, here: Sequence[Value], coordinates: Sequence[Any]) -> Value:
        """The value of a node that reads boxes, over those operands that it reads where it is."""
        dtype = node.array_type.dtype
        value = here[0] if here else number(node.attrs.get("constant_values", 0), dtype)
        value = widened(self.code, value, lanes.width)
        for window in windows_of(node):
            value = self._over(node, window, lanes, coordinates, value)
        return value

    def _over(self, node: Node, window: Window, lanes: Lanes, coordinates: Sequence[Any], under: Value) -> Value:
        """An operand in its box, over a value."""
        box = self.numbers[node, window]
        source, dtype = node.inputs[window.operand], node.array_type.dtype
        if lanes.within and not self.kernel.form.within[box]:
            return under
        row = self._row(box, coordinates)
        start, end = (None, None) if lanes.within else self._along(box, lanes, row.inside)
        if self.kernel.form.stepped[box][0][-1] > 1:
            return self._alternating(source, box, lanes, row, (start, end), under)
        mask = None if start is None and end is None else self._mask(lanes, start, end)
        found = self._found(source, lanes, row, self._near(box, lanes, mask), mask)
        value = widened(self.code, cast(self.b, found, dtype), lanes.width)
        if lanes.within and row.inside is not None:
            mask = self.code.splat(row.inside, lanes.width)
        return value if mask is None else Value(self.b.select(mask, value.ir, under.ir), dtype)

    def _row(self, box: int, coordinates: Sequence[Any]) -> _Row:
        """The row of a box at the index reached."""
        b, there, places = self.b, [], []
        for axis, at in enumerate(coordinates[: len(self.kernel.space.sizes) - 1]):
            first, last = self._ends(box, axis)
            if first is not None:
                there.append(b.icmp_signed(">=", at, first))
                at = b.sub(at, first)
            if last is not None:
                there.append(b.icmp_signed("<", at, last if first is None else b.sub(last, first)))
            every = self.kernel.form.stepped[box][0][axis]
            if every > 1:
                there.append(b.icmp_signed("==", b.srem(at, I64(every)), I64(0)))
                at = b.sdiv(at, I64(every))
            places.append(at)
        return _Row(tuple(places), reduce(b.and_, there) if there else None)

    def _found(self, source: Node, lanes: Lanes, row: _Row, first: Any, mask: Any) -> Value:
        """An operand's elements under a mask, or what is computed of such; those left out are not looked at."""
        found: dict[Node, Value] = {}
        for node in self._inside(source):
            if node in self.at:
                found[node] = self._read(node, lanes, row, first, mask)
                continue
            operands = [found[each] if each in found else self.number(each, lanes.width) for each in node.inputs]
            operands = [widened(self.code, operand, lanes.width) for operand in operands]
            found[node] = operands[0] if node.op.view else apply(self.b, node, operands)
        return found[source]

    def _inside(self, source: Node) -> list[Node]:
        """An operand, after what it is computed from along the row."""
        if source in self.at:
            return [source]
        within = feeding(self.kernel.body, [source])
        return [node for node in self.kernel.body.nodes if node in within and node in self.kernel.plan.boxed]

    def _ends(self, box: int, axis: int) -> tuple[Any, Any]:
        return self.word.get(("from", box, axis)), self.word.get(("to", box, axis))

    def _along(self, box: int, lanes: Lanes, inside: Any) -> tuple[Any, Any]:
        """The first lane in the box and the one after the last, as numbers that may lie outside of the vector."""
        b, axis = self.b, len(self.kernel.space.sizes) - 1
        first, last = self._ends(box, axis)
        position = as_value(lanes.position)
        start = None if first is None else b.sub(first, position)
        end = None if last is None else b.sub(last, position)
        if inside is not None:
            end = b.select(inside, I64(lanes.width) if end is None else end, I64(0))
        return start, end

    def _alternating(self, source: Node, box: int, lanes: Lanes, row: _Row, ends: tuple[Any, Any],
                     under: Value) -> Value:  # fmt: skip
        """An operand at every so many lanes, over a value."""
        b, dtype = self.b, under.dtype
        steps, left = self.kernel.form.stepped[box]
        every, first = steps[-1], self._ends(box, len(steps) - 1)[0]
        position = as_value(lanes.position)
        before = position if first is None else b.sub(position, first)
        if lanes.width == 1:
            terms = [b.icmp_signed("==", b.srem(before, I64(every)), I64(0))]
            mask = reduce(b.and_, terms if ends == (None, None) else [*terms, self._mask(lanes, *ends)])
            at = b.select(mask, b.sdiv(before, I64(every)), I64(0))
            found = cast(b, self._found(source, lanes, row, at, mask), dtype)
            return Value(b.select(mask, found.ir, under.ir), dtype)
        spread = Spread(self.code, lanes, every, left)
        if lanes.within and row.inside is not None:
            ends = None, b.select(row.inside, I64(lanes.width), I64(0))
        mask = spread.mask(*ends)
        at = b.sdiv(b.add(before, spread.shift), I64(every))
        given = self._found(source, Lanes(0, spread.count), row, self._near_step(box, at, spread.count, every), mask)
        value = widened(self.code, cast(b, given, dtype), spread.count)
        found = spread.over(value.ir, under.ir)
        return Value(found if ends == (None, None) else b.select(self._mask(lanes, *ends), found, under.ir), dtype)

    def _near_step(self, box: int, at: Any, count: int, every: int) -> Any:
        """Where the first of some elements lies, or where nothing is read near it."""
        first, last = self._ends(box, len(self.kernel.space.sizes) - 1)
        if last is not None:
            length = last if first is None else self.b.sub(last, first)
            at = smaller(self.b, at, self.b.sdiv(length, I64(every)))
        return at if first is None else larger(self.b, at, -count)

    def _near(self, box: int, lanes: Lanes, mask: Any) -> Any:
        """Where the first lane lies in the box's row, or where nothing is read near it: far from it is no memory."""
        b = self.b
        start, last = self._ends(box, len(self.kernel.space.sizes) - 1)
        first = as_value(lanes.position) if start is None else b.sub(as_value(lanes.position), start)
        if lanes.width == 1:
            return first if mask is None else b.select(mask, first, I64(0))
        if lanes.within:
            return first
        if last is not None:
            first = smaller(b, first, last if start is None else b.sub(last, start))
        return first if start is None else larger(b, first, -lanes.width)

    def _mask(self, lanes: Lanes, start: Any, end: Any) -> Any:
        """Which lanes are in the box."""
        b = self.b
        if lanes.width == 1:
            bounds = [b.icmp_signed("<=", start, I64(0))] if start is not None else []
            return reduce(b.and_, [*bounds, *([b.icmp_signed(">", end, I64(0))] if end is not None else [])])
        terms = []
        if start is not None:
            terms.append(b.icmp_signed(">=", *self._counted(lanes.width, start)))
        if end is not None:
            terms.append(b.icmp_signed("<", *self._counted(lanes.width, end)))
        return reduce(b.and_, terms)

    def _counted(self, width: int, count: Any) -> tuple[Any, Any]:
        """The numbers of the lanes, and in every lane a count, cut to what a vector has."""
        kind = counter(width)
        cut = self.b.trunc(larger(self.b, smaller(self.b, count, width), 0), kind)
        return ir.Constant(ir.VectorType(kind, width), list(range(width))), self.code.splat(cut, width)

    def _read(self, source: Node, lanes: Lanes, row: _Row, first: Any, mask: Any) -> Value:
        """An operand's elements under a mask."""
        b, dtype = self.b, source.array_type.dtype
        *_, inner = self.kernel.form.steps[self.at[source]]
        step = self.word["step", self.at[source], len(row.places)] if inner is None else inner
        offset = self._offset(self.at[source], row)
        if isinstance(step, int) and step == 0:
            return read(self.code, self._place(source, offset), Lanes(0, 1), dtype)
        if not isinstance(step, int) and lanes.width > 1:
            return self._one_by_one(source, lanes, (offset, step), first, mask)
        place = self._place(source, plus(b, offset, times(b, first, step)))
        both = lanes.mask if mask is None else mask if lanes.mask is None else b.and_(mask, lanes.mask)
        return read(self.code, place, Lanes(0, lanes.width, both), dtype, step)

    def _offset(self, pointer: int, row: _Row) -> Any:
        """Where a row lies in an array, from its first element on, or where some row does if it is outside."""
        b, offset = self.b, 0
        for axis, (step, at) in enumerate(zip(self.kernel.form.steps[pointer], row.places, strict=False)):
            if step is None:
                offset = plus(b, offset, times(b, at, self.word["step", pointer, axis]))
        return offset if row.inside is None else b.select(row.inside, as_value(offset), I64(0))

    def _one_by_one(self, source: Node, lanes: Lanes, row: tuple[Any, Any], first: Any, mask: Any) -> Value:
        """Elements that do not lie side by side; for a lane outside of the box the first is read."""
        b, dtype, (offset, step) = self.b, source.array_type.dtype, row

        def places() -> Iterator[Any]:
            for lane in range(lanes.width):
                at = b.mul(b.add(first, I64(lane)), step)
                if mask is not None:
                    at = b.select(b.extract_element(mask, I32(lane)), at, I64(0))
                yield self._place(source, plus(b, offset, at))

        raw = self.code.collect(places(), stored_type(dtype), lanes.width, dtype.itemsize)
        return computed(b, raw, dtype)

    def _place(self, source: Node, offset: Any) -> Any:
        """An address, which may lie outside of the array where nothing is read."""
        kind = stored_type(source.array_type.dtype)
        return self.b.gep(self.pointers[self.at[source]], [as_value(offset)], source_etype=kind)
