"""Compiled kernels, shared: one per structure in a process, and one per content on disk."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Callable, Hashable
from pathlib import Path

from graphc.ir import Node
from graphc.native import driver, host
from graphc.native.cache import DiskCache, content_key


class Library:
    """The compiled kernels of a process. They are kept: programs hold their addresses."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._by_structure: dict[Hashable, int] = {}
        self._by_content: dict[str, host.Loaded] = {}
        self._disk = DiskCache()

    def known(self, structure: Hashable) -> int | None:
        """The address of a kernel compiled before."""
        return self._by_structure.get(structure)

    def kernel(self, structure: Hashable, write: Callable[[], str], symbol: str) -> int:
        """The address of a kernel; `write` gives its IR where no kernel of that structure is known.

        Raises RuntimeError where LLVM rejects the IR.
        """
        with self._lock:
            if structure not in self._by_structure:
                self._by_structure[structure] = self.load(write(), symbol).address
            return self._by_structure[structure]

    def load(self, text: str, *symbols: str) -> host.Loaded:
        """Machine code for some IR: from this process, from the disk, or compiled now."""
        key = content_key(text, host.identity())
        with self._lock:
            if key not in self._by_content:
                _dump(key, text)
                self._by_content[key] = self._from_disk(key, symbols) or self._compiled(key, text, symbols)
            return self._by_content[key]

    def _from_disk(self, key: str, symbols: tuple[str, ...]) -> host.Loaded | None:
        code = self._disk.get(key)
        return None if code is None else host.Loaded(code, *symbols)

    def _compiled(self, key: str, text: str, symbols: tuple[str, ...]) -> host.Loaded:
        code = host.object_code(text)
        self._disk.put(key, code)
        return host.Loaded(code, *symbols)

    @property
    def driver(self) -> host.Loaded:
        """The driver: its addresses are those of `drive` and `help`."""
        return self.load(driver.text(host.processor()), "drive", "help")

    def renew_lock(self) -> None:
        """A forked child has one thread: whatever another thread held is free."""
        self._lock = threading.RLock()


def _dump(key: str, text: str) -> None:
    """Write IR and assembly to the directory that GRAPHC_DUMP names, for people to read."""
    directory = os.environ.get("GRAPHC_DUMP")
    if directory:
        path = Path(directory)
        path.mkdir(parents=True, exist_ok=True)
        (path / f"{key[:16]}.ll").write_text(text, encoding="utf-8")
        (path / f"{key[:16]}.s").write_text(host.assembly(text), encoding="utf-8")


def warn_of_fallback(node: Node, error: Exception) -> None:
    """Say that a kernel will be computed by NumPy."""
    held = ", ".join(dict.fromkeys(inner.op.name for inner in node.attrs["body"].nodes if inner.inputs)) \
        if "body" in node.attrs else node.op.name  # fmt: skip
    warnings.warn(f"the kernel of {held} ({node.origin.where()}) is computed by NumPy, because compiling it failed: "
                  f"{type(error).__name__}: {error}", RuntimeWarning, stacklevel=2)  # fmt: skip


LIBRARY = Library()
"""The one of this process."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=LIBRARY.renew_lock)
