"""compile: from declared nodes to something that runs.

    source graph --specialize, passes--> optimized graph --schedule, memory plan--> program

This file checks what the user asked for and makes the `Executable`; the executable optimizes and plans when it first
sees a feed, because only then are all sizes known.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np

from graphc import passes
from graphc.errors import CompileError, DTypeError, FeedError, GraphError, ShapeError, label
from graphc.executable import Executable
from graphc.ir import Graph, Node, Variable, topological, warn
from graphc.locks import exclusively
from graphc.op import Op, lift
from graphc.pipeline import Pipeline
from graphc.plan import Options
from graphc.structure import flatten
from graphc.types import Dim, unify
from graphc.verify import check_names

Updates = Mapping[Variable, Any] | Iterable[tuple[Variable, Any]]
BACKENDS = ("auto", "numpy", "native")


def compile(inputs: Node | Sequence[Node], outputs: Any, *, updates: Updates | None = None, backend: str = "auto",
            threads: int | None = None, pipeline: str | Pipeline = "default", fast_math: bool = False,
            debug: bool = False, name: str | None = None) -> Executable:  # fmt: skip
    """An executable that takes arrays for `inputs` and returns values in the structure of `outputs`.

    `updates` maps variables to nodes: all read the old values, all are written after the run, none if it fails.
    `backend="auto"` means native code where llvmlite is installed, else NumPy; `debug` needs NumPy.
    `threads=None` means the cores this process may use. `fast_math` allows rules that hold for real numbers only.
    `debug` verifies every pass on the actual feed and names the first node that makes a NaN or inf.
    Raises GraphError, ShapeError, DTypeError or CompileError for a request that cannot be met.
    """
    leaves, rebuild = flatten(outputs)
    targets = checked_updates(updates)
    listed = list(inputs) if isinstance(inputs, Iterable) and not isinstance(inputs, Node) else [inputs]
    source = Graph(listed, [*leaves, *targets.values()], name)
    check_names(source.nodes)
    chosen = "numpy" if debug else _backend(backend)  # the NumPy program can look for the first NaN
    options = Options(chosen, _threads(threads), _pipeline(pipeline, chosen, source), bool(fast_math), bool(debug))
    return Executable(source, rebuild, len(leaves), tuple(targets), options)


def checked_updates(updates: Updates | None) -> dict[Variable, Node]:
    """The updates as a dict; raises unless each is a variable, once, with a value of its type."""
    pairs = updates.items() if isinstance(updates, Mapping) else () if updates is None else updates
    pairs = pairs if isinstance(pairs, Iterable) and not isinstance(pairs, Node) else [pairs]
    result: dict[Variable, Node] = {}
    for pair in pairs:
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise GraphError(f"expected updates as {{variable: node}} or (variable, node) pairs, got {pair!r}",
                             remedy="write updates={w: w - 0.1 * dw}")  # fmt: skip
        variable, value = pair
        if not isinstance(variable, Variable):
            nodes = [variable] if isinstance(variable, Node) else []
            raise GraphError(f"expected a variable to update, got {variable!r}", nodes=nodes,
                             remedy="declare it with gr.variable")  # fmt: skip
        if variable in result:
            raise GraphError(f"variable {variable.name} is updated twice in one run",
                             nodes=[variable, result[variable]],
                             remedy="combine the two updates into one node")  # fmt: skip
        result[variable] = _fitting(variable, value)
    return result


def _fitting(variable: Variable, value: Any) -> Node:
    node = lift(value, variable.dtype if type(value) in (bool, int, float) else None)
    expected, actual = variable.array_type, node.array_type
    mismatch = f"variable {variable.name} expected an update of type {expected}, got {actual}"
    try:
        if len(expected.shape) != len(actual.shape):
            raise ShapeError("the ranks differ")
        for a, b in zip(expected.shape, actual.shape, strict=True):
            unify(a, b)
    except ShapeError:
        raise ShapeError(f"{mismatch}", nodes=[variable, node],
                         remedy="reduce or reshape the update to the variable's shape") from None  # fmt: skip
    if expected.dtype == actual.dtype:
        return node
    if not np.can_cast(actual.dtype, expected.dtype, "safe"):
        raise DTypeError(f"{mismatch}, which would lose precision", nodes=[variable, node],
                         remedy=f'convert it with .astype("{expected.dtype}") if that is what you mean')  # fmt: skip
    return node.astype(expected.dtype)


def _backend(backend: str) -> str:
    if backend not in BACKENDS:
        raise CompileError(f"expected backend to be one of {', '.join(BACKENDS)}, got {backend!r}",
                           remedy='"auto" takes the fastest one that is installed')  # fmt: skip
    if backend == "numpy" or (backend == "auto" and not _native_runs()):
        return "numpy"
    if backend == "native" and (problem := _why_not_native()):
        remedy = 'install it with pip install "graphc-compiler[native]", or use backend="numpy"'
        raise CompileError(f"the native backend cannot run: {problem}", remedy=remedy)
    return "native"


def _why_not_native() -> str:
    """Why native code cannot run here, or '' where it can."""
    if find_spec("llvmlite") is None:
        return "llvmlite is not installed"
    from graphc.native.available import why_unusable

    return why_unusable()


def _native_runs() -> bool:
    """Whether native code can run; where it is installed and yet cannot, a warning says why, once in a process."""
    problem = _why_not_native()
    if problem and find_spec("llvmlite") is not None:
        _warn_of_numpy(problem)
    return not problem


@cache
def _warn_of_numpy(problem: str) -> None:
    warn(f"graphs run on NumPy, because the native backend cannot run: {problem} "
         '(backend="numpy" says that this is meant)')  # fmt: skip


def is_native(op: Op) -> bool:
    """Whether the native backend computes an op itself, if not for all operands; False where llvmlite is missing."""
    if find_spec("llvmlite") is None:
        return False
    from graphc.native.loops.table import has_code
    from graphc.passes.expand import FORMULAS

    return op in FORMULAS or has_code(op)


def _threads(threads: int | None) -> int | None:
    if threads is not None and (isinstance(threads, bool) or not isinstance(threads, int) or threads < 1):
        raise CompileError(f"expected threads to be an int ≥ 1 or None, got {threads!r}",
                           remedy="None means the cores that this process may use")  # fmt: skip
    return threads


def _pipeline(pipeline: str | Pipeline, backend: str, source: Graph) -> Pipeline:
    """The passes to run: those asked for, and those that a program needs: known sizes, and for native code kernels."""
    chosen = _asked_for(pipeline)
    symbolic = any(not node.type.is_static for node in source.nodes)
    if symbolic and not any(one.name == passes.specialize.name for one in chosen):
        chosen = Pipeline((passes.specialize, *chosen))
    if backend != "native" or any(one.name == passes.fuse.name for one in chosen):
        return chosen
    return Pipeline((*chosen, passes.limits, passes.expand, passes.narrow, passes.cse, passes.fuse))


def _asked_for(pipeline: str | Pipeline) -> Pipeline:
    if isinstance(pipeline, Pipeline):
        return pipeline
    if not isinstance(pipeline, str):
        raise CompileError(f"expected a pipeline or its text, got {pipeline!r}",
                           remedy='write pipeline="canonicalize, cse"')  # fmt: skip
    return passes.DEFAULT if pipeline == "default" else passes.parse(pipeline)


class _Requests:
    """The executables of `run`, the most recent ones kept."""

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self._made: OrderedDict[Any, Executable] = OrderedDict()
        self.renew_lock()

    def renew_lock(self) -> None:
        """A forked child has one thread: if another one was compiling, it has ended."""
        self._lock = threading.RLock()

    def get(self, inputs: tuple[Node, ...], outputs: Any) -> Executable:
        leaves, _ = flatten(outputs)
        key = (inputs, tuple(leaves))
        return exclusively(self._lock, lambda: self._get(key))

    def _get(self, key: tuple[tuple[Node, ...], tuple[Any, ...]]) -> Executable:
        if key not in self._made:
            self._made[key] = compile(*key)
        self._made.move_to_end(key)
        if len(self._made) > self._keep:
            self._made.popitem(last=False)
        return self._made[key]


_requests = _Requests(keep=32)

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_requests.renew_lock)


def run(outputs: Any, feed: Mapping[Any, Any] | None = None) -> Any:
    """The value of some nodes under a feed from placeholders (or their names) to arrays; compiled once per request.

    Beside what the outputs need, the feed may hold what they are derivatives of (the gradient of a linear function
    needs no point) and what tells the size of a symbolic dim.
    """
    if not isinstance(feed, Mapping | None):
        raise FeedError(f"expected a feed as {{placeholder: value}}, got {feed!r} of type {type(feed).__name__}",
                        remedy="write gr.run(y, feed={x: values})")  # fmt: skip
    leaves, rebuild = flatten(outputs)
    needed = Graph(None, leaves).inputs
    values = _values(leaves, needed, feed or {})
    missing = [node for node in needed if node not in values]
    if missing:
        raise FeedError(f"expected a feed for {', '.join(str(node.name) for node in missing)}, got none", nodes=missing,
                        remedy="add it to the feed")  # fmt: skip
    inputs = (*needed, *(node for node in values if node not in needed))
    results = _requests.get(inputs, leaves)(*(values[node] for node in inputs))
    return rebuild(iter(results))


def _values(outputs: Sequence[Node], needed: Sequence[Node], feed: Mapping[Any, Any]) -> dict[Node, Any]:
    """The feed by placeholder; raises FeedError for what neither the outputs need nor their derivation or sizes do."""
    by_name: dict[Any, Node] = {node.name: node for node in needed}
    allowed = set(needed)
    if not all(key in allowed or key in by_name for key in feed):
        allowed.update(differentiated_inputs(outputs))
        allowed.update(_tellers_of_sizes(outputs, needed, feed))
        by_name = {node.name: node for node in allowed} | by_name
    values: dict[Any, Any] = {by_name.get(key, key): value for key, value in feed.items()}
    for node in values:
        if node not in allowed:
            shown = label(node) if isinstance(node, Node) else repr(node)
            names = ", ".join(str(placeholder.name) for placeholder in needed)
            raise FeedError(f"expected feeds for the placeholders that the outputs need, got one for {shown}",
                            nodes=[node] if isinstance(node, Node) else [],
                            remedy=f"feed {names} only" if names else "feed nothing")  # fmt: skip
    return values


def differentiated_inputs(outputs: Sequence[Node]) -> tuple[Node, ...]:
    """The placeholders of all that the outputs are derivatives of, to any order."""
    nodes: tuple[Node, ...] = ()
    found = dict.fromkeys(outputs)
    while len(found) > len(nodes):
        nodes = topological(found)
        found = dict.fromkeys([*nodes, *(node.origin.forward for node in nodes if node.origin.forward is not None)])
    return tuple(node for node in nodes if node.op.name == "placeholder")


def _tellers_of_sizes(outputs: Sequence[Node], needed: Sequence[Node], keys: Iterable[Any]) -> list[Node]:
    """The keys that are placeholders with a dim which the outputs have and no input tells: see `zeros_like(x)`."""
    untold = _sizes(topological(outputs)) - _sizes(needed)
    placeholders = [key for key in keys if isinstance(key, Node) and key.op.name == "placeholder"]
    return [node for node in placeholders if not untold.isdisjoint(_sizes([node]))]


def _sizes(nodes: Iterable[Node]) -> set[str]:
    """The names of all symbolic sizes in the types of nodes."""
    types = [kind for node in nodes for kind in getattr(node.type, "elements", [node.type])]
    return {name for kind in types for dim in kind.shape if isinstance(dim, Dim) for name in dim.names()}
