"""Packages that only `graphc train` needs, and a sentence where one is missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from graphc.errors import GraphcError

_INSTALL = "pip install 'graphc-compiler[viz]', or in a clone: pip install -e '.[viz]'"


@contextmanager
def needs(package: str) -> Iterator[None]:
    """Turn a failed import in this block into a sentence that says what to install."""
    try:
        yield
    except ImportError as error:
        problem = f"`graphc train` needs {package}, which cannot be imported: {error}"
        raise GraphcError(problem, remedy=_INSTALL) from error
