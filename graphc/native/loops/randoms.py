"""Random words, and the numbers made of them, bit for bit those of the ops' bodies.

Philox4x64-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC 2011) makes four words from
a counter and a key. Here each row makes the words of some counters on the stack, then numbers of them, so that rows are
independent. Operations are never fused: each rounds, as NumPy's do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from llvmlite import ir

from graphc.native.code.indices import Index, as_value, divided, plus, smaller, times
from graphc.native.code.scalars import I64, Value, cast, intrinsic, store
from graphc.native.code.writer import Code
from graphc.native.loops.nests import Array, Nest, at_most, each_row, fetch, in_pieces, place, row_count
from graphc.ops import quantile

ROUNDS = 10
MULTIPLIERS = (0xD2E7470EE14C6C93, 0xCA5A826395121157)
WEYL = (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)
WORDS = 4
"""What one counter makes."""
COUNTERS = 256
"""Those of one row."""
U64, F64 = np.dtype("uint64"), np.dtype("float64")


def _wide_product(b: ir.IRBuilder, x: Any, factor: int) -> tuple[Any, Any]:
    """The high and the low word of a product."""
    wide = ir.IntType(128)
    product = b.mul(b.zext(x, wide), ir.Constant(wide, factor))
    return b.trunc(b.lshr(product, ir.Constant(wide, 64)), I64), b.trunc(product, I64)


def philox(b: ir.IRBuilder, counter: Sequence[Any], key: Sequence[Any]) -> list[Any]:
    """The four words of a counter."""
    words, keys = list(counter), list(key)
    for number in range(ROUNDS):
        if number:
            keys = [b.add(k, I64(weyl)) for k, weyl in zip(keys, WEYL, strict=True)]
        (high0, low0), (high1, low1) = (_wide_product(b, words[2 * i], MULTIPLIERS[i]) for i in range(2))
        words = [b.xor(b.xor(high1, words[1]), keys[0]), low1, b.xor(b.xor(high0, words[3]), keys[1]), low0]
    return words


@dataclass(frozen=True)
class Draw(Nest):
    """Numbers of a kind from the words of a key, the first operand; a second one holds the first counter."""

    count: int
    use: int
    kind: str

    @property
    def rows(self) -> int:
        """Rows of some counters each."""
        return row_count((-(-self.count // (WORDS * self._per_word)),), COUNTERS)

    @property
    def ns(self) -> float:
        """Words are made one after the other, each from products of 128 bits."""
        return self.count * KINDS[self.kind][1]

    @property
    def _per_word(self) -> int:
        return KINDS[self.kind][0]

    @property
    def in_code(self) -> frozenset[str]:
        """What tells uses of a key apart."""
        return frozenset({"use"})

    def write(self, code: Code, operands: Sequence[Any], results: Sequence[Any], statuses: Sequence[Any]) -> None:
        """A row: words, then numbers."""
        b = code.b
        key = [fetch(code, operands[0], self.operands[0], [i]).ir for i in range(2)]
        start = cast(b, fetch(code, operands[1], self.operands[1], []), U64).ir if len(operands) > 1 else I64(0)
        make = KINDS[self.kind][2]
        per_counter = WORDS * self._per_word
        counters = in_pieces(code, self.count, per_counter)
        room = code.room(WORDS * at_most(counters, COUNTERS), I64)

        def row(_: list[Index], first: Index, stop: Index) -> None:
            def words(i: Index) -> None:
                counter = b.add(b.add(start, as_value(plus(b, first, i))), I64(1))  # NumPy's raises it before a draw
                carry = b.zext(b.icmp_unsigned("<", counter, I64(1)), I64)
                made = philox(b, [counter, carry, I64(0), I64(self.use)], key)
                for j, word in enumerate(made):
                    b.store(word, code.at(room, plus(b, times(b, i, WORDS), j), I64), align=8)

            def number(i: Index) -> None:
                at, part = divided(b, as_value(i), self._per_word)
                word = b.load(code.at(room, at, I64), typ=I64, align=8)
                value = Value(make(b, word, part), self.results[0].dtype)
                store(b, value, place(code, results[0], self.results[0], [plus(b, times(b, first, per_counter), i)]))

            code.loop(0, plus(b, stop, times(b, first, -1)), 1, words)
            left = plus(b, smaller(b, times(b, stop, per_counter), self.count), times(b, first, -per_counter))
            code.loop(0, left, 1, number, parallel=True)

        each_row(code, (counters,), COUNTERS, row)


def _word(b: ir.IRBuilder, word: Any, part: Index) -> Any:
    return word


def _half(b: ir.IRBuilder, word: Any, part: Index) -> Any:
    """A multiple of 2⁻²⁴ from a half of a word, the low one first."""
    half = b.trunc(b.lshr(word, b.mul(as_value(part), I64(32))), ir.IntType(32))
    bits = b.lshr(half, ir.Constant(half.type, 8))
    return b.fmul(b.uitofp(bits, ir.FloatType()), ir.Constant(ir.FloatType(), 2.0**-24))


def _double(b: ir.IRBuilder, word: Any, part: Index) -> Any:
    """A multiple of 2⁻⁵³."""
    return b.fmul(b.uitofp(b.lshr(word, I64(11)), ir.DoubleType()), _f64(2.0**-53))


def _normal(b: ir.IRBuilder, word: Any, part: Index) -> Any:
    """The quantile at the midpoint of one of 2⁵² intervals."""
    middle = b.fadd(b.uitofp(b.lshr(word, I64(12)), ir.DoubleType()), _f64(0.5))
    return normal_quantile(b, b.fmul(middle, _f64(2.0**-52)))


def _single_normal(b: ir.IRBuilder, word: Any, part: Index) -> Any:
    return b.fptrunc(_normal(b, word, part), ir.FloatType())


KINDS: dict[str, tuple[int, float, Callable[..., Any]]] = {
    "word": (1, 2.2, _word), "random_uniform of 4": (2, 1.7, _half), "random_uniform of 8": (1, 2.3, _double),
    "random_normal of 4": (1, 8.5, _single_normal), "random_normal of 8": (1, 8.5, _normal),
}  # fmt: skip
"""How many numbers a word makes, the nanoseconds that each takes, and how."""


def _f64(value: float) -> Any:
    return ir.Constant(ir.DoubleType(), value)


def normal_quantile(b: ir.IRBuilder, p: Any) -> Any:
    """`graphc.ops.quantile.normal_quantile`, operation for operation, both ends computed for every element."""
    q = b.fsub(p, _f64(0.5))
    centre = b.fmul(q, _ratio(b, quantile.CENTRE, b.fsub(_f64(0.180625), b.fmul(q, q))))
    above = b.fcmp_ordered(">", p, _f64(0.5))
    root = intrinsic(b, "sqrt", b.fneg(_log(b, b.select(above, b.fsub(_f64(1.0), p), p))))
    tail = _ratio(b, quantile.TAIL, b.fsub(root, _f64(1.6)))
    far = _ratio(b, quantile.FAR_TAIL, b.fsub(root, _f64(5.0)))
    outer = b.select(b.fcmp_ordered(">", root, _f64(5.0)), far, tail)
    signed = b.select(above, outer, b.fneg(outer))
    return b.select(b.fcmp_ordered(">", intrinsic(b, "fabs", q), _f64(0.425)), signed, centre)


def _ratio(b: ir.IRBuilder, coefficients: tuple[tuple[float, ...], tuple[float, ...]], x: Any) -> Any:
    above, below = coefficients
    return b.fdiv(_polynomial(b, above, x), _polynomial(b, below, x))


def _polynomial(b: ir.IRBuilder, coefficients: tuple[float, ...], x: Any) -> Any:
    result = b.fmul(x, _f64(coefficients[-1]))
    for coefficient in coefficients[-2:0:-1]:
        result = b.fmul(b.fadd(result, _f64(coefficient)), x)
    return b.fadd(result, _f64(coefficients[0]))


def _log(b: ir.IRBuilder, x: Any) -> Any:
    """The logarithm of a positive normal number, as in `graphc.ops.quantile.log`."""
    bits = b.bitcast(x, I64)
    exponent = b.sub(b.lshr(bits, I64(52)), I64(1022))
    mantissa = b.bitcast(b.or_(b.and_(bits, I64((1 << 52) - 1)), I64(1022 << 52)), ir.DoubleType())
    small = b.fcmp_ordered("<", mantissa, _f64(np.sqrt(0.5)))
    f = b.fsub(b.select(small, b.fadd(mantissa, mantissa), mantissa), _f64(1.0))
    k = b.sitofp(b.sub(exponent, b.zext(small, I64)), ir.DoubleType())
    s = b.fdiv(f, b.fadd(_f64(2.0), f))
    z = b.fmul(s, s)
    half = b.fmul(b.fmul(_f64(0.5), f), f)
    series = b.fmul(s, b.fadd(half, b.fmul(z, _polynomial(b, quantile.LOG, z))))
    low = b.fadd(series, b.fmul(k, _f64(quantile.LN2_LOW)))
    return b.fsub(b.fmul(k, _f64(quantile.LN2_HIGH)), b.fsub(b.fsub(half, low), f))


def words(key: Array, dtype: Any, count: int, use: int, *more: Array) -> Draw:
    """A kernel that keeps the words themselves."""
    return Draw((key, *more), (Array(dtype, (1,)),), count, use, "word")
