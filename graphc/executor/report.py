"""What a program tells about itself: its levels, its costs, and where the time went."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from graphc.ir import Graph, Node

HELD = 4
"""The most ops of a kernel that the line of its level names."""


@dataclass(frozen=True)
class Level:
    """The nodes of one level, and how they run: on how many threads, and each in how many blocks."""

    index: int
    nodes: tuple[Node, ...]
    threads: int
    blocks: tuple[int, ...]
    seconds: float
    """Predicted, on one thread; NaN while sizes are symbols."""

    @property
    def parallel(self) -> bool:
        """Whether nodes of the level, or their blocks, run on several threads."""
        return self.threads > 1

    def __len__(self) -> int:
        return len(self.nodes)

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)

    def __str__(self) -> str:
        how = f"{self.threads} threads" if self.parallel else "serial"
        kinds = Counter((_kind(node), blocks) for node, blocks in zip(self.nodes, self.blocks, strict=True))
        listed = (f"{count} {name}" + (f" in {blocks} blocks" if blocks > 1 else "")
                  for (name, blocks), count in kinds.items())  # fmt: skip
        predicted = "?" if math.isnan(self.seconds) else f"{self.seconds * 1e6:.1f}"
        return f"level {self.index:<4} {how:<10} {predicted:>10} µs  {', '.join(listed)}"


def _kind(node: Node) -> str:
    """What a node does: its op, or the first ops that a kernel holds."""
    body = node.attrs.get("body")
    if not isinstance(body, Graph):
        return node.op.name
    held = list(dict.fromkeys(inner.op.name for inner in body.nodes if inner.inputs))
    return f"{node.op.name} ({', '.join(held[:HELD])}{', ...' if len(held) > HELD else ''})"


@dataclass(frozen=True)
class Description:
    """The plan of a program in numbers. Printed as text."""

    backend: str
    threads: int
    nodes: int
    levels: int
    parallel_levels: int
    widest: int
    """The most nodes in a level."""
    runs: int
    """Runs of elementwise nodes that compute block by block."""
    blocks: int
    """The parts into which products and runs fall."""
    views: int
    in_place: int
    """Nodes that write over an operand."""
    buffers: int
    """Values that lie in the workspace."""
    buffer_bytes: int
    """What they take, sharing memory where they can."""
    value_bytes: int
    """What all computed values would take without sharing."""
    scratch_bytes: int
    result_bytes: int
    own_bytes: int
    """The most that bodies hold at a time which allocate their results."""
    peak_bytes: int
    operations: float
    """Arithmetic operations (FLOPs where the values are floats)."""
    seconds: float
    """Predicted, on one thread."""

    def __str__(self) -> str:
        return "\n".join([
            f"backend {self.backend}, {self.threads} thread{'s' * (self.threads > 1)}: {self.nodes} nodes in "
            f"{self.levels} levels, the widest of {self.widest}; {self.parallel_levels} on several threads",
            f"work      {si(self.operations)} operations, predicted {self.seconds * 1e3:.3g} ms on one thread; "
            f"{self.runs} elementwise runs, {self.blocks} blocks",
            f"memory    peak {si(self.peak_bytes, 'B')}: buffers {si(self.buffer_bytes, 'B')}, scratch "
            f"{si(self.scratch_bytes, 'B')}, results {si(self.result_bytes, 'B')}, own {si(self.own_bytes, 'B')}",
            f"          {self.buffers} buffers, {self.in_place} written in place, {self.views} views; "
            f"without reuse the values would take {si(self.value_bytes, 'B')}",
        ])  # fmt: skip


def si(value: float, unit: str = "") -> str:
    """A number with a decimal prefix: `1.61 MB`."""
    for factor, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= factor:
            return f"{value / factor:.3g} {prefix}{unit}"
    return f"{value:g} {unit}".rstrip()


@dataclass(frozen=True)
class Profile:
    """Where the time of one run went. The level seconds add up to the run's."""

    nodes: Mapping[Node, float]
    """Seconds of each node, run on its own on one thread."""
    levels: tuple[float, ...]
    """Seconds of each level: a stage's time on the clock, shared among its nodes by what each took on its own."""
    total: float

    def __str__(self) -> str:
        slowest = sorted(self.nodes.items(), key=lambda item: -item[1])[:20]
        lines = [f"{seconds * 1e6:>12.1f} µs  {node!r}" for node, seconds in slowest]
        return "\n".join([f"{self.total * 1e6:>12.1f} µs  in all; the slowest nodes:", *lines])
