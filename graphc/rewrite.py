"""The driver: applies rules everywhere, bottom-up, in one sweep, within bounds; and rebuilds graphs for other passes.

A rule looks at a node and at what lies below it. So once the nodes below have their final form, a node's own final form
is found by applying rules to it, and to what they make of it, until none fires; and one sweep from the inputs to the
outputs is enough. What rules make is interned, so that equal values stay one node. Where each node went and where it
came from is kept here, never by a rule.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

from graphc.ir import Graph, Node, current_origin
from graphc.op import Op
from graphc.rules import AnyRule, Attempt, NodeRule
from graphc.sweep import Sweep


@dataclass
class Firings:
    """What one pass did: firings by rule, why rules that matched declined, and why the pass stopped early if it did."""

    counts: Counter[str] = field(default_factory=Counter)
    declined: Counter[str] = field(default_factory=Counter)
    stopped: str = ""
    limit: int | None = None
    total: int = 0
    last: str = ""
    """The rule that fired last."""

    def allowed(self) -> bool:
        """Whether another firing fits the limit."""
        return self.limit is None or self.total < self.limit

    def record(self, name: str) -> None:
        """Count one firing."""
        self.counts[name] += 1
        self.total += 1
        self.last = name


class RuleSet:
    """Rules, indexed by the op at the root of their left side and by the ops of its operands."""

    def __init__(self, rules: Sequence[AnyRule]) -> None:
        self.rules = tuple(rules)
        self._index: dict[Signature, Attempts] = {}
        self._of_op: dict[Op, Sequence[AnyRule]] = {}
        self._of_any_op = [one for one in self.rules if isinstance(one, NodeRule)]
        self._matched = {one.pattern.op for one in self.rules if not isinstance(one, NodeRule)}

    @classmethod
    def of(cls, namespace: Mapping[str, Any], *before: AnyRule) -> RuleSet:
        """Some rules of elsewhere, then those that a module declares, in the order of their declaration."""
        declared = [one for one in namespace.values() if isinstance(one, AnyRule) and one not in before]
        return cls([*before, *declared])

    @property
    def strict(self) -> RuleSet:
        """The rules that hold without `fast_math`, some of them under a condition."""
        return RuleSet([part for part in (one.strict for one in self.rules) if part is not None])

    def attempts(self, node: Node) -> Attempts:
        """What may rewrite a node, in the order of the rules, each beside its rule."""
        return self.attempts_at(signature(node))

    def attempts_at(self, key: Signature) -> Attempts:
        """What may rewrite a node of this signature."""
        found = self._index.get(key)
        if found is None:
            op, operands, floats = key
            known = operands if isinstance(operands, tuple) else (None,) * operands
            found = [(one, attempt) for one in self._rules_of(op) if not (floats and one.integers_only)
                     for attempt in one.attempts(op, known)]  # fmt: skip
            self._index[key] = found
        return found

    def _rules_of(self, op: Op) -> Sequence[AnyRule]:
        """The rules that may be about an op."""
        if op not in self._matched:
            return self._of_any_op
        if op not in self._of_op:
            self._of_op[op] = [one for one in self.rules if isinstance(one, NodeRule) or one.pattern.op is op]
        return self._of_op[op]

    def candidates(self, graph: Graph) -> list[tuple[int, Attempts]]:
        """The places of the nodes in a graph that some rule is about, in order, each with what may rewrite it."""
        found = ((places, self.attempts_at(key)) for key, places in signatures(graph).items())
        return sorted([(place, attempts) for places, attempts in found if attempts for place in places], key=_FIRST)


_FIRST = itemgetter(0)
Attempts: TypeAlias = Sequence[tuple[AnyRule, Attempt]]
"""What may rewrite a node, in the order of the rules, each beside its rule."""
Signature: TypeAlias = tuple[Op, tuple[Op, ...] | int, bool]
"""An op, the ops of its operands (or, beyond two, how many there are), and whether its values are floats."""


def signature(node: Node) -> Signature:
    """What rules are looked up by."""
    inputs = node.inputs
    count = len(inputs)
    if count == 2:
        return node.op, (inputs[0].op, inputs[1].op), node.type.is_float
    return node.op, (inputs[0].op,) if count == 1 else count, node.type.is_float


_signatures: WeakKeyDictionary[Graph, dict[Signature, list[int]]] = WeakKeyDictionary()


def signatures(graph: Graph) -> dict[Signature, list[int]]:
    """The signatures in a graph and the places of their nodes; remembered, because most passes find nothing to do and
    leave the graph to the next."""
    known = _signatures.get(graph)
    if known is None:
        known = _signatures[graph] = {}
        for place, key in enumerate(map(signature, graph.nodes)):
            known.setdefault(key, []).append(place)
    return known


def apply_rules(graph: Graph, rules: RuleSet, firings: Firings | None = None) -> Graph:
    """The graph in which no rule fires any more, or the firings that one node may have are used up."""
    candidates = rules.candidates(graph)
    if not candidates:
        return graph
    sweep = Sweep(graph, rules, Firings() if firings is None else firings)
    token = current_origin.set(None)
    try:
        changed = sweep.run(candidates)
    finally:
        current_origin.reset(token)
    return moved_graph(graph, sweep.moved) if changed else graph


def compose(first: Graph, second: Graph) -> Graph:
    """The second of two rewritten graphs, with the map from the nodes before the first."""
    if second is first:
        return first
    moved = {old: second.moved.get(middle, middle) for old, middle in first.moved.items()}
    return Graph(second.inputs, second.outputs, second.name, moved=moved)


def rewrite_graph(graph: Graph, visit: Callable[[Node], Node]) -> Graph:
    """Rebuild a graph bottom-up; `visit` gets each node over its rewritten inputs and returns what stands for it.

    Nodes that nothing changes are kept, and so is a graph that nothing changes. Whatever `visit` makes takes the
    origin of the node it stands for; the new graph's `moved` maps every old node to its new one.
    """
    moved: dict[Node, Node] = {}
    token = current_origin.set(None)
    try:
        for old in graph.nodes:
            node = old
            for source in old.inputs:
                if moved[source] is not source:
                    node = old.with_inputs(tuple([moved[source] for source in old.inputs]))
                    break
            current_origin.set(node.origin)
            moved[old] = visit(node)
    finally:
        current_origin.reset(token)
    return moved_graph(graph, moved)


def moved_graph(graph: Graph, moved: Mapping[Node, Node]) -> Graph:
    """The graph whose nodes went where `moved` says; the same graph where its inputs and outputs stayed."""
    for node in (*graph.inputs, *graph.outputs):
        if moved[node] is not node:
            return Graph([moved[i] for i in graph.inputs], [moved[o] for o in graph.outputs], graph.name, moved=moved)
    return graph
