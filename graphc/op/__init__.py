"""An op, declared once: its NumPy body, type rule, derivative, samples and documentation.

    @primitive(infer=broadcast, vjp=lambda g, y, x: (g * (1 - y * y),), samples=reals(-3, 3))
    def tanh(x, *, out=None):
        "Hyperbolic tangent, elementwise."
        return np.tanh(x, out=out)

Positional parameters are operands, keyword-only ones attributes; `out` says that the body can write into a buffer.
A `@composite` is a formula over ops: nothing but a documented function that also knows its samples.
"""

from graphc.op.declare import COMPOSITES, composite, placed, primitive
from graphc.op.infer import (
    broadcast,
    broadcast_floats,
    broadcast_integers,
    broadcast_numbers,
    broadcast_truths,
    float_of,
    like,
)
from graphc.op.record import Cotangents, Cut, Hole, Infer, Op, Reduction, find_op, lift, signature_text
from graphc.operators import OPS

__all__ = [
    "COMPOSITES", "OPS", "Cotangents", "Cut", "Hole", "Infer", "Op", "Reduction", "broadcast",
    "broadcast_floats", "broadcast_integers", "broadcast_numbers", "broadcast_truths", "composite", "find_op",
    "float_of", "lift", "like", "placed", "primitive", "signature_text",
]  # fmt: skip
