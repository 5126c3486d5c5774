"""Regions of matrices: where constant masks are true, where they are not, and where several are.

To look at a large mask takes longer than most passes. So a region is the matrix that it was read from, of which some
things are found out once, and how to read it: complements and transposes are no matrices of their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

Truths = np.ndarray[Any, Any]
AT_ONCE = 64
"""So many rows are searched at once: copies of all would be memory that the system has to find and to clear."""


class Matrix:
    """A matrix of truth values, and what was found out about it."""

    def __init__(self, truths: Truths) -> None:
        self.truths = truths
        self._distinct = truths[tuple(slice(None if step else 1) for step in truths.strides)]

    @cached_property
    def some(self) -> bool:
        """Whether any is true."""
        return bool(self._distinct.any())

    @cached_property
    def every(self) -> bool:
        """Whether all are."""
        return bool(self._distinct.all())


@dataclass(frozen=True)
class Region:
    """The places where a matrix is true, or where it is not if it is `inverted`; of its transpose if it is `turned`."""

    matrix: Matrix
    inverted: bool = False
    turned: bool = False

    @property
    def truths(self) -> Truths:
        """True in the region."""
        return self.rows(slice(None))

    @property
    def shape(self) -> tuple[int, ...]:
        """That of the matrix."""
        rows, columns = self.matrix.truths.shape
        return (columns, rows) if self.turned else (rows, columns)

    def rows(self, some: slice) -> Truths:
        """The same of some rows."""
        truths = (self.matrix.truths.T if self.turned else self.matrix.truths)[some]
        return ~truths if self.inverted else truths

    @property
    def T(self) -> Region:
        """The same places of the transpose."""
        return Region(self.matrix, self.inverted, not self.turned)

    def is_empty(self) -> bool:
        """Whether it has no places."""
        return self.matrix.every if self.inverted else not self.matrix.some

    def is_all(self) -> bool:
        """Whether it has all places of the matrix."""
        return not self.matrix.some if self.inverted else self.matrix.every

    def __invert__(self) -> Region:
        return Region(self.matrix, not self.inverted, self.turned)

    def __and__(self, other: Region) -> Region:
        for one, two in ((self, other), (other, self)):
            if one == two or one.is_empty() or two.is_all():
                return one
        return ~everywhere(self.shape) if self == ~other else Region(Matrix(self.truths & other.truths))

    def __or__(self, other: Region) -> Region:
        return ~(~self & ~other)

    def equals(self, other: Region) -> bool:
        """Whether two regions have the same places, perhaps of different matrices."""
        return self == other or np.array_equal(self.truths, other.truths)


def everywhere(shape: tuple[int, ...]) -> Region:
    """All places of a matrix."""
    return Region(Matrix(np.broadcast_to(np.True_, shape)))


def ranges(region: Region) -> Truths:
    """For each row of a matrix from where to where anything is in a region: int32[rows, 2], (0, 0) where nothing is."""
    rows = range(0, region.shape[0], AT_ONCE)
    return np.concatenate([_ranges(region.rows(slice(row, row + AT_ONCE))) for row in rows])


def _ranges(truths: Truths) -> Truths:
    live: Any = np.ascontiguousarray(truths)  # to search along columns of memory takes twice as long as the copy
    first, last = live.argmax(axis=1), live.shape[1] - live[:, ::-1].argmax(axis=1)
    some = live[np.arange(len(live)), first]
    return np.where(some[:, None], np.stack([first, last], axis=1), 0).astype(np.int32)
