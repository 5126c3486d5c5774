"""Graphs as text, and back: one value per line, types printed and checked. The grammar is in docs/ir-grammar.md."""

from graphc.text.names import value_names
from graphc.text.parser import parse
from graphc.text.printer import to_text

__all__ = ["parse", "to_text", "value_names"]
