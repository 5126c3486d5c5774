"""Einstein sums: one of any size becomes a visible sequence of steps, each over one or two operands.

    einsum("bhqd,bhkd,bhke->bhqe", q, k, v)

Diagonals are taken and axes of size 1 dropped first; then pairs of operands are contracted (contraction.py).
"""

from __future__ import annotations

import string
from collections.abc import Sequence

from graphc import ops
from graphc.errors import ShapeError
from graphc.ir import Node
from graphc.op import composite
from graphc.operators import Operand
from graphc.ops.contraction import Labels, Term, arranged, contracted, same_size, summed
from graphc.ops.product import matmul
from graphc.samples import call, cases
from graphc.types import AnyDim, broadcast_dim, promote

__all__ = ["einsum"]

NOMINAL_SIZE = 64
"""What a symbolic dim counts as when the order of contraction is chosen."""


@composite(samples=cases(
    call("ij,jk->ik", "f64[2,3]", "f64[3,4]"), call("ij,kj", "f64[2,3]", "f64[4,3]"), call("ij->ji", "f64[2,3]"),
    call("ba", "f64[2,3]"), call("ii", "f64[3,3]"), call("ii->i", "f64[3,3]"), call("iji->j", "f64[2,3,2]"),
    call("ij->", "f64[2,3]"), call("i->", "i8[5]"), call("i,j->ji", "f64[2]", "f64[3]"),
    call("i,i", "f64[3]", "f64[3]"),
    call("ij,ij->ij", "f64[2,3]", "f64[2,3]"), call("...ij,...jk->...ik", "f64[4,2,3]", "f64[3,5]"),
    call("...i->...", "f64[2,3]"), call("i...,i...", "f64[3,2]", "f64[3,1]"), call(",i->i", "f64[]", "f64[3]"),
    call("bhqd,bhkd,bhke->bhqe", "f64[2,2,3,2]", "f64[2,2,4,2]", "f64[2,2,4,3]"),
    call("ij,jk,kl,lm->im", "f64[2,3]", "f64[3,4]", "f64[4,2]", "f64[2,3]"), call("ij,jk->ik", "f64[2,1]", "f64[3,4]"),
    call("i,ij,j", "f64[2]", "f64[2,3]", "f64[3]"), call("ij,kl->", "f64[2,2]", "f64[2,3]"),
    call("bi,ijk,bj->bk", "f64[2,3]", "f64[3,4,2]", "f64[2,4]"), call("ij,j->i", "bool[2,3]", "bool[3]"),
    call("ij,jk", "f64[2,0]", "f64[0,3]"), call("ij,jk->ik", "i64[2,3]", "f32[3,2]"),
    call("ii,ij->j", "f64[2,2]", "f64[2,3]")))  # fmt: skip
def einsum(subscripts: str, *operands: Operand) -> Node:
    """Einstein's summation: the product of the operands, summed over each label that the result does not have.

    `subscripts` has a letter per axis: "ij,jk->ik" is the matrix product, "ii->i" a diagonal, "...ij->...ji" swaps the
    last two axes. Without "->" the result has the labels that occur once, in alphabetic order. Three operands and more
    are contracted in pairs, in the order that opt_einsum finds cheapest (Smith and Gray, 2018). Raises ShapeError for
    subscripts and shapes that do not fit.
    """
    nodes = matmul.lift(operands)
    inputs, output = _parsed(subscripts, [node.ndim for node in nodes])
    sizes = _sizes(inputs, nodes)
    dtype = promote(*(node.dtype for node in nodes))
    terms = [_simple(Term(labels, node if node.dtype == dtype else node.astype(dtype)), sizes)
             for labels, node in zip(inputs, nodes, strict=True)]  # fmt: skip
    for pair in _path(terms, output, sizes):
        b, a = (terms.pop(position) for position in sorted(pair, reverse=True))
        needed = {*output, *"".join(term.labels for term in terms)}
        kept = "".join(label for label in dict.fromkeys(a.labels + b.labels) if label in needed) if terms else output
        terms.append(Term(kept, contracted(a, b, kept)))
    return arranged(summed(terms[0], {*output}), output)


# Subscripts.


