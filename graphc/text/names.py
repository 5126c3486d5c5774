"""The names that values have in text: the user's, or the op's with a number."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from graphc.ir import Node

NAME = r'[^\s%(){}\[\]=,:"#]+'
_ILLEGAL = re.compile(r'[\s%(){}\[\]=,:"#]')


def value_names(nodes: Iterable[Node], preferred: Mapping[Node, str] | None = None) -> dict[Node, str]:
    """A name for each value, with its `%`, all different and the same on every run.

    Placeholders and variables keep theirs, because feeds go by name; then come the user's and the `preferred` names,
    then those made from ops. Where one is taken already, a number follows it: `%tanh`, `%tanh_1`.
    """
    nodes = list(nodes)
    chosen = {**{node: node.name for node in nodes if node.name is not None}, **(preferred or {})}
    taken = Names()
    names = {node: taken.claim(_legal(name)) for node, name in chosen.items() if node.op.leaf}
    for node, name in chosen.items():
        if node not in names:
            names[node] = taken.claim(_legal(name))
    for node in nodes:
        if node not in names:
            names[node] = taken.claim(node.op.name)
    return names


class Names(set[str]):
    """The names taken so far, each with its `%`."""

    def __init__(self) -> None:
        self._last: dict[str, int] = {}

    def claim(self, base: str) -> str:
        """The first name free among `%base`, `%base_1`, `%base_2`, ..., taken from now on."""
        name = self.next(base)
        self.add(name)
        return name

    def next(self, base: str) -> str:
        """The name that `claim` would give."""
        name = "%" + base
        if name in self:
            count = self._last.get(base, 0)
            while name in self:
                count += 1
                name = f"%{base}_{count}"
            self._last[base] = count - 1
        return name


def _legal(name: str) -> str:
    return _ILLEGAL.sub("_", name) or "_"
