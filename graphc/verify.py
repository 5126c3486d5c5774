"""What must hold of every graph, checked after each pass in tests and with debug=True."""

from __future__ import annotations

from collections.abc import Iterable

from graphc.errors import GraphcError, GraphError
from graphc.ir import Graph, Node
from graphc.operators import OPS


def verify(graph: Graph) -> None:
    """Raise GraphError unless the graph is well formed: order, ops, types, leaves, names; graphs in attributes too."""
    pending = [graph]
    while pending:
        current = pending.pop()
        _check_order(current)
        for node in current.nodes:
            _check_node(node)
            pending.extend(value for value in node.attrs.values() if isinstance(value, Graph))
        check_names(current.nodes)


def _check_order(graph: Graph) -> None:
    seen: set[Node] = set()
    for node in graph.nodes:
        for source in node.inputs:
            if source not in seen:
                raise GraphError("expected every node after its inputs", nodes=[node, source])
        seen.add(node)
    for output in (*graph.inputs, *graph.outputs):
        if output not in seen:
            raise GraphError("expected inputs and outputs to be nodes of the graph", nodes=[output])


def _check_node(node: Node) -> None:
    if OPS.get(node.op.name) is not node.op:
        raise GraphError(f"expected an op of the registry, got {node.op!r}", nodes=[node],
                         remedy="declare it with @gr.primitive")  # fmt: skip
    if node.op.leaf:
        return
    try:
        node.op.check_operands(node.inputs)
        inferred = node.op.infer(*[source.type for source in node.inputs], **node.attrs)
    except GraphcError as error:
        raise GraphError(f"expected {node.op.name} to accept its inputs: {error.problem}",
                         nodes=[node, *node.inputs]) from None  # fmt: skip
    if inferred != node.type:
        raise GraphError(f"expected {node.op.name} to have type {inferred}, it says {node.type}",
                         nodes=[node, *node.inputs])  # fmt: skip


def check_names(nodes: Iterable[Node]) -> None:
    """Raise GraphError where two placeholders or variables share a name: feeds by name would be ambiguous."""
    owner: dict[str | None, Node] = {}
    for node in nodes:
        if node.op.leaf and node.name is not None and owner.setdefault(node.name, node) is not node:
            raise GraphError(f"expected one placeholder or variable called {node.name}, got two", remedy="rename one, "
                             "or declare it inside `with gr.scope(...)`", nodes=[owner[node.name], node])  # fmt: skip
