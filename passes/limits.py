"""Products that constant masks leave little of: what is zero, or what nobody reads, need not be computed.

Behind a causal mask half of a matrix of attention weights is zero, and half of the scores is read by nobody. A product
with such a matrix becomes a `matmul_within` that knows from where to where each row and column is of use. Leaving the
rest out changes nothing while all numbers are finite; whether they are is computed along, and if not, so is everything.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache, reduce
from typing import Any

import numpy as np

from graphc import ops
from graphc.ir import Graph, Node, consumers, current_origin
from graphc.masks import Condition, Known, Masks, Read, turns
from graphc.ops.core import constant
from graphc.ops.fused import matmul_within
from graphc.pipeline import graph_pass
from graphc.regions import ranges
from graphc.rewrite import moved_graph

LEAST = 64
"""Matrices with fewer rows, columns or terms are not cut into blocks, ..."""
LEAST_WORK = 1e7
"""... and products of fewer operations do not repay the conditions."""
MOST_LEFT = 0.8
"""Nor are products of which more than this share is left."""


@graph_pass
def limits(graph: Graph, *, fusible: Callable[[Node], bool] | None = None) -> Graph:
    """Limit products to what masks leave of them, for a backend that has kernels."""
    masks = Masks(graph) if fusible is not None and any(node.op is ops.matmul for node in graph.nodes) else None
    return graph if masks is None or not masks.known else _Limits(masks).run()


@dataclass
class _Limits:
    """Rewrites a graph; `checks` holds the conditions written so far."""

    masks: Masks
    moved: dict[Node, Node] = field(default_factory=dict)
    checks: dict[Any, Node] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.readers = consumers(self.masks.graph.nodes)
        self.ranges = cache(ranges)

    def run(self) -> Graph:
        graph = self.masks.graph
        token = current_origin.set(None)
        try:
            for node in graph.nodes:
                current_origin.set(node.origin)
                inputs = tuple(self.moved[source] for source in node.inputs)
                limited = self._limited(node) if node.op is ops.matmul else self._turned(node)
                kept = node if inputs == node.inputs else node.with_inputs(inputs)
                self.moved[node] = kept if limited is None else limited
        finally:
            current_origin.reset(token)
        return moved_graph(graph, self.moved)

    def _limited(self, node: Node) -> Node | None:
        """What takes the place of a product, if enough of it can be left out."""
        a, b = node.inputs
        read = self.masks.read.get(node)
        zero_a, zero_b = (self._zeros(source) for source in (a, b))
        if read is None or not _is_large(node):
            return None
        rows = None if zero_a is None else self.ranges(~zero_a.region)
        columns = None if zero_b is None else self.ranges(~zero_b.region.T)
        wanted = None if read.region.is_all() else self.ranges(read.region)
        left = _share(rows, a.shape[-1]) * _share(columns, b.shape[-2]) * _share(wanted, node.shape[-1])
        if left > MOST_LEFT:
            return None
        checks = [*self._of_zeros(zero_a, b), *self._of_zeros(zero_b, a), *self._of_reading(read, node)]
        exact = reduce(ops.logical_and, dict.fromkeys(checks)) if checks else constant(np.True_)
        inputs = (self.moved[a], self.moved[b], exact)
        return matmul_within.make(inputs, {"rows": rows, "columns": columns, "read": wanted})

    def _turned(self, node: Node) -> Node | None:
        """The transpose of a product that nobody else reads, as a product: so nothing is copied to be an output."""
        product = self.moved[node.inputs[0]] if node.op is ops.transpose and turns(node) else None
        if product is None or product.op is not matmul_within or self.readers[node.inputs[0]] != [node]:
            return None
        a, b, exact = product.inputs
        if product.attrs["read"] is not None or a.ndim != b.ndim:
            return None
        attrs = {"rows": product.attrs["columns"], "columns": product.attrs["rows"], "read": None}
        return matmul_within.make((ops.swapaxes(b, -1, -2), ops.swapaxes(a, -1, -2), exact), attrs)

    def _zeros(self, node: Node) -> Known | None:
        known = self.masks.known.get(node)
        return known if known is not None and known.value == 0 else None

    def _of_zeros(self, zeros: Known | None, other: Node) -> Iterable[Node]:
        """Zeros times what is finite are zeros."""
        if zeros is None:
            return []
        return [*map(self._holds, zeros.conditions), self._once(("finite", other), lambda: self._is_finite(other))]

    def _of_reading(self, read: Read, node: Node) -> Iterable[Node]:
        checks = list(map(self._holds, read.conditions))
        return [*checks, self._once(("bounded", node), lambda: self._is_bounded(node))] if read.finite else checks

    def _holds(self, condition: Condition) -> Node:
        def write() -> Node:
            node = condition.node
            inputs = [self.moved[source] if number is None else constant(source.dtype.type(number))
                      for source, number in zip(node.inputs, condition.known, strict=True)]  # fmt: skip
            return ops.all(ops.equal(node.op.make(tuple(inputs), node.attrs), node.dtype.type(condition.value)))

        return self._once(condition, write)

    def _is_finite(self, node: Node) -> Node:
        return ops.isfinite(self._largest(node))

    def _is_bounded(self, node: Node) -> Node:
        """Whether no element of a product can overflow."""
        a, b = node.inputs
        terms = node.dtype.type(2 * a.array_type.static_shape[-1])
        return ops.isfinite(self._largest(a) * self._largest(b) * terms)

    def _largest(self, node: Node) -> Node:
        """The largest magnitude of all elements, NaN where one is."""
        while node.op in (ops.transpose, ops.reshape):
            node = node.inputs[0]
        return self._once(("largest", node), lambda: ops.max(ops.abs(self.moved[node])))

    def _once(self, key: Any, write: Callable[[], Node]) -> Node:
        if key not in self.checks:
            self.checks[key] = write()
        return self.checks[key]


def _is_large(product: Node) -> bool:
    a, b = (source.array_type.static_shape for source in product.inputs)
    matrices = len(a) > 1 and len(b) > 1 and min(*a[-2:], b[-1]) >= LEAST
    return matrices and 2 * math.prod(product.array_type.static_shape) * a[-1] >= LEAST_WORK


def _share(limits: Any, size: Any) -> float:
    return 1.0 if limits is None else float((limits[:, 1] - limits[:, 0]).mean() / size)
