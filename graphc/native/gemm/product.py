"""Matrix products as kernels for one shape: C = epilogue(A · B), for any strides, batched, in f32 and f64.

    void kernel(ptr table, i64 first_block, i64 last_block, i64)

`table` holds A, B, C, the epilogue's operands, its further results, and scratch memory if the product wants some. A
product runs as one or more stages, each a kernel with a number of blocks; all blocks of a stage must end before the
next begins. Blocks are cut by the shape alone, so the result is the same bits for any number of threads.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

from graphc.native.code.vectors import Unit, host_unit
from graphc.native.gemm.blocking import Plan, plan
from graphc.native.gemm.epilogues import STORED, Access, Epilogue, Strides
from graphc.native.gemm.layout import Layout, layout_of, numbers_of, packed_at_once, packed_bytes, summed_at_once
from graphc.native.gemm.operands import is_column, prefers_transpose
from graphc.native.gemm.places import Axes
from graphc.native.gemm.problem import Matrix, Problem
from graphc.native.gemm.stages import multiplication, packing
from graphc.native.gemm.summation import summation


@dataclass(frozen=True)
class Product:
    """A matrix product. Strides count elements and run along the batch axes and the two axes of each matrix.

    A broadcast batch axis has stride 0. `epilogue` may read C itself in place of an operand with C's strides.
    """

    batch: tuple[int, ...]
    m: int
    n: int
    k: int
    dtype: np.dtype[Any]
    a: Strides
    b: Strides
    c: Strides
    epilogue: Epilogue = STORED
    unit: Unit | None = None
    """The vector unit to write for; this machine's if None."""
    limited: bool = False
    """Whether the table has, before scratch memory, limits (`limits.limits_of`) and a truth value: if they count."""
    general: bool = False
    """Whether the code should serve other sizes, too: the table then ends with `numbers`, which may be none."""

    @property
    def flops(self) -> int:
        """Multiplications and additions."""
        return 2 * math.prod(self.batch) * self.m * self.n * self.k

    @property
    def accesses(self) -> tuple[Access, ...]:
        """C, the epilogue's operands and its further results, in the order of the table."""
        *outer, column = self.c
        result = Access((*outer, column if self.n > 1 else 1), self.dtype)
        return (result, *self.epilogue.operands, *self.epilogue.results)

    @cached_property
    def axes(self) -> Axes:
        """Batch entries become rows where all strides allow; a column, or a transposed C, is computed transposed."""
        plain = Axes(self.batch, self.m, folded=self._folds())
        *_, row, column = plain.strides(self.accesses[0].strides)
        p = self._problem(plain)
        lies_so = row == 1 != column or (column == 1 and prefers_transpose(p, self.target))
        swapped = p.m > 1 and (is_column(p) if p.n == 1 else lies_so)
        return replace(plain, swapped=swapped)

    @cached_property
    def problem(self) -> Problem:
        """What the code computes."""
        return self._problem(self.axes)

    def _problem(self, axes: Axes) -> Problem:
        *batch_a, row, along = replace(axes, swapped=False).strides(self.a)
        *batch_b, deep, column = self.b
        along, deep, column = along if self.k > 1 else 1, deep if self.k > 1 else 0, column if self.n > 1 else 1
        batch, rows = ((), self.m * math.prod(self.batch)) if axes.folded else (self.batch, self.m)
        a, b = Matrix(tuple(batch_a), row, along), Matrix(tuple(batch_b) if batch else (), deep, column)
        asked = self.limited, self.general
        if axes.swapped:
            return Problem(batch, self.n, rows, self.k, self.dtype, b.transposed, a.transposed, *asked)
        return Problem(batch, rows, self.n, self.k, self.dtype, a, b, *asked)

    @cached_property
    def plan(self) -> Plan:
        """How it is cut."""
        return plan(self.problem, self.target)

    @property
    def target(self) -> Unit:
        """The vector unit that the code is for."""
        return self.unit or host_unit()

    @cached_property
    def stages(self) -> tuple[Stage, ...]:
        """The kernels to run, one after the other; none for an empty result."""
        if math.prod(self.batch) * self.m * self.n == 0:
            return ()
        layout, p, cut = layout_of(self), self.problem, self.plan
        stages = [Stage(layout, multiplication, cut.blocks)]
        if cut.packs_a:
            stages.insert(0, Stage(layout, packing, p.entries * packed_at_once(p, cut).count))
        if cut.depth.count > 1:
            stages.append(Stage(layout, summation, summed_at_once(p, cut).count))
        return tuple(stages)

    @cached_property
    def numbers(self) -> tuple[int, ...]:
        """What stands in the table behind all pointers: nothing where the code has the numbers as constants."""
        return tuple(numbers_of(self)) if self.plan.general else ()

    @cached_property
    def scratch_bytes(self) -> int:
        """The memory that the last pointer of the table must offer; the pointer may be missing where this is 0."""
        empty = math.prod(self.batch) * self.m * self.n == 0
        return 0 if empty else self.parts_bytes + packed_bytes(self.problem, self.plan)

    @cached_property
    def parts_bytes(self) -> int:
        """What the parts of k take of it."""
        size = math.prod(self.batch) * self.m * self.n
        parts = self.plan.depth.count if size else 1
        return parts * size * self.dtype.itemsize if parts > 1 else 0

    def _folds(self) -> bool:
        if not self.batch or self.limited or any(self._steps(self.b)):
            return False
        return all(map(self._is_chain, [self.a, *(access.strides for access in self.accesses)]))

    def _steps(self, strides: Strides) -> list[int]:
        return [stride for stride, size in zip(strides, self.batch, strict=False) if size != 1]

    def _is_chain(self, strides: Strides) -> bool:
        """Whether batch entries follow one another as rows do."""
        sized = [(s, size) for s, size in zip(strides, (*self.batch, self.m), strict=False) if size != 1]
        return all(outer == inner * size for (outer, _), (inner, size) in pairwise(sized))


@dataclass(frozen=True)
class Stage:
    """One of a product's kernels, and how many blocks it has."""

    layout: Layout
    write: Callable[[Layout], str]
    blocks: int

    @property
    def text(self) -> str:
        """The kernel's IR."""
        return self.write(self.layout)
