"""Products that belong together become one: A₁ B, A₂ B, … one over stacked rows; A₁ B₁ + A₂ B₂ + … one over stacked k.

An unrolled loop multiplies the same weights in every step, and adds up a derivative of them from every step. One
product of many rows runs faster than many of a few rows, and on several threads; one over all steps adds up in
registers what the steps would pass through memory. Each element is the same sum of products; its order, which no
product promises, may change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from graphc import ops
from graphc.ir import Graph, Node, consumers, made_by
from graphc.op import OPS
from graphc.ops import getitem, matmul, transpose
from graphc.pipeline import graph_pass
from graphc.rewrite import Firings, moved_graph

CONCATENATE = OPS["concatenate"]
MOST_WORK = 1 << 21
"""A product of more multiplications keeps a core busy by itself: stacking would only copy."""
Groups: TypeAlias = dict[Node, list[Node]]
COLUMNS = 32
"""Rows that are copied to be stacked must be multiplied by so many columns."""


@graph_pass(kind="stabilizing")
def batch_products(graph: Graph, *, firings: Firings | None = None) -> Graph:
    """Stack small products that share a matrix, and those that are added up."""
    if not any(node.op is matmul for node in graph.nodes):
        return graph
    return _Batching(graph, Firings() if firings is None else firings).run()


class _Batching:
    """Rebuilds a graph. `depth` counts the products on the way to a node: those equally deep are independent."""

    def __init__(self, graph: Graph, firings: Firings) -> None:
        self.graph, self.firings = graph, firings
        self.moved: dict[Node, Node] = {}
        self.depth: dict[Node, int] = {}
        for node in graph.nodes:
            self.depth[node] = max((self.depth[source] for source in node.inputs), default=0) + (node.op is matmul)

    def run(self) -> Graph:
        sums, groups = self._sums(), self._groups()
        sums = {node: kept for node, terms in sums.items()
                if len(kept := [term for term in terms if len(groups.get(term, ())) < len(terms)]) > 1}  # fmt: skip
        summed = {term for terms in sums.values() for term in terms}
        stacks = {node: left for node, group in groups.items() if node not in summed
                  and len(left := [other for other in group if other not in summed]) > 1}  # fmt: skip
        sums, stacks = self._allowed(sums, stacks)
        if not sums and not stacks:
            return self.graph
        for node in sorted(self.graph.nodes, key=lambda node: (self.depth[node], node.op is not matmul)):
            if node not in stacks and node not in sums:
                self.moved[node] = self._kept(node)
            elif node not in self.moved:
                with made_by(node.origin):
                    if node in stacks:
                        self._stack(stacks[node])
                    else:
                        self.moved[node] = self._sum(node, sums[node])
        return moved_graph(self.graph, self.moved)

    def _kept(self, node: Node) -> Node:
        inputs = tuple([self.moved[source] for source in node.inputs])
        return node if inputs == node.inputs else node.with_inputs(inputs)

    def _allowed(self, sums: Groups, stacks: Groups) -> tuple[Groups, Groups]:
        """As many groups as the pass may make."""
        kept: tuple[Groups, Groups] = {}, {}
        names = ("sum_of_products", "products_of_one_matrix")
        for groups, chosen, name in zip((sums, stacks), kept, names, strict=True):
            for node, group in groups.items():
                if group[0] not in chosen:
                    if not self.firings.allowed():
                        return kept
                    self.firings.record(name)
                chosen |= dict.fromkeys([node] if groups is sums else group, group)
        return kept

    def _groups(self) -> Groups:
        """For each product those that may be stacked: they have its right factor, and do not depend on each other."""
        groups: dict[tuple[Node, int], list[Node]] = {}
        for node in self.graph.nodes:
            if is_small(node):
                groups.setdefault((node.inputs[1], self.depth[node]), []).append(node)
        repaid = [by_slices(group) for group in groups.values() if len(group) > 1 and _repays_stacking(group)]
        return {node: group for group in repaid for node in group}

    def _sums(self) -> Groups:
        """The terms of each sum that may become one. Sums over the same right factors take them in one order."""
        readers, outputs = consumers(self.graph.nodes), set(self.graph.outputs)

        def terms(node: Node, wanted: Callable[[Node], bool]) -> list[Node]:
            found = [term for term in node.inputs if wanted(term) and term.type == node.type
                     and len(readers[term]) == 1 and term not in outputs]  # fmt: skip
            return found if 1 < len(found) == len({term.inputs[-1] for term in found}) else []

        adding = [node for node in self.graph.nodes if node.op in (ops.add, ops.add_n)]
        sums = {node: found for node in adding if (found := terms(node, _is_worth_joining))}
        order: dict[frozenset[Node], dict[Node, int]] = {}
        for found in sorted(sums.values(), key=lambda found: _slices([term.inputs[0] for term in found]) is None):
            factors = [term.inputs[1] for term in by_slices(found)]
            order.setdefault(frozenset(factors), {factor: at for at, factor in enumerate(factors)})
        columns = {node: found for node in adding if node not in sums and (found := terms(node, _is_column_sum))}
        joined: Groups = {}
        for node, found in (*sums.items(), *columns.items()):
            place = order.get(frozenset(term.inputs[-1] for term in found))
            if place is not None:
                joined[node] = sorted(found, key=lambda term: place[term.inputs[-1]])
        return joined

    def _sum(self, node: Node, terms: Sequence[Node]) -> Node:
        """A sum over other terms, and one product, or one sum of columns, in place of several."""
        others = [self.moved[term] for term in node.inputs if term not in terms]
        below = CONCATENATE(*[self.moved[term.inputs[-1]] for term in terms], axis=0)
        if terms[0].op is ops.sum:
            total = terms[0].op.make((below,), terms[0].attrs)
        else:
            total = matmul(self._side_by_side([self.moved[term.inputs[0]] for term in terms]), below)
        return (ops.add_n(*others, total) if others else total).replace(name=node.name)

    def _side_by_side(self, factors: Sequence[Node]) -> Node:
        """Left factors as one; transposes are stacked as what they are of, which is copied by whole rows."""
        turned = [_turned(factor) for factor in factors]
        stacked = [factor for factor in turned if factor is not None]
        if len(stacked) < len(factors):
            return CONCATENATE(*factors, axis=1)
        return transpose(CONCATENATE(*stacked, axis=0), axes=(1, 0))

    def _stack(self, group: Sequence[Node]) -> None:
        """One product over the rows of a group, and for each member its rows of it."""
        left = [self.moved[node.inputs[0]] for node in group]
        product = matmul(CONCATENATE(*left, axis=0), self.moved[group[0].inputs[1]])
        start = 0
        for node, factor in zip(group, left, strict=True):
            stop = start + factor.array_type.static_shape[0]
            self.moved[node] = getitem(product, index=((start, stop, 1),)).replace(name=node.name)
            start = stop


def _turned(factor: Node) -> Node | None:
    """What a factor is the transpose of, or None where that would have to be computed; one number has any shape."""
    if factor.op is transpose:
        return factor.inputs[0]
    if factor.op is ops.broadcast_to and not factor.inputs[0].ndim:
        return ops.broadcast_to(factor.inputs[0], factor.array_type.static_shape[::-1])
    return None


def is_small(node: Node) -> bool:
    """Whether a node multiplies two static float matrices with little work."""
    if node.op is not matmul or not node.type.is_float or not all(one.type.is_static for one in (node, *node.inputs)):
        return False
    if any(source.ndim != 2 or source.dtype != node.dtype for source in node.inputs):
        return False
    (m, k), n = node.inputs[0].array_type.static_shape, node.array_type.static_shape[1]
    return 0 < m * k * n <= MOST_WORK


def _is_column_sum(node: Node) -> bool:
    """Whether a node adds up the rows of a static float matrix."""
    fits = node.op is ops.sum and node.type.is_static and node.type.is_float and node.attrs["axis"] == (0,)
    return fits and node.inputs[0].ndim == 2 and node.inputs[0].dtype == node.dtype


def _is_worth_joining(node: Node) -> bool:
    """Whether a product is small, and copying both factors costs less than passing it through memory."""
    if not is_small(node):
        return False
    (m, k), n = node.inputs[0].array_type.static_shape, node.array_type.static_shape[1]
    return k * (m + n) <= 3 * m * n


def _repays_stacking(group: Sequence[Node]) -> bool:
    """Whether left factors lie together already, or are copied for many columns."""
    return group[0].array_type.static_shape[1] >= COLUMNS or _slices([node.inputs[0] for node in group]) is not None


def by_slices(terms: Sequence[Node]) -> list[Node]:
    """Products in the order of the slices that their left factors take from one array, if they do."""
    starts = _slices([term.inputs[0] for term in terms])
    if starts is None:
        return list(terms)
    return [term for _, term in sorted(zip(starts, terms, strict=True), key=lambda pair: pair[0])]


def _slices(factors: Iterable[Node]) -> list[int] | None:
    """Where factors, or what they are transposes of, begin along the first axis of the one array that they are of."""
    bare = [factor.inputs[0] if factor.op is transpose else factor for factor in factors]
    if any(node.op is not getitem or node.inputs[0] is not bare[0].inputs[0] for node in bare):
        return None
    first = [node.attrs["index"][:1] for node in bare]
    starts = [part[0] if isinstance(part, tuple) else part for parts in first for part in parts]
    return starts if len(starts) == len(bare) and all(isinstance(start, int) for start in starts) else None
