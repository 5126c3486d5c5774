"""The index space of a kernel, and where in it the axes of each value lie.

Inside a kernel all values have the rank of its index space, with 1 where they do not vary, so that broadcasting lines
up. A reduction over the innermost axes may be used by later nodes of the kernel, and so may one over other axes that
are next to each other where its result is spread over them again; any other one is only a result.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import NamedTuple

from graphc.ends import LONGEST_ROW, WHOLE_ROW, can_hold, may_stand_together, needs_registers
from graphc.facts import is_place, number_of, only_ones_move, reduced_axes
from graphc.ir import Node
from graphc.lookups import lookup_of, marked_axis
from graphc.maps import is_map, read_here

LONGEST_COLUMN = 8192
"""The most elements of columns that are walked again and again: those side by side stay in a second cache."""
SHORT_COLUMN, MANY_WALKS = 512, 3
"""Longer ones are walked so where so many reductions follow each other: down long columns every row is on a page of its
own, and two walks along all rows are as fast."""
LEAST_COLUMNS = 128
"""Fewer columns are too few for threads to share."""
LEAST_LINE = 64
"""The fewest bytes that lie side by side in neighbouring columns."""
WIDE_LINE = 4096
"""So many bytes of places side by side are worth a kernel of nothing but their columns; a loop goes line by line."""
FEW_ROWS = 4
"""What is computed for rows joins what is computed for so many times as many elements."""
MOST_PLACES = 2**31 - 1
"""Places are counted in 32 bits, beside elements of no more."""
Returning = Callable[[Node], int]
Axes = tuple[int, ...]
"""For each axis of a value the axis of the index space that it runs along, or -1 where it has size 1."""


class Place(NamedTuple):
    """Where a node's axes lie. A reduction also sets the axes that are walked, or is an end."""

    axes: Axes
    walked: frozenset[int] = frozenset()
    ends: bool = False


