"""Values whose elements lie in turns, such as the colours of pixels: read and written together, in whole vectors.

One by one, each would be read in as many vectors as there are values, and written into every so many lanes of these.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from llvmlite import ir

from graphc.native.code.scalars import I32, Value, computed, stored, stored_type
from graphc.native.code.writer import Code
from graphc.native.kernel.lanes import Lanes, held_mask, load_lanes, store_lanes


def read_together(code: Code, place: Any, lanes: Lanes, count: int, dtype: np.dtype[Any], native: int) -> list[Value]:
    """So many values, of which the elements of the first lane are neighbours, from a place on."""
    found: list[list[Any]] = [[] for _ in range(count)]
    for part in _parts(lanes, native):
        vectors = [load_lanes(code, *there, dtype) for there in _vectors(code, place, lanes, part, count, dtype)]
        for number, parts in enumerate(found):
            parts.append(_picked(code.b, vectors, range(number, len(part) * count, count)))
    return [Value(computed(code.b, _joined(code.b, parts), dtype).ir, dtype) for parts in found]


def write_together(code: Code, values: Sequence[Value], place: Any, lanes: Lanes, native: int) -> None:
    """The same the other way."""
    raws, count, dtype = [stored(code.b, value) for value in values], len(values), values[0].dtype
    for part in _parts(lanes, native):
        width, parts = len(part), [_picked(code.b, [raw], part) for raw in raws]
        for number, there in enumerate(_vectors(code, place, lanes, part, count, dtype)):
            order = [at % count * width + at // count for at in range(number * width, (number + 1) * width)]
            store_lanes(code, _picked(code.b, parts, order), *there, dtype)


def _parts(lanes: Lanes, native: int) -> Iterator[range]:
    """The lanes of each of the processor's vectors."""
    width = min(native, lanes.width)
    return (range(first, first + width) for first in range(0, lanes.width, width))


def _vectors(code: Code, place: Any, lanes: Lanes, part: range, count: int,
             dtype: np.dtype[Any]) -> Iterator[tuple[Any, Lanes]]:  # fmt: skip
    """Where the vectors are that hold some lanes of so many values, and what is there of each."""
    width = len(part)
    for start in range(part.start * count, part.stop * count, width):
        held = [at // count for at in range(start, start + width)]
        mask = None if lanes.mask is None else held_mask(code, lanes, held)
        yield code.at(place, start, stored_type(dtype)), Lanes(0, width, mask)


def _picked(b: ir.IRBuilder, vectors: Sequence[Any], order: Sequence[int]) -> Any:
    """A vector of some lanes of several vectors, which are counted as if these were one."""
    found, *others = vectors
    width = found.type.count
    if not others:
        return b.shuffle_vector(found, found, _constant(order))
    for number, vector in enumerate(others, 1):
        before = order if number == 1 else range(len(order))
        found = b.shuffle_vector(found, vector, _constant([
            at - (number - 1) * width if at // width == number else before[lane] if at // width < number else 0
            for lane, at in enumerate(order)]))  # fmt: skip
    return found


def _joined(b: ir.IRBuilder, parts: list[Any]) -> Any:
    """One vector of several: as many as a power of two."""
    while len(parts) > 1:
        order = _constant(range(2 * parts[0].type.count))
        parts = [b.shuffle_vector(one, other, order) for one, other in zip(parts[::2], parts[1::2], strict=True)]
    return parts[0]


def _constant(order: Sequence[int]) -> Any:
    return ir.Constant(ir.VectorType(I32, len(order)), list(order))
