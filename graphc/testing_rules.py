"""Checks of rewrite rules and passes, derived from their declarations.

    gr.testing.check_rule(neg_neg)     # both sides on special values and random samples, as close as the kind promises
    gr.testing.check_pass(cse, graph)  # the graph before and after on random data

A rule is tried on its samples, or else on arrays of every dtype for its holes. It must fire, keep the type, cost no
more, not match what it made, and hold:

- `exact`: bit for bit, where any NaN is NaN; on zeros of either sign, infinities, subnormals and NaN too;
- `stabilizing`: in float32, no farther than the left side from the true value, by mpmath; such a rule may cost more;
- `fast`: up to rounding, for operands around 1. Where `exact_when` holds, it is checked as an exact rule too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from graphc.errors import CompileError, GraphcError
from graphc.facts import NODE_COST, cost
from graphc.ir import Graph, Node, made_by, topological
from graphc.pipeline import Pass
from graphc.rewrite import RuleSet
from graphc.rules import AnyRule, Rule
from graphc.samples import generator
from graphc.testing_operands import Array, Trial, filled, trials
from graphc.truth import true_values
from graphc.types import SHORT_NAMES
from graphc.validate import agree, rounding_unit, same_bits, values_of
from graphc.verify import verify

ULPS = 8.0
"""How many ulps, times 1 + the largest operand, the right side of a stabilizing rule may be off at any rate."""


# Rules


def check_rule(rule: AnyRule) -> None:
    """Raise CompileError with the sample at fault unless a rule is what it says it is."""
    if not rule.doc:
        raise CompileError(f"rule {rule.name} says nothing", remedy="let its docstring be the algebra")
    _check(rule)
    if isinstance(rule, Rule) and rule.kind == "fast" and rule.exact_when is not None:
        _check(rule.strict or rule)


def _check(rule: AnyRule) -> None:
    compare = {"exact": _check_bits, "stabilizing": _check_closer, "fast": _check_reals}[rule.kind]
    pairs = [pair for pair in (pair_of(trial, rule) for trial in trials(rule)) if pair is not None]
    if not pairs:
        raise CompileError(f"rule {rule.name} fires on none of its samples", remedy="give samples on which it fires")
    for pair in pairs:
        _check_shape_of(pair, rule)
        compare(pair, rule)


def pair_of(trial: Trial, rule: AnyRule) -> Pair | None:
    """The left side of a trial and what the rule makes of it, where it has a value and the rule fires."""
    try:
        left, feed = trial.build()
        values_of([left], feed)
    except GraphcError:
        return None
    right = _rewritten(rule, left)
    return None if right is None else Pair(left, right, feed)


def _rewritten(rule: AnyRule, node: Node) -> Node | None:
    for _, attempt in RuleSet([rule]).attempts(node):
        try:
            with made_by(node.origin):
                result = attempt(node)
        except GraphcError:
            continue
        if isinstance(result, Node) and result is not node:
            return result
    return None


@dataclass(frozen=True)
class Pair:
    """Both sides of a rule, and operands to compare them on."""

    left: Node
    right: Node
    feed: Mapping[Node, Array]

    def values(self) -> tuple[Any, Any]:
        """The values of both sides."""
        left, right = values_of([self.left, self.right], self.feed)
        return np.asarray(left), np.asarray(right)

    def fails(self, rule: AnyRule, why: str) -> CompileError:
        """The complaint, with both sides and their operands."""
        operands = ", ".join(str(node.type) for node in self.feed)
        return CompileError(f"{rule.kind} rule {rule.name} is wrong for operands {operands}: {why}\n"
                            f"{Graph(None, [self.left, self.right])}", remedy="mend the rule, or its kind")  # fmt: skip


def _check_shape_of(pair: Pair, rule: AnyRule) -> None:
    """Types, costs, and that the rule does not match its own result."""
    if pair.left.type != pair.right.type:
        raise pair.fails(rule, f"its sides have types {pair.left.type} and {pair.right.type}")
    comparable = rule.kind != "stabilizing" and len({node.shape for node in pair.feed}) == 1 and pair.left.size
    if comparable and _work(pair.right) > _work(pair.left):
        raise pair.fails(rule, "its right side costs more than its left side")
    if _rewritten(rule, pair.right) is not None:
        raise pair.fails(rule, "it matches what it made")


def _work(root: Node) -> float:
    """What a formula costs beside the calls of its nodes."""
    return sum(max(cost(node) - NODE_COST, 0) for node in topological([root]))


def _check_bits(pair: Pair, rule: AnyRule) -> None:
    left, right = pair.values()
    if not same_bits(left, right):
        raise pair.fails(rule, _first_difference(left, right, pair.feed))


def _first_difference(left: Array, right: Array, feed: Mapping[Node, Array]) -> str:
    places = map(tuple, np.ndindex(left.shape))
    place = next(at for at in places if not same_bits(np.asarray(left[at]), np.asarray(right[at])))
    operands = [np.broadcast_to(x, left.shape)[place] for x in feed.values() if _broadcasts(x, left)]
    return f"for {', '.join(map(repr, operands))} its sides are {left[place]!r} and {right[place]!r}"


def _broadcasts(x: Array, to: Array) -> bool:
    try:
        return bool(np.broadcast_shapes(x.shape, to.shape) == to.shape)
    except ValueError:
        return False


def _check_reals(pair: Pair, rule: AnyRule) -> None:
    left, right = (value.astype(np.float64) for value in pair.values())
    eps = max(_eps(node) for node in (pair.left, *pair.feed))
    if not np.all(np.abs(left - right) <= 64 * eps * (1 + np.abs(left))):
        raise pair.fails(rule, f"its sides are {left} and {right}")


def _check_closer(pair: Pair, rule: AnyRule) -> None:
    """The right side is no farther from the true value, up to what rounding the operands alone would do."""
    if not pair.left.type.is_float:
        _check_bits(pair, rule)
        return
    left, right = pair.values()
    truth = true_values([pair.left], pair.feed)[0]
    known = ~np.isnan(truth)
    largest = max([1.0, *(float(np.max(np.abs(x), initial=0)) for x in pair.feed.values())])
    bound = np.maximum(_distance(left, truth)[known], ULPS * (1 + largest))
    if np.any(_distance(right, truth)[known] > bound):
        raise pair.fails(rule, f"the true value is {truth}, its sides are {left} and {right}")


def _distance(value: Array, truth: Array) -> Array:
    """How far a value is from the truth, in ulps of the truth in the value's dtype; infinite where only one is."""
    with np.errstate(all="ignore"):
        rounded = truth.astype(value.dtype)
        ulp = np.spacing(np.maximum(np.abs(rounded), np.finfo(value.dtype).tiny)).astype(np.float64)
        distance = np.abs(value.astype(np.float64) - truth) / ulp
        return np.where(value == rounded, 0.0, np.where(np.isfinite(distance), distance, np.inf))


