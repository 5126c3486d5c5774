"""Where CPython's lists and NumPy's arrays keep what native code reads of them; asked of samples, never assumed."""

from __future__ import annotations

import ctypes
import sys
from functools import cache

import numpy as np

LIST_ITEMS = list.__basicsize__ - 16
"""Where a list object keeps the pointer to its items: before the count of allocated ones."""
ARRAY_DATA = object.__basicsize__
"""Where an array object keeps the pointer to its data: the first field that NumPy adds."""

_NUMBERS = ((ctypes.c_double, 1.25), (ctypes.c_double, np.float64(1.25)), (ctypes.c_float, np.float32(1.25)))


@cache
def knows_objects() -> bool:
    """Whether lists and arrays lie in memory as the driver reads them."""
    if sys.implementation.name != "cpython":
        return False
    array = np.empty(3)
    values = [None, array]
    items = ctypes.c_void_p.from_address(id(values) + LIST_ITEMS).value
    if not items or ctypes.c_void_p.from_address(items + 8).value != id(array):
        return False
    if any(kind.from_address(id(number) + ARRAY_DATA).value != 1.25 for kind, number in _NUMBERS):
        return False
    return ctypes.c_void_p.from_address(id(array) + ARRAY_DATA).value == array.ctypes.data
