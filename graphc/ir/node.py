"""A node: one value of a graph, immutable, typed when it is made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from numbers import Number
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from graphc.errors import GraphError, ShapeError
from graphc.ir.origin import UNKNOWN, Origin, scoped
from graphc.operators import Index, Operators, call
from graphc.state import State, reading
from graphc.types import AnyType, Shape, TupleType, Type

if TYPE_CHECKING:
    from graphc.op import Op

NO_ATTRS: Mapping[str, Any] = MappingProxyType({})
_VALUES = (Number, np.ndarray, np.generic, list, tuple)
"""What an operand may be beside a node: to be told that it differs would be wrong."""


class Node(Operators):
    """One value of a graph: an op applied to other nodes. Immutable; equal by identity; typed when it is made."""

    __slots__ = ("__weakref__", "attrs", "inputs", "name", "op", "origin", "type")

    op: Op
    inputs: tuple[Node, ...]
    attrs: Mapping[str, Any]
    type: AnyType
    name: str | None
    origin: Origin

    def __init__(self, op: Op, inputs: tuple[Node, ...], attrs: Mapping[str, Any], type: AnyType,
                 name: str | None = None, origin: Origin = UNKNOWN) -> None:  # fmt: skip
        _set_op(self, op)
        _set_inputs(self, inputs)
        _set_attrs(self, attrs)
        _set_type(self, type)
        _set_name(self, name)
        _set_origin(self, origin)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the value."""
        try:
            return self.type.dtype  # type: ignore[union-attr]  # the common case first: every rule asks
        except AttributeError:
            return self.array_type.dtype

    @property
    def shape(self) -> Shape:
        """The shape of the value."""
        try:
            return self.type.shape  # type: ignore[union-attr]
        except AttributeError:
            return self.array_type.shape

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def size(self) -> Any:
        """The number of elements: an int, or a symbolic dim."""
        return self.array_type.size

    @property
    def array_type(self) -> Type:
        """The type, where it is that of one array; raises for an op with several results."""
        if isinstance(self.type, TupleType):
            raise GraphError(
                f"expected one array, got {self.op.name}'s tuple of {len(self.type.elements)} results",
                remedy="unpack the tuple and use one of its elements", nodes=[self],
            )  # fmt: skip
        return self.type

    def named(self, name: str) -> Node:
        """The same value under a name; the name nests in the scopes now open. Leaves have theirs from the start."""
        if self.op.leaf:
            raise GraphError(f"expected a value that was computed, got the {self.op.name} {self.name}: feeds and state "
                             f"go by its name", remedy="name it where it is declared", nodes=[self])  # fmt: skip
        return self.replace(name=scoped(name))

    def replace(self, **changes: Any) -> Node:
        """A copy with some fields changed; the type is taken as it is."""
        fields = {"op": self.op, "inputs": self.inputs, "attrs": self.attrs, "type": self.type,
                  "name": self.name, "origin": self.origin}  # fmt: skip
        return Node(**{**fields, **changes})

    def with_inputs(self, inputs: tuple[Node, ...]) -> Node:
        """The same op over other inputs, its type inferred anew where theirs changed."""
        kind = self.type
        for new, old in zip(inputs, self.inputs, strict=True):
            if new.type is not old.type and new.type != old.type:
                kind = self.op.infer_type(inputs, self.attrs)
                break
        return Node(self.op, inputs, self.attrs, kind, self.name, self.origin)

    def eval(self, feed: Mapping[Any, Any] | None = None) -> Any:
        """The value under a feed, from placeholders (or their names) to arrays."""
        from graphc.compiler import run

        return run(self, feed)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a Node is immutable; make a new one instead of setting {name}")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"a Node is immutable; {name} cannot be deleted")

    def __copy__(self) -> Node:
        return self

    def __deepcopy__(self, memo: object) -> Node:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        from graphc.ir.graph import Graph, only_output

        return only_output, (Graph(None, [self]),)

    def __repr__(self) -> str:
        name = f"%{self.name} = " if self.name else ""
        inputs = ", ".join(f"%{node.name or node.op.name}" for node in self.inputs)
        return f"<{name}{self.op.name}({inputs}) : {self.type}>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Node) and isinstance(other, _VALUES):
            raise GraphError("a node is no number or array, and equal to none, before it runs", nodes=[self],
                             remedy="gr.equal(x, y) compares values")  # fmt: skip
        return self is other

    __hash__ = object.__hash__

    def __bool__(self) -> NoReturn:
        raise GraphError("a node has no truth value before it runs", nodes=[self], remedy="use gr.where for a choice "
                         "by value, `is` for identity, or node.eval(feed) for the value")  # fmt: skip

    def __len__(self) -> int:
        if isinstance(self.type, TupleType):
            return len(self.type.elements)
        if not self.shape:
            raise GraphError("a node of rank 0 has no length", nodes=[self],
                             remedy="its number of elements is node.size")  # fmt: skip
        if isinstance(self.shape[0], int):
            return self.shape[0]
        raise GraphError(f"the length {self.shape[0]} is not known before the graph runs", nodes=[self],
                         remedy="use gr.dim_size(x, 0) for the size as a node")  # fmt: skip

    def __iter__(self) -> Iterator[Node]:
        if isinstance(self.type, TupleType):
            return iter([call("item", self, index=index) for index in range(len(self.type.elements))])
        raise GraphError("a node cannot be iterated before it runs", nodes=[self],
                         remedy="index it (x[0], x[1], …), or use an op over the whole axis")  # fmt: skip

    def __getitem__(self, index: Index) -> Node:
        if not isinstance(self.type, TupleType):
            return super().__getitem__(index)
        try:
            return tuple(self)[index]  # type: ignore[index]  # a slice gives several
        except (IndexError, TypeError):
            raise ShapeError(f"expected the index of one of {len(self)} results, got {index!r}", nodes=[self],
                             remedy=f"use indices from 0 to {len(self) - 1}") from None  # fmt: skip

    def __array__(self, *args: object, **kwargs: object) -> NoReturn:
        raise GraphError("a node is not an array: it has no value before it runs", nodes=[self], remedy="use "
                         "node.eval(feed) for the value, or gr.* in place of np.* to build more graph")  # fmt: skip

    def __float__(self) -> NoReturn:
        raise GraphError("a node is not a number: it has no value before it runs", nodes=[self],
                         remedy="use node.eval(feed) for the value")  # fmt: skip

    __int__ = __index__ = __complex__ = __float__


