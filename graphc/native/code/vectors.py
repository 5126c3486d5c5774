"""Vectors of the processor: how wide they are, and how they cover a number of elements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from graphc.native.code import host


@dataclass(frozen=True)
class Unit:
    """The vector unit of a processor."""

    vector_bytes: int
    registers: int
    masked: bool
    """Whether loads and stores of part of a vector cost no more than whole ones."""


@cache
def host_unit() -> Unit:
    """This machine's vector unit; vectors of 16 bytes, which every 64-bit processor has, where we know no more.

    Masks need all of AVX-512's first parts: where those for bytes are switched off, LLVM 22 ends the process over some.
    """
    have = set(host.features().split(","))
    if {"+avx512bw", "+avx512dq", "+avx512f", "+avx512vl"} <= have:
        return Unit(64, 32, masked=True)
    if "+avx" in have:
        return Unit(32, 16, masked=False)
    return Unit(16, 16 if host.processor().startswith("x86") else 32, masked=False)


class Piece(NamedTuple):
    """Of a row: the `active` elements from `start` on, in a vector of `width` lanes."""

    start: int
    width: int
    active: int


def cover(count: int, unit: Unit, itemsize: int) -> tuple[Piece, ...]:
    """Vectors that cover `count` elements: whole ones, then a masked one or ever shorter ones."""
    width = unit.vector_bytes // itemsize
    whole = [Piece(start, width, width) for start in range(0, count - width + 1, width)]
    start = len(whole) * width
    if start == count:
        return tuple(whole)
    if unit.masked:
        shortest = max(1 << (count - start - 1).bit_length(), 16 // itemsize)
        return (*whole, Piece(start, shortest, count - start))
    shorter = []
    while start < count:
        size = 1 << ((count - start).bit_length() - 1)
        shorter.append(Piece(start, size, size))
        start += size
    return (*whole, *shorter)


def span(pieces: Sequence[Piece]) -> int:
    """How many elements the vectors hold, masked lanes included."""
    return pieces[-1].start + pieces[-1].width
