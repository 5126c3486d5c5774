"""Sizes read back from text: `batch`, `2*batch + 1`, `floor(batch/2)`."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from graphc.errors import FormatError
from graphc.types import LARGEST_SIZE, AnyDim, Dim
from graphc.types.dims import dim_of

if TYPE_CHECKING:
    import sympy

_TOKEN = re.compile(r"\s*(\d+|[^\W\d]\w*|\*\*|[-+*/()])")
_MAX_LENGTH, _MAX_DEPTH, _MAX_EXPONENT = 2000, 40, 64


@lru_cache(maxsize=4096)
def parse_dim(text: str) -> AnyDim:
    """The size that a text stands for; raises FormatError where it is no expression over names and integers."""
    text = text.strip()
    if text.isidentifier():
        return Dim(text)
    if text.isascii() and text.isdigit():
        return _integer(text)
    expression = _Reader(text).read()
    if expression.is_integer is not True:
        raise FormatError(f"expected a size that is a whole number, got {text!r}",
                          remedy="write floor(...) around a quotient")  # fmt: skip
    return dim_of(expression)


def _integer(text: str) -> int:
    if len(text) > 19 or int(text) > LARGEST_SIZE:
        raise FormatError(f"expected a size below 2⁶³, got {text[:30]}")
    return int(text)


class _Reader:
    """Recursive descent over one expression: sums of products of powers."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = _TOKEN.findall(text)
        if "".join(self.tokens) != "".join(text.split()) or len(text) > _MAX_LENGTH or text.count("(") > _MAX_DEPTH:
            self.fail()
        self.tokens.append("")
        self.at = 0

    def fail(self) -> Any:
        raise FormatError(f"expected a size such as 3, batch or 2*batch + 1, got {self.text[:60]!r}")

    def accept(self, *tokens: str) -> str:
        """The next token, if it is one of these, else ''."""
        token = str(self.tokens[self.at])
        if token not in tokens:
            return ""
        self.at += 1
        return token

    def read(self) -> sympy.Expr:
        result = self.sum()
        return result if self.tokens[self.at] == "" else self.fail()

    def sum(self) -> sympy.Expr:
        total = -self.product() if self.accept("-") else self.product()
        while sign := self.accept("+", "-"):
            term = self.product()
            total = total + term if sign == "+" else total - term
        return total

    def product(self) -> sympy.Expr:
        result = self.power()
        while sign := self.accept("*", "/"):
            factor = self.power()
            if sign == "/" and factor == 0:
                self.fail()
            result = result * factor if sign == "*" else result / factor
        return result

    def power(self) -> sympy.Expr:
        base = self.atom()
        if not self.accept("**"):
            return base
        exponent = self.atom()
        return base**exponent if exponent.is_Integer and exponent <= _MAX_EXPONENT else self.fail()

    def atom(self) -> sympy.Expr:
        import sympy

        token = self.tokens[self.at]
        self.at += 1
        if token.isdigit():
            return sympy.Integer(_integer(token))
        if token in ("floor", "ceiling") and self.accept("("):
            inner = self.sum()
            return getattr(sympy, token)(inner) if self.accept(")") else self.fail()
        if token == "(":
            inner = self.sum()
            return inner if self.accept(")") else self.fail()
        return Dim(token).expression if token.isidentifier() else self.fail()
