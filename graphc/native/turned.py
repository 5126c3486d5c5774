"""Views that are no views in memory: factors that many products would turn for themselves, and outputs.

An output that is a transposed value is written that way by the kernel that computes it; any other view is copied.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from graphc.ir import Graph, Node, consumers
from graphc.op import OPS
from graphc.types import TupleType

LEAST_PRODUCTS = 4
"""Turning a matrix repays itself when so many products read it."""
MOST_BYTES = 1 << 18
"""Larger ones are turned panel by panel, in the caches of the threads that need the panel."""


def turned(graph: Graph, is_kernel: Callable[[Node], bool]) -> set[Node]:
    """The transposes that are not views, since products read them so often."""
    readers = Counter(node for node in _right_factors(graph, is_kernel) if _is_transpose(node))
    return {node for node, count in readers.items() if count >= LEAST_PRODUCTS}


def _right_factors(graph: Graph, is_kernel: Callable[[Node], bool]) -> Iterator[Node]:
    for node in graph.nodes:
        if node.op is OPS["matmul"]:
            yield node.inputs[1]
        elif is_kernel(node):
            body = node.attrs["body"]
            given = dict(zip(body.inputs, node.inputs, strict=True))
            yield from (given[inner.inputs[1]] for inner in body.nodes if inner.op is OPS["matmul"])


def _is_transpose(node: Node) -> bool:
    return node.op is OPS["transpose"] and node.ndim == 2 and node.type.is_static and node.type.nbytes <= MOST_BYTES


def seen_outputs(graph: Graph) -> set[Node]:
    """The outputs that are views which nothing else reads."""
    readers = consumers(graph.nodes)
    views = (node for node in graph.outputs if node.op.view and not readers[node])
    return {node for node in views if not any(isinstance(each.type, TupleType) for each in (node, *node.inputs))}


def written_turned(graph: Graph, is_kernel: Callable[[Node], bool]) -> dict[Node, Node]:
    """The values of kernels that only a transpose reads, which is an output: by value, the output."""
    readers, results = consumers(graph.nodes), set(graph.outputs)
    found = {}
    for output in seen_outputs(graph):
        source = output.inputs[0]
        only = len(readers[source]) == 1 and source not in results
        if output.op is OPS["transpose"] and only and output.type.is_static and _is_elementwise(source, is_kernel):
            found[source] = output
    return found


def _is_elementwise(node: Node, is_kernel: Callable[[Node], bool]) -> bool:
    """Whether a kernel without reductions and products computes a value."""
    made = node.inputs[0] if node.op is OPS["item"] else node
    if not is_kernel(made) or (made is node and isinstance(node.type, TupleType)):
        return False
    if not made.inputs or not node.type.nbytes:
        return False
    return not any(inner.op.reduction or inner.op.blas for inner in made.attrs["body"].nodes)
