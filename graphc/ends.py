"""Reductions that end a kernel: which ones registers must hold, and which they can.

Blocks of rows have a part each of what a kernel accumulates, which are combined afterwards. Of several places, and of
more numbers than blocks have room for, registers hold totals as long as rows add to the same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from graphc.facts import is_place
from graphc.ir import Node

WHOLE_ROW = 4096
"""An index space of at most so many elements is one row, so that reductions over all of it may be used inside."""
LONGEST_ROW = 1 << 24
"""Reductions of longer rows end a kernel, which walks these in parts: signals are looked for between blocks. Sums of
two rows take 0.7 of the time, since threads share them evenly, and a softmax 1.4, since it stores its exponentials."""
LARGEST_PART = 16384
"""The most elements that a reduction over outer axes may keep per block of rows."""
FEW_COLUMNS = 16
"""Registers hold totals of so many columns, ..."""
MANY_TOTALS = 64
"""... and where there are so many times as many, each is found whole, by one block."""


def needs_registers(node: Node) -> bool:
    """Whether a reduction over outer axes gives more numbers than blocks have room for, or several places."""
    return math.prod(node.array_type.static_shape) > (1 if is_place(node) else LARGEST_PART)


def can_hold(sizes: Sequence[int]) -> bool:
    """Whether registers can hold the totals of all rows of an index space, which neighbours along an axis add to."""
    *outer, _, columns = sizes
    totals = math.prod(outer)
    return columns <= FEW_COLUMNS and (totals == 1 or totals >= MANY_TOTALS)


def may_stand_together(ends: Mapping[Node, tuple[int, ...]]) -> bool:
    """Whether ends lie all alike, by their axes of an index space, if registers must hold one."""
    return not any(map(needs_registers, ends)) or len({frozenset(axes) - {-1} for axes in ends.values()}) == 1
