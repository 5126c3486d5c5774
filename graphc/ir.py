"""The graph: immutable, typed nodes that know where they came from, and iterative walks over them."""

from __future__ import annotations

import gc
import hashlib
import os
import struct
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from types import CodeType, MappingProxyType
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from graphc.errors import GraphError
from graphc.operators import OPS, Operators, call
from graphc.state import State, reading
from graphc.types import AnyType, Dim, Shape, TupleType, Type

if TYPE_CHECKING:
    from graphc.op import Op

NO_ATTRS: Mapping[str, Any] = MappingProxyType({})


class Origin:
    """Where a node came from: the user's line, and for a backward node the forward node and the rule that made it."""

    __slots__ = ("_code", "_line", "forward", "rule")

    def __init__(self, code: CodeType | str | None, line: int, forward: Node | None = None, rule: str = "") -> None:
        self._code = code
        self._line = line
        self.forward = forward
        self.rule = rule

    @property
    def file(self) -> str:
        """The user's file, or '' when unknown."""
        return self._code.co_filename if isinstance(self._code, CodeType) else self._code or ""

    @property
    def line(self) -> int:
        """The user's line number, or 0 when unknown."""
        if not isinstance(self._code, CodeType):
            return self._line
        lines = (line for start, end, line in self._code.co_lines() if start <= self._line < end)
        return next(lines, None) or self._code.co_firstlineno

    def where(self) -> str:
        """`file:line`, the file relative to the working directory where it lies below it."""
        if not self._code:
            return ""
        short = os.path.relpath(self.file) if os.path.isabs(self.file) and _below_cwd(self.file) else self.file
        return f"{short}:{self.line}"

    def derived(self, forward: Node, rule: str) -> Origin:
        """The origin of a backward node: the same line, and the forward node and rule it came from."""
        return Origin(self._code, self._line, forward, rule)


def _below_cwd(path: str) -> bool:
    return path.startswith(os.getcwd() + os.sep)


UNKNOWN = Origin(None, 0)
_here = os.path.dirname(os.path.abspath(__file__))
_LIBRARY = (_here + os.sep, os.path.join(os.path.dirname(_here), "passes") + os.sep)
_PROGRAM = os.path.join(_here, "demo") + os.sep


class _Files(dict[str, bool]):
    """Whether a source file is graphc's own, rather than of a program that uses it such as `graphc train`."""

    def __missing__(self, file: str) -> bool:
        self[file] = own = file.startswith(_LIBRARY) and not file.startswith(_PROGRAM)
        return own


_own = _Files()

current_origin: ContextVar[Origin | None] = ContextVar("current_origin", default=None)
_current_scope: ContextVar[str] = ContextVar("current_scope", default="")


def origin_here() -> Origin:
    """The origin for a node made now: the one in force (`made_by`), else the innermost line outside graphc."""
    origin = current_origin.get()
    if origin is not None:
        return origin
    frame = sys._getframe(1)
    while _own[frame.f_code.co_filename]:
        caller = frame.f_back
        if caller is None:
            return UNKNOWN
        frame = caller
    return Origin(frame.f_code, frame.f_lasti)


@contextmanager
def made_by(origin: Origin) -> Iterator[None]:
    """Give every node made in this block one origin."""
    token = current_origin.set(origin)
    try:
        yield
    finally:
        current_origin.reset(token)


@contextmanager
def scope(name: str) -> Iterator[None]:
    """Prefix the names given in this block: `head/logits`. Scopes nest."""
    token = _current_scope.set(scoped(name))
    try:
        yield
    finally:
        _current_scope.reset(token)


