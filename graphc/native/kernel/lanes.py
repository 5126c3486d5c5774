"""How many elements a kernel works on at once, and how it reads and writes them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir

from graphc.native.code.elementwise import has_vectors
from graphc.native.code.scalars import I32, I64, Value, Wide, computed, stored, stored_type
from graphc.native.code.vectors import Unit, host_unit
from graphc.native.code.writer import Code
from graphc.native.kernel.phases import Plan, is_counted
from graphc.windows import LARGEST_STEP

LIGHTEST, LIGHT = 4.0, 16.0
"""Bodies of at most so much effort an element take four vectors at once, and two, as where places of bytes are sought:
these are of 32 bits in the end, and fill four vectors for each."""
HEAVY = 40.0
"""A body of so much effort an element is written once, masked, rather than once for whole vectors and once for rest.

It takes two vectors at once: each waits for its own chain of operations, longer than the processor looks ahead.
"""
NEAR_BYTES = 1 << 19
"""What is read and written of columns that are walked together, several times, stays in a second cache."""
LEAST_GROUPS = 8
"""Columns that are walked fall into so many groups, if there are enough."""


@dataclass(frozen=True)
class Width:
    """The lanes of a kernel's vectors: `whole` at once as long as so many elements are left, else `native`."""

    native: int
    whole: int
    masked: bool
    """Whether the rest of a row is a masked vector, not one element after the other."""
    once: bool
    """Whether all vectors are masked, so that the body is written but once."""


def width_of(plan: Plan, *, compact: bool) -> Width:
    """The lanes for a body: those of one vector register, of its widest floats if it has any."""
    inner = [node for node in plan.body.nodes if plan.is_wide(node)]
    if not inner or not all(has_vectors(node) for node in inner):
        return Width(1, 1, masked=False, once=False)
    unit = host_unit()
    dtypes = {node.array_type.dtype for node in inner}
    floats = {dtype for dtype in dtypes if dtype.kind == "f"}
    native = unit.vector_bytes // max(max(dtype.itemsize, 4 * (dtype.kind == "f")) for dtype in floats or dtypes)
    if plan.is_scattered:
        return Width(native, native, unit.masked, once=False)
    if compact:
        return Width(native, native, unit.masked, once=unit.masked)
    most = 2 if any(map(is_counted, plan.body.nodes)) else 4
    wide = _wide(native, sum(map(_effort, inner)), most, unit)
    return wide if plan.down is None else _few(wide, plan, plan.space.sizes[plan.down])


def _wide(native: int, effort: float, most: int, unit: Unit) -> Width:
    once = unit.masked and effort >= HEAVY
    times = 1 if LIGHT < effort < HEAVY else most if effort <= LIGHTEST else 2
    return Width(native, native * times, unit.masked, once)


def _few(width: Width, plan: Plan, length: int) -> Width:
    """Vectors of so few columns at once that threads have enough groups of them to share, and that all stays near."""
    columns, whole = math.prod(plan.space.sizes) // length, width.whole
    moved = [node for node in (*plan.body.inputs, *plan.stored) if plan.is_inner(node)]
    each = length * sum(node.array_type.dtype.itemsize for node in moved)
    while whole > width.native and (columns < LEAST_GROUPS * whole or whole * each > NEAR_BYTES):
        whole //= 2
    return replace(width, whole=whole)


def widths(width: Width, length: int, *, may_mask: bool) -> set[int]:
    """The widths of all vectors that walks along a row write, of known length or of length 0."""
    masks = width.masked and may_mask
    if length:
        return {wide for _, wide, _ in cut(length, width.native, masks=masks)}
    if width.once and masks:
        return {width.whole}
    return {width.whole, width.native if masks else 1}


def cut(length: int, native: int, *, masks: bool) -> Iterable[tuple[int, int, int]]:
    """The vectors that cover a row: where, how wide, how many elements. Without masks they become ever shorter."""
    position = 0
    while position < length:
        left = length - position
        shorter = 1 << (left.bit_length() - 1)
        longer = 1 << (left - 1).bit_length() if position == 0 else native
        width = min(native, longer if masks else shorter)
        yield position, width, min(left, width)
        position += width


