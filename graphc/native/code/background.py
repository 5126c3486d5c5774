"""Compilation beside planning: threads that compile kernels while Python writes the next ones.

LLVM holds no lock of Python's while it compiles. Every thread has a machine and every kernel a context of its own.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from graphc.executor.threads import available_cores


class Job:
    """Something to compute in the background; `result` waits for it, and raises what it raised."""

    def __init__(self, compute: Callable[[], Any]) -> None:
        self._compute: Callable[[], Any] | None = compute
        self._done = threading.Event()
        self._value: Any = None
        self.error: Exception | None = None

    def run(self) -> None:
        """Compute it here and now, and let go of what that needed."""
        compute, self._compute = self._compute, None
        assert compute is not None
        try:
            self._value = compute()
        except Exception as error:  # whatever LLVM or its binding raises
            self.error = error
        self._done.set()

    @property
    def is_done(self) -> bool:
        """Whether it has been computed."""
        return self._done.is_set()

    def wait(self, queue: Queue) -> None:
        """Return when it is done; whoever waits helps with what others have left."""
        while not self.is_done:
            other = queue.take()
            if other is None:
                self._done.wait()
            else:
                other.run()

    def result(self, queue: Queue) -> Any:
        """The value, waited for."""
        self.wait(queue)
        if self.error is not None:
            raise self.error
        return self._value


class Queue:
    """Jobs not yet begun, and threads that take them, one fewer than there are cores."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: deque[Job] = deque()
        self._threads = 0

    def put(self, compute: Callable[[], Any], *, short: bool = False) -> Job:
        """A new job. For a short one no thread is started: that takes as long as the job."""
        job = Job(compute)
        with self._lock:
            self._jobs.append(job)
            starts = not short and self._threads < available_cores() - 1
            self._threads += starts
        if starts:
            threading.Thread(target=self._work, name="graphc compiles").start()
        return job

    def take(self) -> Job | None:
        """The oldest job that nobody has begun."""
        with self._lock:
            return self._jobs.popleft() if self._jobs else None

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._jobs or not threading.main_thread().is_alive():
                    self._threads -= 1
                    return
                job = self._jobs.popleft()
            job.run()
