"""Stretches of native code: a run looks for interrupts after each of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from graphc.native.calls.results import MOST_BYTES
from graphc.native.schedule import Stage
from graphc.native.work import Work, nbytes_of

LONGEST_NS = 5e7
"""What a stretch is predicted to take at most. It may take several times as long."""
NS_PER_NEW_BYTE = 2.0
"""What is added for results that no memory is kept for: the system maps it page by page, some machines at 0.5."""


def expected_ns(stages: Sequence[Stage]) -> dict[Work, float]:
    """What each work is predicted to take at most, in a run of unlucky values whose large results are new."""
    works = [work for stage in stages for work in stage.works]
    writers = Counter(memory for work in works for memory in work.writes)

    def new_bytes(work: Work) -> float:
        return sum(nbytes_of(memory) / writers[memory] for memory in work.writes if nbytes_of(memory) > MOST_BYTES)

    return {work: work.ns + work.extra_ns + NS_PER_NEW_BYTE * new_bytes(work) for work in works}
