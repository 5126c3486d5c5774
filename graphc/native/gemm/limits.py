"""Which stretch of k each cell of a product needs, where rows, columns or results are of use in part."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphc.native.gemm.panels import Cut
from graphc.native.gemm.product import Product

Ranges = np.ndarray[Any, Any] | None


def limits_of(product: Product, rows: Ranges, columns: Ranges, read: Ranges) -> np.ndarray[Any, Any]:
    """From where to where in k each cell (panels, then tiles, of one entry) adds up: i64[panels, tiles, 2].

    `rows` has for each row of A from where to where it is not zero, `columns` for each column of B, and `read` for
    each row of C where it is read; None stands for everywhere. A cell of which nothing is read has an empty stretch.
    """
    plan, k = product.plan, product.k
    of_rows, of_columns = (rows, columns) if not product.axes.swapped else (columns, rows)
    down = [_union(of_rows, *part, k) for part in _parts(plan.rows, plan.tiles)]
    right = [_union(of_columns, *part, k) for part in _parts(plan.columns, plan.panels)]
    wanted = _wanted(product, read)
    first = np.maximum(*np.broadcast_arrays([low for low, _ in down], [[low] for low, _ in right]))
    last = np.minimum(*np.broadcast_arrays([high for _, high in down], [[high] for _, high in right]))
    empty = ~wanted | (last <= first)
    return np.stack([np.where(empty, 0, first), np.where(empty, 0, last)], axis=-1).astype(np.int64)


def share_of(product: Product, limits: np.ndarray[Any, Any]) -> float:
    """How much of the work is left."""
    return float((limits[..., 1] - limits[..., 0]).mean() / product.k)


def _parts(strips: Cut, groups: Cut) -> list[tuple[int, int]]:
    """From where to where each group of strips reaches."""
    width = strips.width * groups.width
    return [(start, min(start + width, strips.size)) for start in range(0, strips.size, width)]


def _union(ranges: Ranges, begin: int, end: int, k: int) -> tuple[int, int]:
    """What some rows together need."""
    if ranges is None:
        return 0, k
    some = ranges[begin:end]
    some = some[some[:, 0] < some[:, 1]]
    return (int(some[:, 0].min()), int(some[:, 1].max())) if len(some) else (0, 0)


def _wanted(product: Product, read: Ranges) -> np.ndarray[Any, Any]:
    """Whether anything of each cell is read: bool[panels, tiles]."""
    plan = product.plan
    tiles, panels = _parts(plan.rows, plan.tiles), _parts(plan.columns, plan.panels)
    wanted = np.ones((len(panels), len(tiles)), bool)
    for panel, right in enumerate(panels if read is not None else []):
        for tile, down in enumerate(tiles):
            (top, bottom), (left, end) = (right, down) if product.axes.swapped else (down, right)
            part = np.clip(read[top:bottom], left, end)  # type: ignore[index]
            wanted[panel, tile] = bool((part[:, 0] < part[:, 1]).any())
    return wanted
