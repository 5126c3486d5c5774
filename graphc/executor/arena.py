"""Offsets in one block of memory: a simulated allocator, by which buffers are laid out before anything runs."""

from __future__ import annotations

from bisect import bisect_left, insort

ALIGNMENT = 64
"""The bytes of a cache line and of the widest vector register."""


class Arena:
    """Offsets in a block of memory that grows as needed: the best fit among free parts, which merge where they meet."""

    def __init__(self) -> None:
        self.size = 0
        self._by_size: list[tuple[int, int]] = []
        self._starts: dict[int, int] = {}
        self._ends: dict[int, int] = {}

    def take(self, nbytes: int) -> int:
        """The offset of a part of so many bytes."""
        need = rounded(nbytes)
        found = bisect_left(self._by_size, (need, -1))
        if found < len(self._by_size):
            size, offset = self._by_size[found]
        else:  # grow, from the free part at the end if there is one
            offset = self._ends.get(self.size, self.size)
            size = self.size - offset
            self.size = offset + need
        if size:
            self._remove(offset, size)
        if size > need:
            self._insert(offset + need, size - need)
        return offset

    def give(self, offset: int, nbytes: int) -> None:
        """Make a part free again."""
        size = rounded(nbytes)
        if offset + size in self._starts:
            size += self._remove(offset + size, self._starts[offset + size])
        if offset in self._ends:
            before = self._ends[offset]
            size += self._remove(before, offset - before)
            offset = before
        self._insert(offset, size)

    def _insert(self, offset: int, size: int) -> None:
        insort(self._by_size, (size, offset))
        self._starts[offset] = size
        self._ends[offset + size] = offset

    def _remove(self, offset: int, size: int) -> int:
        del self._by_size[bisect_left(self._by_size, (size, offset))]
        del self._starts[offset], self._ends[offset + size]
        return size


def rounded(nbytes: int) -> int:
    """A size in whole cache lines, one at least."""
    return max(-(-nbytes // ALIGNMENT), 1) * ALIGNMENT
