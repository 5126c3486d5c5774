"""Random numbers as pure functions of a key.

A key is two 64-bit words, a `u64[2]` array. The generator is Philox4x64-10 (Salmon, Moraes, Dror, Shaw: "Parallel
random numbers: as easy as 1, 2, 3", SC 2011), whose raw words NumPy guarantees to keep. What is made of the words uses
additions, multiplications, divisions and square roots only, which IEEE 754 rounds correctly: the same key gives the
same numbers, bit for bit, on every machine. The counter's last word says what the words are for, so that no two uses
share any.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphc.errors import DTypeError, ShapeError
from graphc.ir import Node
from graphc.op import lift, primitive
from graphc.operators import Operand
from graphc.ops import ordering
from graphc.ops.quantile import normal_quantile
from graphc.samples import call, cases
from graphc.types import AnyDim, Shape, Type, as_dim, as_dtype, as_shape

__all__ = ["random_fold_in", "random_normal", "random_permutation", "random_split", "random_uniform"]

U64, INT64 = np.dtype("uint64"), np.dtype("int64")
SAMPLING, FOLDING, SPLITTING = 0, 1, 2
BLOCK = 8192
"""Words made at a time, so that a block stays in the cache until it is numbers."""
KEY = np.array([3, 5], U64)


def _words(key: Any, use: int, first: int = 0) -> np.random.Philox:
    """The stream of words that belongs to a key and a use of it."""
    return np.random.Philox(key=np.ascontiguousarray(key), counter=np.array([first, 0, 0, use], U64))


def check_key(key: Type) -> None:
    """Raise unless a value can be a key."""
    if key.dtype != U64:
        raise DTypeError(f"expected a key of type u64[2], got {key}", remedy="make one with gr.random.key(seed)")
    if key.rank != 1 or key.shape[0] != 2:
        raise ShapeError(f"expected a key of type u64[2], got {key}", remedy="make one with gr.random.key(seed)")


def _folded(key: Type, number: Type) -> Type:
    check_key(key)
    if number.rank or number.dtype.kind not in "iu":
        raise DTypeError(f"expected an integer to fold into a key, got {number}", remedy="fold in one at a time")
    return key


@primitive(infer=_folded, signature=lambda key, number: ((lift(key), lift(number)), {}),
           samples=cases(call(KEY, 0), call(KEY, -1), call(KEY, "i32[](0,9)"), call(KEY, 2**64 - 1)))  # fmt: skip
def random_fold_in(key: Any, number: Any) -> Any:
    """A key made of a key and an integer: for every step of a loop its own."""
    return _words(key, FOLDING, int(number) % 2**64).random_raw(2)


def _several(key: Operand, n: int = 2) -> tuple[Sequence[Node], dict[str, Any]]:
    return (lift(key),), {"n": as_dim(n)}


def _keys(key: Type, *, n: AnyDim) -> Type:
    check_key(key)
    return key.with_shape((n, 2))


@primitive(infer=_keys, signature=_several, samples=cases(call(KEY), call(KEY, 5), call(KEY, n=0)))
def random_split(key: Any, *, n: int) -> Any:
    """n (2) keys made of one, as rows."""
    return _words(key, SPLITTING).random_raw(2 * n).reshape(n, 2)


def _floats(key: Operand, shape: Any = (), dtype: Any = "float32") -> tuple[Sequence[Node], dict[str, Any]]:
    return (lift(key),), {"shape": as_shape(shape), "dtype": as_dtype(dtype)}


def _drawn(key: Type, *, shape: Shape, dtype: np.dtype[Any]) -> Type:
    check_key(key)
    if dtype not in (np.float32, np.float64):
        raise DTypeError(f"expected float32 or float64 random numbers, got {dtype}", remedy="convert them with .astype")
    return Type(dtype, shape)


def _filled(out: Any, shape: Any, dtype: Any, stream: np.random.Philox, numbers: Any, per_word: int = 1) -> Any:
    """An array filled, a block at a time, with the numbers that a stream's words make."""
    result = np.empty(shape, dtype) if out is None else out
    flat = result.reshape(-1)
    for first in range(0, flat.size, BLOCK):
        block = flat[first : first + BLOCK]
        block[:] = numbers(stream.random_raw(-(-block.size // per_word)))[: block.size]
    return result


DRAWS = cases(call(KEY), call(KEY, (2, 3)), call(KEY, (5,), "float64"), call(KEY, (0, 2)),
              call(KEY, shape=7, dtype="f32"))  # fmt: skip


@primitive(infer=_drawn, signature=_floats, samples=DRAWS, effort=4)
def random_uniform(key: Any, *, shape: Shape, dtype: np.dtype[Any], out: Any = None) -> Any:
    """Numbers evenly spread over [0, 1): multiples of 2⁻²⁴ in float32, of 2⁻⁵³ in float64."""
    stream = _words(key, SAMPLING)
    if dtype == np.float64:
        return _filled(out, shape, dtype, stream, lambda words: (words >> np.uint64(11)) * 2.0**-53)
    return _filled(out, shape, dtype, stream, _halves, per_word=2)


def _halves(words: Any) -> Any:
    """Two float32 numbers of each word, the low half first on every machine."""
    return (words.astype("<u8", copy=False).view("<u4") >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-24)


@primitive(infer=_drawn, signature=_floats, samples=DRAWS, effort=30)
def random_normal(key: Any, *, shape: Shape, dtype: np.dtype[Any], out: Any = None) -> Any:
    """Numbers of the standard normal distribution: its quantile function at the midpoints of 2⁵² equal intervals."""
    return _filled(out, shape, dtype, _words(key, SAMPLING),
                   lambda words: normal_quantile(((words >> np.uint64(12)) + 0.5) * 2.0**-52))  # fmt: skip


def _count(key: Operand, n: Any) -> tuple[Sequence[Node], dict[str, Any]]:
    return (lift(key),), {"n": as_dim(n)}


def _order(key: Type, *, n: AnyDim) -> Type:
    check_key(key)
    return Type(INT64, (n,))


@primitive(infer=_order, signature=_count, samples=cases(call(KEY, 6), call(KEY, 0), call(KEY, n=1)), effort=20,
           temporaries=lambda y, key, *, n: y.nbytes + ordering.positions_bytes(y, 0))  # fmt: skip
def random_permutation(key: Any, *, n: int) -> Any:
    """The integers below n in random order, int64: the order that sorts n random words."""
    stream, words = _words(key, SAMPLING), np.empty(n, U64)
    for part in ordering.parts(words.shape):
        words[part] = stream.random_raw(words[part].size)
    return ordering.positions(words, 0)
