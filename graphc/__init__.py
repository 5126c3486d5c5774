"""graphc: a static graph compiler with symbolic differentiation.

Declare nodes, differentiate them into more nodes, compile both into one function:

    import graphc as gr
    x = gr.placeholder("x", ("batch", 3))
    w = gr.variable("w", [1.0, 2.0, 3.0], "float32")
    loss = ((x @ w) ** 2).mean()
    step = gr.compile([x], loss, updates=gr.optim.sgd(loss, [w], lr=0.1))
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from graphc import ops
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
from graphc.gradients import Backward, grad, gradients, hessian, hvp, jacobian, jvp
from graphc.ir import Graph, Node, Variable, scope
from graphc.op import OPS, Op, composite, primitive
from graphc.ops import *

if TYPE_CHECKING:
    from graphc import losses, nn, optim, passes, random, testing
    from graphc.compiler import compile, run
    from graphc.executable import Executable
    from graphc.inspect.dot import to_dot
    from graphc.text import parse

__version__ = "0.1.0"

_LAZY = {"Executable": "executable", "compile": "compiler", "parse": "text", "run": "compiler", "to_dot": "inspect.dot"}
_MODULES = ("losses", "nn", "optim", "passes", "random", "testing")

# Written out, so that type checkers see what is public.
__all__ = [
    "OPS", "Backward", "CompileError", "DTypeError", "Executable", "ExecutionError", "FeedError", "FormatError",
    "GradientError", "Graph", "GraphError", "GraphcError", "Node", "Op", "ShapeError", "Variable", "compile",
    "composite", "grad", "gradients", "hessian", "hvp", "jacobian", "jvp", "losses", "nn", "optim", "parse", "passes",
    "primitive", "random", "run", "scope", "testing", "to_dot",
]  # fmt: skip
__all__ += ops.__all__


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        value = getattr(import_module(f"graphc.{_LAZY[name]}"), name)
    elif name in _MODULES:
        value = import_module(f"graphc.{name}")
    else:
        raise AttributeError(f"graphc has no {name!r}; dir(graphc) lists what it has")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
