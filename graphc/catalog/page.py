"""One op, told in full: `graphc ops NAME`."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable
from typing import Any

import numpy as np

import graphc as gr
from graphc.catalog.listing import Entry, lookup
from graphc.op import signature_text
from graphc.samples import Call, Samples


def page(name: str) -> str:
    """One op: how it is called, what it means, what it has, and the gradient of a sample call as a graph."""
    entry = lookup(name)
    text = textwrap.indent(inspect.getdoc(entry.function) or "", "    ")
    lines = [f"gr.{entry.name}{signature_text(entry.function)}", "", text, ""]
    lines += [f"{label:<14}{value}" for label, value in _facts(entry).items()]
    gradient = _gradient_text(entry.op or entry.function, entry.samples)
    if gradient:
        lines += ["", "The gradient of a sample call, for a seed with the type of its result:", "", gradient]
    return "\n".join(lines)


def _facts(entry: Entry) -> dict[str, str]:
    has = {fact: "yes" if there else "none" for fact, there in entry.has().items()}
    op = entry.op
    if op is None:
        return {"kind": "a formula over ops, differentiated and compiled through them", "samples": has["samples"]}
    flags = [flag for flag in ("elementwise", "commutative", "view") if getattr(op, flag)]
    return {
        "family": entry.family[1],
        "operands": "any number" if op.arity is None else str(op.arity),
        "attributes": ", ".join(op.attributes) or "none",
        **has,
        "known to be": ", ".join(flags) or "nothing special",
        "effort": "depends on the sizes" if callable(op.effort) else f"{op.effort:g} × an addition, per element",
    }


def _gradient_text(function: Callable[..., Any], samples: Samples | None) -> str:
    """The gradient graph of the first sample call that has one, or ''."""
    parameters = inspect.signature(function).parameters.values()
    arity = sum(parameter.default is parameter.empty for parameter in parameters)
    for call in samples.for_arity(arity) if samples else ():
        graph = _gradient_graph(function, call)
        if graph is not None:
            return str(graph)
    return ""


def _gradient_graph(function: Callable[..., Any], call: Call) -> gr.Graph | None:
    """The graph from a call's operands and a seed to the gradients of its float operands; None where it has none."""
    drawn, attributes = call.draw(np.random.default_rng(0))
    inputs: list[gr.Node] = []
    triples = zip(_operand_names(function, len(drawn)), call.operands, drawn, strict=True)
    y = function(*[_declared(*triple, inputs) for triple in triples], **attributes)
    floats = [node for node in inputs if node.type.is_float]
    if not isinstance(y, gr.Node) or not y.type.is_float or not floats:
        return None
    seed = gr.placeholder("seed", y.shape, y.dtype)
    try:
        return gr.Graph([*inputs, seed], gr.gradients(y, floats, seed=seed), f"gradient_of_{function.__name__}")
    except gr.GradientError:
        return None


def _operand_names(function: Callable[..., Any], count: int) -> list[str]:
    """A name for each operand of a call: the parameter's, numbered where one parameter takes any number."""
    parameters = list(inspect.signature(function).parameters.values())
    if parameters[0].kind is inspect.Parameter.VAR_POSITIONAL:
        return [f"{parameters[0].name}{number}" for number in range(1, count + 1)]
    return [parameter.name for parameter in parameters[:count]]


def _declared(name: str, operand: Any, drawn: Any, inputs: list[gr.Node]) -> Any:
    """A placeholder, added to `inputs`, where the sample names a type to draw from; else the value itself."""
    if isinstance(operand, list):
        pairs = enumerate(zip(operand, drawn, strict=True), start=1)
        return [_declared(f"{name}{number}", *pair, inputs) for number, pair in pairs]
    if not isinstance(operand, str) or not isinstance(drawn, np.ndarray):
        return operand
    inputs.append(gr.placeholder(name, drawn.shape, drawn.dtype))
    return inputs[-1]
