"""Patterns: formulas over holes, the ways to write them, and whether a node is one.

Holes take part in the user's own operators. A pattern names every attribute of its ops, by a value or by a hole.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple, TypeAlias

from graphc.errors import CompileError
from graphc.facts import is_number
from graphc.ir import Node, WeakConstant, freeze
from graphc.op import Hole, Op
from graphc.operators import Operators

Operands: TypeAlias = "Sequence[Op | None]"
"""The ops that make the operands of a node; None is any op."""


class Anything(Operators, Hole):
    """A hole that matches any value; the same hole twice matches the same node twice."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def apply(self, op: Op, args: Sequence[Any], attrs: Mapping[str, Any]) -> Pattern:
        return Pattern(op, tuple(args), dict(attrs))

    def __repr__(self) -> str:
        return self.name


class Rest(Anything):
    """A hole that matches all operands of an op that takes any number."""

    __slots__ = ()


class Pattern(Anything):
    """An op applied to patterns, holes and numbers. Every attribute is named: a value, or a hole for it."""

    __slots__ = ("attrs", "op", "operands")

    def __init__(self, op: Op, operands: tuple[Any, ...], attrs: dict[str, Any]) -> None:
        super().__init__(op.name)
        self.op = op
        self.operands = operands
        self.attrs = attrs
        if set(attrs) != set(op.attributes) or op.arity not in (None, len(operands)):
            names = ", ".join(f"{name}=..." for name in op.attributes)
            raise CompileError(f"the pattern {self!r} does not name all operands and attributes of {op.name}",
                               remedy=f"write {op.name}(..., {names})")  # fmt: skip

    def __repr__(self) -> str:
        parts = [*map(repr, self.operands), *(f"{name}={value!r}" for name, value in self.attrs.items())]
        return f"{self.op.name}({', '.join(parts)})"


@dataclass(frozen=True)
class AttributeHole:
    """A hole that matches any attribute value."""

    name: str

    def __repr__(self) -> str:
        return self.name


# The ways to write a pattern


def orders(pattern: Pattern, *, distinct: bool) -> tuple[Pattern, ...]:
    """A pattern with the operands of commutative ops in every order; `distinct` drops those that rename holes only."""
    found = list(_permuted(pattern))
    if not distinct or len(found) == 1:
        return tuple(found)
    return tuple({_shape(each): each for each in reversed(found)}.values())


def _permuted(pattern: Any) -> Iterator[Any]:
    if not isinstance(pattern, Pattern):
        yield pattern
        return
    for operands in itertools.product(*(list(_permuted(operand)) for operand in pattern.operands)):
        yield pattern if operands == pattern.operands else Pattern(pattern.op, operands, pattern.attrs)
        if pattern.op.commutative and len(operands) == 2 and all(isinstance(operand, Anything) for operand in operands):
            yield Pattern(pattern.op, operands[::-1], pattern.attrs)


def _shape(pattern: Pattern) -> tuple[Any, ...]:
    """What a pattern consists of, in order, its holes numbered in the order met."""
    numbers: dict[str, int] = {}
    words: list[Any] = []
    parts: list[Any] = [pattern]
    while parts:
        part = parts.pop()
        if isinstance(part, Pattern):
            words += part.op.name, len(part.operands), str(part.attrs)
            parts += part.operands
        else:
            words.append(numbers.setdefault(part.name, len(numbers)) if isinstance(part, Anything) else repr(part))
    return tuple(words)


# Whether a node is a pattern


def fits(pattern: Pattern, operands: Operands) -> bool:
    """Whether a pattern can match a node whose operands are made by these ops."""
    parts = pattern.operands
    if len(parts) == 1 and isinstance(parts[0], Rest):
        return True
    return len(parts) == len(operands) and all(map(_may_be, parts, operands))


def fits_in_some_order(pattern: Pattern, operands: Operands) -> bool:
    """Whether one of a pattern's orders can, which takes no list of them."""
    return fits(pattern, operands) or (pattern.op.commutative and fits(pattern, operands[::-1]))


