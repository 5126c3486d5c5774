"""Common subexpressions: equal nodes become one."""

from __future__ import annotations

from typing import Any

from graphc.ir import Graph, Node
from graphc.pipeline import graph_pass
from graphc.rewrite import moved_graph
from graphc.sweep import node_key


@graph_pass
def cse(graph: Graph) -> Graph:
    """Merge nodes with the same op, operands (in any order where that commutes) and attributes (compared by bits)."""
    table: dict[Any, Node] = {}
    moved: dict[Node, Node] = {}
    for old in graph.nodes:
        node = old
        for source in old.inputs:
            if moved[source] is not source:
                node = old.with_inputs(tuple([moved[source] for source in old.inputs]))
                break
        moved[old] = node if node.op.leaf else table.setdefault(node_key(node), node)
    return moved_graph(graph, moved)
