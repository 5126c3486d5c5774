"""Functions that take longer for a few operands, sines of huge angles and remainders of huge quotients: those go apart.

A vector takes the short form; if that is wrong for any of its elements, a function of the module computes it again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llvmlite import ir

from graphc.ir import Node
from graphc.native import vecmath
from graphc.native.code import elementwise
from graphc.native.code.scalars import Value, cast, rounded
from graphc.native.vecmath.formats import Code as Place
from graphc.native.vecmath.reals import Truth


def apply(b: ir.IRBuilder, node: Node, operands: Sequence[Value]) -> Value:
    """The value of an elementwise node."""
    dtype = node.array_type.dtype
    if node.op.name not in vecmath.LIMITED or dtype.kind != "f":
        return elementwise.emit(b, node, operands)
    raws = [cast(b, operand, dtype).ir for operand in operands]
    return Value(rounded(b, emit(b, node.op.name, raws), dtype), dtype)


def emit(b: ir.IRBuilder, name: str, raws: Sequence[Any]) -> Any:
    """The value of a function of floats."""
    if name not in vecmath.LIMITED:
        return vecmath.emit(b, name, *raws)
    outside: list[Any] = []
    short = vecmath.emit(b, name, *raws, outside=outside)
    condition = outside[0]
    for other in outside[1:]:
        condition = b.or_(condition, other)
    before = b.block
    with b.if_then(_any(b, condition), likely=False):
        long = b.call(_function(b.module, name, raws[0].type, len(raws)), list(raws))
        after = b.block
    result = b.phi(short.type)
    result.add_incoming(short, before)
    result.add_incoming(long, after)
    return result


def _any(b: ir.IRBuilder, condition: Any) -> Any:
    kind = condition.type
    place = Place(b, ir.VectorType(ir.FloatType(), kind.count) if isinstance(kind, ir.VectorType) else ir.FloatType(),
                  has_fma=True)  # fmt: skip
    return Truth(place, condition).anywhere()


def _function(module: ir.Module, name: str, kind: Any, count: int) -> Any:
    """The module's function that computes the long form."""
    lanes = f".{kind.count}" if isinstance(kind, ir.VectorType) else ""
    symbol = f"{name}.{getattr(kind, 'element', kind)}{lanes}"
    if symbol in module.globals:
        return module.globals[symbol]
    function = ir.Function(module, ir.FunctionType(kind, [kind] * count), symbol)
    function.linkage = "internal"
    function.attributes.add("noinline")
    function.attributes.add("cold")
    b = ir.IRBuilder(function.append_basic_block("entry"))
    b.ret(vecmath.emit(b, name, *function.args))
    return function
