"""graphc itself, in the form of a peer."""

from __future__ import annotations

from cases import Arrays, Case
from peer import Peer
from workloads import WORKLOADS, trained

VARIANTS = ("native", "numpy")


def make(case: Case, arrays: Arrays, variant: str) -> Peer:
    """The step of a workload with the backend named."""
    step = WORKLOADS[case.name].graphc(variant, arrays=arrays)
    return Peer(step, lambda: trained(step) if case.trains else ())
