"""What `import graphc` costs over `import numpy`, in fresh processes, interleaved.

python tests/benchmarks/bench_import.py
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time


def seconds(statement: str) -> float:
    """The wall time of a fresh interpreter that runs one statement."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], check=True)
    return time.perf_counter() - started


def main() -> None:
    """Print medians and the difference."""
    statements = ("import numpy", "import graphc")
    times = [[seconds(statement) for statement in statements] for _ in range(15)]
    numpy, graphc = (statistics.median(column) for column in zip(*times, strict=True))
    print(f"import numpy {numpy * 1e3:.0f} ms, import graphc {graphc * 1e3:.0f} ms")
    print(f"graphc costs {(graphc - numpy) * 1e3:.0f} ms over numpy")


if __name__ == "__main__":
    main()