_set_op, _set_inputs, _set_attrs, _set_type, _set_name, _set_origin = (
    getattr(Node, field).__set__ for field in ("op", "inputs", "attrs", "type", "name", "origin")
)


class WeakConstant(Node):
    """A constant made from a bare Python number: beside other operands it takes their dtype, as the number would."""

    __slots__ = ()


class Variable(Node):
    """A leaf that holds state between runs. `value` reads a copy and writes a whole new array."""

    __slots__ = ("state",)

    state: State

    def __init__(self, op: Op, type: Type, name: str, origin: Origin, value: np.ndarray[Any, Any] | None) -> None:
        super().__init__(op, (), NO_ATTRS, type, name, origin)
        object.__setattr__(self, "state", State(value))

    @property
    def value(self) -> np.ndarray[Any, Any]:
        """A copy of the state now."""
        with reading([self.ready()]) as (array,):
            return array.copy()

    @value.setter
    def value(self, new: object) -> None:
        from graphc.feeds import as_feed

        self.state.assign(np.array(as_feed(self, new), order="C"))

    def ready(self) -> State:
        """The state, or a sentence when the variable has no value yet."""
        if self.state.current is None:
            raise GraphError(f"variable {self.name} was read from text and has no value yet", nodes=[self],
                             remedy="set its .value first")  # fmt: skip
        return self.state

    def __setattr__(self, name: str, value: object) -> None:
        if name != "value":
            super().__setattr__(name, value)
        object.__setattr__(self, name, value)
