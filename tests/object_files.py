"""What object files of any platform refer to: functions that they do not hold, and how far they can reach for the rest.

references(code).undefined     # names of symbols that others have to provide
references(code).kinds         # the numbers of their relocations' kinds, whose names are the format's
"""

from __future__ import annotations

import struct
from dataclasses import dataclass


@dataclass(frozen=True)
class References:
    """Symbols without an underscore that the platform puts before each."""

    undefined: frozenset[str]
    kinds: frozenset[int]


def references(code: bytes) -> References:
    """Of an object file for a 64-bit processor: ELF, Mach-O or COFF."""
    if code.startswith(b"\x7fELF"):
        return _of_elf(code)
    return _of_mach_o(code) if code.startswith(b"\xcf\xfa\xed\xfe") else _of_coff(code)


def _name(code: bytes, at: int) -> str:
    return code[at : code.index(b"\0", at)].decode()


def _of_elf(code: bytes) -> References:
    (table,) = struct.unpack_from("<Q", code, 40)
    size, count = struct.unpack_from("<HH", code, 58)
    sections = [struct.unpack_from("<IIQQQQIIQQ", code, table + size * i) for i in range(count)]
    undefined, kinds = set(), set()
    for _, kind, _, _, start, nbytes, link, *_ in sections:
        if kind == 2:  # symbols
            for at in range(start, start + nbytes, 24):
                name, _, _, section = struct.unpack_from("<IBBH", code, at)
                if name and not section:
                    undefined.add(_name(code, sections[link][4] + name))
        elif kind == 4:  # relocations with addends
            kinds |= {struct.unpack_from("<I", code, at + 8)[0] for at in range(start, start + nbytes, 24)}
    return References(frozenset(undefined), frozenset(kinds))


def _of_mach_o(code: bytes) -> References:
    undefined, kinds, at = set(), set(), 32
    for _ in range(struct.unpack_from("<I", code, 16)[0]):
        command, size = struct.unpack_from("<II", code, at)
        if command == 2:  # symbols
            table, count, names, _ = struct.unpack_from("<IIII", code, at + 8)
            for symbol in range(table, table + 16 * count, 16):
                name, kind = struct.unpack_from("<IB", code, symbol)
                if kind & 0x0F == 1:
                    undefined.add(_name(code, names + name).removeprefix("_"))
        elif command == 0x19:  # a segment with its sections
            for section in range(at + 72, at + size, 80):
                table, count = struct.unpack_from("<II", code, section + 56)
                kinds |= {code[place + 7] >> 4 for place in range(table, table + 8 * count, 8)}
        at += size
    return References(frozenset(undefined), frozenset(kinds))


def _of_coff(code: bytes) -> References:
    sections, _, table, count, optional = struct.unpack_from("<HIIIH", code, 2)
    undefined, kinds, at = set(), set(), table
    while at < table + 18 * count:
        short, value, section, _, storage, more = struct.unpack_from("<8sIhHBB", code, at)
        if storage == 2 and not section and not value:
            long = table + 18 * count + int.from_bytes(short[4:], "little")
            undefined.add(short.rstrip(b"\0").decode() if any(short[:4]) else _name(code, long))
        at += 18 * (1 + more)
    for section in range(20 + optional, 20 + optional + 40 * sections, 40):
        start, _, number = struct.unpack_from("<IIH", code, section + 24)
        kinds |= {struct.unpack_from("<H", code, start + 10 * i + 8)[0] for i in range(number)}
    return References(frozenset(undefined), frozenset(kinds))
