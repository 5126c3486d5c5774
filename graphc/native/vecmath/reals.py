"""Numbers of the generated code with Python's operators: a formula over them writes LLVM IR.

A `Real` is an LLVM float or double, or a vector of them; `Bits` are its bit pattern or an integer of that width; a
`Truth` is a condition. Python numbers become constants. Nothing here branches, so a loop around a formula vectorizes.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from llvmlite import ir

from graphc.native.code.scalars import with_sign
from graphc.native.vecmath.formats import F32, F64, Code, Format


def real(code: Code, x: Number) -> Real:
    """A number as a Real."""
    return x if isinstance(x, Real) else Real(code, ir.Constant(code.type, float(x)))


def integer(code: Code, n: Bits | int) -> Bits:
    """An integer as Bits, modulo 2ʷ."""
    return n if isinstance(n, Bits) else Bits(code, ir.Constant(code.integer, n % 2**code.format.width))


class Real:
    """A floating-point number of the generated code."""

    __slots__ = ("code", "ir")

    def __init__(self, code: Code, value: Any) -> None:
        self.code, self.ir = code, value

    @property
    def format(self) -> Format:
        """The format it is computed in: the key of coefficient tables."""
        return self.code.format

    def _apply(self, instruction: str, *operands: Number) -> Real:
        write = getattr(self.code.builder, instruction)
        return Real(self.code, write(*(real(self.code, x).ir for x in operands)))

    def __add__(self, other: Number) -> Real:
        return self._apply("fadd", self, other)

    __radd__ = __add__

    def __sub__(self, other: Number) -> Real:
        return self._apply("fsub", self, other)

    def __rsub__(self, other: Number) -> Real:
        return self._apply("fsub", other, self)

    def __mul__(self, other: Number) -> Real:
        return self._apply("fmul", self, other)

    __rmul__ = __mul__

    def __truediv__(self, other: Number) -> Real:
        return self._apply("fdiv", self, other)

    def __rtruediv__(self, other: Number) -> Real:
        return self._apply("fdiv", other, self)

    def __neg__(self) -> Real:
        return self._apply("fneg", self)

    def __abs__(self) -> Real:
        return self.intrinsic("fabs")

    def times_plus(self, factor: Number, addend: Number) -> Real:
        """self · factor + addend, rounded once where the target can."""
        if not self.code.has_fma:
            return self * factor + addend
        return self.intrinsic("fma", factor, addend)

    def intrinsic(self, name: str, *others: Number) -> Real:
        """An LLVM intrinsic of this number and others."""
        return Real(self.code, self.code.call(name, self.ir, *(real(self.code, x).ir for x in others)))

    def sqrt(self) -> Real:
        """The square root, NaN of negative numbers."""
        return self.intrinsic("sqrt")

    def with_sign_of(self, other: Number) -> Real:
        """The size of this number with another's sign."""
        return Real(self.code, with_sign(self.code.builder, self.ir, real(self.code, other).ir))

    @property
    def bits(self) -> Bits:
        """The bit pattern."""
        return Bits(self.code, self.code.builder.bitcast(self.ir, self.code.integer))

    def _ordered(self, symbol: str, other: Number) -> Truth:
        return Truth(self.code, self.code.builder.fcmp_ordered(symbol, self.ir, real(self.code, other).ir))

    def __lt__(self, other: Number) -> Truth:
        return self._ordered("<", other)

    def __le__(self, other: Number) -> Truth:
        return self._ordered("<=", other)

    def __gt__(self, other: Number) -> Truth:
        return self._ordered(">", other)

    def __ge__(self, other: Number) -> Truth:
        return self._ordered(">=", other)

    def equals(self, other: Number) -> Truth:
        """Whether two numbers are equal; false for NaN."""
        return self._ordered("==", other)

    def is_unordered(self, other: Real) -> Truth:
        """Whether this or the other is not a number."""
        return Truth(self.code, self.code.builder.fcmp_unordered("uno", self.ir, other.ir))

    def is_nan(self) -> Truth:
        """Whether this is not a number."""
        return self.is_unordered(self)

    def is_negative(self) -> Truth:
        """Whether the sign bit is set."""
        return self.bits >= self.format.sign_bit

    def is_deep(self) -> Truth:
        """Whether the size is below about the square root of the smallest number: that of zeros and subnormals is."""
        return (self.bits & (3 << (self.format.width - 3))).equals(0)

    def at_most(self, limit: Number) -> Real:
        """The smaller of two; NaN stays NaN."""
        return where(self > limit, limit, self)

    def at_least(self, limit: Number) -> Real:
        """The larger of two; NaN stays NaN."""
        return where(self < limit, limit, self)

    def wide(self) -> Real:
        """The same number in f64."""
        code = self.code.wide()
        return self if self.format is F64 else Real(code, code.builder.fpext(self.ir, code.type))

    def narrow(self) -> Real:
        """The nearest number in f32."""
        code = self.code.narrow()
        return self if self.format is F32 else Real(code, code.builder.fptrunc(self.ir, code.type))


