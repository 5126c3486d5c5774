"""Pages of LLVM's library that are given back between its uses.

Loading LLVM touches a quarter of its 150 MB of code and constants, and compiling a program half: pages that count as
this process's until it ends. The system has them from a file, and maps them again where they are needed.
"""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path

from llvmlite.binding import ffi

DONT_NEED = 4
"""MADV_DONTNEED of <sys/mman.h>."""
WRITTEN = (b"Anonymous:", b"Swap:")
"""What the system counts of a file's pages that a process has written, whoever else has them since a fork."""


def give_back_pages() -> None:
    """Have the process hold none of LLVM's code and constants for now; on Linux, which tells where they lie."""
    if sys.platform != "linux":
        return
    with suppress(OSError, AttributeError):
        advise = ctypes.CDLL(None).madvise
        for start, length in _unwritten():
            advise(ctypes.c_void_p(start), ctypes.c_size_t(length), DONT_NEED)


@cache
def _unwritten() -> tuple[tuple[int, int], ...]:
    """Where the library's pages lie that nobody may write, and in which the loader has not written: start, length.

    Those of addresses that the loader has filled in cannot be written any more, but would come back without them.
    """
    library, mapping = bytes(Path(ffi.lib._name).resolve()), b""
    unwritten: dict[bytes, bool] = {}
    for line in Path("/proc/self/smaps").read_bytes().split(b"\n")[:-1]:  # names may have other ends of lines
        name, value = line.split(maxsplit=1)
        if not name.endswith(b":"):
            mapping = line
        elif name in WRITTEN and mapping.endswith(library) and b"w" not in mapping.split()[1]:
            unwritten[mapping] = unwritten.get(mapping, True) and value.split()[0] == b"0"
    bounds = [[int(end, 16) for end in mapping.split()[0].split(b"-")] for mapping, kept in unwritten.items() if kept]
    return tuple((start, end - start) for start, end in bounds)
