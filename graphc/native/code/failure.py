"""What LLVM fails at, told from all else that may go wrong or come in between."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from graphc.signals import let_through

Result = TypeVar("Result")


class LLVMError(Exception):
    """What LLVM or its binding has raised, in a sentence: there is no native code for what was asked."""


def from_llvm(ask: Callable[[], Result]) -> Result:
    """What a function returns that does nothing but call LLVM. Whatever LLVM or its binding raises is an LLVMError."""
    try:
        return ask()
    except Exception as error:
        let_through(error)
        raise LLVMError(f"{type(error).__name__}: {error}") from error
