"""Mathematical functions as code of their own, for kernels that call them rather than contain them.

A function takes a number or a vector in place of each operand. It is compiled once, whoever calls it; kernels have its
address in their tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from llvmlite import ir

from graphc.ir import Node
from graphc.native import vecmath
from graphc.native.code import host, limited
from graphc.native.code.library import LIBRARY
from graphc.native.code.modules import written
from graphc.native.code.scalars import Value, Wide, cast, computed_type
from graphc.native.code.writer import CodePointer

LONG = 4.0
"""What costs so many additions or more is longer than a call."""
SYMBOL = "function"


@dataclass(frozen=True)
class Function:
    """What writes a function, and on what: it is found by that."""

    name: str
    dtype: str
    width: int
    operands: int

    @property
    def kind(self) -> Any:
        """The type of its operands and its result."""
        element = computed_type(np.dtype(self.dtype))
        return element if self.width == 1 else Wide(element, self.width)

    @property
    def address(self) -> int:
        """Where its code is. Raises LLVMError."""
        return int(LIBRARY.kernel(self, self.text, SYMBOL))

    def text(self) -> str:
        """Its IR."""
        module = ir.Module(f"function {self.name} {np.dtype(self.dtype)} {self.width}")
        function = ir.Function(module, ir.FunctionType(self.kind, [self.kind] * self.operands), SYMBOL)
        b = ir.IRBuilder(function.append_basic_block("entry"))
        b.ret(limited.emit(b, self.name, function.args))
        return host.FINAL + written(module)

    @property
    def pointer(self) -> CodePointer:
        """The type of its address."""
        return CodePointer(self.kind, [self.kind] * self.operands)

    def called(self, b: ir.IRBuilder, address: Any, operands: Sequence[Value]) -> Value:
        """Its value at some operands."""
        dtype = np.dtype(self.dtype)
        return Value(b.call(address, [cast(b, operand, dtype).ir for operand in operands]), dtype)


def function_of(node: Node, width: int) -> Function | None:
    """The function that computes a node, for vectors so wide; None where its code is as short as a call."""
    dtype, name = node.array_type.dtype, node.op.name
    is_long = name in vecmath.FUNCTIONS and node.op.effort >= LONG  # type: ignore[operator]  # no function of nodes
    if not is_long or dtype.kind != "f" or dtype.itemsize < 4:
        return None
    return Function(name, dtype.str, width, len(node.inputs))
