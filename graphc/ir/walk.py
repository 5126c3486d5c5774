"""Iterative walks over nodes: graphs are deeper than Python's stack."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from graphc.errors import GraphError
from graphc.ir.node import Node


def topological(outputs: Iterable[Node]) -> tuple[Node, ...]:
    """Everything the outputs need, each node after its inputs. Iterative, linear, and the same on every run."""
    order: dict[Node, None] = {}
    opened: set[Node] = set()
    stack = list(outputs)[::-1]
    while stack:
        node = stack[-1]
        if node in order:
            stack.pop()
            continue
        pending = [i for i in node.inputs if i not in order]
        if not pending:
            order[node] = None
            stack.pop()
        elif node in opened:
            raise GraphError("expected a graph without cycles, but this node depends on itself", nodes=[node],
                             remedy="build nodes through gr.*; they cannot form a cycle")  # fmt: skip
        else:
            opened.add(node)
            stack.extend(reversed(pending))
    return tuple(order)


def consumers(nodes: Iterable[Node]) -> dict[Node, list[Node]]:
    """Who reads each node, an entry per argument."""
    result: dict[Node, list[Node]] = {}
    for node in nodes:
        result.setdefault(node, [])
        for source in node.inputs:
            result.setdefault(source, []).append(node)
    return result


@contextmanager
def collector_paused() -> Iterator[None]:
    """Hold Python's cyclic garbage collector while many nodes are made.

    Graphs have no reference cycles; walking the growing graph again and again doubled the time to build one.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
