"""What happens to the elements of a product before they are stored: its epilogue.

An epilogue reads further operands at each element's place and gives the element's final value, and those of further
results if it has any. It is written for vectors of neighbouring elements of a row, and for single elements where a
kernel has no vectors.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Emit = Callable[[Any, Any, Callable[[int], Any]], Sequence[Any]]
"""emit(builder, value, operand): the final value, then one for each further result. operand(i) reads the i-th operand
at the value's place: i1 for truth values, f32 for f16."""
Strides = tuple[int, ...]


@dataclass(frozen=True)
class Access:
    """An array that an epilogue reads or writes: elements to step along each axis (batch axes, row, column)."""

    strides: Strides
    dtype: np.dtype[Any]


@dataclass(frozen=True)
class Epilogue:
    """A function of a product's elements. Equal keys mean equal functions."""

    key: Hashable
    emit: Emit = field(compare=False)
    operands: tuple[Access, ...] = ()
    results: tuple[Access, ...] = ()
    """Stored beside the product."""
    title: str = field(default="matmul", compare=False)
    """What it computes with the product, for people."""


STORED = Epilogue("stored", lambda b, value, operand: [value])
"""Elements are stored as they are."""
