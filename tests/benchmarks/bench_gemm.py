"""Products in native code against NumPy's BLAS: one thread and two, interleaved, by ratio.

    python tests/benchmarks/bench_gemm.py [seconds per product]

With one thread both are called from Python, so both times hold one call; BLAS is held to one thread. With two, native
blocks are handed out by a small driver, which computes the product many times over and meets at a barrier after every
stage if there are several; BLAS uses its own threads, called from Python. Two threads need two idle cores: whatever
else runs shows at once. Results are compared with float64 before anything is timed.
"""

from __future__ import annotations

import ctypes
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from graphc.native.code import host
from graphc.native.code.writer import SYMBOL
from graphc.native.gemm.product import Product

KERNEL = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)
DRIVER = """
define void @run(ptr %job) {
entry:
  %threads = load i64, ptr %job
  %p1 = getelementptr i64, ptr %job, i64 1
  %times = load i64, ptr %p1
  %p2 = getelementptr i64, ptr %job, i64 2
  %stages = load i64, ptr %p2
  %p3 = getelementptr ptr, ptr %job, i64 3
  %table = load ptr, ptr %p3
  %arrived = getelementptr i64, ptr %job, i64 8
  br label %again
again:
  %time = phi i64 [ 0, %entry ], [ %time2, %ended ]
  br label %stage
stage:
  %number = phi i64 [ 0, %again ], [ %number2, %met ]
  %offset = mul i64 %number, 16
  %start = add i64 %offset, 16
  %record = getelementptr i64, ptr %job, i64 %start
  %kernel = load ptr, ptr %record
  %q1 = getelementptr i64, ptr %record, i64 1
  %blocks = load i64, ptr %q1
  %tickets = getelementptr i64, ptr %record, i64 8
  %each = add i64 %blocks, %threads
  %before = mul i64 %time, %each
  br label %draw
draw:
  %ticket = atomicrmw add ptr %tickets, i64 1 acq_rel
  %block = sub i64 %ticket, %before
  %more = icmp slt i64 %block, %blocks
  br i1 %more, label %work, label %meet
work:
  %q2 = getelementptr i64, ptr %record, i64 2
  %different = load i64, ptr %q2
  %which = urem i64 %block, %different
  %next = add i64 %which, 1
  call void %kernel(ptr %table, i64 %which, i64 %next, i64 0)
  br label %draw
meet:
  %came = atomicrmw add ptr %arrived, i64 1 acq_rel
  %done = mul i64 %time, %stages
  %done1 = add i64 %done, %number
  %done2 = add i64 %done1, 1
  %wanted = mul i64 %done2, %threads
  br label %wait
wait:
  %now = load atomic i64, ptr %arrived acquire, align 8
  %all = icmp sge i64 %now, %wanted
  br i1 %all, label %met, label %wait
met:
  %number2 = add i64 %number, 1
  %last = icmp sge i64 %number2, %stages
  br i1 %last, label %ended, label %stage
ended:
  %time2 = add i64 %time, 1
  %end = icmp sge i64 %time2, %times
  br i1 %end, label %out, label %again
out:
  ret void
}
"""
Shape = tuple[str, tuple[int, ...], int, int, int, str]
"""dtype, batch, m, n, k and which operands are transposed."""

SHAPES: list[Shape] = [
    *(("f4", (), n, n, n, "") for n in (8, 16, 32, 64, 128, 256, 512, 784, 1024)),
    *(("f8", (), n, n, n, "") for n in (16, 64, 256, 512)),
    ("f4", (), 32, 64, 32, ""), ("f4", (), 32, 10, 64, ""), ("f4", (), 32, 64, 10, "b"), ("f4", (), 64, 10, 32, "a"),
    ("f4", (), 128, 512, 784, ""), ("f4", (), 128, 256, 512, ""), ("f4", (), 128, 512, 256, "b"),
    ("f4", (), 784, 512, 128, "a"), ("f4", (), 512, 256, 128, "a"), ("f4", (), 256, 10, 128, "a"),
    ("f4", (), 512, 128, 128, ""), ("f4", (), 128, 128, 512, "a"), ("f4", (), 512, 128, 384, "b"),
    ("f4", (), 1024, 1024, 1024, "a"), ("f4", (), 1024, 1024, 1024, "b"),
    ("f4", (32,), 64, 64, 64, ""), ("f4", (32,), 64, 32, 64, ""), ("f4", (1000,), 4, 4, 4, ""),
    ("f4", (4,), 1024, 1024, 64, "b"), ("f4", (4,), 1024, 64, 1024, ""), ("f4", (4,), 1024, 64, 1024, "a"),
    ("f4", (), 1, 512, 784, ""), ("f4", (), 512, 1, 784, ""), ("f4", (), 784, 1, 512, "a"), ("f4", (), 1, 1, 4096, ""),
    ("f4", (), 1024, 1024, 1, ""), ("f8", (), 64, 1, 30, ""), ("f8", (), 30, 1, 64, "a"),
]  # fmt: skip


