"""Index maps of kernels, of all kinds: which operands a node reads elsewhere than at its own index.

Boxes (`windows`) are known when the graph is; what positions tell (`lookups`), when it runs.
"""

from __future__ import annotations

from graphc.ir import Node
from graphc.lookups import lookup_of, marked_axis
from graphc.windows import windows_of


def is_map(node: Node) -> bool:
    """Whether a node reads, or adds, where an index map says."""
    return bool(_apart(node)) or marked_axis(node) is not None


def only_moves(node: Node) -> bool:
    """Whether a node only reads where an index map says: alone it is no kernel."""
    return bool(_apart(node))


def read_elsewhere(node: Node) -> tuple[Node, ...]:
    """The operands that a node reads elsewhere than at its own index."""
    apart = _apart(node)
    return tuple([node.inputs[at] for at in apart]) if apart else ()


def read_here(node: Node) -> tuple[Node, ...]:
    """The operands that a node reads at its own index."""
    apart = _apart(node)
    if not apart:
        return node.inputs
    return tuple(source for at, source in enumerate(node.inputs) if at not in apart)


def _apart(node: Node) -> tuple[int, ...]:
    if (lookup := lookup_of(node)) is not None:
        return lookup.apart
    windows = windows_of(node)
    return tuple([window.operand for window in windows]) if windows else ()
