"""Evaluation of nodes whose operands are constants, while a graph is compiled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from graphc.evaluate import in_order, value_of
from graphc.ir import Node, origin_here
from graphc.op import Op
from graphc.operators import OPS
from graphc.ops.core import as_constant
from graphc.rules import Outcome, node_rule, sample
from graphc.types import Type, type_of


def value(node: Node) -> Any:
    """The array that a constant holds, or None."""
    return node.attrs.get("value")


def folded(node: Node) -> Node:
    """A node as a constant where its operands are constants, else the node itself. Raises what its body raises."""
    operands = [value(source) for source in node.inputs]
    if not isinstance(node.type, Type) or any(operand is None for operand in operands):
        return node
    with np.errstate(all="ignore"):
        array = as_constant(value_of(node, [in_order(operand) for operand in operands]))
    return literal(array, node) if type_of(array) == node.type else node


def literal(array: Any, stands_for: Node) -> Node:
    """A constant in the place of a node: with its name and origin."""
    attrs: Mapping[str, Any] = MappingProxyType({"value": array})
    return Node(OPS["constant"], (), attrs, stands_for.type, stands_for.name, origin_here())


def _of_constants(op: Op, operands: Sequence[Op | None]) -> bool:
    return bool(operands) and not op.view and all(source is None or "value" in source.attributes for source in operands)


@node_rule(_of_constants, samples=[sample(lambda: OPS["add"](1.5, 2.0)), sample(lambda: OPS["exp"](1.0))])
def fold_numbers(node: Node) -> Outcome:
    """An op of numbers is a number."""
    for source in node.inputs:
        number = source.attrs.get("value")
        if number is None or number.ndim:
            return None
    return folded(node) if node.type.is_static and node.shape == () else None
