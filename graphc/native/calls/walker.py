"""Native code that walks objects and tables in memory, in the order it is written: loads, guards, loops, calls."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from llvmlite import ir

from graphc.native.code.scalars import I32, I64, POINTER
from graphc.native.code.writer import CodePointer
from graphc.native.driver.layout import WORD_BYTES

TABLE = "shared"
"""The function that says where the table is."""


class Walker:
    """A function being written, with a table of pointers that the process fills in."""

    def __init__(self, name: str, result: Any, arguments: Sequence[Any], shared: Sequence[str]) -> None:
        self.module = ir.Module(name)
        self._places = {name: place for place, name in enumerate(shared)}
        self._table = ir.GlobalVariable(self.module, ir.ArrayType(POINTER, len(shared)), "table")
        self._table.linkage = "internal"  # else code on 64-bit ARM has its address from memory, maybe out of reach
        self._table.initializer = ir.Constant(self._table.value_type, None)
        self._table.type = POINTER
        self.function = ir.Function(self.module, ir.FunctionType(result, arguments), name)
        self.b = ir.IRBuilder(self.function.append_basic_block("entry"))
        self.null = ir.Constant(POINTER, None)
        where = ir.Function(self.module, ir.FunctionType(POINTER, []), TABLE)
        ir.IRBuilder(where.append_basic_block("entry")).ret(self._table)

    def block(self, name: str) -> Any:
        """A place to go to, written later."""
        return self.function.append_basic_block(name)

    def variable(self, kind: Any, value: Any = None) -> Any:
        """Memory on the stack for one value."""
        with self.b.goto_entry_block():  # before its end, if it has one
            place = self.b.alloca(kind)
            place.type = POINTER
            if value is not None:
                self.b.store(value, place)
        return place

    def at(self, pointer: Any, offset: Any) -> Any:
        """The address some bytes further."""
        return self.b.gep(pointer, [I64(offset) if isinstance(offset, int) else offset], source_etype=ir.IntType(8))

    def load(self, pointer: Any, offset: Any = 0, kind: Any = POINTER) -> Any:
        """What stands some bytes further."""
        return self.b.load(self.at(pointer, offset), typ=kind, align=4 if kind == I32 else WORD_BYTES)

    def store(self, value: Any, pointer: Any, offset: Any = 0) -> None:
        """Write some bytes further."""
        self.b.store(value, self.at(pointer, offset), align=4 if value.type in (I32, ir.FloatType()) else WORD_BYTES)

    def field(self, row: Any, fields: Sequence[str], name: str, kind: Any = POINTER) -> Any:
        """A word of a row, by name."""
        return self.load(row, WORD_BYTES * fields.index(name), kind)

    def shared(self, name: str, kind: Any = POINTER) -> Any:
        """A pointer of the process's table."""
        return self.load(self._table, WORD_BYTES * self._places[name], kind)

    def call(self, name: str, result: Any, *arguments: Any) -> Any:
        """Call a function of the process's table."""
        return self.b.call(self.shared(name, CodePointer(result, [one.type for one in arguments])), arguments)

    def same(self, x: Any, y: Any) -> Any:
        """Whether two words are equal."""
        return self.b.icmp_unsigned("==", x, y)

    def leave_if(self, condition: Any, place: Any) -> None:
        """Go there under a condition that is rare, else on."""
        onward = self.block("on")
        self.b.cbranch(condition, place, onward)
        self.b.position_at_end(onward)

    def leave_unless(self, condition: Any, place: Any) -> None:
        """Go on under the condition, else there."""
        self.leave_if(self.b.not_(condition), place)

    @contextmanager
    def each(self, table: Any, end: Any, words: int) -> Iterator[tuple[Any, Any]]:
        """Every row of a table, with eight times its number: the offset of a word that belongs to it elsewhere."""
        before, head, body, after = self.b.block, self.block("head"), self.block("body"), self.block("after")
        self.b.branch(head)
        self.b.position_at_end(head)
        row, offset = self.b.phi(POINTER), self.b.phi(I64)
        self.b.cbranch(self.same(row, end), after, body)
        self.b.position_at_end(body)
        yield row, offset
        for phi, start, following in ((row, table, self.at(row, WORD_BYTES * words)),
                                      (offset, I64(0), self.b.add(offset, I64(WORD_BYTES)))):  # fmt: skip
            phi.add_incoming(start, before)
            phi.add_incoming(following, self.b.block)
        self.b.branch(head)
        self.b.position_at_end(after)
