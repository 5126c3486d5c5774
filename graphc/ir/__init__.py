"""The graph: immutable, typed nodes that know where they came from, and iterative walks over them."""

from graphc.ir.graph import Graph
from graphc.ir.keys import Bits, attrs_key, freeze
from graphc.ir.node import NO_ATTRS, Node, Variable, WeakConstant
from graphc.ir.origin import UNKNOWN, Origin, current_origin, made_by, origin_here, scope, scoped, warn
from graphc.ir.walk import collector_paused, consumers, topological

__all__ = [
    "NO_ATTRS", "UNKNOWN", "Bits", "Graph", "Node", "Origin", "Variable", "WeakConstant", "attrs_key",
    "collector_paused", "consumers", "current_origin", "freeze", "made_by", "origin_here", "scope", "scoped",
    "topological", "warn",
]  # fmt: skip
