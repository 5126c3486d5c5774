"""The graph inside a kernel: its values over the kernel's index space, and what it reads from outside as placeholders.

An outline tells all of which a body is made, so that kernels of one outline share a body.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

from graphc import ops
from graphc.facts import number_of, only_ones_move, reduced
from graphc.ir import NO_ATTRS, Node, attrs_key, current_origin
from graphc.lookups import Lookup, lookup_of, marked_axis
from graphc.maps import read_elsewhere, read_here
from graphc.op import OPS
from graphc.recompute import Recomputed
from graphc.spaces import Space
from graphc.types import Shape
from graphc.windows import Window, attrs_over, windows_of


class Body:
    """The graph inside a kernel: `inside` maps members, and `operands` what they read from outside, to its nodes."""

    def __init__(self, space: Space, recomputed: Recomputed) -> None:
        self.space, self.recomputed = space, recomputed
        self.inside: dict[Node, Node] = {}
        self.operands: dict[tuple[Node, Shape, Hashable], Node] = {}
        """By what is read, in which shape, and how, where that is elsewhere than at the reader's index."""
        self.computed: dict[tuple[Node, Shape], Node] = {}
        """By value computed in boxes, and its shape there."""
        self.names: set[str] = set()
        """Those of the operands."""

    def add(self, node: Node) -> None:
        """A member over what stands for its operands, of the index space's rank; it keeps its name and line."""
        for value in self.recomputed.below(node.inputs):
            if value not in self.inside:
                self._add(value)
        self._add(node)

    def _add(self, node: Node) -> None:
        current_origin.set(node.origin)
        if node.op.blas:
            self.inside[node] = named(node.with_inputs(tuple(map(self._factor, node.inputs))), node.name)
            return
        inputs = tuple([self._operand(source) for source in read_here(node)])
        shape = self.space.shape_of(node)
        if node.op.reduction:
            made = self._reduction(node, inputs[0], shape)
        elif windows_of(node):
            made = named(self._windowed(node, inputs), node.name)
        elif (lookup := lookup_of(node)) is not None:
            made = named(self._looked_up(node, lookup, inputs), node.name)
        elif marked_axis(node) is not None:
            made = named(node.op.make(_of_own_shape(node.inputs, inputs), node.attrs), node.name)
        elif only_ones_move(node) or node.op is ops.broadcast_to:
            made = inputs[0]
        else:
            made = named(node.op.make(inputs, node.attrs), node.name)
        self.inside[node] = made if made.shape == shape else ops.broadcast_to(made, shape)

    def _reduction(self, node: Node, source: Node, shape: tuple[int, ...]) -> Node:
        whole = source if source.shape else ops.broadcast_to(source, self.space.sizes)
        axis = tuple(a for a in range(len(shape)) if whole.shape[a] != shape[a])
        if axis:
            return named(reduced(node.op, whole, axis), node.name)
        alone = source if source.dtype == node.dtype else source.astype(node.dtype)
        return alone + 0 if node.op is ops.sum and alone.type.is_float else alone  # 0 + -0 is 0, as in every sum

    def _factor(self, source: Node) -> Node:
        """A matrix that a product reads, of its own shape."""
        return self._placeholder(source, source.shape)

    def _operand(self, source: Node) -> Node:
        if source in self.inside:
            return self.inside[source]
        number = number_of(source)
        if number is not None:
            return number
        return self._placeholder(source, self.space.shape_of(source))

    def _windowed(self, node: Node, here: Sequence[Node]) -> Node:
        """A node that reads boxes, over the axes of the index space."""
        whole = self.space.shape_of(node)
        sources = (source if source.shape == whole else ops.broadcast_to(source, whole) for source in here)
        boxed = {window.operand: self._box(node, window) for window in windows_of(node)}
        inputs = [boxed[at] if at in boxed else next(sources) for at in range(len(node.inputs))]
        return node.op.make(tuple(inputs), attrs_over(node, self.space.axes[node], len(whole)))

    def _looked_up(self, node: Node, lookup: Lookup, here: Sequence[Node]) -> Node:
        """A node that reads at positions: what it reads from memory has its own shape."""
        left = iter(here)
        inputs = [self._placeholder(source, source.shape, lookup.along[at]) if at in lookup.apart else next(left)
                  for at, source in enumerate(node.inputs)]  # fmt: skip
        return node.op.make(_of_own_shape(node.inputs, inputs), node.attrs)

    def _box(self, node: Node, window: Window) -> Node:
        """What is read in a box, or what is computed of it there."""
        whole, apart = node.inputs[window.operand], self.recomputed.apart
        chain = apart.chain(whole)
        for value in chain:
            shape = self._shape_in_box(value, node)
            if (value, shape) not in self.computed:
                inputs = tuple([self._in_box(source, node, chain) for source in value.inputs])
                made = named(value.op.make(inputs, value.attrs), value.name)
                self.computed[value, shape] = made if made.shape == shape else ops.broadcast_to(made, shape)
        return self._in_box(whole, node, chain)

    def _in_box(self, source: Node, node: Node, chain: Sequence[Node]) -> Node:
        number = None if source in read_elsewhere(node) else number_of(source)
        if number is not None:
            return number
        shape = self._shape_in_box(source, node)
        return self.computed[source, shape] if source in chain else self._placeholder(source, shape, "box")

    def _shape_in_box(self, source: Node, node: Node) -> Shape:
        """The shape in the space's rank of what a node reads in a box, whose last axes are those of the node."""
        before = (1,) * (node.ndim - source.ndim)
        return self.space.spread(node, (*before, *source.array_type.static_shape), 1)

    def _placeholder(self, source: Node, shape: Shape, how: Hashable = None) -> Node:
        key = (source, shape, how)
        if key not in self.operands:
            kind = source.array_type.with_shape(shape)
            name = self._free_name(source)
            self.names.add(name)
            self.operands[key] = Node(OPS["placeholder"], (), NO_ATTRS, kind, name)
        return self.operands[key]

    def _free_name(self, source: Node) -> str:
        """The user's name of an operand if it has one and no other operand has the same; else a short one."""
        names = (source.name, f"x{len(self.operands)}")
        free = (name for name in names if name is not None and name not in self.names)
        return next(free, f"operand{len(self.operands)}")


