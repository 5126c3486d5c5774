"""The works of a kernel: copies of operands that it must have in C order, the kernel, and what combines its parts."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Sequence
from functools import partial
from typing import Any

from graphc.ir import Graph, Node
from graphc.native.code.failure import LLVMError
from graphc.native.cuts import kernel_cutter
from graphc.native.kernel import facts
from graphc.native.kernel.combining import combination
from graphc.native.kernel.extents import positioned
from graphc.native.kernel.facts import Facts
from graphc.native.kernel.structure import all_of, structure_of
from graphc.native.kernel.totals import part_length
from graphc.native.loops.lookups import outside
from graphc.native.storage import Storage
from graphc.native.strides import Steps
from graphc.native.work import NUMBER, Memory, Parts, Pointer, Status, Task, Work, nbytes_of, pointer
from graphc.types import Type

MUCH = 2000.0
"""Where the different kernels of a program take more effort, an element of each, LLVM would take seconds: ..."""
SMALL = 256
"""... those of so few elements are compact. They compile in a tenth of the time; each call in them takes some ns."""


class KernelWorks:
    """Makes the works of kernels, and knows the facts of each."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.facts: dict[Node, Facts] = {}
        self._alike: dict[Hashable, Facts | LLVMError] = {}
        """By structure."""
        self._same: dict[Hashable, Facts | LLVMError] = {}
        """By body: kernels may share one, and to compare structures takes longer."""
        bodies = dict.fromkeys(node.attrs["body"] for node in storage.graph.nodes if facts.is_kernel(node))
        self._structures = {body: structure_of(body, all_of) for body in bodies}
        efforts = {structure: _effort(body) for body, structure in self._structures.items()}
        self._is_much = sum(efforts.values()) > MUCH

    def of(self, node: Node) -> list[Work]:
        """A kernel's works, in order. Raises LLVMError where LLVM rejects one of them."""
        return [*self._native(node)]

    def _native(self, node: Node) -> Iterator[Work]:
        storage = self.storage
        operands = [pointer(source, storage) for source in node.inputs]
        accesses = [storage.steps_over(source, source.ndim) for source in node.inputs]
        if facts.needs_whole_rows(node.attrs["body"]):
            yield from _in_order(node, operands, accesses)
        results = [pointer(result, storage) for result in storage.results(node)]
        known = self._facts(node, accesses, _neighbours(node.attrs["body"], [*operands, *results]))
        combining = list(_combining(node, results, known))
        self.facts[node] = known
        reads, writes = ([memory for memory, _ in pointers] for pointers in (operands, results))
        over = () if self._laid_out(node) else tuple(_overwritable(node, writes, known, storage))
        statuses = tuple(_statuses(node))
        task = task_of(known, operands, results, statuses)
        yield Work(node, tuple(dict.fromkeys(reads)), tuple(dict.fromkeys(writes)), known.ns, task, known.extra_ns,
                   over=over, statuses=statuses, cut=kernel_cutter(known.leading, task, len(operands)))  # fmt: skip
        yield from combining

    def _facts(self, node: Node, accesses: Sequence[Steps], neighbours: Sequence[tuple[int, ...]]) -> Facts:
        body, laid_out = node.attrs["body"], self._laid_out(node)
        same = (body, *accesses, None, *laid_out, None, *neighbours)
        if same not in self._same:
            structure = (self._structures[body], *same[1:])
            if structure not in self._alike:
                compact = self._is_much and _is_small(body)
                self._alike[structure] = _found(node, accesses, laid_out, neighbours, compact=compact)
            self._same[same] = self._alike[structure]
        known = self._same[same]
        if isinstance(known, LLVMError):
            raise known
        return known

    def _laid_out(self, node: Node) -> list[Steps | None]:
        """How results lie that are part of something else, if one is."""
        made = self.storage.results(node)
        steps = [None if self.storage.root(result) is result else self.storage.steps_over(result, result.ndim)
                 for result in made]  # fmt: skip
        return steps if any(each is not None for each in steps) else []


def _found(node: Node, accesses: Sequence[Steps], laid_out: Sequence[Steps | None],
           neighbours: Sequence[tuple[int, ...]], *, compact: bool) -> Facts | LLVMError:  # fmt: skip
    try:
        return facts.facts_of(node.attrs["body"], accesses, laid_out, interleaved=neighbours, compact=compact)
    except LLVMError as error:
        return error