def _may_be(part: Any, op: Op | None) -> bool:
    if op is None:
        return True
    if isinstance(part, Pattern):
        return part.op is op
    return isinstance(part, Anything) or op.view or "value" in op.attributes


Match: TypeAlias = "Callable[[Node], dict[str, Any] | None]"


@cache
def matcher(pattern: Pattern) -> Match:
    """The function that tells what each hole stands for if a node of the pattern's op is the pattern, or None."""
    inner, parts = _checks(pattern)

    def match(node: Node) -> dict[str, Any] | None:
        values = [node]
        for parent, place, op in inner:
            inputs = values[parent].inputs
            if len(inputs) <= place or inputs[place].op is not op:
                return None
            values.append(inputs[place])
        binding: dict[str, Any] = {}
        for part, value in zip(parts, values, strict=True):
            if not _is_bound(part, value, binding):
                return None
        for name, value in binding.items():
            if isinstance(value, WeakConstant):
                binding[name] = _strong(value)
        return binding

    return match


class _Part(NamedTuple):
    """How many operands one op of a pattern has, which are holes, by name, and which numbers; and its attributes."""

    arity: int
    rest: str
    """The hole that takes all of them, or ''."""
    holes: tuple[tuple[int, str], ...]
    numbers: tuple[tuple[int, Any], ...]
    attrs: Mapping[str, Any]


_Inner: TypeAlias = "tuple[tuple[int, int, Op], ...]"
"""For each op of a pattern but the outermost: which op it is an operand of, which operand, and itself."""


def _checks(pattern: Pattern) -> tuple[_Inner, tuple[_Part, ...]]:
    """The ops inside a pattern, which are cheapest to compare, and all that is to see to for each, outermost first."""
    patterns: list[Pattern] = [pattern]
    inner: list[tuple[int, int, Op]] = []
    for parent, outer in enumerate(patterns):  # grows as it goes
        for place, part in enumerate(outer.operands):
            if isinstance(part, Pattern):
                patterns.append(part)
                inner.append((parent, place, part.op))
    return tuple(inner), tuple(map(_part, patterns))


def _part(pattern: Pattern) -> _Part:
    parts = [(place, part) for place, part in enumerate(pattern.operands) if not isinstance(part, Pattern)]
    rest = parts[0][1].name if len(pattern.operands) == 1 and parts and isinstance(parts[0][1], Rest) else ""
    holes = tuple((place, part.name) for place, part in parts if isinstance(part, Anything))
    numbers = tuple((place, part) for place, part in parts if not isinstance(part, Anything))
    return _Part(len(pattern.operands), rest, holes, numbers, pattern.attrs)


def _is_bound(part: _Part, node: Node, binding: dict[str, Any]) -> bool:
    """Whether the holes, numbers and attributes of one op fit; the ops among its operands are seen to elsewhere."""
    inputs = node.inputs
    if part.rest:
        binding[part.rest] = [_strong(operand) for operand in inputs]
    elif part.arity != len(inputs):
        return False
    else:
        for place, name in part.holes:
            if binding.setdefault(name, inputs[place]) is not inputs[place]:
                return False
        for place, number in part.numbers:
            if not is_number(inputs[place], number):
                return False
    return not part.attrs or _attrs_match(part.attrs, node.attrs, binding)


def _strong(value: Any) -> Any:
    """A constant whose dtype stays as it is in the company that a right side gives it."""
    return value.replace() if isinstance(value, WeakConstant) else value


def _attrs_match(wanted: Mapping[str, Any], actual: Mapping[str, Any], binding: dict[str, Any]) -> bool:
    for name, part in wanted.items():
        value = actual[name]
        if isinstance(part, AttributeHole):
            part = binding.setdefault(part.name, value)
        if part is not value and freeze(part) != freeze(value):
            return False
    return True
