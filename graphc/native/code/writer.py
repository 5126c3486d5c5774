"""Functions of the kernels' kind being written: tables, loops, and vectors with masked edges."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from llvmlite import ir

from graphc.native.code import host
from graphc.native.code.indices import Index, as_value
from graphc.native.code.masks import Masks, is_eight_bytes, twice
from graphc.native.code.modules import written
from graphc.native.code.scalars import I32, I64, POINTER, stored_type, suffix, undefined, zeros
from graphc.native.code.vectors import Piece

SYMBOL = "kernel"


class CodePointer(ir.PointerType):  # type: ignore[misc]  # llvmlite ships no types
    """A pointer to code of a known type, which llvmlite asks for at a call."""

    def __init__(self, result: Any, arguments: Sequence[Any]) -> None:
        super().__init__()
        self.pointee = ir.FunctionType(result, arguments)


class Code:
    """A function being written, with the builder at the point reached."""

    def __init__(self, module: ir.Module, name: str, arguments: Sequence[Any], *, internal: bool = False) -> None:
        self.module = module
        self.function = ir.Function(module, ir.FunctionType(ir.VoidType(), list(arguments)), name)
        if internal:
            self.function.linkage = "internal"
            self.function.attributes.add("noinline")
        self.entry = self.function.append_basic_block("entry")
        self.b = ir.IRBuilder(self.entry)
        self.parallel = False
        """Whether a loop was left for LLVM to vectorize."""
        self.brief = False
        """Whether LLVM shall take as little time as it can."""
        self.masks = Masks(self.function, self.b)

    @classmethod
    def kernel(cls, title: str) -> Code:
        """A module with one kernel: void kernel(ptr table, i64 first_block, i64 last_block, i64)."""
        return cls(ir.Module(title), SYMBOL, [POINTER, I64, I64, I64])

    def text(self) -> str:
        """The module, the function ended; nothing is left of its parts. LLVM's passes are for loops that it shall
        vectorize."""
        self.b.ret_void()
        first = "" if self.parallel else host.BRIEF if self.brief else host.FINAL
        return first + written(self.module)

    def table(self, count: int) -> list[Any]:
        """The first pointers of the table."""
        slots = [self.b.gep(self.function.args[0], [I64(i)], source_etype=POINTER) for i in range(count)]
        return [self.b.load(slot, typ=POINTER, align=8) for slot in slots]

    def number(self, place: int) -> Any:
        """A number that stands in the table in the place of a pointer."""
        slot = self.b.gep(self.function.args[0], [I64(place)], source_etype=I64)
        return self.b.load(slot, typ=I64, align=8)

    def room(self, count: int, kind: Any) -> Any:
        """Memory on the stack."""
        with self.b.goto_entry_block():
            place = self.b.alloca(ir.ArrayType(kind, count))
        place.align = 64
        place.type = POINTER
        return place

    def at(self, pointer: Any, index: Index, kind: Any) -> Any:
        """The address of an element."""
        if isinstance(index, int) and index == 0:
            return pointer
        return self.b.gep(pointer, [as_value(index)], inbounds=True, source_etype=kind)

    @contextmanager
    def when(self, x: Index, relation: str, y: Index) -> Iterator[None]:
        """What is written inside happens only under the condition. Conditions known beforehand are the caller's."""
        with self.b.if_then(self.b.icmp_signed(relation, as_value(x), as_value(y))):
            yield

    def from_one_on(self, first: Index, count: int, body: Callable[[int], None]) -> None:
        """body(i) for i from `first` on, each written out; first is mostly 0, and None stands for 0."""
        if first is None or count == 1:
            for i in range(count):
                body(i)
            return
        b = self.b
        starts = [self.function.append_basic_block("from") for _ in range(count)]
        done = self.function.append_basic_block("done")
        for i, start in enumerate(starts[:-1]):  # of a switch LLVM would make a table, which may lie out of reach
            others = self.function.append_basic_block("others")
            b.cbranch(b.icmp_signed("<=", as_value(first), I64(i)), start, others)
            b.position_at_end(others)
        b.branch(starts[-1])
        for i, start in enumerate(starts):
            b.position_at_end(start)
            body(i)
            b.branch(starts[i + 1] if i + 1 < count else done)
        b.position_at_end(done)

    def loop(
        self, first: Index, last: Index, step: int, body: Callable[..., Any], carried: Sequence[Any] = (), *,
        parallel: bool = False, some: bool = False,
    ) -> list[Any]:  # fmt: skip
        """for i in range(first, last, step), with values carried from one iteration to the next.

        `parallel` promises that no iteration touches what another one writes, for LLVM to vectorize, and `some` that
        there is an iteration.
        """
        b, known = self.b, isinstance(first, int) and isinstance(last, int)
        if known and first >= last:
            return list(carried)
        if known and last - first <= step and not parallel:
            return list(body(first, *carried) or ())
        before, some = b.block, some or known
        inside, done = (self.function.append_basic_block(name) for name in ("inside", "done"))
        if some:
            b.branch(inside)
        else:
            b.cbranch(b.icmp_signed("<", as_value(first), as_value(last)), inside, done)
        b.position_at_end(inside)
        i, phis = b.phi(I64), [b.phi(value.type) for value in carried]
        results = list(body(i, *phis) or ())
        following = b.add(i, I64(step), flags=("nsw",))
        end = b.block
        _join([i, *phis], ([as_value(first), *carried], before), ([following, *results], end))
        back = b.cbranch(b.icmp_signed("<", following, as_value(last)), inside, done)
        self._describe(back, inside, parallel=parallel)
        b.position_at_end(done)
        if some:
            return results
        finals = [b.phi(value.type) for value in carried]
        _join(finals, (carried, before), (results, end))
        return finals

    def _describe(self, back: Any, inside: Any, *, parallel: bool) -> None:
        """Tell LLVM to leave a loop as it is, or that it may vectorize it."""
        kind = "parallel" if parallel else "plain"
        number = len(self.module.metadata)
        operands = [ir.MetaDataString(self.module, f"{kind} loop {number}")]
        if parallel:
            self.parallel = True
            group = self.module.add_metadata([ir.MetaDataString(self.module, "access")])
            operands.append(group)
            blocks = self.function.blocks
            for block in blocks[blocks.index(inside) :]:
                for instruction in block.instructions:
                    if instruction.opname in ("load", "store"):
                        instruction.set_metadata("llvm.access.group", group)
        back.set_metadata("llvm.loop", self.module.add_metadata(operands))

    # ------------------------------------------------------------------------------------------------------- vectors

    def load(self, pointer: Any, piece: Piece, dtype: np.dtype[Any]) -> Any:
        """A vector from consecutive elements; masked lanes are zero and their memory is not read."""
        kind = ir.VectorType(stored_type(dtype), piece.width)
        if piece.active == piece.width:
            return self.b.load(pointer, typ=kind, align=dtype.itemsize)
        return self.load_where(pointer, kind, self.masks.of(piece), dtype)

    def load_where(self, pointer: Any, kind: Any, mask: Any, dtype: np.dtype[Any]) -> Any:
        """A vector from consecutive elements where a mask is set, zero elsewhere."""
        if is_eight_bytes(kind):
            whole = self.load_where(pointer, ir.VectorType(kind.element, 16), self.masks.lower_half(mask), dtype)
            return self.b.shuffle_vector(whole, whole, ir.Constant(ir.VectorType(I32, 8), list(range(8))))
        name = f"llvm.masked.load.{suffix(kind)}.p0"
        return self.call(name, kind, pointer, I32(dtype.itemsize), mask, zeros(kind.element, kind.count))

    def store(self, value: Any, pointer: Any, piece: Piece, dtype: np.dtype[Any]) -> None:
        """A vector into consecutive elements; the memory of masked lanes is not touched."""
        if piece.active == piece.width:
            self.b.store(value, pointer, align=dtype.itemsize)
            return
        self.store_where(value, pointer, self.masks.of(piece), dtype)

    def store_where(self, value: Any, pointer: Any, mask: Any, dtype: np.dtype[Any]) -> None:
        """A vector into consecutive elements, where a mask is set.

        Of a mask that is known to leave one lane only, none is made: LLVM 22 stores such a lane as wide as it was
        before it was truncated, over what follows.
        """
        known = [lane.constant for lane in mask.constant] if isinstance(mask, ir.Constant) else []
        if sum(known) == 1:
            lane = known.index(1)
            place = self.at(pointer, lane, value.type.element)
            self.b.store(self.b.extract_element(value, I32(lane)), place, align=dtype.itemsize)
            return
        if is_eight_bytes(value.type):
            value, mask = twice(self.b, value), self.masks.lower_half(mask)
        name = f"llvm.masked.store.{suffix(value.type)}.p0"
        self.call(name, ir.VoidType(), value, pointer, I32(dtype.itemsize), mask)

    def gather(self, pointer: Any, step: int, piece: Piece, dtype: np.dtype[Any]) -> Any:
        """A vector from elements `step` apart."""
        kind = stored_type(dtype)
        if step == 1:
            return self.load(pointer, piece, dtype)
        if step == 0:
            return self.splat(self.b.load(pointer, typ=kind, align=dtype.itemsize), piece.width)
        places = (self.at(pointer, lane * step, kind) for lane in range(piece.active))
        return self.collect(places, kind, piece.width, dtype.itemsize)

    def collect(self, places: Iterable[Any], kind: Any, width: int, align: int) -> Any:
        """A vector from elements at any places; zero in the lanes beyond these."""
        vector = zeros(kind, width)
        for lane, place in enumerate(places):
            vector = self.b.insert_element(vector, self.b.load(place, typ=kind, align=align), I32(lane))
        return vector

    def scatter(self, value: Any, pointer: Any, step: int, piece: Piece, dtype: np.dtype[Any]) -> None:
        """A vector into elements `step` apart."""
        if step == 1:
            self.store(value, pointer, piece, dtype)
            return
        for lane in range(piece.active):
            element = self.b.extract_element(value, I32(lane))
            self.b.store(element, self.at(pointer, lane * step, stored_type(dtype)), align=dtype.itemsize)

    def splat(self, scalar: Any, width: int) -> Any:
        """A vector of one number."""
        nothing = undefined(scalar.type, width)
        first = self.b.insert_element(nothing, scalar, I32(0))
        return self.b.shuffle_vector(first, nothing, ir.Constant(ir.VectorType(I32, width), 0))

    def multiply_add(self, x: Any, y: Any, total: Any) -> Any:
        """x·y + total, rounded once where the processor can."""
        return self.call(f"llvm.fmuladd.{suffix(total.type)}", total.type, x, y, total)

    def prefetch(self, pointer: Any, index: Index, kind: Any) -> None:
        """Have the line of an element brought near, if there is such an element."""
        place = self.b.gep(pointer, [as_value(index)], source_etype=kind)
        self.call("llvm.prefetch.p0", ir.VoidType(), place, I32(0), I32(3), I32(1))

    def total(self, vector: Any) -> Any:
        """The sum of the lanes."""
        kind = vector.type.element
        start = ir.Constant(kind, -0.0)
        return self.call(f"llvm.vector.reduce.fadd.{suffix(vector.type)}", kind, start, vector, flags=("reassoc",))

    def call(self, name: str, result: Any, *operands: Any, flags: Sequence[str] = ()) -> Any:
        """Call an intrinsic by its whole name."""
        function = self.module.globals.get(name)
        if function is None:
            function = ir.Function(self.module, ir.FunctionType(result, [x.type for x in operands]), name)
        return self.b.call(function, operands, fastmath=flags)


def _join(phis: Sequence[Any], *arriving: tuple[Sequence[Any], Any]) -> None:
    """Give phis their values, for each block that control arrives from."""
    for values, block in arriving:
        for phi, value in zip(phis, values, strict=True):
            phi.add_incoming(value, block)