def scoped(name: str) -> str:
    """A name under the scopes now open."""
    if not name or not isinstance(name, str) or any(c.isspace() or c in "%(){}[]=,:\"#" for c in name):
        raise GraphError(f"expected a name without blanks or any of %(){{}}[]=,:\"#, got {name!r}",
                         remedy='use letters, digits, _ and /, as in gr.placeholder("head/x", (3,))')  # fmt: skip
    prefix = _current_scope.get()
    return f"{prefix}/{name}" if prefix else name


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
        return self.array_type.dtype

    @property
    def shape(self) -> Shape:
        """The shape of the value."""
        return self.array_type.shape

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.array_type.shape)

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
        """The same value under a name; the name nests in the scopes now open."""
        return self.replace(name=scoped(name))

    def replace(self, **changes: Any) -> Node:
        """A copy with some fields changed; the type is taken as it is."""
        fields = {"op": self.op, "inputs": self.inputs, "attrs": self.attrs, "type": self.type,
                  "name": self.name, "origin": self.origin}  # fmt: skip
        return Node(**{**fields, **changes})

    def with_inputs(self, inputs: tuple[Node, ...]) -> Node:
        """The same op over other inputs, its type inferred anew where theirs changed."""
        if all(new.type == old.type for new, old in zip(inputs, self.inputs, strict=True)):
            return Node(self.op, inputs, self.attrs, self.type, self.name, self.origin)
        return Node(self.op, inputs, self.attrs, self.op.infer_type(inputs, self.attrs), self.name, self.origin)

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
        return _only_output, (Graph(None, [self]),)

    def __repr__(self) -> str:
        name = f"%{self.name} = " if self.name else ""
        inputs = ", ".join(f"%{node.name or node.op.name}" for node in self.inputs)
        return f"<{name}{self.op.name}({inputs}) : {self.type}>"

    def __bool__(self) -> NoReturn:
        raise GraphError("a node has no truth value before it runs", nodes=[self],
                         remedy="use gr.where for a choice by value, `is` for identity, or node.eval(feed) for the value")  # fmt: skip

    def __len__(self) -> int:
        if isinstance(self.type, TupleType):
            return len(self.type.elements)
        if not self.shape:
            raise GraphError("a node of rank 0 has no length", nodes=[self], remedy="its number of elements is node.size")
        if isinstance(self.shape[0], int):
            return self.shape[0]
        raise GraphError(f"the length {self.shape[0]} is not known before the graph runs", nodes=[self],
                         remedy="use gr.dim_size(x, 0) for the size as a node")  # fmt: skip

    def __iter__(self) -> Iterator[Node]:
        if isinstance(self.type, TupleType):
            return iter([call("item", self, index=index) for index in range(len(self.type.elements))])
        raise GraphError("a node cannot be iterated before it runs", nodes=[self],
                         remedy="index it (x[0], x[1], …), or use an op over the whole axis")  # fmt: skip

    def __array__(self, *args: object, **kwargs: object) -> NoReturn:
        raise GraphError("a node is not an array: it has no value before it runs", nodes=[self],
                         remedy="use node.eval(feed) for the value, or gr.* in place of np.* to build more graph")  # fmt: skip

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


class Graph:
    """Some outputs and everything they need, in topological order. Immutable."""

    __slots__ = ("__weakref__", "inputs", "moved", "name", "nodes", "outputs")

    inputs: tuple[Node, ...]
    outputs: tuple[Node, ...]
    nodes: tuple[Node, ...]
    name: str | None
    moved: Mapping[Node, Node]

    def __init__(self, inputs: Sequence[Node] | None, outputs: Sequence[Node], name: str | None = None,
                 *, moved: Mapping[Node, Node] | None = None) -> None:  # fmt: skip
        """`inputs=None` takes the placeholders in the order met. `moved` is for passes: old node to new node."""
        outputs = tuple(outputs) if isinstance(outputs, Sequence) else (outputs,)
        inputs = tuple(inputs) if isinstance(inputs, Sequence) else (inputs,) if inputs is not None else None
        for node in (*(inputs or ()), *outputs):
            if not isinstance(node, Node):
                raise GraphError(f"expected a node, got {node!r} of type {type(node).__name__}",
                                 remedy="use gr.constant(value) for a fixed value")  # fmt: skip
        nodes = topological((*(inputs or ()), *outputs))
        found = tuple(node for node in nodes if node.op.name == "placeholder")
        if inputs is None:
            inputs = found
        _check_inputs(inputs, found)
        for field, value in zip(self.__slots__[1:], (inputs, moved or {}, name, nodes, outputs), strict=True):
            object.__setattr__(self, field, value)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a Graph is immutable; make a new one instead of setting {name}")

    @property
    def variables(self) -> tuple[Variable, ...]:
        """The variables that the graph reads."""
        return tuple(node for node in self.nodes if isinstance(node, Variable))

    def levels(self) -> list[list[Node]]:
        """The nodes by level: level(n) = 1 + the highest level of its inputs. Nodes of one level are independent."""
        level: dict[Node, int] = {}
        result: list[list[Node]] = []
        for node in self.nodes:
            at = level[node] = 1 + max((level[i] for i in node.inputs), default=-1)
            if at == len(result):
                result.append([])
            result[at].append(node)
        return result

    def structure(self) -> tuple[Any, ...]:
        """A hashable value that is equal exactly when two graphs are the same but for names and origins."""
        index = {node: i for i, node in enumerate(self.nodes)}
        rows = tuple((node.op.name, tuple(index[i] for i in node.inputs), attrs_key(node.attrs), node.type,
                      node.name if node.op.leaf else None) for node in self.nodes)  # fmt: skip
        return rows, tuple(index[i] for i in self.inputs), tuple(index[o] for o in self.outputs)

    def to_dot(self, path: str | os.PathLike[str] | None = None) -> str:
        """The graph as DOT text, also written to `path` when given."""
        from graphc.inspect.dot import to_dot

        return to_dot(self, path)

    def to_networkx(self) -> Any:
        """The graph as a `networkx.MultiDiGraph`, one node per value, one edge per argument."""
        from graphc.inspect.network import to_networkx

        return to_networkx(self)

    def __len__(self) -> int:
        return len(self.nodes)

    def __str__(self) -> str:
        from graphc.text import to_text

        return to_text(self)

    def __repr__(self) -> str:
        name = f" {self.name}" if self.name else ""
        return f"<Graph{name}: {len(self.inputs)} inputs, {len(self.nodes)} nodes, {len(self.outputs)} outputs>"

    def __copy__(self) -> Graph:
        return self

    def __deepcopy__(self, memo: object) -> Graph:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        index = {node: i for i, node in enumerate(self.nodes)}
        rows = [(node.op.name, tuple(index[i] for i in node.inputs), dict(node.attrs), node.type, node.name,
                 node.origin.where(), node.state.array if isinstance(node, Variable) else None)
                for node in self.nodes]  # fmt: skip
        return _from_rows, (rows, [index[i] for i in self.inputs], [index[o] for o in self.outputs], self.name)


