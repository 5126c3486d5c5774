"""The ops every graph has: leaves, casts, sums over paths, and the pieces of ops with several results."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import reduce
from types import MappingProxyType
from typing import Any

import numpy as np

from graphc.errors import DTypeError, GraphError
from graphc.ir import NO_ATTRS, Node, Variable, WeakConstant, origin_here, scoped
from graphc.op import lift, placed, primitive
from graphc.operators import Operand
from graphc.operators import call as apply
from graphc.samples import call, cases
from graphc.types import Type, as_dtype, as_shape, broadcast_shapes, has_masked, normalize_axis, promote, type_of


def _declared(**attrs: Any) -> Type:
    raise GraphError("placeholders and variables are made by gr.placeholder and gr.variable")


@primitive(infer=_declared, leaf=True, name="placeholder")
def _placeholder() -> None:
    """An input, fed at each run."""
    raise GraphError("a placeholder has no value of its own")


@primitive(infer=_declared, leaf=True, name="variable")
def _variable() -> None:
    """State, kept between runs."""
    raise GraphError("a variable's value is its state")


@primitive(infer=lambda *, value: type_of(value), name="constant", samples=cases(call(2.5), call([1, 2], dtype="int8")),
           signature=lambda value, dtype=None: ((), {"value": as_constant(value, dtype)}))  # fmt: skip
def _constant(*, value: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """A fixed value."""
    return value


@placed
def placeholder(name: str, shape: Any = (), dtype: Any = "float32") -> Node:
    """An input of the graph.

    `shape` holds ints, names of symbolic sizes (the same name is the same size everywhere), or None for a size of its
    own. Raises ShapeError or DTypeError for anything else.
    """
    name = scoped(name)
    kind = Type(as_dtype(dtype), as_shape(shape, owner=re.sub(r"\W", "_", name)))
    return Node(_placeholder, (), NO_ATTRS, kind, name, origin_here())


@placed
def variable(name: str, value: Any, dtype: Any = None) -> Variable:
    """A leaf with state, starting at `value` (copied): a parameter, an optimizer's moment, a counter."""
    array = np.asarray(_numbers(value, dtype), order="C")
    return Variable(_variable, type_of(array), scoped(name), origin_here(), array)


@placed
def constant(value: Any, dtype: Any = None) -> Node:
    """A fixed value. A bare Python number without a dtype takes the dtype of the operands it meets."""
    array = as_constant(value, dtype)
    kind = WeakConstant if dtype is None and type(value) in (bool, int, float) else Node
    return kind(_constant, (), MappingProxyType({"value": array}), type_of(array), None, origin_here())


def as_constant(value: Any, dtype: Any = None) -> np.ndarray[Any, Any]:
    """A read-only array of a number, array or nested list; raises for anything that is not numbers."""
    array = _numbers(value, dtype)
    array.flags.writeable = False
    return array


def _numbers(value: Any, dtype: Any) -> np.ndarray[Any, Any]:
    """An array that nobody else has."""
    if has_masked(value):
        raise GraphError("expected a node, number or array, got an array with masked elements",
                         remedy="fill them: array.filled(0)")  # fmt: skip
    try:
        array = np.array(value, None if dtype is None else as_dtype(dtype))
    except (ValueError, TypeError, OverflowError) as error:
        if isinstance(error, OverflowError):
            raise DTypeError(f"{value!r} does not fit in {dtype}", remedy="use a wider dtype") from None
        raise GraphError(f"expected a node, number or array, got {value!r} of type {type(value).__name__}",
                         remedy="make a list an array: rows of one length, and numbers only") from None  # fmt: skip
    if array.dtype.kind not in "biuf":
        raise GraphError(
            f"expected a node, number or array, got {value!r} of type {type(value).__name__}",
            remedy="graphc computes with real numbers: convert the value to a NumPy array of them",
        )
    array = array.astype(as_dtype(array.dtype), copy=False)
    if array.dtype.kind in "iu" and dtype is not None and not np.array_equal(array, np.asarray(value)):
        raise DTypeError(f"{value!r} does not fit in {array.dtype}",
                         remedy="use a wider dtype, or convert it yourself with NumPy's astype")  # fmt: skip
    return array


@primitive(infer=lambda kind, *, index: kind.elements[index], view=True, unpacks=True,
           samples=cases())  # none, for its operand is a tuple; the ops that return one have theirs  # fmt: skip
def item(values: tuple[Any, ...], *, index: int) -> Any:
    """One result of an op with several."""
    return values[index]


def _same_types(*types: Type) -> Type:
    if not types:
        raise GraphError("add_n takes one term or more, got none", remedy="use gr.zeros for an empty sum")
    return Type(promote(*(t.dtype for t in types)), broadcast_shapes(*(t.shape for t in types)))


