"""Steps: what a run calls, one after the other, on its list of values. Everything that can be known before is.

A step is a function of the values alone; where each operand and result stands in the list is bound into it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from graphc.errors import GraphcError
from graphc.evaluate import failed, in_order
from graphc.executor.units import Unit
from graphc.ir import Node
from graphc.types import Type

Values = list[Any]
Step = Callable[[Values], None]
Body = Callable[..., Any]


def body_of(node: Node) -> Body:
    """A node's body with its attributes bound."""
    return partial(node.op.body, **node.attrs) if node.attrs else node.op.body


def ordered_body_of(node: Node) -> Body:
    """A node's body, for what it allocates itself: its result with the elements in order."""
    body = body_of(node)
    return body if isinstance(node.type, Type) and node.ndim < 2 else lambda *operands: in_order(body(*operands))


# One call: the result goes into the array that stands at `at`, or (`_to`) the body's own result is put there.


def call_into(body: Body, operands: Sequence[int], at: int) -> Step:
    """A step that calls a body with `out`."""
    return _INTO.get(len(operands), _many_into)(body, *operands, at)


def call_to(body: Body, operands: Sequence[int], at: int) -> Step:
    """A step that keeps what a body returns."""
    return _TO.get(len(operands), _many_to)(body, *operands, at)


def _one_into(body: Body, a: int, at: int) -> Step:
    def step(values: Values) -> None:
        body(values[a], out=values[at])

    return step


def _two_into(body: Body, a: int, b: int, at: int) -> Step:
    def step(values: Values) -> None:
        body(values[a], values[b], out=values[at])

    return step


def _three_into(body: Body, a: int, b: int, c: int, at: int) -> Step:
    def step(values: Values) -> None:
        body(values[a], values[b], values[c], out=values[at])

    return step


def _many_into(body: Body, *places: int) -> Step:
    *operands, at = places

    def step(values: Values) -> None:
        body(*[values[operand] for operand in operands], out=values[at])

    return step


def _one_to(body: Body, a: int, at: int) -> Step:
    def step(values: Values) -> None:
        values[at] = body(values[a])

    return step


def _two_to(body: Body, a: int, b: int, at: int) -> Step:
    def step(values: Values) -> None:
        values[at] = body(values[a], values[b])

    return step


def _many_to(body: Body, *places: int) -> Step:
    *operands, at = places

    def step(values: Values) -> None:
        values[at] = body(*[values[operand] for operand in operands])

    return step


_INTO: dict[int, Callable[..., Step]] = {1: _one_into, 2: _two_into, 3: _three_into}
_TO: dict[int, Callable[..., Step]] = {1: _one_to, 2: _two_to}


# Other steps.


def forget(places: Sequence[int]) -> Step:
    """A step that lets go of values, so that the memory of bodies' own results is free."""

    def step(values: Values) -> None:
        for place in places:
            values[place] = None

    return step


def copy(source: int, at: int) -> Step:
    """A step that copies a value into an output's array, or keeps a number."""

    def step(values: Values) -> None:
        np.copyto(values[at], values[source])

    return step


def keep_number(source: int, at: int) -> Step:
    """A step that keeps a value of rank 0 as a NumPy scalar."""

    def step(values: Values) -> None:
        values[at] = values[source][()]

    return step


def part_of_call(unit: Unit, block: slice, slots: Mapping[Node, int]) -> Step:
    """A step that computes one block of a single node."""
    (node,), (cut,) = unit.nodes, unit.cuts
    body, at = body_of(node), slots[node]
    operands = [(slots[source], key(axis, block)) for source, axis in zip(node.inputs, cut.operands, strict=True)]
    rows = key(cut.axis, block)

    def step(values: Values) -> None:
        body(*[values[operand][part] for operand, part in operands], out=values[at][rows])

    return step


def key(axis: int | None, block: slice) -> Any:
    """The index that selects a block along an axis; everything where there is none."""
    return ... if axis is None else (*(slice(None),) * axis, block)


def guarded(step: Step, node: Node) -> Step:
    """A step whose exceptions name the node, for steps that run on other threads."""

    def run(values: Values) -> None:
        try:
            step(values)
        except GraphcError:
            raise
        except Exception as error:
            raise failed(node, error) from error

    return run


def in_turn(steps: Sequence[Step]) -> Step:
    """Several steps as one."""

    def run(values: Values) -> None:
        for step in steps:
            step(values)

    return run