def _check_inputs(inputs: Sequence[Node], found: Sequence[Node]) -> None:
    listed = set(inputs)
    missing = [node for node in found if node not in listed]
    if missing:
        names = ", ".join(str(node.name) for node in missing)
        raise GraphError(f"expected every placeholder among the inputs, but {names} is needed and not listed",
                         remedy=f"add {names} to the inputs", nodes=missing)  # fmt: skip
    foreign = [node for node in inputs if node.op.name != "placeholder"]
    if foreign:
        raise GraphError("expected every input to be a placeholder", nodes=foreign,
                         remedy="list placeholders; variables and constants need no feed")  # fmt: skip
    if len(listed) != len(inputs):
        twice = [node for i, node in enumerate(inputs) if node in inputs[:i]]
        raise GraphError("expected each input once, got one twice", nodes=twice, remedy="list each input once")


@contextmanager
def collector_paused() -> Iterator[None]:
    """Hold Python's cyclic garbage collector while many nodes are made.

    Graphs have no reference cycles; walking the growing graph again and again doubled the time to build one.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def topological(outputs: Iterable[Node]) -> tuple[Node, ...]:
    """Everything the outputs need, each node after its inputs. Iterative, linear, and the same on every run."""
    order: dict[Node, None] = {}
    opened: set[Node] = set()
    stack = list(outputs)[::-1]
    while stack:
        node = stack[-1]
        if node in order:
            stack.pop()
            continue
        pending = [i for i in node.inputs if i not in order]
        if not pending:
            order[node] = None
            stack.pop()
        elif node in opened:
            raise GraphError("expected a graph without cycles, but this node depends on itself", nodes=[node],
                             remedy="build nodes through gr.*; they cannot form a cycle")  # fmt: skip
        else:
            opened.add(node)
            stack.extend(reversed(pending))
    return tuple(order)


def consumers(nodes: Iterable[Node]) -> dict[Node, list[Node]]:
    """Who reads each node, an entry per argument."""
    result: dict[Node, list[Node]] = {}
    for node in nodes:
        result.setdefault(node, [])
        for source in node.inputs:
            result.setdefault(source, []).append(node)
    return result


def attrs_key(attrs: Mapping[str, Any]) -> tuple[Any, ...]:
    """Attributes as a hashable key, told apart by type and bits: 0.0 from -0.0, 1 from True, one NaN from another."""
    return tuple((name, freeze(value)) for name, value in attrs.items()) if attrs else ()


def freeze(value: Any) -> Any:
    """A hashable stand-in for an attribute value, equal only for the same type and bits."""
    freezer = _FREEZERS.get(type(value))
    if freezer is not None:
        return freezer(value)
    if isinstance(value, (np.ndarray, np.generic)):
        return _freeze_array(np.asarray(value))
    return (type(value), value)


def _freeze_array(value: np.ndarray[Any, Any]) -> tuple[Any, ...]:
    bits = value.tobytes()
    return value.dtype.str, value.shape, bits if len(bits) <= 64 else hashlib.sha256(bits).digest()


_FREEZERS: dict[type, Callable[[Any], Any]] = {
    int: lambda value: value,
    str: lambda value: value,
    type(None): lambda value: value,
    Dim: lambda value: value,
    Type: lambda value: value,
    bool: lambda value: (bool, value),
    float: lambda value: (float, struct.pack("<d", value)),
    tuple: lambda value: (tuple, *map(freeze, value)),
    np.ndarray: _freeze_array,
    Graph: lambda value: (Graph, value.structure()),
}


def _only_output(graph: Graph) -> Node:
    return graph.outputs[0]


def _from_rows(rows: list[Any], inputs: list[int], outputs: list[int], name: str | None) -> Graph:
    nodes: list[Node] = []
    for op_name, arguments, attrs, kind, node_name, where, state in rows:
        file, _, line = where.rpartition(":")
        origin = Origin(file, int(line)) if file else UNKNOWN
        op = OPS.get(op_name)
        if op is None:
            raise GraphError(f"no op is called {op_name}", remedy="import the module that declares it first")
        if op.name == "variable":
            nodes.append(Variable(op, kind, node_name, origin, state))
        else:
            arguments = tuple(nodes[i] for i in arguments)
            nodes.append(Node(op, arguments, MappingProxyType(attrs) if attrs else NO_ATTRS, kind, node_name, origin))
    return Graph([nodes[i] for i in inputs], [nodes[o] for o in outputs], name)
