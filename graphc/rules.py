"""Rules: an identity written as its left and its right side, in the user's own operators.

    @rule
    def neg_neg(x):
        "−(−x) = x"
        return -(-x), x

A rule's function is called once with holes, which makes the pattern, and again with the nodes that matched, which
makes the replacement. Parameters after `*` stand for attributes, and `*terms` for all operands of an op that takes any
number. A right side that computes is a function, called only after a match: `return transpose(transpose(x, axes=a),
axes=b), lambda: transpose(x, axes=compose(a, b))`; it may return a `Declined` with the reason. What no pattern can say,
because it holds for a whole class of ops, is a `@node_rule`: a function of the node.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any, Literal, TypeAlias, overload

from graphc.errors import CompileError
from graphc.facts import are_floats, converts_exactly
from graphc.ir import Node, current_origin
from graphc.op import Op
from graphc.operators import OPS
from graphc.ops.core import full_like
from graphc.patterns import Anything, AttributeHole, Operands, Pattern, Rest, fits, fits_in_some_order, matcher, orders
from graphc.samples import Call
from graphc.types import Type, broadcast_shapes

RuleKind = Literal["exact", "stabilizing", "fast"]
"""`exact` holds bit for bit (any NaN is NaN); `stabilizing` is closer to the true value; `fast` holds for reals."""


@dataclass(frozen=True)
class Declined:
    """Why a rule whose left side matched does not apply after all."""

    reason: str


Outcome: TypeAlias = "Node | Declined | None"
Attempt: TypeAlias = Callable[[Node], Outcome]
"""What a rule makes of a node. It leaves the node's origin in force: who calls it restores the one before."""
Guard: TypeAlias = Callable[..., bool]
Over: TypeAlias = Callable[[Op, Operands], bool]


@dataclass(frozen=True, eq=False)
class Rule:
    """One identity. `when` gets what the holes matched and may refuse; where `exact_when` holds, it is exact."""

    name: str
    kind: RuleKind
    body: Callable[..., Any]
    pattern: Pattern
    when: Guard | None
    exact_when: Guard | None
    samples: tuple[Call, ...]
    doc: str
    integers_only: bool = False

    @property
    def holes(self) -> tuple[str, ...]:
        """The names of the rule's operands."""
        return tuple(name for name, kind in _parameters(self.body) if kind is not inspect.Parameter.KEYWORD_ONLY)

    @property
    def takes_any(self) -> bool:
        """Whether the rule is about an op with any number of operands."""
        return any(kind is inspect.Parameter.VAR_POSITIONAL for _, kind in _parameters(self.body))

    @property
    def strict(self) -> Rule | None:
        """The rule as far as it holds without `fast_math`, or None."""
        if self.kind != "fast":
            return self
        return replace(self, kind="exact", integers_only=True) if self.exact_when else None

    @cached_property
    def orders(self) -> tuple[Pattern, ...]:
        """The left side with the operands of commutative ops in every order, once where only holes' names differ."""
        return orders(self.pattern, distinct=self.when is None)

    def attempts(self, op: Op, operands: Operands) -> Iterator[Attempt]:
        """One attempt for each order of commutative operands in which the left side fits; None is an op not known."""
        if self.pattern.op is not op or not fits_in_some_order(self.pattern, operands):
            return
        for pattern in self.orders:
            if fits(pattern, operands):
                yield self._attempt(pattern)

    def _attempt(self, pattern: Pattern) -> Attempt:
        match = matcher(pattern)

        def attempt(node: Node) -> Outcome:
            binding = match(node)
            if binding is None:
                return None
            current_origin.set(node.origin)
            return self.apply(node, binding)

        return attempt

    def apply(self, node: Node, binding: Mapping[str, Any]) -> Outcome:
        """The right side for what the holes matched, or None where the rule does not hold for it."""
        if not self._holds(node, binding):
            return None
        _, right = call_body(self.body, binding)
        if callable(right) and not isinstance(right, Node):
            right = right()
        if isinstance(right, Declined):
            return right
        operand = any(right is value for value in binding.values())
        return fitted(_widened(right, node) if operand else right, node)

    def _holds(self, node: Node, binding: Mapping[str, Any]) -> bool:
        """Whether the rule is true here: one about real numbers is about floats."""
        if self.when is not None and not self.when(**binding):
            return False
        if self.exact_when is not None and not node.type.is_float and self.exact_when(**binding):
            return True
        return not self.integers_only and (self.kind == "exact" or are_floats(**binding))


