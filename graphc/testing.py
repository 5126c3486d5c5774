"""Checks derived from declarations: for graphc's own ops and rules, and for yours.

    gr.testing.check_op(gr.OPS["tanh"])                # type rule, out=, derivative, text; says what to change
    gr.testing.check_gradient(loss, [W, b], {x: data}) # any gradient against central differences
    gr.testing.check_rule(neg_neg)                     # both sides of a rewrite rule; see testing_rules
    gr.testing.check_pass(cse, graph)                  # what a pass makes of a graph

Data and directions are random but the same on every run: they are seeded by the name of what is checked.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from graphc import ops
from graphc.errors import GradientError
from graphc.evaluate import evaluate
from graphc.ir import Graph, Node, topological
from graphc.op import Op
from graphc.samples import Call, generator
from graphc.testing_rules import check_pass, check_rule
from graphc.types import AnyType, TupleType, type_of

__all__ = ["check_composite", "check_gradient", "check_op", "check_pass", "check_rule"]

Array = np.ndarray[Any, Any]


# Gradients


def check_gradient(y: Node, wrt: Node | Sequence[Node], feed: Mapping[Node, Any] | None = None, order: int = 2) -> None:
    """Compare the derivatives of y, up to that order, with central differences along random directions.

    `wrt` holds placeholders, variables or inner nodes of a float dtype. A y that is not a scalar is weighted by random
    numbers. The derivative along one direction is the y of the next order. Raises GradientError with both numbers.
    """
    from graphc.gradients import gradients

    targets = [wrt] if isinstance(wrt, Node) else sorted(wrt, key=topological(wrt).index)
    rng = generator(y.name or y.op.name)
    weights, *shapes = map(np.shape, evaluate([y, *targets], feed))
    along = _dot(y, rng.standard_normal(weights))
    for degree in range(1, order + 1):
        value, directions = along, [rng.uniform(-1, 1, shape) for shape in shapes]
        slopes = gradients(value, targets, unconnected="zero")
        along = ops.add_n(*map(_dot, slopes, directions))
        line = _Line(value, dict(feed or {}), dict(zip(targets, directions, strict=True)))
        _compare(y, degree, *evaluate([along, *slopes], feed), line=line)


def _dot(x: Node, weights: Array) -> Node:
    return ops.sum(x * weights.astype(x.dtype))


@dataclass(frozen=True)
class _Line:
    """The values of a node along a line through a point, and their slope there."""

    y: Node
    point: dict[Node, Any]
    direction: dict[Node, Array]

    @property
    def eps(self) -> float:
        """The rounding unit of the coarsest dtype on the way."""
        return float(max(np.finfo(node.dtype).eps for node in (self.y, *self.direction)))

    def at(self, t: float) -> float:
        """The value at the point plus t times the direction; an inner node moves with the others, then on its own."""
        moved = dict(self.point)
        for x, d in self.direction.items():
            moved[x] = (evaluate([x], moved)[0] + t * d).astype(x.dtype)
        return float(evaluate([self.y], moved)[0])

    def slope(self) -> tuple[float, float]:
        """The central difference, extrapolated to step 0 (Richardson), and what rounding makes of it."""
        h = self.eps ** (1 / 5)
        values = np.array([self.at(h), self.at(-h), self.at(h / 2), self.at(-h / 2)])
        wide, narrow = (values[0] - values[1]) / (2 * h), (values[2] - values[3]) / h
        return (4 * narrow - wide) / 3, max(1.0, float(np.abs(values).max())) * self.eps / h


def _compare(y: Node, degree: int, along: float, *slopes: Array, line: _Line) -> None:
    expected, noise = line.slope()
    size = sum(float(np.abs(slope * d).sum()) for slope, d in zip(slopes, line.direction.values(), strict=True))
    tolerance = 50 * noise + line.eps ** (2 / 5) * max(size, abs(expected))
    if not abs(along - expected) <= tolerance:
        raise GradientError(
            f"the derivative of order {degree} along a random direction is {float(along):.9g}, "
            f"but central differences give {expected:.9g} ± {tolerance:.2g}", nodes=[y, *line.direction],
            remedy="correct the derivative rule of an op on the way, or take a point around which y is smooth",
        )  # fmt: skip


# Declarations


@dataclass(frozen=True)
class _Sample:
    """One sample call: what it says, the node it makes, and a value for each placeholder in it."""

    name: str
    call: Call
    node: Node
    feed: dict[Node, Array]

    def fail(self, problem: str, change: str) -> AssertionError:
        """What is wrong, and what to change in the declaration."""
        attributes = [f"{key}={value!r}" for key, value in self.call.attributes.items()]
        said = ", ".join([*map(str, self.call.operands), *attributes])
        return AssertionError(f"{self.name}({said}) {problem}\nIn the declaration of {self.name}, {change}.")

    def operands(self) -> list[Any]:
        """The operands' values."""
        return evaluate(self.node.inputs, self.feed)

    def run(self, *operands: Any, **out: Any) -> Any:
        """The body's result."""
        with np.errstate(all="ignore"):
            return self.node.op.body(*operands, **self.node.attrs, **out)


