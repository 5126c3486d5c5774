"""One sweep of rules over a graph: what becomes of each node, within bounds. Why one is enough, `rewrite` says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from graphc.errors import GraphcError
from graphc.facts import cost
from graphc.ir import Bits, Graph, Node, attrs_key
from graphc.rules import Declined

if TYPE_CHECKING:
    from graphc.rewrite import Attempts, Firings, RuleSet

FIRINGS_PER_NODE = 64
"""After so many firings for one node of the old graph, rules leave it as it is, so that a loop among them ends."""

LARGE_CONSTANT = 1024
"""Bytes; of larger constants all are compared only where some are the same."""


class Sweep:
    """One pass of rules over a graph. `final` holds the nodes that have their final form."""

    def __init__(self, graph: Graph, rules: RuleSet, firings: Firings) -> None:
        self.graph = graph
        self.rules = rules
        self.firings = firings
        self.moved: dict[Node, Node] = {}
        self.final: set[Node] = set()
        self.interned: dict[Any, Node] = {}
        """Final forms by key, but for those in `waiting`."""
        self.waiting: list[Node] = []
        """Final forms that no rule has touched. Their keys are made when a rule makes something that may equal one."""
        self.readers: Counter[Node] | None = None
        self._reached = self._noted = 0
        """How many nodes of the graph are final while nothing has fired, and how many of these `final` has."""

    def run(self, candidates: Sequence[tuple[int, Attempts]]) -> bool:
        """Find the final form of every node, inputs first; whether any is new. Rules are about the nodes at the
        `candidates` only, and about what stands for others."""
        nodes = self.graph.nodes
        for position, attempts in candidates:
            self._reached = position
            new = self._attempted(nodes[position], attempts)
            if new is not None:
                self._go_on(position, new, {nodes[place]: attempts for place, attempts in candidates})
                return True
        return False

    def _note_final(self) -> None:
        """Let `final` have all that is."""
        if self._noted < self._reached:
            self.final.update(self.graph.nodes[self._noted : self._reached])
            self._noted = self._reached

    def _go_on(self, position: int, new: Node, candidates: Mapping[Node, Attempts]) -> None:
        """Go through all nodes from the first that a rule has changed."""
        before, old = self.graph.nodes[:position], self.graph.nodes[position]
        self.moved = dict(zip(before, before, strict=True))
        self.waiting += before
        self.moved[old] = self._settle(new, old.name)
        moved = self.moved
        for later in self.graph.nodes[position + 1 :]:
            for source in later.inputs:
                if moved[source] is not source:
                    moved[later] = self._moved_form(later)
                    break
            else:
                attempts = candidates.get(later)
                moved[later] = self._kept_form(later, self._attempted(later, attempts) if attempts else None)
            if self.readers is not None and moved[later] is not later:
                self._read_instead(self.readers, later)

    def _kept_form(self, node: Node, new: Node | None) -> Node:
        """The final form of a node whose inputs stay, of which a rule has perhaps made a new one."""
        if new is not None:
            return self._settle(new, node.name)
        self.final.add(node)
        self.waiting.append(node)
        return node

    def _moved_form(self, old: Node) -> Node:
        """The final form of a node over inputs that have changed."""
        node = old.with_inputs(tuple([self.moved[source] for source in old.inputs]))
        key = node_key(node)
        result = self._known(key)
        if result is None:
            new = self._rewritten(node)
            if new is None:
                result = node
                self.final.add(node)
            else:
                result = self._settle(new, old.name)
            self.interned[key] = result
        return result

    def _known(self, key: Any) -> Node | None:
        """The final form with that key, if there is one."""
        for node in self.waiting:
            self.interned.setdefault(node_key(node), node)
        self.waiting.clear()
        return self.interned.get(key)

    def _settle(self, root: Node, name: str | None) -> Node:
        """The final form of what a rule made, whose inputs may be new as well: depth first, with a stack of its own.

        A node made here takes over the name of the node that it stands for.
        """
        became: dict[Node, Node] = {}
        rewritten: dict[Node, Node] = {}
        made: set[Node] = set()
        final, start, stack = self.final, self.firings.total, [root]
        while stack:
            node = stack[-1]
            if node in final or node in became:
                stack.pop()
            elif node in rewritten:
                became[node] = became.get(rewritten[node], rewritten[node])
                self.interned.setdefault(node_key(_over(node, became)), became[node])
            elif open_inputs := [source for source in node.inputs if source not in final and source not in became]:
                stack += open_inputs
            else:
                rebuilt = _over(node, became)
                known = self._known(node_key(rebuilt))
                new = self._rewritten(rebuilt) if known is None and self._may_fire(start) else None
                if new is not None:
                    rewritten[node] = new
                    stack.append(new)
                    continue
                if known is None:
                    self.interned[node_key(rebuilt)] = known = rebuilt
                    final.add(rebuilt)
                    made.add(rebuilt)
                became[node] = known
        result = became.get(root, root)
        return self._named(result, name) if name is not None and result.name is None and result in made else result

    def _named(self, node: Node, name: str) -> Node:
        named = node.replace(name=name)
        self.final.add(named)
        self.interned[node_key(named)] = named
        return named

    def _may_fire(self, start: int) -> bool:
        if self.firings.total - start < FIRINGS_PER_NODE:
            return True
        self.firings.stopped = (f"stopped after {FIRINGS_PER_NODE} firings for one node, "
                                f"the last being {self.firings.last}")  # fmt: skip
        return False

    def _rewritten(self, node: Node) -> Node | None:
        """What the first rule that applies makes of a node, or None."""
        attempts = self.rules.attempts(node)
        return self._attempted(node, attempts) if attempts else None

    def _attempted(self, node: Node, attempts: Attempts) -> Node | None:
        """What the first of some attempts that succeeds makes of a node, or None."""
        if not self.firings.allowed():
            return None
        for one, attempt in attempts:
            try:
                result = attempt(node)
            except GraphcError as error:
                result = Declined(error.problem)
            if result is None or result is node:
                continue
            if isinstance(result, Node):
                self._note_final()
                if one.kind == "stabilizing" or self._no_worse(node, result):
                    self.firings.record(one.name)
                    return result
                result = Declined("others read what it would replace, so it would add work")
            self.firings.declined[f"{one.name}: {result.reason}"] += 1
        return None

    def _no_worse(self, left: Node, right: Node) -> bool:
        """Whether the nodes that a rule adds cost no more than those that lose their last reader."""
        added, kept = _down_to(right, self.final)
        budget = sum(map(cost, added)) - cost(left)
        if budget <= 0:
            return True
        if self.readers is None:
            self.readers = self._count_readers()
        pending = list(left.inputs)
        while budget > 0 and pending:
            node = pending.pop()
            if node not in kept and self.readers[node] <= 1:
                budget -= cost(node)
                pending += node.inputs
        return budget <= 0

    def _count_readers(self) -> Counter[Node]:
        readers = Counter(source for node in self.graph.nodes for source in node.inputs)
        readers.update(self.graph.outputs)
        for old, new in self.moved.items():
            if new is not old:
                self._read_instead(readers, old)
        return readers

    def _read_instead(self, readers: Counter[Node], old: Node) -> None:
        """Count who reads what a node has become; where that is one of its operands, the node itself does no longer."""
        new = self.moved[old]
        readers[new] += readers[old] - any(self.moved[source] is new for source in old.inputs)


def _down_to(root: Node, final: set[Node]) -> tuple[set[Node], set[Node]]:
    """The new nodes that a root needs, and the final ones right below them."""
    added: set[Node] = set()
    kept: set[Node] = set()
    pending = [root]
    while pending:
        node = pending.pop()
        if node in final:
            kept.add(node)
        elif node not in added:
            added.add(node)
            pending += node.inputs
    return added, kept


def _over(node: Node, became: Mapping[Node, Node]) -> Node:
    """A node over what its inputs became."""
    inputs = tuple([became.get(source, source) for source in node.inputs])
    return node if inputs == node.inputs else node.with_inputs(inputs)


def node_key(node: Node) -> Any:
    """What makes two nodes the same value: op, operands (in any order where that commutes), attributes by bits."""
    if node.op.leaf:
        return node
    value = node.attrs.get("value") if node.attrs else None
    if value is not None and value.nbytes > LARGE_CONSTANT:
        return node.op, Bits(value)
    inputs = node.inputs
    if len(inputs) == 2 and node.op.commutative and id(inputs[1]) < id(inputs[0]):
        inputs = inputs[::-1]
    return (node.op, inputs, attrs_key(node.attrs)) if node.attrs else (node.op, inputs)