@dataclass(eq=False)
class Space:
    """An index space of these sizes, of which the `walked` axes are reduced inside: rows, or columns."""

    sizes: tuple[int, ...]
    returning: Returning | None = None
    """How many reductions, one after the other, have results that are spread over their operands' axes again."""
    walked: frozenset[int] = frozenset()
    axes: dict[Node, Axes] = field(default_factory=dict)
    """Where members, and operands from outside, have their axes."""
    ends: set[Node] = field(default_factory=set)
    """Reductions that later members cannot use."""
    boxed: bool = False
    """Whether a member is an index map; then at most one axis is reduced inside, for several would be walked as one."""

    @classmethod
    def of(cls, node: Node, returning: Returning | None = None) -> Space | None:
        """The space of a kernel that begins with a node, or None for a reduction that no kernel can hold.

        Its sizes are the node's own, or for a reduction those of its operand.
        """
        spanning = node.inputs[0] if node.op.reduction else node
        space = cls(spanning.array_type.static_shape, returning)
        found = Place(_identity(node)) if spanning is node else space._reduced(node, _identity(spanning))
        return space if found is not None and space._put(node, found) else None

    @classmethod
    def common(cls, spaces: Sequence[Space]) -> Space | None:
        """One space for what several hold, the first itself if there is no other, or None where they disagree.

        They do, too, where one reads a reduction at which another ends.
        """
        if len(spaces) == 1:
            return spaces[0]
        first, *others = sorted(spaces, key=lambda space: -math.prod(space.sizes))
        walked = frozenset[int]().union(*(space.walked for space in spaces))
        result = cls(first.sizes, first.returning, walked, dict(first.axes), set(first.ends), first.boxed)
        for space in others:
            if not space._fits_in(first) or not all(_agree(space.walked, other.walked) for other in spaces):
                return None
            if not result.ends.isdisjoint(space.axes) or not space.ends.isdisjoint(result.axes):
                return None
            if any(result.axes.setdefault(node, axes) != axes for node, axes in space.axes.items()):
                return None
            result.ends |= space.ends
            result.boxed |= space.boxed
        return result if may_stand_together(result._end_axes()) and result._can_walk(result.axes.values()) else None

    def _fits_in(self, other: Space) -> bool:
        """Whether all that this space holds may be computed over another one, where an axis of size 1 is its rows."""
        if self.sizes == other.sizes:
            return True
        alike = len(self.sizes) == len(other.sizes) and all(
            size in (1, its) for size, its in zip(self.sizes, other.sizes, strict=True))  # fmt: skip
        few = math.prod(self.sizes) * FEW_ROWS <= math.prod(other.sizes)
        return alike and few and not self.walked and not self.ends

    def take(self, node: Node) -> bool:
        """Add a node that reads a member or operand; False, and nothing changes, where it does not fit."""
        if not self.ends.isdisjoint(node.inputs):
            return False
        found = self._places(node)
        return found is not None and self._put(node, found)

    def take_with(self, node: Node, below: Sequence[Node]) -> bool:
        """Add a node that reads values computed anew, which have the shape of the one value that they are made of."""
        for value in below:
            if any(source in self.axes for source in value.inputs):
                self.take(value)
        if not self.take(node):
            return False
        self.take_below(below)
        return True

    def take_below(self, below: Sequence[Node]) -> None:
        """Add values computed anew that a member reads, those that others are made of first."""
        for value in reversed(below):
            self._put(value, Place(self.axes[value]))

    def shape_of(self, node: Node) -> tuple[int, ...]:
        """The shape of a member or operand in the rank of the space."""
        axes = self.axes[node]
        return tuple(size if place in axes else 1 for place, size in enumerate(self.sizes))

    def spread(self, node: Node, numbers: Sequence[int], fill: int) -> tuple[int, ...]:
        """Numbers for the axes of a member as such for the axes of the space."""
        known = {place: number for place, number in zip(self.axes[node], numbers, strict=True) if place != -1}
        return tuple(known.get(place, fill) for place in range(len(self.sizes)))

    def _put(self, node: Node, found: Place) -> bool:
        """Note where a node's axes lie, and those of its operands from outside, if all values fit the inner axes."""
        if not self._has_own_axes(node, found.axes):
            return False
        new = {node: found.axes}
        for source in read_here(node):
            if source not in self.axes and number_of(source) is None:
                new[source] = _operand_axes(source, node, found.axes)
        before = self.walked, self.boxed
        self.walked, self.boxed = found.walked or self.walked, self.boxed or is_map(node)
        if not self._can_walk(new.values() if self.walked == before[0] else [*self.axes.values(), *new.values()]):
            self.walked, self.boxed = before
            return False
        self.axes |= new
        self.ends |= {node} if found.ends else set()
        return True

    def _has_own_axes(self, node: Node, axes: Axes) -> bool:
        """Whether a node that knows axes by number, as maps by position do, has those of the space."""
        if lookup_of(node) is None and marked_axis(node) is None:
            return True
        return len(axes) == len(self.sizes) and all(place in (-1, axis) for axis, place in enumerate(axes))

    def _places(self, node: Node) -> Place | None:
        """Where a node's axes lie, or None where it does not fit."""
        known = [self.axes[source] for source in read_here(node) if source in self.axes]
        if not known:  # all that it reads is from outside, and new
            spanning = node.inputs[0] if node.op.reduction else node
            known = [_identity(spanning)] if spanning.shape == self.sizes else []
        if not known:
            return None
        if node.op.reduction:
            return self._reduced(node, known[0])
        axes = _moved_ones(node, known[0]) if only_ones_move(node) else self._aligned(node, known)
        return None if axes is None else Place(axes)

    def _reduced(self, node: Node, axes: Axes) -> Place | None:
        """Where the axes of a reduction's result lie; it sets the axes that are walked, or is an end."""
        over = reduced_axes(node)
        reduced = {axes[axis] for axis in over} - {-1}
        if is_place(node) and (not reduced or math.prod(self.sizes) > MOST_PLACES):
            return None
        kept = [-1 if axis in over else place for axis, place in enumerate(axes)]
        left = tuple(kept if node.attrs["keepdims"] else [place for axis, place in enumerate(kept) if axis not in over])
        whole = set(self._real()) <= set(axes)
        usable = self._usable(reduced) or (whole and self._usable_down(reduced, node))
        if usable and all(axes[axis] in reduced for axis in over):
            return Place(left, frozenset(reduced))
        fits = whole and not self._is_cut(kept, self.walked) and may_stand_together({**self._end_axes(), node: left})
        if is_place(node) or needs_registers(node):
            fits = fits and not self._is_down(self.walked) and (node.array_type.size == 1 or self._can_hold(reduced))
        return Place(left, ends=True) if fits else None

    def _can_hold(self, reduced: AbstractSet[int]) -> bool:
        """Whether a reduction is over one axis, and registers hold what it gives for each index before."""
        real = list(self._real())
        return len(real) > 1 and reduced == set(real[-2:-1]) and can_hold([self.sizes[axis] for axis in real])

    def _usable(self, reduced: set[int]) -> bool:
        """Whether later members may use a reduction: it takes whole rows, unless these are too long for that."""
        real = list(self._real())
        if not reduced or reduced != set(real[-len(reduced) :]) or not _agree(self.walked, reduced):
            return False
        longest = LONGEST_ROW if len(reduced) < len(real) else WHOLE_ROW
        return math.prod(self.sizes[axis] for axis in reduced) <= longest

    def _usable_down(self, reduced: set[int], node: Node) -> bool:
        """The same of a reduction down whole columns, of which many lie side by side."""
        real = list(self._real())
        if not reduced or max(reduced) == real[-1] or not _agree(self.walked, reduced):
            return False
        together = [axis for axis in real if min(reduced) <= axis <= max(reduced)]
        line = math.prod(self.sizes[max(reduced) + 1 :]) * node.array_type.dtype.itemsize
        if set(together) != reduced or line < LEAST_LINE or self._ends_apart(reduced):
            return False
        length = math.prod(self.sizes[axis] for axis in reduced)
        if math.prod(self.sizes) < LEAST_COLUMNS * length or length > LONGEST_COLUMN or self.returning is None:
            return False
        if is_place(node):
            return bool(self.axes) or line >= WIDE_LINE
        walks = self.returning(node)
        return walks >= (1 if self.walked or length <= SHORT_COLUMN else MANY_WALKS)

    def _is_cut(self, axes: Iterable[int], walked: Container[int]) -> bool:
        """Whether a result has an element for each of a column's, added up over the columns: they are walked apart."""
        last = max(self._real(), default=0)
        return last not in walked and last not in axes and any(axis in walked for axis in axes)

    def _real(self) -> Iterator[int]:
        return (axis for axis, size in enumerate(self.sizes) if size != 1)

    def _aligned(self, node: Node, known: Sequence[Axes]) -> Axes | None:
        """Where an elementwise node's axes lie: as its operands' in the kernel do, and free ones where they must."""
        rank = len(node.shape)
        places: list[int] = [-1] * rank
        for axes in known:
            for axis, place in enumerate(axes, rank - len(axes)):
                if place != -1:
                    if places[axis] not in (-1, place):
                        return None
                    places[axis] = place
        for axis, dim in enumerate(node.shape):
            if dim != 1 and places[axis] == -1:
                free = [place for place, size in enumerate(self.sizes)
                        if size == dim and place not in places and _in_order(places, axis, place)]  # fmt: skip
                if len(free) != 1:
                    return None
                places[axis] = free[0]
        real = [place for place in places if place != -1]
        return tuple(places) if real == sorted(set(real)) else None  # an outer product x[:, None] * x: twice one axis

    def _can_walk(self, values: Iterable[Axes]) -> bool:
        """Whether each value varies over all of the axes that are walked or over none."""
        if not self.walked:
            return True
        down = self._is_down(self.walked)
        if (self.boxed and (down or len(self.walked) > 1)) or (down and self._ends_apart(self.walked)):
            return False
        return all(self.walked.issubset(axes) or self.walked.isdisjoint(axes) for axes in values)

    def _is_down(self, walked: AbstractSet[int]) -> bool:
        """Whether columns are walked, if anything is."""
        return bool(walked) and max(self._real()) not in walked

    def _end_axes(self) -> dict[Node, Axes]:
        return {end: self.axes[end] for end in self.ends}

    def _ends_apart(self, walked: Container[int]) -> bool:
        """Whether some end is not found down columns: the first place of all is behind places of other columns."""
        return any(is_place(end) or needs_registers(end) or self._is_cut(self.axes[end], walked) for end in self.ends)


