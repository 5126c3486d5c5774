"""The pipelines, as plain tuples read from top to bottom.

    gr.compile(..., pipeline=gr.passes.DEFAULT.without("stabilize"))
    gr.compile(..., pipeline="specialize, canonicalize, fold{max_bytes=65536}, cse")
"""

from __future__ import annotations

from graphc.passes.algebra import algebra
from graphc.passes.batch_products import batch_products
from graphc.passes.canonicalize import canonicalize
from graphc.passes.cse import cse
from graphc.passes.expand import expand
from graphc.passes.fold import fold
from graphc.passes.fuse import fuse
from graphc.passes.limits import limits
from graphc.passes.logic import logic
from graphc.passes.logistic import logistic
from graphc.passes.movement import movement
from graphc.passes.narrow import narrow
from graphc.passes.pieces import pieces
from graphc.passes.products import products
from graphc.passes.reassociate import reassociate
from graphc.passes.reductions import reductions
from graphc.passes.signs import signs
from graphc.passes.softmax import softmax
from graphc.passes.specialize import specialize
from graphc.passes.stabilize import stabilize
from graphc.pipeline import Pipeline, parse_pipeline

__all__ = [
    "DEFAULT", "MINIMAL", "algebra", "batch_products", "canonicalize", "cse", "expand", "fold", "fuse", "limits",
    "logic", "logistic", "movement", "narrow", "parse", "pieces", "products", "reassociate", "reductions", "signs",
    "softmax", "specialize", "stabilize",
]  # fmt: skip

DEFAULT = Pipeline((
    specialize,    # symbols become integers
    cse,           # equal values become one node; what later rules make stays so
    canonicalize,  # one normal form for each value
    signs,         # signs cancel or move outward
    reductions,    # fewer elements to add up
    softmax,       # derivatives of softmax, as by hand
    logistic,      # σ, its logarithm and its derivatives
    stabilize,     # formulas that lose digits
    algebra,       # identities; with fast_math those of real numbers
    logic,         # choices and truth values
    reassociate,   # fast_math: common factors, numbers together
    movement,      # transposes, reshapes, broadcasts
    pieces,        # what slices took apart
    products,      # fast_math: the order of matrix products
    batch_products,  # small products that belong together
    pieces,        # what their factors are taken from
    signs,         # once more, for what the others made
    fold,          # constants are computed now
    cse,           # and what they have in common is merged
))  # fmt: skip
"""What `compile` runs."""

MINIMAL = Pipeline((specialize,))
"""What every graph needs: sizes that are known. The graph runs as it was declared."""


def parse(text: str) -> Pipeline:
    """The pipeline that `str` printed."""
    return parse_pipeline(text, {one.name: one for one in (*DEFAULT, limits, expand, narrow, fuse)}.values())
