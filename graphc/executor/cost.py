"""The cost model: predicted nanoseconds and counted operations of a node, from its op's effort and its types.

The constants are measured with NumPy 2.4 and OpenBLAS on one core of an AVX-512 server (f32, arrays of 10⁵ elements:
addition 0.15 ns an element, exp 0.5, matrix product 0.0105 a FLOP). Only their proportions matter: they decide what is
worth a second thread, and how large the blocks are. What is moved beyond a cache is an estimate, the same for all
machines.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from graphc.ir import Node
from graphc.types import AnyType, TupleType, Type

NS_PER_CALL = 400.0
"""Calling a NumPy function at all."""
NS_PER_BYTE = 0.0125
"""Moving a byte between a core and the second- or third-level cache."""
CACHE_BYTES = 1 << 24
"""Bytes that are moved beyond so many come from memory, or go there ..."""
NS_PER_FAR_BYTE = 0.04
"""... which takes so much longer: streams of 2²⁴ elements and more move 20 GB a second on one core."""
NS_PER_EFFORT = 0.016
"""One unit of an op's effort, for each byte of an element's width: an f32 exp has an effort of 8 and takes 0.5 ns."""
NS_PER_BLAS_FLOP = 0.003
"""One operation inside BLAS, for each byte of an element's width."""
WAKE_NS = 100_000.0
"""What parallel work must gain before it pays: waking another thread and meeting it again, measured at 20 to 50 µs on
an idle machine and up to 170 on a busy one."""


def arrays(kind: AnyType) -> Sequence[Type]:
    """The types of the arrays that a value consists of: one, or those of a tuple."""
    return kind.elements if isinstance(kind, TupleType) else (kind,)


def static_shape(kind: Type) -> tuple[int, ...]:
    """The shape of a type whose dims are all integers."""
    return kind.shape  # type: ignore[return-value]


def elements(kinds: Iterable[AnyType]) -> int:
    """The number of elements of the largest array among some types."""
    return max((math.prod(static_shape(part)) for kind in kinds for part in arrays(kind)), default=0)


def operations(node: Node) -> float:
    """The arithmetic operations of a node: its effort for each element, of the result or of a larger operand.

    An effort that is a function speaks for itself, and counts for the elements of the result.
    """
    op, operands = node.op, [source.type for source in node.inputs]
    if op.view or op.leaf or not operands:
        return 0.0
    if callable(op.effort):
        return op.effort(node.type, *operands, **node.attrs) * elements([node.type])
    return op.effort * elements([node.type, *operands])


def far_nanoseconds(nbytes: float) -> float:
    """What moving so many bytes takes longer because a cache does not hold all of them."""
    return max(nbytes - CACHE_BYTES, 0.0) * NS_PER_FAR_BYTE


def nanoseconds(node: Node) -> float:
    """The predicted time of a node on one core; that of elementwise ones in blocks, which stay in a cache."""
    if node.op.leaf or not node.inputs:
        return 0.0
    if node.op.view:
        return NS_PER_CALL
    width = arrays(node.type)[0].dtype.itemsize
    rate = NS_PER_BLAS_FLOP if node.op.blas and node.type.is_float else NS_PER_EFFORT
    moved = node.type.nbytes + (0 if callable(node.op.effort) else sum(source.type.nbytes for source in node.inputs))
    far = 0.0 if node.op.elementwise else far_nanoseconds(moved)
    return NS_PER_CALL + max(operations(node) * rate * width, moved * NS_PER_BYTE + far)


def temporary_bytes(node: Node) -> float:
    """What a node's body allocates on the way to its result."""
    taken, kinds = node.op.temporaries, (node.type, *[source.type for source in node.inputs])
    if callable(taken):
        return taken(*kinds, **node.attrs)
    return taken * max(kind.nbytes for kind in kinds) if taken else 0.0


def copy_nanoseconds(kind: AnyType) -> float:
    """The predicted time of copying a value."""
    return NS_PER_CALL + 2 * kind.nbytes * NS_PER_BYTE + far_nanoseconds(2 * kind.nbytes)
