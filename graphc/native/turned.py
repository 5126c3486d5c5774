"""Views that are no views in memory: factors that many products would turn for themselves, and outputs.

An output that is a transposed value is written that way by the kernel that computes it; any other view is copied. So is
what a product computes, where its transpose is wanted in a row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from graphc.ir import Graph, Node, consumers
from graphc.native.strides import c_order
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


def written_turned(graph: Graph, is_kernel: Callable[[Node], bool],
                   is_product: Callable[[Node], bool]) -> dict[Node, Node]:  # fmt: skip
    """The values that only a transpose reads, by value, the transpose: of kernels where it is an output, of products
    where its elements are wanted in a row."""
    readers, results, outputs = consumers(graph.nodes), set(graph.outputs), seen_outputs(graph)

    def is_written(source: Node, node: Node) -> bool:
        if len(readers[source]) > 1 or source in results:
            return False
        if node in results:
            return node in outputs and _is_elementwise(source, is_kernel)
        in_a_row = bool(readers[node]) and all(each.op is OPS["reshape"] for each in readers[node])
        return in_a_row and is_product(source) and has_rows(node, source)

    transposes = (node for node in graph.nodes if node.op is OPS["transpose"] and node.type.is_static)
    return {node.inputs[0]: node for node in transposes if is_written(node.inputs[0], node)}


def has_rows(view: Node, node: Node) -> bool:
    """Whether neighbours in what is seen of a product are neighbours in its rows or columns, and written as vectors."""
    shape = view.array_type.static_shape
    seen = as_strided(np.empty(1, np.int8), shape, c_order(shape))
    return 1 in below(view, node, seen).strides[-2:]


def below(view: Node, node: Node, seen: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """A node's value, of which an array is seen by transposes and reshapes that move nothing but axes of size 1."""
    while view is not node:
        (source,) = view.inputs
        turned = seen.transpose(np.argsort(view.attrs["axes"])) if "axes" in view.attrs else seen
        view, seen = source, turned.reshape(source.array_type.static_shape)
    return seen


def _is_elementwise(node: Node, is_kernel: Callable[[Node], bool]) -> bool:
    """Whether a kernel without reductions and products computes a value."""
    made = node.inputs[0] if node.op is OPS["item"] else node
    if not is_kernel(made) or (made is node and isinstance(node.type, TupleType)):
        return False
    if not made.inputs or not node.type.nbytes:
        return False
    return not any(inner.op.reduction or inner.op.blas for inner in made.attrs["body"].nodes)
