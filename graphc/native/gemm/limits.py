"""Which stretch of k each cell of a product needs, where rows, columns or results are of use in part."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphc.native.gemm.product import Product

Ranges = np.ndarray[Any, Any] | None


def limits_of(product: Product, rows: Ranges, columns: Ranges, read: Ranges) -> np.ndarray[Any, Any]:
    """From where to where in k each cell (panels, then tiles, of one entry) adds up: i64[panels, tiles, 2].

    `rows` has for each row of A from where to where it is not zero, `columns` for each column of B, and `read` for
    each row of C where it is read; None stands for everywhere. A cell of which nothing is read has an empty stretch.
    """
    plan, k = product.plan, product.k
    down, right = (np.arange(0, strips.size, strips.width * groups.width)
                   for strips, groups in ((plan.rows, plan.tiles), (plan.columns, plan.panels)))  # fmt: skip
    of_rows, of_columns = (rows, columns) if not product.axes.swapped else (columns, rows)
    (first_down, last_down), (first_right, last_right) = _unions(of_rows, down, k), _unions(of_columns, right, k)
    first = np.maximum(first_down, first_right[:, None])
    last = np.minimum(last_down, last_right[:, None])
    if read is not None:
        last = np.where(_wanted(read, right, down).T if product.axes.swapped else _wanted(read, down, right), last, 0)
    return np.where((last <= first)[..., None], 0, np.stack([first, last], axis=-1)).astype(np.int64)


def share_of(product: Product, limits: np.ndarray[Any, Any]) -> float:
    """How much of the work is left."""
    return float((limits[..., 1] - limits[..., 0]).mean() / product.k)


def _unions(ranges: Ranges, starts: np.ndarray[Any, Any], k: int) -> tuple[np.ndarray[Any, Any], ...]:
    """From where to where groups of rows, which start there, need k; where they need nothing, it ends first."""
    if ranges is None:
        return np.zeros_like(starts), np.full_like(starts, k)
    first, last = ranges.T
    some = first < last
    return (np.minimum.reduceat(np.where(some, first, k), starts), np.maximum.reduceat(np.where(some, last, 0), starts))


def _wanted(read: np.ndarray[Any, Any], rows: np.ndarray[Any, Any],
            columns: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:  # fmt: skip
    """Whether anything is read of each cell of C, which begin in these rows and columns: bool[columns, rows]."""
    ends = np.append(columns[1:], np.iinfo(np.int32).max)
    first, last = read.T
    within = np.maximum(first, columns[:, None]) < np.minimum(last, ends[:, None])
    return np.logical_or.reduceat(within, rows, axis=1)
