"""Interrupts at every moment: what they end leaves nothing taken, nobody at work and nothing lost."""

import threading
import time

import pytest
from interrupts import Interrupts

from graphc.executor import threads
from graphc.executor.threads import Pool


def meeting(count):
    """Tasks that end only when all of them run at once."""
    barrier = threading.Barrier(count)
    return [lambda _: barrier.wait(10)] * count


def sleepers(pool, count):
    """How many workers sleep, so many or not after a while."""
    end = time.monotonic() + 10
    while len(pool.idle) < count and time.monotonic() < end:
        time.sleep(0.0005)
    return len(pool.idle)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_job_that_is_interrupted_at_any_moment_leaves_all_workers_free(workers):
    """Where they sleep, and where they are still to be made."""
    number, where = 0, ""
    while number == 0 or where:
        number, pool, at_work = number + 1, Pool(), []
        pool.run(meeting(1 + workers), None, 1 + workers)
        assert sleepers(pool, workers) == workers

        def task(_, at_work=at_work):
            at_work.append(1)
            time.sleep(0.002)
            at_work.pop()

        interrupts = Interrupts({threads.__file__}, number, KeyboardInterrupt)
        try:
            interrupts.call(lambda pool=pool, task=task: pool.run([task] * 6, None, 3))
        except KeyboardInterrupt:
            assert interrupts.where
        else:
            assert not interrupts.where, "the interrupt is lost"
        where = interrupts.where
        assert (at_work, pool.invitations) == ([], []), where
        pool.run(meeting(3), None, 3)
        assert sleepers(pool, 2) >= 2, where
    assert number > 40, "there are more moments"


def test_a_job_for_which_a_thread_is_started_may_be_interrupted_at_any_moment(monkeypatch):
    """Others have as many threads as before."""
    background = pytest.importorskip("graphc.native.code.background", exc_type=ImportError)
    monkeypatch.setattr(background, "available_cores", lambda: 3)
    number, where = 0, ""
    while number == 0 or where:
        number, queue, barrier = number + 1, background.Queue(), threading.Barrier(2)
        interrupts = Interrupts({background.__file__}, number, KeyboardInterrupt)
        try:
            interrupts.call(lambda queue=queue: queue.put(lambda: None))
        except KeyboardInterrupt:
            assert interrupts.where
        else:
            assert not interrupts.where, "the interrupt is lost"
        where = interrupts.where
        jobs = [queue.put(lambda barrier=barrier: barrier.wait(10)) for _ in range(2)]
        end = time.monotonic() + 20
        while not all(job.is_done for job in jobs) and time.monotonic() < end:
            time.sleep(0.0005)
        assert [job.is_done for job in jobs] == [True, True], where
    assert number > 10, "there are more moments"