class Bits:
    """An integer as wide as the float it came from; sums wrap."""

    __slots__ = ("code", "ir")

    def __init__(self, code: Code, value: Any) -> None:
        self.code, self.ir = code, value

    def _apply(self, instruction: str, *operands: Bits | int) -> Bits:
        write = getattr(self.code.builder, instruction)
        return Bits(self.code, write(*(integer(self.code, x).ir for x in operands)))

    def __add__(self, other: Bits | int) -> Bits:
        return self._apply("add", self, other)

    def __sub__(self, other: Bits | int) -> Bits:
        return self._apply("sub", self, other)

    def __rsub__(self, other: Bits | int) -> Bits:
        return self._apply("sub", other, self)

    def __and__(self, other: Bits | int) -> Bits:
        return self._apply("and_", self, other)

    def __or__(self, other: Bits | int) -> Bits:
        return self._apply("or_", self, other)

    def __xor__(self, other: Bits | int) -> Bits:
        return self._apply("xor", self, other)

    def __lshift__(self, count: int) -> Bits:
        return self._apply("shl", self, count)

    def __rshift__(self, count: int) -> Bits:
        """Shift zeros in from above."""
        return self._apply("lshr", self, count)

    def _compare(self, symbol: str, other: Bits | int) -> Truth:
        return Truth(self.code, self.code.builder.icmp_unsigned(symbol, self.ir, integer(self.code, other).ir))

    def equals(self, other: Bits | int) -> Truth:
        """Whether two patterns are the same."""
        return self._compare("==", other)

    def __ge__(self, other: Bits | int) -> Truth:
        """Whether this is not below, both taken as unsigned."""
        return self._compare(">=", other)

    @property
    def real(self) -> Real:
        """The number with this bit pattern."""
        return Real(self.code, self.code.builder.bitcast(self.ir, self.code.type))

    def narrow(self) -> Bits:
        """The low half, as wide as an f32."""
        code = self.code.narrow()
        return Bits(code, code.builder.trunc(self.ir, code.integer))


class Truth:
    """A condition."""

    __slots__ = ("code", "ir")

    def __init__(self, code: Code, value: Any) -> None:
        self.code, self.ir = code, value

    def _apply(self, instruction: str, *operands: Truth) -> Truth:
        return Truth(self.code, getattr(self.code.builder, instruction)(*(truth.ir for truth in operands)))

    def __and__(self, other: Truth) -> Truth:
        return self._apply("and_", self, other)

    def __or__(self, other: Truth) -> Truth:
        return self._apply("or_", self, other)

    def __xor__(self, other: Truth) -> Truth:
        return self._apply("xor", self, other)

    def __invert__(self) -> Truth:
        return self._apply("not_", self)

    def choose(self, x: Bits | int, y: Bits | int) -> Bits:
        """x where the condition holds, else y."""
        code = self.code
        return Bits(code, code.builder.select(self.ir, integer(code, x).ir, integer(code, y).ir))

    def anywhere(self) -> Any:
        """Whether the condition holds for any element, as an i1."""
        if not self.code.is_vector:
            return self.ir
        return self.code.call_by_name(f"llvm.vector.reduce.or.v{self.code.type.count}i1", ir.IntType(1), self.ir)


Number: TypeAlias = Real | float


def where(condition: Truth, x: Number, y: Number) -> Real:
    """x where the condition holds, else y; both are computed."""
    code = x.code if isinstance(x, Real) else y.code if isinstance(y, Real) else condition.code
    return Real(code, code.builder.select(condition.ir, real(code, x).ir, real(code, y).ir))
