"""graphc itself, in the form of a peer.

The modules of the backend and of layers, losses and optimizers, which graphc imports when it first needs them, are
imported before any clock runs: `import jax` and `import torch` bring theirs, and are not timed either.
"""

from __future__ import annotations

from cases import Arrays, Case
from peer import Peer
from workloads import WORKLOADS, trained

import graphc.compiler
import graphc.losses
import graphc.native.available
import graphc.native.calls.entry
import graphc.native.program
import graphc.nn
import graphc.optim
import graphc.passes.backward  # noqa: F401


def make(case: Case, arrays: Arrays, variant: str) -> Peer:
    """The step of a workload with the backend named."""
    step = WORKLOADS[case.name].graphc(variant, arrays=arrays)
    return Peer(step, lambda: trained(step) if case.trains else ())
