"""Golden files: what a pass makes of a graph, as text that is read, run and compared.

A file `tests/goldens/PASS/what_it_shows.txt` reads

    # Two equal nodes become one.                    one sentence: what this shows
    # sizes: batch=4                                 directives, one a line, where the defaults do not do
    graph(%x: f32[batch]) {
      %tanh = tanh(%x) : f32[batch]
      %tanh_1 = tanh(%x) : f32[batch]
      %add = add(%tanh, %tanh_1) : f32[batch]
      return %add
    }
    ---
    graph(%x: f32[batch]) {
      ...
    }

The folder is the pass. The runner reads the input, runs the pass, compares its text with the expected one, and executes
both on random data. `pytest tests/test_goldens.py --bless` writes what the passes make now: then read the diff. Write a
new file as its sentence and its input, without `---`, and bless it. One idea each, and each side under 15 lines.

Directives
    # pass: fold{max_bytes=64}        the pass with options, or a pipeline, in place of the folder's name
    # context: fast_math=True         what the compiler hands to the passes' parameters
    # sizes: batch=4, n=3             the sizes of symbolic dims (by default 3, 4, 5, ... in the order met)
    # draw: x 0.5 2, i 0 3            the range of an input's or variable's values; by default normal, integers 0 to 9
    # firings: neg_neg 2              the rules that fire, and how often

Both sides must agree bit for bit, on special values too, where the pass is of kind `exact`; otherwise within a few
thousand ulps on random data. Every pass also runs over the goldens of every other pass, and what it makes there must
verify and compute the same.
"""

from __future__ import annotations

import ast
import importlib
import pkgutil
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import graphc.passes
from graphc.evaluate import evaluate
from graphc.ir import Graph
from graphc.pipeline import Pass, Pipeline, parse_pipeline
from graphc.samples import array_of
from graphc.text import parse
from graphc.types import SHORT_NAMES, Dim
from graphc.verify import verify

FOLDER = Path(__file__).parent / "goldens"
SPECIAL = (0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -1.0)
DIRECTIVES = ("pass", "context", "sizes", "draw", "firings")


@dataclass(frozen=True)
class Golden:
    """One golden file."""

    path: Path
    head: tuple[str, ...]
    before: str
    after: str

    @property
    def directives(self) -> dict[str, str]:
        """What the lines after the sentence say."""
        found = dict(line.removeprefix("# ").split(": ", 1) for line in self.head[1:])
        unknown = found.keys() - set(DIRECTIVES)
        assert not unknown, f"{self.path}: no directive is called {', '.join(unknown)}"
        return found

    @property
    def pipeline(self) -> Pipeline:
        """The passes that the file is about."""
        return parse_pipeline(self.directives.get("pass", self.path.parent.name), passes().values())

    @property
    def context(self) -> dict[str, Any]:
        """What the compiler would hand to the passes."""
        sizes = {"sizes": dict(_pairs(self.directives["sizes"]))} if "sizes" in self.directives else {}
        return sizes | dict(_pairs(self.directives.get("context", "")))

    def text(self) -> str:
        """The file's content."""
        return "\n".join((*self.head, self.before, "---", self.after, ""))


def _pairs(text: str) -> Iterator[tuple[str, Any]]:
    for part in filter(None, map(str.strip, text.split(","))):
        name, value = part.split("=")
        yield name, ast.literal_eval(value)


def read(path: Path) -> Golden:
    """Read a golden file; the expected text is '' where it is still to be blessed."""
    before, _, after = path.read_text("utf-8").partition("\n---\n")
    lines = before.strip().split("\n")
    count = next(i for i, line in enumerate(lines) if not line.startswith("#"))
    assert lines[0].startswith("# "), f"{path}: expected a sentence in the first line"
    assert lines[0].endswith("."), f"{path}: expected a sentence in the first line"
    return Golden(path, tuple(lines[:count]), "\n".join(lines[count:]), after.strip())


def all_goldens(folder: Path = FOLDER) -> list[Golden]:
    """Every golden file about a pass."""
    return [read(path) for path in sorted(folder.glob("*/*.txt")) if path.parent.name != "errors"]


@cache
def passes() -> dict[str, Pass]:
    """Every pass of graphc.passes by name."""
    found: dict[str, Pass] = {}
    for module in pkgutil.iter_modules(graphc.passes.__path__):
        members = vars(importlib.import_module(f"graphc.passes.{module.name}")).values()
        found |= {one.name: one for one in members if isinstance(one, Pass)}
    return found


def blessed(golden: Golden) -> Golden:
    """The golden with its input as it prints and the output that its passes make now."""
    before = parse(golden.before)
    after = golden.pipeline.run(before, checked=True, **golden.context).graph
    return replace(golden, before=str(before), after=str(after))


