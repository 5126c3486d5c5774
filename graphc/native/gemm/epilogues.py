"""What happens to the elements of a product before they are stored.

An epilogue reads further operands at each element's place and gives the element's final value, and those of further
results if it has any. Vector epilogues are written for whole vectors in registers and see scalars where a kernel has
no vectors. Scalar epilogues are written for one element; a kernel leaves its tile in a small buffer and applies them
in a loop that LLVM vectorizes.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

Emit = Callable[["Site"], Sequence[Any]]
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
    """Stored beside the product: `emit` gives the element's value, then one value for each of these."""
    vector: bool = False
    long: bool = False
    """Written once, for a loop over the buffer, and not for each vector of a tile."""


class Site(Protocol):
    """One element, or a vector of neighbouring elements of a row, for an epilogue to work on."""

    @property
    def b(self) -> Any:
        """The builder, where the epilogue's code goes."""

    @property
    def value(self) -> Any:
        """The product's element."""

    def operand(self, number: int) -> Any:
        """An operand at this place: i1 for truth values, f32 for f16."""

    def index(self, axis: int) -> Any:
        """This place's index along an axis of the product, i64."""

    def number(self, value: float) -> Any:
        """A constant like the value."""


def affine(*addends: Access, alpha: float = 1.0) -> Epilogue:
    """alpha · value + the addends: a bias along rows (row stride 0), a bias along columns, an accumulated array."""

    def emit(site: Site) -> list[Any]:
        value = site.value if alpha == 1.0 else site.b.fmul(site.value, site.number(alpha))
        for number in range(len(addends)):
            value = site.b.fadd(value, site.operand(number), flags=("contract",))
        return [value]

    return Epilogue(("affine", alpha), emit, addends, vector=True)


def rectified(before: Epilogue) -> Epilogue:
    """max(·, 0) of an epilogue's value; NaN stays."""

    def emit(site: Site) -> list[Any]:
        value, *more = before.emit(site)
        below = site.b.fcmp_ordered("<=", value, site.number(0.0))
        return [site.b.select(below, site.number(0.0), value), *more]

    return Epilogue(("rectified", before.key), emit, before.operands, before.results, vector=before.vector)


def masked_where_positive(before: Epilogue, condition: Access) -> Epilogue:
    """where(condition > 0, ·, 0) of an epilogue's value, as in the derivative of a rectifier."""
    number = len(before.operands)

    def emit(site: Site) -> list[Any]:
        value, *more = before.emit(site)
        positive = site.b.fcmp_ordered(">", site.operand(number), site.number(0.0))
        return [site.b.select(positive, value, site.number(0.0)), *more]

    operands = (*before.operands, condition)
    return Epilogue(("masked_where_positive", before.key), emit, operands, before.results, vector=before.vector)
