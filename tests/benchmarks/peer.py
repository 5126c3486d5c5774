"""One framework in a process of its own: it builds a workload, runs it for a while when told to, and says how it went.

    python tests/benchmarks/peer.py graphc:native chain200

Commands come as lines of JSON on standard input, and each is answered by a line. `bench_peers.py` is who sends them.
"""

from __future__ import annotations

import importlib
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from cases import Arrays
from programs import EVERY_CASE

BATCH = 1e-4
"""Steps shorter than this many seconds are timed several together, so that the clock does not count."""


class Peer(NamedTuple):
    """What a framework makes of a workload: a step, and the parameters as they are after the steps so far.

    Where a step does not return what `np.asarray` takes, `shown` makes that of what it returned, and is not timed.
    """

    step: Callable[[], Any]
    parameters: Callable[[], Iterable[Any]]
    shown: Callable[[Any], Any] = lambda results: results


class Process:
    """The commands."""

    def __init__(self, framework: str, variant: str, name: str) -> None:
        self.variant = variant
        self.module = importlib.import_module(f"peer_{framework}")
        self.take(name)
        self.imported = peak_bytes()

    def take(self, name: str) -> dict[str, Any]:
        """The arrays of a workload, to build it next; the one before is forgotten."""
        self.peer: Peer | None = None
        self.case = EVERY_CASE[name]
        self.arrays: Arrays | None = self.case.arrays()
        return {"taken": name}

    def build(self, folder: str, steps: int) -> dict[str, Any]:
        """Declare, compile and run some steps: seconds to the first result; results are saved in the folder."""
        started = time.perf_counter()
        self.peer = self.module.make(self.case, self.arrays, self.variant)
        results = self.peer.step()
        seconds = time.perf_counter() - started
        self.arrays = None
        saved = self._save(folder, 0, self.peer.shown(results))
        for _ in range(steps - 1):
            del results
            results = self.peer.step()
            saved = self._save(folder, saved, self.peer.shown(results))
        self._save(folder, saved, list(self.peer.parameters()))
        return {"seconds": seconds}

    def again(self, folder: str) -> dict[str, Any]:
        """One step more, its results saved, after all those that were timed."""
        started = time.perf_counter()
        results = self.peer.step()
        seconds = time.perf_counter() - started
        self._save(folder, 0, self.peer.shown(results))
        return {"seconds": seconds}

    def _save(self, folder: str, number: int, results: Any) -> int:
        for result in results if isinstance(results, (list, tuple)) else [results]:
            np.save(Path(folder) / f"{number}.npy", np.asarray(result))
            number += 1
        return number

    def run(self, seconds: float) -> dict[str, Any]:
        """Run for so long: the best and the median time of a step; the first tenth warms up."""
        step = self.peer.step
        warm = time.perf_counter() + seconds / 10
        while time.perf_counter() < warm:
            step()
        started = time.perf_counter()
        step()
        each = range(max(1, int(BATCH / (time.perf_counter() - started))))
        times = []
        deadline = started + seconds
        while not times or time.perf_counter() < deadline:
            started = time.perf_counter()
            for _ in each:
                step()
            times.append((time.perf_counter() - started) / len(each))
        return {"best": min(times), "median": statistics.median(times)}

    def peak(self) -> dict[str, Any]:
        """The most memory that the process held so far, and how much of it was there before the first declaration."""
        return {"bytes": peak_bytes(), "imported": self.imported}


def peak_bytes() -> int:
    """The largest resident size of this process.

    On Linux from /proc: what getrusage tells there starts with the size of the process that started this one.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    try:
        import resource
    except ImportError:  # Windows
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def main() -> None:
    """Answer commands until there are no more."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what frameworks print goes beside
    framework, variant = sys.argv[1].split(":")
    process = Process(framework, variant, sys.argv[2])
    print(json.dumps({"ready": True}), file=answers, flush=True)
    for line in sys.stdin:
        command, arguments = json.loads(line)
        try:
            answer = getattr(process, command)(**arguments)
        except Exception as error:  # the other processes go on, and the table says what happened to this one
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
