"""Pages of LLVM's code that are given back between its uses.

Starting LLVM runs a little of all of its 80 MB of code, and compiling a program half of it: pages that count as this
process's until it ends. The system has them from a file, and maps them again where they are needed.
"""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress
from pathlib import Path

from llvmlite.binding import ffi

DONT_NEED = 4
"""MADV_DONTNEED of <sys/mman.h>."""


def give_back_pages() -> None:
    """Have the process hold none of LLVM's code for now, where the system can tell where it lies: on Linux."""
    if sys.platform != "linux":
        return
    with suppress(OSError, AttributeError):
        advise = ctypes.CDLL(None).madvise
        library = str(Path(ffi.lib._name).resolve())
        for line in Path("/proc/self/maps").read_text().splitlines():
            if line.endswith(library) and " r-xp " in line:  # never written: nothing is lost
                start, end = (int(address, 16) for address in line.split()[0].split("-"))
                advise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), DONT_NEED)
