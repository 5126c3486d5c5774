"""Rewriting: rules as pairs of left and right, and the bounded driver that applies them.

    @rule
    def neg_neg(x):
        "Two negations cancel."
        return -(-x), x

A rule is called once with holes, which makes the pattern, and again with the nodes that matched, which makes the
replacement in the user's own operators. Parameters after `*` stand for attributes; a right side that computes with
them is a function, called only when the left side has matched: `return transpose(transpose(x, axes=a), axes=b),
lambda: transpose(x, axes=compose(a, b))`. It may return a `Declined` with the reason.
"""

from __future__ import annotations

import inspect
import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from graphc.errors import CompileError, GraphcError
from graphc.ir import Graph, Node, attrs_key, current_origin, freeze
from graphc.op import Hole, Op
from graphc.operators import Operators
from graphc.samples import Call

RuleKind = Literal["exact", "stabilizing", "fast"]


class Anything(Operators, Hole):
    """A hole that matches any value; the same hole twice matches the same node twice."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def apply(self, op: Op, args: Sequence[Any], attrs: Mapping[str, Any]) -> Pattern:
        return Pattern(op, tuple(args), dict(attrs))

    def __repr__(self) -> str:
        return self.name


class Pattern(Anything):
    """An op applied to patterns, holes and numbers."""

    __slots__ = ("attrs", "op", "operands")

    def __init__(self, op: Op, operands: tuple[Any, ...], attrs: dict[str, Any]) -> None:
        super().__init__(op.name)
        self.op = op
        self.operands = operands
        self.attrs = attrs

    def __repr__(self) -> str:
        parts = [*map(repr, self.operands), *(f"{name}={value!r}" for name, value in self.attrs.items())]
        return f"{self.op.name}({', '.join(parts)})"


@dataclass(frozen=True)
class AttributeHole:
    """A hole that matches any attribute value."""

    name: str


@dataclass(frozen=True)
class Declined:
    """Why a rule whose left side matched does not apply after all."""

    reason: str


@dataclass(frozen=True, eq=False)
class Rule:
    """One identity. `exact` holds bit for bit; `stabilizing` is closer to the true value; `fast` holds for reals."""

    name: str
    kind: RuleKind
    body: Callable[..., Any]
    pattern: Pattern
    holes: tuple[Anything, ...]
    when: Callable[..., bool] | None
    samples: tuple[Call, ...]
    doc: str

    def variants(self) -> Iterator[Pattern]:
        """The left side with the operands of commutative ops in every order."""
        yield from _orders(self.pattern)

    def apply(self, node: Node, binding: Mapping[str, Any]) -> Node | Declined:
        """The right side for the nodes that matched."""
        if self.when is not None and not self.when(**binding):
            return Declined("its condition does not hold")
        right = self.body(**binding)[1]
        if callable(right) and not isinstance(right, Node):
            right = right()
        if isinstance(right, Declined):
            return right
        if not isinstance(right, Node):
            right = _as_constant(right, node)
        if right.type != node.type:
            return Declined(f"its right side has type {right.type}, its left side {node.type}")
        return right


def _as_constant(value: Any, node: Node) -> Node:
    from graphc.ops.core import full_like

    return full_like(node, value)


def rule(body: Callable[..., Any] | None = None, *, kind: RuleKind = "exact", when: Callable[..., bool] | None = None,
         samples: Sequence[Call] = ()) -> Any:  # fmt: skip
    """Declare a rule from a function that returns left and right. `when` gets the holes and may refuse."""

    def declare(function: Callable[..., Any]) -> Rule:
        parameters = inspect.signature(function).parameters.values()
        holes = tuple(Anything(p.name) for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD)
        attributes = {p.name: AttributeHole(p.name) for p in parameters if p.kind is p.KEYWORD_ONLY}
        left = function(*holes, **attributes)[0]
        if not isinstance(left, Pattern):
            raise CompileError(f"the left side of rule {function.__name__} is {left!r}, which is no op of its parameters")
        return Rule(function.__name__, kind, function, left, holes, when, tuple(samples), inspect.getdoc(function) or "")

    return declare(body) if body is not None else declare


def _orders(pattern: Any) -> Iterator[Any]:
    if not isinstance(pattern, Pattern):
        yield pattern
        return
    for operands in itertools.product(*(list(_orders(operand)) for operand in pattern.operands)):
        yield Pattern(pattern.op, operands, pattern.attrs)
        if pattern.op.commutative and len(operands) == 2 and operands[0] is not operands[1]:
            yield Pattern(pattern.op, operands[::-1], pattern.attrs)


def match(pattern: Any, node: Node) -> dict[str, Any] | None:
    """The binding of holes under which a pattern is this node, or None."""
    binding: dict[str, Any] = {}
    pending: list[tuple[Any, Node]] = [(pattern, node)]
    while pending:
        part, value = pending.pop()
        if isinstance(part, Pattern):
            if value.op is not part.op or len(part.operands) != len(value.inputs) or not _attrs_match(part, value, binding):
                return None
            pending.extend(zip(part.operands, value.inputs, strict=True))
        elif isinstance(part, Anything):
            if binding.setdefault(part.name, value) is not value:
                return None
        elif not _is_number(value, part):
            return None
    return binding


def _is_number(node: Node, number: Any) -> bool:
    from graphc.ops.core import is_constant

    return is_constant(node, number)


def _attrs_match(pattern: Pattern, node: Node, binding: dict[str, Any]) -> bool:
    for name, expected in pattern.attrs.items():
        actual = node.attrs.get(name)
        if isinstance(expected, AttributeHole):
            if freeze(binding.setdefault(expected.name, actual)) != freeze(actual):
                return False
        elif freeze(expected) != freeze(actual):
            return False
    return True


@dataclass
class Firings:
    """What a set of rules did in one pass: firings by rule, and why rules that matched declined."""

    counts: Counter[str] = field(default_factory=Counter)
    declined: Counter[str] = field(default_factory=Counter)
    stopped: str = ""
    """Why the driver stopped early, or ''."""
    limit: int | None = None
    last: str = ""

    def allowed(self) -> bool:
        """Whether another firing fits the limit."""
        return self.limit is None or self.counts.total() < self.limit

    def record(self, name: str) -> None:
        """Count one firing."""
        self.counts[name] += 1
        self.last = name


class RuleSet:
    """Rules indexed by the op at the root of their left side."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules = tuple(rules)
        self._by_op: dict[Op, list[tuple[Rule, Pattern]]] = {}
        for one in rules:
            for pattern in one.variants():
                self._by_op.setdefault(pattern.op, []).append((one, pattern))

    def candidates(self, op: Op) -> Sequence[tuple[Rule, Pattern]]:
        """The rules, with each order of their patterns, that can match a node of this op."""
        return self._by_op.get(op, ())

    def rewrite(self, node: Node, firings: Firings) -> Node | None:
        """What the first rule that applies makes of a node, or None."""
        for one, pattern in self._by_op.get(node.op, ()):
            binding = match(pattern, node)
            if binding is None:
                continue
            current_origin.set(node.origin)
            try:
                result = one.apply(node, binding)
            except GraphcError as error:
                result = Declined(error.problem)
            if isinstance(result, Declined):
                firings.declined[f"{one.name}: {result.reason}"] += 1
            elif result is not node:
                firings.record(one.name)
                return result
        return None


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
            moved[old] = _keep_name(visit(node), node)
    finally:
        current_origin.reset(token)
    return moved_graph(graph, moved)


