"""What ops there are and what each has: `graphc ops`."""

from __future__ import annotations

import difflib
import inspect
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import graphc as gr
from graphc import ops
from graphc.compiler import is_native
from graphc.samples import Samples

FACTS: dict[str, Callable[[Any], bool]] = {
    "type rule": lambda op: bool(getattr(op, "infer", None)), "derivative": lambda op: bool(getattr(op, "vjp", None)),
    "native code": lambda op: isinstance(op, gr.Op) and is_native(op),
    "samples": lambda op: bool(getattr(op, "samples", None)),
}  # fmt: skip
"""What an op may have, and how to tell from its declaration, or from the tables of the native backend."""
_LEGEND = "T type rule   D derivative   N native code   S samples   F formula: takes the rest from its ops"
_ROOMS = {"": ops, "nn.": gr.nn, "losses.": gr.losses, "random.": gr.random}


@dataclass(frozen=True)
class Entry:
    """An op, or a formula over ops, under the name that users call it by."""

    name: str
    function: Callable[..., Any]

    @property
    def op(self) -> gr.Op | None:
        """The op, also where the public name is a function that makes its nodes; None for a formula."""
        return self.function if isinstance(self.function, gr.Op) else gr.OPS.get(self.name)

    @property
    def family(self) -> tuple[str, str]:
        """The module that declares it, and what that says of itself."""
        name = self.function.__module__ or ""
        module = sys.modules.get(name)
        return name, (module and summary(module)) or "Declared by a program."

    @property
    def samples(self) -> Samples | None:
        """Where it is defined: what its tests are drawn from."""
        samples: Samples | None = getattr(self.op or self.function, "samples", None)
        return samples

    def has(self) -> dict[str, bool]:
        """Which of the facts are declared here. A formula has its own samples; the rest it takes from its ops."""
        return {fact: tells(self.op or self.function) for fact, tells in FACTS.items()}


def names() -> dict[str, Callable[..., Any]]:
    """Every name under `gr.` that makes nodes; then the ops that only operators and other ops make."""
    found = {room + name: function for room, module in _ROOMS.items() for name, function in _public(module)}
    return {**found, **{name: op for name, op in gr.OPS.items() if op not in found.values()}, **found}


def _public(module: ModuleType) -> Iterator[tuple[str, Callable[..., Any]]]:
    for name in module.__all__:
        value = getattr(module, name)
        if isinstance(value, gr.Op) or inspect.isfunction(value):
            yield name, value


def entries() -> list[Entry]:
    """One entry per op and formula, sorted; where it has several names, the one it was declared under."""
    found: dict[Callable[..., Any], str] = {}
    for name, function in names().items():
        if function not in found or name == function.__name__:
            found[function] = name
    return sorted((Entry(name, function) for function, name in found.items()), key=lambda entry: entry.name)


def lookup(name: str) -> Entry:
    """The op that users call by this name; raises GraphError with the closest names where there is none."""
    known = names()
    short = name.removeprefix("gr.")
    for candidate in (room + short for room in _ROOMS):
        if candidate in known:
            return next(entry for entry in entries() if entry.function is known[candidate])
    close = ", ".join(difflib.get_close_matches(short, known, n=5))
    remedy = f"did you mean {close}?" if close else "`graphc ops` lists them"
    raise gr.GraphError(f"no op is called {name}", remedy=remedy)


def table() -> str:
    """All ops by family, each with what it has and its first sentence."""
    families: dict[tuple[str, str], list[Entry]] = {}
    for entry in entries():
        families.setdefault(entry.family, []).append(entry)
    width = max(len(entry.name) for entry in entries())
    lines = [f"{len(entries())} ops and formulas over ops; `graphc ops NAME` tells more of one.", _LEGEND, _by_numpy()]
    for (_, about), members in sorted(families.items()):
        lines += ["", about]
        lines += [f"  {entry.name:<{width}}  {_letters(entry)}  {summary(entry.function)}" for entry in members]
    return "\n".join(lines)


def _by_numpy() -> str:
    """Which ops have no native code."""
    has = {entry.name: entry.has()["native code"] for entry in entries() if entry.op}
    missing = [name for name, native in has.items() if not native]
    if len(missing) == len(has):
        return "No native code: llvmlite is not installed, so that NumPy computes all of them."
    return f"NumPy computes, also beside native code: {', '.join(missing) or 'none'}."


def _letters(entry: Entry) -> str:
    letters = "".join(fact[0].upper() if there else "-" for fact, there in entry.has().items())
    return letters if entry.op else "F" + letters[1:]


def summary(documented: Any) -> str:
    """The first paragraph of the documentation, on one line."""
    return " ".join((getattr(documented, "__doc__", None) or "").strip().split("\n\n")[0].split())
