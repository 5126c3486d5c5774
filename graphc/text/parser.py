"""Parsing: the text of a graph becomes the graph, with every type inferred anew and compared with the printed one."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NoReturn

from graphc.errors import FormatError, GraphcError
from graphc.ir import NO_ATTRS, Graph, Node, Variable, collector_paused
from graphc.op import Op
from graphc.operators import OPS
from graphc.signals import let_through
from graphc.text.literals import parse_elements
from graphc.text.names import NAME, Names
from graphc.text.reader import Reader
from graphc.text.values import read_attribute_name, read_type, read_value
from graphc.types import AnyType, Type

_TITLE = re.compile(rf"graph\s*('(?:[^'\\\n]|\\.)*'|\"(?:[^\"\\\n]|\\.)*\"|{NAME})?\s*\(")
_INPUT = re.compile(rf"%({NAME})")
_STATEMENT = re.compile(rf"%({NAME})\s*=\s*({NAME})\s*(?:\(([^()]*)\))?")
_RETURN = re.compile(rf"return\b\s*(%{NAME}\s*(?:,\s*%{NAME}\s*)*)?")


def parse(text: str, *, source: str = "text") -> Graph:
    """The graph that a text describes. A variable read from text has no value until one is assigned.

    `source` is what errors call the text, such as a file's name. Raises FormatError, with the line, for text that is
    no graph or whose types do not hold.
    """
    if not isinstance(text, str):
        raise FormatError(f"expected the text of a graph, got {text!r} of type {type(text).__name__}")
    reader = Reader(text, source)
    with collector_paused():
        graph = parse_graph(reader)
    reader.skip()
    if reader.position < len(text):
        reader.expected("nothing after the graph's }")
    return graph


def parse_graph(reader: Reader) -> Graph:
    """The graph that starts here."""
    with reader.deeper():
        title = reader.match(_TITLE) or reader.expected("a graph such as graph name(%x: f32[3]) {")
        scope = _Scope(reader)
        inputs = scope.inputs()
        while scope.statement():
            pass
        end = reader.match(_RETURN) or reader.expected("a value such as %y = tanh(%x) : f32[3], or return %y")
        outputs = scope.values(end[1] or "")
        reader.expect("}")
        return reader.guarded(lambda: Graph(inputs, outputs, _graph_name(title[1])))


def _graph_name(text: str | None) -> str | None:
    return str(ast.literal_eval(text)) if text and text[0] in "'\"" else text


class _Scope:
    """The values of one graph, by name, while it is read."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.nodes: dict[str, Node] = {}
        self.names = Names()

    def inputs(self) -> list[Node]:
        """The placeholders between parentheses, up to the brace."""
        found: list[Node] = []
        while not self.reader.accept(")"):
            match = self.reader.match(_INPUT) or self.reader.expected("an input such as %x: f32[3], or )")
            kind = read_type(self.reader)
            node = Node(OPS["placeholder"], (), NO_ATTRS, kind, match[1], self.reader.origin())
            found.append(self.define(match[1], node))
            if not self.reader.accept(","):
                self.reader.expect(")")
                break
        self.reader.expect("{")
        return found

    def statement(self) -> bool:
        """One value, if another one follows."""
        self.reader.skip()
        match = self.reader.match(_STATEMENT)
        if match is None:
            return False
        name, op_name, operands = match.groups()
        op = OPS.get(op_name)
        if op is None:
            self.reader.fail(f"no op is called {op_name}",
                             remedy="see `graphc ops` for the list, or import the module that declares it")  # fmt: skip
        if op.leaf:
            self.define(name, self.leaf(op, name))
        elif op.name == "constant":
            self.define(name, self.constant(op, name, operands))
        else:
            self.define(name, self.application(op, name, self.values(operands or "")))
        return True

    def define(self, name: str, node: Node) -> Node:
        """Enter a value under its name."""
        if name in self.nodes:
            self.reader.fail(f"%{name} is defined twice")
        self.nodes[name] = node
        self.names.add("%" + name)
        return node

    def values(self, text: str) -> tuple[Node, ...]:
        """The values that a list such as `%x, %y` names."""
        if not text or text.isspace():
            return ()
        try:
            return tuple([self.nodes[name.strip()[1:]] for name in text.split(",")])
        except KeyError:
            return self.missing(text)

    def missing(self, text: str) -> NoReturn:
        """Say which of the values that a list names does not exist."""
        for name in map(str.strip, text.split(",")):
            if not name.startswith("%"):
                self.reader.fail(f"expected values such as %x as operands, got {name!r}")
            if name[1:] not in self.nodes:
                self.reader.fail(f"{name} is not defined above", remedy="define each value before it is used")
        raise AssertionError(text)

    def leaf(self, op: Op, name: str) -> Node:
        """A variable, without a value."""
        kind = read_type(self.reader)
        if op.name != "variable" or not isinstance(kind, Type):
            self.reader.fail(f"expected {op.name}s between the graph's parentheses, as in graph(%x: f32[3]) {{")
        return Variable(op, kind, name, self.reader.origin(), None)

    def constant(self, op: Op, name: str, elements: str | None) -> Node:
        """A constant, its elements standing between the parentheses and its dtype and shape in the type."""
        kind = read_type(self.reader)
        if not isinstance(kind, Type) or elements is None:
            self.reader.fail("expected a constant such as %c = constant(1.0, 2.0) : f32[2]")
        value = self.reader.guarded(lambda: parse_elements(elements, kind))
        return self.node(op, name, (), MappingProxyType({"value": value}), kind)

    def application(self, op: Op, name: str, operands: tuple[Node, ...]) -> Node:
        """An op applied to values, its type inferred and compared with the printed one."""
        attrs = self.attributes(op) if self.reader.peek("{") else NO_ATTRS
        kind = read_type(self.reader)
        inferred = self.inferred(op, operands, attrs)
        if inferred != kind:
            types = ", ".join(str(operand.type) for operand in operands)
            self.reader.fail(f"expected %{name} to have type {inferred}, as {op.name}({types}) does, got {kind}",
                             remedy="correct the type, or the operands")  # fmt: skip
        return self.node(op, name, operands, attrs, kind)

    def inferred(self, op: Op, operands: Sequence[Node], attrs: Mapping[str, Any]) -> AnyType:
        """What the op's type rule says; whatever it raises for operands that no caller checked becomes a sentence."""
        try:
            return op.infer_type(operands, attrs)
        except GraphcError as error:
            self.reader.fail(f"{op.name} does not fit here: {error.problem}", remedy=error.remedy)
        except Exception as error:
            let_through(error)
            remedy = f"it has the attributes {', '.join(op.attributes)}" if op.attributes else ""
            self.reader.fail(f"{op.name} does not fit here: {type(error).__name__}: {error}", remedy=remedy)

    def node(self, op: Op, name: str, operands: tuple[Node, ...], attrs: Mapping[str, Any], kind: AnyType) -> Node:
        """A node, with the name it was printed under unless that is the one its op gives it here anyway."""
        own = None if self.names.next(op.name) == "%" + name else name
        return Node(op, operands, attrs, kind, own, self.reader.origin())

    def attributes(self, op: Op) -> Mapping[str, Any]:
        """The attributes between braces."""
        attrs: dict[str, Any] = {}
        self.reader.expect("{")
        while not self.reader.accept("}"):
            name = read_attribute_name(self.reader)
            if name not in op.attributes:
                self.reader.fail(f"{op.name} has no attribute {name}",
                                 remedy=f"it has {', '.join(op.attributes) or 'none'}")  # fmt: skip
            if name in attrs:
                self.reader.fail(f"attribute {name} is given twice", remedy="give it once")
            attrs[name] = read_value(self.reader, parse_graph)
            if not self.reader.accept(","):
                self.reader.expect("}")
                break
        return MappingProxyType(attrs)
