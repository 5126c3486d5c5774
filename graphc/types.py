"""Types of values: a dtype and a shape whose dims are integers or symbols.

`f32[batch, 784]` is the type of a float32 matrix with a symbolic first dim. Promotion is NumPy 2's; dims that are
expressions (`2*batch`) are SymPy's, loaded only when arithmetic meets a symbol.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias
from weakref import WeakValueDictionary

import numpy as np

from graphc.errors import DTypeError, ShapeError

if TYPE_CHECKING:
    import sympy

DTYPES: dict[str, np.dtype[Any]] = {
    "bool": np.dtype("bool"),
    "i8": np.dtype("int8"), "i16": np.dtype("int16"), "i32": np.dtype("int32"), "i64": np.dtype("int64"),
    "u8": np.dtype("uint8"), "u16": np.dtype("uint16"), "u32": np.dtype("uint32"), "u64": np.dtype("uint64"),
    "f16": np.dtype("float16"), "f32": np.dtype("float32"), "f64": np.dtype("float64"),
}  # fmt: skip
SHORT_NAMES = {dtype: short for short, dtype in DTYPES.items()}
FLOAT_KINDS, INT_KINDS = "f", "iu"
LARGEST_SIZE = 2**63 - 1


def as_dtype(spec: object) -> np.dtype[Any]:
    """The dtype that `spec` names: 'float32', 'f32', np.float32, np.dtype('<f4') or a Python scalar type."""
    if isinstance(spec, np.dtype) and spec in SHORT_NAMES and spec.isnative:
        return spec
    if isinstance(spec, str) and spec in DTYPES:
        return DTYPES[spec]
    try:
        dtype = np.dtype(spec).newbyteorder("=")  # type: ignore[call-overload]
    except TypeError:
        raise DTypeError(f"expected a dtype, got {spec!r}", remedy=f"use one of {', '.join(DTYPES)}") from None
    if dtype not in SHORT_NAMES:
        raise DTypeError(f"graphc has no dtype {dtype}", remedy=f"use one of {', '.join(DTYPES)}")
    return dtype


class Dim:
    """A symbolic size: a name, or an expression over names. Equal when the expressions are."""

    __slots__ = ("_expression", "key")

    def __init__(self, key: str, expression: sympy.Expr | None = None) -> None:
        self.key = key
        self._expression = expression

    @property
    def expression(self) -> sympy.Expr:
        """The size as a SymPy expression over positive integer symbols."""
        if self._expression is None:
            import sympy

            self._expression = sympy.Symbol(self.key, integer=True, positive=True)
        return self._expression

    def names(self) -> set[str]:
        """The symbols in this size."""
        return {self.key} if self._expression is None else {str(symbol) for symbol in self._expression.free_symbols}

    def substitute(self, sizes: Mapping[str, int]) -> AnyDim:
        """This size with some symbols replaced by integers."""
        if self.key in sizes:
            return sizes[self.key]
        if not self.names() & sizes.keys():
            return self
        return _as_dim(self.expression.subs({name: sizes[str(name)] for name in self.expression.free_symbols
                                             if str(name) in sizes}))  # fmt: skip

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Dim) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __repr__(self) -> str:
        return self.key

    def __add__(self, other: AnyDim) -> AnyDim:
        return _combine(lambda a, b: a + b, self, other)

    def __sub__(self, other: AnyDim) -> AnyDim:
        return _combine(lambda a, b: a - b, self, other)

    def __rsub__(self, other: AnyDim) -> AnyDim:
        return _combine(lambda a, b: b - a, self, other)

    def __mul__(self, other: AnyDim) -> AnyDim:
        return _combine(lambda a, b: a * b, self, other)

    def __floordiv__(self, other: AnyDim) -> AnyDim:
        return _combine(lambda a, b: a // b, self, other)

    def __rfloordiv__(self, other: AnyDim) -> AnyDim:
        return _combine(lambda a, b: b // a, self, other)

    __radd__, __rmul__ = __add__, __mul__


AnyDim: TypeAlias = int | Dim
Shape: TypeAlias = tuple[AnyDim, ...]


def _as_dim(expression: sympy.Expr) -> AnyDim:
    return int(expression) if expression.is_Integer else Dim(str(expression), expression)


@lru_cache(maxsize=4096)
def _combine(apply: Callable[[Any, Any], Any], a: AnyDim, b: AnyDim) -> AnyDim:
    import sympy

    left, right = (d.expression if isinstance(d, Dim) else sympy.Integer(d) for d in (a, b))
    return _as_dim(sympy.expand(apply(left, right)))


def as_dim(spec: object, fresh: str = "") -> AnyDim:
    """A dim from what a user wrote: an int ≥ 0, a symbol's name, or None for the symbol named `fresh`."""
    if isinstance(spec, Dim):
        return spec
    if spec is None and fresh:
        return Dim(fresh)
    if isinstance(spec, str):
        if not spec.isidentifier():
            raise ShapeError(f"expected a dim's name to be an identifier, got {spec!r}", remedy='use a name like "batch"')
        return Dim(spec)
    if isinstance(spec, (int, np.integer)) and not isinstance(spec, bool):
        if spec < 0:
            raise ShapeError(f"expected a dim ≥ 0, got {spec}", remedy="use None or a name for a size known later")
        return int(spec)
    raise ShapeError(f"expected a dim to be an int, a name or None, got {spec!r} of type {type(spec).__name__}",
                     remedy='write a shape such as (3, "batch", None)')  # fmt: skip


