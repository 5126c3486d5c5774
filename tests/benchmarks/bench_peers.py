"""A step of each workload on graphc against the same step on other frameworks: ratios, time to first result, memory.

    python tests/benchmarks/bench_peers.py [--only NAME,...] [--peer NAME,...|none] [--seconds 0.2] [--rounds 5]

Each framework runs in a process of its own. They take turns: while one runs, the others are stopped, so that none of
their threads can take a core. Results are compared with float64 before anything is timed. What is not installed is
left out and named.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from cases import CASES, MAIN, PRODUCTS, Case

HERE = Path(__file__).parent
OURS = "graphc"
PEERS = {
    OURS: "graphc:native", "jax": "jax:jit", "jax-scan": "jax:scan", "torch": "torch:eager",
    "compile": "torch:compile", "numpy": "numpy:hand",
    "casadi": "casadi:buffer", "casadi-fresh": "casadi:fresh", "casadi-call": "casadi:call",
    "casadi-c": "casadi:c", "pytensor": "pytensor:c", "pytensor-numba": "pytensor:numba",
}  # fmt: skip
SMALL = ("rosenbrock", "logistic", "mlp_small", "chain200", "hvp")
FORMS = {
    "jax-scan": ("lstm", "chain200", "chain2000"), "numpy": (*PRODUCTS, "hvp", "rosenbrock"),
    **dict.fromkeys(("casadi", "casadi-fresh", "casadi-call"), (*SMALL, "chain2000")),
    **dict.fromkeys(("casadi-c", "pytensor", "pytensor-numba"), SMALL),  # chain2000 takes them minutes to build
}  # fmt: skip
"""Those written, or built in reasonable time, for some workloads only."""
TOLERANCE = {"float32": 2e-4, "float64": 1e-10}
"""The largest difference from float64, relative to the norm of each result."""

STEPS_CHECKED = 3
"""The first step may take another way than those after it, and training steps follow from each other."""

STOP, GO = getattr(signal, "SIGSTOP", None), getattr(signal, "SIGCONT", None)


class Measured(NamedTuple):
    """One framework on one workload: seconds a step, seconds to the first result, error, bytes."""

    best: float
    median: float
    first: float
    error: float
    peak: int


class Failed(Exception):
    """What keeps a framework from being measured."""


class Child:
    """A process with one framework and one workload, stopped whenever it has nothing to do."""

    def __init__(self, peer: str, case: Case, caches: str, patience: float, python: str = sys.executable) -> None:
        kept = {
            "TORCHINDUCTOR_CACHE_DIR": f"{caches}/torch",
            "PYTENSOR_FLAGS": f"base_compiledir={caches}/pytensor",
            "NUMBA_CACHE_DIR": f"{caches}/numba",
        }
        environment = kept | os.environ | {"GRAPHC_CACHE": f"{caches}/graphc"}
        command = [python, str(HERE / "peer.py"), PEERS[peer], case.name]
        pipe = subprocess.PIPE
        self.patience = patience
        try:
            self.process = subprocess.Popen(
                command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=environment, bufsize=1
            )
        except OSError as error:
            raise Failed(f"{python} cannot be run: {error.strerror}") from error
        self._answer()

    def ask(self, command: str, **arguments: Any) -> Any:
        """The answer to a command, while which only this process runs."""
        assert self.process.stdin is not None
        self._signal(GO)
        self.process.stdin.write(json.dumps([command, arguments]) + "\n")
        self.process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self.process.stdout is not None
        timer = threading.Timer(self.patience, self.process.kill)
        timer.start()
        line = self.process.stdout.readline()
        expired = not timer.is_alive()
        timer.cancel()
        if not line:
            raise Failed(f"over {self.patience:.0f} s" if expired else self._last_words())
        self._signal(STOP)
        answer = json.loads(line)
        if "error" in answer:
            raise Failed(answer["error"].splitlines()[0])
        return answer

    def _last_words(self) -> str:
        assert self.process.stderr is not None
        lines = self.process.stderr.read().strip().splitlines()
        return lines[-1] if lines else "ended without a word"

    def _signal(self, number: Any) -> None:
        if number is not None:
            self.process.send_signal(number)

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.process.communicate()


def error_of(folder: Path, reference: Sequence[Any]) -> float:
    """The largest difference of saved results from the reference, relative to the norm of each; NaN where one has any.

    Raises Failed where there are not as many results, or of other shapes.
    """
    saved = len(list(folder.iterdir()))
    if saved != len(reference):
        raise Failed(f"saved {saved} results, not {len(reference)}")
    errors = []
    for number, expected in enumerate(reference):
        result = np.load(folder / f"{number}.npy").astype("f8")
        if result.shape != np.shape(expected):
            raise Failed(f"result {number} has shape {result.shape}, not {np.shape(expected)}")
        errors.append(float(np.linalg.norm(np.ravel(result - expected)) / (np.linalg.norm(np.ravel(expected)) or 1)))
    return float(np.max(errors))


def checked(child: Child, case: Case, reference: Sequence[Any], command: str) -> tuple[float, float]:
    """Seconds to the first result and the error of what a command saved; raises Failed where that is too large."""
    building = command == "build"
    with tempfile.TemporaryDirectory() as folder:
        steps = {"steps": STEPS_CHECKED} if building else {}
        seconds = child.ask(command, folder=folder, **steps)["seconds"]
        error = error_of(Path(folder), reference if building else reference[: len(reference) // STEPS_CHECKED])
    if not error <= TOLERANCE[case.dtype]:
        raise Failed(f"differs from float64 by {error:.1e}")
    return seconds, error


def reference_of(case: Case) -> list[Any]:
    """The results in float64."""
    from workloads import WORKLOADS

    workload = WORKLOADS[case.name]
    return list(workload.reference(STEPS_CHECKED)) if case.trains else list(workload.reference(1)) * STEPS_CHECKED


@contextlib.contextmanager
def built(peer: str, case: Case, caches: str, reference: Sequence[Any], patience: float,
          python: str = sys.executable) -> Iterator[Any]:  # fmt: skip
    """A process that has its first results, those checked; and the seconds they took, and their error."""
    child = Child(peer, case, caches, patience, python)
    try:
        yield child, checked(child, case, reference, "build")
    finally:
        child.close()


@contextlib.contextmanager
def noted(found: dict[str, Any], peer: str) -> Iterator[None]:
    """Where a framework fails, that is what is found of it; the others go on."""
    try:
        yield
    except Failed as failure:
        found[peer] = failure


def measure(case: Case, peers: Mapping[str, str], seconds: float, rounds: int, patience: float) -> dict[str, Any]:
    """The figures of each framework, which come with its Python, or what failed; and graphc's from a warm cache."""
    reference = reference_of(case)
    found: dict[str, Any] = {}
    with contextlib.ExitStack() as stack:
        caches = stack.enter_context(tempfile.TemporaryDirectory())
        running = {}
        for peer, python in peers.items():
            with noted(found, peer):
                running[peer] = stack.enter_context(built(peer, case, caches, reference, patience, python))
        found |= in_turns(case, running, seconds, rounds, reference)
        found["warm"] = float("nan")
        with contextlib.suppress(Failed), built(OURS, case, caches, reference, patience) as (_, (warm, _)):
            found["warm"] = warm
    return {peer: found[peer] for peer in (*peers, "warm")}


