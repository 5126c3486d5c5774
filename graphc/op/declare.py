"""The decorators that declare ops and formulas from documented functions."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import WRAPPER_ASSIGNMENTS, wraps
from typing import Any, TypeVar, overload

from graphc.errors import GraphcError, GraphError
from graphc.ir import Node, origin_here
from graphc.op.record import Cotangents, Infer, Op
from graphc.operators import OPS
from graphc.samples import Samples

F = TypeVar("F", bound=Callable[..., Any])


def primitive(infer: Infer, vjp: Callable[..., Cotangents] | None = None,
              **facts: Any) -> Callable[[Callable[..., Any]], Op]:  # fmt: skip
    """Declare an op from its NumPy body; see `Op` for the facts. The name, arity and docs are the function's."""

    def declare(body: Callable[..., Any]) -> Op:
        parameters = inspect.signature(body).parameters.values()
        operands = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        variadic = any(p.kind is p.VAR_POSITIONAL for p in parameters)
        keywords = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
        name = facts.pop("name", body.__name__)
        op = Op(name=name, body=body, infer=infer, vjp=vjp,
                arity=None if variadic else len(operands),
                attributes=tuple(k for k in keywords if k != "out"), writes_out="out" in keywords,
                elementwise=facts.pop("elementwise", getattr(infer, "elementwise", False)), **facts)  # fmt: skip
        _dress_as_function(op, body)
        if name in OPS:
            raise GraphError(f"an op called {name} exists already", remedy="choose another name")
        OPS[name] = op
        return op

    return declare


def _dress_as_function(op: Op, body: Callable[..., Any]) -> None:
    """Let help() and editors see the op as the function that the user calls."""
    shown = inspect.signature(op.signature or body)
    parameters = [p for p in shown.parameters.values() if p.name != "out"]
    shown = shown.replace(parameters=parameters, return_annotation="Node")
    for field_name in WRAPPER_ASSIGNMENTS:
        object.__setattr__(op, field_name, getattr(body, field_name))
    object.__setattr__(op, "__name__", op.name)
    object.__setattr__(op, "__signature__", shown)


def placed(function: F) -> F:
    """The same function, its errors naming the nodes among its arguments and the user's line that called it."""

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except GraphcError as error:
            raise error.about([arg for arg in args if isinstance(arg, Node)], origin_here().where()) from None

    return call  # type: ignore[return-value]


COMPOSITES: dict[str, Callable[..., Any]] = {}
"""Every composite by its qualified name, for `graphc ops` and the derived tests."""


@overload
def composite(function: F, *, samples: Samples | None = None) -> F: ...
@overload
def composite(*, samples: Samples | None = None) -> Callable[[F], F]: ...
def composite(function: F | None = None, *, samples: Samples | None = None) -> F | Callable[[F], F]:
    """Declare a formula over ops. It needs no rule: its nodes have theirs. Its errors name the line that called it."""

    def declare(formula: F) -> F:
        dressed = placed(formula)
        dressed.samples = samples  # type: ignore[attr-defined]
        COMPOSITES[f"{formula.__module__.removeprefix('graphc.').removeprefix('ops.')}.{formula.__name__}"] = dressed
        return dressed

    return declare(function) if function is not None else declare