def _agree(walked: AbstractSet[int], other: AbstractSet[int]) -> bool:
    """Whether one kernel can walk along both: where there are no axes, nothing is reduced yet."""
    return not walked or not other or walked == other


def _identity(node: Node) -> Axes:
    return tuple(-1 if dim == 1 else axis for axis, dim in enumerate(node.shape))


def _moved_ones(node: Node, axes: Axes) -> Axes:
    """Where a node's axes lie if they are those of another value but for axes of size 1."""
    real = iter([place for place in axes if place != -1])
    return tuple(-1 if dim == 1 else next(real) for dim in node.shape)


def _operand_axes(source: Node, node: Node, axes: Axes) -> Axes:
    """Where the axes of an operand from outside lie, from those of the node that reads it."""
    if node.op.reduction:  # it began the kernel
        return _identity(source)
    if only_ones_move(node):
        return _moved_ones(source, axes)
    last = axes[len(axes) - source.ndim :]
    return tuple(-1 if dim == 1 else place for dim, place in zip(source.shape, last, strict=True))


def _in_order(places: Sequence[int], axis: int, place: int) -> bool:
    before = [p for p in places[:axis] if p != -1]
    after = [p for p in places[axis + 1 :] if p != -1]
    return all(p < place for p in before) and all(p > place for p in after)
