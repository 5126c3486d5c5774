"""The reference semantics: walk the graph in order and call each op's NumPy body."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from graphc.errors import ExecutionError, FeedError, GraphcError
from graphc.feeds import as_feed
from graphc.ir import NO_ATTRS, Graph, Node, Variable, topological
from graphc.signals import let_through
from graphc.types import Dim, substitute


def evaluate(outputs: Sequence[Node], feed: Mapping[Node, Any] | None = None) -> list[Any]:
    """The value of each output, computed one node at a time. `feed` may also replace inner nodes by values."""
    values = {leaf: in_order(as_feed(leaf, value)) for leaf, value in (feed or {}).items()}
    sizes = _sizes(values)
    with np.errstate(all="ignore"):
        for node in topological(outputs):
            if node not in values:
                values[node] = value_of(node, [values[i] for i in node.inputs], sizes)
    return [values[node] for node in outputs]


def _sizes(values: Mapping[Node, Any]) -> dict[str, int]:
    """What the symbols in the shapes of fed nodes stand for."""
    pairs = [pair for leaf, value in values.items() for pair in zip(leaf.shape, value.shape, strict=True)]
    return {dim.key: size for dim, size in pairs if isinstance(dim, Dim) and dim.names() == {dim.key}}


def value_of(node: Node, operands: Sequence[Any], sizes: Mapping[str, int] = NO_ATTRS) -> Any:
    """One node's value from its operands' values; an exception names the node and the user's line."""
    if isinstance(node, Variable):
        return node.value
    if node.op.leaf:
        raise FeedError(f"expected a value for {node.name} : {node.type}, got none", nodes=[node],
                        remedy=f"feed it: {{{node.name}: array}}")  # fmt: skip
    try:
        attrs = {name: substitute(value, sizes) for name, value in node.attrs.items()} if sizes else node.attrs
        result = node.op.body(*operands, **attrs)
    except GraphcError:
        raise
    except Exception as error:
        raise failed(node, error) from error
    return result if node.op.view else in_order(result)


def in_order(value: Any) -> Any:
    """A value whose elements lie in order, the last axis running fastest, as all but views do in every run.

    NumPy sums in the order of memory, so the last bits of a value must not depend on what it was computed from.
    """
    if isinstance(value, tuple):
        return tuple(map(in_order, value))
    return np.asarray(value, order="C") if isinstance(value, np.ndarray) else value


def failed(node: Node, error: BaseException) -> ExecutionError:
    """The sentence for an exception inside a node's body. One of a signal's handler is raised as it is."""
    let_through(error)
    return ExecutionError(
        f"{node.op.name} failed: {type(error).__name__}: {error}", nodes=map(_declared, (node, *node.inputs)),
        remedy="check the values that reach this node; compile with debug=True to see the first bad one",
    )  # fmt: skip


def _declared(node: Node) -> Node:
    """What to call a value that a kernel computes: the node of its body, which has the user's name and line."""
    index = node.attrs.get("index", 0)
    body = (node.inputs[0] if "index" in node.attrs else node).attrs.get("body")
    if not isinstance(body, Graph) or not isinstance(index, int) or not body.outputs[index].inputs:
        return node
    return body.outputs[index].replace(type=node.type)
