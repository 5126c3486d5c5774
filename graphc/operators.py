"""The Python operators of nodes (and of the holes in rewrite patterns), as calls into the table of ops."""

from __future__ import annotations

from types import EllipsisType
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias, Union

import numpy as np

from graphc.errors import GraphError
from graphc.types import Dim

if TYPE_CHECKING:
    from graphc.ir import Node
    from graphc.op import Op

OPS: dict[str, Op] = {}
"""Every primitive by name. Filled by `graphc.op.primitive`, read everywhere."""

Operand: TypeAlias = Union["Node", complex, np.generic, np.ndarray[Any, Any], list[Any], tuple[Any, ...]]
Index: TypeAlias = Union[int, Dim, slice, EllipsisType, "Node", np.ndarray[Any, Any], list[Any], tuple[Any, ...], None]


def call(name: str, *operands: Any, **attributes: Any) -> Node:
    """Apply the op of that name."""
    return OPS[name](*operands, **attributes)


def selects(index: Index) -> bool:
    """Whether an index has arrays, lists, nodes or truth values in it: NumPy's advanced indexing, which copies."""
    parts = index if isinstance(index, tuple) else (index,)
    return not all(isinstance(part, _BASIC) and not isinstance(part, bool) for part in parts)


_BASIC = (int, np.integer, slice, EllipsisType, type(None), Dim)


_ARRAY_OPERATORS = {
    "add", "subtract", "multiply", "divide", "floor_divide", "remainder", "divmod", "power", "matmul", "less",
    "less_equal", "greater", "greater_equal", "bitwise_and", "bitwise_or", "bitwise_xor", "left_shift", "right_shift",
}  # fmt: skip


class Operators:
    """NumPy's operators and methods. Each is one op; `==` is none, so use `gr.equal`."""

    __slots__ = ()

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        """`array * node` is a node; every other way into NumPy needs values."""
        if method == "__call__" and not kwargs and len(inputs) == 2 and ufunc.__name__ in _ARRAY_OPERATORS:
            return call(ufunc.__name__, *inputs)
        return self.__array_function__(ufunc, (), (), {})

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> NoReturn:
        raise GraphError(f"np.{function.__name__} computes with values, and a node has none before it runs",
                         remedy="use gr.* to build more graph, or node.eval(feed) for the value")  # fmt: skip

    def __add__(self, other: Operand) -> Node:
        return call("add", self, other)

    def __radd__(self, other: Operand) -> Node:
        return call("add", other, self)

    def __sub__(self, other: Operand) -> Node:
        return call("subtract", self, other)

    def __rsub__(self, other: Operand) -> Node:
        return call("subtract", other, self)

    def __mul__(self, other: Operand) -> Node:
        return call("multiply", self, other)

    def __rmul__(self, other: Operand) -> Node:
        return call("multiply", other, self)

    def __truediv__(self, other: Operand) -> Node:
        return call("divide", self, other)

    def __rtruediv__(self, other: Operand) -> Node:
        return call("divide", other, self)

    def __floordiv__(self, other: Operand) -> Node:
        return call("floor_divide", self, other)

    def __rfloordiv__(self, other: Operand) -> Node:
        return call("floor_divide", other, self)

    def __mod__(self, other: Operand) -> Node:
        return call("remainder", self, other)

    def __rmod__(self, other: Operand) -> Node:
        return call("remainder", other, self)

    def __pow__(self, other: Operand) -> Node:
        return call("power", self, other)

    def __rpow__(self, other: Operand) -> Node:
        return call("power", other, self)

    def __matmul__(self, other: Operand) -> Node:
        return call("matmul", self, other)

    def __rmatmul__(self, other: Operand) -> Node:
        return call("matmul", other, self)

    def __neg__(self) -> Node:
        return call("negative", self)

    def __pos__(self) -> Operators:
        return self

    def __abs__(self) -> Node:
        return call("abs", self)

    def __lt__(self, other: Operand) -> Node:
        return call("less", self, other)

    def __le__(self, other: Operand) -> Node:
        return call("less_equal", self, other)

    def __gt__(self, other: Operand) -> Node:
        return call("greater", self, other)

    def __ge__(self, other: Operand) -> Node:
        return call("greater_equal", self, other)

    def __and__(self, other: Operand) -> Node:
        return call("bitwise_and", self, other)

    def __rand__(self, other: Operand) -> Node:
        return call("bitwise_and", other, self)

    def __or__(self, other: Operand) -> Node:
        return call("bitwise_or", self, other)

    def __ror__(self, other: Operand) -> Node:
        return call("bitwise_or", other, self)

    def __xor__(self, other: Operand) -> Node:
        return call("bitwise_xor", self, other)

    def __rxor__(self, other: Operand) -> Node:
        return call("bitwise_xor", other, self)

    def __lshift__(self, other: Operand) -> Node:
        return call("left_shift", self, other)

    def __rlshift__(self, other: Operand) -> Node:
        return call("left_shift", other, self)

    def __rshift__(self, other: Operand) -> Node:
        return call("right_shift", self, other)

    def __rrshift__(self, other: Operand) -> Node:
        return call("right_shift", other, self)

    def __invert__(self) -> Node:
        return call("invert", self)

    def __getitem__(self, index: Index) -> Node:
        return call("gather" if selects(index) else "getitem", self, index)

    @property
    def T(self) -> Node:
        """The value with its axes reversed."""
        return call("transpose", self)

    def transpose(self, *axes: Any) -> Node:
        """The value with its axes permuted: reversed, or in the order given."""
        return call("transpose", self, axes[0] if len(axes) == 1 else axes or None)

    def sum(self, axis: Any = None, keepdims: bool = False) -> Node:
        """The sum over some axes, by default all."""
        return call("sum", self, axis=axis, keepdims=keepdims)

    def mean(self, axis: Any = None, keepdims: bool = False) -> Node:
        """The mean over some axes, by default all."""
        from graphc.ops.statistics import mean

        return mean(self, axis=axis, keepdims=keepdims)  # type: ignore[arg-type]  # a hole of a pattern has no mean

    def max(self, axis: Any = None, keepdims: bool = False) -> Node:
        """The largest element over some axes, by default all."""
        return call("max", self, axis=axis, keepdims=keepdims)

    def min(self, axis: Any = None, keepdims: bool = False) -> Node:
        """The smallest element over some axes, by default all."""
        return call("min", self, axis=axis, keepdims=keepdims)

    def reshape(self, *shape: Any) -> Node:
        """The same elements in another shape; one dim may be -1."""
        return call("reshape", self, shape[0] if len(shape) == 1 else shape)

    def astype(self, dtype: Any) -> Node:
        """The elements converted to another dtype."""
        return call("astype", self, dtype=dtype)
