"""Passes, pipelines of passes, and the receipts they leave.

    @graph_pass
    def cse(graph):
        "Merge equal nodes."
        ...

    DEFAULT = Pipeline((specialize, canonicalize, algebra, fold, cse))
    DEFAULT.without("cse"), str(DEFAULT) == "specialize, canonicalize, algebra, fold, cse"

A pass is a pure function from graph to graph; its keyword parameters are its options. One that applies rules takes a
parameter `firings` and writes down what fired.
"""

from __future__ import annotations

import inspect
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, overload

from graphc.errors import CompileError, GraphcError, GraphError
from graphc.ir import Graph, Node, collector_paused
from graphc.rewrite import Firings
from graphc.rules import RuleKind
from graphc.signals import let_through
from graphc.types import AnyType, Dim, TupleType
from graphc.verify import verify


@dataclass(frozen=True)
class Pass:
    """A named function Graph → Graph with its options, and how close its result stays to its input's values."""

    name: str
    function: Callable[..., Graph]
    kind: RuleKind = "exact"
    raises: tuple[type[GraphcError], ...] = ()
    """Errors about the user's graph or feed, which pass on as they are; any other error is a failure of the pass."""
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of the pass's options."""
        return tuple(name for name in _parameters(self.function) if name not in ("graph", "firings"))

    def __call__(self, graph: Graph, **context: Any) -> Graph:
        """Run the pass. The caller's `context` fills the parameters that the pass has and the options leave open."""
        wanted = _parameters(self.function)
        filled = {name: value for name, value in context.items() if name in wanted}
        return self.function(graph, **{**filled, **self.options})

    def kind_under(self, context: Mapping[str, Any]) -> RuleKind:
        """The kind of the pass in a run: `fast` where it takes `fast_math` and that is on."""
        allowed = {**context, **self.options}.get("fast_math") and "fast_math" in self.parameters
        return "fast" if allowed else self.kind

    def with_options(self, **options: Any) -> Pass:
        """The same pass with some options fixed."""
        unknown = ", ".join(sorted(options.keys() - set(self.parameters)))
        if unknown:
            raise CompileError(f"pass {self.name} has no option {unknown}",
                               remedy=f"it has {', '.join(sorted(self.parameters)) or 'none'}")  # fmt: skip
        return replace(self, options={**self.options, **options})

    def __str__(self) -> str:
        options = ", ".join(f"{name}={value}" for name, value in self.options.items())
        return f"{self.name}{{{options}}}" if options else self.name

    def __hash__(self) -> int:
        return hash(str(self))


def _parameters(function: Callable[..., Graph]) -> tuple[str, ...]:
    """The names of a function's parameters; of most the code tells them, in a fiftieth of the time of a signature."""
    code = getattr(function, "__code__", None)
    if code is None or hasattr(function, "__wrapped__"):
        return tuple(inspect.signature(function).parameters)
    names: tuple[str, ...] = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    return names


@overload
def graph_pass(function: Callable[..., Graph]) -> Pass: ...
@overload
def graph_pass(*, kind: RuleKind = ..., raises: tuple[type[GraphcError], ...] = ...
               ) -> Callable[[Callable[..., Graph]], Pass]: ...  # fmt: skip
def graph_pass(function: Callable[..., Graph] | None = None, *, kind: RuleKind = "exact",
               raises: tuple[type[GraphcError], ...] = ()) -> Any:  # fmt: skip
    """Declare a pass from a function, whose name it takes; see `Pass` for the facts."""

    def declare(function: Callable[..., Graph]) -> Pass:
        return Pass(function.__name__, function, kind, raises)

    return declare(function) if function is not None else declare


@dataclass(frozen=True)
class Receipt:
    """What one pass did: seconds, nodes before and after, firings of each rule, and why it stopped early if it did."""

    name: str
    seconds: float
    before: int
    after: int
    firings: Firings


@dataclass(frozen=True)
class Stage:
    """One pass's input and output, kept for translation validation."""

    applied: Pass
    before: Graph
    after: Graph
    context: Mapping[str, Any]

    @property
    def kind(self) -> RuleKind:
        """How close the output's values are to the input's."""
        return self.applied.kind_under(self.context)

    def rerun(self, limit: int | None) -> tuple[Graph, Firings]:
        """The pass once more on its input, stopped after so many firings; None is no limit."""
        firings = Firings(limit=limit)
        return self.applied(self.before, firings=firings, **self.context), firings


@dataclass(frozen=True)
class Optimized:
    """A graph after a pipeline, where each node of the source went, and what each pass did."""

    graph: Graph
    moved: Mapping[Node, Node]
    receipts: tuple[Receipt, ...]
    stages: tuple[Stage, ...] = ()