def _effort(node: Any) -> float:
    if node.op.leaf or node.op.view:
        return 0.0
    return node.op.effort if isinstance(node.op.effort, (int, float)) else 1.0


class Lanes(NamedTuple):
    """So many elements from `position` on, of which those that `mask` names, or all, are there.

    `within` tells that all are in the part of the row in which no box begins or ends, and `counted`, if vectors are
    counted, from which position on.
    """

    position: Any
    width: int
    mask: Any = None
    within: bool = False
    counted: Any = None


def first_lanes(code: Code, width: int, count: Any) -> Any:
    """The mask of the first `count` lanes, of which there may be more."""
    if isinstance(count, int):
        return ir.Constant(ir.VectorType(ir.IntType(1), width), [int(i < count) for i in range(width)])
    b, kind = code.b, counter(width)
    full = ir.Constant(count.type, width)
    held = b.trunc(b.select(b.icmp_signed("<", count, full), count, full), kind)
    numbers = ir.Constant(ir.VectorType(kind, width), list(range(width)))
    return b.icmp_signed("<", numbers, code.splat(held, width))


def hidden(code: Code, mask: Any) -> Any:
    """A mask whose lanes LLVM does not know: of a choice by known ones it makes slow shuffles, `vexpandpd` for ten."""
    if not isinstance(mask, ir.Constant):
        return mask
    return code.masks.hidden(mask.type.count, sum(lane.constant for lane in mask.constant))


def counter(width: int) -> Any:
    """The shortest integers that count so many lanes."""
    return ir.IntType(8 if width < 128 else 16)


def read(code: Code, place: Any, lanes: Lanes, dtype: np.dtype[Any], step: Any = 1) -> Value:
    """Elements `step` apart, from a place on, as they are computed with; one for all lanes if the step is 0."""
    b, kind = code.b, stored_type(dtype)
    if lanes.width == 1 or (isinstance(step, int) and step == 0):
        return computed(b, b.load(place, typ=kind, align=dtype.itemsize), dtype)
    if isinstance(step, int) and step == -1:
        return _backward(code, place, lanes, dtype)
    if isinstance(step, int) and 1 < step <= LARGEST_STEP:
        return computed(b, _every(code, place, lanes, step, dtype), dtype)
    if not isinstance(step, int) or step != 1:
        raw = code.collect(_apart(b, place, lanes.width, kind, step), kind, lanes.width, dtype.itemsize)
        return computed(b, raw, dtype)
    return computed(b, load_lanes(code, place, lanes, dtype), dtype)


def load_lanes(code: Code, place: Any, lanes: Lanes, dtype: np.dtype[Any]) -> Any:
    """Elements side by side as they are in memory; zeros in the place of those that are not there."""
    b, kind = code.b, stored_type(dtype)
    if lanes.width == 1:
        return b.load(place, typ=kind, align=dtype.itemsize)
    wide = Wide(kind, lanes.width)
    if lanes.mask is None:
        return b.load(place, typ=wide, align=dtype.itemsize)
    return code.load_where(place, wide, lanes.mask, dtype)


def store_lanes(code: Code, raw: Any, place: Any, lanes: Lanes, dtype: np.dtype[Any]) -> None:
    """The same the other way; the memory of those that are not there is not touched."""
    if lanes.mask is None:
        code.b.store(raw, place, align=dtype.itemsize)
    else:
        code.store_where(raw, place, lanes.mask, dtype)


def _every(code: Code, place: Any, lanes: Lanes, step: int, dtype: np.dtype[Any]) -> Any:
    """Every so many elements, out of whole vectors, of which the last ends where the last of the elements is."""
    width = lanes.width
    starts = [min(k * width, (width - 1) * (step - 1)) for k in range(step)]
    holds = [next(k for k in range(step) if lane * step < starts[k] + width) for lane in range(width)]
    found, *others = (_part(code, place, lanes, (start, step), dtype) for start in starts)
    for k, vector in enumerate(others, 1):
        before = [lane * step if k == 1 else lane for lane in range(width)]
        order = [width + lane * step - starts[k] if holds[lane] == k else before[lane] if holds[lane] < k else 0
                 for lane in range(width)]  # fmt: skip
        found = code.b.shuffle_vector(found, vector, _order(order))
    return found


