"""Many small programs, each with its gradients, on graphc against jax: where is graphc slower?

    python tests/benchmarks/bench_survey.py [NAME ...] [--peer jax] [--seconds 0.06] [--rounds 4]

A name selects the programs of `programs.py` that contain it. One process for each framework runs them all, in turns and
checked as those of `bench_peers.py` are. Without a peer (`--peer none`) the ratios are left out.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

from bench_peers import OURS, PEERS, Child, Failed, Measured, checked, in_turns, noted, reference_of
from cases import Case
from programs import EVERY_CASE, PROGRAMS

HEADS = (("best µs", 10), ("median µs", 10), ("peer's best", 12), ("median", 10), ("ratio", 7), ("(med.)", 7))


class Processes:
    """A process for each framework; where one ended, the next program gets another."""

    def __init__(self, peers: Mapping[str, str], caches: str, patience: float) -> None:
        self.peers, self.caches, self.patience = peers, caches, patience
        self.children: dict[str, Child] = {}

    def started(self, peer: str, case: Case, reference: Sequence[Any]) -> tuple[Child, tuple[float, float]]:
        """A process that has its first results of a program, those checked; seconds and error."""
        child = self.children.get(peer)
        if child is None or child.process.poll() is not None:
            child = self.children[peer] = Child(peer, case, self.caches, self.patience, self.peers[peer])
        child.ask("take", name=case.name)
        return child, checked(child, case, reference, "build")

    def measure(self, case: Case, seconds: float, rounds: int) -> dict[str, Any]:
        """The figures of each framework, or what failed."""
        reference = reference_of(case)
        found: dict[str, Any] = {}
        running = {}
        for peer in self.peers:
            with noted(found, peer):
                running[peer] = self.started(peer, case, reference)
        return found | in_turns(case, running, seconds, rounds, reference)

    def close(self) -> None:
        """End them."""
        for child in self.children.values():
            child.close()


def row(name: str, found: Mapping[str, Any], peer: str) -> tuple[str, tuple[float, float] | None]:
    """A line of the table, and by how much the peer is slower, in best and median times."""
    for failed, one in found.items():
        if isinstance(one, Failed):
            return f"{name:26s} {failed}: {one}", None
    ours: Measured = found[OURS]
    line = f"{name:26s} {ours.best * 1e6:10.1f} {ours.median * 1e6:10.1f}"
    if peer not in found:
        return line, None
    other: Measured = found[peer]
    ratios = other.best / ours.best, other.median / ours.median
    return f"{line} {other.best * 1e6:12.1f} {other.median * 1e6:10.1f} {ratios[0]:7.2f} {ratios[1]:7.2f}", ratios


def summary(ratios: Mapping[str, tuple[float, float]], peer: str) -> str:
    """The median ratio, and the programs where the peer leads in best times."""
    best, median = (statistics.median(column) for column in zip(*ratios.values(), strict=True))
    behind = sorted((pair[0], name) for name, pair in ratios.items() if pair[0] < 1)
    ahead = ", ".join(f"{name} ({ratio:.2f})" for ratio, name in behind)
    return f"{len(ratios)} programs: median ratio {best:.2f} (med. {median:.2f}); {peer} leads in {ahead or 'none'}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="parts of names of programs; all without any")
    parser.add_argument("--peer", default="jax", choices=[*PEERS, "none"], metavar="NAME")
    parser.add_argument("--seconds", type=float, default=0.06, help="of a turn")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--patience", type=float, default=60, help="seconds to wait for a first result")
    parser.add_argument("--python", default=sys.executable, help="of a peer installed elsewhere")
    given = parser.parse_args()
    peers = {OURS: sys.executable} | ({} if given.peer == "none" else {given.peer: given.python})
    chosen = [name for name in PROGRAMS if not given.names or any(part in name for part in given.names)]
    print(f"{'program':26s}", *(f"{head:>{width}s}" for head, width in HEADS[: 6 if len(peers) > 1 else 2]))
    ratios = {}
    with tempfile.TemporaryDirectory() as caches, contextlib.closing(Processes(peers, caches, given.patience)) as all_:
        for name in chosen:
            line, pair = row(name, all_.measure(EVERY_CASE[name], given.seconds, given.rounds), given.peer)
            print(line, flush=True)
            ratios |= {name: pair} if pair else {}
    if ratios:
        print(summary(ratios, given.peer))


if __name__ == "__main__":
    main()
