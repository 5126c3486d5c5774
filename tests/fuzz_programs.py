"""Random programs for the native backend: whatever moves, joins, looks up, reduces and multiplies, in any order.

    program = drawn(seed)
    made = program.made("float64")     # inputs, outputs and updates over fresh nodes, and arrays to feed them

A program is a list of steps that grow a pool of values. The same steps make the same formulas in any dtype, so the
float64 twin tells what a float32 program should have computed. Ops with jumps (comparisons, floor, argmax) only get
values that every executor has to the last bit, and with gradients ops with kinks do too; everything else is
continuous, so that no rounding error makes a difference of its own. Steps that do not fit make nothing, nor do those
whose values grow large.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from fuzz_picking import Picker, Unfit
from fuzz_steps import KINDS

import graphc as gr
from graphc.evaluate import evaluate

SIZES = (1, 2, 3, 4, 5, 7, 8, 9, 12, 16, 17, 24, 31, 33)
LARGEST = 1e3
"""Values beyond it end where they are made: nothing is built on them."""
MOST_ELEMENTS = 20_000


@dataclass(frozen=True)
class Program:
    """What to build: steps, each a kind and a number that all its choices follow from."""

    seed: int
    dtype: str
    rows: int
    columns: int
    steps: tuple[tuple[int, int], ...]
    order: int = 0
    """Whether the gradients of a loss are among the outputs, or also those of their weighted sum."""
    symbolic: bool = False
    updates: bool = False
    other_rows: int = 3
    """A second size for the symbolic axis."""

    @cached_property
    def fitting(self) -> frozenset[int]:
        """The steps that make values of moderate size, in float64."""
        growth = _Growth(self, "float64", None)
        return frozenset(growth.run())

    def made(self, dtype: str | None = None) -> Made:
        """Fresh nodes for all of it."""
        growth = _Growth(self, dtype or self.dtype, self.fitting)
        growth.run()
        return growth.made()

    def feeds(self, dtype: str | None = None, rows: int | None = None) -> list[np.ndarray]:
        """Arrays for the inputs: floats are numbers that the program's dtype has."""
        rng = np.random.default_rng(self.seed)
        size = self.rows if rows is None else rows
        return [_array(rng, self.kind_of(spec), [size if n == "n" else n for n in shape], dtype or self.dtype)
                for _, shape, spec in self.inputs]  # fmt: skip

    def kind_of(self, kind: str) -> str:
        """How the numbers of an input are drawn."""
        return {"float16": "half", "float64": "smooth" if self.has_slopes else kind}.get(
            self.dtype, kind) if kind == "float" else kind  # fmt: skip

    @property
    def has_slopes(self) -> bool:
        """Whether derivatives are those of differences: no kink is hit, and no gradient stopped."""
        return self.dtype == "float64" and self.order > 0 and self.seed % 2 == 0


    @property
    def inputs(self) -> tuple[tuple[str, tuple[Any, ...], str], ...]:
        """Name, shape ("n" is the symbolic size) and kind of each input."""
        m = self.columns
        return (("x", ("n", m), "float"), ("b", (m,), "float"), ("c", ("n", 1), "float"), ("s", (), "float"),
                ("w", (m, m), "float"), ("y", (2, "n", m), "float"), ("i", ("n", m), "int64"),
                ("k", (m,), "int8"), ("j", ("n",), "place"), ("t", ("n", m), "bool"))  # fmt: skip


@dataclass
class Made:
    """A program over nodes."""

    inputs: list[gr.Node]
    outputs: list[gr.Node]
    updates: dict[gr.Node, gr.Node]
    loss: gr.Node | None
    exact: list[bool]
    """Of each output: whether its bits are the same on any backend."""
    variables: list[gr.Node] = field(default_factory=list)


def drawn(seed: int, size: int = 14) -> Program:
    """A program from a number."""
    rng = np.random.default_rng([seed, 77])
    pick = lambda values, p=None: values[int(rng.choice(len(values), p=p))]  # noqa: E731
    steps = tuple((int(rng.integers(len(KINDS))), int(rng.integers(2**31))) for _ in range(rng.integers(2, size + 1)))
    rows, columns = pick(SIZES), pick(SIZES)
    if rng.random() < 0.06:
        rows, columns = (0, columns) if rng.random() < 0.7 else (rows, 0)
    return Program(seed, pick(("float64", "float32", "float16"), (0.5, 0.4, 0.1)), rows, columns, steps,
                   pick((0, 1, 2), (0.4, 0.4, 0.2)), bool(rng.random() < 0.25), bool(rng.random() < 0.3),
                   pick((0, 1, 2, 5, 8, 33)))  # fmt: skip


def smaller(program: Program, fails: Callable[[Program], bool]) -> Program:
    """A program with as little as possible that still fails."""
    changed = True
    while changed:
        changed = False
        for candidate in _candidates(program):
            if fails(candidate):
                program, changed = candidate, True
                break
    return program


def _candidates(program: Program) -> list[Program]:
    """Programs that are a little smaller."""
    count = len(program.steps)
    spans = [(start, min(start + width, count)) for width in (8, 4, 2, 1) for start in range(0, count, width)]
    found = [replace(program, steps=program.steps[:start] + program.steps[end:]) for start, end in reversed(spans)]
    found += [replace(program, **{name: value}) for name, value in (
        ("order", 0), ("order", 1), ("updates", False), ("symbolic", False), ("rows", 2), ("columns", 2),
        ("rows", 3), ("columns", 3), ("dtype", "float64")) if getattr(program, name) > value
        or (name == "dtype" and program.dtype != value)]  # fmt: skip
    return found


