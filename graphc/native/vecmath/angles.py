"""Angles less their multiples of π/2, for |x| of any size.

Near: x - qπ/2 with π/2 in parts whose products with q are exact (Cody and Waite: "Software Manual for the Elementary
Functions", 1980). Far: 2x/π modulo 4 from those of its digits that matter (Payne and Hanek: "Radian reduction for
trigonometric functions", ACM SIGNUM Newsletter 18, 1983); f32 chooses between two rows of digits, f64 reads a table.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import reduce
from operator import add
from typing import Any, NamedTuple

from llvmlite import ir

from graphc.native.vecmath.formats import F32, F64, Code
from graphc.native.vecmath.pairs import Pair, fast_two_sum, two_product, two_sum
from graphc.native.vecmath.reals import Bits, Real, real, where

HALF_PI = {  # in parts, by format and whether the target has fma; without, they are short enough for exact products
    (F32, True): (1.5707963705062866, -4.371138828673793e-08, -1.7151245100058819e-15),
    (F32, False): (1.57080078125, -4.454515874385834e-06, 6.077272018956137e-11, -1.7151245100058819e-15),
    (F64, True): (1.5707963267948966, 6.123233995736766e-17, -1.4973849048591698e-33),
    (F64, False): (1.5707963267341256, 6.077100506303966e-11, 2.0222662487111665e-21, 8.4784276603689e-32),
}  # fmt: skip
LIMIT = {(F32, True): 2.0**16, (F32, False): 2.0**10, (F64, True): 2.0**30, (F64, False): 2.0**20}
TWO_OVER_PI = int(  # in units of 2⁻¹²⁷⁹
    "517cc1b727220a94fe13abe8fa9a6ee06db14acc9e21c820ff28b1d5ef5de2b0db92371d2126e9700324977504e8c90e7f0ef58e589"
    "4d39f74411afa975da24274ce38135a2fbf209cc8eb1cc1a99cfa4e422fc5defc941d8ffc4bffef02cc07f79788c5ad05368fb69b3f"
    "6793e584dba7a31fb34f2ff516ba93dd63f5f2f8bd9e839cfbc529497535fdafd88fc6ae842b0198237e3db5d5f867de104d7a1b0e",
    16,
)
HUGE, HUGE_SHIFT = 2.0**76, 52  # f32 numbers from 2⁷⁶ on are whole multiples of 2⁵²
STEP = 16  # f64 numbers have a row of digits for every so many exponents
COARSE = 1.5 * 2.0**78  # adding it rounds to a multiple of 2²⁶


class Angle(NamedTuple):
    """x = rest + π/2 · quarters, where only the lowest two bits of the quarters are meant."""

    rest: Pair
    quarters: Bits


def digits(shift: int, *precisions: int) -> list[float]:
    """2ˢʰⁱᶠᵗ · 2/π modulo 4, as parts of so many bits."""
    rest, parts = (TWO_OVER_PI << shift) % 2**1281, []
    for precision in precisions:
        unit = max(0, rest.bit_length() - precision)
        parts.append((rest >> unit << unit) / 2**1279)
        rest %= 1 << unit
    return parts


def nearest(x: Real, factor: float = 1.0) -> tuple[Real, Bits]:
    """The integer next to x · factor, and bits of which the low ones are its."""
    shifted = x.times_plus(factor, x.format.magic) if factor != 1.0 else x + x.format.magic
    return shifted - x.format.magic, shifted.bits


def limit(code: Code) -> float:
    """The largest size that `near` takes."""
    return LIMIT[code.format, code.has_fma]


def near(size: Real) -> Angle:
    """The angle of 0 ≤ size ≤ limit, the rest as one number, within a unit in the last place."""
    if not size.code.has_fma:
        return near_exactly(size)
    q, quarters = nearest(size, 2 / math.pi)
    rest = reduce(lambda rest, part: q.times_plus(-part, rest), HALF_PI[size.format, True], size)
    return Angle(Pair(rest, real(size.code, 0.0)), quarters)


def near_exactly(size: Real) -> Angle:
    """The same, the rest as a pair."""
    q, quarters = nearest(size, 2 / math.pi)
    first, *middle, last = HALF_PI[size.format, size.code.has_fma]
    high, lows = q.times_plus(-first, size), []
    for part in middle:
        product = two_product(q, -part) if size.code.has_fma else Pair(q * -part, real(size.code, 0.0))
        high, lost = fast_two_sum(high, product.high)
        lows.append(lost + product.low)
    return Angle(fast_two_sum(high, q.times_plus(-last, reduce(add, lows))), quarters)


def anywhere(size: Real, near: Callable[[Real], Angle]) -> Angle:
    """The angle of any size ≥ 0, reduced by `near` where that is right; NaN of inf."""
    if size.format is F32:
        return _far_f32(size)
    close, far, is_close = near(size), _far_f64(size), size <= limit(size.code)
    rest = Pair(*(where(is_close, x, y) for x, y in zip(close.rest, far.rest, strict=True)))
    return Angle(rest, is_close.choose(close.quarters, far.quarters))


def _far_f32(size: Real) -> Angle:
    """In f64, whose products with f32 numbers and 29 bits are exact; two rows of digits serve all exponents."""
    is_huge = size >= HUGE
    y = where(is_huge, size * 2.0**-HUGE_SHIFT, size).wide()
    rows = zip(*(digits(shift, 29, 29, 29, 53) for shift in (HUGE_SHIFT, 0)), strict=True)
    first, *parts = (where(is_huge, real(y.code, huge), small) for huge, small in rows)
    whole = y * first
    turns, counts = whole - ((whole + COARSE) - COARSE), []
    for part in parts:
        q, count = nearest(turns)
        counts.append(count)
        turns = y.times_plus(part, turns - q)
    rest = turns * (math.pi / 2)
    high = rest.narrow()
    return Angle(Pair(high, (rest - high.wide()).narrow()), reduce(add, counts).narrow())


def _far_f64(size: Real) -> Angle:
    """From four parts of digits; the largest products cancel exactly, what is left of them is summed twice."""
    row, y = _row(size)
    first, second, third, last = (two_product(y, _entry(row, i)) for i in range(4))
    coarse = first.high - ((first.high + COARSE) - COARSE)
    fours, _ = nearest(coarse, 0.25)
    upper = two_sum(fours.times_plus(-4.0, coarse), first.low)
    turns = two_sum(upper.high, second.high)
    q, quarters = nearest(turns.high)
    high, tail = turns.high - q, third.low + last.high
    for term in (turns.low, upper.low, second.low, third.high):
        high, lost = two_sum(high, term)
        tail = tail + lost
    half_pi, rest_of_it, _ = HALF_PI[F64, True]
    rest = two_product(high, half_pi)
    low = tail.times_plus(half_pi, high.times_plus(rest_of_it, rest.low))
    return Angle(fast_two_sum(rest.high, low), quarters)


def _row(size: Real) -> tuple[Bits, Real]:
    """Where a number's row of digits starts, and the number divided by that row's power of two, a whole number."""
    shift = ((size.bits >> F64.fraction) - (F64.bias + F64.fraction)) & -STEP
    shift = (size < 2.0 ** (F64.fraction + STEP)).choose(0, shift)
    return shift >> 2, size * ((F64.bias - shift) << F64.fraction).real


def _entry(row: Bits, column: int) -> Real:
    """An entry of the table of digits; of vectors, element by element."""
    code, table = row.code, _table(row.code.builder.module)
    index = (row + column).ir
    if not code.is_vector:
        return Real(code, _load(code.builder, table, index))
    vector: Any = ir.Constant(code.type, ir.Undefined)
    for i in range(code.type.count):
        lane = ir.Constant(ir.IntType(32), i)
        entry = _load(code.builder, table, code.builder.extract_element(index, lane))
        vector = code.builder.insert_element(vector, entry, lane)
    return Real(code, vector)


def _load(builder: Any, table: Any, index: Any) -> Any:
    place = builder.gep(table, [ir.Constant(ir.IntType(64), 0), index], inbounds=True, source_etype=table.value_type)
    return builder.load(place, typ=ir.DoubleType(), align=8)


def _table(module: Any) -> Any:
    """The digits for every 16th exponent, as a constant of the module."""
    name = "graphc.digits_of_two_over_pi"
    if name in module.globals:
        return module.globals[name]
    steps = range(0, F64.bias + 1 - F64.fraction, STEP)
    entries = [part for step in steps for part in digits(step, 53, 53, 53, 53)]
    kind = ir.ArrayType(ir.DoubleType(), len(entries))
    table = ir.GlobalVariable(module, kind, name)
    table.linkage, table.global_constant, table.align = "internal", True, 32
    table.initializer = ir.Constant(kind, entries)
    return table
