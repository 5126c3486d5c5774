"""The index space of a kernel: its axes, merged where every value and operand allows it, and how operands lie in it.

All values of a body have the rank of its index space, with 1 on the axes they do not vary over.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from graphc.ir import Graph, Node
from graphc.lookups import lookup_of, marked_axis
from graphc.native.strides import FRESH_BYTES, HUGE_PAGE, Steps, broadcast, c_order
from graphc.windows import LARGEST_STEP, Window, windows_of

Box = tuple[tuple[int, int, int], ...]
"""From where to where along each axis of an index space, and at which steps."""


@dataclass(frozen=True)
class Space:
    """The index space of a body with neighbouring axes merged wherever every value and operand allows it."""

    sizes: tuple[int, ...]
    groups: tuple[tuple[int, ...], ...]
    shapes: Mapping[Node, tuple[int, ...]] = field(default_factory=dict, compare=False)
    """Of the values, in the rank of the space."""

    @classmethod
    def of(cls, body: Graph, accesses: Sequence[Steps | None]) -> Space:
        """Merge what can be merged."""
        shapes = shapes_of(body)
        domain = domain_of(shapes)
        groups: list[list[int]] = [[0]] if domain else []
        for axis in range(1, len(domain)):
            if _mergeable(body, shapes, accesses, domain, groups[-1], axis):
                groups[-1].append(axis)
            else:
                groups.append([axis])
        if not groups:
            return cls((1,), ((),), shapes)
        return cls(tuple(math.prod(domain[a] for a in group) for group in groups), tuple(map(tuple, groups)), shapes)

    def turned(self) -> Space:
        """The same with the last two axes in each other's place: what was a row is a column."""
        *outer, column, row = range(len(self.sizes))
        return self._ordered((*outer, row, column))

    def filling(self, body: Graph, written: Sequence[Steps | None]) -> Space:
        """The same with the axes of rows in an order in which results are filled."""
        *outer, row = range(len(self.sizes))
        order = self._filling((*outer, row), body, written)
        return self._ordered((*(axis for axis in order if axis != row), row))

    def tile_order(self, tiled: int, body: Graph, written: Sequence[Steps | None]) -> tuple[int, ...]:
        """The axes of tiles in such an order; the next tile is of the same rows, if it may be."""
        *outer, row = range(len(self.sizes))
        return self._filling((*(axis for axis in outer if axis != tiled), tiled, row), body, written)

    def _filling(self, axes: tuple[int, ...], body: Graph, written: Sequence[Steps | None]) -> tuple[int, ...]:
        """Axes from the one walked last to the first; in the order of a result that would be mapped long before."""
        if any(node.op.reduction for node in body.nodes):
            return axes
        for node, access in zip(body.outputs, written, strict=True):
            steps, width, size, reach = self.steps(node, access), node.array_type.dtype.itemsize, 1, 0
            for axis in reversed(axes):
                size, reach = size * self.sizes[axis], reach + (self.sizes[axis] - 1) * abs(steps[axis])
                if min(reach * width, size * HUGE_PAGE) - size * width > FRESH_BYTES:
                    return tuple(sorted(axes, key=lambda axis: -abs(steps[axis])))
        return axes

    def _ordered(self, order: tuple[int, ...]) -> Space:
        return Space(tuple(self.sizes[at] for at in order), tuple(self.groups[at] for at in order), self.shapes)

    def varies(self, node: Node) -> tuple[bool, ...]:
        """Along which merged axes a value varies."""
        return _varies(self.shapes[node], self.groups)

    def reduced(self, node: Node) -> list[int]:
        """The merged axes that a reduction is over."""
        pairs = zip(self.varies(node.inputs[0]), self.varies(node), strict=True)
        return [axis for axis, (before, after) in enumerate(pairs) if before and not after]

    def steps(self, node: Node, access: Steps | None) -> Steps:
        """Elements from one index to the next along each merged axis; of a value in C order without an access."""
        shape = self.shapes[node]
        if access is None:
            access = broadcast(shape, c_order(shape))
        return tuple(_merged_step(group, access, shape) for group in self.groups)

    def box(self, node: Node, window: Window) -> Box:
        """From where to where, at which steps, along each merged axis a node reads a box; if repeated, all along."""
        shape, source = node.array_type.static_shape, node.inputs[window.operand].array_type.static_shape
        ranges = [_merged_range(group, shape, source, window) for group in self.groups]
        times = [1 if varies else size for size, varies in zip(self.sizes, self.varies(node), strict=True)]
        return tuple((start * each, end * each, step) for (start, end, step), each in zip(ranges, times, strict=True))

    def group_of(self, axis: int) -> int:
        """The merged axis that an axis is in."""
        return next(number for number, group in enumerate(self.groups) if axis in group)


@lru_cache(maxsize=4096)
def _varies(shape: tuple[int, ...], groups: tuple[tuple[int, ...], ...]) -> tuple[bool, ...]:
    return tuple(any(shape[axis] != 1 for axis in group if shape) for group in groups)


