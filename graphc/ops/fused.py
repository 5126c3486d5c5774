"""What passes make for backends: several ops as one node that holds them as a graph, and products of parts."""

from __future__ import annotations

from typing import Any

from graphc.ir import Graph, Node
from graphc.op import primitive
from graphc.ops.core import add_n, placeholder, stop_gradient
from graphc.ops.product import matmul
from graphc.samples import call, cases
from graphc.types import AnyType, TupleType, Type

__all__ = ["kernel", "matmul_within"]


def _results(*types: Type, body: Graph) -> AnyType:
    kinds = [output.array_type for output in body.outputs]
    return kinds[0] if len(kinds) == 1 else TupleType(kinds)


def _effort(y: AnyType, *operands: Type, body: Graph) -> float:
    return sum(map(_effort_of, body.nodes))


def _effort_of(node: Node) -> float:
    """The additions per element of a node; of those that tell it themselves only products are in kernels."""
    effort = node.op.effort
    if callable(effort):
        return effort(node.type, *(source.type for source in node.inputs), **node.attrs) if node.op.blas else 0.0
    return effort


def _sample() -> Graph:
    x = placeholder("x", (3,), "f64")
    return Graph([x], [add_n(x, x), stop_gradient(x)])


@primitive(infer=_results, effort=_effort, samples=cases(call("f64[3]", body=_sample())))
def kernel(*operands: Any, body: Graph) -> Any:
    """The values of a graph's outputs for its inputs, computed in one walk over their index space."""
    from graphc.evaluate import evaluate

    results = evaluate(body.outputs, dict(zip(body.inputs, operands, strict=True)))
    return results[0] if len(results) == 1 else tuple(results)


def _within_type(a: Type, b: Type, exact: Type, *, rows: Any, columns: Any, read: Any) -> AnyType:
    return matmul.infer(a, b)


def _within_effort(y: Type, a: Type, b: Type, exact: Type, *, rows: Any, columns: Any, read: Any) -> float:
    return 2.0 * a.static_shape[-1]


_EVERYTHING = {"rows": None, "columns": None, "read": None}


@primitive(infer=_within_type, effort=_within_effort, blas=True, samples=cases(
    call("f64[2,3]", "f64[3,4]", True, **_EVERYTHING),
    call("f32[5,2,3]", "f32[3,4]", False, **_EVERYTHING)))  # fmt: skip
def matmul_within(a: Any, b: Any, exact: Any, *, rows: Any, columns: Any, read: Any, out: Any = None) -> Any:
    """The matrix product of two matrices, or batches of them, of which parts may be left out if `exact` is true.

    Then row i of a is zero outside of rows[i] = (from, to), column j of b outside of columns[j], and nobody reads row
    i of the result outside of read[i]; None stands for everything. Here everything is computed.
    """
    return matmul.body(a, b, out=out)
