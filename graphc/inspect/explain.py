"""The backward graph as text, and the sum behind one adjoint in words."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from graphc.errors import GradientError
from graphc.gradients import Backward, Source, path_end
from graphc.ir import Node, topological
from graphc.text.names import value_names
from graphc.text.printer import Printer
from graphc.types import TupleType

if TYPE_CHECKING:
    from graphc.passes.backward import Contribution


def adjoint_names(back: Backward) -> dict[Node, str]:
    """The names of all values: forward ones as in the text of y's graph, the adjoint of `%head/x` as `%head/dx`."""
    forward = topological([back.y, *back.wrt])
    names = value_names(forward)
    preferred = {node: name[1:] for node, name in names.items()}
    for node in [*back.wrt, *reversed(forward)]:
        adjoint = back.adjoint(node)
        if adjoint is not None and adjoint.name is None:
            preferred.setdefault(adjoint, _adjoint_name(names[node][1:]))
    adjoints = [adjoint for adjoint in map(back.adjoint, forward) if adjoint is not None]
    return value_names(topological([*forward, *back.gradients, *adjoints]), preferred)


def _adjoint_name(name: str) -> str:
    scope, slash, last = name.rpartition("/")
    return f"{scope}{slash}d{last}"


def backward_text(back: Backward) -> str:
    """The forward values that the gradients need, then the backward values, each with where it came from."""
    nodes = topological(back.gradients)
    names = adjoint_names(back)
    later = backward_nodes(back, nodes)
    printer = Printer(names, comments=lambda node: _comment(back, node, names))
    ordered = [*(node for node in nodes if node not in later), *(node for node in nodes if node in later)]
    ending = f"d {names[back.y]} / d {', '.join([names[node] for node in back.wrt])}"
    return printer.text(back.graph.name, back.graph.inputs, ordered, back.gradients, ending)


def backward_nodes(back: Backward, nodes: tuple[Node, ...]) -> set[Node]:
    """Those of some nodes in topological order that the backward pass made, or that depend on one it made."""
    later: set[Node] = set()
    for node in nodes:
        if back.origin(node) is not None or not later.isdisjoint(node.inputs):
            later.add(node)
    return later


def _comment(back: Backward, node: Node, names: dict[Node, str]) -> str:
    """`from %tanh_1 argument 0 by tanh, train.py:12`."""
    source = back.origin(node)
    place = node.origin.where()
    return ", ".join(filter(None, (_provenance(back, node, source, names) if source else "", place)))


def _provenance(back: Backward, node: Node, source: Source, names: dict[Node, str]) -> str:
    forward = names[source.forward]
    if source.argument is not None:
        return f"from {forward} argument {source.argument} by {source.rule}"
    if node is back.adjoint(back.y):
        return f"seed: d {forward} / d {forward}"
    return f"sum over the {len(back.contributions(source.forward))} edges out of {forward}"


def explain(back: Backward, node: Node) -> str:
    """The sum behind one adjoint, for people who want to check the chain rule by hand."""
    if not isinstance(node, Node):
        raise GradientError(f"expected a node, got {node!r} of type {type(node).__name__}",
                            remedy="pass a node of the graph")  # fmt: skip
    names = adjoint_names(back)
    if back.contributions(node) or node is back.y:
        return "\n".join(_sum(back, node, Printer(names)))
    return _no_sum(back, node, names)


def _sum(back: Backward, node: Node, printer: Printer) -> Iterator[str]:
    name, y = printer.names[node], printer.names[back.y]
    edges, adjoint = back.contributions(node), back.adjoint(node)
    if not edges and adjoint is not None:
        yield f"{name} is what is differentiated{_at(node)}. Its adjoint d {y} / d {name} is the seed:"
        yield f"  {printer.line(adjoint)}"
        return
    made = f"{name} = {printer.expression(node)}" if node.inputs else name
    yield f"{made} : {node.type}{_at(node)}"
    paths = back.paths(node)
    over = _counted(len(edges), "edge", "edges")
    yield f"{_counted(paths, 'path leads', 'paths lead')} from {name} to {y}, over {over}:"
    for edge in edges:
        yield from _edge(edge, printer, several=isinstance(node.type, TupleType))
    if adjoint is not None and len(edges) > 1:
        yield f"The adjoint d {y} / d {name} is their sum:\n  {printer.line(adjoint)}"
    elif adjoint is not None:
        yield f"The adjoint d {y} / d {name} is {printer.names[adjoint]}."
    else:
        yield f"{name} holds several results: each edge carries the adjoint of one, and its rule takes them all."


def _edge(edge: Contribution, printer: Printer, *, several: bool) -> Iterator[str]:
    where = f"result {edge.argument}" if several else f"argument {edge.argument}"
    consumer = f"{printer.names[edge.consumer]} = {printer.expression(edge.consumer)}"
    yield f"  {where} of {consumer}{_at(edge.consumer)}"
    yield f"    contributes, by the rule of {edge.rule}, {printer.line(edge.node)}"


def _no_sum(back: Backward, node: Node, names: dict[Node, str]) -> str:
    y, name = names[back.y], names.get(node) or f"%{node.name or node.op.name}"
    if node not in set(topological([back.y])):
        return f"{y} does not depend on {name}{_at(node)}: no path leads from it to {y}, so the derivative is zero."
    end = path_end(back.y, node, back.adjoints)
    last = f"{names[end]} = {end.op.name}{_at(end)}" if end is not None else y
    return (f"{y} depends on {name}{_at(node)}, but no derivative passes {last}, where every path from it ends: "
            f"the derivative is zero.")  # fmt: skip


def _at(node: Node) -> str:
    where = node.origin.where()
    return f" ({where})" if where else ""


def _counted(count: int, one: str, many: str) -> str:
    shown = str(count) if count < 10**15 else f"about 10^{math.floor(math.log10(count))}"
    return f"{shown} {one if count == 1 else many}"