def _neighbours(body: Graph, pointers: Sequence[Pointer]) -> tuple[tuple[int, ...], ...]:
    """Of operands or results of one type in one memory, whose first elements are neighbours, the pointers' numbers."""
    alike: dict[tuple[Memory, Any, bool], list[tuple[int, int]]] = {}
    for i, ((memory, at), value) in enumerate(zip(pointers, (*body.inputs, *body.outputs), strict=True)):
        alike.setdefault((memory, value.type, i < len(body.inputs)), []).append((at, i))
    found = []
    for (_, kind, _), places in alike.items():
        (first, _), *others = places = sorted(places)
        if others and [at for at, _ in places] == [first + kind.dtype.itemsize * k for k in range(len(places))]:
            found.append(tuple(i for _, i in places))
    return tuple(found)


def _effort(body: Graph) -> float:
    return sum(node.op.effort for node in body.nodes if node.inputs and isinstance(node.op.effort, (int, float)))


def _is_small(body: Graph) -> bool:
    return all(math.prod(node.array_type.static_shape) <= SMALL for node in body.nodes)


def _statuses(node: Node) -> Iterator[Status]:
    """The words for positions outside of their axes, each with the node of the body as it would stand alone."""
    body = node.attrs["body"]
    given = dict(zip(body.inputs, node.inputs, strict=True))
    for inner, _, axis, size in positioned(body):
        alone = inner.with_inputs(tuple(given.get(source, source) for source in inner.inputs))
        yield Status(partial(outside, axis, size), alone)


def task_of(known: Facts, operands: Sequence[Pointer], results: Sequence[Pointer],
            statuses: Sequence[Status] = ()) -> Task:  # fmt: skip
    """The task of a kernel."""
    words = ((status, 0) for status in statuses)
    table = (*operands, *results, *((NUMBER, number) for number in known.numbers), *words)
    return Task(known.address, table, known.rows, known.per_block, known.blocks)


def _in_order(node: Node, operands: list[Pointer], accesses: list[Steps]) -> Iterator[Work]:
    """Copies in C order of operands, put in their place, for a kernel that must walk several axes as one."""
    for index, source in enumerate(node.inputs):
        whole = facts.steps_in_order(source.array_type)
        if accesses[index] == whole:
            continue
        copy: Pointer = (Parts(source.type.nbytes), 0)
        copying = facts.copying(source.array_type, accesses[index], whole)
        task = task_of(copying, [operands[index]], [copy])
        yield Work(node, (operands[index][0],), (copy[0],), copying.ns, task, combines=True)
        operands[index], accesses[index] = copy, whole


def _combining(node: Node, results: list[Pointer], known: Facts) -> Iterator[Work]:
    """What combines the parts of accumulated results, which take the place of these."""
    for index in known.in_parts:
        inner, (result, _) = node.attrs["body"].outputs[index], results[index]
        count, each = part_length(inner), nbytes_of(result)
        memory = Parts(each * count * known.blocks)
        parts: list[Pointer] = [(memory, each * number) for number in range(count)]
        combine = combination(inner, known.blocks)
        task = Task(combine.address, task_of(combine, parts, [(result, 0)]).table, combine.rows, combine.rows, 1)
        yield Work(node, (memory,), (result,), combine.ns, task, combines=True)
        results[index] = parts[0]


def _overwritable(node: Node, results: Sequence[Memory], known: Facts,
                  storage: Storage) -> Iterator[tuple[Memory, Memory]]:  # fmt: skip
    """The pairs of a result and an operand's memory that may be the same: elements are read before they are written."""
    if not known.over:
        return
    read = [storage.root(source) for source in node.inputs]
    whole = [isinstance(root.type, Type) and storage.is_whole(source)
             for root, source in zip(read, node.inputs, strict=True)]  # fmt: skip
    together: dict[Node, list[int]] = {}
    for operand, root in enumerate(read):
        together.setdefault(root, []).append(operand)
    for out, operand in known.over:
        root, result = read[operand], results[out]
        same_size = isinstance(result, Node) and result.type.nbytes == root.type.nbytes
        if whole[operand] and same_size and all((out, other) in known.over for other in together[root]):
            yield result, root