class Outline:
    """Rows that tell all of which a body is made; numbers of members and of what they read, in order."""

    def __init__(self, space: Space) -> None:
        self.axes = space.axes
        self.rows: list[Any] = [space.sizes]
        self.numbers: dict[Node, int] = {}
        self.apart: dict[Node, int] = {}
        """Of what is computed where boxes are read, which may be a member or be read, too."""

    def add(self, node: Node, apart: Sequence[Node] = (), *, used: bool) -> None:
        """A member, and what it reads."""
        boxed = read_elsewhere(node)
        read = [("apart", self.apart[source]) if source in apart and source in boxed else self._number(source, boxed)
                for source in node.inputs]  # fmt: skip
        self.numbers[node] = len(self.numbers)
        self._row(node, read, used)

    def add_apart(self, node: Node, chain: Sequence[Node]) -> None:
        """A value that is computed where a box is read, one of a chain."""
        read = [("apart", self.apart[source]) if source in chain else self._number(source) for source in node.inputs]
        self.apart[node] = len(self.apart)
        self._row(node, read, "apart")

    def _number(self, source: Node, boxed: Sequence[Node] = ()) -> Any:
        at: Any = None if source in boxed else number_of(source)  # as `_operand` asks
        if at is None and (at := self.numbers.get(source)) is None:
            at = self.numbers[source] = len(self.numbers)
            self.rows.append((source.type, source.name, self.axes.get(source)))
        return at

    def _row(self, node: Node, read: Sequence[Any], how: Any) -> None:
        self.rows.append((node.op, *read, attrs_key(node.attrs), node.type, node.name, self.axes.get(node), how,
                          node.origin.place))  # fmt: skip


def named(value: Node, name: str | None) -> Node:
    """A value under a name, unless it has one; leaves keep theirs."""
    return value if name is None or value.name is not None or value.op.leaf else value.replace(name=name)


def _of_own_shape(declared: Sequence[Node], inside: Sequence[Node]) -> tuple[Node, ...]:
    """Operands inside a kernel, repeated where they had been before: for ops that do not broadcast."""
    pairs = zip(declared, inside, strict=True)
    return tuple(one if one.shape == source.shape else ops.broadcast_to(one, source.shape) for source, one in pairs)
