"""Attribute values and constants as text: exact, on one line."""

from __future__ import annotations

import base64
import math
import re
import struct
import zlib
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from graphc.errors import FormatError, GraphcError
from graphc.text.dims import parse_dim
from graphc.types import DTYPES, SHORT_NAMES, AnyType, Dim, TupleType, Type, size_of

SMALL = 24
"""Arrays of at most so many elements are written as decimals, larger ones as base64 of their compressed bytes."""
SHORT = 3
"""How many elements a text for people shows."""

WORDS: dict[str, Any] = {"None": None, "True": True, "False": False, "nan": math.nan, "inf": math.inf}
_RESERVED = re.compile(rf"-?({'|'.join([*WORDS, *DTYPES, 'graph', 'dim'])})\b")


def value_text(value: Any, *, short: bool = False) -> str:
    """One attribute value. A type without a text form gives `<its name>`, which cannot be read back."""
    write = _WRITERS.get(type(value))
    if write is not None:
        return write(value)
    if type(value) is tuple:
        inner = ", ".join([value_text(element, short=short) for element in value])
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    if isinstance(value, np.dtype) and value in SHORT_NAMES:
        return SHORT_NAMES[value]
    if isinstance(value, (np.ndarray, np.generic)) and value.dtype in SHORT_NAMES:
        array = np.asarray(value)
        return f"{Type(array.dtype, array.shape)}({elements_text(array, short=short)})"
    return f"<{type(value).__module__}.{type(value).__qualname__}>"


def _float_text(value: float) -> str:
    bits = struct.pack(">d", value)
    if value == value or bits == struct.pack(">d", math.nan):
        return repr(value)
    return f"nan(0x{bits.hex()})"


def _dim_text(dim: Dim) -> str:
    return f"dim({dim})" if _RESERVED.match(dim.key) else dim.key


_WRITERS: dict[type, Callable[[Any], str]] = {
    int: repr, bool: repr, type(None): repr, str: repr, bytes: repr, float: _float_text, Dim: _dim_text, Type: repr,
}  # fmt: skip


def elements_text(array: np.ndarray[Any, Any], *, short: bool = False) -> str:
    """The elements of an array between parentheses: exact, or the first few for people."""
    if short and array.size > SHORT:
        shown = (_decimals(array.dtype, element.tobytes()) for element in array.ravel()[:SHORT])
        return ", ".join([text or "…" for text in shown] + ["…"])
    decimals = _decimals(array.dtype, array.tobytes()) if array.size <= SMALL else None
    if decimals is not None:
        return decimals
    data = array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
    return f'"{base64.b64encode(zlib.compress(data, 6)).decode("ascii")}"'


@lru_cache(maxsize=4096)
def _decimals(dtype: np.dtype[Any], data: bytes) -> str | None:
    """The shortest decimals that read back as the same bits, or None where no decimals do: NaNs with a payload."""
    array = np.frombuffer(data, dtype)
    texts = [str(element) for element in array]
    return ", ".join(texts) if _from_decimals(texts, dtype).tobytes() == data else None


def _from_decimals(texts: Sequence[str], dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    read = _READERS.get(dtype.kind, int)
    return np.array([read(text) for text in texts], dtype)


_READERS: dict[str, Callable[[str], Any]] = {"b": {"True": True, "False": False}.__getitem__, "f": float}


def parse_elements(text: str, kind: Type) -> np.ndarray[Any, Any]:
    """The array of a type from what `elements_text` wrote; read-only."""
    if not kind.is_static:
        raise FormatError(f"expected a constant to have integer dims, got {kind}")
    text = text.strip()
    try:
        array = _from_base64(text[1:-1], kind) if text[:1] == '"' else _from_decimals(_split(text), kind.dtype)
        array = array.reshape(kind.shape)
    except (ValueError, KeyError, OverflowError, zlib.error):
        raise FormatError(f"expected {size_of(kind.shape)} elements of {kind}, got {_shortened(text)}",
                          remedy="text printed with short=True shows part of a constant only") from None  # fmt: skip
    array.flags.writeable = False
    return array


def _shortened(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",")] if text else []


def _from_base64(text: str, kind: Type) -> np.ndarray[Any, Any]:
    unpacker = zlib.decompressobj()
    data = unpacker.decompress(base64.b64decode(text, validate=True), kind.nbytes + 1)
    if len(data) != kind.nbytes:
        raise ValueError(text)
    return np.frombuffer(data, kind.dtype.newbyteorder("<")).astype(kind.dtype)


_TYPE = re.compile(r"\s*(\w+)\s*\[([^\]]*)\]\s*$")


@lru_cache(maxsize=4096)
def parse_type(text: str) -> AnyType:
    """The type that a text names: `f32[batch, 784]`, or `(f32[3], i64[])` for several results."""
    text = text.strip()
    if text.startswith("("):
        parts = re.findall(r"[^\[\],]+\[[^\]]*\]", text[1:-1])
        if text != f"({', '.join(map(str.strip, parts))})":
            raise FormatError(f"expected types such as (f32[3], i64[]), got {text!r}")
        return TupleType([_array_type(part) for part in parts])
    return _array_type(text)


def _array_type(text: str) -> Type:
    match = _TYPE.match(text)
    if match is None or match[1] not in DTYPES:
        raise FormatError(f"expected a type such as f32[batch, 784], got {text.strip()!r}",
                          remedy=f"the dtypes are {', '.join(DTYPES)}")  # fmt: skip
    shape = tuple([parse_dim(dim) for dim in match[2].split(",")]) if match[2].strip() else ()
    if any(isinstance(dim, int) and dim < 0 for dim in shape):
        raise FormatError(f"expected dims ≥ 0, got {text.strip()}")
    try:
        size_of(shape)
    except GraphcError as error:
        raise FormatError(error.problem, remedy=error.remedy) from None
    return Type(DTYPES[match[1]], shape)
