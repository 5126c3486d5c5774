"""Memory for results: that of an earlier run's result, where nobody holds it any more.

Fresh memory of that size comes from the system, which maps and clears it page by page: for results of 50 MB that takes
as long as computing them.
"""

from __future__ import annotations

from collections import deque
from sys import getrefcount
from typing import Any
from weakref import getweakrefcount

import numpy as np

Array = np.ndarray[Any, Any]
LEAST_BYTES = 1 << 17
"""Smaller arrays come from memory that the allocator keeps itself."""
MOST_BYTES = 1 << 28
"""Larger ones are not kept: that they stay mapped would surprise more than it helps."""
KEPT = 2
"""A caller who holds one result until the next one is there needs two in turn."""


class Results:
    """Where the arrays for one result of a program come from. Any number of threads may take and give at once."""

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self._shape, self._dtype = shape, dtype
        self.keeps = LEAST_BYTES <= dtype.itemsize * int(np.prod(shape)) <= MOST_BYTES
        self._given: deque[Array] = deque(maxlen=KEPT)

    @property
    def most_bytes(self) -> int:
        """What is kept at most."""
        return KEPT * self._dtype.itemsize * int(np.prod(self._shape)) if self.keeps else 0

    def array(self) -> Array:
        """An array that only the caller holds; its elements are anything."""
        for _ in range(len(self._given)):
            try:
                array, references = _first(self._given)
            except IndexError:  # another thread took it
                break
            if references == _OWN and self._is_unchanged(array):
                return array
            self._given.append(array)
        return np.empty(self._shape, self._dtype)

    def given(self, array: Array) -> None:
        """The array was given to a caller, who may let it go before the next run."""
        if self.keeps:
            self._given.append(array)

    def _is_unchanged(self, array: Array) -> bool:
        """Whether its holder did not give it another form, and nobody can find it again."""
        same = array.shape == self._shape and array.dtype is self._dtype and array.flags.num & _WHOLE == _WHOLE
        return same and not getweakrefcount(array)


def _first(queue: deque[Array]) -> tuple[Array, int]:
    """What a queue of arrays has had first, and the references that there are to it now."""
    array = queue.popleft()
    return array, getrefcount(array)


_, _OWN = _first(deque([np.empty(1)]))
"""The references to an array that nobody else holds."""
_WHOLE = 0x505
"""NumPy's flags of arrays in C order, that own their memory, are aligned and can be written to."""
