"""Translation validation: does the graph that each pass made compute what the graph before it computes, on this feed?

`compile(..., debug=True)` asks at every call. Where a pass is wrong, the answer names it, and the rule at fault: the
pass runs again with fewer and fewer firings allowed, until the first wrong one is found by bisection.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from graphc.errors import CompileError
from graphc.evaluate import in_order, value_of
from graphc.ir import NO_ATTRS, Graph, Node, topological
from graphc.pipeline import Stage
from graphc.rules import RuleKind

Array = np.ndarray[Any, Any]
SLACK = 16.0
"""How many times √eps, the square root of the dtype's rounding unit, the values of a pass that rounds may differ by."""


def agree(before: Any, after: Any, kind: RuleKind = "exact", eps: float = 0.0, *, finite: bool = True) -> bool:
    """Whether two values are the same, as far as a pass of that kind promises.

    `exact` means every bit, but that any NaN is NaN. Otherwise floats agree up to rounding wherever the value before is
    finite; other values are not compared, since rounding may turn a comparison. `eps` is the rounding unit of what they
    were computed from, where that is coarser than their own. Where not even that was `finite`, and so neither formula
    may be, only elements are compared that both have, and none where `fast` rules took NaN for a number.
    """
    a, b = np.asarray(before), np.asarray(after)
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    if kind == "exact":
        return same_bits(a, b)
    if a.dtype.kind != "f" or (kind == "fast" and not finite):
        return True
    known = np.isfinite(a) if finite else np.isfinite(a) & np.isfinite(b)
    largest = np.max(np.abs(a[known]), initial=1.0).astype(np.float64)
    slack = SLACK * max(eps, float(np.finfo(a.dtype).eps)) ** 0.5 * largest
    with np.errstate(all="ignore"):
        difference = np.abs(a[known].astype(np.float64) - b[known].astype(np.float64))
    return bool(np.all(difference <= slack))


def rounding_unit(graph: Graph) -> float:
    """The rounding unit of the coarsest float dtype in a graph."""
    dtypes = {node.dtype for node in graph.nodes if node.type.is_float}
    return max((float(np.finfo(dtype).eps) for dtype in dtypes), default=0.0)


def same_bits(a: Array, b: Array) -> bool:
    """Whether two arrays are equal bit for bit, any NaN being NaN."""
    with np.errstate(all="ignore"):
        equal = a == b
        if a.dtype.kind == "f":
            equal = (equal & (np.signbit(a) == np.signbit(b))) | (np.isnan(a) & np.isnan(b))
    return bool(np.all(equal))


def validate(stages: Sequence[Stage], feed: Mapping[Node, Any]) -> None:
    """Raise CompileError unless every pass kept the values of the outputs on this feed; name the first wrong one.

    `feed` maps the inputs of the first stage's graph to arrays; variables have the values that they have now.
    """
    if not stages:
        return
    run = _runner(stages[0].before, feed, stages[0].context.get("sizes") or {})
    before = run(stages[0].before)
    for stage in stages:
        if stage.after is stage.before:
            continue
        after = run(stage.after)
        wrong = _first_difference(before, after, stage)
        if wrong is not None:
            raise _complaint(stage, run, before, after, wrong)
        before = after


Values: TypeAlias = tuple[list[Any], bool]
"""The values of a graph's outputs, and whether every value in the graph is finite."""
Run: TypeAlias = Callable[[Graph], Values]


def _runner(source: Graph, feed: Mapping[Node, Any], sizes: Mapping[str, int]) -> Run:
    """What computes the outputs of a graph from one feed and the variables' values of one moment."""
    arguments = [feed[node] for node in source.inputs]
    state: dict[Node, Any] = {variable: variable.value for variable in source.variables}
    return lambda graph: _evaluated(graph.outputs, {**dict(zip(graph.inputs, arguments, strict=True)), **state}, sizes)


def values_of(outputs: Sequence[Node], feed: Mapping[Node, Any], sizes: Mapping[str, int] = NO_ATTRS) -> list[Any]:
    """The values of nodes, each computed from arrays whose elements lie in order, as no view of another array does.

    NumPy adds in the order of memory: on views, a sum's last bits would depend on more than its operand's value.
    """
    return _evaluated(outputs, feed, sizes)[0]


def _evaluated(outputs: Sequence[Node], feed: Mapping[Node, Any], sizes: Mapping[str, int]) -> Values:
    """The values of nodes, and whether all values on the way to them are finite."""
    values, finite = dict(feed), True
    with np.errstate(all="ignore"):
        for node in topological(outputs):
            if node not in values:
                values[node] = in_order(value_of(node, [values[source] for source in node.inputs], sizes))
            finite = finite and (not node.type.is_float or bool(np.all(np.isfinite(values[node]))))
    return [values[node] for node in outputs], finite


def _first_difference(before: Values, after: Values, stage: Stage) -> int | None:
    (old, finite), (new, _) = before, after
    eps = rounding_unit(stage.before)
    pairs = enumerate(zip(old, new, strict=True))
    return next((place for place, (a, b) in pairs if not agree(a, b, stage.kind, eps, finite=finite)), None)


def _complaint(stage: Stage, run: Run, before: Values, after: Values, wrong: int) -> CompileError:
    rule = _rule_at_fault(stage, lambda graph: _first_difference(before, run(graph), stage) is not None)
    name, old, new = stage.applied.name, _short(before[0][wrong]), _short(after[0][wrong])
    return CompileError(
        f"pass {name} changed the value of output {wrong}{rule}: it was {old}, it is {new}",
        nodes=[stage.before.outputs[wrong]],
        remedy=f'compile with pipeline=gr.passes.DEFAULT.without("{name}") until the rule is mended',
    )


def _rule_at_fault(stage: Stage, is_wrong: Callable[[Graph], bool]) -> str:
    """The rule whose firing made the values wrong, as words for a message; '' for a pass without rules."""
    _, everything = stage.rerun(None)
    good, bad = 0, everything.total
    if not bad or is_wrong(stage.rerun(0)[0]):
        return ""
    while bad - good > 1:
        middle = (good + bad) // 2
        good, bad = (good, middle) if is_wrong(stage.rerun(middle)[0]) else (middle, bad)
    return f" by rule {stage.rerun(bad)[1].last} (firing {bad} of {everything.total})"


def _short(value: Any) -> str:
    with np.printoptions(threshold=8, edgeitems=3, precision=6):
        return " ".join(str(np.asarray(value)).split())
