"""One step of an Einstein sum: two operands, their axes labelled, into one.

A step is an ordinary product or matmul where one fits, else a node of the primitive `einsum`, whose operands have
distinct labels. Its derivative is such a step again, to any order.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from graphc import ops
from graphc.errors import ShapeError
from graphc.ir import Node
from graphc.op import primitive
from graphc.ops.product import swapped
from graphc.samples import call, cases
from graphc.types import AnyDim, Type, product, promote, unify

Labels = str
"""A letter per axis."""


class Term(NamedTuple):
    """An operand, or the result of some steps, and what its axes are called."""

    labels: Labels
    node: Node


class Plan(NamedTuple):
    """A contraction as a batched matmul: the order of each operand's axes, then how many batch, are left, are right."""

    order_a: tuple[int, ...]
    order_b: tuple[int, ...]
    order_y: tuple[int, ...]
    batch: int
    left: int
    right: int


@lru_cache(maxsize=1024)
def _plan(subscripts: str) -> Plan:
    a, b, y = _three(subscripts)
    batch = [label for label in y if label in a and label in b]
    left, right = ([label for label in y if label not in other] for other in (b, a))
    inner = [label for label in a if label not in y]
    return Plan(tuple(map(a.index, batch + left + inner)), tuple(map(b.index, batch + inner + right)),
                tuple(map((batch + left + right).index, y)), len(batch), len(left), len(right))  # fmt: skip


def _three(subscripts: str) -> tuple[Labels, Labels, Labels]:
    operands, _, y = subscripts.partition("->")
    a, _, b = operands.partition(",")
    return a, b, y


def _einsum_type(a: Type, b: Type, *, subscripts: str) -> Type:
    in_a, in_b, in_y = labels = _three(subscripts)
    distinct = all(len({*term}) == len(term) for term in labels)
    if not distinct or (len(in_a), len(in_b)) != (a.rank, b.rank) or 1 in Counter("".join(labels)).values():
        raise ShapeError("an einsum node expected distinct labels per operand, each in two of the three places, "
                         f"got {subscripts!r} for {a} and {b}",
                         remedy="use gr.einsum, which takes any subscripts apart into such nodes")  # fmt: skip
    sizes: dict[str, AnyDim] = {}
    for label, dim in zip(in_a + in_b, a.shape + b.shape, strict=True):
        sizes[label] = same_size(label, sizes.get(label, dim), dim)
    return Type(promote(a.dtype, b.dtype), tuple(sizes[label] for label in in_y))


def same_size(label: str, one: AnyDim, other: AnyDim) -> AnyDim:
    """The one size that two axes of a label must both have."""
    try:
        return unify(one, other)
    except ShapeError as problem:
        raise ShapeError(f"einsum expected one size for the label {label!r}: {problem.problem}",
                         remedy="give axes of different sizes different labels") from None  # fmt: skip


def _einsum_vjp(g: Node, y: Node, a: Node, b: Node, *, subscripts: str) -> tuple[Node, Node]:
    """An operand and the result change places: "A,B->Y" has the derivatives "Y,B->A" and "A,Y->B"."""
    in_a, in_b, in_y = _three(subscripts)
    return contracted(Term(in_y, g), Term(in_b, b), in_a), contracted(Term(in_a, a), Term(in_y, g), in_b)


def _einsum_effort(y: Type, a: Type, b: Type, *, subscripts: str) -> float:
    in_a, _, in_y = _three(subscripts)
    inner = product(dim for label, dim in zip(in_a, a.shape, strict=True) if label not in in_y)
    return 2.0 * inner  # type: ignore[operator]


@primitive(infer=_einsum_type, vjp=_einsum_vjp, effort=_einsum_effort, blas=True, temporaries=2, name="einsum",
           samples=cases(
    call("f64[2,3,4]", "f64[2,3,4]", subscripts="abc,abc->ab"), call("f64[2,3]", "f64[2,3]", subscripts="ab,ab->"),
    call("f64[2,3,4]", "f64[3,4,5]", subscripts="abc,bcd->ad"), call("f64[2,3]", "f64[4]", subscripts="ab,c->cab"),
    call("f64[2,3,4]", "f64[4,5,2]", subscripts="abc,cda->dab"),
    call("f64[2,3,4]", "f64[4,3]", subscripts="abc,cb->ab"),
    call("f32[2,3,4,2]", "f32[2,5,4,2]", subscripts="bqhd,bkhd->bhqk"),
    call("f64[2,3,4]", "f32[2,3]", subscripts="abc,ab->ac"),
    call("f64[0,3]", "f64[0,3]", subscripts="ab,ab->b"), call("f64[3,0]", "f64[3,0]", subscripts="ab,ab->a"),
    call("i64[2,3,2]", "i64[3,2,2]", subscripts="abc,bcd->da"), call("bool[2,3]", "bool[2,3]", subscripts="ab,ab->a"),
    call("f16[2,3]", "f16[2,3]", subscripts="ab,ab->a")))  # fmt: skip
