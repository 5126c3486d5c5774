"""Work: what a program does, an entry per kernel, product or NumPy call, with the memory that it reads and writes."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, SupportsInt

import numpy as np

from graphc.executor.cost import copy_nanoseconds, nanoseconds
from graphc.ir import Node, collector_paused
from graphc.native import products
from graphc.native.code.library import LIBRARY, warn_of_fallback
from graphc.native.finishing import Finished, product_in
from graphc.native.gemm.limits import limits_of, share_of
from graphc.native.gemm.product import Product
from graphc.native.kernel import facts
from graphc.native.kernel.extents import Access
from graphc.native.kernel.facts import Facts
from graphc.native.loops.pieces import Copy, Loop, NotNative
from graphc.native.loops.table import pieces_of
from graphc.native.storage import Home, Storage
from graphc.types import TupleType, Type


@dataclass(eq=False)
class Parts:
    """What the blocks of a kernel have accumulated, block after block, before it is combined."""

    nbytes: int


@dataclass(eq=False)
class Status:
    """A word that native code writes to where something is wrong, and what that tells."""

    problem: Callable[[int], Exception]

    @property
    def nbytes(self) -> int:
        """It lies among the driver's words."""
        return 0


@dataclass(eq=False)
class Fixed:
    """Numbers that the code reads, which the program keeps."""

    array: np.ndarray[Any, Any]

    @property
    def nbytes(self) -> int:
        """It is no part of a workspace."""
        return 0


Memory = Node | Parts | Status | Fixed
"""What has a place of its own: the root of a value, or parts."""
Pointer = tuple[Memory, int]
"""Whose memory, and from which byte."""
NUMBER = Parts(0)
"""In the place of a memory: the byte is a number that the code wants to know."""


