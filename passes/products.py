"""The order of matrix products: A (B v) for (A B) v, found by dynamic programming. With `fast_math`: rounding changes.

A chain is a tree of products whose inner ones nobody else reads. The order of n factors with the fewest multiplications
comes from the classical O(n³) table (Cormen et al., Introduction to Algorithms, 15.2); longer chains are ordered window
by window.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

from graphc.ir import Graph, Node, consumers, made_by
from graphc.ops import matmul, transpose
from graphc.pipeline import graph_pass
from graphc.rewrite import Firings, RuleSet, apply_rules, compose, moved_graph
from graphc.rules import rule
from graphc.samples import call

LONGEST = 12
"""The number of factors that are ordered at once."""


@rule(kind="fast", samples=[call("f64[3,2]", "f64[4,3]")])
def transpose_of_transposed_product(x, y):
    """(xᵀ yᵀ)ᵀ = y x"""
    product = matmul(transpose(x, axes=(1, 0)), transpose(y, axes=(1, 0)))
    return transpose(product, axes=(1, 0)), matmul(y, x)


RULES = RuleSet.of(globals())


@graph_pass
def products(graph: Graph, *, fast_math: bool = False, firings: Firings | None = None) -> Graph:
    """Compute chains of matrix products in the order with the fewest multiplications."""
    if not fast_math:
        return graph
    firings = Firings() if firings is None else firings
    simplified = apply_rules(graph, RULES, firings)
    ordered = _ordered(simplified, firings)
    return ordered if simplified is graph else compose(simplified, ordered)


def _ordered(graph: Graph, firings: Firings) -> Graph:
    inner = _inner_products(graph)
    moved: dict[Node, Node] = {}
    for old in graph.nodes:
        inputs = tuple([moved[source] for source in old.inputs])
        node = old if inputs == old.inputs else old.with_inputs(inputs)
        if _is_product(old) and old not in inner and firings.allowed():
            node = _reordered(old, node, inner, moved, firings)
        moved[old] = node
    return moved_graph(graph, moved)


def _is_product(node: Node) -> bool:
    """Whether a node multiplies two static matrices, or a matrix and a vector."""
    if node.op is not matmul or not node.type.is_static:
        return False
    ranks = sorted(source.ndim for source in node.inputs)
    return ranks in ([1, 2], [2, 2]) and all(source.dtype == node.dtype for source in node.inputs)


def _inner_products(graph: Graph) -> set[Node]:
    """The products that one product reads and nothing else, as the matrix, the row or the column that they are."""
    readers = consumers(graph.nodes)
    outputs = set(graph.outputs)
    return {node for node in graph.nodes if _is_product(node) and node not in outputs and len(readers[node]) == 1
            and _is_product(readers[node][0]) and _continues(node, readers[node][0])}  # fmt: skip


def _continues(node: Node, reader: Node) -> bool:
    """A vector is a row on the left and a column on the right: one that changes sides ends a chain."""
    side = 0 if reader.inputs[0] is node else 1
    return node.ndim == 2 or node.inputs[side].ndim == 1


def _reordered(old: Node, node: Node, inner: set[Node], moved: dict[Node, Node], firings: Firings) -> Node:
    factors, cost = _factors(old, inner)
    dims = _dims(*factors)
    if len(factors) < 3 or len(set(dims)) == 1:
        return node
    orders = [_in_windows(dims, from_right=from_right) for from_right in (False, True)]
    fewest, order = min(orders, key=lambda pair: pair[0])
    if fewest >= cost:
        return node
    firings.record("order_of_products")
    with made_by(old.origin):
        return _product([moved[factor] for factor in factors], order).replace(name=old.name)


def _factors(root: Node, inner: set[Node]) -> tuple[list[Node], int]:
    """The factors of a chain, from left to right, and the multiplications that its order takes."""
    factors, cost = [], 0
    pending = [root]
    while pending:
        node = pending.pop()
        if node is root or node in inner:
            cost += math.prod(_dims(*node.inputs))
            pending += node.inputs[::-1]
        else:
            factors.append(node)
    return factors, cost


def _dims(*factors: Node) -> list[int]:
    """The sizes between factors: m, k and n of an (m, k) and a (k, n) matrix; a vector at an end counts as 1."""
    first, last = factors[0], factors[-1]
    rows = [1] if first.ndim == 1 else [first.shape[0]]
    inner = [factor.shape[-1] for factor in factors[:-1]]
    return [*rows, *inner, 1 if last.ndim == 1 else last.shape[-1]]


# An order is a tree: a factor's position, or the pair of the orders of two factors.

Order: TypeAlias = Any


def _in_windows(dims: Sequence[int], *, from_right: bool) -> tuple[int, Order]:
    """The multiplications and the order found by ordering a few factors at a time, from one end to the other."""
    orders: list[Order] = list(range(len(dims) - 1))
    sizes, cost = list(dims), 0
    while len(orders) > 1:
        start = max(len(orders) - LONGEST, 0) if from_right else 0
        stop = min(start + LONGEST, len(orders))
        found, order = _cheapest(sizes[start : stop + 1], orders[start:stop])
        cost += found
        orders[start:stop] = [order]
        del sizes[start + 1 : stop]
    return cost, orders[0]


def _cheapest(dims: Sequence[int], orders: Sequence[Order]) -> tuple[int, Order]:
    """The fewest multiplications for a product of a few factors, and their order."""
    best: dict[tuple[int, int], tuple[int, Order]] = {(i, i + 1): (0, order) for i, order in enumerate(orders)}
    for length in range(2, len(orders) + 1):
        for i in range(len(orders) - length + 1):
            j = i + length
            cost, cut = min((best[i, k][0] + best[k, j][0] + dims[i] * dims[k] * dims[j], k) for k in range(i + 1, j))
            best[i, j] = cost, (best[i, cut][1], best[cut, j][1])
    return best[0, len(orders)]


def _product(factors: Sequence[Node], order: Order) -> Node:
    """The product of factors in an order."""
    made: list[Node] = []
    pending: list[Any] = [order]
    while pending:
        part = pending.pop()
        if isinstance(part, tuple):
            pending += [matmul, part[1], part[0]]
        elif part is matmul:
            right, left = made.pop(), made.pop()
            made.append(matmul(left, right))
        else:
            made.append(factors[part])
    return made[0]
