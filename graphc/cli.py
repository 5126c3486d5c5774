"""The command line: `graphc train` and `graphc ops`."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import graphc as gr

EXIT_CODES = """\
exit status:
  0    done
  1    it failed; a sentence on standard error says why
  2    the command line was not understood
  130  interrupted (Ctrl-C)
"""
TRAIN_EXAMPLES = """\
examples:
  graphc train                            digits in a few seconds, with every step shown
  graphc train --epochs 5 --quiet         only the result and the files
  graphc train --hidden 256 64 --lr 1e-3  two hidden layers
  graphc train --debug                    verify every pass and every value
"""
OPS_EXAMPLES = """\
examples:
  graphc ops             all ops and formulas, with what each has
  graphc ops tanh        one of them, with its gradient as a graph
  graphc ops nn.softmax  names are those under `gr.`
  graphc ops | grep cum  lines to search
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and give its exit status; every expected failure ends in a sentence on standard error."""
    chosen = parser().parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]  # a terminal that lacks × still gets the rest
    try:
        chosen.run(chosen)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read this has read enough: `graphc ops | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        return _end("Interrupted: stopped before the end. Files written so far are whole.", 130)
    except gr.GraphcError as error:
        return _end(str(error), 1)
    except OSError as error:
        return _end(f"{error.filename or 'a file'}: {error.strerror or error}", 1)
    return 0


def _end(sentence: str, status: int) -> int:
    print(sentence, file=sys.stderr)
    return status


def parser() -> argparse.ArgumentParser:
    """The command line that `graphc` takes."""
    top = _described(argparse.ArgumentParser, "graphc", "A static graph compiler with symbolic differentiation.",
                     "examples:\n  graphc train\n  graphc ops\n  graphc ops tanh\n")  # fmt: skip
    top.add_argument("--version", action="version", version=f"graphc {gr.__version__}")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    add = commands.add_parser
    _add_train(_described(add, "train", "Learn handwritten digits, and show every step.", TRAIN_EXAMPLES))
    _add_ops(_described(add, "ops", "List the ops, or tell more of one.", OPS_EXAMPLES))
    return top


def _described(make: Callable[..., Any], name: str, about: str, examples: str) -> argparse.ArgumentParser:
    help_line = {} if make is argparse.ArgumentParser else {"help": about}
    made: argparse.ArgumentParser = make(name, description=about, epilog=f"{examples}\n{EXIT_CODES}",
                                         formatter_class=argparse.RawDescriptionHelpFormatter, **help_line)  # fmt: skip
    return made


def _add_train(train: argparse.ArgumentParser) -> None:
    train.set_defaults(run=_train)
    add = train.add_argument
    add("--epochs", type=_count, default=30, metavar="N", help="passes over the pictures (%(default)s)")
    add("--batch", type=_count, default=64, metavar="N", help="pictures per step (%(default)s)")
    add("--lr", type=_rate, default=3e-3, help="Adam's learning rate (%(default)s)")
    add("--hidden", type=_count, default=[128], nargs="+", metavar="N", help="sizes of the hidden layers (128)")
    add("--seed", type=_seed, default=0, metavar="N", help="of the weights and the order of pictures (%(default)s)")
    add("--backend", choices=["auto", "numpy", "native"], default="auto", help="what runs the graph (%(default)s)")
    add("--threads", type=_count, metavar="N", help="threads of a run (as many as there are cores)")
    add("--out", type=Path, default=Path("graphc-train"), metavar="DIR", help="where files go (./%(default)s)")
    add("--quiet", action="store_true", help="print the result and the files only")
    add("--fast-math", action="store_true", help="allow rewrites that hold for real numbers only")
    add("--debug", action="store_true", help="check every pass and every value: slow")


def _add_ops(ops: argparse.ArgumentParser) -> None:
    ops.set_defaults(run=_ops)
    ops.add_argument("name", nargs="?", metavar="NAME", help="the op to tell of, by its name under `gr.`")


def _number(convert: Callable[[str], Any], fits: Callable[[Any], bool], expected: str) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        try:
            value = convert(text)
        except ValueError:
            value = None
        if value is None or not fits(value):
            raise argparse.ArgumentTypeError(f"expected {expected}, got {text!r}")
        return value

    return read


_count = _number(int, lambda value: value >= 1, "a whole number ≥ 1")
_seed = _number(int, lambda value: value >= 0, "a whole number ≥ 0")
_rate = _number(float, lambda value: 0 < value < float("inf"), "a number > 0")


def _train(chosen: argparse.Namespace) -> None:
    from rich.console import Console

    from graphc.demo.train import Settings, train

    settings = {name: value for name, value in vars(chosen).items() if name != "run"}
    train(Settings(**settings), Console(markup=False, highlight=False, emoji=False, soft_wrap=True))


def _ops(chosen: argparse.Namespace) -> None:
    from graphc import catalog

    text = catalog.page(chosen.name) if chosen.name else catalog.table()
    print("\n".join(map(_fitted, text.split("\n"))) if sys.stdout.isatty() and not chosen.name else text)


def _fitted(line: str) -> str:
    """A line cut to the width of the terminal."""
    width = shutil.get_terminal_size().columns
    return line if len(line) <= width else line[: width - 1] + "…"
