"""The files of `graphc train`: the learning curve, and the graphs as DOT and, where Graphviz is there, as SVG."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from graphc.demo.extras import needs
from graphc.demo.network import Epoch
from graphc.files import write_atomically


def learning_curve(epochs: Sequence[Epoch]) -> bytes:
    """Losses and held-out accuracy over the epochs, as a PNG."""
    with needs("matplotlib"):
        from matplotlib.figure import Figure
    numbers = [epoch.number for epoch in epochs]
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(numbers, [epoch.loss for epoch in epochs], "o-", markersize=3, label="training")
    left.plot(numbers, [epoch.held_out_loss for epoch in epochs], "o-", markersize=3, label="held out")
    left.set(xlabel="epoch", ylabel="mean cross-entropy", yscale="log")
    left.legend()
    right.plot(numbers, [100 * epoch.accuracy for epoch in epochs], "o-", markersize=3, color="tab:orange")
    right.set(xlabel="epoch", ylabel="held-out accuracy in %", ylim=(None, 100))
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.xaxis.get_major_locator().set_params(integer=True)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150)
    return buffer.getvalue()


def write_graph(dot: str, path: Path) -> list[Path]:
    """Write a graph's DOT text, and the SVG beside it where Graphviz can draw it; the files written."""
    write_atomically(path, dot)
    svg = drawn(dot)
    if svg is None:
        return [path]
    write_atomically(path.with_suffix(".svg"), svg)
    return [path, path.with_suffix(".svg")]


def drawn(dot: str) -> bytes | None:
    """The SVG that Graphviz draws, or None where its Python package or its program `dot` is missing."""
    try:
        import graphviz
    except ImportError:
        return None
    try:
        svg: bytes = graphviz.Source(dot).pipe(format="svg")
    except graphviz.ExecutableNotFound:
        return None
    return svg
