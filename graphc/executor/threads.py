"""The threads of the process: a pool of workers, made when first needed, shared by all programs.

A caller invites workers and goes to work itself. It never waits for one to wake: when the tasks run out it takes back
the invitations that nobody took, and waits only for workers in the middle of a task. So a busy pool costs nothing.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from operator import methodcaller
from typing import Any

import numpy as np

Task = Callable[[Any], None]


def available_cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Job:
    """Tasks that several threads work through together, each taking the next. The first error ends it."""

    def __init__(self, tasks: Sequence[Task], argument: Any) -> None:
        self._pending = list(reversed(tasks))
        self._argument = argument
        self.errors: list[BaseException] = []

    def work(self) -> None:
        """Take tasks until none is left."""
        pending, argument = self._pending, self._argument
        while True:
            try:
                task = pending.pop()
            except IndexError:
                return
            task(argument)

    def end(self) -> None:
        """Give out no more tasks."""
        self._pending.clear()


class _Invitation:
    """A place for one worker at a job."""

    __slots__ = ("_begun", "_done", "_job", "_left")

    def __init__(self, job: Job) -> None:
        self._job = job
        self._begun = self._done = False
        self._left = threading.Lock()
        self._left.acquire()

    def accept(self) -> None:
        """Work until the tasks run out. Errors are the caller's to raise."""
        self._begun = True
        try:
            self._job.work()
        except BaseException as error:
            self._job.errors.append(error)
            self._job.end()
        finally:
            self._done = True
            self._left.release()

    def wait(self) -> None:
        """Wait until the worker has left; one that has not begun, after the job's end, finds nothing to do."""
        while self._begun and not self._done:  # an interrupt may come just after the lock was acquired
            self._left.acquire()


class _Worker:
    """A thread that takes invitations. It is a daemon: it holds nothing that an exit would lose."""

    def __init__(self, pool: Pool, number: int) -> None:
        self._invitations, self._idle = pool.invitations, pool.idle
        self._wake = threading.Lock()
        self._wake.acquire()
        threading.Thread(target=self._serve, name=f"graphc-{number}", daemon=True).start()

    def _serve(self) -> None:
        with np.errstate(all="ignore"):
            while True:
                try:
                    invitation = self._invitations.pop()
                except IndexError:
                    self._sleep()
                else:
                    invitation.accept()
                    del invitation  # and with it the job's arrays

    def _sleep(self) -> None:
        """Wait among the idle to be woken, unless an invitation has come just now."""
        self._idle.append(self._wake)
        if self._invitations:
            try:
                self._idle.remove(self._wake)
                return
            except ValueError:
                pass  # whoever has taken us from there wakes us
        self._wake.acquire()


class Pool:
    """Workers that help callers. `run` may be called from any number of threads at once, workers included.

    Its lists are shared without locks: appending, popping and removing are single operations in Python.
    """

    def __init__(self) -> None:
        self.invitations: list[_Invitation] = []
        self.idle: list[Any] = []
        """The locks on which workers sleep. Only who has taken one from here may release it, which wakes its worker."""
        self._made = 0

    def run(self, tasks: Sequence[Task], argument: Any, threads: int) -> None:
        """Call every task with the argument, on the calling thread and up to `threads` - 1 workers that are free."""
        job = Job(tasks, argument)
        invited = [_Invitation(job) for _ in range(threads - 1)]
        interrupts: list[BaseException] = []
        try:
            self.invitations.extend(invited)
            self._wake(len(invited))
            job.work()
        finally:
            while invited:  # what interrupts this is kept for later: workers still write to our arrays
                try:
                    self._part(job, invited)
                except BaseException as interrupt:
                    interrupts.append(interrupt)
        for error in (*interrupts, *job.errors):
            raise error

    def _wake(self, count: int) -> None:
        """Wake so many workers, or make them."""
        wakes = map(_release, iter(self.idle.pop, None))
        for _ in range(count):
            try:
                next(wakes)  # in one step of the interpreter: no interrupt comes between
            except IndexError:
                if self._made >= count:
                    return
                self._make()

    def _make(self) -> None:
        self._made += 1
        try:
            _Worker(self, self._made)
        except BaseException:  # an interrupt, perhaps, before its thread began
            self._made -= 1
            raise

    def _part(self, job: Job, invited: list[_Invitation]) -> None:
        """Take back what nobody took, and wait for those who did take one. To do so again changes nothing."""
        job.end()
        for invitation in invited:
            try:
                self.invitations.remove(invitation)
            except ValueError:
                invitation.wait()
        invited.clear()

    def forget(self) -> None:
        """Start anew without workers: a forked child has none of its parent's threads."""
        self.invitations, self.idle, self._made = [], [], 0


_release = methodcaller("release")

POOL = Pool()
"""The workers of this process."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=POOL.forget)
