"""Whether native code can run here: asked before a graph is compiled."""

from __future__ import annotations

from graphc.native.code.failure import LLVMError
from graphc.native.objects import knows_objects
from graphc.signals import let_through


def why_unusable() -> str:
    """Why native code cannot run in this process, in a few words; '' where nothing is known to prevent it.

    LLVM starts meanwhile, and compiles the driver that every program needs: a program finds out whether it could.
    """
    if not knows_objects():
        return "this Python keeps lists and arrays in memory in a way that it does not know"
    try:
        from graphc.native.code.library import LIBRARY

        LIBRARY.begin_driver()
    except LLVMError as error:
        return f"LLVM does not work here: {error}"
    except Exception as error:  # whatever loading a library raises, or an old version of one
        let_through(error)
        return f"LLVM does not work here: {type(error).__name__}: {error}"
    return ""
