"""A position in a text, and the sentences for what was expected there."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn, TypeVar

from graphc.errors import FormatError, GraphcError
from graphc.ir import Origin

T = TypeVar("T")
_BLANKS = re.compile(r"\s*(?:#[^\n]*\s*)*")
_SHOWN = re.compile(r"[^\n#]{1,40}")
_MAX_DEPTH = 60


class Reader:
    """Reads a text from left to right; blanks and comments part tokens."""

    def __init__(self, text: str, source: str) -> None:
        self.text = text
        self.source = source
        self.position = 0
        self._counted, self._line, self._depth = 0, 1, 0

    def skip(self) -> None:
        """Move past blanks and comments."""
        self.position = _BLANKS.match(self.text, self.position).end()  # type: ignore[union-attr]

    def match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """Move past the pattern, if it comes next."""
        self.skip()
        found = pattern.match(self.text, self.position)
        if found is not None:
            self.position = found.end()
        return found

    def peek(self, token: str) -> bool:
        """Whether the token comes next."""
        self.skip()
        return self.text.startswith(token, self.position)

    def accept(self, token: str) -> bool:
        """Move past the token, if it comes next."""
        if not self.peek(token):
            return False
        self.position += len(token)
        return True

    def expect(self, token: str) -> None:
        """Move past the token, which must come next."""
        if not self.accept(token):
            self.expected(token)

    def line(self) -> int:
        """The number of the line read now."""
        self._line += self.text.count("\n", self._counted, self.position)
        self._counted = self.position
        return self._line

    def origin(self) -> Origin:
        """The line read now, as the origin of a node."""
        return Origin(self.source, self.line())

    def expected(self, what: str) -> NoReturn:
        """Raise a FormatError: what should stand here, and what does."""
        self.skip()
        found = _SHOWN.match(self.text, self.position)
        self.fail(f"expected {what}, got {found[0].rstrip() if found else 'the end of the text'}")

    def fail(self, problem: str, remedy: str = "") -> NoReturn:
        """Raise a FormatError that names the line."""
        place = f"line {self.line()}" + ("" if self.source == "text" else f" of {self.source}")
        raise FormatError(f"{place}: {problem}", remedy=remedy or "print a graph to see how one is written") from None

    def guarded(self, make: Callable[[], T]) -> T:
        """What `make` returns; an error that it raises gets the line."""
        try:
            return make()
        except GraphcError as error:
            self.fail(error.problem, error.remedy)

    @contextmanager
    def deeper(self) -> Iterator[None]:
        """Guard what nests: graphs in attributes, tuples in tuples."""
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            self.fail(f"expected graphs and tuples to nest at most {_MAX_DEPTH} deep")
        yield
        self._depth -= 1
