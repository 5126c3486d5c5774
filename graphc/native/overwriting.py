"""Which variables a run updates where they lie, over the values that they had.

That is safe where every work that reads the old value has done so before the next one is written, and nothing can go
wrong from then on: no later work looks up positions, and the program is one stretch of native code, on whose way no
interrupt is noticed. Whether all positions were inside is looked at before the first value is overwritten.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from graphc.ir import Variable
from graphc.native.schedule import Stage
from graphc.native.storage import Storage
from graphc.native.work import Memory, Work

LEAST_BYTES = 1 << 16
"""Smaller variables have a spare array: both stay in the cache, and nobody who reads one has to wait for a run."""


class Overwriting(NamedTuple):
    """The variables, and the moment before which the run must end if a position was outside; None if none is read."""

    variables: tuple[Variable, ...] = ()
    guarded: int | None = None


def overwriting(updated: Sequence[Variable], stages: Sequence[Stage], storage: Storage) -> Overwriting:
    """What a program of these stages may overwrite, whose last outputs are the next values of some variables."""
    if any(work.task is None for stage in stages for work in stage.works):
        return Overwriting()  # NumPy is called, and that must not be on what a run leaves which ends early
    reads: dict[Memory, list[tuple[int, Work]]] = {}
    writes: dict[Memory, list[tuple[int, Work]]] = {}
    looked_up = -1
    for time, moment in enumerate(moment for stage in stages for moment in stage.moments):
        for work in moment:
            for memory in work.reads:
                reads.setdefault(memory, []).append((time, work))
            for memory in work.writes:
                writes.setdefault(memory, []).append((time, work))
            if work.statuses:
                looked_up = time
    found: dict[Variable, int] = {}
    outputs = storage.graph.outputs
    for index, variable in enumerate(updated, len(outputs) - len(updated)):
        value = storage.root(outputs[index])
        if variable.type.nbytes < LEAST_BYTES or storage.target.get(value) != index:
            continue
        first = min(time for time, _ in writes[value])
        if first > looked_up and all(
            read < written or (reader is writer and (value, variable) in writer.over)
            for read, reader in reads.get(variable, ()) for written, writer in writes[value]
        ):  # fmt: skip
            found[variable] = first
    return Overwriting(tuple(found), min(found.values()) if found and looked_up >= 0 else None)
