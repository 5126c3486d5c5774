"""Where every value of a program lies: in whose memory, at which byte, with which strides.

A view has its operand's memory; how its bytes lie there is found by calling its body on memory that is never touched.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

import numpy as np

from graphc.evaluate import failed
from graphc.executor.places import LARGEST_CONSTANT, seen_in
from graphc.ir import Graph, Node
from graphc.native.joins import joins_of
from graphc.native.strides import Steps, broadcast, broadcast_strides, contiguous
from graphc.native.turned import below, seen_outputs, turned, written_turned
from graphc.op import OPS
from graphc.types import TupleType, Type


class Home(Enum):
    """Whose memory a value has."""

    GIVEN = "the caller's array, never written"
    CONSTANT = "the program's array, never written"
    ARENA = "the workspace, at a planned offset"
    RESULT = "an output array, fresh or the caller's"
    OWN = "memory that a NumPy function allocates"


@dataclass(frozen=True)
class Layout:
    """How a value lies in the memory of its root; offset and strides in bytes."""

    root: Node
    offset: int
    strides: tuple[int, ...]


@dataclass
class Storage:
    """The home of every root, and the layout of every array."""

    graph: Graph
    home: dict[Node, Home] = field(default_factory=dict)
    layout: dict[Node, Layout] = field(default_factory=dict)
    constants: dict[Node, Any] = field(default_factory=dict)
    target: dict[Node, int] = field(default_factory=dict)
    """The output whose array a root in RESULT memory has."""
    parts: dict[Node, list[Node]] = field(default_factory=dict)
    """The items of a kernel or loop with several results, by number."""
    copies: dict[Node, Layout] = field(default_factory=dict)
    """The views that are copied, and where they lie in their operand's memory."""

    def root(self, node: Node) -> Node:
        """The value whose memory a value has: for a tuple that a body returns, the tuple."""
        return self.layout[node].root if node in self.layout else node

    def is_whole(self, node: Node) -> bool:
        """Whether a value is all of its root, element for element in order."""
        at = self.layout[node]
        if at.root is node:
            return True
        kind = node.array_type
        return at.offset == 0 and kind.nbytes == at.root.type.nbytes and at.strides == contiguous(kind)

    def lies_at(self, node: Node, place: Layout) -> bool:
        """Whether a value lies somewhere, whatever its strides along axes of size 1."""
        kind, at = node.array_type, self.layout[node]
        strides = [broadcast(kind.static_shape, each.strides) for each in (at, place)]
        return at.root is place.root and at.offset == place.offset and strides[0] == strides[1]

    def steps(self, node: Node) -> Steps:
        """Elements to step along each axis of a value."""
        width = node.array_type.dtype.itemsize
        return tuple(stride // width for stride in self.layout[node].strides)

    def steps_over(self, node: Node, rank: int) -> Steps:
        """Elements to step along the last axes of an index space of some rank: 0 where a value repeats."""
        return broadcast_strides(node.array_type, self.layout[node].strides, rank)

    def results(self, node: Node) -> list[Node]:
        """The roots that a node's own computation fills."""
        return self.parts.get(node, [node])


def storage_of(graph: Graph, fresh: int, is_kernel: Callable[[Node], bool], is_product: Callable[[Node], bool],
               has_loops: Callable[[Node], bool]) -> Storage:  # fmt: skip
    """Find the place of every value. The first `fresh` outputs get new arrays; their numbers are read at the end."""
    made = _Finder(graph, is_kernel, is_product, has_loops).run()
    for index, node in enumerate(graph.outputs):
        if node not in made.layout:
            continue
        root = made.root(node)
        if made.home[root] is Home.ARENA and made.is_whole(node) and (node.shape or index >= fresh):
            made.home[root] = Home.RESULT
            made.target[root] = index
    return made


class _Finder:
    """Goes through a graph in order, with a stand-in for each value that something is a view of."""

    def __init__(self, graph: Graph, is_kernel: Callable[[Node], bool], is_product: Callable[[Node], bool],
                 has_loops: Callable[[Node], bool]) -> None:  # fmt: skip
        self.graph, self.is_kernel, self.has_loops = graph, is_kernel, has_loops
        self.made = Storage(graph)
        self.items = {(node.inputs[0], node.attrs["index"]): node for node in graph.nodes if node.op.name == "item"}
        self.stand_ins: dict[Node, Any] = {}
        self.joins = joins_of(graph, is_kernel, is_product)
        self.turned, self.seen = turned(graph, is_kernel), seen_outputs(graph)
        self.written_turned = written_turned(graph, is_kernel, is_product)
        self.shown = set(graph.outputs)
        """What an output has the memory of."""
        viewed = [node.inputs[0].type.nbytes for node in graph.nodes if node.op.view and node.inputs]
        viewed += [join.whole.type.nbytes for join in self.joins.values()]
        self.region = np.empty(max(viewed, default=0) + 64, np.uint8)
        self.base = address(self.region)

    def run(self) -> Storage:
        made = self.made
        for node in self.graph.nodes:
            if node.op.leaf:
                self._place(node, Home.GIVEN)
            elif self._is_constant(node):
                value = _value(node, [made.constants[source] for source in node.inputs])
                made.constants[node] = np.require(value, node.dtype, ["C", "A"])
                self._place(node, Home.CONSTANT)
            elif node.op.name == "item" and node.inputs[0] in made.parts:
                self.made.layout[node] = self.made.layout[self.made.parts[node.inputs[0]][node.attrs["index"]]]
            elif self.is_kernel(node) or (isinstance(node.type, TupleType) and self.has_loops(node)):
                self._filled(node)
            elif self._view(node):
                if node in self.turned or (node in self.seen and self._is_apart(node)):
                    self._copied(node)
            else:
                writes = isinstance(node.type, Type) and (
                    node.op.writes_out or self.has_loops(node) or not node.type.nbytes)  # fmt: skip
                self._place(node, Home.ARENA if writes else Home.OWN)
        return made

    def _is_apart(self, node: Node) -> bool:
        """Whether a view that is an output needs memory of its own: it has not all of its operand's, or may not keep
        that, or another output has it."""
        root = self.made.root(node)
        if self.made.is_whole(node) and self.made.home[root] is Home.ARENA and root not in self.shown:
            self.shown.add(root)
            return False
        return bool(node.shape) or not self.made.is_whole(node)

    def _copied(self, node: Node) -> None:
        """Give a view memory of its own."""
        self.made.copies[node] = self.made.layout[node]
        self.stand_ins.pop(node)
        self._place(node, Home.ARENA)

    def _place(self, node: Node, home: Home) -> None:
        if node in self.joins:
            self.made.layout[node] = self._joined(node)
            return
        if node in self.written_turned:
            seen = self.written_turned[node]
            self._place(seen, home)
            self.made.layout[node] = self._seen(seen, node, self.made.layout[seen])
            return
        self.made.home[node] = home
        if isinstance(node.type, Type):
            self.made.layout[node] = Layout(node, 0, contiguous(node.type))

    def _joined(self, node: Node) -> Layout:
        """The place of a piece in its concatenation, which may be a piece itself."""
        whole, start, piece = self.joins[node]
        if whole not in self.made.layout:
            self._place(whole, Home.ARENA)
        at = self.made.layout[whole]
        there = Layout(at.root, at.offset + start * at.strides[whole.attrs["axis"]], at.strides)
        return self._seen(piece, node, there)

    def _seen(self, view: Node, node: Node, at: Layout) -> Layout:
        """How a value lies, of which a view is to lie somewhere."""
        return replace(at, strides=below(view, node, array_over(self.region, view, at)).strides)

    def _filled(self, node: Node) -> None:
        """A kernel or a loop with several results fills the memory of its items."""
        if not isinstance(node.type, TupleType):
            self._place(node, Home.ARENA)
            return
        count = len(node.type.elements)
        unread = {i: OPS["item"](node, index=i) for i in range(count) if (node, i) not in self.items}
        self.made.parts[node] = [unread[i] if i in unread else self.items[node, i] for i in range(count)]
        for part in self.made.parts[node]:
            self._place(part, Home.ARENA)

    def _is_constant(self, node: Node) -> bool:
        if node.inputs:
            of_one = node.op.view and node.inputs[0] in self.made.constants
            return of_one and isinstance(node.type, Type) and node.type.nbytes <= LARGEST_CONSTANT
        arrays = [value for value in node.attrs.values() if isinstance(value, np.ndarray)]
        stored = any(array.nbytes == node.type.nbytes for array in arrays)
        return isinstance(node.type, Type) and (stored or node.type.nbytes <= LARGEST_CONSTANT)

    def _view(self, node: Node) -> bool:
        """Note a view's layout; False where its value does not lie in its operand's memory."""
        if not node.op.view:
            return False
        source = node.inputs[0]
        root = self.made.root(source)
        if root not in self.made.layout:  # an element of a tuple that a body returns
            return False
        stand_in = self._stand_in(source)
        result = seen_in(node, stand_in)
        pieces = result if isinstance(result, tuple) else (result,)
        if not all(np.may_share_memory(piece, self.region) or not piece.size for piece in pieces):
            return False
        self.stand_ins[node] = result
        if isinstance(result, tuple):
            self.made.layout[node] = Layout(root, 0, ())
        else:
            offset = address(result) - self.base if result.size else 0
            self.made.layout[node] = Layout(root, offset, result.strides)
        return True

    def _stand_in(self, node: Node) -> Any:
        if node not in self.stand_ins:
            at = self.made.layout[node]
            self.stand_ins[node] = array_over(self.region, node, at)
        return self.stand_ins[node]


def address(array: np.ndarray[Any, Any]) -> int:
    """Where an array begins; `array.ctypes` imports a module, which fails when the interpreter ends."""
    return int(array.__array_interface__["data"][0])


def _value(node: Node, operands: Sequence[Any]) -> Any:
    try:
        return node.op.body(*operands, **node.attrs)
    except Exception as error:
        raise failed(node, error) from error


def array_over(memory: Any, node: Node, at: Layout) -> np.ndarray[Any, Any]:
    """A value as an array over its root's memory."""
    kind = node.array_type
    if not kind.size:
        return np.empty(kind.static_shape, kind.dtype)
    return np.ndarray(kind.static_shape, kind.dtype, memory, at.offset, at.strides)
