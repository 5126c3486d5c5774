"""Type rules for elementwise ops: NumPy's promotion, NumPy's broadcasting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from graphc.errors import DTypeError
from graphc.op.record import Infer
from graphc.types import SHORT_NAMES, AnyType, TupleType, Type, as_dtype, broadcast_shapes, promote


def _elementwise(rule: Callable[..., np.dtype[Any]]) -> Infer:
    def infer(*types: Type, **attrs: Any) -> Type:
        shape = types[0].shape if len(types) == 1 else broadcast_shapes(*(t.shape for t in types))
        return Type(rule(*(t.dtype for t in types)), shape)

    infer.elementwise = True  # type: ignore[attr-defined]
    infer.__name__ = rule.__name__.strip("_")
    return infer


_NARROW = map(as_dtype, ("bool", "int8", "uint8", "int16", "uint16"))
_FLOAT_OF = {dtype: as_dtype(np.result_type(dtype, np.float16)) for dtype in _NARROW}


def float_of(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The float dtype that NumPy computes exp and its kin in: f16 for 8 bits, f32 for 16, f64 for wider integers."""
    return dtype if dtype.kind == "f" else _FLOAT_OF.get(dtype, np.dtype("float64"))


def _broadcast(*dtypes: np.dtype[Any]) -> np.dtype[Any]:
    return promote(*dtypes)


def _broadcast_numbers(*dtypes: np.dtype[Any]) -> np.dtype[Any]:
    result = promote(*dtypes)
    if result.kind == "b":
        raise DTypeError("expected numbers, got truth values", remedy="convert one operand with .astype")
    return result


def _broadcast_floats(*dtypes: np.dtype[Any]) -> np.dtype[Any]:
    """As NumPy, which chooses floats that hold each operand: f16 for i8 beside u8, which promote to i16."""
    return promote(*map(float_of, dtypes))


def _broadcast_integers(*dtypes: np.dtype[Any]) -> np.dtype[Any]:
    result = promote(*dtypes)
    if result.kind == "f":
        raise DTypeError(f"expected integers or truth values, got {', '.join(map(str, dtypes))}",
                         remedy="convert the operands with .astype")  # fmt: skip
    return result


def _broadcast_truths(*dtypes: np.dtype[Any]) -> np.dtype[Any]:
    return np.dtype("bool")


def like(ufunc: np.ufunc) -> Infer:
    """The type rule of a NumPy ufunc: the dtypes are those that NumPy itself resolves, one or several."""

    def infer(*types: Type) -> AnyType:
        shape = types[0].shape if len(types) == 1 else broadcast_shapes(*(t.shape for t in types))
        results = [Type(as_dtype(dtype), shape) for dtype in _resolved(ufunc, [t.dtype for t in types])]
        return results[0] if ufunc.nout == 1 else TupleType(results)

    infer.elementwise = ufunc.nout == 1  # type: ignore[attr-defined]
    infer.__name__ = ufunc.__name__
    return infer


def _resolved(ufunc: np.ufunc, dtypes: Sequence[np.dtype[Any]]) -> Sequence[np.dtype[Any]]:
    try:
        return ufunc.resolve_dtypes((*dtypes, *(None,) * ufunc.nout))[ufunc.nin :]
    except TypeError:
        names = " and ".join(SHORT_NAMES[dtype] for dtype in dtypes)
        raise DTypeError(f"{ufunc.__name__} of {names} does not exist, as in NumPy",
                         remedy="convert the operands with .astype") from None  # fmt: skip


broadcast = _elementwise(_broadcast)
broadcast_numbers = _elementwise(_broadcast_numbers)
broadcast_floats = _elementwise(_broadcast_floats)
broadcast_integers = _elementwise(_broadcast_integers)
broadcast_truths = _elementwise(_broadcast_truths)
