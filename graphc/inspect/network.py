"""Graphs for networkx."""

from __future__ import annotations

from typing import Any

from graphc.ir import Graph
from graphc.text.names import value_names


def to_networkx(graph: Graph) -> Any:
    """The graph as a `networkx.MultiDiGraph`: a node for each value, under its printed name, an edge for each argument.

    Nodes have `op`, `type`, `name` (the user's, or ''), `level` and `where` (the user's line); edges have `argument`.
    """
    import networkx

    result = networkx.MultiDiGraph(name=graph.name or "")
    names = value_names(graph.nodes)
    for level, nodes in enumerate(graph.levels()):
        for node in nodes:
            result.add_node(names[node], op=node.op.name, type=str(node.type), name=node.name or "", level=level,
                            where=node.origin.where())  # fmt: skip
    for node in graph.nodes:
        for argument, source in enumerate(node.inputs):
            result.add_edge(names[source], names[node], argument=argument)
    return result
