"""A kernel as loops: the index space of a fused body, cut into rows, and what happens along each row.

All values of a body have the rank of its index space, with 1 on the axes they do not vary over. The last axis is the
row; the axes before it are counted by one row number. A reduction over the last axis gives a number per row, which
later nodes of the same row may use: so a row is walked in phases, one more than the longest chain of such reductions
(softmax has three: the maximum; the exponentials and their sum; the quotient). Any other reduction is accumulated over
a block of rows, and the blocks' parts are added up afterwards in a fixed order.

    void kernel(ptr table, i64 first_row, i64 last_row, i64 block)

`table` holds the pointers of operands, then of results. Nothing in the code depends on the number of rows.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from llvmlite import ir

from graphc.ir import Graph, Node
from graphc.native import elementwise
from graphc.native.scalars import Value, load, number, store, stored_type

I64 = ir.IntType(64)
POINTER = ir.PointerType()
SYMBOL = "kernel"
CHUNK = 4096
"""A longer row without reductions of its own is cut into rows of so many elements."""
STASHED_BYTES = 32768
"""The most that a row's intermediate values may take on the stack; dearer ones are computed again."""
DEAR = 5.0
"""A value whose op costs so many additions per element is kept for later phases rather than computed again."""


@dataclass(frozen=True)
class Reduction:
    """How a reduction starts and combines."""

    start: Any
    combine: str

    def identity(self, dtype: np.dtype[Any]) -> Value:
        """The value that changes nothing."""
        if self.start in ("lowest", "highest") and dtype.kind != "f":
            limits = np.iinfo(dtype) if dtype.kind != "b" else None
            lowest, highest = (limits.min, limits.max) if limits else (0, 1)
            return number(lowest if self.start == "lowest" else highest, dtype)
        return number({"lowest": -math.inf, "highest": math.inf}.get(self.start, self.start), dtype)


REDUCTIONS = {
    "sum": Reduction(0, "add"), "prod": Reduction(1, "multiply"), "max": Reduction("lowest", "maximum"),
    "min": Reduction("highest", "minimum"), "any": Reduction(0, "bitwise_or"), "all": Reduction(1, "bitwise_and"),
}  # fmt: skip


@dataclass(frozen=True)
class Access:
    """How an operand lies in memory: elements to step along each axis of the index space."""

    strides: tuple[int, ...]


@dataclass(frozen=True)
class Space:
    """The index space of a body with neighbouring axes merged wherever every value and operand allows it."""

    sizes: tuple[int, ...]
    groups: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, body: Graph, accesses: Sequence[Access]) -> Space:
        """Merge what can be merged."""
        domain = domain_of(body)
        groups: list[list[int]] = [[0]] if domain else []
        for axis in range(1, len(domain)):
            if _mergeable(body, accesses, domain, groups[-1], axis):
                groups[-1].append(axis)
            else:
                groups.append([axis])
        if not groups:
            return cls((1,), ((),))
        return cls(tuple(math.prod(domain[a] for a in group) for group in groups), tuple(map(tuple, groups)))

    def varies(self, node: Node) -> tuple[bool, ...]:
        """Along which merged axes a value varies."""
        shape = node.array_type.shape
        return tuple(any(shape[axis] != 1 for axis in group if shape) for group in self.groups)


def domain_of(body: Graph) -> tuple[int, ...]:
    """The sizes that the values of a body vary over."""
    shapes = [node.array_type.static_shape for node in body.nodes]
    rank = max(map(len, shapes))
    return tuple(max(shape[axis] for shape in shapes if len(shape) == rank) for axis in range(rank))


def _mergeable(body: Graph, accesses: Sequence[Access], domain: Sequence[int], group: Sequence[int], axis: int) -> bool:
    real = [a for a in group if domain[a] != 1]
    if not real or domain[axis] == 1:
        return True
    last = real[-1]
    for node in body.nodes:
        shape = node.array_type.shape
        if len(shape) == len(domain) and (shape[last] == 1) != (shape[axis] == 1):
            return False
    return all(access.strides[last] == access.strides[axis] * domain[axis] for access in accesses)