def shapes_of(body: Graph) -> dict[Node, tuple[int, ...]]:
    """The shapes of a body's values over its index space: what is read at positions, without the axes looked up."""
    shapes = {node: node.array_type.static_shape for node in body.nodes}
    for node in body.nodes:
        lookup = lookup_of(node)
        for at in () if lookup is None else lookup.apart:
            source = node.inputs[at]
            shapes[source] = lookup.spread(at, source.array_type.static_shape, node.ndim, 1)  # type: ignore[union-attr]
    return shapes


def spread_accesses(body: Graph, accesses: Sequence[Steps]) -> list[Steps]:
    """How operands lie along the axes of the index space, of which those read at positions have others."""
    spread = list(accesses)
    places = {source: place for place, source in enumerate(body.inputs)}
    for node in body.nodes:
        lookup = lookup_of(node)
        for at in () if lookup is None else lookup.apart:
            place = places[node.inputs[at]]
            spread[place] = lookup.spread(at, accesses[place], node.ndim, 0)  # type: ignore[union-attr]
    return spread


def positioned(body: Graph) -> Iterator[tuple[Node, int, int, int]]:
    """The positions that a body looks at: node, which of its positions, along which axis of its first operand, size."""
    for node in body.nodes:
        lookup, mark = lookup_of(node), marked_axis(node)
        axes = lookup.axes if lookup is not None else () if mark is None else (mark,)
        for number, axis in enumerate(axes):
            yield node, number, axis, node.inputs[0].array_type.static_shape[axis]


def domain_of(shapes: Mapping[Node, tuple[int, ...]]) -> tuple[int, ...]:
    """The sizes that the values of a body vary over."""
    rank = max(map(len, shapes.values()))
    return tuple(max(shape[axis] for shape in shapes.values() if len(shape) == rank) for axis in range(rank))


def _mergeable(body: Graph, shapes: Mapping[Node, tuple[int, ...]], accesses: Sequence[Steps | None],
               domain: Sequence[int], group: Sequence[int], axis: int) -> bool:  # fmt: skip
    real = [a for a in group if domain[a] != 1]
    if not real or domain[axis] == 1:
        return True
    last, apart = real[-1], set[Node]()
    for node in body.nodes:
        for window in windows_of(node):
            source = node.inputs[window.operand]
            shape, box = shapes[node], source.array_type.static_shape
            if _is_stepped(real, shape, box, window):
                return False
            if box and box[axis] != shape[axis]:
                if not _may_alternate([*real, axis], shape, box, window):
                    return False
                apart.add(source)
    apart = feeding(body, apart)
    for node in body.nodes:
        shape = shapes[node]
        if len(shape) == len(domain) and (shape[last] == 1) != (shape[axis] == 1) and node not in apart:
            return False
        if marked_axis(node) in (last, axis):
            return False
    pointed = zip([*body.inputs, *body.outputs], accesses, strict=False)
    return all(access[last] == access[axis] * domain[axis] for node, access in pointed
               if node not in apart and access is not None)  # fmt: skip


def feeding(body: Graph, nodes: Iterable[Node]) -> set[Node]:
    """Nodes of a body and all that they are computed from."""
    found = set(nodes)
    for node in reversed(body.nodes) if found else ():
        if node in found:
            found.update(node.inputs)
    return found


def _may_alternate(axes: Sequence[int], shape: Sequence[int], box: Sequence[int], window: Window) -> bool:
    """Whether a box has one of few elements along the last of some axes, and all along the others."""
    *others, axis = axes
    whole = all(box[each] == shape[each] and window.steps[each] == 1 for each in others)
    return whole and box[axis] == 1 and shape[axis] <= LARGEST_STEP


def _is_stepped(axes: Sequence[int], shape: Sequence[int], box: Sequence[int], window: Window) -> bool:
    """Whether a box is read at steps along the last of some axes."""
    last = axes[-1]
    return window.steps[last] > 1 or (len(axes) > 1 and bool(box) and box[last] != shape[last])


def _merged_range(group: Sequence[int], shape: Sequence[int], box: Sequence[int],
                  window: Window) -> tuple[int, int, int]:  # fmt: skip
    """Of neighbouring axes only the first may be read in part, or of the last always the same one of few."""
    first, *others = [axis for axis in group if shape[axis] != 1] or [group[0]]
    inner, start = math.prod(shape[axis] for axis in others), window.start[first]
    if others and box[others[-1]] != shape[others[-1]]:
        return window.start[others[-1]], shape[first] * inner, shape[others[-1]]
    step = window.steps[first]
    if step > 1:
        return start, min(start + box[first] * step, shape[first]), step
    return start * inner, (start + box[first]) * inner, 1


def _merged_step(group: Sequence[int], strides: Sequence[int], shape: Sequence[Any]) -> int:
    steps = [strides[axis] for axis in group if shape and shape[axis] != 1]
    return steps[-1] if steps else 0
