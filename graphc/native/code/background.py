"""Compilation beside planning: threads that compile kernels while Python writes the next ones.

LLVM holds no lock of Python's while it compiles. Every thread has a machine and every kernel a context of its own.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from heapq import heappop, heappush
from itertools import count
from time import monotonic
from typing import Any, TypeVar

from graphc.executor.threads import available_cores
from graphc.locks import exclusively
from graphc.native.code.failure import LLVMError
from graphc.native.code.pages import give_back_pages
from graphc.signals import let_through

Result = TypeVar("Result")

WHILE = 0.05
"""So many seconds at a time a thread works on jobs that another one waits for."""
GIVES_BACK_AFTER = 0.006
"""While no kernel is left to begin, LLVM's pages are given back at once, after so many seconds, ..."""
LATER = 1.5
"""... and then at pauses each so many times as long."""


def apart(function: Callable[[], Result], wait: Callable[[threading.Thread], None] = threading.Thread.join) -> Result:
    """What a function returns that the main thread has another one call: interrupts come to the main thread alone.

    They would leave the lock of LLVM's binding taken, or have it free memory twice.
    """
    if threading.current_thread() is not threading.main_thread():
        return function()
    found: list[Result] = []
    errors: list[BaseException] = []

    def call() -> None:
        try:
            found.append(function())
        except BaseException as error:
            errors.append(error)

    try:
        thread = threading.Thread(target=call, name="graphc compiles")
        thread.start()
    except RuntimeError as refusal:  # the system has no more threads
        let_through(refusal)
        return function()
    wait(thread)
    for error in errors:
        raise error
    return found[0]


class Job:
    """Something to compute in the background; `result` waits for it, and raises what it raised.

    Who computes it holds its lock. Where anything but LLVM's refusal ends that, the next one who waits begins anew.
    """

    def __init__(self, compute: Callable[[], Any]) -> None:
        self._compute: Callable[[], Any] | None = compute
        self._value: Any = None
        self.error: LLVMError | None = None
        self.is_done = False
        self.forget_threads()

    def forget_threads(self) -> None:
        """Nobody is at it: a forked child has none of its parent's threads."""
        self.lock = threading.RLock()

    def run(self) -> None:
        """Have it computed, here and now or by who is at it, and let go of what that needed."""
        exclusively(self.lock, self._run)

    def _run(self) -> None:
        if self.is_done or self._compute is None:
            return
        try:
            self._value = self._compute()
        except LLVMError as error:
            self.error = error
        self.is_done = True
        self._compute = None

    def wait(self, queue: Queue) -> None:
        """Return when it is done; whoever waits helps with what others have left."""
        while not self.is_done:
            apart(lambda: queue.work_for(self), queue.attend)

    def result(self, queue: Queue) -> Any:
        """The value, waited for."""
        self.wait(queue)
        if self.error is not None:
            raise self.error
        return self._value


class Queue:
    """Jobs not yet begun, and threads that take them, one fewer than there are cores.

    The longest is begun first: whoever would begin one last would have the others wait. (heapq's functions are one step
    each, as Python's threads see it: they compare numbers only.)
    """

    def __init__(self) -> None:
        self._jobs: list[tuple[int, int, Job]] = []
        self._numbers = count()
        self.forget_threads()

    def forget_threads(self) -> None:
        """Begin with no threads, and leave all jobs to those who wait for them: a forked child may need none."""
        self._lock = threading.RLock()
        self._jobs.clear()
        self._threads: set[threading.Thread] = set()

    def put(self, compute: Callable[[], Any], length: int = 0, *, short: bool = False) -> Job:
        """A new job, with a measure of how long it takes. For a short one no thread is started: that takes as long as
        the job."""
        job = Job(compute)
        heappush(self._jobs, (-length, next(self._numbers), job))
        thread = None if short else exclusively(self._lock, self._another)
        if thread is not None:
            self._start(thread)
        return job

    def _another(self) -> threading.Thread | None:
        """Another thread to start, if there shall be one: it counts from now on, unless it never begins."""
        self._threads = {thread for thread in self._threads if thread.is_alive()}
        if len(self._threads) >= available_cores() - 1:
            return None
        thread = threading.Thread(target=self._work, name="graphc compiles")
        self._threads.add(thread)
        return thread

    def _start(self, thread: threading.Thread) -> None:
        try:
            thread.start()
        except RuntimeError as error:  # the system has no more threads: who waits for jobs does them
            let_through(error)

    def work_for(self, job: Job) -> None:
        """Run the longest jobs, and that one where none is left, for a while: who has asked for it may have gone."""
        end = monotonic() + WHILE
        while not job.is_done and monotonic() < end:
            (self.take() or job).run()

    def attend(self, thread: threading.Thread) -> None:
        """Wait for a thread that compiles. To what LLVM is done with in the last kernel it does not come back: while
        none is left to begin, the process holds only those of its pages that it touched lately."""
        pause = GIVES_BACK_AFTER
        while thread.is_alive():
            if not self._jobs:
                give_back_pages()
            thread.join(pause)
            pause *= LATER

    def take(self) -> Job | None:
        """The longest job that nobody has begun; of several the oldest."""
        try:
            return heappop(self._jobs)[-1]
        except IndexError:
            return None

    def _work(self) -> None:
        while (job := exclusively(self._lock, self._next)) is not None:
            with suppress(Exception):  # who waits for it begins anew, and is told
                job.run()

    def _next(self) -> Job | None:
        """What a thread does next; where it is None, the thread ends."""
        job = self.take() if threading.main_thread().is_alive() else None
        if job is None:
            self._threads.discard(threading.current_thread())
        return job