def as_shape(spec: object, owner: str = "") -> Shape:
    """A shape from what a user wrote: one dim or a sequence of them; None is a symbol named after its owner."""
    if spec is None or isinstance(spec, (int, str, Dim, np.integer)):
        spec = (spec,)
    if not isinstance(spec, Iterable):
        raise ShapeError(f"expected a shape, got {spec!r}", remedy='write a tuple such as ("batch", 784)')
    shape = tuple(as_dim(dim, owner and f"{owner}_dim{axis}") for axis, dim in enumerate(spec))
    size_of(shape)
    return shape


def size_of(shape: Shape) -> AnyDim:
    """How many elements a shape holds; raises when that passes 2⁶³ - 1."""
    size = math.prod(shape) if all(isinstance(dim, int) for dim in shape) else product(shape)
    if isinstance(size, int) and size > LARGEST_SIZE:
        raise ShapeError(f"{show_shape(shape)} has {size} elements, more than 2⁶³ - 1", remedy="use smaller dims")
    return size


def product(dims: Iterable[AnyDim]) -> AnyDim:
    """The product of dims, symbolic where one of them is."""
    result: AnyDim = 1
    for dim in dims:
        result = dim if isinstance(result, int) and result == 1 else result * dim
    return result


class Type:
    """The type of one array: dtype and shape. Immutable; equal types are the same object, so comparing is free."""

    __slots__ = ("__weakref__", "dtype", "is_float", "is_static", "shape")

    dtype: np.dtype[Any]
    shape: Shape
    is_float: bool
    """Whether values of this type have derivatives."""
    is_static: bool
    """Whether every dim is an integer."""

    def __new__(cls, dtype: np.dtype[Any], shape: Shape) -> Type:
        """The one type of that dtype and shape."""
        return _interned(dtype, shape)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a Type is immutable; make a new one instead of setting {name}")

    def __reduce__(self) -> tuple[Any, ...]:
        return Type, (self.dtype, self.shape)

    @property
    def rank(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def size(self) -> AnyDim:
        """The number of elements."""
        return size_of(self.shape)

    @property
    def nbytes(self) -> int:
        """The bytes that a value takes; static types only."""
        return math.prod(self.shape) * self.dtype.itemsize  # type: ignore[arg-type]

    def with_shape(self, shape: Shape) -> Type:
        """The same dtype with another shape."""
        return Type(self.dtype, shape)

    def with_dtype(self, dtype: object) -> Type:
        """The same shape with another dtype."""
        return Type(as_dtype(dtype), self.shape)

    def substitute(self, sizes: Mapping[str, int]) -> Type:
        """This type with symbols replaced by integers."""
        return Type(self.dtype, substitute(self.shape, sizes))

    def __repr__(self) -> str:
        return f"{SHORT_NAMES[self.dtype]}{show_shape(self.shape)}"


_alive: WeakValueDictionary[tuple[np.dtype[Any], Shape], Type] = WeakValueDictionary()


@lru_cache(maxsize=4096)
def _interned(dtype: np.dtype[Any], shape: Shape) -> Type:
    """The one Type of a dtype and shape; the cache in front only makes the common ones fast."""
    known = _alive.get((dtype, shape))
    if known is not None:
        return known
    new = object.__new__(Type)
    if all(isinstance(dim, int) for dim in shape):
        size_of(shape)
    facts = {"dtype": dtype, "shape": shape, "is_float": dtype.kind == "f",
             "is_static": not any(isinstance(dim, Dim) for dim in shape)}  # fmt: skip
    for name, value in facts.items():
        object.__setattr__(new, name, value)
    return _alive.setdefault((dtype, shape), new)


class TupleType:
    """The type of an op with several results."""

    __slots__ = ("elements",)

    def __init__(self, elements: Sequence[Type]) -> None:
        self.elements = tuple(elements)

    is_float = False

    @property
    def is_static(self) -> bool:
        """Whether every element's dims are integers."""
        return all(element.is_static for element in self.elements)

    @property
    def nbytes(self) -> int:
        """The bytes that all elements take together."""
        return sum(element.nbytes for element in self.elements)

    def substitute(self, sizes: Mapping[str, int]) -> TupleType:
        """This type with symbols replaced by integers."""
        return TupleType([element.substitute(sizes) for element in self.elements])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TupleType) and self.elements == other.elements

    def __hash__(self) -> int:
        return hash(self.elements)

    def __repr__(self) -> str:
        return f"({', '.join(map(str, self.elements))})"


