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

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from graphc import ops
from graphc.errors import CompileError, GraphcError
from graphc.facts import NODE_COST, cost
from graphc.ir import Graph, Node, topological
from graphc.pipeline import Pass
from graphc.rewrite import RuleSet
from graphc.rules import AnyRule, Anything, NodeRule, Pattern, Rule, call_body
from graphc.samples import array_of, generator
from graphc.truth import true_values
from graphc.types import DTYPES, SHORT_NAMES
from graphc.validate import agree, rounding_unit, same_bits, values_of
from graphc.verify import verify

Array = np.ndarray[Any, Any]
SPECIAL = (0.0, -0.0, 1.0, -1.0, 0.5, 2.0, -3.0, 1e-3, np.inf, -np.inf, np.nan)
TRIED = ("f64", "f32", "f16", "i64", "i8", "u8", "bool")
MIXED = (("f32", "f64"), ("f64", "f32"), ("i8", "i64"), ("i64", "i8"), ("u8", "f32"))
SHAPES = (((2, 3), (3,), (2, 1), ()), ((), (2, 2), (1,), (2, 1)), ((0, 2), (1, 2), (), (2,)))
"""Shapes that the operands take in turn, beside vectors of special values."""
MAGNITUDES = (1.0, 30.0, 300.0)
"""How large the operands are on which stabilizing rules are tried."""
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
    pairs = [pair for trial in trials(rule) for pair in trial.pairs(rule)]
    if not pairs:
        raise CompileError(f"rule {rule.name} fires on none of its samples", remedy="give samples on which it fires")
    for pair in pairs:
        _check_shape_of(pair, rule)
        compare(pair, rule)


@dataclass(frozen=True)
class Trial:
    """A formula whose root a rule should match, and its operands: arrays to feed, numbers to build in."""

    formula: Callable[..., Node]
    operands: tuple[Any, ...]

    def build(self) -> tuple[Node, dict[Node, Array]]:
        """The formula over placeholders, and their feed."""
        feed: dict[Node, Array] = {}
        nodes = []
        for place, operand in enumerate(self.operands):
            if isinstance(operand, np.ndarray):
                node = ops.placeholder(f"x{place}", operand.shape, operand.dtype)
                feed[node] = operand
            else:
                node = ops.constant(operand, np.asarray(operand).dtype)
            nodes.append(node)
        return self.formula(*nodes), feed

    def pairs(self, rule: AnyRule) -> Iterator[Pair]:
        """The left side and what the rule makes of it, where it has a value and the rule fires."""
        try:
            left, feed = self.build()
            values_of([left], feed)
        except GraphcError:
            return
        right = _rewritten(rule, left)
        if right is not None:
            yield Pair(left, right, feed)


def _rewritten(rule: AnyRule, node: Node) -> Node | None:
    for _, attempt in RuleSet([rule]).attempts(node):
        try:
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
        return np.broadcast_shapes(x.shape, to.shape) == to.shape
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


# Operands


def trials(rule: AnyRule) -> Iterator[Trial]:
    """What a rule is tried on: its samples, or every dtype for its holes, filled as its kind asks."""
    rng = generator(rule.name)
    for formula, specs in _sampled(rule):
        for fill in _fills(rule.kind, rng):
            yield Trial(formula, tuple([fill(spec) for spec in specs]))


def _fills(kind: str, rng: np.random.Generator) -> Iterable[Callable[[Any], Any]]:
    if kind == "stabilizing":
        return [partial(_filled, rng=rng, floats="f32", scale=scale) for scale in MAGNITUDES]
    if kind == "fast":
        return [partial(_filled, rng=rng, low=0.5, high=2.0)]
    return [partial(_filled, rng=rng), partial(_filled, rng=rng, special=True)]


def _filled(spec: Any, *, rng: np.random.Generator, floats: str = "", scale: float = 1.0, special: bool = False,
            low: float | None = None, high: float | None = None) -> Any:  # fmt: skip
    """An operand as a sample names it, its values drawn as a kind of rule needs them; other values as they are."""
    if isinstance(spec, _Grid):
        return spec.array
    if not isinstance(spec, str):
        return spec
    array = array_of(spec, rng)
    if "(" not in spec and array.dtype.kind == "f":
        array = array * scale if low is None else rng.uniform(low, high or low, array.shape)
    if "(" not in spec and special:
        array = rng.choice(special_values(DTYPES[spec.split("[")[0]]), array.shape)
    dtype = DTYPES[floats] if floats and array.dtype.kind == "f" else DTYPES[spec.split("[")[0]]
    return np.asarray(array, dtype)


def special_values(dtype: np.dtype[Any]) -> Array:
    """Zeros, ones, extremes, subnormals, infinities and NaN of a dtype, as far as it has them."""
    if dtype.kind == "b":
        return np.array([False, True])
    if dtype.kind == "f":
        limits = np.finfo(dtype)
        return np.array([*SPECIAL, limits.tiny, -limits.smallest_subnormal, limits.max, -limits.max], dtype)
    bounds = np.iinfo(dtype)
    return np.array([value for value in (0, 1, 2, 3, 7, -1, -2, bounds.min, bounds.max) if bounds.min <= value], dtype)


