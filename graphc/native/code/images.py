"""Machine code as it lies in memory: an object file, linked, so that to load it is to copy it.

LLVM can link object files too, but for that its code generator has to start, and a process that finds its code on disk
needs nothing else of it. This is for ELF files of x86-64 whose code knows the rest of itself, and functions outside, by
addresses of 64 bits; others are LLVM's to link.

image = image_of(file, ["kernel"])  # None where LLVM has to link
start, = mapped(image)              # an address for each symbol
"""

from __future__ import annotations

import ctypes
import json
import mmap
from collections.abc import Sequence
from functools import cache, cached_property
from typing import Any

import numpy as np

_MARK = b"image "
_SECTION = np.dtype([
    ("name", "<u4"), ("kind", "<u4"), ("flags", "<u8"), ("address", "<u8"), ("offset", "<u8"), ("nbytes", "<u8"),
    ("link", "<u4"), ("info", "<u4"), ("alignment", "<u8"), ("entry", "<u8"),
])  # fmt: skip
_SYMBOL = np.dtype([("name", "<u4"), ("info", "<u2"), ("section", "<u2"), ("value", "<u8"), ("nbytes", "<u8")])
_RELOCATION = np.dtype([("place", "<u8"), ("kind", "<u4"), ("symbol", "<u4"), ("addend", "<i8")])
"""Elf64_Shdr, Elf64_Sym and Elf64_Rela of <elf.h>."""
_ELF, _X86_64 = b"\x7fELF\x02\x01\x01", (62).to_bytes(2, "little")
"""How a file begins, of 64 bits and little-endian, and EM_X86_64, which stands at 18."""
_CONTENT, _SYMBOLS, _RELOCATIONS, _EMPTY = 1, 2, 4, 8
"""SHT_PROGBITS, SHT_SYMTAB, SHT_RELA and SHT_NOBITS."""
_WRITABLE, _IN_MEMORY = 1, 2
"""SHF_WRITE and SHF_ALLOC."""
_ADDRESS = 1
"""R_X86_64_64: the address of a symbol, in eight bytes."""


def image_of(file: bytes, symbols: Sequence[str]) -> bytes | None:
    """An object file as an image: a line with the places of symbols and of addresses, then the code."""
    if not file.startswith(_ELF) or file[18:20] != _X86_64:
        return None
    linking = _Linking(file)
    if not linking.link():
        return None
    facts = [[linking.place_of(symbol) for symbol in symbols], linking.inside, linking.outside, linking.constant]
    return _MARK + json.dumps(facts).encode() + b"\n" + bytes(linking.code)


def is_image(code: bytes) -> bool:
    """Whether this is one, and not an object file."""
    return code.startswith(_MARK)


def mapped(image: bytes) -> list[int]:
    """The addresses of its symbols, once it is in memory, where it stays: threads may run it until the process ends.

    Raises OSError where the system lets no new code be run.
    """
    facts, _, code = image.removeprefix(_MARK).partition(b"\n")
    symbols, inside, outside, constant = json.loads(facts)
    memory = mmap.mmap(-1, len(code), mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, mmap.PROT_READ | mmap.PROT_WRITE)
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(memory))
    memory[:] = code
    start = int(np.frombuffer(memory, np.uint8).__array_interface__["data"][0])
    for base, places in ((start, inside), *((_address(name), places) for name, places in outside.items())):
        for place in places:
            offset = int.from_bytes(code[place : place + 8], "little", signed=True)
            memory[place : place + 8] = (base + offset).to_bytes(8, "little")
    _make_runnable(start, constant)
    return [start + place for place in symbols]


def _address(name: str) -> int:
    """That of a function of the C library; raises AttributeError if there is none."""
    return ctypes.cast(getattr(_library(), name), ctypes.c_void_p).value or 0


@cache
def _library() -> ctypes.PyDLL:
    """The C library, called with Python's lock: to get it back may take longer than what is called."""
    return ctypes.PyDLL(None, use_errno=True)


