"""Results in the shape they were asked for: a node, or lists, tuples and dicts of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from graphc.errors import GraphError
from graphc.ir import Node
from graphc.types import Type

Rebuild = Callable[[Iterator[Any]], Any]


def flatten(structure: Any) -> tuple[list[Node], Rebuild]:
    """The nodes of a structure in order, and the function that puts values in their places."""
    if isinstance(structure, Node) and isinstance(structure.type, Type):
        return [structure], next
    if isinstance(structure, dict):
        leaves, rebuild = _flatten_all(structure.values())
        return leaves, lambda values: dict(zip(structure, rebuild(values), strict=True))
    if isinstance(structure, (tuple, Node)):  # a node of several results counts as the tuple of them
        leaves, rebuild = _flatten_all(structure)
        make = getattr(type(structure), "_make", tuple)  # a named tuple stays one
        return leaves, lambda values: make(rebuild(values))
    if isinstance(structure, Sequence) and not isinstance(structure, str):
        return _flatten_all(structure)
    raise GraphError(f"expected outputs to be nodes, got {structure!r} of type {type(structure).__name__}",
                     remedy="pass a node, or a list, tuple or dict of nodes")  # fmt: skip


def _flatten_all(parts: Any) -> tuple[list[Node], Callable[[Iterator[Any]], list[Any]]]:
    flattened = [flatten(part) for part in parts]
    leaves = [leaf for leaves, _ in flattened for leaf in leaves]
    rebuilds = [rebuild for _, rebuild in flattened]
    return leaves, lambda values: [rebuild(values) for rebuild in rebuilds]
