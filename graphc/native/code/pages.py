"""Pages of LLVM's library that are given back between its uses.

Loading LLVM touches a quarter of its 150 MB of code and constants, and compiling a program half: pages that count as
this process's until it ends. The system has them from a file, and maps them again where they are needed.
"""

from __future__ import annotations

import ctypes
import sys
from functools import cache
from mmap import PAGESIZE
from typing import Any

from llvmlite.binding import ffi

from graphc.signals import let_through

DONT_NEED = 4
"""MADV_DONTNEED of <sys/mman.h>."""
LOADED, WRITABLE = 1, 2
"""PT_LOAD and PF_W of <elf.h>."""


class Segment(ctypes.Structure):
    """Elf64_Phdr of <elf.h>: what a file has loaded where, relative to its first address."""

    _fields_ = (("kind", ctypes.c_uint32), ("flags", ctypes.c_uint32), ("offset", ctypes.c_uint64),
                ("start", ctypes.c_uint64), ("physical", ctypes.c_uint64), ("bytes_in_file", ctypes.c_uint64),
                ("nbytes", ctypes.c_uint64), ("alignment", ctypes.c_uint64))  # fmt: skip


class LoadedFile(ctypes.Structure):
    """The first fields of dl_phdr_info of <link.h>: a file that is loaded."""

    _fields_ = (("address", ctypes.c_uint64), ("name", ctypes.c_char_p), ("segments", ctypes.POINTER(Segment)),
                ("count", ctypes.c_uint16))  # fmt: skip


def give_back_pages() -> None:
    """Have the process hold none of LLVM's code and constants for now; on Linux, which tells where they lie."""
    if sys.platform != "linux" or sys.maxsize < 2**32:
        return
    try:
        advise = ctypes.PyDLL(None).madvise  # with Python's lock: to get it back may take longer
        for start, length in _unwritten():
            advise(ctypes.c_void_p(start), ctypes.c_size_t(length), DONT_NEED)
    except (OSError, AttributeError) as error:
        let_through(error)


@cache
def _unwritten() -> tuple[tuple[int, int], ...]:
    """The start and length of the whole pages of the library that nobody may ever write: what the loader fills in, and
    makes constant then, is not among them, and would come back empty."""
    function = ctypes.cast(ctypes.PyDLL(ffi.lib._name).LLVMPY_GetVersionInfo, ctypes.c_void_p).value or 0
    found: list[tuple[int, int]] = []

    def look(loaded: Any, size: int, nothing: Any) -> int:
        file = loaded.contents
        segments = [(segment, file.address + segment.start) for segment in file.segments[: file.count]
                    if segment.kind == LOADED]  # fmt: skip
        if not any(start <= function < start + segment.nbytes for segment, start in segments):
            return 0
        for segment, first in segments:
            if not segment.flags & WRITABLE:
                start, end = -(-first // PAGESIZE) * PAGESIZE, (first + segment.nbytes) // PAGESIZE * PAGESIZE
                found.append((start, end - start))
        return 1  # that was the one

    visit = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(LoadedFile), ctypes.c_size_t, ctypes.c_void_p)
    ctypes.PyDLL(None).dl_iterate_phdr(visit(look), None)  # with Python's lock: who waits for the loader's may hold it
    return tuple(found)
