"""Common subexpressions: equal nodes become one."""

from __future__ import annotations

from typing import Any

from graphc.ir import Graph, Node
from graphc.pipeline import graph_pass
from graphc.rewrite import rewrite_graph
from graphc.sweep import node_key


@graph_pass
def cse(graph: Graph) -> Graph:
    """Merge nodes with the same op, operands (in any order where that commutes) and attributes (compared by bits)."""
    table: dict[Any, Node] = {}

    def visit(node: Node) -> Node:
        return node if node.op.leaf else table.setdefault(node_key(node), node)

    return rewrite_graph(graph, visit)
