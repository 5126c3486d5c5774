"""Printing: a header with the inputs, a line for each value, and what is returned."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from graphc.ir import Graph, Node, Variable
from graphc.text.literals import elements_text, value_text
from graphc.text.names import NAME, value_names
from graphc.types import AnyType

Comments = Callable[[Node], str]
_PLAIN_NAME = re.compile(NAME)
_WIDEST = 88
"""Comments stand in one column, unless a line reaches further than this."""


def to_text(graph: Graph, *, comments: Comments | None = None, short: bool = False) -> str:
    """The text of a graph, which `parse` reads back.

    `comments` gives a remark for the end of each value's line, or ''. `short` shows only the first elements of each
    constant: for people, not for `parse`.
    """
    printer = Printer(value_names(graph.nodes), comments=comments, short=short)
    return printer.text(graph.name, graph.inputs, graph.nodes, graph.outputs)


class Printer:
    """Writes the lines of one graph under given names."""

    def __init__(self, names: Mapping[Node, str], *, comments: Comments | None = None, short: bool = False) -> None:
        self.names = names
        self.comments = comments
        self.short = short
        self._types: dict[AnyType, str] = {}

    def text(self, name: str | None, inputs: Sequence[Node], nodes: Iterable[Node], outputs: Sequence[Node],
             ending: str = "") -> str:  # fmt: skip
        """The whole text. `nodes` may come in any order that has every node after its inputs."""
        header = ", ".join([f"{self.names[node]}: {self.type(node)}" for node in inputs])
        skipped = set(inputs)
        listed = [node for node in nodes if node not in skipped]
        rows = [("  " + self.line(node), self.comments(node) if self.comments else "") for node in listed]
        returned = ", ".join([self.names[node] for node in outputs])
        rows.append((f"  return {returned}".rstrip(), ending))
        return "\n".join([f"graph{_title(name)}({header}) {{", *_aligned(rows), "}"])

    def line(self, node: Node) -> str:
        """One value: `%sum = sum(%x) {axis=(0,), keepdims=False} : f32[3]`."""
        return f"{self.names[node]} = {self.expression(node)} : {self.type(node)}"

    def expression(self, node: Node) -> str:
        """How a value is made: its op, operands and attributes."""
        op = node.op.name
        if op == "constant":
            return f"constant({elements_text(node.attrs['value'], short=self.short)})"
        if isinstance(node, Variable):
            return op
        operands = ", ".join([self.names[operand] for operand in node.inputs])
        return f"{op}({operands}) {{{self._attributes(node)}}}" if node.attrs else f"{op}({operands})"

    def type(self, node: Node) -> str:
        """The type of a value."""
        kind = node.type
        text = self._types.get(kind)
        if text is None:
            text = self._types[kind] = str(kind)
        return text

    def _attributes(self, node: Node) -> str:
        return ", ".join([f"{name}={self._value(value)}" for name, value in node.attrs.items()])

    def _value(self, value: Any) -> str:
        if isinstance(value, Graph):
            return to_text(value, comments=self.comments, short=self.short).replace("\n", "\n  ")
        if type(value) is tuple and any(isinstance(element, Graph) for element in value):
            return f"({''.join([self._value(element) + ',' for element in value])})"
        return value_text(value, short=self.short)


def _title(name: str | None) -> str:
    if name is None:
        return ""
    return f" {name}" if _PLAIN_NAME.fullmatch(name) and name[0] not in "'" else f" {name!r}"


def _aligned(rows: list[tuple[str, str]]) -> list[str]:
    """Lines with their comments in one column."""
    width = max([len(text) for text, comment in rows if comment and len(text) <= _WIDEST], default=0)
    return [f"{text:<{width}}  # {' '.join(comment.split())}" if comment else text for text, comment in rows]
