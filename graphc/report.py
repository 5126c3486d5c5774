"""The report of an executable: what each pass did and how the graph will run."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass

from graphc.errors import CompileError
from graphc.executor import Level, Program
from graphc.ir import Graph
from graphc.pipeline import Optimized, Receipt

_RULES_WIDTH = 64


class Levels(tuple[Level, ...]):
    """The levels in the order they run. Printed one a line."""

    def __str__(self) -> str:
        return "\n".join(map(str, self))


def unplanned(graph: Graph) -> Levels:
    """The levels of a graph with symbolic sizes: what waits for what; times and threads are not known yet."""
    return Levels(Level(index, tuple(nodes), 1, (1,) * len(nodes), math.nan)
                  for index, nodes in enumerate(graph.levels()))  # fmt: skip


@dataclass(frozen=True)
class Report:
    """Passes with their receipts, then buffers, levels and cost of the program. Printed as text."""

    source: Graph
    sizes: Mapping[str, int]
    optimized: Optimized
    program: Program | None
    """None while sizes are symbols."""

    @property
    def passes(self) -> tuple[Receipt, ...]:
        """A receipt per pass: seconds, nodes before and after, the firings of each rule."""
        return self.optimized.receipts

    @property
    def peak_bytes(self) -> int:
        """The bytes a run needs beside its inputs and variables."""
        if self.program is None:
            raise CompileError("the peak is not known while sizes are symbols",
                               remedy="call the executable with arrays, or f.prepare with sizes")  # fmt: skip
        return self.program.peak_bytes

    def __str__(self) -> str:
        where = ", ".join(f"{name} = {size}" for name, size in self.sizes.items())
        lines = [f"{self.source.name or 'graph'}{f' with {where}' if where else ''}: "
                 f"{len(self.source)} nodes declared, {len(self.optimized.graph)} after passes"]  # fmt: skip
        lines += ["", f"{'pass':<28}{'ms':>8}{'before':>9}{'after':>9}  rules"]
        lines += [_pass_line(receipt) for receipt in self.passes]
        planned = "sizes are symbols: call it with arrays, or f.prepare with sizes, to plan levels and memory"
        return "\n".join([*lines, "", planned if self.program is None else str(self.program.describe())])


def _pass_line(receipt: Receipt) -> str:
    fired = ", ".join(f"{name} x{count}" for name, count in sorted(receipt.firings.counts.items()))
    facts = f"{receipt.name:<28}{receipt.seconds * 1e3:>8.2f}{receipt.before:>9}{receipt.after:>9}"
    margin = " " * (len(facts) + 2)
    remarks = textwrap.wrap(fired, _RULES_WIDTH, break_long_words=False)
    remarks += [receipt.firings.stopped] if receipt.firings.stopped else []
    return f"\n{margin}".join([f"{facts}  {remarks[0]}" if remarks else facts, *remarks[1:]])