def _make_runnable(start: int, nbytes: int) -> None:
    protect = _library().mprotect
    if protect(ctypes.c_void_p(start), ctypes.c_size_t(nbytes), mmap.PROT_READ | mmap.PROT_EXEC):
        raise OSError(ctypes.get_errno(), "the system lets no new machine code be run")


class _Linking:
    """The sections of a file that are needed in memory, one behind the other, with what each knows of the others."""

    def __init__(self, file: bytes) -> None:
        self._file = file
        start, count = int.from_bytes(file[40:48], "little"), int.from_bytes(file[60:62], "little")
        self._sections = np.frombuffer(file, _SECTION, count, start)
        self._starts: dict[int, int] = {}
        """Where in `code` the section of a number begins."""
        self.code = bytearray()
        self.inside: list[int] = []
        """Where the address of this code is to be added."""
        self.outside: dict[str, list[int]] = {}
        """By name of a function that the code calls and does not hold, where its address is to be added."""
        self.constant = 0
        """How much of it is not written: what is begins with a page of its own."""

    def link(self) -> bool:
        """Whether that could be done: not with distances to what may lie anywhere."""
        self._put_sections(0)
        self.constant = len(self.code)
        if any(section["flags"] & _WRITABLE for section in self._sections):
            self.constant = self._put(b"", mmap.PAGESIZE)
            self._put_sections(_WRITABLE)
        tables = [s for s in self._sections if s["kind"] == _RELOCATIONS and int(s["info"]) in self._starts]
        return all(self._relocate(table) for table in tables)

    def place_of(self, name: str) -> int:
        """Where in `code` a symbol of the file is; raises KeyError if it has none of the name."""
        return self._places[name]

    def _put_sections(self, writable: int) -> None:
        """Those that are in memory, and written or not; not how to unwind calls, which nobody does."""
        for number, section in enumerate(self._sections):
            if section["flags"] & (_IN_MEMORY | _WRITABLE) == _IN_MEMORY | writable and section["nbytes"]:
                if section["kind"] == _CONTENT:
                    self._starts[number] = self._put(self._bytes(section), int(section["alignment"]))
                elif section["kind"] == _EMPTY:
                    self._starts[number] = self._put(bytes(int(section["nbytes"])), int(section["alignment"]))

    def _put(self, content: bytes, alignment: int) -> int:
        self.code += bytes(-len(self.code) % alignment)
        self.code += content
        return len(self.code) - len(content)

    def _bytes(self, section: Any) -> bytes:
        return self._file[section["offset"] : section["offset"] + section["nbytes"]]

    def _relocate(self, table: Any) -> bool:
        start = self._starts[int(table["info"])]
        for place, kind, symbol, addend in np.frombuffer(self._bytes(table), _RELOCATION).tolist():
            if kind != _ADDRESS:
                return False
            name, _, section, value, _ = self._symbols[symbol]
            at = start + place
            places = self.inside if section else self.outside.setdefault(self._name(name), [])
            places.append(at)
            offset = self._starts[section] + value + addend if section else addend
            self.code[at : at + 8] = offset.to_bytes(8, "little", signed=True)
        return True

    @cached_property
    def _symbol_table(self) -> Any:
        return next(section for section in self._sections if section["kind"] == _SYMBOLS)

    @cached_property
    def _symbols(self) -> list[tuple[int, ...]]:
        return list(map(tuple, np.frombuffer(self._bytes(self._symbol_table), _SYMBOL).tolist()))

    @cached_property
    def _places(self) -> dict[str, int]:
        return {self._name(name): self._starts[section] + value
                for name, _, section, value, _ in self._symbols if section in self._starts}  # fmt: skip

    def _name(self, start: int) -> str:
        names = self._bytes(self._sections[int(self._symbol_table["link"])])
        return names[start : names.index(b"\0", start)].decode()
