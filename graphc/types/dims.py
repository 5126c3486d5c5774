"""Sizes of axes: integers, and symbols for sizes that only a feed tells.

Expressions over symbols (`2*batch`) are SymPy's, loaded only when arithmetic meets a symbol.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from graphc.errors import ShapeError

if TYPE_CHECKING:
    import sympy


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
        return dim_of(self.expression.subs({name: sizes[str(name)] for name in self.expression.free_symbols
                                             if str(name) in sizes}))  # fmt: skip

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Dim) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __repr__(self) -> str:
        return self.key

    def __add__(self, other: AnyDim) -> AnyDim:
        return _combine(operator.add, self, other)

    def __sub__(self, other: AnyDim) -> AnyDim:
        return _combine(operator.sub, self, other)

    def __rsub__(self, other: AnyDim) -> AnyDim:
        return _combine(operator.sub, other, self)

    def __mul__(self, other: AnyDim) -> AnyDim:
        return _combine(operator.mul, self, other)

    def __floordiv__(self, other: AnyDim) -> AnyDim:
        return _combine(operator.floordiv, self, other)

    def __rfloordiv__(self, other: AnyDim) -> AnyDim:
        return _combine(operator.floordiv, other, self)

    __radd__, __rmul__ = __add__, __mul__


AnyDim: TypeAlias = int | Dim


def dim_of(expression: sympy.Expr) -> AnyDim:
    """The size that an expression stands for, in the one form that reading its text gives again.

    SymPy settles floor(-1/a) as -1 when it is made, but leaves it in floor((a - 1)/a) = 1 + floor(-1/a) when expanding.
    """
    if expression.is_Integer:
        return int(expression)
    import sympy

    made = sympy.expand(expression.replace(sympy.floor, sympy.floor))
    return Dim(str(made), made) if made == expression else dim_of(made)


@lru_cache(maxsize=4096)
def _combine(apply: Callable[[Any, Any], Any], a: AnyDim, b: AnyDim) -> AnyDim:
    import sympy

    left, right = (d.expression if isinstance(d, Dim) else sympy.Integer(d) for d in (a, b))
    return dim_of(apply(left, right))


def as_dim(spec: object, fresh: str = "") -> AnyDim:
    """A dim from what a user wrote: an int ≥ 0, a symbol's name, or None for the symbol named `fresh`."""
    if isinstance(spec, Dim):
        return spec
    if spec is None and fresh:
        return Dim(fresh)
    if isinstance(spec, str):
        if not spec.isidentifier():
            raise ShapeError(f"expected a dim's name to be an identifier, got {spec!r}",
                             remedy='use a name like "batch"')  # fmt: skip
        return Dim(spec)
    if isinstance(spec, (int, np.integer)) and not isinstance(spec, bool):
        if spec < 0:
            raise ShapeError(f"expected a dim ≥ 0, got {spec}", remedy="use None or a name for a size known later")
        return int(spec)
    raise ShapeError(f"expected a dim to be an int, a name or None, got {spec!r} of type {type(spec).__name__}",
                     remedy='write a shape such as (3, "batch", None)')  # fmt: skip


def product(dims: Iterable[AnyDim]) -> AnyDim:
    """The product of dims, symbolic where one of them is."""
    result: AnyDim = 1
    for dim in dims:
        result = dim if isinstance(result, int) and result == 1 else result * dim
    return result


def substitute(value: Any, sizes: Mapping[str, int]) -> Any:
    """Any attribute value with the dims inside it replaced."""
    if isinstance(value, Dim):
        return value.substitute(sizes)
    if isinstance(value, tuple):
        return tuple(substitute(element, sizes) for element in value)
    return value


def unify(a: AnyDim, b: AnyDim) -> AnyDim:
    """The one dim that two must both be.

    Integers and provably different expressions contradict each other now; two symbols, or a symbol and an integer,
    are taken as equal, and `specialize` checks that they are once the feed is known.
    """
    if a == b:
        return a
    if (isinstance(a, int) and isinstance(b, int)) or _never_equal(a, b):
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
