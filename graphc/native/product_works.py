"""The works of matrix products: a stage each, with an epilogue or without."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from graphc.ir import Node
from graphc.native import products
from graphc.native.cuts import product_cutter
from graphc.native.finishing import Finished
from graphc.native.gemm.limits import limits_of, share_of
from graphc.native.gemm.product import Product
from graphc.native.storage import Storage
from graphc.native.work import Fixed, Memory, Parts, Pointer, Task, Work, call, pointer


def product_works(node: Node, storage: Storage) -> list[Work]:
    """The works of a matrix product, one per stage; none where no product kernel fits. Raises LLVMError."""
    product = products.product_of(node, storage)
    if product is None:
        return []
    known = products.compiled(product)
    limits, share = _limits(node, product, storage)
    factors = [pointer(source, storage) for source in node.inputs[:2]]
    return _stages(node, known, factors, [pointer(node, storage), *limits], len(limits), share)


def finished_works(node: Node, inner: Node, storage: Storage) -> list[Work]:
    """The works of a kernel that begins with a product. Raises LLVMError."""
    results = [pointer(result, storage) for result in storage.results(node)]
    whole = Finished(node, inner, storage)
    if whole.product is None:
        return [call(node, storage, "no kernel fits the product")]
    known = products.compiled(whole.product)
    first, *others = whole.order
    factors, operands = ([pointer(source, storage) for source in nodes] for nodes in (whole.factors, whole.operands))
    operands += [(number, 0) for number in whole.numbers]
    after = [*operands, *(results[i] for i in others)]
    works = _stages(node, known, factors, [results[first], *after], len(operands))
    works[-1].over = tuple(_overwritable(node, whole, storage))
    return works


def _overwritable(node: Node, whole: Finished, storage: Storage) -> Iterator[tuple[Memory, Memory]]:
    """The pairs of a result and an operand's memory that may be the same: every element is read, by the epilogue alone,
    right before that of the result is written."""
    factors = {storage.root(source) for source in whole.factors}
    for source in whole.operands:
        root = storage.root(source)
        same = [other for other in whole.operands if storage.root(other) is root]
        if root not in factors and same == [source] and storage.is_whole(source):
            yield from ((result, root) for result in storage.results(node)
                        if storage.root(result) is result and result.type == root.type == source.type)  # fmt: skip


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
    for address, blocks, ns in known.stages:
        before = () if not works else (scratch, *works[-1].writes)
        last = len(works) == len(known.stages) - 1
        writes: tuple[Memory, ...] = written if last else (Parts(0),) if works else (scratch,)
        task = Task(address, (*table, *known.numbers), blocks, 1, blocks)
        reads = (*read, *before)
        works.append(Work(node, reads, writes, share * ns, task, combines=not last))
    if len(works) == 1 and known.scratch_bytes:
        works[0].writes = (*written, scratch)
    elif len(works) == 1:
        works[0].cut = product_cutter(known.product, table, operands)
    return works


def _limits(node: Node, product: Product, storage: Storage) -> tuple[list[Pointer], float]:
    """What a product with limits reads of them, and how much of its work is left."""
    if not product.limited:
        return [], 1.0
    limits = limits_of(product, *(node.attrs[name] for name in ("rows", "columns", "read")))
    return [(Fixed(limits), 0), pointer(node.inputs[2], storage)], share_of(product, limits)
