"""The frame of independent walks: side by side where their elements are neighbours, else one by one.

Long ones fall into stretches, each in a kernel of its own that goes on from what is in the results.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from graphc.native.code.indices import Index
from graphc.native.code.writer import Code
from graphc.native.loops.nests import Nest, each_row, row_count

COLUMNS = 512
"""Walks side by side."""
STRETCH = 1 << 22
"""The most elements that the walks of a row read in a stretch. Each may take 3 ns, and 25 while memory is mapped."""


def stretches_of(length: int, together: int) -> Iterator[tuple[int, int]]:
    """Where the stretches of so many walks together begin and end."""
    count = max(1, min(-(-length * together // STRETCH), length))
    return pairwise(length * part // count for part in range(count + 1))


@dataclass(frozen=True)
class Walks(Nest):
    """A walk for each point of the first axes of the index space, each along the axes behind these."""

    kept: tuple[int, ...]
    start: int = field(default=0, kw_only=True)
    """Where recurrences and extremes go on; the results hold what those before have come to."""

    @property
    def goes_on(self) -> bool:
        """Whether walks do not begin at 0."""
        return not isinstance(self.start, int) or self.start > 0

    @property
    def following(self) -> Index:
        """The first element beyond those that results begin with: the one at 0, or all before the start."""
        return self.start if self.goes_on else 1

    @property
    @abstractmethod
    def columns(self) -> bool:
        """Whether walks along the last of the first axes go on side by side."""

    @property
    def together(self) -> int:
        """How many walks make a row."""
        return min(self.kept[-1], COLUMNS) if self.columns else 1

    @property
    def rows(self) -> int:
        """Single walks, or many side by side."""
        return row_count(self.kept, COLUMNS if self.columns else 1)

    def write(self, code: Code, operands: Sequence[Any], results: Sequence[Any], statuses: Sequence[Any]) -> None:
        """Choose the way to go."""
        if self.columns:
            each_row(code, self.kept, COLUMNS, lambda outer, start, stop: self.some(
                code, operands, results[0], outer, start, stop))  # fmt: skip
        else:
            each_row(code, self.kept, 1, lambda outer, start, stop: self.one(
                code, operands, results[0], [*outer, start] if self.kept else []))  # fmt: skip

    @abstractmethod
    def some(self, code: Code, operands: Sequence[Any], result: Any, outer: list[Index], start: Index,
             stop: Index) -> None:  # fmt: skip
        """Walks side by side."""

    @abstractmethod
    def one(self, code: Code, operands: Sequence[Any], result: Any, kept: list[Index]) -> None:
        """One walk."""
