"""Work: what a program does, an entry per kernel, product or NumPy call, with the memory that it reads and writes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from graphc.executor.cost import nanoseconds
from graphc.ir import Graph, Node
from graphc.native.code.failure import LLVMError
from graphc.native.code.library import Made
from graphc.native.kernel.structure import ops_of
from graphc.native.storage import Storage


@dataclass(eq=False)
class Parts:
    """What the blocks of a kernel have accumulated, block after block, before it is combined."""

    nbytes: int


@dataclass(eq=False)
class Status:
    """A word that native code writes to where something is wrong, and what that tells."""

    problem: Callable[[int], Exception]
    node: Node
    """Whose value could not be computed."""

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

    address: Made
    table: tuple[Pointer, ...]
    rows: int
    per_block: int
    blocks: int
    before: int = 0
    """Blocks of the same rows that other tasks have before."""

    def parts(self, count: int) -> Iterator[Task]:
        """The same work as so many tasks."""
        if count == 1:
            yield self
            return
        ends = [self.blocks * part // count for part in range(count + 1)]
        for start, end in pairwise(ends):
            yield replace(self, blocks=end - start, before=self.before + start)


class Reach(NamedTuple):
    """The bytes of a memory between which the first strip stays, and how far on those of the next begin."""

    memory: Memory
    start: int
    length: int
    step: int
    written: bool


@dataclass(frozen=True)
class Cutting:
    """A work in strips: what they touch, and a task for each."""

    reaches: tuple[Reach, ...]
    tasks: Callable[[], Sequence[Task]]
    """Raises LLVMError."""


Cutter = Callable[[int], Cutting | None]
"""Cuts a work into so many strips, where it can be."""


@dataclass(eq=False)
class Work:
    """One thing to do. Without a task NumPy does it; with `output`, it copies a value to that output."""

    node: Node
    reads: tuple[Memory, ...]
    writes: tuple[Memory, ...]
    ns: float
    task: Task | None = None
    extra_ns: float = 0.0
    """What unlucky values may add to its time."""
    output: int | None = None
    over: tuple[tuple[Memory, Memory], ...] = ()
    """What it writes that may lie over what it reads, if nothing needs that afterwards."""
    why: str = ""
    """Why it is not native."""
    failed: LLVMError | None = None
    """What LLVM said of the code that it should have run."""
    statuses: tuple[Status, ...] = ()
    combines: bool = False
    """Whether it prepares a kernel's operand, combines the parts of its results, or goes on where another has ended."""
    cut: Cutter | None = None
    """How it falls into strips, if it does."""

    @property
    def ops(self) -> str:
        """What it computes, in a word or a few."""
        body = self.node.attrs.get("body")
        return ops_of(body) if isinstance(body, Graph) else self.node.op.name


def code_of(works: Iterable[Work]) -> list[Made]:
    """The native code of some works."""
    return [work.task.address for work in works if work.task is not None]


def nbytes_of(memory: Memory) -> int:
    """The bytes that something takes."""
    return memory.type.nbytes if isinstance(memory, Node) else memory.nbytes


def roots(nodes: Sequence[Node], storage: Storage) -> tuple[Memory, ...]:
    """Whose memory some values have, each once."""
    return tuple(dict.fromkeys(storage.root(node) for node in nodes))


def pointer(node: Node, storage: Storage) -> Pointer:
    """Where a value begins."""
    return storage.root(node), storage.layout[node].offset


def call(node: Node, storage: Storage, why: str = "", failed: LLVMError | None = None) -> Work:
    """A call of an op's body."""
    operands = node.inputs if node.op.elementwise else ()
    over = tuple((node, source) for source in operands if _fits_over(node, source, storage))
    why = "LLVM failed to compile it" if failed else why or f"{node.op.name} has no native code"
    written = roots(storage.results(node), storage)
    return Work(node, roots(node.inputs, storage), written, nanoseconds(node), over=over, why=why, failed=failed)


def _fits_over(node: Node, source: Node, storage: Storage) -> bool:
    """Whether a node may write over an operand: it is all of its memory, and nothing else of it is read."""
    same = [other for other in node.inputs if storage.root(other) is storage.root(source)]
    return storage.root(source) is source and all(other is source for other in same) and source.type == node.type
