"""How a product is cut: register tiles, panels, blocks for threads, parts of k, and which operands are packed.

Everything follows from the problem and the vector unit, never from the number of threads: so results do not either.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np

from graphc.native.code.vectors import Unit
from graphc.native.gemm.panels import Cut

BLOCK_WORK = 1 << 18
"""The least work of a block in operations (some 2 µs), so that handing blocks out costs little beside it."""
BLOCKS = 16
"""A large product is cut into at least about so many blocks."""
BLOCK_ROWS = 128
"""A block has so many rows if it can: it reads a panel of B from far away, and perhaps copies it, for all of them."""
BLOCK_COLUMN_BYTES = 1 << 12
"""A block has no more columns: its part of B is shared with the blocks below it, through the third-level cache."""
COPIED_PART_BYTES = 6144
"""The longest stretch of k of which operands are copied, in bytes."""
PART = 4096
"""The longest stretch of k in one go: a panel of it still lies in the second-level cache."""
PART_WORK = 1 << 20
"""The least work of a part: parts must be added up afterwards."""
STREAM_WORK = 1 << 17
"""The same where memory is what takes time."""
SHORT_PART = 256
"""The shortest stretch that k is cut into for the sake of more blocks."""
SHORTEST = 16
"""The least length of the last part: code that turns squares of vectors needs whole ones."""
REDUCTION_STEPS = 16
"""Adding up the lanes of a sum costs what transposing so many elements does."""
STREAM_COLUMNS = 4096
"""The sums of so many columns stay in the first-level cache while rows are streamed."""
WIDE_BYTES = 64
"""Panels of vectors so long are read by whole neighbouring lines."""
STORE_STEPS = 2
"""An element stored on its own costs so many times what a vector's multiplication costs."""
CACHE_BYTES = 1 << 19
"""What a core's second-level cache holds beside other things."""
LIMITED_ROWS = 64
LIMITED_COLUMNS = 128
"""The most rows and columns of a block of a product with limits, more rows where k is short: all of a block is
computed if some of it is."""
CONFLICT_BYTES = 4096
"""Lines so far apart, or a multiple of it, compete for few places of the caches."""
PACKED_COLUMNS = 768
"""Packing A is repaid by so many columns even where its lines do not compete."""
HEIGHTS = (16, 8, 6, 5, 4)
"""Those of tiles in code for any number of rows: the first that registers allow and that is a power of two, ..."""
WASTE = 8
"""... unless the last tile would compute more than one in so many rows anew."""
LEAST_ROWS = 8
"""Products of fewer rows get code for their number."""
SHARED_ROWS = 33
"""So many rows bear copying: it takes them 1 % longer, and code is the same as for more."""
LEAST_LONG, LONG = 32, 128
"""Whether the transpose of many rows is computed is decided as for the latter by all lengths of k between."""
FAR_BYTES = 1 << 23
"""Packing so much of A takes its time: for few columns it is not repaid."""


@dataclass(frozen=True)
class Matrix:
    """Elements to step along the axes of an operand: batch axes, rows, columns."""

    batch: tuple[int, ...]
    row: int
    column: int

    @property
    def transposed(self) -> Matrix:
        """The same elements with rows and columns exchanged."""
        return Matrix(self.batch, self.column, self.row)


