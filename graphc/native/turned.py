"""Transposed factors that many products read are turned in memory once: each product would turn them for itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from graphc.ir import Graph, Node
from graphc.op import OPS

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
