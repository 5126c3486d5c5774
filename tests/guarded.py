"""Memory that ends where the next page may not be touched: what reads or writes past an array ends the process.

guarded(array)                  # a copy that ends at such a page
guarded(array, before=True)     # one that begins right after one
guarding(monkeypatch)           # new programs' arena, constants and results lie so, filled with NaN before
run_guarded(f, feeds, monkeypatch)  # the two results of a compiled function with all of that
"""

from __future__ import annotations

import ctypes
import mmap
import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

PAGE = mmap.PAGESIZE
PROT_NONE, PAGE_NOACCESS = 0, 1
GRAIN = 16
"""Memory of the arena begins at multiples of so many bytes."""


def forbid(address: int) -> None:
    """Have the page that begins there not be touched any more."""
    page = ctypes.c_void_p(address), ctypes.c_size_t(PAGE)
    if os.name == "nt":
        is_done = ctypes.CDLL("kernel32").VirtualProtect(*page, PAGE_NOACCESS, ctypes.byref(ctypes.c_uint32()))
    else:
        is_done = ctypes.CDLL(None).mprotect(*page, PROT_NONE) == 0
    if not is_done:
        raise OSError(f"the page at {address} cannot be protected")


def _pages(nbytes: int) -> int:
    return -(-max(nbytes, 1) // PAGE)


def _mapped(pages: int) -> np.ndarray[Any, Any]:
    return np.frombuffer(mmap.mmap(-1, pages * PAGE), np.uint8)


def guarded(array: Any, *, before: bool = False) -> np.ndarray[Any, Any]:
    """A copy in C order beside a page that may not be touched."""
    array = np.asarray(array)
    count = _pages(array.nbytes)
    memory = _mapped(count + 1)
    forbid(memory.ctypes.data + (0 if before else count * PAGE))
    start = PAGE if before else count * PAGE - array.nbytes
    copy = memory[start : start + array.nbytes].view(array.dtype).reshape(array.shape) if array.nbytes else (
        np.empty(array.shape, array.dtype))  # fmt: skip
    copy[...] = array
    return copy


class GuardedArena:
    """In the place of `Arena`: every memory has pages of its own, with one that may not be touched behind it."""

    guards: dict[int, list[int]] = {}  # noqa: RUF012 (what the arenas made so far leave for `aligned`)
    made = 0

    def __init__(self) -> None:
        self._pages = 0
        self._guards: list[int] = []

    def take(self, nbytes: int) -> int:
        """An offset, so that the memory ends at most GRAIN bytes before the page."""
        self._pages += _pages(nbytes)
        end = self._pages * PAGE
        self._guards.append(end)
        self._pages += 1
        return end - max(-(-nbytes // GRAIN), 1) * GRAIN

    def give(self, offset: int, nbytes: int) -> None:
        """Memory is never used again."""

    @property
    def size(self) -> int:
        """A size that no other arena has, by which `aligned` finds the pages."""
        if not self._guards:
            return 0
        GuardedArena.made += 1
        size = (self._pages + GuardedArena.made) * PAGE
        while size in GuardedArena.guards:
            size += PAGE
        GuardedArena.guards[size] = self._guards
        return size


def aligned(nbytes: int) -> np.ndarray[Any, Any]:
    """Memory for an arena, its pages guarded, or for words; all of it NaN."""
    memory = _mapped(_pages(nbytes))
    memory[:] = 0xFF
    for offset in GuardedArena.guards.get(nbytes, ()):
        forbid(memory.ctypes.data + offset)
    return memory


def guarding(monkeypatch: Any) -> None:
    """Until the end of a test, lay the memory of new programs out so."""
    from graphc.native import memory, storage, workspace
    from graphc.native.calls.results import Results

    run = storage._Finder.run

    def lay_out(self: Any) -> Any:
        made = run(self)
        made.constants = {node: guarded(value) if isinstance(value, np.ndarray) else value
                          for node, value in made.constants.items()}  # fmt: skip
        return made

    def array(self: Any) -> Any:
        return guarded(np.full(self._shape, 1, self._dtype))

    monkeypatch.setattr(memory, "Arena", GuardedArena)
    monkeypatch.setattr(workspace, "aligned", aligned)
    monkeypatch.setattr(storage._Finder, "run", lay_out)
    monkeypatch.setattr(Results, "array", array)


def run_guarded(executable: Any, feeds: Sequence[Any], monkeypatch: Any) -> Iterator[list[Any]]:
    """The results of the same program, once with pages behind its arguments that may not be touched, once before."""
    from graphc.native.program import NativeProgram

    with monkeypatch.context() as patched:
        guarding(patched)
        program = NativeProgram(executable.plan.graph, 2, executable._updated)
        results = len(program.graph.outputs) - len(executable._updated)
        state = {variable: guarded(variable.value) for variable in program.graph.variables}
        for before in (False, True):
            targets = [None] * results + [guarded(np.ones(n.shape, n.dtype)) for n in program.graph.outputs[results:]]
            laid_out = [guarded(feed, before=before) for feed in feeds]
            yield [np.array(value) for value in program.run(laid_out, state, targets)]