def _einsum(a, b, *, subscripts, out=None):
    """The product of two operands with distinct labels, summed over each label that the result does not have."""
    plan = _plan(subscripts)
    if not plan.left and not plan.right and not plan.order_a == plan.order_b == tuple(range(a.ndim)):
        return np.einsum(subscripts, a, b, out=out)  # dot products of columns: one pass over the rows is faster
    a, b = a.transpose(plan.order_a), b.transpose(plan.order_b)
    batch, left = a.shape[: plan.batch], a.shape[plan.batch :][: plan.left]
    inner, right = math.prod(a.shape[plan.batch + plan.left :]), b.shape[b.ndim - plan.right :]
    if not left and not right:
        return np.vecdot(a.reshape(*batch, inner), b.reshape(*batch, inner), out=out)
    shape = (*batch, math.prod(left), math.prod(right))
    rows, columns = a.reshape(*shape[:-1], inner), b.reshape(*batch, inner, shape[-1])
    in_order = plan.order_y == tuple(range(len(plan.order_y)))
    y = np.matmul(rows, columns, out=out.reshape(shape) if out is not None and in_order else None)
    y = y.reshape(*batch, *left, *right).transpose(plan.order_y)
    if out is not None and not in_order:
        np.copyto(out, y)
    return y if out is None else out


def contracted(a: Term, b: Term, kept: Labels) -> Node:
    """The product of two terms, summed over the labels that are not kept, with its axes in the order of `kept`."""
    a, b = summed(a, {*kept, *b.labels}), summed(b, {*kept, *a.labels})
    if {*a.labels, *b.labels} == {*kept}:
        return _spread(a, kept) * _spread(b, kept)
    y = _as_matmul(a, b, kept)
    if y is not None:
        return y
    leading = next((label for label in kept if (label in a.labels) != (label in b.labels)), "")
    if leading not in a.labels:
        a, b = b, a  # then the product makes its axes in the order that is wanted
    return _einsum(a.node, b.node, subscripts=f"{a.labels},{b.labels}->{kept}")


def summed(term: Term, needed: set[str]) -> Term:
    """A term summed over the labels that nothing needs; integers wrap around in their own dtype, as products do."""
    axes = tuple(axis for axis, label in enumerate(term.labels) if label not in needed)
    if not axes:
        return term
    total = ops.sum(term.node, axes)
    total = total if total.dtype == term.node.dtype else total.astype(term.node.dtype)
    return Term("".join(label for label in term.labels if label in needed), total)


def arranged(term: Term, order: Labels) -> Node:
    """A term with its axes in another order."""
    return term.node if term.labels == order else ops.transpose(term.node, [*map(term.labels.index, order)])


def _spread(term: Term, kept: Labels) -> Node:
    """A term with its axes in the order of `kept`, and axes of size 1 for the labels that it lacks after its first."""
    node = arranged(term, "".join(label for label in kept if label in term.labels))
    first = min(map(kept.index, term.labels), default=len(kept))
    lacking = tuple(axis for axis, label in enumerate(kept[first:]) if label not in term.labels)
    return ops.expand_dims(node, lacking) if lacking else node


def _as_matmul(a: Term, b: Term, kept: Labels) -> Node | None:
    """The contraction as a product of matrices, where at most exchanging and transposing the operands makes it one."""
    for left, right in ((a, b), (b, a)):
        for x, y in itertools.product(_orientations(left.labels), _orientations(right.labels)):
            if _matmul_labels(x, y) == kept:
                return _oriented(left, x) @ _oriented(right, y)
    return None


def _orientations(labels: Labels) -> tuple[Labels, ...]:
    return (labels, labels[:-2] + labels[-1] + labels[-2]) if len(labels) > 1 else (labels,)


def _oriented(term: Term, labels: Labels) -> Node:
    return term.node if labels == term.labels else swapped(term.node)


def _matmul_labels(x: Labels, y: Labels) -> Labels | None:
    """What the axes of x @ y are called, or None where that product pairs axes of different labels."""
    batch_x, batch_y = x[:-2], y[:-2]
    if not x or not y or x[-1] != y[-2:][0] or not (batch_x.endswith(batch_y) or batch_y.endswith(batch_x)):
        return None
    return max(batch_x, batch_y, key=len) + x[-2:-1] + (y[-1] if len(y) > 1 else "")
