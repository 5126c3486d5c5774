"""The values of a kernel being written: where they lie, and what is in force at the point reached."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from llvmlite import ir

from graphc.ir import Node
from graphc.maps import read_here
from graphc.native.code.functions import Function, function_of
from graphc.native.code.indices import as_value, plus, times
from graphc.native.code.limited import apply
from graphc.native.code.scalars import I64, POINTER, Value, cast, number, stored_type
from graphc.native.code.writer import Code
from graphc.native.kernel.boxes import Boxes
from graphc.native.kernel.interleaved import read_together, write_together
from graphc.native.kernel.kernel import Kernel
from graphc.native.kernel.lanes import Lanes, read, widened, write
from graphc.native.kernel.lookups import Lookups
from graphc.native.kernel.phases import is_counted
from graphc.native.kernel.structure import is_in_table, ops_of
from graphc.native.kernel.table import Word
from graphc.native.kernel.totals import INT64, UINT8, place_dtype
from graphc.native.kernel.traversal import Traversal
from graphc.windows import windows_of

ONE = Lanes(0, 1)
WHERE_USED = ("float", "function")
"""The numbers of the table that are read where they are used, as constants are, not kept."""


class Values:
    """The base of what writes one kernel. `values` holds what is in force: per kernel, per row, per vector."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel, self.plan = kernel, kernel.plan
        self.code = Code.kernel(ops_of(kernel.body))
        self.code.brief = kernel.compact
        self.b = self.code.b
        self.traversal = Traversal(self.code, kernel, self.where)
        self.coordinates: list[Any] = []
        self.values: dict[Node, Value] = {}
        self.wide: dict[tuple[Node, int], Value] = {}
        """Numbers in every lane, for what varies along the row."""
        body = kernel.body
        self.pointers = self.code.table(len(kernel.pointed))
        self.places = {name: place for place, name in enumerate(kernel.words, len(kernel.pointed))}
        self.word: dict[Word, Any] = {name: self._number(place) for name, place in self.places.items()
                                      if name[0] not in WHERE_USED}  # fmt: skip
        self.at = {node: i for i, node in enumerate(body.inputs)}
        self.boxes = Boxes(self.code, kernel, self.pointers, self.word, self.at, self.operand)
        self.lookups = Lookups(self)
        reducing = (*kernel.plan.row_reductions, *kernel.plan.accumulators)
        self.along = {source for node in body.nodes if kernel.plan.is_inner(node) or node in reducing
                      for source in node.inputs}  # fmt: skip
        """What is used along the row."""
        self.results: dict[Node, list[int]] = {}
        for i, node in enumerate(body.outputs, len(body.inputs)):
            self.results.setdefault(node, []).append(i)
        self.interleaved = {i: pointers for pointers in kernel.form.interleaved for i in pointers}
        """By pointer, those whose elements lie in turns."""
        self.waiting: dict[int, Value] = {}
        self.stashes = {node: self.code.room(self._stashed(node), stored_type(node.array_type.dtype))
                        for node in self._kept()}  # fmt: skip

    def _kept(self) -> Iterable[Node]:
        return (node for node in self.kernel.body.nodes if node in self.plan.stashed)

    def _stashed(self, node: Node) -> int:
        """How many elements are kept of a value."""
        return self.plan.row_bytes(node) // node.array_type.dtype.itemsize * self.kernel.abreast

    def _number(self, place: int, kind: Any = I64) -> Any:
        slot = self.b.gep(self.code.function.args[0], [I64(place)], source_etype=POINTER)
        return self.b.load(slot, typ=kind, align=8)

    def _from_table(self, node: Node) -> Value:
        """A number of the body that stands in the table."""
        place = self.places["float", self.kernel.body.nodes.index(node), 0]
        read = self._number(place, stored_type(node.array_type.dtype))
        read.set_metadata("invariant.load", self.code.module.add_metadata([]))
        return Value(read, node.array_type.dtype)

    def _stash(self, node: Node, lanes: Lanes) -> Any:
        down = self.plan.down
        place = lanes.position if down is None else times(self.b, self.coordinates[down], lanes.width)
        return self.code.at(self.stashes[node], place, stored_type(node.array_type.dtype))

    def _store(self, node: Node, value: Value, lanes: Lanes) -> None:
        for i in self.results[node]:
            if lanes.width > 1 and i in self.interleaved:
                self._store_with_others(i, value, lanes)
                continue
            place, step = self.place(i, node, lanes)
            write(self.code, value, place, lanes, step)

    def _store_with_others(self, i: int, value: Value, lanes: Lanes) -> None:
        """Store a value and those that lie in turns with it, when it is the last of these."""
        self.waiting[i], (first, *_) = value, self.interleaved[i]
        if all(each in self.waiting for each in self.interleaved[i]):
            values = [self.waiting.pop(each) for each in self.interleaved[i]]
            place, _ = self.place(first, self.kernel.pointed[first], lanes)
            write_together(self.code, values, place, lanes, self.kernel.width.native)

    def read_operand(self, node: Node, lanes: Lanes) -> Value:
        """The elements of an operand; those that lie in turns with it are then known, too."""
        i = self.at[node]
        if lanes.width == 1 or i not in self.interleaved:
            return self.read(i, node, lanes)
        if node not in self.values:
            nodes = [self.kernel.pointed[each] for each in self.interleaved[i]]
            place, _ = self.place(self.interleaved[i][0], nodes[0], lanes)
            dtype, native = node.array_type.dtype, self.kernel.width.native
            found = read_together(self.code, place, lanes, len(nodes), dtype, native)
            self.values |= dict(zip(nodes, found, strict=True))
        return self.values[node]

    def read(self, i: int, node: Node, lanes: Lanes) -> Value:
        """The elements of a pointer's array at the index reached."""
        place, step = self.place(i, node, lanes)
        return read(self.code, place, lanes, node.array_type.dtype, step)

    def compute(self, nodes: Iterable[Node], columns: Lanes = ONE) -> None:
        """Values that do not vary along the row, in order; where columns are walked, of all of them."""
        for node in nodes:
            lanes = columns if self.plan.is_wide(node) else ONE
            self.know(node, self.read(self.at[node], node, lanes) if node in self.at else self._apply(node, lanes))

    def know(self, node: Node, value: Value) -> None:
        """Note a number, and put it into every lane where vectors need it so: outside of their loop."""
        self.values[node] = value
        if self.plan.is_wide(node):
            return
        if node in self.along and not isinstance(value.ir, ir.Constant) and not is_in_table(node):
            for width in self.traversal.widths:
                self.wide[node, width] = widened(self.code, value, width)

    def operand(self, node: Node, width: int) -> Value:
        """A value that is known, in every lane of a vector so wide."""
        value = self._from_table(node) if is_in_table(node) else self.values[node]
        if width == 1 or self.plan.is_inner(node):
            return widened(self.code, value, width)
        return self.wide[node, width] if (node, width) in self.wide else widened(self.code, value, width)

    def _apply(self, node: Node, lanes: Lanes) -> Value:
        if is_in_table(node):
            return self._from_table(node)
        if not node.inputs:
            return number(node.attrs["value"].item(), node.array_type.dtype)
        if node in self.lookups.lookups:
            return self.lookups.value(node, lanes)
        operands = [self.operand(source, lanes.width) for source in read_here(node)]
        if node in self.lookups.marks:
            return self.lookups.marked(node, lanes, operands)
        if windows_of(node):
            return self.boxes.value(node, lanes, operands, self.coordinates)
        if node.op.view:
            return operands[0]
        function = function_of(node, lanes.width) if self.kernel.compact else None
        return apply(self.b, node, operands) if function is None else self._called(function, operands)

    def _called(self, function: Function, operands: Sequence[Value]) -> Value:
        """A function's value; its address stands in the table."""
        place = self.places["function", self.kernel.form.functions.index(function), 0]
        address = self._number(place, function.pointer)
        return function.called(self.b, address, operands)

    def place(self, i: int, node: Node, lanes: Lanes) -> tuple[Any, Any]:
        """Where some elements are: the address of the first, and how far they are apart."""
        return self.lies(i, node, lanes)

    def lies(self, i: int, node: Node, lanes: Lanes) -> tuple[Any, Any]:
        """The same in the array that a pointer is of."""
        *outer, inner = self.kernel.form.steps[i]
        step = self.word["step", i, len(outer)] if inner is None else inner
        offset: Any = 0
        for axis, known in enumerate(outer):
            if known is None:
                offset = plus(self.b, offset, times(self.b, self.coordinates[axis], self.word["step", i, axis]))
        along = times(self.b, lanes.position, step)
        return self.code.at(self.pointers[i], plus(self.b, offset, along), stored_type(node.array_type.dtype)), step

    def where(self, node: Node, lanes: Lanes) -> Value:
        """Where some elements stand along the axes that a reduction is over, as if these were one.

        Of bytes, where vectors are counted, it is the number of theirs.
        """
        if lanes.counted is not None and is_counted(node):
            number = self.b.udiv(self.b.sub(lanes.position, lanes.counted), I64(lanes.width))
            return widened(self.code, cast(self.b, Value(number, INT64), UINT8), lanes.width)
        b, last, at = self.b, len(self.kernel.space.sizes) - 1, 0
        over = self.kernel.space.reduced(node)
        for axis in over:
            size = self.word.get(("size", 0, axis), self.kernel.form.length)  # of the first axis none is needed
            at = plus(b, times(b, at, size), lanes.position if axis == last else self.coordinates[axis])
        dtype = place_dtype(node)
        first = widened(self.code, cast(b, Value(as_value(at), INT64), dtype), lanes.width)
        if lanes.width == 1 or last not in over:
            return first
        return Value(b.add(first.ir, ir.Constant(first.ir.type, list(range(lanes.width)))), dtype)
