"""How much longer than usual ops may take: values tell how often some of their code goes around a loop."""

from __future__ import annotations

from graphc.executor.cost import NS_PER_EFFORT, operations
from graphc.ir import Node

TIMES = {
    **dict.fromkeys(["fmod", "remainder", "floor_divide"], ("f", 70.0)),
    **dict.fromkeys(["sin", "cos", "tan"], ("f", 5.0)),
    **dict.fromkeys(["gcd", "lcm"], ("iu", 70.0)),
    "power": ("iu", 30.0), "polygamma": ("f", 400.0), "spherical_jn": ("f", 6.0),
}  # fmt: skip
"""For results of these kinds, so many times as long as predicted: for the remainder of 10³⁰⁸ by 10⁻³⁰⁷, the sine of
10³⁰⁰, the divisor of neighbours among Fibonacci's numbers, powers above 2⁶², the polygamma of -10⁴."""


def extra_nanoseconds(node: Node) -> float:
    """What a node may take beyond its predicted time, where all elements are as unlucky as they can be."""
    kinds, times = TIMES.get(node.op.name, ("", 1.0))
    if not kinds or node.array_type.dtype.kind not in kinds:
        return 0.0
    return (times - 1.0) * operations(node) * node.array_type.dtype.itemsize * NS_PER_EFFORT
