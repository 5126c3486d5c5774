"""A product as its code computes it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


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
