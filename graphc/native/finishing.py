"""Kernels that begin with a product: the elementwise rest becomes the product's epilogue.

The product's kernel computes it from the vectors of sums before it stores them: sums that nothing else needs are never
written.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from llvmlite import ir

from graphc.ir import Graph, Node
from graphc.native.code import elementwise
from graphc.native.code.elementwise import has_vectors
from graphc.native.code.scalars import Value, Wide, number
from graphc.native.gemm.epilogues import Access, Epilogue
from graphc.native.kernel.structure import is_in_table, ops_of, structure_of, without_sizes
from graphc.native.products import described
from graphc.native.storage import Storage
from graphc.native.work import Fixed
from graphc.op import OPS

DEAR = 7.0
"""So many additions an element are mathematics."""


def product_in(node: Node) -> Node | None:
    """The product that a kernel begins with."""
    body = node.attrs.get("body")
    return next((inner for inner in body.nodes if inner.op.blas), None) if isinstance(body, Graph) else None


def is_finishable(node: Node) -> bool:
    """Whether a product's kernel can take an epilogue along; what has no elements is no product's kernel."""
    if node.op is not OPS["matmul"] or min(source.ndim for source in node.inputs) < 2:
        return False
    if any(0 in value.shape for value in (node, *node.inputs)):
        return False
    dtypes = {value.dtype for value in (node, *node.inputs)}
    return len(dtypes) == 1 and node.dtype.kind == "f" and node.dtype.itemsize >= 4


def is_product(node: Node) -> bool:
    """Whether a product's kernel computes a value, which it writes wherever the elements are to lie."""
    made = node.inputs[0] if node.op is OPS["item"] else node
    return is_finishable(made) or product_in(made) is not None


def is_along(node: Node) -> bool:
    """Whether an epilogue, which works on whole vectors, should hold a node.

    Mathematics stays a kernel of its own: along with a product, in registers or in a loop over the tile, tanh took as
    long and gelu up to 5 % longer, and its code was written for every product anew.
    """
    return has_vectors(node) and isinstance(node.op.effort, (int, float)) and node.op.effort < DEAR


class Finished:
    """A product with its epilogue: how it is compiled, and what its table holds."""

    def __init__(self, node: Node, inner: Node, storage: Storage) -> None:
        """`node` is the kernel, `inner` the product in its body."""
        self.body: Graph = node.attrs["body"]
        self.given = dict(zip(self.body.inputs, node.inputs, strict=True))
        self.factors = [self.given[source] for source in inner.inputs]
        read = {source for value in self.body.nodes if value is not inner for source in value.inputs}
        self.read = [source for source in self.body.inputs if source in read]
        self.operands = [self.given[source] for source in self.read]
        self.in_table = [value for value in self.body.nodes if is_in_table(value)]
        """Constants that the code reads behind the operands."""
        self.inner, outputs = inner, self.body.outputs
        first = next(i for i, value in enumerate(outputs) if value.dtype == inner.dtype)
        self.order = [first, *(i for i in range(len(outputs)) if i != first)]
        results = storage.results(node)
        written = [_access(results[i], storage) for i in self.order]
        plain, epilogue = described(inner, self.factors, storage), self._epilogue(storage, tuple(written[1:]))
        self.product = None if plain is None else replace(plain, c=written[0].strides, epilogue=epilogue)

    def _epilogue(self, storage: Storage, writes: tuple[Access, ...]) -> Epilogue:
        reads = [_access(source, storage) for source in self.operands]
        reads += [Access((0,) * self.inner.ndim, value.array_type.dtype) for value in self.in_table]
        return Epilogue(self._key(), self._emit, tuple(reads), writes, ops_of(self.body))

    def _key(self) -> Hashable:
        """All that the code depends on: no sizes, and no numbers that it reads."""
        number = self.body.nodes.index(self.inner)
        read = tuple(self.body.inputs.index(source) for source in self.read)
        return "kernel", structure_of(self.body, self._known), number, read, tuple(self.order)

    def _known(self, node: Node) -> Hashable:
        return () if node is self.inner else without_sizes(node)

    @property
    def numbers(self) -> list[Fixed]:
        """Where the code finds its numbers."""
        return [Fixed(np.array(value.attrs["value"], value.array_type.dtype)) for value in self.in_table]

    def _emit(self, b: ir.IRBuilder, value: Any, operand: Callable[[int], Any]) -> Sequence[Any]:
        values = {self.inner: Value(value, self.inner.array_type.dtype)}
        for i, source in enumerate(self.read):
            values[source] = Value(operand(i), source.array_type.dtype)
        for i, constant in enumerate(self.in_table, len(self.read)):
            values[constant] = Value(operand(i), constant.array_type.dtype)
        for node in self.body.nodes:
            if node not in values and not node.op.leaf:
                values[node] = _value(b, node, [values[source] for source in node.inputs], value.type)
        return [values[self.body.outputs[i]].ir for i in self.order]


def _value(b: ir.IRBuilder, node: Node, operands: Sequence[Value], kind: Any) -> Value:
    if not operands:
        return _number(node, kind)
    return operands[0] if node.op.view else elementwise.emit(b, node, operands)


def _number(node: Node, kind: Any) -> Value:
    """A constant, in every lane if there are several."""
    one = number(node.attrs["value"].item(), node.array_type.dtype)
    if not isinstance(kind, ir.VectorType):
        return one
    return Value(ir.Constant(Wide(one.ir.type, kind.count), [one.ir] * kind.count), one.dtype)


def _access(node: Node, storage: Storage) -> Access:
    return Access(storage.steps_over(node, node.ndim), node.array_type.dtype)
