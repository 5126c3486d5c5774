"""Attribute values and types read back from text."""

from __future__ import annotations

import ast
import re
import struct
from collections.abc import Callable
from typing import Any

from graphc.errors import FormatError
from graphc.ir import Graph
from graphc.text.dims import parse_dim
from graphc.text.literals import WORDS, parse_elements, parse_type
from graphc.text.reader import Reader
from graphc.types import DTYPES, AnyType, Type

_KIND = re.compile(r":\s*(\w+\s*\[[^\]\n]*\]|\((?:[^()\[\]\n]*\[[^\]\n]*\])*[^()\[\]\n]*\))")
_STRING = re.compile(r"b?(?:'(?:[^'\\\n]|\\.)*'|\"(?:[^\"\\\n]|\\.)*\")")
_ARRAY_TYPE = re.compile(r"\w+\s*\[[^\]\n]*\]")
_ELEMENTS = re.compile(r"\(([^()\n]*)\)")
_DIM = re.compile(r"dim\(([^()\n]*)\)")
_NAN = re.compile(r"nan\(0x([0-9a-f]{16})\)")
_OPAQUE = re.compile(r"<[\w.<>]+>")
_NUMBER = re.compile(r"-?\d+(\.\d*)?(e[+-]?\d+)?")
_PART = re.compile(r"[^(),{}\[\]\n#=\"']*")
_ATTRIBUTE = re.compile(r"(\w+)\s*=")

ReadGraph = Callable[[Reader], Graph]


def read_type(reader: Reader) -> AnyType:
    """The type after a colon."""
    match = reader.match(_KIND) or reader.expected("a colon and a type such as f32[batch, 784]")
    try:
        return parse_type(match[1])
    except FormatError as error:
        reader.fail(error.problem, error.remedy)


def read_attribute_name(reader: Reader) -> str:
    """The name before an equals sign."""
    match = reader.match(_ATTRIBUTE) or reader.expected("an attribute such as axis=(0,)")
    return match[1]


def read_value(reader: Reader, read_graph: ReadGraph) -> Any:
    """The value that comes next."""
    if reader.peek("graph"):
        return read_graph(reader)
    if reader.accept("("):
        return _read_tuple(reader, read_graph)
    for pattern, convert in _LITERALS:
        match = reader.match(pattern)
        if match is not None:
            return reader.guarded(lambda convert=convert, match=match: convert(match, reader))  # type: ignore[misc]
    if opaque := reader.match(_OPAQUE):
        reader.fail(f"{opaque[0]} stands for a value that has no text", remedy="give ops attributes that are numbers, "
                    "strings, tuples, dtypes, sizes, arrays or graphs")  # fmt: skip
    text = _balanced(reader)
    if not text:
        reader.expected("a value such as 3, 0.5, None, 'text', (0, 1) or f32")
    return reader.guarded(lambda: _atom(text))


def _read_tuple(reader: Reader, read_graph: ReadGraph) -> tuple[Any, ...]:
    values: list[Any] = []
    with reader.deeper():
        while not reader.accept(")"):
            values.append(read_value(reader, read_graph))
            if not reader.accept(",") and (len(values) == 1 or not reader.peek(")")):
                reader.expected('"," in a tuple')
    return tuple(values)


def _string(match: re.Match[str], reader: Reader) -> Any:
    try:
        return ast.literal_eval(match[0])
    except (SyntaxError, ValueError):
        raise FormatError(f"expected a string, got {match[0][:40]}") from None


def _array_or_type(match: re.Match[str], reader: Reader) -> Any:
    kind = parse_type(match[0])
    elements = reader.match(_ELEMENTS)
    return parse_elements(elements[1], kind) if elements and isinstance(kind, Type) else kind


_LITERALS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str], Reader], Any]], ...] = (
    (_STRING, _string),
    (_ARRAY_TYPE, _array_or_type),
    (_DIM, lambda match, reader: parse_dim(match[1])),
    (_NAN, lambda match, reader: struct.unpack(">d", bytes.fromhex(match[1]))[0]),
)


def _balanced(reader: Reader) -> str:
    """What comes next up to the `,`, `)` or `}` that ends it: a number, a word or a size such as floor(n/2)."""
    start, depth = reader.position, 0
    while True:
        reader.position = _PART.match(reader.text, reader.position).end()  # type: ignore[union-attr]
        token = reader.text[reader.position : reader.position + 1]
        if token not in ("(", ")") or (token == ")" and depth == 0):
            return reader.text[start : reader.position].strip()
        depth += 1 if token == "(" else -1
        reader.position += 1


def _atom(text: str) -> Any:
    if text in WORDS:
        return WORDS[text]
    if text in DTYPES:
        return DTYPES[text]
    if text == "-inf":
        return -WORDS["inf"]
    number = _NUMBER.fullmatch(text)
    if number is None:
        return parse_dim(text)
    try:
        return float(text) if number[1] or number[2] else int(text)
    except ValueError:
        raise FormatError(f"expected a number, got {text[:40]}...") from None
