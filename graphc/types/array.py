"""The type of a value: of one array, a dtype and a shape; of an op with several results, a tuple of those."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeAlias
from weakref import WeakValueDictionary

import numpy as np

from graphc.errors import ShapeError
from graphc.types.dims import AnyDim, Dim, substitute
from graphc.types.dtypes import SHORT_NAMES, as_dtype
from graphc.types.shapes import LARGEST_SIZE, Shape, show_shape, size_of


class Type:
    """The type of one array: dtype and shape. Immutable; equal types are the same object, so comparing is free."""

    __slots__ = ("__weakref__", "_nbytes", "dtype", "is_float", "is_static", "shape")

    dtype: np.dtype[Any]
    shape: Shape
    is_float: bool
    """Whether values of this type have derivatives."""
    is_static: bool
    """Whether every dim is an integer."""
    _nbytes: int

    def __new__(cls, dtype: np.dtype[Any], shape: Shape) -> Type:
        """The one type of that dtype and shape."""
        return _interned(dtype, shape)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a Type is immutable; make a new one instead of setting {name}")

    def __reduce__(self) -> tuple[Any, ...]:
        return Type, (self.dtype, self.shape)

    @property
    def rank(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def size(self) -> AnyDim:
        """The number of elements."""
        return size_of(self.shape)

    @property
    def static_shape(self) -> tuple[int, ...]:
        """The shape of a static type."""
        return self.shape  # type: ignore[return-value]  # so that this is the one place to say so

    @property
    def nbytes(self) -> int:
        """The bytes that a value takes; static types only."""
        return self._nbytes

    def with_shape(self, shape: Shape) -> Type:
        """The same dtype with another shape."""
        return Type(self.dtype, shape)

    def with_dtype(self, dtype: object) -> Type:
        """The same shape with another dtype."""
        return Type(as_dtype(dtype), self.shape)

    def substitute(self, sizes: Mapping[str, int]) -> Type:
        """This type with symbols replaced by integers."""
        return Type(self.dtype, substitute(self.shape, sizes))

    def __repr__(self) -> str:
        return f"{SHORT_NAMES[self.dtype]}{show_shape(self.shape)}"


_alive: WeakValueDictionary[tuple[np.dtype[Any], Shape], Type] = WeakValueDictionary()


@lru_cache(maxsize=4096)
def _interned(dtype: np.dtype[Any], shape: Shape) -> Type:
    """The one Type of a dtype and shape; the cache in front only makes the common ones fast."""
    known = _alive.get((dtype, shape))
    if known is not None:
        return known
    new = object.__new__(Type)
    _check_span(dtype, shape)
    facts = {"dtype": dtype, "shape": shape, "is_float": dtype.kind == "f",
             "is_static": not any(isinstance(dim, Dim) for dim in shape)}  # fmt: skip
    facts["_nbytes"] = math.prod(shape) * dtype.itemsize
    for name, value in facts.items():
        object.__setattr__(new, name, value)
    return _alive.setdefault((dtype, shape), new)


def _check_span(dtype: np.dtype[Any], shape: Shape) -> None:
    """Raise where no array has so many elements, or bytes, which NumPy counts as if no dim were 0."""
    known = [dim for dim in shape if isinstance(dim, int)]
    if len(known) < len(shape):
        return
    size_of(shape)
    span = math.prod(dim or 1 for dim in known) * dtype.itemsize
    if span > LARGEST_SIZE:
        raise ShapeError(f"{SHORT_NAMES[dtype]}{show_shape(shape)} spans {span} bytes, more than 2⁶³ - 1",
                         remedy="use smaller dims, or a narrower dtype")  # fmt: skip


class TupleType:
    """The type of an op with several results."""

    __slots__ = ("elements",)

    def __init__(self, elements: Sequence[Type]) -> None:
        self.elements = tuple(elements)

    is_float = False

    @property
    def is_static(self) -> bool:
        """Whether every element's dims are integers."""
        return all(element.is_static for element in self.elements)

    @property
    def nbytes(self) -> int:
        """The bytes that all elements take together."""
        return sum(element.nbytes for element in self.elements)

    def substitute(self, sizes: Mapping[str, int]) -> TupleType:
        """This type with symbols replaced by integers."""
        return TupleType([element.substitute(sizes) for element in self.elements])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TupleType) and self.elements == other.elements

    def __hash__(self) -> int:
        return hash(self.elements)

    def __repr__(self) -> str:
        return f"({', '.join(map(str, self.elements))})"


AnyType: TypeAlias = Type | TupleType


def type_of(array: np.ndarray[Any, Any] | np.generic) -> Type:
    """The type of a NumPy value."""
    return Type(as_dtype(array.dtype), array.shape)


def has_masked(value: object) -> bool:
    """Whether a value is an array of which elements are masked, which as a plain array they would not be.

    NumPy loads `np.ma` when it is first used, so it is not asked.
    """
    return isinstance(value, np.ndarray) and bool(np.any(getattr(value, "mask", False)))
