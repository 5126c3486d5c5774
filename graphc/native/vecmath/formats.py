"""The binary formats that formulas are written for, and where their code goes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from llvmlite import ir


@dataclass(frozen=True)
class Format:
    """A binary format of IEEE 754: its width and the bits of its significand, the hidden one included."""

    width: int
    precision: int

    @property
    def fraction(self) -> int:
        """The bits below the exponent."""
        return self.precision - 1

    @property
    def bias(self) -> int:
        """What is added to an exponent to store it; also the largest exponent."""
        return (1 << (self.width - self.precision - 1)) - 1

    @property
    def unit(self) -> float:
        """2ᵖ⁻¹, from which on all numbers are integers."""
        return 2.0**self.fraction

    @property
    def magic(self) -> float:
        """1.5 · 2ᵖ⁻¹: adding it rounds to an integer, left in the low bits of the sum."""
        return 1.5 * self.unit

    @property
    def smallest_normal(self) -> float:
        """2¹⁻ᵇⁱᵃˢ."""
        return 2.0 ** (1 - self.bias)

    @property
    def exponent_bits(self) -> int:
        """The mask of the exponent, which is also the bit pattern of inf."""
        return (2 * self.bias + 1) << self.fraction

    @property
    def sign_bit(self) -> int:
        """The mask of the sign."""
        return 1 << (self.width - 1)


F32, F64 = Format(32, 24), Format(64, 53)


@dataclass(frozen=True)
class Code:
    """Where code is written, the type it computes in, and whether the target multiplies and adds in one rounding."""

    builder: Any
    type: Any
    has_fma: bool

    @cached_property
    def format(self) -> Format:
        """The format of one element."""
        element = self.type.element if self.is_vector else self.type
        return F32 if isinstance(element, ir.FloatType) else F64

    @property
    def is_vector(self) -> bool:
        """Whether a value holds several elements."""
        return isinstance(self.type, ir.VectorType)

    def like(self, element: Any) -> Any:
        """A type of as many elements as this code's type."""
        return type(self.type)(element, self.type.count) if self.is_vector else element

    @cached_property
    def integer(self) -> Any:
        """The type of the bit patterns."""
        return self.like(ir.IntType(self.format.width))

    def call(self, intrinsic: str, *operands: Any) -> Any:
        """Call an LLVM intrinsic over this type."""
        suffix = f"v{self.type.count}f{self.format.width}" if self.is_vector else f"f{self.format.width}"
        return self.call_by_name(f"llvm.{intrinsic}.{suffix}", self.type, *operands)

    def call_by_name(self, symbol: str, result: Any, *operands: Any) -> Any:
        """Call an LLVM intrinsic by its whole name."""
        function = self.builder.module.globals.get(symbol)
        if function is None:
            kind = ir.FunctionType(result, [operand.type for operand in operands])
            function = ir.Function(self.builder.module, kind, symbol)
        return self.builder.call(function, operands)

    def narrow(self) -> Code:
        """The same in f32."""
        return Code(self.builder, self.like(ir.FloatType()), self.has_fma)

    def wide(self) -> Code:
        """The same in f64."""
        return Code(self.builder, self.like(ir.DoubleType()), self.has_fma)
