"""Where a node came from: the user's line, the forward node behind a backward one, and the scopes of names."""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import CodeType
from typing import TYPE_CHECKING

from graphc.errors import GraphError

if TYPE_CHECKING:
    from graphc.ir.node import Node


class Origin:
    """Where a node came from: the user's line, and for a backward node the forward node and the rule that made it."""

    __slots__ = ("_code", "_line", "forward", "rule")

    def __init__(self, code: CodeType | str | None, line: int, forward: Node | None = None, rule: str = "") -> None:
        self._code = code
        self._line = line
        self.forward = forward
        self.rule = rule

    @property
    def file(self) -> str:
        """The user's file, or '' when unknown."""
        return self._code.co_filename if isinstance(self._code, CodeType) else self._code or ""

    @property
    def line(self) -> int:
        """The user's line number, or 0 when unknown."""
        if not isinstance(self._code, CodeType):
            return self._line
        lines = (line for start, end, line in self._code.co_lines() if start <= self._line < end)
        return next(lines, None) or self._code.co_firstlineno

    @property
    def place(self) -> tuple[int, int, str]:
        """What two origins of one line have in common, to compare: quicker to make than the line."""
        return id(self._code), self._line, self.rule

    def where(self) -> str:
        """`file:line`, the file relative to the working directory where it lies below it."""
        if not self._code:
            return ""
        short = os.path.relpath(self.file) if os.path.isabs(self.file) and _below_cwd(self.file) else self.file
        return f"{short}:{self.line}"

    def derived(self, forward: Node, rule: str) -> Origin:
        """The origin of a backward node: the same line, and the forward node and rule it came from."""
        return Origin(self._code, self._line, forward, rule)


def _below_cwd(path: str) -> bool:
    return path.startswith(os.getcwd() + os.sep)


UNKNOWN = Origin(None, 0)
_graphc = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_LIBRARY = (_graphc + os.sep, os.path.join(os.path.dirname(_graphc), "passes") + os.sep)
_PROGRAM = os.path.join(_graphc, "demo") + os.sep


class _Files(dict[str, bool]):
    """Whether a source file is graphc's own, rather than of a program that uses it such as `graphc train`, or lies
    between files of ours."""

    def __missing__(self, file: str) -> bool:
        ours = file.startswith(_LIBRARY) and not file.startswith(_PROGRAM)
        self[file] = own = ours or file == contextlib.__file__
        return own


_own = _Files()

current_origin: ContextVar[Origin | None] = ContextVar("current_origin", default=None)
_current_scope: ContextVar[str] = ContextVar("current_scope", default="")


def origin_here() -> Origin:
    """The origin for a node made now: the one in force (`made_by`), else the innermost line outside graphc."""
    origin = current_origin.get()
    if origin is not None:
        return origin
    frame = sys._getframe(1)
    while _own[frame.f_code.co_filename]:
        caller = frame.f_back
        if caller is None:
            return UNKNOWN
        frame = caller
    return Origin(frame.f_code, frame.f_lasti)


def warn(problem: str) -> None:
    """Warn of something at the user's line, the innermost one outside graphc."""
    frame, level = sys._getframe(), 1
    while _own[frame.f_code.co_filename] and frame.f_back is not None:
        frame, level = frame.f_back, level + 1
    warnings.warn(problem, RuntimeWarning, stacklevel=level)


@contextmanager
def made_by(origin: Origin) -> Iterator[None]:
    """Give every node made in this block one origin."""
    token = current_origin.set(origin)
    try:
        yield
    finally:
        current_origin.reset(token)


@contextmanager
def scope(name: str) -> Iterator[None]:
    """Prefix the names given in this block: `head/logits`. Scopes nest."""
    token = _current_scope.set(scoped(name))
    try:
        yield
    finally:
        _current_scope.reset(token)


def scoped(name: str) -> str:
    """A name under the scopes now open."""
    if not name or not isinstance(name, str) or any(c.isspace() or c in "%(){}[]=,:\"#" for c in name):
        raise GraphError(f"expected a name without blanks or any of %(){{}}[]=,:\"#, got {name!r}",
                         remedy='use letters, digits, _ and /, as in gr.placeholder("head/x", (3,))')  # fmt: skip
    prefix = _current_scope.get()
    return f"{prefix}/{name}" if prefix else name
