"""The driver: native code that interprets a program's segments, and lets several threads share the work of a stage.

It is written as LLVM IR with three instructions more:

    %x = field T, %record, NAME     a word of a record
    %x = place %record, N           the address so many words further
    %x = target %record, NAME       the place in the context %ctx that a word of a record tells
"""

from __future__ import annotations

import ctypes
import os
import re
from functools import cache

from graphc.native.driver import layout, running, sharing, waiting
from graphc.native.objects import ARRAY_DATA, LIST_ITEMS
from graphc.signals import let_through

SYMBOLS = ("drive", "help", "serve", "dismiss", "strip")
"""What is called from outside."""
TITLE = '; ModuleID = "driver"\n'
DRIVE, HELP, SERVE, DISMISS, STRIP = range(len(SYMBOLS))

_PAUSES = {
    "x86_64": ("declare void @llvm.x86.sse2.pause()", "call void @llvm.x86.sse2.pause()"),
    "aarch64": ("declare void @llvm.aarch64.hint(i32)", "call void @llvm.aarch64.hint(i32 1)"),
}
"""By LLVM's name of the processor: how it is told that a thread only waits."""


@cache
def yielding() -> int:
    """The address of the system's function that lets other threads run, or 0 where none is known."""
    try:
        library, name = (ctypes.CDLL("kernel32"), "SwitchToThread") if os.name == "nt" else (
            ctypes.CDLL(None), "sched_yield")  # fmt: skip
        return ctypes.cast(getattr(library, name), ctypes.c_void_p).value or 0
    except (OSError, AttributeError) as error:
        let_through(error)
        return 0


_INSTRUCTIONS = tuple((re.compile(instruction), meaning) for instruction, meaning in (
    (r"(%\S+) = target (%\S+), (\w+)", r"\1.word = field i64, \2, \3\n  \1 = place %ctx, \1.word"),
    (r"(%\S+) = field (\w+), (%\S+), (\w+)", r"\1.at = place \3, \4\n  \1 = load \2, ptr \1.at, align 8"),
    (r"(%\S+) = place (%\S+), (\S+)", r"\1 = getelementptr i64, ptr \2, i64 \3"),
))  # fmt: skip
_NAME = re.compile(r"\b[A-Z]+(_[A-Z]+)*\b")
_NAMES = {"LIST_ITEMS": LIST_ITEMS, "ARRAY_DATA": ARRAY_DATA, **vars(layout), **vars(sharing), **vars(waiting)}


def structure(processor: str) -> tuple[str | int, ...]:
    """What its IR depends on."""
    return "driver", processor, LIST_ITEMS, ARRAY_DATA


def text(processor: str) -> str:
    """The driver's IR; `processor` is the first part of LLVM's triple."""
    declaration, pause = _PAUSES.get(processor.replace("arm64", "aarch64"), ("", ""))
    written = "".join((waiting.TEXT, sharing.TEXT, running.TEXT)).replace("PAUSE", pause)
    for instruction, meaning in _INSTRUCTIONS:
        written = instruction.sub(meaning, written)
    written = _NAME.sub(lambda name: str(_NAMES.get(name[0], name[0])), written)
    return f"{TITLE}{declaration}\n{written}"