@dataclass
class Plan:
    """What is computed when: the phase of every value, and what each phase stores, reduces and keeps."""

    body: Graph
    space: Space
    chunked: bool
    phase: dict[Node, int] = field(default_factory=dict)
    row_reductions: list[Node] = field(default_factory=list)
    accumulators: list[Node] = field(default_factory=list)
    stashed: set[Node] = field(default_factory=set)
    stored: set[Node] = field(default_factory=set)

    def __post_init__(self) -> None:
        for node in self.body.nodes:
            below = max((self.phase[source] for source in node.inputs), default=0)
            if node.op.name in REDUCTIONS:
                if self.is_row_reduction(node):
                    self.row_reductions.append(node)
                    below += 1
                else:
                    self.accumulators.append(node)
            self.phase[node] = below
        self.stored = {node for node in self.body.outputs if self.is_inner(node)} - set(self.accumulators)
        for phase in range(1, self.phases):
            for node in self.needed(phase):
                for source in node.inputs:
                    self._keep(source, phase)

    @property
    def phases(self) -> int:
        """How often a row is walked."""
        return 1 + max(self.phase.values())

    def is_inner(self, node: Node) -> bool:
        """Whether a value varies along the row."""
        return self.space.varies(node)[-1]

    def is_fixed(self, node: Node) -> bool:
        """Whether a value is the same for all rows and needs none of them."""
        return not any(self.space.varies(node)) and self.phase[node] == 0 and node.op.name not in REDUCTIONS

    def is_per_row(self, node: Node, phase: int) -> bool:
        """Whether a value is computed once per row, at the start of a phase."""
        computed = node.op.name not in REDUCTIONS and not self.is_inner(node) and not self.is_fixed(node)
        return computed and self.phase[node] == phase

    def is_row_reduction(self, node: Node) -> bool:
        """Whether a reduction is over the whole row and nothing else."""
        source, result = self.space.varies(node.inputs[0]), self.space.varies(node)
        return not self.chunked and source[:-1] == result[:-1]

    def roots(self, phase: int) -> list[Node]:
        """The values along the row that one phase stores, reduces or accumulates."""
        stored = [node for node in self.body.nodes if node in self.stored | self.stashed and self.phase[node] == phase]
        reduced = [node.inputs[0] for node in self.row_reductions if self.phase[node] == phase + 1]
        reduced += [node.inputs[0] for node in self.accumulators if self.phase[node] == phase]
        return [node for node in dict.fromkeys([*stored, *reduced]) if self.is_inner(node)]

    def is_reloaded(self, node: Node, phase: int) -> bool:
        """Whether an earlier phase left the value in memory."""
        return self.phase[node] < phase and (node in self.stored or node in self.stashed)

    def needed(self, phase: int) -> list[Node]:
        """The values along the row that a phase computes or reads, in order."""
        seen, stack = set(), self.roots(phase)
        while stack:
            node = stack.pop()
            if node in seen or not self.is_inner(node) or node.op.name in REDUCTIONS:
                continue
            seen.add(node)
            if not self.is_reloaded(node, phase):
                stack.extend(node.inputs)
        return [node for node in self.body.nodes if node in seen]

    def _keep(self, node: Node, phase: int) -> None:
        dear = not node.op.leaf and isinstance(node.op.effort, (int, float)) and node.op.effort >= DEAR
        if dear and self.is_inner(node) and self.phase[node] < phase and node not in self.stored:
            used = sum(self.row_bytes(kept) for kept in self.stashed)
            if used + self.row_bytes(node) <= STASHED_BYTES:
                self.stashed.add(node)

    def row_bytes(self, node: Node) -> int:
        """The bytes of a value along one row."""
        return self.space.sizes[-1] * node.array_type.dtype.itemsize


