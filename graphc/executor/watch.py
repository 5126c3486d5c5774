"""debug=True: after each step, look for the first NaN or inf that finite operands made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from graphc.errors import ExecutionError
from graphc.executor.steps import Step, Values
from graphc.ir import Node
from graphc.types import Type


def watch(node: Node, slots: Mapping[Node, int]) -> Step | None:
    """A step that raises ExecutionError if this node made a NaN or inf from finite operands; None for other dtypes."""
    if not isinstance(node.type, Type) or not node.type.is_float or node.op.view:
        return None
    at, operands = slots[node], [slots[source] for source in node.inputs]

    def look(values: Values) -> None:
        bad = _not_finite(values[at])
        if bad and not any(_not_finite(values[operand]) for operand in operands):
            raise _error(node, bad, [values[operand] for operand in operands])

    return look


def _not_finite(value: Any) -> str:
    """'NaN' or 'inf' where a value has one. Extremes tell, without memory: NaN passes through both."""
    if isinstance(value, tuple):
        return next(filter(None, map(_not_finite, value)), "")
    if value.dtype.kind != "f" or not value.size:
        return ""
    low, high = np.min(value), np.max(value)
    return "NaN" if np.isnan(low) else "inf" if np.isinf(low) or np.isinf(high) else ""


def _error(node: Node, bad: str, operands: list[Any]) -> ExecutionError:
    ranges = "; ".join(_range(source, value) for source, value in zip(node.inputs, operands, strict=True))
    forward = node.origin.forward
    behind = [] if forward is None else [forward]
    derivative = "" if forward is None else f" in the derivative of {forward.op.name}"
    return ExecutionError(
        f"{node.op.name} made {bad} from finite operands{derivative}: {ranges or 'it has none'}",
        nodes=[node, *behind, *node.inputs],
        remedy="keep its operands inside the op's domain, or use a stable form of the formula",
    )


def _range(source: Node, value: Any) -> str:
    label = f"%{source.name}" if source.name else source.op.name
    if isinstance(value, tuple) or not value.size:
        return f"{label} is {source.type}"
    low, high = np.min(value), np.max(value)
    return f"{label} is {low:g}" if low == high else f"{label} is from {low:g} to {high:g}"
