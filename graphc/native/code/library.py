"""Compiled kernels, shared: one per structure in a process, and one per content on disk."""

from __future__ import annotations

import os
import re
import threading
from collections import deque
from collections.abc import Callable, Hashable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from graphc.ir import warn
from graphc.locks import exclusively
from graphc.native import driver
from graphc.native.code import host
from graphc.native.code.background import Job, Queue, apart
from graphc.native.code.cache import DiskCache, content_key
from graphc.native.code.failure import LLVMError, from_llvm
from graphc.native.code.images import is_image
from graphc.native.code.pages import give_back_pages
from graphc.native.code.spelling import spelled, writers
from graphc.signals import let_through

PATIENCE = 10.0
"""A fork waits at most so many seconds for a kernel being compiled: it may be the forking thread that does it."""
MOST_WORDS = 8
"""The most words of a kernel's title in the names of its files."""
_TITLE = re.compile(r'^; ModuleID = "(.*)"$', re.M)


class Made:
    """Machine code that is being made; `int` of it is its address, once it is there."""

    def __init__(self, job: Job, queue: Queue, file: str) -> None:
        self.job, self._queue = job, queue
        self.file = file
        """Where its IR and its assembly are written to, but for the suffix; '' where they are not."""

    def __int__(self) -> int:
        return int(self.loaded.address)

    def wait(self) -> None:
        """Return when it is there, or has failed."""
        self.job.wait(self._queue)

    @property
    def loaded(self) -> host.Loaded:
        """The code; raises LLVMError where LLVM has rejected the IR."""
        code: host.Loaded = self.job.result(self._queue)
        return code


