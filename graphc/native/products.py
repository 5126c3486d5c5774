"""Matrix products and contractions of two operands as tasks: which fit the product kernels, and how operands lie."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache, partial
from itertools import pairwise
from typing import NamedTuple

from graphc.executor.cost import NS_PER_BLAS_FLOP, NS_PER_BYTE, far_nanoseconds
from graphc.ir import Node
from graphc.native.code.library import LIBRARY, Made
from graphc.native.code.writer import SYMBOL
from graphc.native.gemm.product import Product, Stage
from graphc.native.gemm.stages import multiplication, packing
from graphc.native.storage import Storage
from graphc.native.strides import Steps, broadcast, contiguous
from graphc.native.work import NUMBER, Pointer
from graphc.types import Type

NS_PER_STAGE = 60.0
"""Entering the kernel of a product and leaving it."""


class Axis(NamedTuple):
    """A size, and elements to step along it."""

    size: int
    stride: int


Axes = tuple[Axis, ...]


@dataclass(frozen=True)
class Compiled:
    """The kernels of a product: address, blocks and time of each, to run one after the other."""

    product: Product
    stages: tuple[tuple[Made, int, float], ...]
    scratch_bytes: int
    ns: float
    flops: int

    @property
    def numbers(self) -> list[Pointer]:
        """What stands in the kernels' table behind all pointers."""
        return [(NUMBER, number) for number in self.product.numbers]


def product_of(node: Node, storage: Storage) -> Product | None:
    """The product that a node is, if its operands and its result lie as the kernels can read and write them."""
    product = described(node, node.inputs, storage)
    if product is None or storage.root(node) is node:
        return product
    return replace(product, c=storage.steps_over(node, node.ndim))


def described(node: Node, factors: Sequence[Node], storage: Storage) -> Product | None:
    """The product that a node would be of these values, which lie somewhere, with a result in C order."""
    describe = _DESCRIBERS.get(node.op.name)
    kinds = [kind.array_type for kind in (node, *node.inputs)] if describe else []
    dtypes = {kind.dtype for kind in kinds[:3]}
    if describe is None or len(dtypes) != 1 or node.dtype.kind != "f" or node.dtype.itemsize < 4:
        return None
    if any(0 in kind.shape for kind in kinds):
        return None
    return describe(node, *[_axes(source.array_type, storage.layout[source].strides) for source in factors[:2]])


@lru_cache(maxsize=1024)
def _axes(kind: Type, strides: tuple[int, ...]) -> Axes:
    return tuple(Axis(size, stride // kind.dtype.itemsize)
                 for size, stride in zip(kind.static_shape, strides, strict=True))  # fmt: skip


def _result_axes(kind: Type) -> Axes:
    return _axes(kind, contiguous(kind))


def _matmul(node: Node, a: Axes, b: Axes) -> Product | None:
    return _of_matrices(node.array_type, a, b, limited=False)


def _within(node: Node, a: Axes, b: Axes) -> Product | None:
    return _of_matrices(node.array_type, a, b, limited=True)


@lru_cache(maxsize=1024)
def _of_matrices(kind: Type, a: Axes, b: Axes, *, limited: bool) -> Product:
    """A vector is a matrix of one row on the left and of one column on the right."""
    c = _result_axes(kind)
    if len(a) == 1:
        a, c = (Axis(1, 0), *a), (*c[:-1], Axis(1, 0), *c[-1:]) if len(b) > 1 else (*c, Axis(1, 0))
    if len(b) == 1:
        b, c = (*b, Axis(1, 0)), (*c, Axis(1, 0))
    batch = tuple(axis.size for axis in c[:-2])
    (m, k), n = (axis.size for axis in a[-2:]), b[-1].size
    in_a, in_b = ((*_batch(x[:-2], len(batch)), *(axis.stride for axis in x[-2:])) for x in (a, b))
    in_c = tuple(axis.stride for axis in c)
    return Product(batch, m, n, k, kind.dtype, in_a, in_b, in_c, limited=limited, general=True)


def _batch(axes: Sequence[Axis], rank: int) -> Steps:
    """Strides along the batch axes of a result of that rank."""
    return broadcast([axis.size for axis in axes], [axis.stride for axis in axes], rank)


def _einsum(node: Node, a: Axes, b: Axes) -> Product | None:
    """Labels are batch, left, right or inner; each but the batch must be one axis, or several that make one."""
    operands, _, y = node.attrs["subscripts"].partition("->")
    in_a, _, in_b = operands.partition(",")
    given = (in_a, a), (in_b, b), (y, _result_axes(node.array_type))
    lie = [dict(zip(labels, axes, strict=True)) for labels, axes in given]
    batch = [label for label in y if label in in_a and label in in_b]
    left, right = ([label for label in y if label not in other] for other in (in_b, in_a))
    inner = [label for label in in_a if label not in y]
    if not left and not right:
        return None  # dot products of columns: NumPy walks the rows once
    merged = [_merged([lie[i][label] for label in labels])
              for i, labels in ((0, left), (0, inner), (1, inner), (1, right), (2, left), (2, right))]  # fmt: skip
    if None in merged:
        return None
    rows_a, deep_a, deep_b, columns_b, rows_y, columns_y = (axis for axis in merged if axis is not None)
    steps = [tuple(lie[i][label].stride if lie[i][label].size != 1 else 0 for label in batch) for i in range(3)]
    return Product(tuple(lie[2][label].size for label in batch), rows_a.size, columns_b.size, deep_a.size, node.dtype,
                   (*steps[0], rows_a.stride, deep_a.stride), (*steps[1], deep_b.stride, columns_b.stride),
                   (*steps[2], rows_y.stride, columns_y.stride), general=True)  # fmt: skip


def _merged(axes: Sequence[Axis]) -> Axis | None:
    """Several axes as one, if their elements follow one another evenly."""
    real = [axis for axis in axes if axis.size != 1]
    if any(one.stride != other.stride * other.size for one, other in pairwise(real)):
        return None
    return Axis(math.prod(axis.size for axis in real), real[-1].stride if real else 0)


_DESCRIBERS: dict[str, Callable[..., Product | None]] = {
    "matmul": _matmul, "matmul_within": _within, "einsum": _einsum}  # fmt: skip


@cache
def compiled(product: Product) -> Compiled:
    """The kernels of a product. Raises LLVMError."""
    made = tuple((LIBRARY.kernel((stage.layout, stage.write.__name__), partial(stage.write, stage.layout),
                                   SYMBOL), stage.blocks) for stage in product.stages)  # fmt: skip
    takes = [_moving_ns(product, stage) for stage in product.stages]
    left = product.flops * product.dtype.itemsize * NS_PER_BLAS_FLOP - sum(takes)
    stages = tuple((address, blocks, NS_PER_STAGE + (ns or max(left, 0.0)))
                   for (address, blocks), ns in zip(made, takes, strict=True))  # fmt: skip
    return Compiled(product, stages, product.scratch_bytes, sum(ns for *_, ns in stages), product.flops)


def _moving_ns(product: Product, stage: Stage) -> float:
    """What a stage takes that copies A, or adds up the parts of k; 0 for the one that multiplies."""
    if stage.write is multiplication:
        return 0.0
    packed = math.prod(product.batch) * product.m * product.k * product.dtype.itemsize
    nbytes = 2 * (packed if stage.write is packing else product.parts_bytes)
    return nbytes * NS_PER_BYTE + far_nanoseconds(nbytes)
