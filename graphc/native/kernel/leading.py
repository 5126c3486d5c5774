"""The first axis of a kernel, along which its rows can be cut into strips that run on their own."""

from __future__ import annotations

from dataclasses import dataclass

from graphc.native.kernel.kernel import Kernel


@dataclass(frozen=True)
class Leading:
    """The first axis of an index space, and where each pointer of the table reaches from one index of it."""

    size: int
    rows: int
    """How many rows an index has."""
    steps: tuple[int, ...]
    """Bytes from one index to the next."""
    lengths: tuple[int, ...]
    """Bytes from the first that an index touches to the last."""


def leading(kernel: Kernel) -> Leading | None:
    """The first axis, where no index of it needs what others read or write."""
    size, *inner = kernel.space.sizes
    results = kernel.steps[len(kernel.body.inputs) :]
    is_one_row = not inner and (not kernel.stretch or kernel.form.length)
    if is_one_row or kernel.boxes or kernel.plan.accumulators or not all(steps[0] for steps in results):
        return None
    if kernel.lookups or kernel.tiled is not None or kernel.plan.down is not None:
        return None
    if min(map(min, kernel.steps)) < 0:
        return None
    steps, lengths = [], []
    for node, (first, *others) in zip(kernel.pointed, kernel.steps, strict=True):
        width = node.array_type.dtype.itemsize
        steps.append(width * first)
        lengths.append(width * (1 + sum((n - 1) * step for n, step in zip(inner, others, strict=True))))
    return Leading(size, kernel.rows // size, tuple(steps), tuple(lengths))
