"""The table of a kernel behind its pointers: the numbers that its code does not hold, in their order."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from graphc.native.code.functions import Function
from graphc.native.kernel.structure import bits_of, is_in_table
from graphc.native.kernel.totals import part_length

if TYPE_CHECKING:
    from graphc.native.kernel.kernel import Kernel

Word = tuple[str, int, int]
"""A number of the table: what it is, of which pointer, box, lookup or node, along which axis."""
Words = Iterator[tuple[Word, int | Function]]


def words_of(kernel: Kernel) -> dict[Word, int | Function]:
    """What the table has behind the pointers, in order; of functions what they are found by."""
    parts = (_sizes, _steps, _ends_of_boxes, _lookups, _functions, _floats, _spread_results)
    return dict(word for part in parts for word in part(kernel))


def _sizes(kernel: Kernel) -> Words:
    """Of the loops that are not unrolled: not of rows, which `first` and `last` tell, unless several are together."""
    sizes, axes = kernel.space.sizes, len(kernel.space.sizes)
    inner = [] if kernel.stretch or kernel.form.length else [axes - 1]
    is_across = kernel.tiled is not None or kernel.plan.down is not None
    for axis in range(axes) if is_across else (*range(1, axes - 1), *inner):
        yield ("size", 0, axis), sizes[axis]
    if kernel.chunked or is_across:
        yield ("chunks", 0, 0), kernel.chunks


def _steps(kernel: Kernel) -> Words:
    for pointer, (steps, known) in enumerate(zip(kernel.steps, kernel.form.steps, strict=True)):
        yield from ((("step", pointer, axis), step) for axis, step in enumerate(steps) if known[axis] is None)


def _ends_of_boxes(kernel: Kernel) -> Words:
    """Those inside of an axis; and where the part of the row lies in which none begins or ends."""
    for box, ranges in enumerate(kernel.boxes):
        for axis, (start, end, _) in enumerate(ranges):
            cut = zip(("from", "to"), (start, end), kernel.form.cuts[box][axis], strict=True)
            yield from (((name, box, axis), at) for name, at, inside in cut if inside)
    if kernel.form.within:
        yield from ((("within", 0, end), at) for end, at in enumerate(kernel.within))


def _lookups(kernel: Kernel) -> Words:
    for number, (node, lookup) in enumerate(kernel.lookups):
        shape, steps = node.inputs[0].array_type.static_shape, kernel.looked_steps[number]
        yield from ((("looked size", number, at), shape[axis]) for at, axis in enumerate(lookup.axes))
        yield from ((("looked step", number, at), step) for at, step in enumerate(steps)
                    if kernel.form.looked[number][at] is None)  # fmt: skip
    for number, (node, axis) in enumerate(kernel.marks):
        yield ("marked", number, 0), node.array_type.static_shape[axis]


def _functions(kernel: Kernel) -> Words:
    yield from ((("function", number, 0), function) for number, function in enumerate(kernel.form.functions))


def _floats(kernel: Kernel) -> Words:
    """The bits of the numbers in the body that others of its structure have otherwise."""
    yield from ((("float", number, 0), bits_of(node)) for number, node in enumerate(kernel.body.nodes)
                if is_in_table(node))  # fmt: skip


def _spread_results(kernel: Kernel) -> Words:
    """How many numbers each has, which every block accumulates on its own, if it shares any with another."""
    for pointer, node in enumerate(kernel.body.outputs, len(kernel.body.inputs)):
        if kernel.is_spread(node):
            size = math.prod(node.array_type.static_shape) * part_length(node)
            yield ("part", pointer, 0), size if kernel.neighbours == 1 else 0
