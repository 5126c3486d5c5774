"""A step of each workload on graphc against the same step on jax and torch: ratios, time to first result, memory.

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
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from cases import CASES, Case

HERE = Path(__file__).parent
OURS = "graphc"
PEERS = {
    OURS: "graphc:native", "jax": "jax:jit", "jax-scan": "jax:scan", "torch": "torch:eager",
    "compile": "torch:compile", "numpy": "numpy:hand",
}  # fmt: skip
TOLERANCE = {"float32": 2e-4, "float64": 1e-10}
"""The largest difference from float64, relative to the norm of each result."""

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

    def __init__(self, peer: str, case: Case, caches: str, patience: float) -> None:
        environment = {"TORCHINDUCTOR_CACHE_DIR": f"{caches}/torch"} | os.environ | {"GRAPHC_CACHE": f"{caches}/graphc"}
        command = [sys.executable, str(HERE / "peer.py"), PEERS[peer], case.name]
        pipe = subprocess.PIPE
        self.patience = patience
        self.process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=environment, bufsize=1
        )
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
    """The largest difference of saved results from the reference, relative to the norm of each."""
    errors = []
    for number, expected in enumerate(reference):
        result = np.load(folder / f"{number}.npy").astype("f8")
        if result.shape != np.shape(expected):
            raise Failed(f"result {number} has shape {result.shape}, not {np.shape(expected)}")
        errors.append(float(np.linalg.norm(np.ravel(result - expected)) / (np.linalg.norm(np.ravel(expected)) or 1)))
    return max(errors)


def reference_of(case: Case) -> list[Any]:
    """The results in float64."""
    from workloads import WORKLOADS

    return list(WORKLOADS[case.name].reference(steps_checked(case)))


def steps_checked(case: Case) -> int:
    """Several where steps follow from each other."""
    return 3 if case.trains else 1


@contextlib.contextmanager
def built(peer: str, case: Case, caches: str, reference: Sequence[Any], patience: float) -> Iterator[Any]:
    """A process that has its first results, those checked; and the seconds they took, and their error."""
    child = Child(peer, case, caches, patience)
    try:
        with tempfile.TemporaryDirectory() as folder:
            seconds = child.ask("build", folder=folder, steps=steps_checked(case))["seconds"]
            error = error_of(Path(folder), reference)
        if not error <= TOLERANCE[case.dtype]:
            raise Failed(f"differs from float64 by {error:.1e}")
        yield child, seconds, error
    finally:
        child.close()


def measure(case: Case, peers: Sequence[str], seconds: float, rounds: int, patience: float) -> dict[str, Any]:
    """Each framework's figures, or what failed; and graphc's seconds to the first result from a warm cache."""
    reference, found = reference_of(case), {}
    with contextlib.ExitStack() as stack:
        caches = stack.enter_context(tempfile.TemporaryDirectory())
        running = {}
        for peer in peers:
            try:
                running[peer] = stack.enter_context(built(peer, case, caches, reference, patience))
            except Failed as failure:
                found[peer] = failure
        turns: dict[str, list[Any]] = {peer: [] for peer in running}
        for _ in range(rounds):
            for peer, (child, _, _) in running.items():
                turns[peer].append(child.ask("run", seconds=seconds))
        for peer, (child, first, error) in running.items():
            best, median = (min(turn[key] for turn in turns[peer]) for key in ("best", "median"))
            found[peer] = Measured(best, median, first, error, child.ask("peak")["bytes"])
        with built(OURS, case, caches, reference, patience) as (_, warm, _):
            found["warm"] = warm
    return {peer: found[peer] for peer in (*peers, "warm")}


def report(case: Case, found: dict[str, Any]) -> list[str]:
    """A line for each framework; graphc's says how it stands."""
    lines = []
    ours, warm = found[OURS], found.pop("warm")
    for peer, one in found.items():
        if isinstance(one, Failed):
            lines.append(f"{case.name:14s} {peer:9s} {one}")
            continue
        ratio = one.best / ours.best if isinstance(ours, Measured) else float("nan")
        lines.append(
            f"{case.name:14s} {peer:9s} {one.best * 1e6:11.2f} {one.median * 1e6:11.2f} {ratio:7.2f} "
            f"{one.first:8.3f} {one.peak / 2**20:8.0f} {one.error:9.1e}"
            + (f"   warm {warm:.3f} s; to reach {case.reach}" if peer == OURS else "")
        )
    return lines


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(CASES), help="workloads, by name")
    parser.add_argument("--peer", default="jax,torch,compile", help=f"some of {', '.join(PEERS)}, or none")
    parser.add_argument("--seconds", type=float, default=0.2, help="of a turn")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--patience", type=float, default=60, help="seconds to wait for a first result")
    given = parser.parse_args()
    peers = [OURS, *(peer for peer in given.peer.split(",") if peer != "none")]
    print(f"{'workload':14s} {'':9s} {'best µs':>11s} {'median µs':>11s} {'ratio':>7s} {'first s':>8s} {'peak MB':>8s} "
          f"{'error':>9s}")  # fmt: skip
    for name in given.only.split(","):
        found = measure(CASES[name], peers, given.seconds, given.rounds, given.patience)
        print("\n".join(report(CASES[name], found)), flush=True)


if __name__ == "__main__":
    main()