@primitive(infer=_same_types, elementwise=True, vjp=lambda g, y, *terms: (g,) * len(terms),
           samples=cases(call("f64[3]", "f64[3]", "f64[3]"), call("f32[2,3]", "f32[2,3]"), call("f64[]"),
                         call("f32[1]", "f32[]", "f64[2,1]", "f64[3]"), call("bool[2]")))  # fmt: skip
def add_n(*terms: Any, out: Any = None) -> Any:
    """The sum of any number of terms, from left to right: where paths of a derivative meet."""
    if len(terms) == 1:
        return np.logical_or(terms[0], False, out=out) if terms[0].dtype.kind == "b" else np.positive(terms[0], out=out)
    if out is None or any(np.may_share_memory(out, term) for term in terms[2:]):
        return np.add(reduce(np.add, terms[:-1]), terms[-1], out=out)
    np.add(terms[0], terms[1], out=out)
    for term in terms[2:]:
        np.add(out, term, out=out)
    return out


@primitive(infer=lambda x, *, dtype: x.with_dtype(dtype), elementwise=True,
           signature=lambda x, dtype: ((lift(x),), {"dtype": as_dtype(dtype)}),
           vjp=lambda g, y, x, *, dtype: (g.astype(x.dtype),),
           samples=cases(call("f64[2,3]", dtype="float32"), call("f32[3]", dtype="float64"),
                         call("i64[4]", dtype="f64"), call("f64[4](-3,3)", dtype="i32"), call("f64[]", dtype="bool"),
                         call("bool[3]", dtype="f16")))  # fmt: skip
def astype(x: Any, *, dtype: np.dtype[Any], out: Any = None) -> Any:
    """The elements converted to another dtype; floats towards zero for integers."""
    if out is None:
        return np.asarray(x).astype(dtype)
    np.copyto(out, x, casting="unsafe")
    return out


def cast(x: Node, dtype: np.dtype[Any]) -> Node:
    """A node in a dtype: itself if that is its own."""
    return x if x.dtype == dtype else astype(x, dtype)


@primitive(infer=lambda x: x, elementwise=True, vjp=lambda g, y, x: (None,),
           samples=cases(call("f32[2,3]"), call("f32[]"), call("i64[3]"), call("bool[3]")))  # fmt: skip
# (No f64 among the samples, whose derivatives are compared with differences: this one's is not theirs.)
def stop_gradient(x: Any, *, out: Any = None) -> Any:
    """The value itself, a constant to differentiation."""
    if out is None:
        return np.array(x)
    np.copyto(out, x)
    return out


def _axis_attr(x: Operand, axis: int) -> tuple[Sequence[Node], dict[str, Any]]:
    node = lift(x)
    return (node,), {"axis": normalize_axis(axis, node.ndim)}


@primitive(infer=lambda x, *, axis: Type(np.dtype("int64"), ()), signature=_axis_attr, effort=lambda y, x, *, axis: 1.0,
           vjp=lambda g, y, x, *, axis: (None,),
           samples=cases(call("f64[3,4]", axis=0), call("f64[3,4]", axis=-1)))  # fmt: skip
def dim_size(x: Any, *, axis: int) -> Any:
    """The size of one axis, as an int64 scalar: for sizes that are symbols when the graph is declared."""
    return np.int64(np.shape(x)[axis])


def size_node(x: Node, axes: Sequence[int], dtype: np.dtype[Any]) -> Node | float:
    """How many elements some axes span: a number where known, else a node of that dtype."""
    known, unknown = 1, []
    for axis in axes:
        dim = x.shape[axis]
        if isinstance(dim, int):
            known *= dim
        else:
            unknown.append(dim_size(x, axis))
    if not unknown:
        return float(known)
    total = unknown[0]
    for size in unknown[1:]:
        total = total * size
    return (total * known if known != 1 else total).astype(dtype)


def zeros_like(x: Operand, dtype: Any = None) -> Node:
    """Zeros of x's shape, and of its dtype unless another is given."""
    return full_like(x, 0, dtype)


def ones_like(x: Operand, dtype: Any = None) -> Node:
    """Ones of x's shape, and of its dtype unless another is given."""
    return full_like(x, 1, dtype)


def full_like(x: Operand, fill_value: complex, dtype: Any = None) -> Node:
    """A number repeated over x's shape, of its dtype unless another is given."""
    node = lift(x)
    scalar = constant(fill_value, node.dtype if dtype is None else dtype)
    return scalar if node.shape == () else apply("broadcast_to", scalar, node.shape)


def is_constant(node: Node, value: float) -> bool:
    """Whether a node is that number, perhaps repeated over a shape; told apart by bits, so -0.0 is not 0.0."""
    while node.op.view:
        node = node.inputs[0]
    stored = node.attrs.get("value")
    if stored is None or stored.size != 1 or stored.item() != value:
        return False
    return bool(np.signbit(float(stored.item())) == np.signbit(float(value)))
