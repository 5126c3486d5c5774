"""Whether native code can run here: asked once, before the first program is made."""

from __future__ import annotations

import ctypes
from functools import cache

from graphc.native.objects import knows_objects

PROBE = """; final
define i64 @probe(ptr %place) {
  %value = load i64, ptr %place, align 8
  ret i64 %value
}
"""
"""A function to compile: the driver, which takes longer, is compiled while passes run."""


@cache
def why_unusable() -> str:
    """Why native code cannot run in this process, in a few words; '' where it can. Loads LLVM."""
    if not knows_objects():
        return "this Python keeps lists and arrays in memory in a way that it does not know"
    try:
        from graphc.native.code.library import LIBRARY

        LIBRARY.begin_driver()
        found = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p)(LIBRARY.load(PROBE, "probe").address)
        return "" if found(ctypes.addressof(ctypes.c_int64(42))) == 42 else "LLVM compiled a program that does not run"
    except Exception as error:  # whatever loading a library, an old version of one, or LLVM raises
        return f"LLVM does not work here: {type(error).__name__}: {error}"