def _part(code: Code, place: Any, lanes: Lanes, part: tuple[int, int], dtype: np.dtype[Any]) -> Any:
    """As many neighbours as there are lanes, from a place among the elements of the lanes on."""
    (start, step), width, mask = part, lanes.width, lanes.mask
    if mask is not None:
        here = [at // step if at % step == 0 else width for at in range(start, start + width)]
        mask = code.b.shuffle_vector(mask, ir.Constant(mask.type, None), _order(here))
    return load_lanes(code, code.at(place, start, stored_type(dtype)), Lanes(0, width, mask), dtype)


def _order(lanes: Sequence[int]) -> Any:
    return ir.Constant(ir.VectorType(I32, len(lanes)), lanes)


def _backward(code: Code, place: Any, lanes: Lanes, dtype: np.dtype[Any]) -> Value:
    """Elements from a place on towards the front."""
    b, last = code.b, lanes.width - 1
    order = ir.Constant(ir.VectorType(I32, lanes.width), list(range(last, -1, -1)))
    mask = lanes.mask and b.shuffle_vector(lanes.mask, lanes.mask, order)
    first = b.gep(place, [I64(-last)], source_etype=stored_type(dtype))
    found = read(code, first, Lanes(0, lanes.width, mask), dtype)
    return Value(b.shuffle_vector(found.ir, found.ir, order), dtype)


def write(code: Code, value: Value, place: Any, lanes: Lanes, step: Any = 1) -> None:
    """The same the other way."""
    b, dtype = code.b, value.dtype
    raw = stored(b, value)
    if lanes.width > 1 and isinstance(step, int) and 1 < step <= LARGEST_STEP:
        _write_every(code, raw, place, lanes, step, dtype)
    elif lanes.width > 1 and not (isinstance(step, int) and step == 1):
        for lane, at in enumerate(_apart(b, place, lanes.width, raw.type.element, step)):
            b.store(b.extract_element(raw, I32(lane)), at, align=dtype.itemsize)
    else:
        store_lanes(code, raw, place, lanes, dtype)


def _write_every(code: Code, raw: Any, place: Any, lanes: Lanes, step: int, dtype: np.dtype[Any]) -> None:
    """Into every so many elements, by masked vectors, which leave what lies between as it is."""
    width = lanes.width
    for start in range(0, width * step, width):
        held = [at // step if at % step == 0 else width for at in range(start, start + width)]
        if min(held) < width:
            vector = code.b.shuffle_vector(raw, raw, _order([lane % width for lane in held]))
            mask = held_mask(code, lanes, held)
            store_lanes(code, vector, code.at(place, start, stored_type(dtype)), Lanes(0, width, mask), dtype)


def held_mask(code: Code, lanes: Lanes, held: Sequence[int]) -> Any:
    """The mask of a vector that holds some lanes; a known one as a constant, by which stores go that LLVM has wrong."""
    known = [1] * lanes.width
    if isinstance(lanes.mask, ir.Constant):
        known = [lane.constant for lane in lanes.mask.constant]
    elif lanes.mask is not None:
        return code.b.shuffle_vector(lanes.mask, ir.Constant(lanes.mask.type, None), _order(held))
    return ir.Constant(ir.VectorType(ir.IntType(1), len(held)), [[*known, 0][lane] for lane in held])


def _times(b: Any, step: Any, lane: int) -> Any:
    return I64(step * lane) if isinstance(step, int) else b.mul(step, step.type(lane))


def _apart(b: Any, place: Any, width: int, kind: Any, step: Any) -> Iterator[Any]:
    """The places of so many elements that are a step apart."""
    for lane in range(width):
        yield b.gep(place, [_times(b, step, lane)], inbounds=True, source_etype=kind)


def widened(code: Code, value: Value, width: int) -> Value:
    """A number in every lane."""
    raw, dtype = value
    if width == 1 or isinstance(raw.type, ir.VectorType):
        return value
    if isinstance(raw, ir.Constant):
        return Value(ir.Constant(Wide(raw.type, width), raw), dtype)
    return Value(code.splat(raw, width), dtype)
