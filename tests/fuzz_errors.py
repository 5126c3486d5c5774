"""What rounding errors make of a random program: float64 runs in which every step errs by as much as its dtype may.

This is Monte Carlo arithmetic (D. S. Parker, 1997). It shows how ill-conditioned a program is wherever that begins,
not only at the inputs: a cosine of a sum near 1000 loses the digits that the sum has before its point.

Steps that are exact err in no run, for what depends on them may jump: values that the dtype has (results of small
multiples of 1/4 are), and those that are copied.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from fuzz_programs import Made

from graphc.evaluate import _sizes, value_of
from graphc.ir import topological

Arrays = Sequence[Any]
ERROR = 4
"""So many units in the last place a step errs."""


def with_errors(twin: Made, feeds: Arrays, dtype: str, rng: np.random.Generator) -> list[Any]:
    """What a float64 program makes of errors of another dtype: outputs, then the new values of variables."""
    nodes = [*twin.outputs, *twin.updates.values()]
    leaves = dict(zip(twin.inputs, feeds, strict=True)) | {variable: variable.value for variable in twin.variables}
    values = {leaf: _moved(np.asarray(value), _is_uneven(value), dtype, rng) for leaf, value in leaves.items()}
    sizes = _sizes({node: values[node] for node in twin.inputs})
    with np.errstate(all="ignore"):
        for node in topological(nodes):
            if node not in values:
                operands = [values[operand] for operand in node.inputs]
                values[node] = _erring(value_of(node, operands, sizes), operands, dtype, rng)
    return [np.asarray(values[node]) for node in nodes]


def _is_uneven(value: Any) -> Any:
    """Where an input is no multiple of 1/4: at those are the jumps and kinks."""
    return value * 4 != np.round(value * 4)


def _erring(value: Any, operands: Arrays, dtype: str, rng: np.random.Generator) -> Any:
    """A step's result, or its several ones, with errors where it is not exact."""
    if isinstance(value, tuple):
        return tuple(_erring(part, operands, dtype, rng) for part in value)
    value = np.asarray(value)
    if value.dtype != np.float64:
        return value
    rounded = value != value.astype("float16" if dtype == "float16" else "float32")
    if rounded.any():
        read = [np.abs(np.ravel(operand)) for operand in operands if getattr(operand, "dtype", None) == np.float64]
        rounded &= ~np.isin(np.abs(value), np.concatenate(read)) if read else True
    return _moved(value, rounded, dtype, rng)


def _moved(value: Any, where: Any, dtype: str, rng: np.random.Generator) -> Any:
    if value.dtype.kind != "f":
        return value
    return np.where(where, value * (1 + ERROR * np.finfo(dtype).eps * rng.choice([-1.0, 1.0], value.shape)), value)
