"""How a product is cut: register tiles, panels, blocks for threads, and parts of k.

Everything follows from the problem and the vector unit, never from the number of threads: so results do not either.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from graphc.native.code.vectors import Unit
from graphc.native.gemm.operands import BLOCK_ROWS, CACHE_BYTES, conflicts, is_a_packed, is_b_copied, strides_ignore_k
from graphc.native.gemm.panels import Cut
from graphc.native.gemm.problem import Problem
from graphc.native.strides import FRESH_BYTES

BLOCK_WORK = 1 << 18
"""The least work of a block in operations (some 2 µs), so that handing blocks out costs little beside it."""
BLOCKS = 16
"""A large product is cut into at least about so many blocks, ..."""
LARGEST_BLOCK_WORK = 1 << 30
"""... none of which does much more (some 13 ms): between blocks, signals are looked for."""
BLOCK_COLUMN_BYTES = 1 << 12
"""A block has no more columns: its part of B is shared with the blocks below it, through the third-level cache."""
FEW_STEPS = 64
"""Where k is no longer, and the result is large, blocks have whole rows."""
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
LIMITED_ROWS = 64
LIMITED_COLUMNS = 128
"""The most rows and columns of a block of a product with limits, more rows where k is short: all of a block is
computed if some of it is."""
HEIGHTS = (16, 8, 6, 5, 4)
"""Those of tiles in code for any number of rows: the first that registers allow and that is a power of two, ..."""
WASTE = 8
"""... unless the last tile would compute more than one in so many rows anew."""
LEAST_ROWS = 8
"""Products of fewer rows get code for their number."""


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
    """The decisions."""
    form = _form(p, unit)
    tiled, general = form is Form.TILES, p.general and not p.limited and form is not Form.STREAM
    any_k = general and tiled and strides_ignore_k(p)
    packs_a, copies_b = tiled and is_a_packed(p), tiled and is_b_copied(p, unit, any_k=any_k)
    any_rows = general and p.m >= LEAST_ROWS and not packs_a and not any_k
    height, width = _register_tile(p, unit, any_rows=any_rows) if tiled else _TILES[form](p, unit)
    rows, columns = Cut(p.m, height), Cut(p.n, width)
    longest = COPIED_PART_BYTES // p.dtype.itemsize if copies_b else PART
    tiles, panels = _block(p, rows, columns, -(-p.k // longest))
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


def _stream_tile(p: Problem, unit: Unit) -> tuple[int, int]:
    return p.m, 4 * unit.vector_bytes // p.dtype.itemsize


def _dot_tile(p: Problem, unit: Unit) -> tuple[int, int]:
    width = min(p.n, 4)
    return min(p.m, (16 if unit.registers >= 32 else 8) // width, 4), width


_TILES = {Form.DOTS: _dot_tile, Form.STREAM: _stream_tile}


def _register_tile(p: Problem, unit: Unit, *, any_rows: bool) -> tuple[int, int]:
    """Rows and columns of the register tile: as many sums as registers allow beside the factors."""
    sums = 24 if unit.registers >= 32 else 12
    per_vector = unit.vector_bytes // p.dtype.itemsize
    vectors = -(-p.n // per_vector)
    if p.m <= 3:
        wide = min(vectors, sums // p.m, 16)
    elif (conflicts(p.a.row, p) or is_a_packed(p)) and sums == 24:
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


def _block(p: Problem, rows: Cut, columns: Cut, parts: int) -> tuple[Cut, Cut]:
    """Tiles and panels per block: the whole matrix, halved along its longer side until a block, which is cut into so
    many parts of k at least, is small enough.

    Where blocks turn panels of B, and A stays in a cache, each panel is turned in one block if there are enough panels.
    """
    work = 2 * rows.width * columns.width * max(p.k, 8)
    share = 2 * p.m * p.n * max(p.k, 8) * max(p.entries, 1) // BLOCKS
    most = max(BLOCK_WORK, min(share, LARGEST_BLOCK_WORK * parts))
    is_mapped = p.k <= FEW_STEPS and p.m * p.n * p.dtype.itemsize > FRESH_BYTES
    if is_mapped and not p.limited and columns.count * work <= most:
        tiles = min(most // (columns.count * work), rows.count)
        return _without_lone_rest(rows, tiles), Cut(columns.count, columns.count)
    tiles = rows.count
    panels = _even(columns.count, max(BLOCK_COLUMN_BYTES // (columns.width * p.dtype.itemsize), 1))
    if p.limited:
        tiles = min(tiles, max((LIMITED_ROWS if p.k > LIMITED_COLUMNS else 2 * LIMITED_ROWS) // rows.width, 1))
        panels = min(panels, max(LIMITED_COLUMNS // columns.width, 1))
    is_turned_once = p.b.column != 1 and p.m * p.k * p.dtype.itemsize <= CACHE_BYTES
    while tiles * panels * work > most:
        is_high = tiles * rows.width >= max(panels * columns.width, 3 * BLOCK_ROWS // 2)
        if is_high and not (is_turned_once and panels > 1):
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
