"""A kernel for known sizes: which loops its body needs, which of its sizes are in the code, and which in the table.

    void kernel(ptr table, i64 first, i64 last, i64 block)

`table` holds the pointers of operands, then of results, then numbers: sizes and steps. A kernel whose values all lie
along one axis is a stretch, and `first` and `last` are elements. Otherwise the last axis is a row, walked whole or in
chunks, the axes before it are counted by one row number, and `first` and `last` are rows. Only the length of short rows
is in the code, which then has no loop along them; kernels that differ in nothing but other sizes share their code.
Where columns are walked, `first` and `last` count groups of neighbouring ones.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import chain, pairwise

from graphc.ends import LONGEST_ROW, MANY_TOTALS, can_hold
from graphc.facts import is_place
from graphc.ir import Graph, Node
from graphc.lookups import lookup_of, marked_axis
from graphc.native.code.functions import Function, function_of
from graphc.native.kernel.extents import Box, Space, spread_accesses
from graphc.native.kernel.lanes import Width, width_of, widths
from graphc.native.kernel.phases import Plan
from graphc.native.kernel.short import ABREAST, are_short
from graphc.native.kernel.structure import Form, KnownSteps, may_mask, structure_of, without_sizes
from graphc.native.kernel.table import Word, words_of
from graphc.native.strides import Steps
from graphc.windows import LARGEST_STEP, windows_of

CHUNK = 4096
"""A longer row without reductions of its own is cut into rows of so many elements."""
TILE = (32, 64)
"""Where some value lies across the rows, in columns, so many rows are walked together, so many elements of each at a
time: what a processor fetches for one row is there for the next."""
MOST_STAGES = 4
LEAST_COLUMNS = 8
"""Fewer are not worth a tile."""
FAR_BYTES = 1 << 12
"""A smaller value is near anyway."""
SHORT_VECTORS = 4
"""A row of at most so many vectors is written without a loop. So is a stretch of one vector, if its body is heavy: the
code around a loop would keep all constants that the loop reads."""
MOST_OF_ROW = 0.75
"""A part of the row in which no box begins or ends is walked without masks if it is so much of the row."""
FEW_VECTORS = 16
"""Where rows of so few add to the same totals, they are written without a loop."""
FORWARD = (*range(LARGEST_STEP + 1),)
STEPS = (*FORWARD, -1)
"""Steps along the row at which operands are read in vectors; those of boxes only forward."""
WRITTEN = FORWARD[:5]
"""Those at which results are written in masked vectors: at others few lanes of these would be used."""


class Kernel:
    """A kernel for known sizes: the form of its code, and the numbers for the table."""

    def __init__(self, body: Graph, accesses: Sequence[Steps], results: Sequence[Steps | None] = (), *,
                 interleaved: Sequence[Sequence[int]] = (), compact: bool = False) -> None:  # fmt: skip
        """Steps of operands, and of results unless these are in C order, as reductions must be.

        `interleaved` has pointers, numbered as in the table, to elements that are neighbours, in their order.
        """
        self.body, self.compact = body, compact
        self.lookups = [(node, lookup) for node in body.nodes if (lookup := lookup_of(node)) is not None]
        self.marks = [(node, axis) for node in body.nodes if (axis := marked_axis(node)) is not None]
        self._given, accesses = accesses, spread_accesses(body, accesses) if self.lookups else accesses
        self.accesses = tuple(accesses)
        self._written = results or [None] * len(body.outputs)
        laid_out = [*accesses, *self._written]
        space = Space.of(body, laid_out)
        self.short = not compact and not results and are_short(body, space, accesses)
        """Whether rows are walked side by side, as columns are."""
        self.space = space.turned() if self.short else space.filling(body, self._written)
        self.stretch = len(self.space.sizes) == 1 and not self._whole()
        self.chunked = not self.stretch and self.space.sizes[-1] > CHUNK and not self._needs_whole_rows()
        self.plan = Plan(body, self.space, self.stretch or self.chunked, self._down_axis())
        self.tiled: int | None = None
        width: Width = width_of(self.plan, compact=compact)
        self.width = replace(width, whole=ABREAST * width.native) if self.short else width
        self.plan.keep(self.abreast)
        self.steps = [self.space.steps(node, access) for node, access in zip(self.pointed, laid_out, strict=True)]
        self.tiled = self._tiled_axis()
        self.chunked = self.chunked and self.tiled is None
        self.interleaved = tuple(filter(self._is_interleaved, map(tuple, interleaved)))

    @property
    def pointed(self) -> tuple[Node, ...]:
        """The values that the pointers of the table are of."""
        return (*self.body.inputs, *self.body.outputs)

    def _whole(self) -> list[Node]:
        """The reductions that need whole rows or columns: those used in the kernel, and places, but for one of all, and
        those that registers hold."""
        used = [source for node in self.body.nodes for source in node.inputs if source.op.reduction]
        held = self._together if self._can_hold else ()
        places = (node for node in self.body.nodes if is_place(node) and any(self.space.varies(node)))
        return used + [node for node in places if node not in held]

    def _down_axis(self) -> int | None:
        """The axis that such reductions are over, where it is not the last; of rows side by side it is that before."""
        if self.short:
            return len(self.space.sizes) - 2
        for node in self._whole():
            walked = self.space.reduced(node)
            return walked[0] if walked and walked != [len(self.space.sizes) - 1] else None
        return None

    @property
    def abreast(self) -> int:
        """How many columns are walked at once."""
        return 1 if self.plan.down is None else self.width.whole

    def _needs_whole_rows(self) -> bool:
        """Whether some reduction gives a number per row that is not too long, or is used in the kernel."""
        if self.short or self._whole():
            return True
        if math.prod(self.space.sizes[:-1]) == 1 or self.space.sizes[-1] > LONGEST_ROW:
            return False
        reductions = [node for node in self.body.nodes if node.op.reduction]
        return any(any(self.space.varies(node)[:-1]) for node in reductions)

    def _tiled_axis(self) -> int | None:
        """The axis along which a value lies closer than along the row, so that rows next to each other share lines."""
        if self.stretch or self.space.sizes[-1] < LEAST_COLUMNS or any(node.op.reduction for node in self.body.nodes):
            return None
        for node, (*outer, inner) in zip(self.pointed, self.steps, strict=True):
            close = [axis for axis, step in enumerate(outer) if 0 < abs(step) < abs(inner)]
            if close and node.type.nbytes > FAR_BYTES:
                return min(close, key=lambda axis: abs(outer[axis]))
        return None

    def _staged(self) -> tuple[int, ...]:
        axis = self.plan.down if self.short else self.tiled
        if axis is None:
            return ()
        across = (i for i, (*outer, inner) in enumerate(self.steps) if outer[axis] == 1 and inner not in (0, 1))
        staged = tuple(i for i in across if self.pointed[i] not in self.plan.boxed)
        return staged if self.short else staged[-MOST_STAGES:]

    def _is_interleaved(self, pointers: tuple[int, ...]) -> bool:
        """Whether values whose first elements are neighbours lie so along the row, and are there at the same time."""
        (*_, step), *_ = steps = [self.steps[i] for i in pointers]
        if len(set(steps)) > 1 or step != len(pointers) or step > LARGEST_STEP or self.width.native == 1:
            return False
        nodes = [self.pointed[i] for i in pointers]
        there = all(self.plan.is_inner(node) and node not in self.plan.boxed for node in nodes)
        return there and len({self.plan.phase[node] for node in nodes}) == 1 and not {*pointers} & {*self._staged()}

    @property
    def chunks(self) -> int:
        """Into how many a row is cut."""
        length = TILE[1] if self.tiled is not None else CHUNK if self.chunked else self.space.sizes[-1]
        return -(-self.space.sizes[-1] // (length if self.plan.down is None else self.width.whole))

    @property
    def rows(self) -> int:
        """How many rows there are, or tiles, or elements of a stretch."""
        if self.stretch:
            return 1 if self.form.length else self.space.sizes[0]
        if self.plan.down is not None:
            return math.prod(self.space.sizes[:-1]) // self.space.sizes[self.plan.down] * self.chunks
        if self.tiled is None:
            return math.prod(self.space.sizes[:-1]) * self.chunks
        others = math.prod(size for axis, size in enumerate(self.space.sizes[:-1]) if axis != self.tiled)
        return others * -(-self.space.sizes[self.tiled] // TILE[0]) * self.chunks

    @cached_property
    def form(self) -> Form:
        """What its code depends on beside the body."""
        inside = self._short_length
        varies = tuple(self.space.varies(node) for node in self.body.nodes)
        operands = len(self.body.inputs)
        apart = {i for i, node in enumerate(self.body.inputs) if node not in self.plan.boxed}
        known = [STEPS if i in apart else FORWARD for i in range(operands)]
        known += [WRITTEN if self.width.masked else (0, 1)] * len(self.body.outputs)
        for i in chain(*self.interleaved):
            known[i] = FORWARD
        steps = tuple(map(self._form_of_steps, self.steps, known))
        numbers = {node: i for i, node in enumerate(self.body.nodes)}
        stashes = tuple(sorted((numbers[node], self.plan.row_bytes(node)) for node in self.plan.stashed))
        cuts = tuple(tuple((start > 0, end < size) for (start, end, _), size in zip(box, self.space.sizes, strict=True))
                     for box in self.boxes)  # fmt: skip
        stepped = tuple((tuple(step for _, _, step in box), box[-1][0] % box[-1][2]) for box in self.boxes)
        within = self._reaching() if not inside and not self.width.once else ()
        looked = tuple(tuple(1 if step == 1 else None for step in steps) for steps in self.looked_steps)
        marked = tuple(self.space.group_of(axis) for _, axis in self.marks)
        functions = self._functions(inside, steps)
        few = self.neighbours * -(-inside // self.width.native) <= FEW_VECTORS and inside and not self.width.once
        column = self.space.sizes[self.plan.walked] if self.short else 0
        order = () if self.tiled is None else self.space.tile_order(self.tiled, self.body, self._written)
        return Form(self.width, self.stretch, self.chunked, inside, varies, steps, stashes, cuts, stepped, within,
                    looked, marked, self.tiled, self._staged(), order, self.plan.down, column, self.compact,
                    functions, self.interleaved, self.neighbours if few else 1)  # fmt: skip

    @cached_property
    def _short_length(self) -> int:
        """The length of rows that are written as they are, if they are short; else 0."""
        length = self.space.sizes[-1]
        once = self.width.once and not self.compact
        most = (1 if once else 0) if self.stretch else 1 if self.compact else SHORT_VECTORS
        several = self.stretch or math.prod(self.space.sizes[:-1]) > 1
        several = several and not self.chunked and self.plan.down is None
        short = several and (length <= most * self.width.native or self._can_hold)
        return length if short else 0

    def _functions(self, length: int, steps: KnownSteps) -> tuple[Function, ...]:
        """What it calls, for every width of vectors in which it may compute a node."""
        if not self.compact:
            return ()
        along = widths(self.width, length, may_mask=may_mask(steps, self._staged()))
        called = (function_of(node, width) for node in self.body.nodes
                  for width in (sorted(along) if self.plan.is_wide(node) else [1]))  # fmt: skip
        return tuple(dict.fromkeys(function for function in called if function is not None))

    @cached_property
    def boxes(self) -> tuple[Box, ...]:
        """From where to where along each axis each box reaches that is read, in the order of the nodes."""
        return tuple(self.space.box(node, window) for node in self.body.nodes for window in windows_of(node))

    @cached_property
    def within(self) -> tuple[int, int]:
        """The longest part of the row in which no box begins or ends."""
        ends = sorted({0, self.space.sizes[-1], *(end for box in self.boxes for end in box[-1][:2])})
        return max(pairwise(ends), key=lambda part: part[1] - part[0])

    def _reaching(self) -> tuple[bool, ...]:
        """Whether each box reaches over that, if some end in the row, and it is long enough."""
        (first, last), length = self.within, self.space.sizes[-1]
        if last - first == length or last - first < MOST_OF_ROW * length:
            return ()
        return tuple(box[-1][0] <= first and last <= box[-1][1] for box in self.boxes)

    @cached_property
    def looked_steps(self) -> list[tuple[int, ...]]:
        """Of each lookup the steps along the axes looked up."""
        places = {source: place for place, source in enumerate(self.body.inputs)}
        return [tuple(self._given[places[node.inputs[0]]][axis] for axis in lookup.axes)
                for node, lookup in self.lookups]  # fmt: skip

    @property
    def status_place(self) -> int:
        """Where in the table the pointers of status words begin."""
        return len(self.pointed) + len(self.words)

    def _form_of_steps(self, steps: tuple[int, ...], known: tuple[int, ...]) -> tuple[int | None, ...]:
        *outer, inner = steps
        return (*(0 if step == 0 else None for step in outer), inner if inner in known else None)

    @cached_property
    def structure(self) -> Hashable:
        """What kernels have in common that share their code."""
        return structure_of(self.body, without_sizes), self.form

    @cached_property
    def words(self) -> dict[Word, int | Function]:
        """What the table has behind the pointers, in order; of functions their addresses."""
        return words_of(self)

    def is_spread(self, node: Node) -> bool:
        """Whether a result is accumulated and consists of several numbers."""
        return node in self.plan.accumulators and any(self.space.varies(node))

    @cached_property
    def held(self) -> tuple[Node, ...]:
        """What is accumulated, if registers hold it."""
        return self._together if self._short_length else ()

    @cached_property
    def _together(self) -> tuple[Node, ...]:
        """What is not reduced along rows, if it is all one number for each element of them that neighbours add to."""
        *outer, last = range(len(self.space.sizes))
        nodes = tuple(node for node in self.body.nodes if node.op.reduction and self.space.reduced(node) != [last])
        return nodes if outer and all(self.space.reduced(node) == outer[-1:] for node in nodes) else ()

    @property
    def _can_hold(self) -> bool:
        """Whether registers hold that, however few of its elements fill a vector."""
        return bool(self._together) and can_hold(self.space.sizes)

    @property
    def neighbours(self) -> int:
        """How many rows add to the same held numbers, which are so many that blocks need not share any; else 1."""
        *outer, rows, _ = self.space.sizes if self.held else (1, 1)
        return rows if math.prod(outer) >= MANY_TOTALS else 1

    @property
    def rows_abreast(self) -> int:
        """How many rows are walked at once where totals are held: as many as vectors, where a row has more of them."""
        return 1 if self.width.once else self.width.whole // self.width.native

    @property
    def numbers(self) -> tuple[int, ...]:
        """The numbers for the table. Raises LLVMError for a function that LLVM has rejected."""
        return tuple(word.address if isinstance(word, Function) else word for word in self.words.values())
