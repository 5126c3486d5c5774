"""How the operands of a product are read: as they lie, transposed, packed beforehand, or copied panel by panel."""

from __future__ import annotations

from graphc.native.code.vectors import Unit
from graphc.native.gemm.problem import Problem

BLOCK_ROWS = 128
"""A block has so many rows if it can: it reads a panel of B from far away, and perhaps copies it, for all of them."""
WIDE_BYTES = 64
"""Panels of vectors so long are read by whole neighbouring lines."""
STORE_STEPS = 2
"""An element stored on its own costs so many times what a vector's multiplication costs."""
CACHE_BYTES = 1 << 19
"""What a core's second-level cache holds beside other things."""
CONFLICT_BYTES = 4096
"""Lines so far apart, or a multiple of it, compete for few places of the caches."""
PACKED_COLUMNS = 768
"""Packing A is repaid by so many columns even where its lines do not compete."""
SHARED_ROWS = 33
"""From so many rows on panels are copied: it takes the fewest 1 % longer, but they have the code of more."""
LEAST_BATCH, BATCH = 32, 128
"""Where k is the batch, as in derivatives by weights, batches of the first size or more are taken for the second:
so they have the same code."""
FAR_BYTES = 1 << 23
"""Packing so much of A takes its time: for few columns it is not repaid."""


def is_column(p: Problem) -> bool:
    """Whether the result is one column, and better computed as one row: unless both factors lie along k."""
    return p.n == 1 and not p.a.column == 1 == p.b.row


def prefers_transpose(p: Problem, unit: Unit) -> bool:
    """Whether the transpose of a product whose rows lie in order is computed faster, though stored slower.

    It is where columns fill vectors badly, or are few while A, contiguous along its rows, lies scattered along k: as
    columns of the transpose they are read by whole lines.
    """
    if p.a.row != 1 or p.m < 2 or p.a.column == 1:
        return False
    width = unit.vector_bytes // p.dtype.itemsize
    is_batch = p.general and p.b.column == 1 and min(p.k, p.m // 2) >= LEAST_BATCH
    steps = max(p.k, BATCH) if is_batch else p.k
    plain, transposed = (x * -(-y // width) * steps for x, y in ((p.m, p.n), (p.n, p.m)))
    if transposed + STORE_STEPS * p.m * p.n < 0.9 * plain:
        return True
    few = 2 * BLOCK_ROWS if p.m * p.k * p.dtype.itemsize > FAR_BYTES else BLOCK_ROWS
    return p.n <= few and p.k >= 4 * BLOCK_ROWS and p.m >= 4 * width and _is_scattered(p.a.column, p)


def is_b_copied(p: Problem, unit: Unit, *, any_k: bool) -> bool:
    """Whether a block copies each panel of B first: to have its columns contiguous, or near to each other.

    Narrow panels are read line by line from all over B, which stalls even where B lies in the second-level cache.
    """
    if p.k == 0 or p.b.column != 1:
        return p.k > 0
    shared = p.general and unit.vector_bytes >= WIDE_BYTES
    repaid = p.m >= (SHARED_ROWS if shared else BLOCK_ROWS // 2) and (any_k or p.k >= 32)
    scattered = (any_k and _competes(p.b.row, p)) or _is_scattered(p.b.row, p)
    return repaid and (unit.vector_bytes < WIDE_BYTES or scattered)


def strides_ignore_k(p: Problem) -> bool:
    """Whether no stride along rows or k depends on the length of k."""
    return p.k > 0 and (p.a.row == 1 != p.a.column or p.m == 1) and p.b.column == 1


def is_a_packed(p: Problem) -> bool:
    """Whether A is packed first: rows that are neighbours, so that each step along k is on another page."""
    repaid = p.n >= (BLOCK_ROWS // 2 if conflicts(p.a.column, p) else PACKED_COLUMNS)
    return p.a.row == 1 and p.m >= BLOCK_ROWS // 2 and repaid and _reach(p.a.column, p) > 2 * CACHE_BYTES


def _is_scattered(stride: int, p: Problem) -> bool:
    """Whether lines of an operand, k of them so far apart, would not stay in the caches until they are read again."""
    return _reach(stride, p) >= (CACHE_BYTES // 2 if _competes(stride, p) else 4 * CACHE_BYTES)


def _competes(stride: int, p: Problem) -> bool:
    """Whether every second line, or every one, conflicts with the first."""
    return 2 * stride * p.dtype.itemsize % CONFLICT_BYTES == 0


def _reach(stride: int, p: Problem) -> int:
    """The bytes from the first line of an operand to the last, k of them so far apart."""
    return p.k * abs(stride) * p.dtype.itemsize


def conflicts(stride: int, p: Problem) -> bool:
    """Whether lines so far apart compete for the same places of the caches."""
    return stride != 0 and stride * p.dtype.itemsize % CONFLICT_BYTES == 0
