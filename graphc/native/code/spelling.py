"""What a kernel is found by, as text that is the same in every process: the name of its entry on disk."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Hashable, Iterator
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from graphc.signals import let_through
from graphc.types import Type

ELSEWHERE = ("lookups", "maps", "ops/quantile", "windows")
"""The other files that code depends on: how kernels read, and the coefficients of a formula."""
PLAIN = frozenset([bool, bytes, float, int, str, type(None), Type])


def spelled(value: Hashable) -> str | None:
    """A structure of plain values, tuples and dataclasses as text; None where it holds anything else.

    Texts are equal only if the values are.
    """
    words: list[str] = []
    return " ".join(words) if _spell(value, words) else None


def _spell(value: Any, words: list[str]) -> bool:
    kind = type(value)
    if kind in PLAIN:
        words.append(repr(value))
        return True
    if kind is tuple:
        if PLAIN.issuperset(map(type, value)):
            words.append(repr(value))
            return True
        words.append(f"({len(value)}")
        return all(_spell(element, words) for element in value)
    if isinstance(value, (type, np.dtype)):
        words.append(value.str if isinstance(value, np.dtype) else value.__qualname__)
        return True
    if isinstance(value, Enum):
        words.append(f"{kind.__qualname__}.{value.name}")
        return True
    if not is_dataclass(value):
        return False
    words.append(kind.__qualname__)
    return all(_spell(getattr(value, field.name), words) for field in fields(value) if field.compare)


@cache
def writers() -> str | None:
    """A hash of the files that write kernels, on which their text depends beside their structure.

    None where they cannot be read, as in an archive: kernels are then known by their text alone.
    """
    digest, found = hashlib.sha256(), False
    try:
        native = Path(__file__).parents[1]
        for path in [*sorted(_sources(native)), *(str(native.parent / f"{name}.py") for name in ELSEWHERE)]:
            with open(path, "rb", buffering=0) as file:
                digest.update(file.read())
            found = True
    except OSError as error:
        let_through(error)
        return None
    return digest.hexdigest() if found else None


def _sources(folder: str | os.PathLike[str]) -> Iterator[str]:
    """The paths of the Python files below a folder."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _sources(entry.path)
            elif entry.name.endswith(".py"):
                yield entry.path
