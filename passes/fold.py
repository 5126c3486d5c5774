"""What depends on constants only is computed once, now; within a budget of bytes and seconds."""

from __future__ import annotations

import time
from dataclasses import dataclass

from graphc.errors import GraphcError
from graphc.facts import cost
from graphc.folding import folded, value
from graphc.ir import Graph, Node
from graphc.pipeline import graph_pass
from graphc.rewrite import Firings, rewrite_graph
from graphc.types import Type

SMALL_VIEW = 4096
"""Views of constants of more bytes stay views: a copy would take memory and save nothing."""
ADDITIONS_PER_SECOND = 1e9


@graph_pass
def fold(graph: Graph, *, max_bytes: int = 2**24, max_seconds: float = 1.0, firings: Firings | None = None) -> Graph:
    """Replace nodes whose operands are constants by constants; a node whose evaluation fails stays as it is.

    Results of more than `max_bytes` in all are left to run time, and so is what would take more than `max_seconds`.
    """
    budget = _Budget(max_bytes, time.perf_counter() + max_seconds, Firings() if firings is None else firings)
    return rewrite_graph(graph, budget.visit)


@dataclass
class _Budget:
    """The bytes that are left, and when time is up."""

    bytes_left: int
    deadline: float
    firings: Firings

    def visit(self, node: Node) -> Node:
        """The constant that a node is, if the budget has room for it, else the node."""
        if not node.inputs and (node.op.leaf or value(node) is not None):
            return node
        for source in node.inputs:
            if "value" not in source.attrs:
                return node
        return self._fold(node) if self.firings.allowed() and _worthwhile(node) and self._affords(node) else node

    def _affords(self, node: Node) -> bool:
        seconds = self.deadline - time.perf_counter()
        if cost(node) > seconds * ADDITIONS_PER_SECOND:
            self.firings.stopped = f"{node.op.name} : {node.type} was left to run time: no seconds left of max_seconds"
            return False
        if node.type.nbytes > self.bytes_left:
            self.firings.stopped = f"{node.op.name} : {node.type} was left to run time: it passes max_bytes"
            return False
        return True

    def _fold(self, node: Node) -> Node:
        try:
            constant = folded(node)
        except GraphcError as error:
            self.firings.declined[f"{node.op.name}: {error.problem}"] += 1
            return node
        if constant is not node:
            self.firings.record(node.op.name)
            self.bytes_left -= node.type.nbytes
        return constant


def _worthwhile(node: Node) -> bool:
    """Not for views that repeat elements, or that lie on large constants."""
    if not isinstance(node.type, Type) or not node.type.is_static:
        return False
    if not node.op.view:
        return True
    return node.type.nbytes <= min(SMALL_VIEW, sum(source.type.nbytes for source in node.inputs))