class Library:
    """The compiled kernels of a process. They are kept: programs hold their addresses."""

    def __init__(self) -> None:
        self._by_structure: dict[Hashable, Made] = {}
        self._by_content: dict[str, Made] = {}
        self._problems: deque[str] = deque()
        """What threads that compile have to say to users, who wait for others."""
        self._disk = DiskCache(self._problems.append)
        self.compiled = 0
        """How many kernels LLVM has compiled."""
        self._is_stirred = False
        self._queue = Queue()
        self._own = threading.local()  # several threads may fork at the same time
        self.renew_locks()

    def kernel(self, structure: Hashable, write: Callable[[], str], *symbols: str) -> Made:
        """A kernel; `write` gives its IR where no kernel of that structure is known.

        Raises LLVMError where LLVM has rejected it before; where it will, `finish` tells.
        """
        text, source = spelled(structure), writers()
        found_by = structure if text is None else text  # as text, 0.0 and -0.0 are not the same

        def begin() -> Made:
            if found_by not in self._by_structure:
                if text is None or source is None:
                    key = content_key(written := write(), *symbols, host.identity())
                    made = self._made(key, lambda: written, symbols)
                else:
                    made = self._made(content_key(text, *symbols, source, host.identity()), write, symbols)
                self._by_structure[found_by] = made
            return self._by_structure[found_by]

        made = exclusively(self._lock, begin)
        if made.job.is_done and made.job.error is not None:
            raise made.job.error
        return made

    def finish(self, asked: Iterable[Made]) -> bool:
        """Wait for some kernels; whether LLVM has accepted every one of them, whoever asked for it first."""
        waiting = list(dict.fromkeys(asked))
        for made in reversed(waiting):  # who waits for the last one helps with all before it
            made.wait()
        self._settle()
        return all(made.job.error is None for made in waiting)

    def _settle(self) -> None:
        """Say what went wrong. Once nothing is being compiled, have the process hold none of LLVM's pages."""
        with suppress(IndexError):  # where another thread has said it
            while self._problems:
                warn(self._problems.popleft())
        if self._is_stirred and all(made.job.is_done for made in tuple(self._by_content.values())):
            self._is_stirred = False
            give_back_pages()

    def _made(self, key: str, write: Callable[[], str], symbols: tuple[str, ...]) -> Made:
        if key not in self._by_content:
            stored = self._disk.get(key) or b""
            text = write() if not stored or _dump_directory() else ""

            def make() -> host.Loaded:
                if text and (problem := _dump(key, text)):
                    self._problems.append(problem)
                return self._stored(key, stored, symbols) or self._compiled(key, text or write(), symbols)

            if is_image(stored) and not text:  # quickly done, and without LLVM
                job = Job(make)
                job.run()
            else:
                from_llvm(host.start)
                short = bool(stored and self._by_content)  # with the first one, LLVM starts
                job = self._queue.put(make, len(text), short=short)
            self._by_content[key] = Made(job, self._queue, _dump_path(key, text))
        return self._by_content[key]

    def _stored(self, key: str, code: bytes, symbols: tuple[str, ...]) -> host.Loaded | None:
        """Code from the disk in memory, if there is some that can be loaded."""
        try:
            return self._loaded(code, symbols) if code else None
        except LLVMError as error:
            self._disk.reject(key, f"cannot be loaded ({error})")
            return None

    def _compiled(self, key: str, text: str, symbols: tuple[str, ...]) -> host.Loaded:
        self._is_stirred = True
        code = apart(lambda: from_llvm(lambda: host.linked(host.object_code(text), *symbols)))
        self.compiled += 1
        loaded = self._loaded(code, symbols)
        self._disk.put(key, code)
        return loaded

    def _loaded(self, code: bytes, symbols: tuple[str, ...]) -> host.Loaded:
        def load() -> host.Loaded:
            return from_llvm(lambda: host.Loaded(code, *symbols))

        if is_image(code):
            return load()
        self._is_stirred = True
        return apart(load)

    @property
    def driver(self) -> host.Loaded:
        """The driver: its addresses are those of `driver.SYMBOLS`."""
        loaded = self.begin_driver().loaded
        self._settle()
        return loaded

    def begin_driver(self) -> Made:
        """Have it compiled while something else is done; raises as `kernel` does."""
        processor = host.processor()
        return self.kernel(driver.structure(processor), lambda: host.BRIEF + driver.text(processor), *driver.SYMBOLS)

    def pause(self) -> None:
        """Before a fork, wait for what is being compiled, and let nobody begin: LLVM keeps locks that a child could
        not take."""
        self._acquire(self._lock)
        for made in tuple(self._by_content.values()):
            if not made.job.is_done:
                self._acquire(made.job.lock)
        for lock in host.locks():
            self._acquire(lock)

    def _acquire(self, lock: Any) -> None:
        taken: list[Any] = self._own.__dict__.setdefault("paused", [])
        taken.append(lock)  # before it is: an interrupt may come right after
        lock.acquire(timeout=PATIENCE)

    def resume(self) -> None:
        """After it, go on."""
        for lock in reversed(self._own.__dict__.pop("paused", [])):
            with suppress(RuntimeError):  # it was not taken
                lock.release()

    def renew_locks(self) -> None:
        """A forked child has one thread: whatever another thread held is free, and what it computed is begun anew."""
        self.resume()
        self._lock = threading.RLock()
        self._queue.forget_threads()
        for made in self._by_content.values():
            if not made.job.is_done:
                made.job.forget_threads()


def _dump_directory() -> str:
    return os.environ.get("GRAPHC_DUMP", "")


def _dump_path(key: str, text: str) -> str:
    """Where some IR is written to, but for the suffix, in the directory that GRAPHC_DUMP names; '' if it names none.

    The title of the module tells files apart for people, and the key those of one title.
    """
    if not _dump_directory():
        return ""
    title = _TITLE.search(text)
    words = re.findall(r"\w+", title[1]) if title else []
    return os.path.join(_dump_directory(), "-".join([*words[:MOST_WORDS], key[:8]]))


def _dump(key: str, text: str) -> str:
    """Write IR and assembly for people to read; why they are not, or ''."""
    path = _dump_path(key, text)
    if not path:
        return ""
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(f"{path}.ll").write_text(text, encoding="utf-8")
        Path(f"{path}.s").write_text(from_llvm(lambda: host.assembly(text)), encoding="utf-8")
    except OSError as error:
        let_through(error)
        return f"IR and assembly of kernels are not written: {error} (set GRAPHC_DUMP to another directory, or nothing)"
    return ""


LIBRARY = Library()
"""The one of this process."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=LIBRARY.pause, after_in_parent=LIBRARY.resume, after_in_child=LIBRARY.renew_locks)
