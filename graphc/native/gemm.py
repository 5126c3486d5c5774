"""Matrix products as kernels for one shape: C = epilogue(A · B), for any strides, batched, in f32 and f64.

    void kernel(ptr table, i64 first_block, i64 last_block, i64)

`table` holds A, B, C, the epilogue's operands, its further results, and scratch memory if the product wants some. A
product runs as one or more stages, each a kernel with a number of blocks; all blocks of a stage must end before the
next begins. Blocks are cut by the shape alone, so the result is the same bits for any number of threads.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

from graphc.native.blocking import Matrix, Plan, Problem, plan, prefers_transpose
from graphc.native.epilogues import Access, Epilogue, Strides
from graphc.native.places import Axes
from graphc.native.stages import multiplication, summation, sums
from graphc.native.vectors import Unit, host_unit
from graphc.native.writer import SYMBOL


@dataclass(frozen=True)
class Stage:
    """One of a product's kernels, and how many blocks it has."""

    product: Product
    write: Callable[[Product], str]
    blocks: int
    symbol: str = SYMBOL

    @property
    def text(self) -> str:
        """The kernel's IR."""
        return self.write(self.product)
