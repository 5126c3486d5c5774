"""Interrupts that come at a time we choose: wherever the interpreter looks for one, each in its turn.

It does so when a function begins, after a call, and where a loop goes back. What we can raise there comes an
instruction later, so a moment is left out where another handler of exceptions is in force by then.
"""

from __future__ import annotations

import dis
import sys
from collections.abc import Callable
from functools import cache
from types import CodeType, FrameType
from typing import Any

LOOKS_AFTER = {name for name in dis.opmap if name in ("RESUME", "CALL", "CALL_FUNCTION_EX", "CALL_KW", "JUMP_BACKWARD")
               or name.startswith("POP_JUMP_BACKWARD")}  # fmt: skip


class Interrupts:
    """Raises an error in functions of some files at the moment of that number, in this thread."""

    def __init__(self, files: set[str], number: int, error: BaseException | type[BaseException]) -> None:
        self._files, self._number, self._error = files, number, error
        self.seen = 0
        """How many moments there were."""
        self._before: dict[FrameType, int] = {}
        self.where = ""
        """Where it was raised; '' where there were not so many moments."""

    def call(self, function: Callable[[], Any]) -> Any:
        """Call a function, which the error may end."""
        before = sys.gettrace()
        sys._getframe().f_trace_opcodes = True  # Python 3.12 looks only in `settrace` whether opcodes are wanted
        sys.settrace(self._begin)
        try:
            return function()
        finally:
            sys.settrace(before)
            self._before.clear()

    def _begin(self, frame: FrameType, event: str, arg: Any) -> Any:
        if frame.f_code.co_filename not in self._files or _is_finalizing(frame):
            return None
        frame.f_trace = self._step  # or Python 3.13 and later tell no opcodes of a function's first call
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return self._step

    def _step(self, frame: FrameType, event: str, arg: Any) -> Any:
        if event == "opcode":
            before = self._before.get(frame, 0)
            self._before[frame] = frame.f_lasti
            if _looks(frame.f_code, before) and _handler(frame.f_code, before) == _handler(frame.f_code, frame.f_lasti):
                self.seen += 1
                if self.seen == self._number:
                    self.where = f"{frame.f_code.co_qualname}:{frame.f_lineno}"
                    self.come()
        return self._step

    def come(self) -> None:
        """What happens at the moment."""
        raise self._error


def _is_finalizing(frame: FrameType) -> bool:
    """Whether Python drops what a function raises, whenever the memory is collected that it is called for."""
    caller = frame.f_back
    return "__del__" in (frame.f_code.co_name, caller and caller.f_code.co_name)


def _looks(code: CodeType, offset: int) -> bool:
    """Whether an instruction looks for interrupts; a function's first one does."""
    return offset == 0 or dis.opname[code.co_code[offset]] in LOOKS_AFTER


@cache
def _handler(code: CodeType, offset: int) -> int | None:
    """Where an exception goes that an instruction raises."""
    return next((each.target for each in dis._parse_exception_table(code) if each.start <= offset < each.end), None)
