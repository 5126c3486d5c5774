"""Arrays put in order by many calls of NumPy, none of them long, so that an interrupt comes between two.

Several rows are ordered some at a time. A long one is sorted by regular sampling (Shi and Schaeffer: "Parallel sorting
by regular sampling", J. Parallel and Distributed Computing 14, 1992): short runs of it are ordered, each is sampled at
even distances, and pivots at even distances among all samples cut the runs. What lies between two pivots, whichever
run it is in, is a bucket, which one more call orders; what equals a pivot is in order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, cast

import numpy as np

from graphc.types import Type

__all__ = ["BUCKET_SIZE", "LONG_ROW", "PART_SIZE", "parts", "positions", "positions_bytes", "sort", "sort_bytes"]

INT64 = np.dtype("int64")
PART_SIZE = 1 << 20
"""About so many elements NumPy orders in one call, in a tenth of a second; more where one row has more ..."""
LONG_ROW = 1 << 22
"""... but no more than these when it sorts, which it does faster than runs and buckets of them."""
RUN_SIZE, MOST_RUNS, SAMPLES = 1 << 16, 1 << 12, 64
BUCKET_SIZE = 1 << 18
"""What a bucket has, about; never more than a 64th of the row beyond it, since every 1024th element is a sample."""
RADIX_ROW = 1024
"""From so many elements on a row of one or two bytes each is ordered faster by radix, which NumPy calls stable."""


def parts(shape: tuple[int, ...], whole: int | None = None) -> list[tuple[slice, ...]]:
    """Indices of parts of PART_SIZE elements, or of one place along the longest axis but `whole`, which stays whole."""
    axes = [axis for axis in range(len(shape)) if axis != whole]
    longest = max(axes, key=lambda axis: shape[axis], default=None)
    size = int(np.prod(shape))
    if longest is None or size <= PART_SIZE:
        return [()]
    step = max(shape[longest] * PART_SIZE // size, 1)
    before = (slice(None),) * longest
    return [(*before, slice(start, start + step)) for start in range(0, shape[longest], step)]


def sort(x: Any, out: Any, axis: int) -> None:
    """Write the elements of x to `out` in rising order along an axis."""
    if x.shape[axis] > LONG_ROW:
        for row, to in _rows(x, out, axis):
            _sort_row(row, to)
        return
    for part in parts(x.shape, axis):
        out[part] = x[part]
        _order(out[part], axis)


def sort_bytes(x: Type, axis: int) -> float:
    """What `sort` allocates on the way: a copy of a long row, and buckets; more for halves, which become integers."""
    row = cast("int", x.shape[axis])
    width = x.dtype.itemsize
    halves = 2 * width * (x.dtype == np.float16)
    if row > LONG_ROW:
        return width * row + (2 * width + halves) * BUCKET_SIZE
    return halves * min(x.nbytes // width, max(row, PART_SIZE))


def positions(x: Any, axis: int) -> Any:
    """Where the elements in rising order stand along an axis, int64; equal ones in the order in which they stand."""
    if x.size <= PART_SIZE:
        return np.argsort(x, axis, kind="stable")
    out = np.empty(x.shape, INT64)
    if x.shape[axis] > PART_SIZE:
        for row, to in _rows(x, out, axis):
            _find_row(row, to)
        return out
    for part in parts(x.shape, axis):
        out[part] = np.argsort(x[part], axis, kind="stable")
    return out


def positions_bytes(x: Type, axis: int) -> float:
    """What `positions` allocates on the way: half as much again, or what a part takes, or a long row's runs."""
    row = cast("int", x.shape[axis])
    size = x.nbytes // x.dtype.itemsize
    if row > PART_SIZE:
        return row * np.min_scalar_type(row).itemsize + 40 * BUCKET_SIZE
    return 4 * size if size <= PART_SIZE else 12 * PART_SIZE


def _order(x: Any, axis: int = -1) -> None:
    """Order elements where they lie, halves as the integers that have their bits and order.

    NumPy's quicksort of halves on AVX-512 leaves equal negative ones out of order where there are many (2.4).
    """
    kind = "stable" if x.dtype.itemsize <= 2 and x.shape[axis] >= RADIX_ROW else None
    if x.dtype != np.float16:
        x.sort(axis, kind)
        return
    x[np.isnan(x)] = np.nan
    bits = x.view(np.int16)
    bits ^= bits >> 15 & 0x7FFF
    bits.sort(axis, kind)
    bits ^= bits >> 15 & 0x7FFF


def _rows(x: Any, out: Any, axis: int) -> Iterator[tuple[Any, Any]]:
    x, out = np.moveaxis(x, axis, -1), np.moveaxis(out, axis, -1)
    return ((x[index], out[index]) for index in np.ndindex(x.shape[:-1]))


def _sort_row(x: Any, out: Any) -> None:
    ordered, runs = np.empty(x.shape, x.dtype), _runs(x.size)
    for run in runs:
        ordered[run] = x[run]
        _order(ordered[run])
    for place, pieces, in_order in _buckets(runs, ordered.__getitem__):
        np.concatenate([ordered[piece] for piece in pieces], out=out[place])
        if not in_order:
            _order(out[place])


def _find_row(x: Any, out: Any) -> None:
    found, runs = np.empty(x.shape, np.min_scalar_type(x.size)), _runs(x.size)
    for run in runs:
        found[run] = np.argsort(x[run], kind="stable") + run.start
    for place, pieces, in_order in _buckets(runs, lambda run: x[found[run]]):
        bucket = np.concatenate([found[piece] for piece in pieces])
        out[place] = bucket if in_order else bucket[np.argsort(x[bucket], kind="stable")]


def _runs(size: int) -> list[slice]:
    length = max(RUN_SIZE, -(-size // MOST_RUNS))
    return [slice(start, min(start + length, size)) for start in range(0, size, length)]


def _buckets(runs: list[slice], ordered: Callable[[slice], Any]) -> Iterator[tuple[slice, list[slice], bool]]:
    """Where each bucket goes, the pieces of runs that are its elements, and whether they are in order as they are."""
    pivots, stop = _pivots(runs, ordered), 0
    cuts = np.array([run.start + _cuts(ordered(run), pivots) for run in runs])
    for number, (starts, stops) in enumerate(pairwise(cuts.T)):
        some, equal = starts < stops, number % 2 == 1
        pieces = list(map(slice, starts[some].tolist(), stops[some].tolist()))
        for taken in [[piece] for piece in pieces] if equal else [pieces] if pieces else []:
            start, stop = stop, stop + sum(piece.stop - piece.start for piece in taken)
            yield slice(start, stop), taken, equal


def _pivots(runs: list[slice], ordered: Callable[[slice], Any]) -> Any:
    step = max(runs[0].stop // SAMPLES, 1)
    samples = np.concatenate([ordered(run)[step // 2 :: step].copy() for run in runs])
    _order(samples)
    apart = max(BUCKET_SIZE // step, 1)
    return np.unique(samples[apart::apart])


def _cuts(run: Any, pivots: Any) -> Any:
    """Where the run begins, where what equals the first pivot begins and ends, then the next, and where it ends."""
    equal = [run.searchsorted(pivots, side) for side in ("left", "right")]
    return np.concatenate([[0], np.stack(equal, 1).ravel(), [run.size]])