def moved_graph(graph: Graph, moved: Mapping[Node, Node]) -> Graph:
    """The graph over moved nodes, or the same graph where no input or output moved."""
    kept = (*graph.inputs, *graph.outputs)
    if all(moved[node] is node for node in kept):
        return graph
    return Graph([moved[i] for i in graph.inputs], [moved[o] for o in graph.outputs], graph.name, moved=moved)


def _keep_name(new: Node, old: Node) -> Node:
    """A node made to replace a named one takes over its name."""
    if old.name is None or new.name is not None or new.origin is not old.origin:
        return new
    return new.replace(name=old.name)


MAX_SWEEPS = 12
MAX_FIRINGS_PER_NODE = 4


def apply_rules(graph: Graph, rules: RuleSet, firings: Firings | None = None) -> Graph:
    """Apply rules everywhere, bottom-up, in sweeps until none fires; bounded in sweeps, and in firings on one node."""
    firings = Firings() if firings is None else firings

    def visit(node: Node) -> Node:
        for _ in range(MAX_FIRINGS_PER_NODE):
            result = rules.rewrite(node, firings) if firings.allowed() else None
            if result is None:
                break
            node = result
        return node

    start = graph
    for _ in range(MAX_SWEEPS):
        before = firings.counts.total()
        swept = rewrite_graph(graph, visit)
        graph = swept if graph is start else compose(graph, swept)
        if firings.counts.total() == before:
            return graph
    firings.stopped = f"stopped after {MAX_SWEEPS} sweeps, the last rule being {firings.last}"
    return graph


def compose(first: Graph, second: Graph) -> Graph:
    """The second of two rewritten graphs, with the map from the nodes before the first."""
    if second is first:
        return first
    moved = {old: second.moved.get(middle, middle) for old, middle in first.moved.items()}
    return Graph(second.inputs, second.outputs, second.name, moved=moved)


def node_key(node: Node) -> tuple[Any, ...]:
    """What makes two nodes the same value: op, operands (in any order where that commutes), attributes by bits."""
    operands = frozenset(node.inputs) if node.op.commutative and len(node.inputs) == 2 else node.inputs
    return (node.op, operands, attrs_key(node.attrs)) if node.attrs else (node.op, operands)