@dataclass(frozen=True)
class Problem:
    """A product in the order that the code computes it in: C[entry, m, n] = A[entry, m, k] · B[entry, k, n]."""

    batch: tuple[int, ...]
    m: int
    n: int
    k: int
    dtype: np.dtype[np.floating]
    a: Matrix
    b: Matrix
    limited: bool = False
    """Whether blocks of it may need only some of k, or nothing."""
    general: bool = False
    """Whether code for other sizes, too, is wanted."""

    @property
    def entries(self) -> int:
        """The number of batch entries."""
        return int(np.prod(self.batch, dtype=np.int64))


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
    alike = p.general and p.b.column == 1 and min(p.k, p.m // 2) >= LEAST_LONG
    steps = max(p.k, LONG) if alike else p.k
    plain, transposed = (x * -(-y // width) * steps for x, y in ((p.m, p.n), (p.n, p.m)))
    if transposed + STORE_STEPS * p.m * p.n < 0.9 * plain:
        return True
    few = 2 * BLOCK_ROWS if p.m * p.k * p.dtype.itemsize > FAR_BYTES else BLOCK_ROWS
    return p.n <= few and p.k >= 4 * BLOCK_ROWS and p.m >= 4 * width and _is_scattered(p.a.column, p)


class Form(Enum):
    """How the inner loops run."""

    TILES = "vectors of neighbouring columns, in registers while k runs"
    DOTS = "vectors along k, where both operands lie so and rows are too few to repay a transposition of B"
    STREAM = "a few rows times a matrix too large for the caches, read in the order that it lies in"


@dataclass(frozen=True)
class Plan:
    """The decisions for a problem. A block computes some entries, tiles and panels over one part of k (depth)."""

    form: Form
    rows: Cut
    columns: Cut
    tiles: Cut
    panels: Cut
    entries: Cut
    depth: Cut
    packs_a: bool
    """Whether A is packed, strip after strip, before the blocks begin."""
    copies_b: bool
    """Whether a block copies each panel of B first."""
    general: bool
    """Whether the code is for any number of entries, and cut into blocks in any way."""
    any_rows: bool
    """Whether it is for any number of rows that are no fewer than those of a tile: where k is not the batch."""
    any_k: bool
    """Whether it is for any length of k."""

    @property
    def blocks(self) -> int:
        """How many blocks there are."""
        return self.depth.count * self.entries.count * self.panels.count * self.tiles.count


def plan(p: Problem, unit: Unit) -> Plan:
    """Decide."""
    form = _form(p, unit)
    tiled, general = form is Form.TILES, p.general and not p.limited and form is not Form.STREAM
    any_k = general and tiled and steps_alike(p)
    packs_a, copies_b = tiled and _packs_a(p), tiled and _copies_b(p, unit, any_k=any_k)
    any_rows = general and p.m >= LEAST_ROWS and not packs_a and not any_k
    height, width = {Form.TILES: _tile, Form.DOTS: _dot_tile, Form.STREAM: _stream_tile}[form](
        p, unit, any_rows=any_rows)  # fmt: skip
    rows, columns = Cut(p.m, height), Cut(p.n, width)
    longest = COPIED_PART_BYTES // p.dtype.itemsize if copies_b else PART
    tiles, panels = _block(p, rows, columns)
    if form is Form.STREAM:
        panels = Cut(columns.count, _even(columns.count, STREAM_COLUMNS // width))
    entries = Cut(p.entries, _entries_per_block(p, tiles, panels))
    blocks = tiles.count * panels.count * entries.count
    depth = Cut(max(p.k, 1), _part(p, longest, blocks, STREAM_WORK if form is Form.STREAM else PART_WORK))
    return Plan(form, rows, columns, tiles, panels, entries, depth, packs_a, copies_b, general, any_rows, any_k)


def _form(p: Problem, unit: Unit) -> Form:
    along_k = p.b.row == 1 and (p.b.column != 1 or p.n == 1) and (p.a.column == 1 or p.m == 1)
    if along_k and (p.m <= 2 or REDUCTION_STEPS * p.m <= p.k or p.n == 1 or (p.n <= 4 and p.k >= 32)):
        return Form.DOTS
    row_bytes = p.n * p.dtype.itemsize
    far = p.k * row_bytes > (2 if p.m == 1 else 32) * CACHE_BYTES and row_bytes >= 8 * unit.vector_bytes
    return Form.STREAM if p.m <= 4 and p.b.column == 1 and far else Form.TILES


def _stream_tile(p: Problem, unit: Unit, *, any_rows: bool) -> tuple[int, int]:
    return p.m, 4 * unit.vector_bytes // p.dtype.itemsize


def _dot_tile(p: Problem, unit: Unit, *, any_rows: bool) -> tuple[int, int]:
    width = min(p.n, 4)
    return min(p.m, (16 if unit.registers >= 32 else 8) // width, 4), width


def _tile(p: Problem, unit: Unit, *, any_rows: bool) -> tuple[int, int]:
    """Rows and columns of the register tile: as many sums as registers allow beside the factors."""
    sums = 24 if unit.registers >= 32 else 12
    per_vector = unit.vector_bytes // p.dtype.itemsize
    vectors = -(-p.n // per_vector)
    if p.m <= 3:
        wide = min(vectors, sums // p.m, 16)
    elif (_conflicts(p.a.row, p) or _packs_a(p)) and sums == 24:
        wide = min(vectors, 4)
    else:
        wide = 3 if vectors == 3 else min(vectors, 2)
    most = min(sums // wide, 16)
    return _any_height(p.m, most) if any_rows else _even(p.m, most), wide * per_vector


def _any_height(m: int, most: int) -> int:
    """One of few heights, and mostly the same one, so that nearly all numbers of rows have the same code."""
    usual = 1 << most.bit_length() - 1
    if usual <= m and WASTE * (-m % usual) <= m:
        return usual
    return min((height for height in HEIGHTS if height <= min(most, m)), key=lambda height: -(-m // height) * height)


def _even(size: int, most: int) -> int:
    """A width up to `most` that divides the size, or leaves strips of nearly one width."""
    if size <= most:
        return size
    exact = [width for width in range(most, max(2 * most // 3, 1) - 1, -1) if size % width == 0]
    return exact[0] if exact else -(-size // -(-size // most))


def _block(p: Problem, rows: Cut, columns: Cut) -> tuple[Cut, Cut]:
    """Tiles and panels per block: the whole matrix, halved along its longer side until a block is small enough."""
    work = 2 * rows.width * columns.width * max(p.k, 8)
    most = max(BLOCK_WORK, 2 * p.m * p.n * max(p.k, 8) * max(p.entries, 1) // BLOCKS)
    tiles = rows.count
    panels = _even(columns.count, max(BLOCK_COLUMN_BYTES // (columns.width * p.dtype.itemsize), 1))
    if p.limited:
        tiles = min(tiles, max((LIMITED_ROWS if p.k > LIMITED_COLUMNS else 2 * LIMITED_ROWS) // rows.width, 1))
        panels = min(panels, max(LIMITED_COLUMNS // columns.width, 1))
    while tiles * panels * work > most:
        if tiles * rows.width >= max(panels * columns.width, 3 * BLOCK_ROWS // 2):
            tiles = -(-tiles // 2)
        elif panels > 1:
            panels = -(-panels // 2)
        else:
            break
    return _without_lone_rest(rows, tiles), _without_lone_rest(columns, panels)


def _without_lone_rest(cut: Cut, per_block: int) -> Cut:
    """Blocks of strips, none of which begins with the narrow one: code that copies is written for whole ones."""
    while cut.rest and per_block < cut.count and cut.whole % per_block == 0:
        per_block += 1
    return Cut(cut.count, per_block)


def _entries_per_block(p: Problem, tiles: Cut, panels: Cut) -> int:
    """Small products of a batch go several to a block."""
    work = 2 * p.m * p.n * max(p.k, 8)
    if tiles.count * panels.count > 1 or p.entries <= 1:
        return 1
    return max(1, min(BLOCK_WORK // max(work, 1), -(-p.entries // 2)))


def _part(p: Problem, longest: int, blocks: int, least: int) -> int:
    """The length of a stretch of k: whole, unless that leaves few blocks or panels too long for the caches."""
    work = 2 * p.m * p.n * p.k * p.entries
    wanted = min(8 // max(blocks, 1), work // least, p.k // SHORT_PART)
    part = max(-(-p.k // max(wanted, -(-p.k // longest), 1)), 1)
    while 0 < p.k % part < min(SHORTEST, part):
        part += 1
    return part


def _copies_b(p: Problem, unit: Unit, *, any_k: bool) -> bool:
    """Whether a block copies each panel of B first: to have its columns contiguous, or near to each other.

    Narrow panels are read line by line from all over B, which stalls even where B lies in the second-level cache.
    """
    if p.k == 0 or p.b.column != 1:
        return p.k > 0
    shared = p.general and unit.vector_bytes >= WIDE_BYTES
    repaid = p.m >= (SHARED_ROWS if shared else BLOCK_ROWS // 2) and (any_k or p.k >= 32)
    scattered = (any_k and _competes(p.b.row, p)) or _is_scattered(p.b.row, p)
    return repaid and (unit.vector_bytes < WIDE_BYTES or scattered)


def steps_alike(p: Problem) -> bool:
    """Whether no stride along rows or k depends on the length of k."""
    return p.k > 0 and (p.a.row == 1 != p.a.column or p.m == 1) and p.b.column == 1


def _packs_a(p: Problem) -> bool:
    """Whether A is packed first: rows that are neighbours, so that each step along k is on another page."""
    repaid = p.n >= (BLOCK_ROWS // 2 if _conflicts(p.a.column, p) else PACKED_COLUMNS)
    return p.a.row == 1 and p.m >= BLOCK_ROWS // 2 and repaid and _reach(p.a.column, p) > 2 * CACHE_BYTES


def _is_scattered(stride: int, p: Problem) -> bool:
    """Whether lines of an operand, k of them so far apart, would not stay in the caches until they are read again."""
    return _reach(stride, p) >= (CACHE_BYTES // 2 if _competes(stride, p) else 4 * CACHE_BYTES)


def _competes(stride: int, p: Problem) -> bool:
    return 2 * stride * p.dtype.itemsize % CONFLICT_BYTES == 0


def _reach(stride: int, p: Problem) -> int:
    return p.k * abs(stride) * p.dtype.itemsize


def _conflicts(stride: int, p: Problem) -> bool:
    return stride != 0 and stride * p.dtype.itemsize % CONFLICT_BYTES == 0
