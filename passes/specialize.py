"""Symbols become integers, so that every later pass and backend sees static shapes."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from graphc.errors import GraphcError, ShapeError
from graphc.ir import Graph, Node
from graphc.pipeline import graph_pass
from graphc.rewrite import moved_graph
from graphc.types import substitute


@graph_pass(raises=(ShapeError,))
def specialize(graph: Graph, *, sizes: Mapping[str, int] | None = None) -> Graph:
    """Replace symbolic dims by the sizes that the feed has, in placeholders and in attributes, and infer types anew.

    Raises ShapeError where two sizes that the declaration took as equal are not.
    """
    if not sizes:
        return graph
    moved: dict[Node, Node] = {}
    for node in graph.nodes:
        moved[node] = _specialized(node, tuple([moved[source] for source in node.inputs]), sizes)
    return moved_graph(graph, moved)


def _specialized(node: Node, inputs: tuple[Node, ...], sizes: Mapping[str, int]) -> Node:
    if node.type.is_static and inputs == node.inputs:
        return node
    if node.op.leaf:
        return node.replace(type=node.type.substitute(sizes))
    attrs = MappingProxyType({name: substitute(value, sizes) for name, value in node.attrs.items()})
    try:
        actual = node.op.infer_type(inputs, attrs)
    except GraphcError as error:
        raise error.about([node, *inputs]) from None
    declared = node.type.substitute(sizes)
    if actual != declared:
        known = ", ".join(f"{name} = {size}" for name, size in sizes.items())
        raise ShapeError(f"{node.op.name} was declared as {node.type}, which is {declared} with {known}, "
                         f"but it is {actual}", nodes=[node, *inputs],
                         remedy="feed arrays whose sizes agree")  # fmt: skip
    return node.replace(inputs=inputs, attrs=attrs, type=actual)
