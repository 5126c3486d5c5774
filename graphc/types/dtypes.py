"""The dtypes of graphc, their short names, and NumPy 2's promotion among them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphc.errors import DTypeError

DTYPES: dict[str, np.dtype[Any]] = {
    "bool": np.dtype("bool"),
    "i8": np.dtype("int8"), "i16": np.dtype("int16"), "i32": np.dtype("int32"), "i64": np.dtype("int64"),
    "u8": np.dtype("uint8"), "u16": np.dtype("uint16"), "u32": np.dtype("uint32"), "u64": np.dtype("uint64"),
    "f16": np.dtype("float16"), "f32": np.dtype("float32"), "f64": np.dtype("float64"),
}  # fmt: skip
SHORT_NAMES = {dtype: short for short, dtype in DTYPES.items()}


def as_dtype(spec: object) -> np.dtype[Any]:
    """The dtype that `spec` names: 'float32', 'f32', np.float32, np.dtype('<f4') or a Python scalar type."""
    if isinstance(spec, np.dtype) and spec in SHORT_NAMES and spec.isnative:
        return spec
    if isinstance(spec, str) and spec in DTYPES:
        if spec in ("i8", "u8"):
            long = "int" if spec == "i8" else "uint"
            raise DTypeError(f'"{spec}" has 8 bits as graphc prints types, and 64 bits to NumPy',
                             remedy=f'write "{long}8" or "{long}64"')  # fmt: skip
        return DTYPES[spec]
    try:
        dtype: np.dtype[Any] = np.dtype(spec).newbyteorder("=")  # type: ignore[call-overload]
    except TypeError:
        raise DTypeError(f"expected a dtype, got {spec!r}", remedy=f"use one of {', '.join(DTYPES)}") from None
    if dtype not in SHORT_NAMES:
        raise DTypeError(f"graphc has no dtype {dtype}", remedy=f"use one of {', '.join(DTYPES)}")
    return dtype


def promote(*dtypes: np.dtype[Any]) -> np.dtype[Any]:
    """NumPy 2's promotion."""
    first = dtypes[0]
    if all(dtype is first for dtype in dtypes):
        return first
    return np.result_type(*dtypes)


def weak_dtype(scalar: complex, others: Sequence[np.dtype[Any]]) -> np.dtype[Any]:
    """The dtype that a Python scalar takes beside others: f32 beside f32, the default dtype on its own."""
    return as_dtype(np.result_type(scalar, *others))
