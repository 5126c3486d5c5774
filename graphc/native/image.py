"""The image of a program: the words that the driver reads, with all pointers that stay the same from run to run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from graphc.native.code.library import LIBRARY
from graphc.native.driver import STRIP
from graphc.native.driver.layout import (
    CLOSED,
    FINE,
    GUARD,
    HEADER,
    IN_OBJECT,
    PATCH_WORDS,
    SEGMENT_WORDS,
    STAGE_WORDS,
    STAGES,
    TASK_WORDS,
    WORD,
    WORD_BYTES,
)
from graphc.native.storage import address
from graphc.native.work import Fixed, Memory, Status, Task


@dataclass(frozen=True)
class Share:
    """Tasks for the driver: in turn, or all blocks at once."""

    tasks: tuple[Task, ...]
    shared: bool
    strips: tuple[tuple[Task, ...], ...] = ()
    """In place of tasks: lists of tasks, each of which runs in turn, and all at once."""
    guards: bool = False
    """In place of tasks: whether the run ends here if a position was outside."""

    @property
    def lists(self) -> tuple[tuple[Task, ...], ...]:
        """All tasks, list by list."""
        return (self.tasks, *self.strips)


@dataclass(eq=False)
class Segment:
    """Stages that run without Python between them."""

    shares: list[Share] = field(default_factory=list)
    ns: float = 0.0
    word: int = 0
    """Where its record lies in the image."""


@dataclass
class Image:
    """The words, and which of them are pointers into the arena."""

    words: np.ndarray[Any, Any]
    arena_words: np.ndarray[Any, Any]
    own_words: np.ndarray[Any, Any]
    """Those that are pointers to other words."""
    statuses: slice
    """The status words, ..."""
    order: tuple[Status, ...]
    """... and whose they are."""

    def place(self, words: np.ndarray[Any, Any], arena: int) -> None:
        """Write the words for a workspace whose arena begins at an address."""
        words[:] = self.words
        words[self.arena_words] += arena
        words[self.own_words] += address(words)


class Builder:
    """Lays out an image: header, stages, tasks with their tables, patches, segments."""

    def __init__(self, offsets: dict[Memory, int], constants: dict[Memory, int], slots: dict[Memory, int],
                 numbers: frozenset[Memory]) -> None:  # fmt: skip
        """`constants` has the addresses of constants, `slots` the places of all other arrays outside the arena.

        In the places of `numbers` stand number objects in place of arrays.
        """
        self._offsets, self._constants, self._slots, self._numbers = offsets, constants, slots, numbers
        self._arena_words: list[int] = []
        self._own_words: list[int] = []

    def build(self, segments: Sequence[Segment]) -> Image:
        """The image of some segments; sets where the record of each lies."""
        statuses = [memory for segment in segments for share in segment.shares for tasks in share.lists
                    for task in tasks for memory, _ in task.table if isinstance(memory, Status)]  # fmt: skip
        self._statuses = {status: HEADER + i for i, status in enumerate(statuses)}
        stages = HEADER + len(statuses)
        self._words: list[int] = [0] * (stages + STAGE_WORDS * sum(len(segment.shares) for segment in segments))
        self._words[WORD], self._words[STAGES] = CLOSED, stages
        self._words[HEADER:stages] = [FINE] * len(statuses)
        first, laid_out = 0, []
        for segment in segments:
            laid_out.append((first, self._stages(segment, first)))
            first += len(segment.shares)
        for segment, (first, patch) in zip(segments, laid_out, strict=True):
            segment.word = len(self._words)
            begin, end = (stages + STAGE_WORDS * number for number in (first, first + len(segment.shares)))
            start = segment.word + SEGMENT_WORDS
            self._words += [begin, end, start, start + len(patch), segment.word, *patch]
        words, arena, own = (np.array(w, np.int64) for w in (self._words, self._arena_words, self._own_words))
        return Image(words, arena, own, slice(HEADER, stages), tuple(statuses))

    def _stages(self, segment: Segment, first: int) -> list[int]:
        """Write the stages of a segment, numbered from the first on; the patches of their tasks."""
        patch: list[int] = []
        for number, share in enumerate(segment.shares, first):
            if share.strips:
                listed = self._strips([self._tasks(strip, patch) for strip in share.strips])
            else:
                listed = self._tasks(share.tasks, patch)
            blocks = len(share.strips) + sum(task.blocks for task in share.tasks) if share.shared else 0
            blocks = GUARD if share.guards else blocks
            at = self._words[STAGES] + STAGE_WORDS * number
            self._words[at : at + STAGE_WORDS] = [*listed, blocks, number]
        return patch

    def _tasks(self, tasks: Sequence[Task], patch: list[int]) -> tuple[int, int]:
        """Lay out tasks with their tables; where their records begin and end."""
        begin, end = self._room(len(tasks))
        first_block = 0
        for at, task in zip(range(begin, end, TASK_WORDS), tasks, strict=True):
            cut = [task.rows, task.per_block, task.blocks, first_block]
            self._words[at : at + TASK_WORDS] = [int(task.address), len(self._words), *cut, task.before, 0]
            first_block += task.blocks
            for memory, offset in task.table:
                word = len(self._words)
                self._words.append(self._pointer(memory, offset, word))
                if memory in self._slots:
                    patch += [word, self._slots[memory], IN_OBJECT if memory in self._numbers else offset]
        assert len(patch) % PATCH_WORDS == 0
        return begin, end

    def _strips(self, lists: Sequence[tuple[int, int]]) -> tuple[int, int]:
        """Lay out a task for each list of tasks; its table has the address of all words, and where the list lies."""
        begin, end = self._room(len(lists))
        for number, (at, listed) in enumerate(zip(range(begin, end, TASK_WORDS), lists, strict=True)):
            table = len(self._words)
            self._words[at : at + TASK_WORDS] = [LIBRARY.driver.addresses[STRIP], table, 1, 1, 1, number, 0, 0]
            self._own_words.append(table)
            self._words += [0, *listed]
        return begin, end

    def _room(self, tasks: int) -> tuple[int, int]:
        """Where the records of so many tasks begin and end."""
        begin = len(self._words)
        self._words += [0] * (TASK_WORDS * tasks)
        return begin, len(self._words)

    def _pointer(self, memory: Memory, offset: int, word: int) -> int:
        if isinstance(memory, Status):
            self._own_words.append(word)
            return WORD_BYTES * self._statuses[memory]
        if isinstance(memory, Fixed):
            return int(memory.array.ctypes.data) + offset
        if memory in self._offsets:
            self._arena_words.append(word)
            return self._offsets[memory] + offset
        return self._constants.get(memory, 0) + offset
