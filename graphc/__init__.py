"""graphc: a static graph compiler with symbolic differentiation."""

from graphc.errors import (
    CompileError,
    DTypeError,
    ExecutionError,
    FeedError,
    FormatError,
    GradientError,
    GraphcError,
    GraphError,
    ShapeError,
)
from graphc.ir import Graph, Node, scope
from graphc.op import composite, primitive
from graphc.ops import *
