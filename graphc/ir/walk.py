"""Iterative walks over nodes: graphs are deeper than Python's stack."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from graphc.errors import GraphError
from graphc.ir.node import Node


def topological(outputs: Iterable[Node]) -> tuple[Node, ...]:
    """Everything the outputs need, each node after its inputs. Iterative, linear, and the same on every run."""
    order: dict[Node, None] = {}
    opened: set[Node] = set()
    for output in outputs:
        if output in order:
            continue
        opened.add(output)
        path, walks = [output], [iter(output.inputs)]
        while walks:
            for source in walks[-1]:
                if source in order:
                    continue
                if source in opened:
                    raise GraphError("expected a graph without cycles, but this node depends on itself", nodes=[source],
                                     remedy="build nodes through gr.*; they cannot form a cycle")  # fmt: skip
                if source.inputs:
                    opened.add(source)
                    path.append(source)
                    walks.append(iter(source.inputs))
                    break
                order[source] = None
            else:
                walks.pop()
                order[path.pop()] = None
    return tuple(order)


def consumers(nodes: Sequence[Node]) -> dict[Node, list[Node]]:
    """Who reads each of the nodes of a graph, an entry per argument."""
    result: dict[Node, list[Node]] = {node: [] for node in nodes}
    for node in nodes:
        for source in node.inputs:
            result[source].append(node)
    return result


@contextmanager
def collector_paused() -> Iterator[None]:
    """Hold Python's cyclic garbage collector while many nodes are made.

    Graphs have no reference cycles; walking the growing graph again and again doubled the time to build one.
    """
    if not gc.isenabled():
        yield
        return
    try:
        gc.disable()
        yield
    finally:
        gc.enable()