AnyType: TypeAlias = Type | TupleType


def show_shape(shape: Shape) -> str:
    """A shape as it is printed: `[batch, 784]`."""
    return f"[{', '.join(map(str, shape))}]"


def type_of(array: np.ndarray[Any, Any] | np.generic) -> Type:
    """The type of a NumPy value."""
    return Type(as_dtype(array.dtype), array.shape)


def substitute(value: Any, sizes: Mapping[str, int]) -> Any:
    """Any attribute value with the dims inside it replaced."""
    if isinstance(value, Dim):
        return value.substitute(sizes)
    if isinstance(value, tuple):
        return tuple(substitute(element, sizes) for element in value)
    return value


def promote(*dtypes: np.dtype[Any]) -> np.dtype[Any]:
    """NumPy 2's promotion."""
    first = dtypes[0]
    if all(dtype is first for dtype in dtypes):
        return first
    return np.result_type(*dtypes)


def weak_dtype(scalar: complex, others: Sequence[np.dtype[Any]]) -> np.dtype[Any]:
    """The dtype that a Python scalar takes beside others: f32 beside f32, the default dtype on its own."""
    return as_dtype(np.result_type(scalar, *others))


def unify(a: AnyDim, b: AnyDim) -> AnyDim:
    """The one dim that two must both be.

    Integers and provably different expressions contradict each other now; two symbols, or a symbol and an integer,
    are taken as equal, and `specialize` checks that they are once the feed is known.
    """
    if a == b:
        return a
    if isinstance(a, int) and isinstance(b, int) or _never_equal(a, b):
        raise ShapeError(f"{a} and {b} are different sizes")
    return a if isinstance(a, int) else b if isinstance(b, int) else min(a, b, key=lambda dim: (len(dim.key), dim.key))


def _never_equal(a: AnyDim, b: AnyDim) -> bool:
    if isinstance(a, Dim) and isinstance(b, Dim) and not a.names() & b.names():
        return False
    difference = a - b
    if isinstance(difference, int):
        return True
    return difference.expression.is_zero is False


def broadcast_dim(a: AnyDim, b: AnyDim) -> AnyDim:
    """The dim of a broadcast result."""
    if a == b or b == 1:
        return a
    return b if a == 1 else unify(a, b)


@lru_cache(maxsize=16384)
def broadcast_shapes(*shapes: Shape) -> Shape:
    """The common shape of several under NumPy's broadcasting."""
    result = shapes[0]
    for shape in shapes[1:]:
        if shape == result:
            continue
        rank = max(len(result), len(shape))
        try:
            pairs = zip(_left_pad(result, rank), _left_pad(shape, rank), strict=True)
            result = tuple(broadcast_dim(a, b) for a, b in pairs)
        except ShapeError as problem:
            both = f"{show_shape(result)} and {show_shape(shape)}"
            raise ShapeError(
                f"expected shapes that broadcast together, got {both}: {problem.problem}",
                remedy="make the dims equal, or reshape one operand so that a dim of 1 stands where it should repeat",
            ) from None
    return result


def _left_pad(shape: Shape, rank: int) -> Shape:
    return (1,) * (rank - len(shape)) + shape


def normalize_axis(axis: object, rank: int) -> int:
    """An axis counted from the left; raises when it is out of range."""
    if not isinstance(axis, (int, np.integer)) or isinstance(axis, bool):
        raise ShapeError(f"expected an axis to be an int, got {axis!r}", remedy="name one axis by its number")
    if not -rank <= axis < rank:
        raise ShapeError(
            f"axis {axis} is out of range for a value of rank {rank}",
            remedy=f"use an axis from {-rank} to {rank - 1}" if rank else "a value of rank 0 has no axes",
        )
    return int(axis) % rank


def normalize_axes(axes: object, rank: int) -> tuple[int, ...]:
    """Several axes counted from the left and sorted; None means all of them."""
    if axes is None:
        return tuple(range(rank))
    listed = axes if isinstance(axes, (tuple, list)) else (axes,)
    normalized = tuple(sorted(normalize_axis(axis, rank) for axis in listed))
    if len(set(normalized)) != len(normalized):
        raise ShapeError(f"axes {axes!r} name an axis twice", remedy="name each axis once")
    return normalized
