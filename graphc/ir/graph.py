"""A graph: some outputs and everything they need, in order; and how nodes and graphs are pickled."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from graphc.errors import GraphError
from graphc.ir.keys import FREEZERS, attrs_key
from graphc.ir.node import NO_ATTRS, Node, Variable
from graphc.ir.origin import UNKNOWN, Origin
from graphc.ir.walk import topological
from graphc.operators import OPS
from graphc.state import reading


class Structure:
    """What is the same of two graphs; its hash is known, because those who compare structures look them up often."""

    __slots__ = ("_hash", "_value")

    def __init__(self, value: tuple[Any, ...]) -> None:
        self._value, self._hash = value, hash(value)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Structure) and self._value == other._value)


class Graph:
    """Some outputs and everything they need, in topological order. Immutable."""

    __slots__ = ("__weakref__", "_structure", "inputs", "moved", "name", "nodes", "outputs")

    inputs: tuple[Node, ...]
    outputs: tuple[Node, ...]
    nodes: tuple[Node, ...]
    name: str | None
    moved: Mapping[Node, Node]
    _structure: Structure | None

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
        for field, value in zip(self.__slots__[1:], (None, inputs, moved or {}, name, nodes, outputs), strict=True):
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

    def structure(self) -> Structure:
        """A hashable value that is equal exactly when two graphs are the same but for names and origins."""
        if self._structure is None:
            object.__setattr__(self, "_structure", self._find_structure())
        assert self._structure is not None
        return self._structure

    def _find_structure(self) -> Structure:
        index = {node: i for i, node in enumerate(self.nodes)}
        rows = tuple([(node.op.name, tuple([index[i] for i in node.inputs]), attrs_key(node.attrs), node.type,
                       node.name if node.op.leaf else None) for node in self.nodes])  # fmt: skip
        return Structure((rows, tuple(index[i] for i in self.inputs), tuple(index[o] for o in self.outputs)))

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
        values = self._values()
        rows = [(node.op.name, tuple(index[i] for i in node.inputs), dict(node.attrs), node.type, node.name,
                 node.origin.where(), values.get(node)) for node in self.nodes]  # fmt: skip
        return _from_rows, (rows, [index[i] for i in self.inputs], [index[o] for o in self.outputs], self.name)

    def _values(self) -> dict[Node, np.ndarray[Any, Any]]:
        """Copies of the values that variables have, all of one moment."""
        known = [variable for variable in self.variables if variable.state.current is not None]
        with reading([variable.state for variable in known]) as arrays:
            return {variable: array.copy() for variable, array in zip(known, arrays, strict=True)}


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


FREEZERS[Graph] = lambda graph: (Graph, graph.structure())


def only_output(graph: Graph) -> Node:
    """The node that was pickled as a graph of its own."""
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
            own = None if state is None else np.require(state, requirements=["C", "O", "W"])  # it may lie in a file
            nodes.append(Variable(op, kind, node_name, origin, own))
        else:
            arguments = tuple(nodes[i] for i in arguments)
            nodes.append(Node(op, arguments, MappingProxyType(attrs) if attrs else NO_ATTRS, kind, node_name, origin))
    return Graph([nodes[i] for i in inputs], [nodes[o] for o in outputs], name)
