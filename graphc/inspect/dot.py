"""Graphs as DOT text: levels as ranks, forward and backward as clusters, the same bytes on every run."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from graphc.errors import GraphError
from graphc.files import write_atomically
from graphc.gradients import Backward
from graphc.inspect.explain import adjoint_names, backward_nodes
from graphc.ir import Graph, Node, topological
from graphc.text.names import value_names
from graphc.text.printer import Printer

Part = Literal["both", "forward", "backward"]
COLORS = {"leaf": "#cfe2f3", "op": "#ffffff", "backward": "#f9dcc4", "output": "#d9ead3"}
LONGEST = 60
"""Labels cut attributes after so many characters."""


def to_dot(obj: Any, path: str | os.PathLike[str] | None = None, *, part: Part = "both") -> str:
    """DOT text of a node, list of nodes, Graph, Backward or Executable; also written to `path` when given.

    `part="forward"` leaves out what the backward pass made, `"backward"` all else but its direct operands. A failed
    write leaves the old file whole. Raises GraphError for anything that is no graph, OSError for a failed write.
    """
    if part not in ("both", "forward", "backward"):
        raise GraphError(f'expected part to be "both", "forward" or "backward", got {part!r}')
    drawing = _drawing(obj).only(part)
    text = "\n".join(drawing.lines()) + "\n"
    if path is not None:
        write_atomically(path, text)
    return text


@dataclass(frozen=True)
class Drawing:
    """What is drawn: nodes in topological order, their names, which of them are outputs or backward."""

    title: str
    nodes: tuple[Node, ...]
    names: Mapping[Node, str]
    outputs: frozenset[Node]
    backward: frozenset[Node]

    def only(self, part: Part) -> Drawing:
        """The drawing of one part."""
        if part == "both":
            return self
        kept = frozenset(self.nodes) - self.backward
        if part == "backward":
            kept = self.backward.union(*[node.inputs for node in self.backward])
        return Drawing(self.title, tuple(n for n in self.nodes if n in kept), self.names, self.outputs, self.backward)

    def lines(self) -> Iterator[str]:
        """The DOT text, line by line."""
        yield f"digraph {quoted(self.title)} {{"
        yield "  newrank=true"
        yield '  node [shape=box, style="rounded,filled", fontname="monospace", fontsize=10]'
        yield '  edge [fontname="monospace", fontsize=8]'
        forward = [node for node in self.nodes if node not in self.backward]
        yield from self._cluster("forward", forward)
        yield from self._cluster("backward", [node for node in self.nodes if node in self.backward])
        yield from self._ranks()
        yield from self._edges()
        yield "}"

    def _cluster(self, label: str, nodes: Sequence[Node]) -> Iterator[str]:
        if not nodes:
            return
        printer = Printer(self.names, short=True)
        yield f"  subgraph cluster_{label} {{"
        yield f"    label={label}"
        for node in nodes:
            text = quoted("\n".join((self.names[node], _operation(node, printer), printer.type(node))))
            facts = f"label={text}, fillcolor={quoted(COLORS[self._kind(node)])}, tooltip={quoted(node.origin.where())}"
            yield f"    {quoted(self.names[node])} [{facts}]"
        yield "  }"

    def _kind(self, node: Node) -> str:
        if node in self.outputs:
            return "output"
        if node in self.backward:
            return "backward"
        return "op" if node.inputs else "leaf"

    def _ranks(self) -> Iterator[str]:
        ranks: dict[int, list[str]] = {}
        level: dict[Node, int] = {}
        for node in self.nodes:
            level[node] = 1 + max([level[source] for source in node.inputs if source in level], default=-1)
            ranks.setdefault(level[node], []).append(quoted(self.names[node]))
        for names in ranks.values():
            yield f"  {{ rank=same; {'; '.join(names)} }}"

    def _edges(self) -> Iterator[str]:
        drawn = set(self.nodes)
        for node in self.nodes:
            for argument, source in enumerate(node.inputs):
                if source in drawn:
                    label = f" [label={argument}]" if len(node.inputs) > 1 else ""
                    yield f"  {quoted(self.names[source])} -> {quoted(self.names[node])}{label}"


def _operation(node: Node, printer: Printer) -> str:
    """The op with its attributes, where they are short, or with the ops of the graph that it holds."""
    bodies = [value for value in node.attrs.values() if isinstance(value, Graph)]
    if bodies:
        return textwrap.fill(f"{node.op.name} of {', '.join(_held(bodies))}", LONGEST, break_long_words=False)
    shown = printer.expression(node).replace(f"({', '.join(printer.names[source] for source in node.inputs)})", "", 1)
    shown = " ".join(shown.split())
    return shown if len(shown) <= LONGEST else f"{shown[:LONGEST]}…"


def _held(bodies: Sequence[Graph]) -> list[str]:
    """What graphs compute: each op once, and those nodes that have a name under it."""
    computed = [node for body in bodies for node in body.nodes if node.inputs]
    return list(dict.fromkeys(f"{node.op.name} %{node.name}" if node.name else node.op.name for node in computed))


def quoted(text: str) -> str:
    """A DOT string: quotes and backslashes escaped, line ends as \\n."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def _drawing(obj: Any) -> Drawing:
    if isinstance(obj, Backward):
        return _backward_drawing(obj)
    if isinstance(obj, (Node, list, tuple)):
        obj = Graph(None, obj if isinstance(obj, (list, tuple)) else [obj])
    obj = getattr(obj, "graph", obj)
    if not isinstance(obj, Graph):
        raise GraphError(f"expected a node, list of nodes, Graph, Backward or Executable, got {obj!r} of type "
                         f"{type(obj).__name__}", remedy="pass the node that you want to see")  # fmt: skip
    backward: set[Node] = set()
    for node in obj.nodes:
        if node.origin.forward is not None or not backward.isdisjoint(node.inputs):
            backward.add(node)
    return Drawing(obj.name or "graph", obj.nodes, value_names(obj.nodes), frozenset(obj.outputs), frozenset(backward))


def _backward_drawing(back: Backward) -> Drawing:
    nodes = topological([back.y, *back.wrt, *back.gradients])
    outputs = frozenset([back.y, *back.gradients])
    made = frozenset(backward_nodes(back, nodes))
    return Drawing(back.graph.name or "backward", nodes, adjoint_names(back), outputs, made)
