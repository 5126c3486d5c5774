"""The frame of independent walks: side by side where their elements are neighbours, else one by one."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from graphc.native.code.indices import Index
from graphc.native.code.writer import Code
from graphc.native.loops.nests import Nest, each_row, row_count

COLUMNS = 512
"""Walks side by side."""


@dataclass(frozen=True)
class Walks(Nest):
    """A walk for each point of the first axes of the index space, each along the axes behind these."""

    kept: tuple[int, ...]

    @property
    @abstractmethod
    def columns(self) -> bool:
        """Whether walks along the last of the first axes go on side by side."""

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
