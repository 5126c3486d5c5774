"""Which variables a run updates where they lie, over the values that they had.

That is safe where every work that reads the old value has done so before the next one is written, and nothing can go
wrong from then on: no later work looks up positions, and all that follows is one stretch of native code, on whose way
no interrupt is noticed. Whether all positions were inside is looked at before the first value is overwritten.

In a program of several stretches, updates that would not be in the last one are left to the end, where keeping what
they read until then takes less memory than spare arrays would.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

from graphc.ir import Node, Variable
from graphc.native import stretches
from graphc.native.schedule import Stage
from graphc.native.storage import Home, Storage
from graphc.native.work import Memory, Work, nbytes_of

LEAST_BYTES = 1 << 16
"""Smaller variables have a spare array: both stay in the cache, and nobody who reads one has to wait for a run."""


class Overwriting(NamedTuple):
    """The variables; the moment that overwrites the first one, if any does, and whether positions are read before; what
    that moment and all later ones take."""

    variables: tuple[Variable, ...] = ()
    start: int | None = None
    guarded: bool = False
    ns: float = 0.0


NOTHING = Overwriting()


def overwriting(updated: Sequence[Variable], stages: Sequence[Stage], storage: Storage) -> Overwriting:
    """What a program of these stages may overwrite, whose last outputs are the next values of some variables."""
    if not updated:
        return NOTHING
    if any(work.task is None for stage in stages for work in stage.works):
        return NOTHING  # NumPy is called, and that must not be on what a run leaves which ends early
    moments = [moment for stage in stages for moment in stage.moments]
    takes = stretches.expected_ns(stages)
    left = [*accumulate(sum(takes[work] for work in moment) for moment in reversed(moments))][::-1]
    reads: dict[Memory, list[tuple[int, Work]]] = {}
    writes: dict[Memory, list[tuple[int, Work]]] = {}
    looked_up = -1
    for time, moment in enumerate(moments):
        for work in moment:
            for memory in work.reads:
                reads.setdefault(memory, []).append((time, work))
            for memory in work.writes:
                writes.setdefault(memory, []).append((time, work))
            if work.statuses:
                looked_up = time
    found: dict[Variable, int] = {}
    for value, variable in _next_values(updated, storage).items():
        first = min(time for time, _ in writes[value])
        if first > looked_up and left[first] <= stretches.LONGEST_NS and all(
            read < written or (reader is writer and (value, variable) in writer.over)
            for read, reader in reads.get(variable, ()) for written, writer in writes[value]
        ):  # fmt: skip
            found[variable] = first
    if not found:
        return NOTHING
    start = min(found.values())
    return Overwriting(tuple(found), start, looked_up >= 0, left[start])


def last_ones(works: Sequence[Work], updated: Sequence[Variable], storage: Storage) -> set[Work]:
    """The updates to leave to the end, so that they are in the last stretch: no other work reads what they write."""
    found: set[Work] = set()
    if sum(work.ns for work in works) <= stretches.LONGEST_NS:
        return found
    values = _next_values(updated, storage)
    needed: set[Memory] = set()
    ns = 0.0
    for work in reversed(works):
        is_update = bool(work.writes) and all((memory, values.get(memory)) in work.over for memory in work.writes)
        is_short = ns + work.ns <= stretches.LONGEST_NS
        if is_update and needed.isdisjoint(work.writes) and is_short and _pays(work, storage):
            found.add(work)
            ns += work.ns
        else:
            needed.update(work.reads)
    return found


def _pays(work: Work, storage: Storage) -> bool:
    """Whether spare arrays take more memory than what an update reads, if that is kept."""
    kept = [memory for memory in work.reads if isinstance(memory, Node) and storage.home[memory] is Home.ARENA]
    return sum(map(nbytes_of, kept)) < sum(map(nbytes_of, work.writes))


def _next_values(updated: Sequence[Variable], storage: Storage) -> dict[Memory, Variable]:
    """The large variables by the values that have an array of the next one for themselves."""
    outputs = storage.graph.outputs
    given = ((index, storage.root(outputs[index]), variable)
             for index, variable in enumerate(updated, len(outputs) - len(updated)))  # fmt: skip
    return {value: variable for index, value, variable in given
            if variable.type.nbytes >= LEAST_BYTES and storage.target.get(value) == index}  # fmt: skip