@dataclass(frozen=True)
class _Grid:
    """One operand of many at once: where operands are vectors, each takes each special value beside each of another."""

    array: Array


def _sampled(rule: AnyRule) -> Iterator[tuple[Callable[..., Node], Sequence[Any]]]:
    """Formulas whose root a rule should match, with their operands."""
    if isinstance(rule, NodeRule):
        yield from ((one.formula, specs) for one in rule.samples for specs in _in_every_dtype(one.operands, rule.kind))
    elif rule.samples:
        yield from ((partial(_left, rule, **one.attributes), one.operands) for one in rule.samples)
    else:
        count = len(rule.holes) if not rule.takes_any else 4
        tried = TRIED if rule.kind == "exact" else ("f32",) if rule.kind == "stabilizing" else ("f64", "f32")
        yield from ((partial(_left, rule), specs) for specs in _every_dtype(count, tried))
        if rule.kind == "exact":
            yield from ((partial(_with_wide_numbers, rule), specs) for specs in _every_dtype(count, TRIED))


def _left(rule: Rule, *operands: Node, **attributes: Any) -> Node:
    values = [list(operands)] if rule.takes_any else list(operands)
    left: Node = call_body(rule.body, {**dict(zip(rule.holes, values, strict=True)), **attributes})[0]
    return left


def _with_wide_numbers(rule: Rule, *operands: Node) -> Node:
    """The left side with its numbers in float64, whatever the operands are."""
    return _instance(rule.pattern, dict(zip(rule.holes, operands, strict=True)))


def _instance(part: Any, binding: Mapping[str, Node]) -> Node:
    if isinstance(part, Pattern):
        return part.op(*(_instance(operand, binding) for operand in part.operands), **part.attrs)
    return binding[part.name] if isinstance(part, Anything) else ops.constant(part, "float64")


def _in_every_dtype(specs: Sequence[str], kind: str) -> Iterator[Sequence[str]]:
    """The operands of a sample, in other dtypes too where the rule is exact."""
    yield specs
    if kind == "exact" and not any("(" in spec or spec.startswith("bool") for spec in specs):
        for dtype in TRIED:
            yield [f"{dtype}[{spec.split('[')[1]}" for spec in specs]


def _every_dtype(count: int, tried: Sequence[str]) -> Iterator[Sequence[Any]]:
    mixed = MIXED if count > 1 and len(tried) > 1 else ()
    for names in (*((name,) for name in tried), *mixed):
        dtypes = [names[place % len(names)] for place in range(count)]
        for shapes in SHAPES:
            sizes = (",".join(map(str, shapes[place % len(shapes)])) for place in range(count))
            yield [f"{dtype}[{size}]" for dtype, size in zip(dtypes, sizes, strict=True)]
        yield _grid(dtypes) if tried is TRIED else [f"{dtype}[24]" for dtype in dtypes]


def _grid(dtypes: Sequence[str]) -> list[_Grid]:
    """Every special value of one operand beside every one of the others, or two thousand of the combinations."""
    combinations = list(itertools.product(*(special_values(DTYPES[dtype]) for dtype in dtypes)))
    columns = zip(*combinations[:: 1 + len(combinations) // 2000], strict=True)
    return [_Grid(np.array(column, DTYPES[dtype])) for column, dtype in zip(columns, dtypes, strict=True)]


# Passes


def check_pass(one: Pass, graph: Graph, feed: Mapping[Node, Any] | None = None, *, idempotent: bool = False,
               **context: Any) -> Graph:  # fmt: skip
    """Raise CompileError unless a pass keeps what a graph computes; returns what it makes of the graph.

    `feed` is random where it is left out; `context` is what the compiler hands to passes, such as `fast_math`.
    """
    after = one(graph, **context)
    verify(after)
    arguments = [(feed or {}).get(node, None) for node in graph.inputs]
    drawn = [_argument(node) if value is None else value for node, value in zip(graph.inputs, arguments, strict=True)]
    before_values, after_values = (
        values_of(each.outputs, dict(zip(each.inputs, drawn, strict=True))) for each in (graph, after))  # fmt: skip
    for place, (a, b) in enumerate(zip(before_values, after_values, strict=True)):
        if not agree(a, b, one.kind_under(context), rounding_unit(graph)):
            raise CompileError(f"pass {one.name} changed output {place} from {a} to {b}\n{graph}\n{after}",
                               nodes=[graph.outputs[place]], remedy="mend the pass, or its kind")  # fmt: skip
    if idempotent and one(after, **context).structure() != after.structure():
        raise CompileError(f"pass {one.name} changes its own result\n{after}\n{one(after, **context)}",
                           remedy="let it do all its work at once")  # fmt: skip
    return after


def _argument(node: Node) -> Array:
    """Random data of a placeholder's type."""
    shape = ",".join(map(str, node.shape))
    return _filled(f"{SHORT_NAMES[node.dtype]}[{shape}]", rng=generator(node.name or ""))  # type: ignore[no-any-return]
