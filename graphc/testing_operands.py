"""What rewrite rules and passes are tried on: special values beside each other, random ones, every dtype and shape."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from graphc import ops
from graphc.ir import Node
from graphc.patterns import Anything, Pattern
from graphc.rules import AnyRule, NodeRule, Rule, call_body
from graphc.samples import array_of, generator
from graphc.types import DTYPES

Array = np.ndarray[Any, Any]
SPECIAL = (0.0, -0.0, 1.0, -1.0, 0.5, 2.0, -3.0, 1e-3, np.inf, -np.inf, np.nan)
TRIED = ("f64", "f32", "f16", "i64", "i8", "u8", "bool")
MIXED = (("f32", "f64"), ("f64", "f32"), ("i8", "i64"), ("i64", "i8"), ("u8", "f32"))
SHAPES = (((2, 3), (3,), (2, 1), ()), ((), (2, 2), (1,), (2, 1)), ((0, 2), (1, 2), (), (2,)))
"""Shapes that the operands take in turn, beside vectors of special values."""
MAGNITUDES = (1.0, 30.0, 300.0)
"""How large the operands are on which stabilizing rules are tried."""


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


def trials(rule: AnyRule) -> Iterator[Trial]:
    """What a rule is tried on: its samples, or every dtype for its holes, filled as its kind asks."""
    rng = generator(rule.name)
    for formula, specs in _sampled(rule):
        for fill in _fills(rule.kind, rng):
            yield Trial(formula, tuple([fill(spec) for spec in specs]))


def _fills(kind: str, rng: np.random.Generator) -> Iterable[Callable[[Any], Any]]:
    if kind == "stabilizing":
        return [partial(filled, rng=rng, floats="f32", scale=scale) for scale in MAGNITUDES]
    if kind == "fast":
        return [partial(filled, rng=rng, low=0.5, high=2.0)]
    return [partial(filled, rng=rng), partial(filled, rng=rng, special=True)]


def filled(spec: Any, *, rng: np.random.Generator, floats: str = "", scale: float = 1.0, special: bool = False,
            low: float | None = None, high: float | None = None) -> Any:  # fmt: skip
    """An operand as a sample names it, its values drawn as a kind of rule needs them; other values as they are."""
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


def _grid(dtypes: Sequence[str]) -> list[Array]:
    """Every special value of one operand beside every one of the others, or two thousand of the combinations."""
    combinations = list(itertools.product(*(special_values(DTYPES[dtype]) for dtype in dtypes)))
    columns = zip(*combinations[:: 1 + len(combinations) // 2000], strict=True)
    return [np.array(column, DTYPES[dtype]) for column, dtype in zip(columns, dtypes, strict=True)]