class Pipeline(tuple[Pass, ...]):
    """Passes, run from left to right."""

    __slots__ = ()

    def without(self, *names: str) -> Pipeline:
        """The pipeline less the passes of these names."""
        missing = set(names) - {one.name for one in self}
        if missing:
            raise CompileError(f"the pipeline has no pass {', '.join(sorted(missing))}", remedy=f"it has {self}")
        return Pipeline(one for one in self if one.name not in names)

    def until(self, name: str) -> Pipeline:
        """The passes before the one of that name."""
        names = [one.name for one in self]
        return Pipeline(self[: names.index(name)] if name in names else self)

    def run(self, graph: Graph, *, checked: bool = False, keep_stages: bool = False, **context: Any) -> Optimized:
        """Run every pass. `checked` verifies the graph after each; `context` holds facts: sizes, fast_math."""
        receipts: list[Receipt] = []
        stages: list[Stage] = []
        moves: list[Mapping[Node, Node]] = []
        checked = checked or bool(os.environ.get("GRAPHC_VERIFY"))
        for one in self:
            firings = Firings()
            started = time.perf_counter()
            with collector_paused():
                done = [receipt.name for receipt in receipts]
                after = _guarded(one, graph, done, {**context, "firings": firings}, checked=checked)
            seconds = time.perf_counter() - started
            receipts.append(Receipt(str(one), seconds, len(graph), len(after), firings))
            if keep_stages:
                stages.append(Stage(one, graph, after, context))
            if after is not graph:
                moves.append(after.moved)
            graph = after
        return Optimized(graph, _composed(moves), tuple(receipts), tuple(stages))

    def __str__(self) -> str:
        return ", ".join(map(str, self))

    def __repr__(self) -> str:
        return f"<Pipeline {self}>"


def _composed(moves: list[Mapping[Node, Node]]) -> dict[Node, Node]:
    if not moves:
        return {}
    total = dict(moves[0])
    for step in moves[1:]:
        for old, middle in total.items():
            total[old] = step.get(middle, middle)
    return total


def _guarded(one: Pass, graph: Graph, done: list[str], context: Mapping[str, Any], *, checked: bool) -> Graph:
    """One pass; a crash or a broken result names the pass, those before it, and the file that holds its input."""
    try:
        after = one(graph, **context)
        if not isinstance(after, Graph):
            raise GraphError(f"expected a pass to return a graph, got {after!r}")
        if checked and after is not graph:
            verify(after)
        _check_interface(graph, after)
        return after
    except one.raises:
        raise
    except Exception as error:
        let_through(error)
        before = f" after {', '.join(done)}" if done else ""
        problem, nodes = (error.problem, error.nodes) if isinstance(error, GraphcError) else (error, ())
        raise CompileError(
            f"pass {one} failed{before}: {type(error).__name__}: {problem}",
            nodes=nodes,
            remedy=f"its input is saved in {_saved(graph, one.name)}; "
                   f'compile with pipeline=gr.passes.DEFAULT.without("{one.name}") meanwhile',
        ) from error  # fmt: skip


def _check_interface(before: Graph, after: Graph) -> None:
    """Raise GraphError unless a pass kept the inputs' names, and the outputs' types up to the sizes of symbols."""
    if [node.name for node in after.inputs] != [node.name for node in before.inputs]:
        raise GraphError("expected a pass to keep the graph's inputs", nodes=after.inputs)
    if len(after.outputs) != len(before.outputs):
        raise GraphError(f"expected a pass to keep {len(before.outputs)} outputs, got {len(after.outputs)}")
    for old, new in zip(before.outputs, after.outputs, strict=True):
        if old.type != new.type and not _specializes(old.type, new.type):
            raise GraphError(f"expected a pass to keep an output's type {old.type}, got {new.type}", nodes=[new])


def _specializes(symbolic: AnyType, actual: AnyType) -> bool:
    """Whether a type may be another's, given the sizes of symbols."""
    if isinstance(symbolic, TupleType) or isinstance(actual, TupleType):
        return False
    if symbolic.dtype != actual.dtype or len(symbolic.shape) != len(actual.shape):
        return False
    pairs = zip(symbolic.shape, actual.shape, strict=True)
    return all(dim == size or isinstance(dim, Dim) or isinstance(size, Dim) for dim, size in pairs)


def _saved(graph: Graph, name: str) -> Path:
    prefix = f"graphc-{name}-"
    with tempfile.NamedTemporaryFile("w", prefix=prefix, suffix=".txt", delete=False, encoding="utf-8") as file:
        file.write(str(graph))
    return Path(file.name)


_PASS = re.compile(r"\s*(?P<name>\w+)\s*(\{(?P<options>[^}]*)\})?\s*(,|$)")


def parse_pipeline(text: str, passes: Iterable[Pass]) -> Pipeline:
    """The pipeline that `str` printed: `"canonicalize, fold{max_bytes=1000}, cse"`."""
    known = {one.name: one for one in passes}
    found, position = [], 0
    while position < len(text):
        match = _PASS.match(text, position)
        if match is None:
            raise CompileError(f"expected a pass at {text[position:]!r}", remedy='write "name, name{option=value}"')
        if match["name"] not in known:
            raise CompileError(f"there is no pass {match['name']}", remedy=f"the passes are {', '.join(sorted(known))}")
        options = dict(_option(part) for part in (match["options"] or "").split(",") if part.strip())
        one = known[match["name"]]
        found.append(one.with_options(**options) if options else one)
        position = match.end()
    return Pipeline(found)


def _option(text: str) -> tuple[str, Any]:
    name, _, value = (part.strip() for part in text.partition("="))
    literals = {"True": True, "False": False, "None": None}
    if value in literals:
        return name, literals[value]
    for number in (int, float):
        try:
            return name, number(value)
        except ValueError:
            continue
    raise CompileError(f"expected a number, True, False or None for option {name}, got {value!r}")
