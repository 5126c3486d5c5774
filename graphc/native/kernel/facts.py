"""What is known of a kernel before it runs: its code, its blocks, its cost. Kernels of one structure share it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from graphc.executor.cost import NS_PER_BYTE, NS_PER_EFFORT, far_nanoseconds, operations
from graphc.facts import is_place, reduced_axes
from graphc.ir import Graph, Node
from graphc.native.code.library import LIBRARY, Made
from graphc.native.code.unlucky import extra_nanoseconds
from graphc.native.code.writer import SYMBOL
from graphc.native.kernel.kernel import Kernel
from graphc.native.kernel.leading import Leading, leading
from graphc.native.kernel.rows import Writer
from graphc.native.kernel.totals import part_length
from graphc.native.strides import Steps, broadcast, c_order
from graphc.op import OPS
from graphc.types import Type

BLOCK_NS = 20_000.0
"""The least time that a block should take: some twenty times what it costs to claim it."""
MOST_BLOCKS = 64
LONGEST_BLOCK_NS = 100_000.0
"""There may be more where each could take longer than that: between blocks, signals are looked for."""
MOST_PART_BYTES = 1 << 21
"""The most that the parts of one accumulated result may take."""
WHOLE = 1024
"""Blocks of a stretch are multiples of so many elements, so that only the last has less than whole vectors."""
NS_PER_KERNEL = 30.0
"""Entering a kernel and leaving it."""
NS_PER_FOLD = 1.5
"""Making one number of all lanes, at the end of a row."""
NS_PER_HELD = 0.2
"""Adding a short row to totals that registers hold, ..."""
NS_PER_PLACE = 0.5
"""... and comparing it with extremes."""
NS_PER_STAGED = 0.1
"""Bringing an element of a short row to the stack or from there."""
LINE_BYTES = 128
"""Elements that lie farther apart bring so many bytes each from memory: lines come in pairs."""
NEAR_BYTES = 1 << 20
"""Of values that lie across the rows, as transposed matrices do, bytes beyond so many ..."""
NS_PER_BYTE_ACROSS = 0.16
"""... take so much longer: each line of a tile is on another page."""


@dataclass(frozen=True)
class Facts:
    """A compiled kernel and how it falls into blocks. The blocks depend on shapes alone."""

    address: Made
    numbers: tuple[int, ...]
    """What its table holds after the pointers."""
    rows: int
    per_block: int
    blocks: int
    in_parts: tuple[int, ...]
    """The results that each block has a part of, to combine."""
    over: frozenset[tuple[int, int]]
    """(result, operand): the result may be written over the operand."""
    ns: float
    extra_ns: float
    """What unlucky values may add to that."""
    operations: float
    nbytes: int
    leading: Leading | None
    """Along what its rows fall into strips, if they do."""


def is_kernel(node: Node) -> bool:
    """Whether a node holds a graph to compute in one walk."""
    return isinstance(node.attrs.get("body"), Graph)


def facts_of(body: Graph, accesses: Sequence[Steps], results: Sequence[Steps | None] = (), *,
             interleaved: Sequence[Sequence[int]] = (), compact: bool = False) -> Facts:  # fmt: skip
    """Compile a kernel and cut it into blocks. Raises LLVMError."""
    kernel = Kernel(body, accesses, results, interleaved=interleaved, compact=compact)
    address = LIBRARY.kernel(kernel.structure, lambda: Writer(kernel).text(), SYMBOL)
    work = sum(operations(node) * _computed(node).array_type.dtype.itemsize for node in body.nodes)
    moved = _moved_bytes(kernel)
    ns = NS_PER_KERNEL + max(work * NS_PER_EFFORT, sum(moved) * NS_PER_BYTE + _far_nanoseconds(kernel, moved))
    ns += _row_nanoseconds(kernel)
    accumulated = [i for i, node in enumerate(body.outputs) if node in set(kernel.plan.accumulators)]
    shared = accumulated if kernel.neighbours == 1 else []
    parts = [body.outputs[i].type.nbytes * part_length(body.outputs[i]) for i in shared]
    extra = sum(map(extra_nanoseconds, body.nodes))
    multiple = WHOLE if kernel.stretch else kernel.neighbours
    per_block, blocks = blocks_of(kernel.rows, ns, parts, multiple, extra_ns=extra)
    in_parts = tuple(i for i in shared if blocks > 1 or is_place(body.outputs[i]))
    return Facts(address, kernel.numbers, kernel.rows, per_block, blocks, in_parts, frozenset(_over(kernel)), ns,
                 extra, sum(map(operations, body.nodes)), sum(moved), leading(kernel))  # fmt: skip


def _computed(node: Node) -> Node:
    """What is computed with to have a value: for a place what is compared."""
    return node.inputs[0] if is_place(node) else node


def _moved_bytes(kernel: Kernel) -> list[int]:
    """The bytes read and written of each value: of what is read at positions, as much as comes out."""
    picked = {node.inputs[0]: node.type.nbytes for node, _ in kernel.lookups}
    return [min(node.type.nbytes, picked.get(node, node.type.nbytes)) for node in kernel.pointed]


def _far_nanoseconds(kernel: Kernel, moved: Sequence[int]) -> float:
    """What moving so many bytes of each value takes longer because of where they lie."""
    touched = across = 0
    for pointer, (value, steps, nbytes) in enumerate(zip(kernel.pointed, kernel.steps, moved, strict=True)):
        apart = [abs(step) for step, size in zip(steps, kernel.space.sizes, strict=True) if step and size > 1]
        touched += nbytes * min([LINE_BYTES // value.array_type.dtype.itemsize, *apart] if apart else [1])
        across += nbytes if pointer in kernel.form.staged and not kernel.short else 0
    return far_nanoseconds(touched) + max(across - NEAR_BYTES, 0) * NS_PER_BYTE_ACROSS


def _row_nanoseconds(kernel: Kernel) -> float:
    """What all rows take beside their elements."""
    if kernel.short:
        return NS_PER_STAGED * len(kernel.form.staged) * math.prod(kernel.space.sizes)
    if kernel.plan.down is not None:
        return 0.0
    held = sum(NS_PER_PLACE if is_place(node) else NS_PER_HELD for node in kernel.held)
    each = NS_PER_FOLD * len(kernel.plan.row_reductions) + held
    if kernel.held:
        each += NS_PER_FOLD * len(kernel.held) / kernel.space.sizes[-2]
    return kernel.rows * each


def blocks_of(rows: int, ns: float, parts: Sequence[int] = (), multiple: int = 1, *,
              extra_ns: float = 0.0) -> tuple[int, int]:  # fmt: skip
    """Rows per block, a multiple of a number where there are several, and how many blocks.

    Of three blocks, one of two threads would compute two: several are as many as an even number, if there are enough.
    """
    many = max(MOST_BLOCKS, math.ceil((ns + extra_ns) / LONGEST_BLOCK_NS))
    most = min(rows, many, *(max(MOST_PART_BYTES // size, 1) for size in parts))
    wanted = max(1, min(int(ns / BLOCK_NS), most))
    if wanted == 1:
        return rows, 1
    each = -(-rows // min(wanted + wanted % 2, most))
    per_block = -(-each // multiple) * multiple
    return per_block, -(-rows // per_block)


def _over(kernel: Kernel) -> Iterator[tuple[int, int]]:
    """Results that may lie over an operand: every element is read, for the last time, before it is written.

    So it is where each is read once: a row that all rows read is not written by the first of them.
    """
    plan, body = kernel.plan, kernel.body
    last_needed = {node: phase for phase in range(plan.phases) for node in plan.needed(phase)}
    for operand, source in enumerate(body.inputs):
        if source in plan.boxed or kernel.accesses[operand] != steps_in_order(source.array_type):
            continue
        if source.array_type.size != math.prod(kernel.space.sizes):
            continue
        last = last_needed.get(source, -1)
        for out, node in enumerate(body.outputs):
            fits = node.type == source.type and node in plan.stored and plan.is_inner(source)
            if fits and plan.phase[node] >= last:
                yield out, operand


@lru_cache(maxsize=4096)
def steps_in_order(kind: Type) -> Steps:
    """The steps of an operand in C order along the axes of the index space."""
    return broadcast(kind.static_shape, c_order(kind.static_shape))


def needs_whole_rows(body: Graph) -> bool:
    """Whether a kernel uses, itself, a reduction over several axes, which it walks as one, in C order."""
    used = {source for node in body.nodes for source in node.inputs}
    return any(node in used and node.op.reduction and _reduced_axes(node) > 1 for node in body.nodes)


def _reduced_axes(node: Node) -> int:
    before: Any = node.inputs[0].shape
    return sum(before[axis] != 1 for axis in reduced_axes(node))


@lru_cache(maxsize=1024)
def copying(kind: Type, access: Steps, to: Steps, dtype: Any = None) -> Facts:
    """The kernel that copies an operand to where elements lie in another way, and converts them."""
    source = Node(OPS["placeholder"], (), {}, kind, "x")
    body = Graph([source], [source if dtype is None or dtype == kind.dtype else source.astype(dtype)])
    return facts_of(body, (access,), (to,))
