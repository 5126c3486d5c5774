"""Attribute values as keys: hashable, and equal only where type and bits are."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import numpy as np

from graphc.types import Dim, Type


def attrs_key(attrs: Mapping[str, Any]) -> tuple[Any, ...]:
    """Attributes as a hashable key, told apart by type and bits: 0.0 from -0.0, 1 from True, one NaN from another."""
    return tuple((name, freeze(value)) for name, value in attrs.items()) if attrs else ()


def freeze(value: Any) -> Any:
    """A hashable stand-in for an attribute value, equal only for the same type and bits."""
    freezer = FREEZERS.get(type(value))
    if freezer is not None:
        return freezer(value)
    if isinstance(value, (np.ndarray, np.generic)):
        return _freeze_array(np.asarray(value))
    return (type(value), value)


def _freeze_array(value: np.ndarray[Any, Any]) -> tuple[Any, ...]:
    bits = value.tobytes()
    return value.dtype.str, value.shape, bits if len(bits) <= 64 else hashlib.sha256(bits).digest()


class Bits:
    """A large array as a key: all of it is read only where another has the same type, and elements here and there."""

    def __init__(self, array: np.ndarray[Any, Any]) -> None:
        self.array = array
        self._some = array.dtype.str, array.shape, array.flat[:: array.size // 16 + 1].tobytes()

    def __hash__(self) -> int:
        return hash(self._some)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Bits) or self._some != other._some:
            return False
        return self.array is other.array or self._digest == other._digest

    @cached_property
    def _digest(self) -> bytes:
        return hashlib.sha256(self.array.tobytes()).digest()


FREEZERS: dict[type, Callable[[Any], Any]] = {
    int: lambda value: value,
    str: lambda value: value,
    type(None): lambda value: value,
    Dim: lambda value: value,
    Type: lambda value: value,
    bool: lambda value: (bool, value),
    float: lambda value: (float, struct.pack("<d", value)),
    tuple: lambda value: (tuple, *map(freeze, value)),
    np.ndarray: _freeze_array,
}
"""What turns a value of each type into its key; the types of other files are added there."""