def _array(rng: np.random.Generator, kind: str, shape: Sequence[int], dtype: str) -> np.ndarray:
    if kind == "bool":
        return rng.random(shape) < 0.5
    if kind == "place":
        return rng.integers(0, 1, shape) if not shape or not np.prod(shape) else rng.integers(-1, 1, shape)
    if kind.startswith("int"):
        return rng.integers(-5, 6, shape).astype(kind)
    values = rng.standard_normal(shape) * rng.choice([0.25, 1.0], shape)
    if kind != "smooth":
        values = np.where(rng.random(shape) < 0.5, np.round(values * 4) / 4, values)
    return np.asarray(values.astype({"half": "float16", "smooth": "float64"}.get(kind, "float32")), dtype)


class _Growth(Picker):
    """A pool of values that steps add to. Without `fitting` it finds out, by their values, which steps to keep."""

    def __init__(self, program: Program, dtype: str, fitting: frozenset[int] | None) -> None:
        self.program, self.dtype, self.fitting = program, dtype, fitting
        self.own_dtype, self.columns, self.has_slopes = program.dtype, program.columns, program.has_slopes
        rng = np.random.default_rng([program.seed, 5])
        rows = "n" if program.symbolic else program.rows
        self.inputs = [gr.placeholder(name, [rows if n == "n" else n for n in shape], dtype if kind == "float" else {
            "place": "int64"}.get(kind, kind)) for name, shape, kind in program.inputs]  # fmt: skip
        m = program.columns
        self.variables = [gr.variable(name, _array(rng, program.kind_of("float"), shape, dtype), dtype=dtype)
                          for name, shape in (("v", (m,)), ("u", (m, m)))]  # fmt: skip
        self.nodes = [*self.inputs, *self.variables]
        self.exact = dict.fromkeys(self.nodes, True)
        self.values: dict[gr.Node, Any] = {}
        if fitting is None:
            self.values = dict(zip(self.inputs, program.feeds("float64"), strict=True))
        self.rng = rng
        self.kinks = program.order == 0

    def run(self) -> list[int]:
        """Take all steps, or those that fit; gives the numbers of those taken."""
        return [number for number in range(len(self.program.steps)) if self._step(number)]

    def _step(self, number: int) -> bool:
        if self.fitting is not None and number not in self.fitting:
            return False
        kind, seed = self.program.steps[number]
        self.rng = np.random.default_rng(seed)
        try:
            grown = KINDS[kind % len(KINDS)](self)
            pairs = [pair if isinstance(pair, tuple) else (pair, False) for pair in
                     (grown if isinstance(grown, list) else [grown])]  # fmt: skip
            if self.fitting is None and not all(self._is_moderate(node) for node, _ in pairs):
                return False
        except (gr.GraphcError, Unfit):
            return False
        for node, exact in pairs:
            self.nodes.append(node)
            self.exact[node] = self.exact.get(node, False) or exact
        return True

    def _is_moderate(self, node: gr.Node) -> bool:
        shape = [self.program.rows if not isinstance(dim, int) else dim for dim in node.shape]
        if np.prod(shape) > MOST_ELEMENTS or len(shape) > 5:
            return False
        [value] = evaluate([node], self.values)
        self.values[node] = value
        value = np.asarray(value)
        if value.dtype.kind == "f":
            return bool(np.all(np.isfinite(value)) and np.all(np.abs(value) <= LARGEST))
        return bool(value.dtype.kind == "b" or not value.size or np.abs(value.astype("f8")).max() <= 1e9)

    def made(self) -> Made:
        """Outputs: the last values and some others, a loss with its gradients; updates of the variables."""
        rng = np.random.default_rng([self.program.seed, 6])
        own = self.nodes[len(self.inputs) :]
        chosen = [own[-1], *(own[int(i)] for i in rng.integers(0, len(own), rng.integers(0, 3)))]
        loss = None
        if self.program.order:
            floats = [node for node in own[2:] if node.type.is_float] or self.variables[:1]
            loss = self._total(floats[-1]) + self._total(floats[len(floats) // 2])
            wrt = [node for node in (*self.inputs, *self.variables) if node.type.is_float]
            first = list(gr.gradients(loss, wrt, unconnected="zero"))
            chosen += [loss, *first]
            if self.program.order == 2:
                total = gr.add_n(*[self._total(node) for node in first])
                chosen += list(gr.gradients(total, wrt, unconnected="zero"))
        updates = {}
        if self.program.updates:
            for variable in self.variables:
                fits = [n for n in own if n.shape == variable.shape and n.type.is_float]
                updates[variable] = fits[-1].astype(variable.dtype) * 0.5 + variable * 0.25 if fits else variable * 0.5
        return Made(self.inputs, chosen, updates, loss, [self.exact.get(node, False) for node in chosen],
                    self.variables)  # fmt: skip

    def _total(self, node: gr.Node) -> gr.Node:
        return gr.sum(gr.sin(node.astype(self.dtype) + 0.5))