def in_turns(case: Case, running: Mapping[str, tuple[Any, tuple[float, float]]], seconds: float, rounds: int,
             reference: Sequence[Any]) -> dict[str, Any]:  # fmt: skip
    """The figures of frameworks that have their first results, or what failed: they take so many turns."""
    found: dict[str, Any] = {}
    turns: dict[str, list[Any]] = {peer: [] for peer in running}
    for peer in [*running] * rounds:
        if peer not in found:
            with noted(found, peer):
                turns[peer].append(running[peer][0].ask("run", seconds=seconds))
    for peer, (child, start) in running.items():
        if peer not in found:
            with noted(found, peer):
                found[peer] = figures(case, child, start, turns[peer], reference)
    return found


def figures(case: Case, child: Child, start: tuple[float, float], turns: Sequence[Any],
            reference: Sequence[Any]) -> Measured:  # fmt: skip
    """What a framework took, from its start and its turns; its results are still right after those."""
    first, error = start
    if not case.trains:
        error = max(error, checked(child, case, reference, "again")[1])
    best, median = min(turn["best"] for turn in turns), statistics.median(turn["median"] for turn in turns)
    return Measured(best, median, first, error, child.ask("peak")["bytes"])


def report(case: Case, found: dict[str, Any]) -> list[str]:
    """A line for each framework, its times by graphc's; graphc's own says by how much the best peer is slower."""
    ours, warm = found[OURS], found.pop("warm")
    measured = {peer: one for peer, one in found.items() if isinstance(one, Measured)}
    lines = [f"{case.name:14s} {peer:14s} {one}" for peer, one in found.items() if isinstance(one, Failed)]
    if not isinstance(ours, Measured):
        return lines
    for peer, one in measured.items():
        others = [one] if peer != OURS else [other for name, other in measured.items() if name != OURS] or [ours]
        ratios = [min(getattr(other, time) for other in others) / getattr(ours, time) for time in ("best", "median")]
        lines.append(
            f"{case.name:14s} {peer:14s} {one.best * 1e6:11.2f} {one.median * 1e6:11.2f} {ratios[0]:7.2f} "
            f"{ratios[1]:7.2f} {one.first:8.3f} {one.peak / 2**20:8.0f} {one.error:9.1e}"
            + (f"   to reach {case.reach:.2f}; warm {warm:.3f} s" if peer == OURS else "")
        )
    return lines


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(MAIN), help="workloads, by name; product64 to product2048 too")
    parser.add_argument(
        "--peer", default="jax,jax-scan,torch,compile,numpy", help=f"some of {', '.join(PEERS)}, or none"
    )
    parser.add_argument("--seconds", type=float, default=0.2, help="of a turn")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--patience", type=float, default=60, help="seconds to wait for a first result")
    parser.add_argument("--python", default="", help="of peers installed elsewhere: pytensor=/venv/bin/python,...")
    given = parser.parse_args()
    peers = [OURS, *(peer for peer in given.peer.split(",") if peer != "none")]
    pythons = dict(pair.split("=", 1) for pair in given.python.split(",") if pair)
    heads = (("best µs", 11), ("median µs", 11), ("ratio", 7), ("(med.)", 7), ("first s", 8), ("peak MB", 8),
             ("error", 9))  # fmt: skip
    print(f"{'workload':29s}", *(f"{head:>{width}s}" for head, width in heads))
    for name in given.only.split(","):
        present = {peer: pythons.get(peer, sys.executable) for peer in peers if name in FORMS.get(peer, CASES)}
        found = measure(CASES[name], present, given.seconds, given.rounds, given.patience)
        print("\n".join(report(CASES[name], found)), flush=True)


if __name__ == "__main__":
    main()
