"""The error tree. Every message says what was expected, what came, whose line it was, and what to do."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from graphc.ir import Node


class GraphcError(Exception):
    """The root of every error that graphc raises on purpose.

    `problem` says what was expected and what came; `remedy` says what to do. The nodes involved are added by
    whoever knows them (`about`), because the rules that find a problem often see types only.
    """

    def __init__(self, problem: str, *, remedy: str = "", nodes: Iterable[Node] = ()) -> None:
        super().__init__(problem)
        self.problem = problem
        self.remedy = remedy
        self.nodes: tuple[Node, ...] = tuple(nodes)
        self.place = ""

    def about(self, nodes: Iterable[Node], place: str = "") -> Self:
        """Name the nodes involved, and the user's line at work, unless somebody closer already did."""
        self.nodes = self.nodes or tuple(nodes)
        self.place = self.place or place
        return self

    def __str__(self) -> str:
        lines = [self.problem]
        if self.place:
            lines.append(f"  at {self.place}")
        lines += [f"  {describe(node)}" for node in dict.fromkeys(self.nodes)]
        if self.remedy:
            lines.append(f"Remedy: {self.remedy}")
        return "\n".join(lines)


class ShapeError(GraphcError):
    """Shapes, ranks or axes that do not fit."""


class DTypeError(GraphcError):
    """A dtype that an op, a feed or a gradient cannot take."""


class GradientError(GraphcError):
    """A derivative that does not exist or was asked for wrongly."""


class GraphError(GraphcError):
    """A graph that is not well formed: cycles, foreign objects, missing inputs, duplicate names."""


class FeedError(GraphcError):
    """Arguments of a call that do not fit the declared inputs."""


class CompileError(GraphcError):
    """A pass, pipeline or backend that failed or does not exist."""


class ExecutionError(GraphcError):
    """A failure while a compiled graph was running."""


class FormatError(GraphcError):
    """Text or a file that cannot be read back."""


def describe(node: Node) -> str:
    """One line about a node for an error message: name, op, type and the user's line."""
    kind = f" ({node.op.name})" if node.name else ""
    where = node.origin.where()
    return f"{label(node)}{kind}: {node.type}" + (f", made at {where}" if where else "")


def label(node: Node) -> str:
    """What to call a node in a sentence: its name, or its op's."""
    return f"%{node.name}" if node.name else f"the {node.op.name} node"
