"""A kernel: several ops as one node that holds them as a graph."""

from __future__ import annotations

from typing import Any

from graphc.ir import Graph
from graphc.op import primitive
from graphc.ops.core import add_n, placeholder, stop_gradient
from graphc.samples import call, cases
from graphc.types import AnyType, TupleType, Type

__all__ = ["kernel"]


def _results(*types: Type, body: Graph) -> AnyType:
    kinds = [output.array_type for output in body.outputs]
    return kinds[0] if len(kinds) == 1 else TupleType(kinds)


def _effort(y: AnyType, *operands: Type, body: Graph) -> float:
    return sum(node.op.effort for node in body.nodes if isinstance(node.op.effort, (int, float)))


def _sample() -> Graph:
    x = placeholder("x", (3,), "f64")
    return Graph([x], [add_n(x, x), stop_gradient(x)])


@primitive(infer=_results, effort=_effort, samples=cases(call("f64[3]", body=_sample())))
def kernel(*operands: Any, body: Graph) -> Any:
    """The values of a graph's outputs for its inputs, computed in one walk over their index space."""
    from graphc.evaluate import evaluate

    results = evaluate(body.outputs, dict(zip(body.inputs, operands, strict=True)))
    return results[0] if len(results) == 1 else tuple(results)
