"""The reference semantics: walk the graph in order and call each op's NumPy body."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from graphc.errors import ExecutionError, FeedError, GraphcError
from graphc.feeds import as_feed
from graphc.ir import Node, Variable, topological


def evaluate(outputs: Sequence[Node], feed: Mapping[Node, Any] | None = None) -> list[Any]:
    """The value of each output, computed one node at a time. `feed` may also replace inner nodes by values."""
    values: dict[Node, Any] = {}
    for leaf, value in (feed or {}).items():
        values[leaf] = as_feed(leaf, value)
    with np.errstate(all="ignore"):
        for node in topological(outputs):
            if node not in values:
                values[node] = value_of(node, [values[i] for i in node.inputs])
    return [values[node] for node in outputs]


def value_of(node: Node, operands: Sequence[Any]) -> Any:
    """One node's value from its operands' values; an exception names the node and the user's line."""
    if isinstance(node, Variable):
        return node.value
    if node.op.leaf:
        raise FeedError(f"expected a value for {node.name} : {node.type}, got none", nodes=[node],
                        remedy=f"feed it: {{{node.name}: array}}")  # fmt: skip
    try:
        return node.op.body(*operands, **node.attrs)
    except GraphcError:
        raise
    except Exception as error:
        raise failed(node, error) from error


def failed(node: Node, error: BaseException) -> ExecutionError:
    """The sentence for an exception inside a node's body."""
    return ExecutionError(f"{node.op.name} failed: {type(error).__name__}: {error}", nodes=[node, *node.inputs],
                          remedy="check the values that reach this node; compile with debug=True to see the first bad one")  # fmt: skip