class KernelCode:
    """The code of one kernel: `text` is its IR module."""

    def __init__(self, body: Graph, accesses: Sequence[Access], results: Sequence[Access] = ()) -> None:
        """`results` says how results lie that are not in C order; none may then be a reduction."""
        self.body = body
        self.accesses = tuple(accesses)
        self.results = dict(zip(body.outputs, results, strict=True)) if results else {}
        self.space = Space.of(body, [*accesses, *results])
        consumed = {source for node in body.nodes for source in node.inputs}
        reduces_rows = any(node.op.name in REDUCTIONS and node in consumed for node in body.nodes)
        self.chunk = CHUNK if self.space.sizes[-1] > CHUNK and not reduces_rows and not self._reduces_to_rows() else 0
        self.plan = Plan(body, self.space, bool(self.chunk))
        self.row_length = self.chunk or self.space.sizes[-1]

    def _reduces_to_rows(self) -> bool:
        """Whether some reduction gives a number per row, so that rows must stay whole."""
        outer = self.space.sizes[:-1]
        if math.prod(outer) == 1:
            return False
        reductions = [node for node in self.body.nodes if node.op.name in REDUCTIONS]
        return any(any(self.space.varies(node)[:-1]) for node in reductions)

    @cached_property
    def rows(self) -> int:
        """How many rows the index space has."""
        chunks = -(-self.space.sizes[-1] // self.chunk) if self.chunk else 1
        return math.prod(self.space.sizes[:-1]) * chunks

    @cached_property
    def text(self) -> str:
        """The IR of the kernel."""
        return _Writer(self).write()


class _Writer:
    """Writes one kernel. `values` holds what is in force at the point reached: per kernel, per row, per element."""

    def __init__(self, code: KernelCode) -> None:
        self.code, self.plan, self.space = code, code.plan, code.space
        self.module = ir.Module("kernel")
        self.function = ir.Function(self.module, ir.FunctionType(ir.VoidType(), [POINTER, I64, I64, I64]), SYMBOL)
        self.b = ir.IRBuilder(self.function.append_basic_block("entry"))
        self.anywhere = self.module.add_metadata([ir.MetaDataString(self.module, "access")])
        self.within_row = self.module.add_metadata([ir.MetaDataString(self.module, "access in a row")])
        self.loops = 0
        self.values: dict[Node, Value] = {}
        self.stashes: dict[Node, Any] = {}

    def write(self) -> str:
        body = self.code.body
        self.pointers = dict(zip(body.inputs, self._table(0, len(body.inputs)), strict=True))
        results = self._table(len(body.inputs), len(body.outputs))
        self.results: dict[Node, list[Any]] = {}
        for node, pointer in zip(body.outputs, results, strict=True):
            self.results.setdefault(node, []).append(pointer)
        self._shift_accumulators()
        for node in self.plan.stashed:
            stash = self.b.alloca(ir.ArrayType(ir.IntType(8), self.plan.row_bytes(node)))
            stash.align, stash.type = 64, POINTER
            self.stashes[node] = stash
        self._compute(node for node in body.nodes if self.plan.is_fixed(node))
        _, first, last, _ = self.function.args
        self._loop(first, last, self._row, groups=[self.anywhere])
        self.b.ret_void()
        self._mark_tables()
        return _with_loop_metadata(str(self.module))

    def _mark_tables(self) -> None:
        """Say of the loads of mathematical functions, which are from tables of constants, that nothing writes there.

        A loop with a single access that is not marked gets checks, and runs without vectors where a result lies over an
        operand. The other loads without a mark are made once per row or kernel, outside of such loops.
        """
        for block in self.function.blocks:
            for instruction in block.instructions:
                if instruction.opname == "load" and "llvm.access.group" not in instruction.metadata:
                    self._mark(instruction, self.within_row)

    def _table(self, start: int, count: int) -> list[Any]:
        table = self.function.args[0]
        slots = [self.b.gep(table, [ir.Constant(I64, start + i)], source_etype=POINTER) for i in range(count)]
        return [self.b.load(slot, typ=POINTER, align=8) for slot in slots]

    def _shift_accumulators(self) -> None:
        """Point accumulated results at this block's part, and set the part to the reduction's identity."""
        block = self.function.args[3]
        for node in self.plan.accumulators:
            size = math.prod(node.array_type.static_shape)
            offset = self.b.mul(block, ir.Constant(I64, size))
            self.results[node] = [self._element(p, offset, node.array_type.dtype) for p in self.results[node]]
            start = REDUCTIONS[node.op.name].identity(node.array_type.dtype)
            for pointer in self.results[node]:

                def clear(i: Any, _: list[Any], pointer: Any = pointer, start: Value = start) -> list[Any]:
                    self._mark(store(self.b, start, self._element(pointer, i, start.dtype)), self.within_row)
                    return []

                self._loop(ir.Constant(I64, 0), ir.Constant(I64, size), clear)

    def _row(self, row: Any, _: list[Any]) -> list[Any]:
        """Everything that happens along one row."""
        self.coordinates = self._coordinates(row)
        outer = dict(self.values)
        for phase in range(self.plan.phases):
            self._compute(node for node in self.code.body.nodes if self.plan.is_per_row(node, phase))
            self._phase(phase)
        for node in self.code.body.outputs:
            if node not in self.plan.accumulators and not self.plan.is_inner(node):
                for pointer in self.results[node]:
                    store(self.b, self.values[node], self._result_place(node, pointer))
        self.values = outer
        return []

    def _phase(self, phase: int) -> None:
        """One walk along the row: compute, store, and carry the reductions."""
        roots = self.plan.roots(phase)
        carried = [n for n in self.plan.row_reductions if self.plan.phase[n] == phase + 1]
        scalars = [n for n in self.plan.accumulators if self.plan.phase[n] == phase and not self.plan.is_inner(n)]
        spread = [n for n in self.plan.accumulators if self.plan.phase[n] == phase and self.plan.is_inner(n)]
        if roots or carried or scalars:
            self._walk(phase, [*carried, *scalars], spread)
        for node in scalars:
            self._accumulate(node, self.values.pop(node))

    def _walk(self, phase: int, carried: Sequence[Node], spread: Sequence[Node]) -> None:
        starts = [REDUCTIONS[n.op.name].identity(n.array_type.dtype) for n in carried]
        kept = dict(self.values)

        def element(i: Any, totals: list[Any]) -> list[Any]:
            self.values = dict(kept)
            self.position = i
            for node in self.plan.needed(phase):
                self.values[node] = self._along_row(node, phase)
            for node in self.plan.roots(phase):
                self._leave(node, phase)
            for node in spread:
                self._accumulate(node, self._operand(node.inputs[0]))
            return [self._combined(n, Value(total, n.array_type.dtype), self._operand(n.inputs[0])).ir
                    for n, total in zip(carried, totals, strict=True)]  # fmt: skip

        totals = self._loop(ir.Constant(I64, 0), self._length(), element, [start.ir for start in starts])
        self.values = kept
        for node, total in zip(carried, totals, strict=True):
            self.values[node] = Value(total, node.array_type.dtype)

    def _length(self) -> Any:
        size, chunk = self.space.sizes[-1], self.code.chunk
        if not chunk:
            return ir.Constant(I64, size)
        left = self.b.sub(ir.Constant(I64, size), self.b.mul(self.coordinates[-1], ir.Constant(I64, chunk)))
        return self.b.select(self.b.icmp_signed("<", left, ir.Constant(I64, chunk)), left, ir.Constant(I64, chunk))

    def _operand(self, node: Node) -> Value:
        return self.values[node]

    def _along_row(self, node: Node, phase: int) -> Value:
        dtype = node.array_type.dtype
        if self.plan.is_reloaded(node, phase):
            if node in self.stashes:
                place = self._element(self.stashes[node], self.position, dtype)
                return self._marked_load(place, dtype, self.within_row)
            return self._marked_load(self._result_place(node, self.results[node][0]), dtype)
        if node in self.pointers:
            return self._marked_load(self._operand_place(node), dtype)
        return self._apply(node)

    def _leave(self, node: Node, phase: int) -> None:
        """Store a value where it belongs, if this is its phase."""
        if self.plan.phase[node] != phase:
            return
        if node in self.stashes:
            place = self._element(self.stashes[node], self.position, node.array_type.dtype)
            self._mark(store(self.b, self.values[node], place), self.within_row)
        if node in self.plan.stored:
            for pointer in self.results[node]:
                self._mark(store(self.b, self.values[node], self._result_place(node, pointer)))

    def _compute(self, nodes: Iterable[Node]) -> None:
        """Values that do not vary along the row, in order."""
        for node in nodes:
            if node in self.pointers:
                self.values[node] = load(self.b, self._operand_place(node), node.array_type.dtype)
            else:
                self.values[node] = self._apply(node)

    def _apply(self, node: Node) -> Value:
        if not node.inputs:
            return number(node.attrs["value"].item(), node.array_type.dtype)
        operands = [self.values[source] for source in node.inputs]
        if node.op.view:
            return operands[0]
        return elementwise.emit(self.b, node, operands)

    def _combined(self, node: Node, total: Value, term: Value) -> Value:
        return elementwise.combine(self.b, REDUCTIONS[node.op.name].combine, node.array_type.dtype, total, term)

    def _accumulate(self, node: Node, term: Value) -> None:
        for pointer in self.results[node]:
            place = self._result_place(node, pointer)
            inner = self.plan.is_inner(node)
            dtype = node.array_type.dtype
            total = self._marked_load(place, dtype, self.within_row) if inner else load(self.b, place, dtype)
            instruction = store(self.b, self._combined(node, total, term), place)
            if inner:
                self._mark(instruction, self.within_row)

    def _coordinates(self, row: Any) -> list[Any]:
        """The row number as an index along each outer axis, the last of them counting chunks where rows are cut."""
        sizes = list(self.space.sizes[:-1])
        if self.code.chunk:
            sizes.append(-(-self.space.sizes[-1] // self.code.chunk))
        found: list[Any] = []
        for size in reversed(sizes[1:]):
            found.append(self.b.urem(row, ir.Constant(I64, size)))
            row = self.b.udiv(row, ir.Constant(I64, size))
        return [*([row] if sizes else []), *reversed(found)]

    def _operand_place(self, node: Node) -> Any:
        access = self.code.accesses[self.code.body.inputs.index(node)]
        strides = [_merged_stride(group, access.strides, node.array_type.shape) for group in self.space.groups]
        return self._place(self.pointers[node], strides, node)

    def _result_place(self, node: Node, pointer: Any) -> Any:
        if node in self.code.results:
            steps, shape = self.code.results[node].strides, node.array_type.static_shape
            return self._place(pointer, [_merged_stride(group, steps, shape) for group in self.space.groups], node)
        sizes = [size if v else 1 for size, v in zip(self.space.sizes, self.space.varies(node), strict=True)]
        strides = [math.prod(sizes[i + 1 :]) if sizes[i] != 1 else 0 for i in range(len(sizes))]
        assert math.prod(sizes) == math.prod(node.array_type.static_shape)
        return self._place(pointer, strides, node)

    def _place(self, pointer: Any, strides: Sequence[int], node: Node) -> Any:
        """The address of this row's, and where it varies along the row this position's, element."""
        steps = list(strides[:-1]) + ([strides[-1] * self.code.chunk] if self.code.chunk else [])
        offset: Any = ir.Constant(I64, 0)
        if any(steps):
            for coordinate, step in zip(self.coordinates, steps, strict=True):
                if step:
                    offset = self.b.add(offset, self.b.mul(coordinate, ir.Constant(I64, step)))
        if strides[-1]:
            offset = self.b.add(offset, self.b.mul(self.position, ir.Constant(I64, strides[-1])))
        return self._element(pointer, offset, node.array_type.dtype)

    def _element(self, pointer: Any, index: Any, dtype: np.dtype[Any]) -> Any:
        return self.b.gep(pointer, [index], source_etype=stored_type(dtype), inbounds=True)

    def _marked_load(self, place: Any, dtype: np.dtype[Any], group: Any = None) -> Value:
        before = len(self.b.block.instructions)
        value = load(self.b, place, dtype)
        self._mark(self.b.block.instructions[before], group)
        return value

    def _mark(self, instruction: Any, group: Any = None) -> None:
        """Say of an access that no other iteration touches its element: of any loop, or only along its row."""
        instruction.set_metadata("llvm.access.group", group or self.anywhere)

    def _loop(self, first: Any, last: Any, body: Any, carried: Sequence[Any] = (),
              groups: Sequence[Any] = ()) -> list[Any]:  # fmt: skip
        """for i in first..last, with values carried from one iteration to the next; `groups` tells what is apart."""
        b = self.b
        head, inside, done = (self.function.append_basic_block(name) for name in ("head", "inside", "done"))
        before = b.block
        b.branch(head)
        b.position_at_end(head)
        i = b.phi(I64)
        i.add_incoming(first, before)
        phis = []
        for start in carried:
            phi = b.phi(start.type)
            phi.add_incoming(start, before)
            phis.append(phi)
        b.cbranch(b.icmp_signed("<", i, last), inside, done)
        b.position_at_end(inside)
        results = body(i, phis)
        i.add_incoming(b.add(i, ir.Constant(I64, 1), flags=("nsw",)), b.block)
        for phi, result in zip(phis, results, strict=True):
            phi.add_incoming(result, b.block)
        back = b.branch(head)
        self.loops += 1
        name = ir.MetaDataString(self.module, f"loop{self.loops}")
        back.set_metadata("llvm.loop", self.module.add_metadata([name, *(groups or [self.anywhere, self.within_row])]))
        b.position_at_end(done)
        return phis


def _merged_stride(group: Sequence[int], strides: Sequence[int], shape: Sequence[Any]) -> int:
    steps = [strides[axis] for axis in group if shape and shape[axis] != 1]
    return steps[-1] if steps else 0


def _with_loop_metadata(text: str) -> str:
    """Make the access group distinct and the loops' metadata refer to themselves, which llvmlite cannot write."""
    parallel = r'\1 = distinct !{ \1, !{ !"llvm.loop.parallel_accesses", \2 } }'
    text = re.sub(r'^(!\d+) = !\{ !"access[ a-z]*" \}', r"\1 = distinct !{}", text, flags=re.M)
    return re.sub(r'^(!\d+) = !\{ !"loop\d+", ([!\d, ]+) \}', parallel, text, flags=re.M)
