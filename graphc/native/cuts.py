"""How kernels and products fall into equal strips of their rows: what each touches, and the tasks that do it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from graphc.native import products
from graphc.native.gemm.product import Product
from graphc.native.gemm.strips import strip_of
from graphc.native.kernel.leading import Leading
from graphc.native.work import Cutter, Cutting, Pointer, Reach, Task


def kernel_cutter(leading: Leading | None, task: Task, operands: int) -> Cutter | None:
    """Cuts a kernel along the first axis of its index space; the first pointers of its table are operands."""
    if leading is None:
        return None

    def cut(count: int) -> Cutting | None:
        each, rest = divmod(leading.size, count)
        if rest or not each:
            return None
        reaches = tuple(Reach(memory, start, (each - 1) * step + length, each * step, number >= operands)
                        for number, ((memory, start), step, length)
                        in enumerate(zip(task.table, leading.steps, leading.lengths, strict=False)))  # fmt: skip
        strip = replace(task, per_block=each * leading.rows, blocks=1)
        return Cutting(reaches, lambda: [replace(strip, before=number) for number in range(count)])

    return cut


def product_cutter(product: Product, table: Sequence[Pointer], operands: int) -> Cutter:
    """Cuts a product; the table has its factors, its result, so many operands of the epilogue, further results."""

    def cut(count: int) -> Cutting | None:
        strip = strip_of(product, count)
        if strip is None:
            return None
        reaches = [Reach(memory, start, length, step, number == 2 or number > 2 + operands)
                   for number, ((memory, start), step, length)
                   in enumerate(zip(table, strip.steps, strip.lengths, strict=True))]  # fmt: skip

        def tasks() -> list[Task]:
            known = products.compiled(strip.product)
            ((address, blocks, _),) = known.stages
            moved = ([(memory, start + i * step) for memory, start, _, step, _ in reaches] for i in range(count))
            return [Task(address, (*places, *known.numbers), blocks, 1, blocks) for places in moved]

        return Cutting(tuple(reaches), tasks)

    return cut
