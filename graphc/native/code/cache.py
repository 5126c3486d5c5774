"""Machine code on disk, so that a second process need not compile what a first one has.

An entry is named by a hash of the IR, the processor and LLVM's version, and begins with a hash of its name and content,
so one that is damaged or has another's name is never used. Only a directory that nobody else can write is trusted. What
goes wrong costs a warning and a compilation, never a result. The entries that were used least lately go when there are
too many: any process may remove any entry at any time. `GRAPHC_CACHE` names another directory; empty, it turns the
cache off.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from io import FileIO
from pathlib import Path

from graphc.signals import let_through

_DIGEST = 32
_FORMAT = b"5"
"""What entries look like; those of another format have other names."""
LARGEST_BYTES = 256 << 20
"""What all entries may take; beyond it, the oldest go until a quarter is free."""
LOOKS_AT_NAMES = ("00", "40", "80", "c0")
"""The size is looked at with each new entry whose name, a hash, begins so: one in 64."""
USED_ANEW_SECONDS = 86_400.0
"""An entry that was last used so long ago is marked as used when it is read."""
IN_USE: tuple[type[OSError], ...] = (PermissionError,) if os.name == "nt" else ()
"""What Windows says of an entry that another process reads, removes or replaces just now."""


def content_key(*parts: str) -> str:
    """The name of an entry: a hash of everything that its content depends on."""
    digest = hashlib.sha256(_FORMAT)
    for part in parts:
        digest.update(part.encode())
        digest.update(b"\0")
    return digest.hexdigest()


def cache_directory() -> Path | None:
    """Where entries are kept; None where the user wants none kept or no directory is known."""
    chosen = os.environ.get("GRAPHC_CACHE")
    if chosen is not None:
        return Path(os.path.expanduser(chosen)) if chosen else None
    try:
        import platformdirs
    except ImportError:
        return None
    return Path(platformdirs.user_cache_dir("graphc")) / "kernels"


class DiskCache:
    """Entries in one directory. Nothing here raises; `tell` is told of the first trouble of each directory."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._told: set[Path] = set()

    def get(self, key: str) -> bytes | None:
        """The content of an entry, or None where there is none that is intact."""
        directory = cache_directory()
        if directory is None:
            return None
        try:
            if not self._is_safe(directory):
                return None
            with open(directory / key, "rb", buffering=0) as file:
                stored = file.read()
                _mark_used(file)
        except OSError as error:
            let_through(error)
            if not isinstance(error, (FileNotFoundError, NotADirectoryError, *IN_USE)):
                self._warn(directory, f"cannot read it: {error}")
            return None
        if _digest(key, stored[_DIGEST:]) == stored[:_DIGEST]:
            return stored[_DIGEST:]
        self.reject(key, "is damaged")
        return None

    def reject(self, key: str, problem: str) -> None:
        """Say that an entry cannot be used, and why; the next `put` replaces it."""
        directory = cache_directory()
        if directory is not None:
            self._warn(directory, f"entry {key} {problem} and will be written anew")

    def put(self, key: str, content: bytes) -> None:
        """Keep an entry, whole or not at all."""
        directory = cache_directory()
        if directory is None:
            return
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self._is_safe(directory):
                _write(directory / key, _digest(key, content) + content)
                if key.startswith(LOOKS_AT_NAMES):
                    _shrink(directory)
        except OSError as error:
            let_through(error)
            self._warn(directory, f"cannot write to it: {error}")

    def _is_safe(self, directory: Path) -> bool:
        """Whether the directory is the user's own and writable by nobody else (where the system tells)."""
        if not hasattr(os, "getuid"):
            return True
        facts = directory.stat()
        if facts.st_uid != os.getuid():
            self._warn(directory, "it belongs to another user")
        elif facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            self._warn(directory, "other users may write to it")
        else:
            return True
        return False

    def _warn(self, directory: Path, problem: str) -> None:
        if directory not in self._told:
            self._told.add(directory)
            remedy = "set GRAPHC_CACHE to another directory, or to nothing"
            self._tell(f"the kernel cache {directory} is not used as it should be: {problem} ({remedy})")


def _digest(key: str, content: bytes) -> bytes:
    return hashlib.sha256(key.encode() + content).digest()


def _write(target: Path, content: bytes) -> None:
    """Write a file whole or not at all. Nothing waits for the disk: what a crash leaves of it is found damaged."""
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=".")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        _replace(name, target)
    except BaseException:
        os.unlink(name)
        raise


def _replace(name: str, target: Path) -> None:
    try:
        os.replace(name, target)
    except IN_USE:  # the entry that is there is as good: another process reads or writes it
        os.unlink(name)


def _mark_used(file: FileIO) -> None:
    try:
        if time.time() - os.fstat(file.fileno()).st_mtime > USED_ANEW_SECONDS:
            os.utime(file.name)
    except OSError as error:  # removed, or not ours to mark
        let_through(error)


def _shrink(directory: Path) -> None:
    """Remove the oldest files where all together are too large; others may do the same at the same time."""
    found: list[tuple[float, int, str]] = []
    with os.scandir(directory) as files:
        for file in files:
            with suppress(FileNotFoundError):
                facts = file.stat()
                found.append((facts.st_mtime, facts.st_size, file.path))
    total = sum(size for _, size, _ in found)
    if total <= LARGEST_BYTES:
        return
    for _, size, path in sorted(found):
        if total <= LARGEST_BYTES * 3 // 4:
            return
        with suppress(FileNotFoundError, *IN_USE):
            os.unlink(path)
        total -= size
