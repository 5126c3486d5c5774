"""Reading and adding at positions that are known only when the program runs, as kernels over an index space.

For each element e of the index space, i = index[e] and

    read    result[e] = x[e with i along the axis]
    add     result[e with i along the axis] += value[e]

Positions from the end are negative. One outside the axis is written to the status word and nothing is read or added.

    void kernel(ptr table, i64 first, i64 last, i64 block)      table: index, operand, result, status
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from llvmlite import ir

from graphc.native import elementwise
from graphc.native.scalars import cast, load, store, stored_type

I64 = ir.IntType(64)
POINTER = ir.PointerType()
SYMBOL = "kernel"
FINE = -(2**63)
"""What the status word holds while every position was inside."""


@dataclass(frozen=True)
class Indexed:
    """The index space, and how each array steps along it in elements; `step` and `size` are those of the axis."""

    shape: tuple[int, ...]
    index: tuple[int, ...]
    index_dtype: np.dtype[Any]
    operand: tuple[int, ...]
    result: tuple[int, ...]
    dtype: np.dtype[Any]
    size: int
    step: int
    adds: bool

    @property
    def text(self) -> str:
        """The kernel's IR."""
        module = ir.Module("indexed")
        function = ir.Function(module, ir.FunctionType(ir.VoidType(), [POINTER, I64, I64, I64]), SYMBOL)
        names = ("entry", "head", "body", "inside", "outside", "after", "done")
        entry, head, body, inside, outside, after, done = map(function.append_basic_block, names)
        b = ir.IRBuilder(entry)
        table, first, last, _ = function.args
        slots = [b.gep(table, [_number(i)], source_etype=POINTER) for i in range(4)]
        index, operand, result, status = (b.load(slot, typ=POINTER, align=8) for slot in slots)
        b.branch(head)
        b.position_at_end(head)
        e = b.phi(I64)
        e.add_incoming(first, entry)
        b.cbranch(b.icmp_signed("<", e, last), body, done)
        b.position_at_end(body)
        coordinates = _coordinates(b, e, self.shape)
        given = load(b, _place(b, index, coordinates, self.index, self.index_dtype), self.index_dtype)
        position = cast(b, given, np.dtype("int64")).ir
        negative = b.icmp_signed("<", position, _number(0))
        at = b.select(negative, b.add(position, _number(self.size)), position)
        b.cbranch(b.icmp_unsigned("<", at, _number(self.size)), inside, outside)
        b.position_at_end(outside)
        b.store(position, status, align=8)
        b.branch(after)
        b.position_at_end(inside)
        self._element(b, coordinates, at, operand, result)
        b.branch(after)
        b.position_at_end(after)
        e.add_incoming(b.add(e, _number(1)), after)
        b.branch(head)
        b.position_at_end(done)
        b.ret_void()
        return str(module)

    def _element(self, b: ir.IRBuilder, coordinates: Sequence[Any], at: Any, operand: Any, result: Any) -> None:
        along = b.mul(at, _number(self.step))
        if not self.adds:
            value = load(b, _place(b, operand, coordinates, self.operand, self.dtype, along), self.dtype)
            store(b, value, _place(b, result, coordinates, self.result, self.dtype))
            return
        place = _place(b, result, coordinates, self.result, self.dtype, along)
        value = load(b, _place(b, operand, coordinates, self.operand, self.dtype), self.dtype)
        store(b, elementwise.combine(b, "add", self.dtype, load(b, place, self.dtype), value), place)


def _number(value: int) -> Any:
    return ir.Constant(I64, value)


def _coordinates(b: ir.IRBuilder, e: Any, shape: Sequence[int]) -> list[Any]:
    """The place of an element along each axis, from its number."""
    found: list[Any] = []
    for size in reversed(shape):
        found.append(b.urem(e, _number(size)))
        e = b.udiv(e, _number(size))
    return found[::-1]


def _place(b: ir.IRBuilder, pointer: Any, coordinates: Sequence[Any], strides: Sequence[int], dtype: np.dtype[Any],
           offset: Any = None) -> Any:  # fmt: skip
    offset = offset if offset is not None else _number(0)
    for coordinate, stride in zip(coordinates, strides, strict=True):
        if stride:
            offset = b.add(offset, b.mul(coordinate, _number(stride)))
    return b.gep(pointer, [offset], source_etype=stored_type(dtype))
