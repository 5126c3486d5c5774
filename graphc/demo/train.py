"""The story that `graphc train` tells: the data, both graphs, the passes, the training, the result, the files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

import graphc as gr
from graphc.demo import digits as data
from graphc.demo.extras import needs
from graphc.demo.network import Epoch, Network, Training, declare
from graphc.demo.pictures import drawn, learning_curve, write_graph
from graphc.files import write_atomically


@dataclass(frozen=True)
class Settings:
    """What the user of the command line chose."""

    epochs: int
    batch: int
    lr: float
    hidden: tuple[int, ...]
    seed: int
    backend: str
    threads: int | None
    out: Path
    quiet: bool
    fast_math: bool
    debug: bool


def train(settings: Settings, console: Console) -> None:
    """Train on the digits and show every step. Raises GraphcError where a package is missing, OSError for the files."""
    with needs("matplotlib"):
        import matplotlib  # noqa: F401  # before the work, not after it
    settings.out.mkdir(parents=True, exist_ok=True)
    say = _quiet if settings.quiet else console
    digits = data.load()
    _show_data(digits, say)
    network = declare(settings.hidden, settings.seed)
    back = gr.gradients(network.loss, network.parameters)
    training = Training(network, lr=settings.lr, batch=settings.batch, seed=settings.seed, backend=settings.backend,
                        threads=settings.threads, fast_math=settings.fast_math, debug=settings.debug)  # fmt: skip
    _show_graphs(network, back, training, say)
    epochs = list(_told(training.run(digits, settings.epochs), settings.epochs, say))
    _show_result(digits, epochs[-1], console, say)
    _write(network, back, epochs, settings.out, console)


_quiet = Console(quiet=True)


def _heading(title: str, console: Console) -> None:
    console.print(f"\n{title}\n", style="bold")


def _show_data(digits: data.Digits, console: Console) -> None:
    _heading("The data: handwritten digits", console)
    blocks = " ▄▀█" if console.encoding.startswith("utf") else " .'#"
    console.print(data.draw(digits, width=console.width, characters=blocks))
    console.print()
    console.print(data.describe(digits))


def _show_graphs(network: Network, back: gr.Backward, training: Training, console: Console) -> None:
    _heading("The graph, as declared", console)
    console.print(str(network.graph))
    _heading("Its backward graph: each node with the forward node and the rule it came from", console)
    console.print(_folded(str(back), console))
    _heading("The gradient at one node, asked for by back.explain(logits)", console)
    console.print(back.explain(network.logits))
    _heading(f"What the passes made of the training step, for batches of {training.batch}", console)
    console.print(str(training.step.prepare(batch=training.batch).report()))
    _heading("How it runs: the nodes of a level are independent of each other", console)
    console.print(str(training.step.levels()))


def _folded(text: str, console: Console) -> str:
    """Graph text for a terminal: a remark that does not fit beside its line goes below it."""
    if not console.is_terminal:
        return text
    parts = [(line, *line.partition("  # ")) for line in text.split("\n")]
    return "\n".join(f"{code.rstrip()}\n      # {remark}" if mark and len(line) > console.width else line
                     for line, code, mark, remark in parts)  # fmt: skip


def _told(epochs: Iterable[Epoch], total: int, console: Console) -> Iterator[Epoch]:
    """The epochs, each told in a line, above a progress bar where there is a terminal for one."""
    _heading("Training", console)
    console.print("epoch    loss   held-out loss   held-out accuracy")
    columns = (TextColumn("epoch"), MofNCompleteColumn(), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        for epoch in progress.track(epochs, total=total):
            console.print(f"{epoch.number:>5}{epoch.loss:>8.4f}{epoch.held_out_loss:>16.4f}{epoch.accuracy:>20.2%}")
            yield epoch


def _show_result(digits: data.Digits, last: Epoch, console: Console, say: Console) -> None:
    _heading("What the network takes the held-out digits for", say)
    say.print(data.confusion(digits.held_out_classes, last.predicted))
    say.print()
    right = last.predicted == digits.held_out_classes
    console.print(f"held-out accuracy {last.accuracy:.2%}: {right.sum()} of {right.size} digits", style="bold green")


def _write(network: Network, back: gr.Backward, epochs: list[Epoch], out: Path, console: Console) -> None:
    curve = out / "learning-curve.png"
    write_atomically(curve, learning_curve(epochs))
    forward = write_graph(network.graph.to_dot(), out / "forward.dot")
    backward = write_graph(back.to_dot(), out / "backward.dot")
    console.print(f"files in {out}: {', '.join(path.name for path in [curve, *forward, *backward])}")
    if drawn("digraph {}") is None:
        console.print("drew no SVG: Graphviz's program `dot`, or its Python package, is not installed")
