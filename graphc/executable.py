"""The call: arguments in, results out, variables updated; and what was done to get there, to look at."""

from __future__ import annotations

import os
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from typing import Any, NoReturn, TypeAlias
from weakref import WeakSet

import numpy as np

from graphc.errors import CompileError, FeedError, GraphError
from graphc.feeds import as_feed, symbol_places
from graphc.ir import Graph, Node, Variable, collector_paused
from graphc.locks import exclusively
from graphc.pipeline import Optimized
from graphc.plan import Options, Plan
from graphc.report import Levels, Report, unplanned
from graphc.state import reading, spared, written

PLANS_KEPT = 16
LARGE_BYTES = 1 << 24
"""Variables that take so much are updated where they lie from the first call on, as far as they can be."""
_executables: WeakSet[Executable] = WeakSet()
Array: TypeAlias = np.ndarray[Any, Any]


class Executable:
    """A compiled function. Call it with arrays by position or by name; ask it what was done to the graph."""

    __slots__ = ("__dict__", "__weakref__", "_entry")  # native code finds the entry in its slot

    def __init__(self, source: Graph, rebuild: Callable[[Iterator[Any]], Any], results: int,
                 updated: tuple[Variable, ...], options: Options) -> None:  # fmt: skip
        self.source = source
        self.options = options
        self._rebuild = rebuild
        self._results = results
        self._updated = updated
        self._targets = [None] * results
        self._names = {node.name: i for i, node in enumerate(source.inputs)}
        self._symbols = symbol_places(source.inputs)
        self._plans: OrderedDict[tuple[int, ...], Plan] = OrderedDict()
        self.renew_lock()
        self._latest: Plan | None = None
        _executables.add(self)

    def renew_lock(self) -> None:
        """A forked child has one thread: if another one was planning, it has ended."""
        self._planning = threading.RLock()

    def __call__(self, /, *args: Any, **named: Any) -> Any:
        """Run on arrays given by position or by name, and write the updates if the run succeeds."""
        feeds = self._feeds(args, named)
        plan = self._plan(feeds)
        for variable in (*plan.variables, *self._updated):
            variable.ready()
        if self._begins_native(plan):
            return self(*args, **named)
        if self.options.debug:
            from graphc.validate import validate

            validate(plan.optimized.stages, dict(zip(self.source.inputs, feeds, strict=True)))
        results = self._rebuild(iter(self._run(plan, plan.program.run, feeds)))
        if plan.called:
            self._enter(plan)
        else:
            plan.called = True
            self._leave()
        return results

    _slow = __call__
    """What native code calls where it takes `__call__`'s place: see `graphc.native.calls.entry`."""

    def _begins_native(self, plan: Plan) -> bool:
        """Let a first call go the way of later ones, if that saves spare arrays for large variables."""
        if plan.called or sum(variable.type.nbytes for variable in plan.program.overwritten) < LARGE_BYTES:
            return False
        plan.called = True
        spared([variable.state for variable in self._updated if variable not in plan.program.overwritten])
        self._enter(plan)
        return bool(plan.entry)

    def _enter(self, plan: Plan) -> None:
        """Let the next call go the way of the last one without Python, where its arguments allow that."""
        if self.options.backend != "native" or self.options.debug:
            return
        if plan.entry is None and not sys.is_finalizing():  # then nothing can be imported
            exclusively(self._planning, lambda: self._give_entry(plan))
        if plan.entry:
            self._entry = plan.entry
        else:
            self._leave()

    def _give_entry(self, plan: Plan) -> None:
        if plan.entry is None:  # runs go by the first entry at once, and a second one would take its place
            plan.entry = self._made_entry(plan)

    def _made_entry(self, plan: Plan) -> Any:
        """What native code runs a plan by, or False where Python has to."""
        from graphc.native.calls.entry import entry_of
        from graphc.native.calls.install import install
        from graphc.native.program import NativeProgram

        updated = [variable.state for variable in self._updated]
        entry = entry_of(plan.program, plan.states, updated, self._rebuild) \
            if isinstance(plan.program, NativeProgram) else None  # fmt: skip
        return entry if entry is not None and install(Executable, entry) else False

    def _leave(self) -> None:
        """Call Python next."""
        with suppress(AttributeError):
            del self._entry

    def _run(self, plan: Plan, run: Callable[..., Any], feeds: list[Array]) -> Any:
        if not plan.variables and not self._updated:
            return run(feeds, {}, self._targets)

        def run_on(targets: list[Array]) -> Any:
            with reading(plan.states) as arrays:
                return run(feeds, dict(zip(plan.variables, arrays, strict=True)), [*self._targets, *targets])

        return written([variable.state for variable in self._updated], run_on)

    def _feeds(self, args: tuple[Any, ...], named: Mapping[str, Any]) -> list[Array]:
        inputs = self.source.inputs
        if named or len(args) != len(inputs):
            args = self._by_position(args, named)
        return [as_feed(node, value) for node, value in zip(inputs, args, strict=True)]

    def _by_position(self, args: tuple[Any, ...], named: Mapping[str, Any]) -> tuple[Any, ...]:
        names = list(self._names)
        takes = f"call it as f({', '.join(map(str, names))})"
        if len(args) > len(names):
            raise FeedError(f"expected {len(names)} argument{'s' * (len(names) != 1)}, got {len(args)}", remedy=takes)
        values = dict(zip(names, args, strict=False))
        for name, value in named.items():
            if name not in self._names:
                raise FeedError(f"there is no input called {name}", remedy=takes)
            if name in values:
                raise FeedError(f"input {name} was given twice, by position and by name", remedy="give it once")
            values[name] = value
        missing = [node for node in self.source.inputs if node.name not in values]
        if missing:
            raise FeedError(f"expected a value for {', '.join(str(node.name) for node in missing)}, got none",
                            nodes=missing, remedy=takes)  # fmt: skip
        return tuple(values[name] for name in names)

    def _plan(self, feeds: Sequence[Array]) -> Plan:
        key = tuple([feeds[places[0][0]].shape[places[0][1]] for places in self._symbols.values()])
        for symbol, places in self._symbols.items():
            if len(places) > 1:
                self._check_same_size(symbol, places, feeds)
        plan = self._plans.get(key)
        if plan is None:
            plan = self._plan_for(key)
        elif plan is not self._latest:
            with suppress(KeyError):  # another thread may have dropped it just now
                self._plans.move_to_end(key)
        self._latest = plan
        return plan  # never `_latest`: another thread may have set it since

    def _check_same_size(self, symbol: str, places: Sequence[tuple[int, int]], feeds: Sequence[Array]) -> None:
        argument, axis = places[0]
        size = feeds[argument].shape[axis]
        for other, other_axis in places[1:]:
            other_size = feeds[other].shape[other_axis]
            if other_size != size:
                first, second = self.source.inputs[argument], self.source.inputs[other]
                raise FeedError(f"{symbol} is {size} in {first.name} and {other_size} in {second.name}",
                                nodes=[first, second], remedy=f"feed arrays that agree on {symbol}")  # fmt: skip

    def _plan_for(self, key: tuple[int, ...]) -> Plan:
        """The plan for these sizes of the symbols; the plans used last are kept."""
        return exclusively(self._planning, lambda: self._planned(key))

    def _planned(self, key: tuple[int, ...]) -> Plan:
        if key not in self._plans:
            sizes = dict(zip(self._symbols, key, strict=True))
            with collector_paused():
                self._plans[key] = Plan(self.source, self._updated, sizes, self.options)
            if len(self._plans) > PLANS_KEPT:
                self._plans.popitem(last=False)
        return self._plans[key]

    def prepare(self, /, **sizes: int) -> Executable:
        """Optimize and plan now for these sizes of the symbolic dims, rather than at the first call."""
        fitting = all(isinstance(size, int) and size >= 0 for size in sizes.values())
        if sizes.keys() != self._symbols.keys() or not fitting:
            raise CompileError(f"expected a size for each of {', '.join(self._symbols) or 'no symbols'}, got {sizes}",
                               remedy=f"call {self._prepare_call()}, or call f with arrays")  # fmt: skip
        self._latest = self._plan_for(tuple(sizes[symbol] for symbol in self._symbols))
        self._leave()
        return self

    def _prepare_call(self) -> str:
        return f"f.prepare({', '.join(f'{symbol}=128' for symbol in self._symbols)})"

    @property
    def plan(self) -> Plan:
        """The plan last used; made now where no size is open."""
        if self._latest is None:
            self.prepare()
        assert self._latest is not None
        return self._latest

    @property
    def graph(self) -> Graph:
        """The optimized graph: for the sizes last used, or with its symbols before the first call."""
        return self._symbolic.graph if self._open else self.plan.graph

    @property
    def _open(self) -> bool:
        """Whether sizes are symbols still, so that nothing is planned."""
        return self._latest is None and bool(self._symbols)

    @cached_property
    def _symbolic(self) -> Optimized:
        return self.options.pipeline.run(self.source, fast_math=self.options.fast_math)

    def sources(self, node: Node) -> tuple[Node, ...]:
        """The declared nodes that a node of the optimized graph stands for: several where nodes were merged."""
        moved = self.plan.optimized.moved
        return tuple(declared for declared in self.source.nodes if moved.get(declared, declared) is node)

    def replacement(self, declared: Node) -> Node | None:
        """The node of the optimized graph that holds a declared node's value, or None where it is not computed."""
        node = self.plan.optimized.moved.get(declared, declared)
        return node if node in set(self.plan.graph.nodes) else None

    @property
    def peak_bytes(self) -> int:
        """The bytes a run needs beside its inputs and variables, as planned.

        The native backend keeps memory of results beside them, for later ones: up to two arrays for each large one, as
        `report()` tells.
        """
        return self.plan.program.peak_bytes

    def levels(self) -> Levels:
        """The schedule: the nodes of each level, and how the level runs, where all sizes are known. Print it."""
        return unplanned(self.graph) if self._open else Levels(self.plan.program.levels())

    def report(self) -> Report:
        """What each pass did, and how the graph will run: buffers, peak bytes, FLOPs. Print it.

        Before the first call of a graph with symbolic sizes it tells of the passes only.
        """
        if self._open:
            return Report(self.source, {}, self._symbolic, None)
        plan = self.plan
        return Report(self.source, plan.sizes, plan.optimized, plan.program)

    def profile(self, /, *args: Any, **named: Any) -> Any:
        """Seconds per node and per level of one run on these arguments; variables keep their values."""
        feeds = self._feeds(args, named)
        plan = self._plan(feeds)
        targets = [np.empty_like(variable.ready().array) for variable in self._updated]
        with reading([variable.ready() for variable in plan.variables]) as arrays:
            values = dict(zip(plan.variables, arrays, strict=True))
            return plan.program.profile(feeds, values, [*self._targets, *targets])

    def to_dot(self, path: str | os.PathLike[str] | None = None) -> str:
        """The optimized graph as DOT text, also written to `path` when given."""
        return self.graph.to_dot(path)

    def __copy__(self) -> Executable:
        return self

    def __deepcopy__(self, memo: object) -> Executable:
        return self

    def __reduce__(self) -> NoReturn:
        raise GraphError("an executable cannot be pickled: it holds compiled code and locks",
                         remedy="pickle f.source, a graph, and compile it where it is loaded")  # fmt: skip

    def __str__(self) -> str:
        return str(self.graph)

    def __repr__(self) -> str:
        name = f" {self.source.name}" if self.source.name else ""
        return f"<Executable{name}({', '.join(map(str, self._names))}): {len(self.source)} nodes declared>"


def _renew_locks() -> None:
    for executable in _executables:
        executable.renew_lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_locks)
