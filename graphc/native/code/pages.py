"""Pages of LLVM's library that are given back between its uses, and while it is used.

Loading LLVM touches a quarter of its 150 MB of code and constants, and compiling a program half: pages that count as
this process's until it ends. The system has them from a file, and maps them again where they are needed.
"""

from __future__ import annotations

import ctypes
import sys
from functools import cache
from mmap import PAGESIZE

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


def give_back_pages() -> None:
    """Have the process hold none of LLVM's code and constants for now; on Linux, which tells where they lie."""
    if sys.platform != "linux" or sys.maxsize < 2**32:
        return
    try:
        advise = ctypes.CDLL(None).madvise
        for start, length in _unwritten():
            advise(ctypes.c_void_p(start), ctypes.c_size_t(length), DONT_NEED)
    except (OSError, AttributeError) as error:
        let_through(error)


@cache
def _unwritten() -> tuple[tuple[int, int], ...]:
    """The start and length of the whole pages of the library that nobody may ever write: what the loader fills in, and
    makes constant then, is not among them, and would come back empty."""
    function = ctypes.cast(ctypes.PyDLL(ffi.lib._name).LLVMPY_GetVersionInfo, ctypes.c_void_p).value or 0
    first = _first_address(function)
    header = ctypes.string_at(first, 64)
    place, count = int.from_bytes(header[32:40], sys.byteorder), int.from_bytes(header[56:58], sys.byteorder)
    segments = [segment for segment in (Segment * count).from_address(first + place) if segment.kind == LOADED]
    offset = first - segments[0].start
    found = [(-(-(offset + segment.start) // PAGESIZE), (offset + segment.start + segment.nbytes) // PAGESIZE)
             for segment in segments if not segment.flags & WRITABLE]  # fmt: skip
    return tuple((start * PAGESIZE, (end - start) * PAGESIZE) for start, end in found)


def _first_address(function: int) -> int:
    """Where the file that has a function begins in memory, as the system lists it."""
    starts: dict[str, int] = {}
    with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as lines:
        for line in lines:
            span, *_, file = line.split(maxsplit=4)  # permissions, offset, device; number and name of the file
            start, end = (int(number, 16) for number in span.split("-"))
            starts.setdefault(file, start)
            if start <= function < end:
                return starts[file]
    raise OSError("the system does not say where LLVM's library lies")
