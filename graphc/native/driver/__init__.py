"""The driver: native code that interprets a program's segments, and lets several threads share the work of a stage."""

from __future__ import annotations

import ctypes
import os
from functools import cache

from graphc.native.driver import running, sharing, waiting
from graphc.native.driver.layout import (
    CLOSED,
    DONE,
    HEADER,
    IN_OBJECT,
    LET_GO,
    LOCK,
    MOST_BLOCKS,
    PATCH_WORDS,
    POOL,
    PRESENT,
    RUNNING,
    SEGMENT_WORDS,
    STAGE_WORDS,
    STAGES,
    TAKE,
    TASK_WORDS,
    VALUES,
    WANTED,
    WORD,
    WORD_BYTES,
    WORKER_WORDS,
    YIELD,
)
from graphc.native.objects import ARRAY_DATA, LIST_ITEMS

__all__ = [
    "CLOSED", "DISMISS", "DONE", "DRIVE", "HEADER", "HELP", "IN_OBJECT", "LET_GO", "LOCK", "MOST_BLOCKS",
    "PATCH_WORDS", "POOL", "PRESENT", "RUNNING", "SEGMENT_WORDS", "SERVE", "STAGES", "STAGE_WORDS", "STRIP", "SYMBOLS",
    "TAKE", "TASK_WORDS", "VALUES", "WANTED", "WORD", "WORD_BYTES", "WORKER_WORDS", "YIELD", "text", "yielding",
]  # fmt: skip

SYMBOLS = ("drive", "help", "serve", "dismiss", "strip")
"""What is called from outside."""
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
    except (OSError, AttributeError):
        return 0


def text(processor: str) -> str:
    """The driver's IR; `processor` is the first part of LLVM's triple."""
    declaration, pause = _PAUSES.get(processor.replace("arm64", "aarch64"), ("", ""))
    numbers = {"LIST_ITEMS": LIST_ITEMS, "ARRAY_DATA": ARRAY_DATA, "IDLE_TURNS": waiting.IDLE_TURNS,
               "PATIENT_TURNS": sharing.PATIENT_TURNS, "SHARE": sharing.SHARE}  # fmt: skip
    written = "".join((waiting.TEXT, sharing.TEXT, running.TEXT)).replace("PAUSE", pause)
    for name, number in numbers.items():
        written = written.replace(name, str(number))
    return f"{declaration}\n{written}"