@dataclass(frozen=True, eq=False)
class NodeRule:
    """A rule for the ops that `over` accepts: `body` gets a node and returns its replacement, a `Declined`, or None."""

    name: str
    kind: RuleKind
    body: Attempt
    over: Over
    samples: tuple[Sample, ...]
    doc: str
    integers_only: bool = False

    @property
    def strict(self) -> NodeRule | None:
        """The rule, unless it needs `fast_math`."""
        return self if self.kind != "fast" else None

    def attempts(self, op: Op, operands: Operands) -> Iterator[Attempt]:
        """The rule's function, for the ops that it is about."""
        if self.over(op, operands):
            yield self._attempt

    def _attempt(self, node: Node) -> Outcome:
        current_origin.set(node.origin)
        right = self.body(node)
        return fitted(right, node) if isinstance(right, Node) else right


AnyRule: TypeAlias = Rule | NodeRule


@dataclass(frozen=True)
class Sample:
    """A value to try a `NodeRule` on: a formula over operands of the types named."""

    formula: Callable[..., Node]
    operands: tuple[str, ...]


def sample(formula: Callable[..., Node], *operands: str) -> Sample:
    """A sample: `sample(lambda x: transpose(x).sum(), "f64[2,3]")`."""
    return Sample(formula, operands)


@overload
def rule(body: Callable[..., Any]) -> Rule: ...
@overload
def rule(*, kind: RuleKind = ..., when: Guard | None = ..., exact_when: Guard | None = ...,
         samples: Sequence[Call] = ...) -> Callable[[Callable[..., Any]], Rule]: ...  # fmt: skip
def rule(body: Callable[..., Any] | None = None, *, kind: RuleKind = "exact", when: Guard | None = None,
         exact_when: Guard | None = None, samples: Sequence[Call] = ()) -> Any:  # fmt: skip
    """Declare a rule from a function that returns left and right; see `Rule`."""

    def declare(function: Callable[..., Any]) -> Rule:
        left, _ = call_body(function, {name: _HOLES[kind](name) for name, kind in _parameters(function)})
        if not isinstance(left, Pattern):
            raise CompileError(f"the left side of rule {function.__name__} is {left!r}, no op of its parameters")
        doc = inspect.getdoc(function) or ""
        return Rule(function.__name__, kind, function, left, when, exact_when, tuple(samples), doc)

    return declare(body) if body is not None else declare


def node_rule(over: Over, *, kind: RuleKind = "exact", samples: Sequence[Sample] = ()) -> Callable[[Attempt], NodeRule]:
    """Declare a rule from a function of a node, for the ops that `over` accepts."""

    def declare(function: Attempt) -> NodeRule:
        return NodeRule(function.__name__, kind, function, over, tuple(samples), inspect.getdoc(function) or "")

    return declare


_HOLES: dict[Any, Callable[[str], Any]] = {
    inspect.Parameter.POSITIONAL_OR_KEYWORD: Anything,
    inspect.Parameter.VAR_POSITIONAL: lambda name: [Rest(name)],
    inspect.Parameter.KEYWORD_ONLY: AttributeHole,
}


@cache
def _parameters(body: Callable[..., Any]) -> tuple[tuple[str, Any], ...]:
    return tuple((name, parameter.kind) for name, parameter in inspect.signature(body).parameters.items())


def call_body(body: Callable[..., Any], binding: Mapping[str, Any]) -> tuple[Any, Any]:
    """Both sides of a rule for what its parameters stand for."""
    positional, named = [], {}
    for name, kind in _parameters(body):
        if kind is inspect.Parameter.VAR_POSITIONAL:
            positional += binding[name]
        elif kind is inspect.Parameter.KEYWORD_ONLY:
            named[name] = binding[name]
        else:
            positional.append(binding[name])
    left, right = body(*positional, **named)
    return left, right


def fitted(right: Any, node: Node) -> Node | Declined:
    """A right side with the type of the node it replaces: a number, or fewer elements, repeat over the node's shape."""
    if not isinstance(right, Node):
        return full_like(node, right)
    if right.type == node.type:
        return right
    if isinstance(right.type, Type) and isinstance(node.type, Type) and _repeats(right.type, node.type):
        return OPS["broadcast_to"](right, shape=node.shape)
    return Declined(f"its right side has type {right.type}, its left side {node.type}")


def _repeats(small: Type, large: Type) -> bool:
    fits = small.dtype == large.dtype and small.rank <= large.rank
    return fits and broadcast_shapes(small.shape, large.shape) == large.shape


def _widened(right: Node, node: Node) -> Node:
    """An operand that stands for a result of wider dtype, in that dtype."""
    widens = right.dtype != node.dtype and converts_exactly(right.dtype, node.dtype)
    return OPS["astype"](right, dtype=node.dtype) if widens else right