def _eps(node: Node) -> float:
    return float(np.finfo(node.dtype).eps) if node.type.is_float else 0.0


# Passes


def check_pass(one: Pass, graph: Graph, feed: Mapping[Node, Any] | None = None, *, idempotent: bool = False,
               **context: Any) -> Graph:  # fmt: skip
    """Raise CompileError unless a pass keeps what a graph computes; returns what it makes of the graph.

    The data is random where no `feed` is given; `context` is what the compiler hands to passes: fast_math, sizes.
    """
    after = one(graph, **context)
    verify(after)
    drawn = [_argument(node) for node in after.inputs] if feed is None else [feed[node] for node in graph.inputs]
    sizes = context.get("sizes") or {}
    old, new = (values_of(each.outputs, dict(zip(each.inputs, drawn, strict=True)), sizes) for each in (graph, after))
    for place, (a, b) in enumerate(zip(old, new, strict=True)):
        if not agree(a, b, one.kind_under(context), rounding_unit(graph)):
            raise CompileError(f"pass {one.name} changed output {place} from {a} to {b}\n{graph}\n{after}",
                               nodes=[graph.outputs[place]], remedy="mend the pass, or its kind")  # fmt: skip
    if idempotent and one(after, **context).structure() != after.structure():
        raise CompileError(f"pass {one.name} changes its own result\n{after}\n{one(after, **context)}",
                           remedy="let it do all its work at once")  # fmt: skip
    return after


def _argument(node: Node) -> Any:
    """Random data of a placeholder's type."""
    shape = ",".join(map(str, node.shape))
    return filled(f"{SHORT_NAMES[node.dtype]}[{shape}]", rng=generator(node.name or ""))