@dataclass(frozen=True)
class Task:
    """Native code over rows, which fall into blocks; `table` says for each pointer whose memory, from which byte."""

    address: SupportsInt
    table: tuple[Pointer, ...]
    rows: int
    per_block: int
    blocks: int
    before: int = 0
    """Blocks of the same rows that other tasks have before."""

    def parts(self, count: int) -> Iterator[Task]:
        """The same work as so many tasks."""
        ends = [self.blocks * part // count for part in range(count + 1)]
        for start, end in pairwise(ends):
            yield replace(self, blocks=end - start, before=self.before + start)


@dataclass(eq=False)
class Work:
    """One thing to do. Without a task NumPy does it; with `output`, it copies a value to that output."""

    node: Node
    reads: tuple[Memory, ...]
    writes: tuple[Memory, ...]
    ns: float
    task: Task | None = None
    output: int | None = None
    over: tuple[tuple[Memory, Memory], ...] = ()
    """What it writes that may lie over what it reads, if nothing needs that afterwards."""
    why: str = ""
    """Why it is not native."""
    statuses: tuple[Status, ...] = ()
    combines: bool = False
    """Whether it prepares a kernel's operand or combines the parts of its results."""


@dataclass
class Works:
    """All works of a graph in order, and the facts of their kernels."""

    storage: Storage
    listed: list[Work] = field(default_factory=list)
    facts: dict[Node, Facts] = field(default_factory=dict)


@collector_paused()
def works_of(storage: Storage, fresh: int) -> Works:
    """The works of a graph; the first `fresh` outputs are new arrays. Kernels that LLVM rejects are found out last."""
    while True:
        works = _works_of(storage, fresh)
        if LIBRARY.finish():
            return works
        for cached in (facts.copying, facts.combining, products.compiled):
            cached.cache_clear()


def _works_of(storage: Storage, fresh: int) -> Works:
    works = Works(storage)
    remembered: dict[Hashable, Facts | None] = {}
    for node in storage.graph.nodes:
        if node in storage.constants or node.op.leaf or any(source in storage.parts for source in node.inputs):
            continue
        if facts.is_kernel(node):
            inner = product_in(node)
            works.listed += _kernel(node, works, remembered) if inner is None else _finished(node, inner, storage)
        elif storage.root(node) is node:
            works.listed += _product(node, storage) or _looped(node, storage)
    works.listed += _copies(storage, fresh)
    return works


def _roots(nodes: Sequence[Node], storage: Storage) -> tuple[Memory, ...]:
    return tuple(dict.fromkeys(storage.root(node) for node in nodes))


def _call(node: Node, storage: Storage, why: str = "") -> Work:
    """A call of an op's body."""
    operands = node.inputs if node.op.elementwise else ()
    over = tuple((node, source) for source in operands if _fits_over(node, source, storage))
    why = why or f"{node.op.name} has no native code"
    written = _roots(storage.results(node), storage)
    return Work(node, _roots(node.inputs, storage), written, nanoseconds(node), over=over, why=why)


def _fits_over(node: Node, source: Node, storage: Storage) -> bool:
    """Whether a node may write over an operand: it is all of its memory, and nothing else of it is read."""
    same = [other for other in node.inputs if storage.root(other) is storage.root(source)]
    return storage.root(source) is source and all(other is source for other in same) and source.type == node.type


def _kernel(node: Node, works: Works, remembered: dict[Hashable, Facts | None]) -> Iterator[Work]:
    """A kernel's work, and where its blocks accumulate, the works that combine their parts."""
    storage = works.storage
    body = node.attrs["body"]
    operands: list[Pointer] = [(storage.root(source), storage.layout[source].offset) for source in node.inputs]
    accesses = [_access(source, storage) for source in node.inputs]
    if facts.needs_whole_rows(body):
        for index, source in enumerate(node.inputs):
            if accesses[index].strides != facts.contiguous(source.array_type):
                works.listed.append(_gathered(node, source, accesses[index], operands[index]))
                operands[index] = works.listed[-1].writes[0], 0
                accesses[index] = Access(facts.contiguous(source.array_type))
    made = storage.results(node)
    laid_out = [_access(result, storage) for result in made] if any(storage.root(r) is not r for r in made) else []
    structure = (facts.structure_of(body), *accesses, None, *laid_out)
    if structure not in remembered:
        try:
            remembered[structure] = facts.facts_of(body, accesses, laid_out)
        except Exception as error:  # whatever LLVM or its binding raises
            warn_of_fallback(node, error)
            remembered[structure] = None
    known = remembered[structure]
    if known is None:
        yield Work(node, _roots(node.inputs, storage), _roots(made, storage), nanoseconds(node),
                   why="LLVM failed to compile it")  # fmt: skip
        return
    works.facts[node] = known
    results: list[Memory] = [storage.root(result) for result in made]
    starts = [storage.layout[result].offset for result in made]
    combining: list[Work] = []
    if known.blocks > 1:
        for index in known.accumulated:
            parts = Parts(nbytes_of(results[index]) * known.blocks)
            combining.append(_combine(node, index, parts, results[index], known))
            results[index] = parts
    reads = tuple(dict.fromkeys(memory for memory, _ in operands))
    table = (*operands, *zip(results, starts, strict=True), *_numbers(known))
    task = Task(known.address, table, known.rows, known.per_block, known.blocks)
    over = tuple(_overwritable(node, results, known, storage)) if not laid_out else ()
    yield Work(node, reads, tuple(dict.fromkeys(results)), known.ns, task, over=over)
    yield from combining


def _numbers(known: Facts) -> Iterator[Pointer]:
    return ((NUMBER, number) for number in known.numbers)


def _access(source: Node, storage: Storage) -> Access:
    kind = source.array_type
    steps = (stride // kind.dtype.itemsize for stride in storage.layout[source].strides)
    return Access(tuple(0 if dim == 1 else step for dim, step in zip(kind.shape, steps, strict=True)))


def _product(node: Node, storage: Storage) -> list[Work]:
    """The works of a matrix product, one per stage; none where NumPy computes it."""
    product = products.product_of(node, storage)
    if product is None:
        return []
    try:
        known = products.compiled(product)
    except Exception as error:  # whatever LLVM or its binding raises
        warn_of_fallback(node, error)
        return []
    limits, share = _limits(node, product, storage)
    factors = [_pointer(source, storage) for source in node.inputs[:2]]
    return _stages(node, known, factors, [(node, 0), *limits], len(limits), share)


def _finished(node: Node, inner: Node, storage: Storage) -> list[Work]:
    """The works of a kernel that begins with a product."""
    results = [_pointer(result, storage) for result in storage.results(node)]
    try:
        whole = Finished(node, inner, storage)
        known = products.compiled(whole.product) if whole.product is not None else None
    except Exception as error:  # whatever LLVM or its binding raises
        warn_of_fallback(node, error)
        known = None
    if known is None:
        return [_call(node, storage, "LLVM failed to compile it")]
    first, *others = whole.order
    factors, operands = ([_pointer(source, storage) for source in nodes] for nodes in (whole.factors, whole.operands))
    after = [*operands, *(results[i] for i in others)]
    return _stages(node, known, factors, [results[first], *after], len(operands))


def _stages(node: Node, known: products.Compiled, factors: Sequence[Pointer], places: Sequence[Pointer],
            operands: int = 0, share: float = 1.0) -> list[Work]:  # fmt: skip
    """The works of a product, of which this share is left to do.

    `places` are those of its result, of so many things that it reads beside its factors, and of further results.
    """
    scratch = Parts(known.scratch_bytes)
    table = [*factors, *places, *([(scratch, 0)] if known.scratch_bytes else [])]
    read = tuple(dict.fromkeys(memory for memory, _ in (*factors, *places[1 : 1 + operands])
                               if not isinstance(memory, Fixed)))  # fmt: skip
    written = tuple(dict.fromkeys(memory for memory, _ in (places[0], *places[1 + operands :])))
    works: list[Work] = []
    for address, blocks in known.stages:
        before = () if not works else (scratch, *works[-1].writes)
        last = len(works) == len(known.stages) - 1
        writes: tuple[Memory, ...] = written if last else (Parts(0),) if works else (scratch,)
        task = Task(address, tuple(table), blocks, 1, blocks)
        reads = (*read, *before)
        works.append(Work(node, reads, writes, share * known.ns / len(known.stages), task, combines=not last))
    if len(works) == 1 and known.scratch_bytes:
        works[0].writes = (*written, scratch)
    return works


def _limits(node: Node, product: Product, storage: Storage) -> tuple[list[Pointer], float]:
    """What a product with limits reads of them, and how much of its work is left."""
    if not product.limited:
        return [], 1.0
    limits = limits_of(product, *(node.attrs[name] for name in ("rows", "columns", "read")))
    return [(Fixed(limits), 0), _pointer(node.inputs[2], storage)], share_of(product, limits)


def _looped(node: Node, storage: Storage) -> list[Work]:
    """The works of an op that loops compute, or a call where NumPy must."""
    try:
        pieces = pieces_of(node, storage)
        if pieces is None:
            return [_call(node, storage)]
        works = [_copied(node, piece, storage) if isinstance(piece, Copy) else _walked(node, piece, storage)
                 for piece in pieces]  # fmt: skip
    except NotNative as reason:
        return [_call(node, storage, f"{node.op.name} has no native code for {reason}")]
    except Exception as error:  # whatever LLVM or its binding raises
        warn_of_fallback(node, error)
        return [_call(node, storage, "LLVM failed to compile it")]
    if works and isinstance(pieces[0], Copy) and pieces[0].shape == node.shape:
        for work in works[1:]:  # it goes over what the first has written
            work.reads = (*work.reads, node)
    return works


def _pointer(node: Node, storage: Storage) -> Pointer:
    return storage.root(node), storage.layout[node].offset


def _copied(node: Node, move: Copy, storage: Storage) -> Work:
    kind = Type(move.source.dtype, move.shape)
    from_, to = (Access(tuple(0 if n == 1 else step for n, step in zip(move.shape, steps, strict=True)))
                 for steps in (move.strides, move.to))  # fmt: skip
    known = facts.copying(kind, from_, to, node.dtype)
    root, offset = _pointer(move.source, storage)
    table = ((root, offset + move.skipped), (node, move.offset), *_numbers(known))
    task = Task(known.address, table, known.rows, known.per_block, known.blocks)
    return Work(node, (table[0][0],), (node,), known.ns, task)


def _walked(node: Node, loop: Loop, storage: Storage) -> Work:
    nest = loop.nest
    address = LIBRARY.kernel(nest, lambda: nest.text, nest.symbol)
    ns = facts.NS_PER_KERNEL + nanoseconds(node)
    per_block, blocks = facts.blocks_of(nest.rows, ns)
    statuses = tuple(map(Status, loop.problems))
    skipped = loop.skipped or (0,) * len(loop.sources)
    sources = [_pointer(source, storage) for source in loop.sources]
    results = tuple(storage.results(node))
    table = (*((root, offset + more) for (root, offset), more in zip(sources, skipped, strict=True)),
             *((result, loop.offset) for result in results), *((status, 0) for status in statuses))  # fmt: skip
    task = Task(address, table, nest.rows, per_block, blocks)
    return Work(node, _roots(loop.sources, storage), results, ns, task, statuses=statuses)


def _gathered(node: Node, source: Node, access: Access, operand: Pointer) -> Work:
    """The copy of an operand in C order, for a kernel that must walk several of its axes as one."""
    copying = facts.copying(source.array_type, access, Access(facts.contiguous(source.array_type)))
    parts = Parts(source.type.nbytes)
    table = (operand, (parts, 0), *_numbers(copying))
    task = Task(copying.address, table, copying.rows, copying.per_block, copying.blocks)
    return Work(node, (operand[0],), (parts,), copying.ns, task, combines=True)


def _combine(node: Node, index: int, parts: Parts, result: Memory, known: Facts) -> Work:
    body = node.attrs["body"].outputs[index]
    combine = facts.combination(body, known.blocks)
    task = Task(combine.address, ((parts, 0), (result, 0), *_numbers(combine)), combine.rows, combine.rows, 1)
    return Work(node, (parts,), (result,), combine.ns, task, combines=True)


def _overwritable(node: Node, results: Sequence[Memory], known: Facts,
                  storage: Storage) -> Iterator[tuple[Memory, Memory]]:  # fmt: skip
    """The pairs of a result and an operand's memory that may be the same: elements are read before they are written."""
    roots = [storage.root(source) for source in node.inputs]
    for out, operand in known.over:
        root = roots[operand]
        alike = all((out, other) in known.over for other, its_root in enumerate(roots) if its_root is root)
        result = results[out]
        same_size = isinstance(result, Node) and isinstance(root.type, Type) and result.type.nbytes == root.type.nbytes
        if alike and same_size and storage.is_whole(node.inputs[operand]):
            yield result, root


def _copies(storage: Storage, fresh: int) -> Iterator[Work]:
    """Copies of values to outputs whose memory is not their own."""
    kept: set[Node] = set()
    for index, node in enumerate(storage.graph.outputs):
        if isinstance(node.type, TupleType) or storage.target.get(storage.root(node)) == index:
            continue
        root = storage.root(node)
        is_free = storage.home[root] is Home.OWN and root is node and node not in kept
        kept.add(node)
        if not (index < fresh and (is_free or not node.shape)):
            yield Work(node, (root,), (), copy_nanoseconds(node.type), output=index)


def nbytes_of(memory: Memory) -> int:
    """The bytes that something takes."""
    return memory.type.nbytes if isinstance(memory, Node) else memory.nbytes