def _parsed(subscripts: str, ranks: Sequence[int]) -> tuple[list[Labels], Labels]:
    """The labels of each operand and of the result, letters of its own in place of the ellipsis."""
    if not isinstance(subscripts, str):
        raise ShapeError(f"einsum expected subscripts first, got {subscripts!r}",
                         remedy='write einsum("ij,jk->ik", a, b)')  # fmt: skip
    left, arrow, right = subscripts.replace(" ", "").partition("->")
    inputs = left.split(",")
    if len(inputs) != len(ranks):
        raise ShapeError(f"einsum {subscripts!r} is for {len(inputs)} operands, got {len(ranks)}",
                         remedy="write the labels of each operand, separated by commas")  # fmt: skip
    hidden = [max(0, rank + 3 - len(labels)) if "..." in labels else 0
              for labels, rank in zip(inputs, ranks, strict=True)]  # fmt: skip
    dots = [label for label in string.ascii_letters if label not in subscripts][: max(hidden)]
    inputs = [labels.replace("...", "".join(dots[len(dots) - count :]), 1)
              for labels, count in zip(inputs, hidden, strict=True)]  # fmt: skip
    output = right.replace("...", "".join(dots), 1) if arrow else "".join(dots) + _once(left)
    _check_labels(subscripts, inputs, output, ranks)
    if not {*dots} <= {*output}:
        raise ShapeError(f"einsum {subscripts!r} has axes under an ellipsis that the result lacks",
                         remedy='write "..." after the arrow too, or give those axes letters')  # fmt: skip
    return inputs, output


def _once(text: str) -> Labels:
    """The result's labels where none are given: those that occur once, in alphabetic order."""
    return "".join(sorted(label for label in {*text} - {*".,"} if text.count(label) == 1))


def _check_labels(subscripts: str, inputs: Sequence[Labels], output: Labels, ranks: Sequence[int]) -> None:
    for position, (labels, rank) in enumerate(zip(inputs, ranks, strict=True)):
        if len(labels) != rank or not {*labels} <= {*string.ascii_letters}:
            raise ShapeError(f"einsum {subscripts!r} expected a letter per axis of operand {position}, of rank {rank}",
                             remedy='write one letter per axis, or "..." for any number of axes')  # fmt: skip
    if len({*output}) != len(output) or not {*output} <= {*"".join(inputs)}:
        raise ShapeError(f"einsum {subscripts!r} expected distinct labels of operands for the result, got {output!r}",
                         remedy="name each axis of the result once, by a label of an operand")  # fmt: skip


# Sizes and order.


def _sizes(inputs: Sequence[Labels], nodes: Sequence[Node]) -> dict[str, AnyDim]:
    """The size of each label: axes of one operand must agree, those of several broadcast."""
    sizes: dict[str, AnyDim] = {}
    for labels, node in zip(inputs, nodes, strict=True):
        own: dict[str, AnyDim] = {}
        for label, dim in zip(labels, node.shape, strict=True):
            own[label] = same_size(label, own.get(label, dim), dim)
        for label, dim in own.items():
            known = sizes.get(label, 1)
            sizes[label] = broadcast_dim(known, dim) if 1 in (known, dim) else same_size(label, known, dim)
    return sizes


def _simple(term: Term, sizes: dict[str, AnyDim]) -> Term:
    """A term with distinct labels of full size: diagonals taken, axes of size 1 that would stretch dropped."""
    labels, node = term
    for label in dict.fromkeys(labels):
        while labels.count(label) > 1:
            first = labels.index(label)
            second = labels.index(label, first + 1)
            node = ops.diagonal(node, axis1=first, axis2=second)
            labels = labels[:first] + labels[first + 1 : second] + labels[second + 1 :] + label
    stretched = tuple(axis for axis, label in enumerate(labels) if node.shape[axis] == 1 != sizes[label])
    if stretched:
        node = ops.squeeze(node, stretched)
    return Term("".join(label for axis, label in enumerate(labels) if axis not in stretched), node)


def _path(terms: Sequence[Term], output: Labels, sizes: dict[str, AnyDim]) -> Sequence[tuple[int, ...]]:
    """Which two terms to contract at each step; the result of a step goes to the end of the list."""
    if len(terms) <= 2:
        return [(0, 1)][: len(terms) - 1]
    import opt_einsum

    numbers = {label: max(1, dim) if isinstance(dim, int) else NOMINAL_SIZE for label, dim in sizes.items()}
    shapes = [tuple(numbers[label] for label in term.labels) for term in terms]
    subscripts = ",".join(term.labels for term in terms) + "->" + output
    path: Sequence[tuple[int, ...]] = opt_einsum.contract_path(subscripts, *shapes, shapes=True)[0]
    return path
