"""The works of a graph, in order: those of its kernels and products, of ops that loops compute, calls, copies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from graphc.executor.cost import copy_nanoseconds, nanoseconds
from graphc.ir import Node, collector_paused, warn
from graphc.native import products
from graphc.native.code.failure import LLVMError
from graphc.native.code.library import LIBRARY
from graphc.native.code.unlucky import extra_nanoseconds
from graphc.native.code.writer import SYMBOL
from graphc.native.cuts import kernel_cutter
from graphc.native.finishing import is_finishable, product_in
from graphc.native.kernel import combining, facts
from graphc.native.kernel.facts import Facts
from graphc.native.kernel_works import KernelWorks, task_of
from graphc.native.loops.pieces import Copy, Loop, NotNative
from graphc.native.loops.spreading import spread
from graphc.native.loops.table import pieces_of
from graphc.native.product_works import finished_works, product_works
from graphc.native.storage import Home, Storage
from graphc.native.strides import broadcast
from graphc.native.work import NUMBER, Status, Task, Work, call, code_of, pointer, roots
from graphc.types import TupleType, Type


@dataclass
class Works:
    """All works of a graph in order, and the facts of their kernels."""

    storage: Storage
    listed: list[Work]
    facts: dict[Node, Facts]


@collector_paused()
def works_of(storage: Storage, fresh: int) -> Works:
    """The works of a graph; the first `fresh` outputs are new arrays. Kernels that LLVM rejects are found out last."""
    while True:
        works = _works_of(storage, fresh)
        if LIBRARY.finish(code_of(works.listed)):
            _warn_of_failures(works.listed)
            return works
        for cached in (facts.copying, combining.combining, products.compiled):
            cached.cache_clear()


def _works_of(storage: Storage, fresh: int) -> Works:
    kernels, works = KernelWorks(storage), list[Work]()
    for node in storage.graph.nodes:
        if node in storage.constants or node.op.leaf or any(source in storage.parts for source in node.inputs):
            continue
        if facts.is_kernel(node):
            works += _merged(node, kernels)
        elif storage.root(node) is node or is_finishable(node):
            works += _alone(node, storage)
    return Works(storage, [*works, *_copies(storage, fresh)], kernels.facts)


def _merged(node: Node, kernels: KernelWorks) -> list[Work]:
    """The works of a kernel, or a call where LLVM rejects one of them."""
    inner = product_in(node)
    try:
        return kernels.of(node) if inner is None else finished_works(node, inner, kernels.storage)
    except LLVMError as error:
        return [call(node, kernels.storage, failed=error)]


def _alone(node: Node, storage: Storage) -> list[Work]:
    """The works of a product, or of an op that loops compute, as they do products where LLVM rejects their kernels."""
    try:
        return product_works(node, storage) or _looped(node, storage)
    except LLVMError as error:
        if storage.root(node) is not node:
            return [call(node, storage, failed=error)]
        return [replace(work, failed=error) for work in _looped(node, storage)]


def _warn_of_failures(works: Sequence[Work]) -> None:
    """Name what LLVM has rejected, once for what is alike, and what computes it instead."""
    failed = {(work.failed, work.ops): work for work in reversed(works) if work.failed}
    for (error, ops), work in reversed(failed.items()):
        instead = "NumPy" if work.task is None else "other native code"
        warn(f"the kernel of {ops} ({work.node.origin.where()}) is computed by {instead}, because compiling it failed: "
             f"{error}")  # fmt: skip


def _looped(node: Node, storage: Storage) -> list[Work]:
    """The works of an op that loops compute, or a call where NumPy must."""
    try:
        pieces = pieces_of(node, storage)
        if pieces is None:
            return [call(node, storage)]
        works = [_copied(node, piece, storage) if isinstance(piece, Copy) else _walked(node, piece, storage)
                 for piece in pieces]  # fmt: skip
    except NotNative as reason:
        return [call(node, storage, f"{node.op.name} has no native code for {reason}")]
    except LLVMError as error:
        return [call(node, storage, failed=error)]
    if works and isinstance(pieces[0], Copy) and pieces[0].shape == node.shape:
        for work in works[1:]:  # it goes over what the first has written
            work.reads = (*work.reads, node)
    return works


def _copied(node: Node, move: Copy, storage: Storage) -> Work:
    kind = Type(move.source.dtype, move.shape)
    nest = spread(move, node.array_type.dtype)
    if nest is not None:
        loop = Loop(nest, (move.source,), (move.skipped,), move.offset)
        return _walked(node, loop, storage, copy_nanoseconds(kind))
    from_, to = (broadcast(move.shape, steps) for steps in (move.strides, move.to))
    known = facts.copying(kind, from_, to, node.dtype)
    root, offset = pointer(move.source, storage)
    task = task_of(known, [(root, offset + move.skipped)], [(node, move.offset)])
    return Work(node, (root,), (node,), known.ns, task, cut=kernel_cutter(known.leading, task, 1))


def _walked(node: Node, loop: Loop, storage: Storage, takes: float | None = None) -> Work:
    nest, (shared, numbers) = loop.nest, loop.nest.shared
    address = LIBRARY.kernel(shared, lambda: shared.text, SYMBOL)
    stretch, count = loop.stretch
    ns = facts.NS_PER_KERNEL + max(nanoseconds(node) / count if takes is None else takes, nest.ns)
    extra = extra_nanoseconds(node) / count
    per_block, blocks = facts.blocks_of(nest.rows, ns, extra_ns=extra)
    statuses = tuple(Status(problem, node) for problem in loop.problems)
    skipped = loop.skipped or (0,) * len(loop.sources)
    sources = [pointer(source, storage) for source in loop.sources]
    results = tuple(storage.results(node))
    table = (*((root, offset + more) for (root, offset), more in zip(sources, skipped, strict=True)),
             *((result, loop.offset) for result in results), *((status, 0) for status in statuses),
             *((NUMBER, number) for number in numbers))  # fmt: skip
    task = Task(address, table, nest.rows, per_block, blocks)
    reads = roots(loop.sources, storage) + (results if stretch else ())
    return Work(node, reads, results, ns, task, extra, statuses=statuses, combines=stretch > 0)


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
