"""Arguments of a run: what a user may feed to a placeholder or assign to a variable."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphc.errors import FeedError
from graphc.ir import Node
from graphc.signals import let_through
from graphc.types import Dim, has_masked, type_of

LARGEST = 8
"""Bytes of the largest numbers there are."""
FITTING: dict[str, set[type]] = {"f": {int, bool, float}, "i": {int, bool}, "u": {int, bool}, "b": {bool}}
"""Which numbers of Python's a kind of dtype may hold."""


def as_feed(leaf: Node, value: Any) -> np.ndarray[Any, Any]:
    """The array that `value` feeds to a placeholder or variable.

    Python numbers and lists take the leaf's dtype; arrays may widen and never narrow; the shape must fit.
    """
    kind = leaf.array_type
    array = value if type(value) is np.ndarray and value.dtype == kind.dtype else _numbers(leaf, value)
    if not _fits(array.shape, kind.shape):
        raise FeedError(f"{leaf.name} expected {kind}, got an array of type {type_of(array)}", nodes=[leaf],
                        remedy=f"reshape the array, or declare {leaf.name} with that shape")  # fmt: skip
    return array if array.dtype == kind.dtype else _converted(leaf, value, array)


def _fits(actual: tuple[int, ...], declared: tuple[Any, ...]) -> bool:
    if actual == declared:
        return True
    return len(actual) == len(declared) and all(
        isinstance(dim, Dim) or dim == size for dim, size in zip(declared, actual, strict=True)
    )


def _numbers(leaf: Node, value: Any) -> np.ndarray[Any, Any]:
    """The value as an array, in the dtype that NumPy gives it."""
    if isinstance(value, Node):
        raise FeedError(f"{leaf.name} expected a number or array, got a node", nodes=[leaf, value],
                        remedy="feed values; to connect graphs, use the node where the placeholder stands")  # fmt: skip
    if has_masked(value):
        raise FeedError(f"{leaf.name} expected {leaf.type}, got an array with masked elements", nodes=[leaf],
                        remedy="fill them: array.filled(0)")  # fmt: skip
    try:
        array = np.asarray(value)
    except (ValueError, TypeError, RuntimeError) as error:
        let_through(error)
        given, why = f"{leaf.name} expected {leaf.type}, got {_shown(value)}", " ".join(str(error).split())
        if not _is_python(value):
            raise FeedError(f"{given}, which gives no array: {why}", nodes=[leaf],
                            remedy=f"feed numbers of dtype {leaf.dtype}") from error  # fmt: skip
        raise FeedError(f"{given}, which is no array", nodes=[leaf],
                        remedy="give every row the same length, and numbers only") from None  # fmt: skip
    if array.dtype.kind in "Of" and _is_python(value):
        array = _of_large_integers(leaf, value, array)
    if array.dtype.kind not in "biuf" or array.dtype.itemsize > LARGEST:
        raise _no_numbers(leaf, value, array)
    return array


def _of_large_integers(leaf: Node, value: Any, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The array of Python numbers, where NumPy takes integers of 64 bits and more for floats, or for objects."""
    if array.dtype.kind == leaf.dtype.kind:
        return array
    objects = np.array(value, dtype=object)
    kinds = {type(number) for number in objects.flat}
    if not kinds <= FITTING[leaf.dtype.kind]:
        return array
    try:
        return objects.astype("float64" if leaf.dtype.kind == "f" else leaf.dtype)
    except OverflowError:
        raise _beyond_range(leaf, value) from None


def _no_numbers(leaf: Node, value: Any, array: np.ndarray[Any, Any]) -> FeedError:
    """What to say of a value whose elements are of no dtype of graphc."""
    if not _is_python(value):
        problem = f"an array of dtype {array.dtype}, which is no dtype of graphc"
    else:
        problem = f"{_shown(value)}, which is no array of numbers"
    return FeedError(f"{leaf.name} expected {leaf.type}, got {problem}", nodes=[leaf],
                     remedy=f"feed numbers of dtype {leaf.dtype}")  # fmt: skip


def _beyond_range(leaf: Node, value: Any) -> FeedError:
    return FeedError(f"{leaf.name} expected {leaf.type}, got {_shown(value)}, which is out of the dtype's range",
                     nodes=[leaf], remedy=f"declare {leaf.name} with a wider dtype")  # fmt: skip


def _converted(leaf: Node, value: Any, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    target = leaf.dtype
    python_numbers = _is_python(value)
    if (python_numbers and _exact_enough(array, target)) or np.can_cast(array.dtype, target, "safe"):
        return array.astype(target)
    if python_numbers and (target.kind == "f" or (array.dtype.kind in "iu" and target.kind in "iu")):
        raise _beyond_range(leaf, value)
    converted = "np.array(value)" if python_numbers else ""
    raise FeedError(
        f"{leaf.name} expected {leaf.type}, got {type_of(array)}, which would lose precision", nodes=[leaf],
        remedy=f'convert it yourself with {converted}.astype("{target}") if that is what you mean',
    )  # fmt: skip


def _is_python(value: Any) -> bool:
    return not isinstance(value, (np.ndarray, np.generic)) and not hasattr(value, "__array__")


def _shown(value: Any) -> str:
    text = " ".join(repr(value).split())
    return f"{text if len(text) <= 40 else text[:37] + '...'} of type {type(value).__name__}"


def _exact_enough(numbers: np.ndarray[Any, Any], target: np.dtype[Any]) -> bool:
    """Whether Python numbers may take a dtype: one that rounds floats, but whose range holds all numbers."""
    if target.kind == "f":
        with np.errstate(over="ignore"):
            return bool((np.isfinite(numbers.astype(target)) == np.isfinite(numbers)).all())
    if target.kind == "b":
        return bool(numbers.dtype.kind == "b")
    if numbers.dtype.kind not in "biu":
        return numbers.size == 0
    limits = np.iinfo(target)
    return bool(numbers.size == 0 or (int(numbers.min()) >= limits.min and int(numbers.max()) <= limits.max))


def symbol_places(inputs: Sequence[Node]) -> dict[str, list[tuple[int, int]]]:
    """Each symbolic size and the (argument, axis) places where the feed tells it."""
    places: dict[str, list[tuple[int, int]]] = {}
    for argument, node in enumerate(inputs):
        for axis, dim in enumerate(node.shape):
            if isinstance(dim, Dim):
                places.setdefault(dim.key, []).append((argument, axis))
    return places