class Case:
    """One product: its arrays, and both ways to compute it."""

    def __init__(self, shape: Shape) -> None:
        dtype, batch, m, n, k, transposed = self.shape = shape
        rng = np.random.default_rng(0)
        self.a = self._array(rng.normal(size=(*batch, m, k)).astype(dtype), swapped="a" in transposed)
        self.b = self._array(rng.normal(size=(*batch, k, n)).astype(dtype), swapped="b" in transposed)
        self.native, self.numpy = np.empty((*batch, m, n), dtype), np.empty((*batch, m, n), dtype)
        lie = [tuple(step // x.itemsize for step in x.strides) for x in (self.a, self.b, self.native)]
        self.product = Product(batch, m, n, k, np.dtype(dtype), lie[0], lie[1], lie[2], general=True)
        started = time.process_time()
        stages = self.product.stages
        written = time.process_time()
        self.loaded = [host.Loaded(host.object_code(stage.text), SYMBOL) for stage in stages]
        self.writing, self.compiling = written - started, time.process_time() - written
        self.scratch = np.empty(self.product.scratch_bytes, np.uint8)
        arrays = self.a, self.b, self.native, *([self.scratch] if self.product.scratch_bytes else [])
        words = [*(array.ctypes.data for array in arrays), *self.product.numbers]
        self.table = (ctypes.c_void_p * len(words))(*words)
        self.address = ctypes.addressof(self.table)
        kernels = [KERNEL(loaded.address) for loaded in self.loaded]
        self.kernels = [(kernel, stage.blocks) for kernel, stage in zip(kernels, stages, strict=True)]

    def _array(self, values: Any, *, swapped: bool) -> Any:
        return np.ascontiguousarray(values.swapaxes(-1, -2)).swapaxes(-1, -2) if swapped else values

    @property
    def name(self) -> str:
        """The shapes as one writes them."""
        dtype, batch, m, n, k, transposed = self.shape
        a = f"{m}x{k}" + ("ᵀ" if "a" in transposed else "")
        b = f"{k}x{n}" + ("ᵀ" if "b" in transposed else "")
        return f"{dtype} " + (f"{'x'.join(map(str, batch))} of " if batch else "") + f"{a} @ {b}"

    def call_native(self) -> None:
        """Run all blocks on this thread."""
        for kernel, blocks in self.kernels:
            kernel(self.address, 0, blocks, 0)

    def call_numpy(self) -> None:
        """Let NumPy do it."""
        np.matmul(self.a, self.b, out=self.numpy)

    def check(self) -> None:
        """Compare both results with float64."""
        self.call_native()
        self.call_numpy()
        exact = np.matmul(self.a.astype("f8"), self.b.astype("f8"))
        for result in (self.native, self.numpy):
            bound = 20 * np.finfo(result.dtype).eps * self.shape[4] ** 0.5 * np.abs(exact).max()
            assert np.abs(result - exact).max() <= bound

    def shared(self, threads: int, times: int) -> Callable[[], None]:
        """Compute it so many times with all blocks handed out to threads."""
        words = np.zeros(16 * (1 + len(self.loaded)), np.int64)

        def call() -> None:
            words[:] = 0
            rounds, at_once = (times, 1) if len(self.loaded) > 1 else (1, times)
            words[:4] = threads, rounds, len(self.loaded), self.address
            for number, (loaded, stage) in enumerate(zip(self.loaded, self.product.stages, strict=True), 1):
                words[16 * number : 16 * number + 3] = loaded.address, stage.blocks * at_once, stage.blocks
            helpers = [threading.Thread(target=RUN, args=(words.ctypes.data,)) for _ in range(threads - 1)]
            for helper in helpers:
                helper.start()
            RUN(words.ctypes.data)
            for helper in helpers:
                helper.join()

        return call


def best(calls: Sequence[tuple[Callable[[], None], int]], seconds: float) -> list[float]:
    """The best time of each call, divided by how often it computes, all calls in turn."""
    times = [1e9] * len(calls)
    repetitions = []
    for call, _ in calls:
        started = time.perf_counter()
        call()
        repetitions.append(max(1, int(2e-4 / (time.perf_counter() - started))))
    deadline = time.perf_counter() + seconds
    while time.perf_counter() < deadline:
        for i, (call, computed) in enumerate(calls):
            started = time.perf_counter()
            for _ in range(repetitions[i]):
                call()
            times[i] = min(times[i], (time.perf_counter() - started) / repetitions[i] / computed)
    return times


def main() -> None:
    """Print the table."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 0.5
    heads = "".join(f"{head:>14s}: NumPy    native   ratio GFLOP/s" for head in ("one thread", "two"))
    print(f"{'µs':28s}{heads}   write + compile")
    for shape in SHAPES:
        case = Case(shape)
        with threadpool_limits(1):
            case.check()
            one = best([(case.call_numpy, 1), (case.call_native, 1)], seconds)
        times = max(1, int(5e-3 / one[1]))
        with threadpool_limits(2):
            two = best([(case.call_numpy, 1), (case.shared(2, times), times)], seconds)
        f = case.product.flops
        columns = "   ".join(f"{x * 1e6:9.2f} {y * 1e6:9.2f} {x / y:7.2f} {f / y / 1e9:7.1f}" for x, y in (one, two))
        print(f"{case.name:34s} {columns}   {case.writing * 1e3:5.1f} + {case.compiling * 1e3:5.1f} ms", flush=True)


LOADED = host.Loaded(host.object_code(DRIVER), "run")
RUN = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(LOADED.address)

if __name__ == "__main__":
    main()
