"""Which rows are so short, and so many, that they are walked side by side: each in a lane, down columns.

A vector then holds an element of each of many rows, all of its lanes are used, and what is computed once per row, such
as a logarithm, is computed for as many rows at once. Elements pass the stack, where they lie so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from graphc.ends import needs_registers
from graphc.facts import is_place
from graphc.ir import Graph, Node
from graphc.lookups import lookup_of, marked_axis
from graphc.maps import read_elsewhere
from graphc.native.code.elementwise import has_vectors
from graphc.native.kernel.extents import Space
from graphc.native.kernel.stages import GROUP
from graphc.native.strides import Steps
from graphc.windows import windows_of

ABREAST = 2
"""So many vectors of rows at once: a total waits for the one before, and meanwhile another is computed."""
LONGEST = GROUP
MOST_BYTES = 96
"""Rows of more are almost as fast one after the other: few lanes of their vectors are empty."""
LEAST_ROWS = 64
MOST_BYTES_ALONE, LEAST_ROWS_ALONE = 48, 1 << 14
"""The same where nothing uses the totals, so that little is computed for a row: 1 ns is saved, and the code takes 18 ms
longer to compile. Of integers, whose lanes are folded by few instructions, nothing is saved."""
MOST_STAGES = 6
"""So many values of the size of the whole are near, beside what is kept of them."""


def are_short(body: Graph, space: Space, accesses: Sequence[Steps]) -> bool:
    """Whether the rows of a kernel are walked so: they are reduced, and all lies in C order."""
    if len(space.sizes) < 2 or not all(_has_lanes(space, node) for node in body.nodes):
        return False
    *_, rows, length = space.sizes
    whole = [node for node in (*body.inputs, *body.outputs) if _is_whole(space, node)]
    nbytes = length * max((node.array_type.dtype.itemsize for node in whole), default=0)
    if length > LONGEST or nbytes > MOST_BYTES or rows < LEAST_ROWS or len(whole) > MOST_STAGES:
        return False
    looked = {source for node in body.nodes for source in read_elsewhere(node)}
    lie_well = all(node in looked or _lies_well(space, node, access)
                   for node, access in zip(body.inputs, accesses, strict=True))  # fmt: skip
    reductions, used = _row_reductions(body, space), {source for node in body.nodes for source in node.inputs}
    if not any(node in used or is_place(node) for node in reductions):
        pays = nbytes <= MOST_BYTES_ALONE and math.prod(space.sizes[:-1]) >= LEAST_ROWS_ALONE
        lie_well = lie_well and pays and all(node.type.is_float for node in reductions)
    return lie_well and bool(reductions)


def _has_lanes(space: Space, node: Node) -> bool:
    """Whether a node has code for a lane per row: of positions, where there is one in each row."""
    if windows_of(node) or node.op.blas or not has_vectors(node):
        return False
    if marked_axis(node) is not None:
        return space.varies(node.inputs[2])[-2:] == (True, False)
    return lookup_of(node) is None or space.varies(node)[-2:] == (True, False)


def _is_whole(space: Space, node: Node) -> bool:
    """Whether a value varies along rows and from row to row."""
    return all(space.varies(node)[-2:])


def _lies_well(space: Space, node: Node, access: Steps) -> bool:
    """Whether elements of rows lie side by side, or numbers per row do."""
    from_row, along = space.steps(node, access)[-2:]
    return along == 1 if _is_whole(space, node) else from_row in (0, 1)


def _row_reductions(body: Graph, space: Space) -> list[Node]:
    """The reductions of rows; none if one gives what is accumulated row by row, or one place of all."""
    found = []
    for node in body.nodes:
        if node.op.reduction:
            before, after = (space.varies(value)[-2:] for value in (node.inputs[0], node))
            if before == (True, True) and after == (True, False):
                found.append(node)
            elif all(after) or needs_registers(node) or (is_place(node) and not after[0]):
                return []
    return found