def check(golden: Golden) -> None:
    """Raise AssertionError unless the passes make the expected text, and both sides compute the same."""
    before, expected = parse(golden.before), parse(golden.after)
    verify(before)
    verify(expected)
    assert str(before) == golden.before, "the input does not print as it is written: bless it"
    result = golden.pipeline.run(before, checked=True, **golden.context)
    assert str(result.graph) == golden.after
    if "firings" in golden.directives:
        fired = {name: count for receipt in result.receipts for name, count in receipt.firings.counts.items()}
        assert _show(fired) == golden.directives["firings"]
    exact = all(one.kind_under(golden.context) == "exact" for one in golden.pipeline)
    compare(golden, before, expected, exact=exact)


def _show(fired: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(fired.items()))


def check_other(golden: Golden, one: Pass) -> None:
    """Run a pass over the input of another pass's golden; the result must verify and compute the same."""
    before = parse(golden.before)
    static = _specialized(before, sizes_of(golden, before))
    after = Pipeline((one,)).run(static, checked=True, **golden.context).graph
    compare(golden, before, after, exact=one.kind_under(golden.context) == "exact")


def sizes_of(golden: Golden, graph: Graph) -> dict[str, int]:
    """The size of every symbol in the inputs."""
    dims = [dim for node in graph.inputs for dim in node.shape if isinstance(dim, Dim)]
    symbols = sorted({name for dim in dims for name in dim.names()})
    return {name: 3 + i for i, name in enumerate(symbols)} | golden.context.get("sizes", {})


def _specialized(graph: Graph, sizes: Mapping[str, int]) -> Graph:
    return passes()["specialize"](graph, sizes=sizes)


def compare(golden: Golden, before: Graph, after: Graph, *, exact: bool) -> None:
    """Execute two graphs on the same random feeds; raise AssertionError where their outputs differ."""
    sizes = sizes_of(golden, before)
    assert _interface(before, sizes) == _interface(after, sizes), "the inputs are not the same"
    for special in (False, True) if exact else (False,):
        feed = _feed(golden, before, sizes, special=special)
        pairs = zip(execute(before, feed, sizes), execute(after, feed, sizes), strict=True)
        for number, (wanted, got) in enumerate(pairs):
            assert same(wanted, got, exact=exact), (
                f"output {number} computes {got}, the input computes {wanted}, from {feed}"
            )


def _interface(graph: Graph, sizes: Mapping[str, int]) -> list[tuple[str | None, Any]]:
    return [(node.name, node.type.substitute(sizes)) for node in graph.inputs]


def execute(graph: Graph, feed: Mapping[str, Any], sizes: Mapping[str, int]) -> Sequence[Any]:
    """The outputs by the reference semantics, where inputs and variables are fed by name."""
    if any(_has_symbols(value) for node in graph.nodes for value in node.attrs.values()):
        graph = _specialized(graph, sizes)
    leaves = [node for node in graph.nodes if node.op.leaf]
    return evaluate(graph.outputs, {leaf: feed[leaf.name] for leaf in leaves})


def _has_symbols(value: Any) -> bool:
    return isinstance(value, Dim) or (isinstance(value, tuple) and any(map(_has_symbols, value)))


def _feed(golden: Golden, graph: Graph, sizes: Mapping[str, int], *, special: bool) -> dict[str, Any]:
    """Random values for the inputs and variables of a graph, the same on every run."""
    ranges = {name: f"({low},{high})" for name, low, high in map(str.split, _parts(golden.directives.get("draw", "")))}
    rng = np.random.default_rng(zlib.crc32(golden.path.name.encode()))
    feed = {}
    for leaf in graph.nodes:
        if leaf.op.leaf:
            kind = leaf.array_type.substitute(sizes)
            shape = ",".join(map(str, kind.shape))
            value = array_of(f"{SHORT_NAMES[kind.dtype]}[{shape}]{ranges.get(leaf.name, '')}", rng)
            feed[leaf.name] = _with_special_values(value, rng) if special and value.dtype.kind == "f" else value
    return feed


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _with_special_values(value: Any, rng: np.random.Generator) -> Any:
    return np.where(rng.random(value.shape) < 0.6, rng.choice(SPECIAL, value.shape), value).astype(value.dtype)


def same(wanted: Any, got: Any, *, exact: bool) -> bool:
    """Whether two values agree: in dtype and shape, and by bits (any NaN is NaN) or within 4096 ulps of the largest."""
    a, b = np.asarray(wanted), np.asarray(got)
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    if a.dtype.kind != "f":
        return np.array_equal(a, b)
    if exact:
        return np.array_equal(a, b, equal_nan=True) and bool(np.all(np.isnan(a) | (np.signbit(a) == np.signbit(b))))
    finite = np.abs(a[np.isfinite(a)])
    tolerance = 4096 * np.finfo(a.dtype).eps * max(1.0, finite.max(initial=0.0))
    return np.allclose(a, b, rtol=0, atol=tolerance, equal_nan=True)
