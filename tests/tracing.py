"""What Python and NumPy allocate in a test."""

import threading
import tracemalloc
from contextlib import contextmanager


@contextmanager
def traced():
    """Gives a function of what is allocated now and what was at most, in bytes and since it began.

    What an earlier test has compiled in another thread would count, so that thread ends before.
    """
    for thread in threading.enumerate():
        if thread.name == "graphc compiles":
            thread.join()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        yield lambda: tuple(nbytes - before for nbytes in tracemalloc.get_traced_memory())
    finally:
        tracemalloc.stop()
