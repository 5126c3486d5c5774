"""Whether native code can run here: asked once, before the first program is made."""

from __future__ import annotations

from functools import cache

from graphc.native import driver


@cache
def why_unusable() -> str:
    """Why native code cannot run in this process, in a few words; '' where it can. Loads LLVM."""
    if not driver.knows_objects():
        return "this Python keeps lists and arrays in memory in a way that it does not know"
    try:
        from graphc.native.kernels import LIBRARY

        return "" if all(LIBRARY.driver.addresses) else "LLVM compiled a program that cannot be found"
    except Exception as error:  # whatever loading a library, an old version of one, or LLVM raises
        return f"LLVM does not work here: {type(error).__name__}: {error}"
