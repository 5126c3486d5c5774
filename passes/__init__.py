"""The pipelines, as plain tuples read from top to bottom."""

from __future__ import annotations

from graphc.passes.cse import cse
from graphc.passes.specialize import specialize
from graphc.pipeline import Pipeline, parse_pipeline

DEFAULT = Pipeline((specialize, cse))


def parse(text: str) -> Pipeline:
    """The pipeline that `str` printed."""
    return parse_pipeline(text, DEFAULT)
