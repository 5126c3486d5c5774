"""A plan: what an executable runs for one binding of its symbolic sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graphc.errors import ShapeError
from graphc.executor import NumpyProgram, Program
from graphc.ir import Graph, Node, Variable, warn
from graphc.pipeline import Optimized, Pipeline


@dataclass(frozen=True)
class Options:
    """How to compile."""

    backend: str
    threads: int | None
    pipeline: Pipeline
    fast_math: bool
    debug: bool


class Plan:
    """One binding of the symbolic sizes: the optimized graph and the program that runs it."""

    def __init__(self, source: Graph, updated: Sequence[Variable], sizes: Mapping[str, int], options: Options) -> None:
        self.sizes = dict(sizes)
        debug = options.debug
        self.optimized: Optimized = options.pipeline.run(
            source, sizes=sizes, fast_math=options.fast_math, checked=debug, keep_stages=debug, **_abilities(options)
        )
        self.graph = self.optimized.graph
        _check_static(self.graph)
        self.variables = self.graph.variables
        self.states = [variable.state for variable in self.variables]
        self.program = _program(self.graph, updated, options)
        self.entry: Any = None
        """How native code runs the program without Python: None until the second call, False where it cannot."""
        self.called = False
        """Whether it has run."""
        _check_updates(self.graph.outputs[len(self.graph.outputs) - len(updated) :], updated)


def _abilities(options: Options) -> dict[str, Any]:
    """What the passes must know of the backend: which nodes it has scalar code for."""
    if options.backend != "native":
        return {}
    from graphc.native.code.elementwise import is_native
    from graphc.native.finishing import is_along, is_finishable

    return {"fusible": is_native, "finishes": (is_finishable, is_along)}


def _program(graph: Graph, updated: Sequence[Variable], options: Options) -> Program:
    """The program of the backend asked for, or NumPy's with a warning; LLVM is loaded only where it is wanted."""
    if options.backend == "native":
        from graphc.native.program import NativeProgram, NoDriver

        try:
            return NativeProgram(graph, options.threads, updated)
        except NoDriver as problem:
            warn(f"a graph runs on NumPy, because {problem}")
    return NumpyProgram(graph, options.threads, updated, debug=options.debug)


def _check_static(graph: Graph) -> None:
    symbolic = [node for node in graph.nodes if not node.type.is_static]
    if symbolic:
        raise ShapeError(
            f"expected every size to follow from the feed, but {symbolic[0].type} does not", nodes=symbolic[:1],
            remedy="use a dim that a placeholder has, or an integer",
        )  # fmt: skip


def _check_updates(values: Sequence[Node], updated: Sequence[Variable]) -> None:
    for value, variable in zip(values, updated, strict=True):
        if value.type != variable.type:
            raise ShapeError(f"variable {variable.name} expected an update of type {variable.type}, got {value.type}",
                             nodes=[variable, value], remedy="feed a batch for which the shapes agree")  # fmt: skip
