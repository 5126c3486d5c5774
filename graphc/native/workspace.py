"""A workspace: the memory that one run at a time works in, with the driver's words for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from graphc.executor.arena import ALIGNMENT
from graphc.ir import Node
from graphc.native.driver import yielding
from graphc.native.driver.layout import VALUES, YIELD
from graphc.native.image import Image
from graphc.native.memory import Memories
from graphc.native.steps import Slots
from graphc.native.storage import Home, Storage, address, array_over


class Workspace:
    """The arena, the words, and the list of values with all arrays that are the same in every run."""

    __slots__ = ("__dict__", "__weakref__", "entry")  # native code finds the entry in its slot

    def __init__(self, storage: Storage, memories: Memories, image: Image, slots: Slots) -> None:
        offsets = memories.offsets
        arena = aligned(memories.arena_bytes)
        base = address(arena)
        self.entry: Any
        self.words = aligned(image.words.nbytes).view(np.int64)[: image.words.size]
        image.place(self.words, base)
        self.statuses = self.words[image.statuses]
        self.context: int = address(self.words)
        self.dismiss: Callable[[int], None] | None = None
        """Has all workers leave, where some may come."""
        self.called = 0.0
        """When a run last looked for workers that were missing."""
        self.values: list[Any] = [None] * len(slots.of)
        for key, slot in slots.of.items():
            if isinstance(key, Node) and key in storage.layout:
                root = storage.root(key)
                if root in storage.constants:
                    self.values[slot] = array_over(storage.constants[root], key, storage.layout[key])
                elif root in offsets:
                    own = arena[offsets[root] : offsets[root] + max(root.type.nbytes, 1)]
                    self.values[slot] = array_over(own, key, storage.layout[key])
                elif storage.home[root] is Home.ARENA:  # empty, so that nothing fills it
                    self.values[slot] = np.empty(key.array_type.static_shape, key.dtype)
        self.words[VALUES], self.words[YIELD] = id(self.values), yielding()
        self._arena = arena

    def __del__(self) -> None:
        dismiss = getattr(self, "dismiss", None)  # not where its making failed
        if dismiss is not None:
            dismiss(self.context)


def aligned(nbytes: int) -> np.ndarray[Any, Any]:
    """Fresh memory that begins at a multiple of the alignment."""
    size = -(-max(nbytes, 1) // ALIGNMENT) * ALIGNMENT
    memory = np.empty(size + ALIGNMENT, np.uint8)
    start = -address(memory) % ALIGNMENT
    return memory[start : start + size]


def workspace_bytes(arena_bytes: int, image: Image) -> int:
    """What a workspace takes: its memory and its words, each rounded up and moved to a multiple of the alignment."""
    return arena_bytes + image.words.nbytes + 4 * ALIGNMENT