def check_op(op: Op) -> None:
    """Check an op against its own samples; AssertionError names the op, the sample and what to change.

    The type rule must agree with the NumPy body, also for strided operands; `out=` must give the same bits, also in
    place of an operand; a commutative op must commute; the derivative must agree with central differences at order 1
    and 2; printing and parsing must give the same text.
    """
    if op.samples is None:
        raise AssertionError(f"{op.name} has no samples\nIn its declaration, add samples=reals(-3, 3) or the like.")
    if not (op.body.__doc__ or "").strip():
        raise AssertionError(f"{op.name} has no docstring\nIn its declaration, say in one sentence what it computes.")
    for sample in _samples(op.name, op, op.samples.for_arity(op.arity or 0)):
        for check in (_check_type, _check_strides, _check_out, _check_order, _check_derivative, _check_text):
            check(sample)


def check_composite(formula: Callable[..., Any]) -> None:
    """Check the values' types and the derivatives of a formula over ops, on its samples."""
    parameters = inspect.signature(formula).parameters.values()
    arity = sum(p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)
    for sample in _samples(formula.__name__, formula, formula.samples.for_arity(arity)):  # type: ignore[attr-defined]
        (value,) = evaluate([sample.node], sample.feed)
        if _types_of(value) != sample.node.type:
            raise sample.fail(f"has type {sample.node.type}, but evaluates to {_types_of(value)}", "cast the operands")
        _check_derivative(sample)


def _samples(name: str, function: Callable[..., Any], calls: Iterator[Call]) -> Iterator[_Sample]:
    rng = generator(name)
    for call in calls:
        arguments, attributes = call.draw(rng)
        feed: dict[Node, Array] = {}
        result = function(*[_as_placeholder(argument, feed) for argument in arguments], **attributes)
        for node in result if isinstance(result, (tuple, list)) else [result]:
            yield _Sample(name, call, node, feed)


def _as_placeholder(argument: Any, feed: dict[Node, Array]) -> Any:
    """The argument, with a placeholder for each array in it; its value goes into the feed."""
    if isinstance(argument, list):
        return [_as_placeholder(element, feed) for element in argument]
    if not isinstance(argument, (np.ndarray, np.generic)):
        return argument
    leaf = ops.placeholder(f"x{len(feed)}", argument.shape, argument.dtype)
    feed[leaf] = np.asarray(argument)
    return leaf


def _check_type(sample: _Sample) -> None:
    found = _types_of(sample.run(*sample.operands()))
    if found != sample.node.type:
        raise sample.fail(f"has type {sample.node.type} by its rule, but its body returns {found}", "correct infer=")


def _types_of(result: Any) -> AnyType:
    return TupleType([type_of(element) for element in result]) if isinstance(result, tuple) else type_of(result)


def _check_strides(sample: _Sample) -> None:
    operands = sample.operands()
    packed, strided = sample.run(*operands), sample.run(*[_spread(operand) for operand in operands])
    if _types_of(strided) != sample.node.type or not _all_close(strided, packed):
        raise sample.fail(f"returns {strided} for strided operands and {packed} for packed ones", "correct the body")


def _spread(x: Any) -> Any:
    """The same values, with gaps between them in memory."""
    return np.repeat(x, 2, axis=-1)[..., ::2] if np.ndim(x) else x


def _all_close(a: Any, b: Any) -> bool:
    if isinstance(a, tuple):
        return all(map(_all_close, a, b))
    rtol = 16 * float(np.finfo(a.dtype).eps) if a.dtype.kind == "f" else 0
    return np.allclose(a, b, rtol=rtol, atol=rtol, equal_nan=True)


def _check_out(sample: _Sample) -> None:
    """Into a fresh buffer; an elementwise op also in place of each operand of the result's type, and of all of them."""
    op, operands = sample.node.op, sample.operands()
    fitting = [i for i, x in enumerate(operands) if op.elementwise and type_of(x) == sample.node.type]
    for replaced in ([], *([i] for i in fitting), fitting) if op.writes_out else ():
        buffer = np.array(operands[replaced[0]]) if replaced else np.full_like(sample.run(*operands), 113)
        given = [buffer if i in replaced else operand for i, operand in enumerate(operands)]
        expected = sample.run(*[np.array(operand) for operand in given])
        sample.run(*given, out=buffer)
        if not _same_bits(buffer, expected):
            place = f"operand {', '.join(map(str, replaced))}" if replaced else "a fresh buffer"
            raise sample.fail(f"returns {expected}, but writes {buffer} to out={place}", "correct the body")


def _same_bits(a: Any, b: Any) -> bool:
    return type_of(a) is type_of(b) and np.asarray(a).tobytes() == np.asarray(b).tobytes()


def _check_order(sample: _Sample) -> None:
    operands = sample.operands()
    if sample.node.op.commutative and not _same_bits(sample.run(*operands), sample.run(*operands[::-1])):
        raise sample.fail("is commutative, but its operands reversed give another result", "drop commutative=True")


def _check_derivative(sample: _Sample) -> None:
    wrt = [leaf for leaf in sample.feed if leaf.dtype == np.float64]
    node = sample.node
    if not wrt or node.op.vjp is None:
        return
    for y in node if isinstance(node.type, TupleType) else [node]:
        try:
            if y.type.is_float:
                check_gradient(y, wrt, sample.feed, order=2)
        except GradientError as error:
            raise sample.fail(f"has a wrong derivative: {error.problem}", "correct vjp=") from error


def _check_text(sample: _Sample) -> None:
    from graphc.text import parse, to_text

    text = to_text(Graph(tuple(sample.feed), [sample.node]))
    again = to_text(parse(text))
    if again != text:
        raise sample.fail(f"is printed as\n{text}\nand read back as\n{again}", "make signature= accept the stored form")
