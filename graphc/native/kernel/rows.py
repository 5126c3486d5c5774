"""Writes a kernel: loops over rows, walks along each, and in every walk code for vectors of elements.

The code is as it should run: LLVM's passes are left out, for they take most of the time of a compilation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from graphc.facts import is_place
from graphc.ir import Node
from graphc.native.code.scalars import I64, Value, cast, stored_type
from graphc.native.code.vectors import host_unit
from graphc.native.kernel.columns import Columns
from graphc.native.kernel.folding import folded
from graphc.native.kernel.held import Held
from graphc.native.kernel.kernel import CHUNK
from graphc.native.kernel.lanes import Lanes, hidden, read, widened, write
from graphc.native.kernel.phases import identity, reduction_of
from graphc.native.kernel.stages import Tile
from graphc.native.kernel.tiles import Tiles
from graphc.native.kernel.totals import Total, combined, part_length, raws, refilled, totals_of
from graphc.native.kernel.values import ONE, Values
from graphc.windows import windows_of


class Writer(Values):
    """Writes one kernel, row by row."""

    tile: Tile | None = None
    held: Held | None = None

    def text(self) -> str:
        """The kernel's IR."""
        if self.kernel.width.once:  # many values at once: some wait on the stack, in places that lie in one cache line
            self.code.function.attributes.add("nounwind")  # llvmlite writes no attributes where the set is empty
            self.code.function.attributes.alignstack = host_unit().vector_bytes
        _, first, last, _ = self.code.function.args
        self._begin_parts()
        self.compute(node for node in self.kernel.body.nodes if self.plan.is_fixed(node))
        if self.kernel.stretch:
            length = self.kernel.form.length
            self._walk_row(0 if length else first, length or last, self._stored_totals)
            self.store_row()
        elif self.kernel.tiled is not None:
            self.tile = tiles = Tiles(self, self.kernel.tiled)
            tiles.walk(first, last)
        elif self.plan.down is not None:
            self.tile = columns = Columns(self, self.plan.down)
            columns.walk(first, last)
        elif self.kernel.held:
            self.held = held = Held(self)
            held.walk(first, last)
        else:
            self._rows(first, last)
        text = self.code.text()
        vars(self).clear()  # it refers to itself in circles
        return text

    # ---------------------------------------------------------------------------------------------------------- rows

    def _rows(self, first: Any, last: Any) -> None:
        """All rows, with the coordinates of each, and the totals of what is accumulated over all of them."""
        over_all = [node for node in self.plan.accumulators if not self.kernel.is_spread(node)]
        starts = [totals_of(self.code, node).start(1) for node in over_all]

        def row(number: Any, *carried: Any) -> list[Any]:
            self.coordinates = [carried[-1], *carried[: len(inner)]] if inner else [number]
            self.totals = dict(zip(over_all, refilled(starts, carried[len(inner) :]), strict=True))
            values, wide = dict(self.values), dict(self.wide)
            self._walk_row(*self._ends(), self._added_totals)
            self.store_row()
            self.values, self.wide = values, wide
            return [*self._next(inner), *raws([*self.totals.values()]), *self._next_outer(inner)]

        inner = self._inner_sizes()
        found, outer = self.split(first, inner)
        ends = self.code.loop(first, last, 1, row, [*found, *raws(starts), *([outer] if inner else [])])
        for node, total in zip(over_all, refilled(starts, ends[len(inner) :]), strict=True):
            self.store_part(node, total)

    def row(self, start: Any, end: Any) -> None:
        """What happens along one row from one element to another, where nothing is carried from row to row."""
        values, wide = dict(self.values), dict(self.wide)
        self._walk_row(start, end, self._added_totals)
        self.store_row()
        self.values, self.wide = values, wide

    def place(self, i: int, node: Node, lanes: Lanes) -> tuple[Any, Any]:
        """Where some elements are: on the stage, if they are staged."""
        if self.tile is not None and i in self.tile.stages:
            return self.tile.place(i, lanes)
        return self.lies(i, node, lanes)

    def _inner_sizes(self) -> list[Any]:
        """The sizes of the outer axes but the first; the last of them counts chunks where rows are cut."""
        axes = len(self.kernel.space.sizes)
        sizes = [self.word["size", 0, axis] for axis in range(1, axes - 1)]
        if self.kernel.chunked:
            sizes.append(self.word["chunks", 0, 0])
        return sizes

    def split(self, row: Any, sizes: Sequence[Any]) -> tuple[list[Any], Any]:
        """A row number as an index along each outer axis but the first, and along that."""
        found: list[Any] = []
        for size in reversed(sizes):
            found.append(self.b.urem(row, size))
            row = self.b.udiv(row, size)
        return found[::-1], row

    def _next(self, sizes: Sequence[Any]) -> list[Any]:
        """The coordinates of the next row; sets whether the first axis goes on, too."""
        b, carry, found = self.b, I64(1), []
        for coordinate, size in zip(reversed(self.coordinates[1:]), reversed(sizes), strict=True):
            raised = b.add(coordinate, carry)
            over = b.icmp_signed("==", raised, size)
            found.append(b.select(over, I64(0), raised))
            carry = b.zext(over, I64)
        self.carry = carry
        return found[::-1]

    def _next_outer(self, sizes: Sequence[Any]) -> list[Any]:
        return [self.b.add(self.coordinates[0], self.carry)] if sizes else []

    def _ends(self) -> tuple[Any, Any]:
        """Where the walk along a row begins and ends."""
        kernel, b = self.kernel, self.b
        if kernel.form.length:
            return 0, kernel.form.length
        length = self.word["size", 0, len(kernel.space.sizes) - 1]
        if not kernel.chunked:
            return I64(0), length
        start = b.mul(self.coordinates[-1], I64(CHUNK))
        end = b.add(start, I64(CHUNK))
        return start, b.select(b.icmp_signed("<", end, length), end, length)

    def store_row(self, columns: Lanes = ONE) -> None:
        """Store what is one number per row, or per column, or per kernel."""
        for node in self.results:
            if node not in self.plan.accumulators and not self.plan.is_inner(node):
                self._store(node, self.values[node], columns if self.plan.is_wide(node) else ONE)

    # ---------------------------------------------------------------------------------------------------------- parts

    def _begin_parts(self) -> None:
        """Point accumulated results at this block's part; set those of several numbers to the reduction's identity."""
        for node in self.plan.accumulators:
            block, kind = self.code.function.args[3], stored_type(node.array_type.dtype)
            for i in self.results[node]:
                size = self.word["part", i, 0] if self.kernel.is_spread(node) else I64(part_length(node))
                self.pointers[i] = self.code.at(self.pointers[i], self.b.mul(block, size), kind)
                if self.kernel.is_spread(node) and not (self.kernel.held and len(self.kernel.space.sizes) == 2):
                    self._clear(node, i, size)

    def _clear(self, node: Node, i: int, size: Any) -> None:
        dtype = node.array_type.dtype
        start = identity(reduction_of(node), dtype)

        def clear(lanes: Lanes, totals: list[Total]) -> list[Total]:
            place = self.code.at(self.pointers[i], lanes.position, stored_type(dtype))
            write(self.code, widened(self.code, start, lanes.width), place, lanes)
            return []

        self.traversal.along(I64(0), size, clear, [])

    def store_part(self, node: Node, total: Total) -> None:
        """The total of a block: of a place the extreme, and where it stands behind it."""
        kind = stored_type(node.array_type.dtype)
        *before, _ = total
        for i in self.results[node]:
            for number, value in enumerate([*before, totals_of(self.code, node).result(total)]):
                write(self.code, value, self.code.at(self.pointers[i], number, kind), ONE)

    def _stored_totals(self, node: Node, total: Total) -> None:
        """The total of a stretch is all of its part."""
        self.store_part(node, total)

    def _added_totals(self, node: Node, total: Total) -> None:
        """The total of a row goes to that of all rows, or to one of several numbers."""
        if not self.kernel.is_spread(node):
            self.totals[node] = totals_of(self.code, node).both(self.totals[node], total)
        else:
            self.accumulate(node, total[0], ONE)

    def accumulate(self, node: Node, term: Value, lanes: Lanes) -> None:
        """Add to the numbers of a part that the lanes belong to, or to the one that all do."""
        if self.held is not None:
            self.held.add(node, term, lanes)
            return
        if lanes.width > 1 and not self.kernel.space.varies(node)[-1]:
            term, lanes = self._folded(node, term, lanes), ONE
        for i in self.results[node]:
            place, step = self.place(i, node, lanes)
            total = read(self.code, place, lanes, node.array_type.dtype, step)
            write(self.code, combined(self.code, node, total, term), place, lanes, step)

    def _folded(self, node: Node, term: Value, lanes: Lanes) -> Value:
        """One number from the lanes that are there."""
        reduction, dtype = reduction_of(node), node.array_type.dtype
        term = cast(self.b, term, dtype)
        if lanes.mask is not None:
            nothing = widened(self.code, identity(reduction, dtype), lanes.width)
            term = Value(self.b.select(hidden(self.code, lanes.mask), term.ir, nothing.ir), dtype)
        return folded(self.code, reduction, term)

    # ---------------------------------------------------------------------------------------------------------- walks

    def _walk_row(self, start: Any, end: Any, leave: Callable[[Node, Total], None]) -> None:
        """Everything that happens along one row, phase by phase; `leave` gets the totals of accumulated results."""
        for phase in range(self.plan.phases):
            self.compute(node for node in self.kernel.body.nodes if self.plan.is_per_row(node, phase))
            self.lookups.begin(phase)
            plan = self.plan
            carried = [node for node in plan.row_reductions if plan.phase[node] == phase + 1]
            now = [node for node in plan.accumulators if plan.phase[node] == phase]
            scalars = [node for node in now if not plan.is_inner(node)]
            along = [node for node in scalars if plan.is_inner(node.inputs[0])]
            spread = [node for node in now if plan.is_inner(node)]
            found = self._walk(phase, start, end, [*carried, *along], spread)
            for node, total in zip(carried, found, strict=False):
                self.know(node, totals_of(self.code, node).result(total))
            for node in scalars:
                if node not in along:
                    leave(node, (self.values[node.inputs[0]],))
            for node, total in zip(along, found[len(carried) :], strict=True):
                leave(node, total)

    def _walk(self, phase: int, start: Any, end: Any, carried: Sequence[Node], spread: Sequence[Node]) -> list[Total]:
        """One walk along the row: compute, store, and carry the reductions."""
        roots, kept = self.plan.roots(phase), dict(self.values)
        if not roots and not carried:
            return []

        def element(lanes: Lanes, totals: list[Total]) -> list[Total]:
            self.values = dict(kept)
            return self.element(phase, lanes, roots, spread, carried, totals)

        boxed = self.kernel.form.within and any(map(windows_of, self.plan.needed(phase)))
        within = (self.word["within", 0, 0], self.word["within", 0, 1]) if boxed else None
        found = self.traversal.along(start, end, element, carried, within)
        self.values = kept
        return found

    def element(self, phase: int, lanes: Lanes, roots: Sequence[Node], spread: Sequence[Node], carried: Sequence[Node],
                totals: list[Total]) -> list[Total]:  # fmt: skip
        """What happens at some elements in one walk; gives the totals after them."""
        for node in self.plan.needed(phase):
            self.values[node] = self._along_row(node, phase, lanes)
        for node in roots:
            self._leave(node, phase, lanes)
        for node in spread:
            self.accumulate(node, self.operand(node.inputs[0], lanes.width), lanes)
        return [self._total(node, total, lanes) for node, total in zip(carried, totals, strict=True)]

    def _total(self, node: Node, total: Total, lanes: Lanes) -> Total:
        """A total with the elements of some lanes."""
        term = self.operand(node.inputs[0], lanes.width)
        where = self.where(node, lanes) if is_place(node) else None
        return totals_of(self.code, node, counted=lanes.counted is not None).added(total, term, where, lanes.mask)

    def _along_row(self, node: Node, phase: int, lanes: Lanes) -> Value:
        dtype = node.array_type.dtype
        if self.plan.is_reloaded(node, phase):
            if node in self.stashes:
                return read(self.code, self._stash(node, lanes), lanes, dtype)
            return self.read(self.results[node][0], node, lanes)
        if node in self.at:
            return self.read_operand(node, lanes)
        return self._apply(node, lanes)

    def _leave(self, node: Node, phase: int, lanes: Lanes) -> None:
        """Store a value where it belongs, if this is its phase."""
        if self.plan.phase[node] != phase:
            return
        value = self.operand(node, lanes.width)
        if node in self.stashes:
            write(self.code, value, self._stash(node, lanes), lanes)
        if node in self.plan.stored:
            self._store(node, value, lanes)
