"""Signals: when to look for them, and what their handlers raise, such as a time-out, told from other errors."""

from __future__ import annotations

from inspect import CO_VARARGS
from itertools import pairwise
from traceback import walk_tb
from types import FrameType
from typing import Any


def let_through(error: BaseException) -> None:
    """Raise an error again that a handler of signals has raised, whatever it came in the middle of.

    Python calls handlers with the frame that they interrupt.
    """
    frames = [frame for frame, _ in walk_tb(error.__traceback__)]
    if any(_is_given(frame, interrupted) for interrupted, frame in pairwise(frames)):
        raise error


def look() -> None:
    """Have Python look for signals, and for what other threads raise in this one: it does where a function begins."""


def _is_given(frame: FrameType, thing: Any) -> bool:
    """Whether a function was called with something."""
    code = frame.f_code
    count = code.co_argcount + code.co_kwonlyargcount + bool(code.co_flags & CO_VARARGS)
    given = [frame.f_locals.get(name) for name in code.co_varnames[:count]]
    return any(each is thing for value in given for each in (value if type(value) is tuple else (value,)))
