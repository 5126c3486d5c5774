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
    library, found, mapping = str(Path(ffi.lib._name).resolve()), [], ""
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if line.startswith("Private_Dirty:") and mapping.endswith(library):
            addresses, permissions = mapping.split()[:2]
            if "w" not in permissions and line.split()[1] == "0":
                start, end = (int(address, 16) for address in addresses.split("-"))
                found.append((start, end - start))
        elif "-" in line.split(maxsplit=1)[0]:
            mapping = line
    return tuple(found)
