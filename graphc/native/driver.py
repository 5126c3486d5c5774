"""The driver: native code that interprets a program's segments, and lets several threads share the work of a stage.

A context is an array of 64-bit words; places in it are given in words. Its header:

    0   the claim word: epoch << 40 | stage << 20 | next block
    8   how many blocks of the open stage are done
    16  where the stages begin
    17  the address of the run's list of values
    18  the address of the system's function that lets other threads run, or 0

and then a status word for each task that reads at positions.

A stage is 4 words (first task, end of its tasks, blocks to share or 0 for a serial stage, its number), a task is 8
(address of its code, its table of pointers, rows, rows per block, blocks, first block within the stage, blocks of the
same kernel that other tasks have before), a patch is 3
(the word to set, the slot of an array in the list of values, bytes to add, or -1 where a number object stands there,
which has its value where an array has its pointer), a segment is 5 (first stage, end of stages, first patch, end of
patches, its own place).

A block is claimed by raising the claim word from exactly what was seen, so nobody can claim a block of a stage that is
not open: a helper that comes late, or stays from one run to the next, does no harm. The caller claims too, until no
block is left, and then waits only for blocks in progress.
"""

from __future__ import annotations

import ctypes
import os
import sys
from functools import cache

import numpy as np

WORD, DONE, STAGES, VALUES, YIELD, HEADER = 0, 8, 16, 17, 18, 24
STAGE_WORDS, TASK_WORDS, PATCH_WORDS, SEGMENT_WORDS = 4, 8, 3, 5
WORD_BYTES = 8
SYMBOLS = ("drive", "help", "strip")
"""What the driver consists of."""
STRIP = SYMBOLS.index("strip")
IN_OBJECT = -1
"""The bytes of a patch whose pointer is into the object itself."""
MOST_BLOCKS = 1 << 20
"""What the claim word can count in a stage, and among stages."""
CLOSED = MOST_BLOCKS - 1
"""The claim word of a context that no run has opened: no stage has so many blocks."""
IDLE_TURNS = 20_000
"""How often a helper looks for work before it leaves: about a millisecond of `pause`."""

PATIENT_TURNS = 1_000
"""How often who waits for a block looks before it lets other threads run, the one it waits for among them."""

LIST_ITEMS = list.__basicsize__ - 16
"""Where a list object keeps the pointer to its items: before the count of allocated ones."""
ARRAY_DATA = object.__basicsize__
"""Where an array object keeps the pointer to its data: the first field that NumPy adds."""

_PAUSES = {
    "x86_64": ("declare void @llvm.x86.sse2.pause()", "call void @llvm.x86.sse2.pause()"),
    "aarch64": ("declare void @llvm.aarch64.hint(i32)", "call void @llvm.aarch64.hint(i32 1)"),
}
"""By LLVM's name of the processor: how it is told that a thread only waits."""


_NUMBERS = ((ctypes.c_double, 1.25), (ctypes.c_double, np.float64(1.25)), (ctypes.c_float, np.float32(1.25)))


def knows_objects() -> bool:
    """Whether lists and arrays lie in memory as the driver reads them."""
    if sys.implementation.name != "cpython":
        return False
    array = np.empty(3)
    values = [None, array]
    items = ctypes.c_void_p.from_address(id(values) + LIST_ITEMS).value
    if not items or ctypes.c_void_p.from_address(items + 8).value != id(array):
        return False
    if any(kind.from_address(id(number) + ARRAY_DATA).value != 1.25 for kind, number in _NUMBERS):
        return False
    return ctypes.c_void_p.from_address(id(array) + ARRAY_DATA).value == array.ctypes.data


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
    numbers = {"LIST_ITEMS": LIST_ITEMS, "ARRAY_DATA": ARRAY_DATA, "IDLE_TURNS": IDLE_TURNS,
               "PATIENT_TURNS": PATIENT_TURNS}  # fmt: skip
    written = _TEXT.replace("PAUSE", pause)
    for name, number in numbers.items():
        written = written.replace(name, str(number))
    return f"{declaration}\n{written}"


_TEXT = """
; Runs some blocks of a task, one after the other.
define internal void @blocks(ptr %ctx, ptr %task, i64 %first, i64 %end) {
entry:
  %code = load ptr, ptr %task, align 8
  %table.at = getelementptr i64, ptr %task, i64 1
  %table.word = load i64, ptr %table.at, align 8
  %table = getelementptr i64, ptr %ctx, i64 %table.word
  %rows.at = getelementptr i64, ptr %task, i64 2
  %rows = load i64, ptr %rows.at, align 8
  %step.at = getelementptr i64, ptr %task, i64 3
  %step = load i64, ptr %step.at, align 8
  %before.at = getelementptr i64, ptr %task, i64 6
  %before = load i64, ptr %before.at, align 8
  %begin = add i64 %first, %before
  %stop = add i64 %end, %before
  br label %head
head:
  %block = phi i64 [ %begin, %entry ], [ %next, %body ]
  %more = icmp slt i64 %block, %stop
  br i1 %more, label %body, label %exit
body:
  %from = mul i64 %block, %step
  %to.full = add i64 %from, %step
  %short = icmp slt i64 %rows, %to.full
  %to = select i1 %short, i64 %rows, i64 %to.full
  call void %code(ptr %table, i64 %from, i64 %to, i64 %block)
  %next = add i64 %block, 1
  br label %head
exit:
  ret void
}

; Claims and runs blocks of the stage with this epoch and number until none is left.
define internal void @share(ptr %ctx, ptr %stage, i64 %opened) {
entry:
  %first.word = load i64, ptr %stage, align 8
  %first = getelementptr i64, ptr %ctx, i64 %first.word
  %total.at = getelementptr i64, ptr %stage, i64 2
  %total = load i64, ptr %total.at, align 8
  %done = getelementptr i64, ptr %ctx, i64 8
  br label %look
look:
  %task = phi ptr [ %first, %entry ], [ %task, %claim ], [ %found, %run ]
  %word = load atomic i64, ptr %ctx acquire, align 8
  %open.now = lshr i64 %word, 20
  %same = icmp eq i64 %open.now, %opened
  %block = and i64 %word, 1048575
  %left = icmp slt i64 %block, %total
  %go = and i1 %same, %left
  br i1 %go, label %claim, label %exit
claim:
  %raised = add i64 %word, 1
  %swap = cmpxchg ptr %ctx, i64 %word, i64 %raised acq_rel monotonic, align 8
  %mine = extractvalue { i64, i1 } %swap, 1
  br i1 %mine, label %find, label %look
find:
  %found = phi ptr [ %task, %claim ], [ %after, %skip ]
  %count.at = getelementptr i64, ptr %found, i64 4
  %count = load i64, ptr %count.at, align 8
  %start.at = getelementptr i64, ptr %found, i64 5
  %start = load i64, ptr %start.at, align 8
  %inside = sub i64 %block, %start
  %here = icmp slt i64 %inside, %count
  br i1 %here, label %run, label %skip
skip:
  %after = getelementptr i64, ptr %found, i64 8
  br label %find
run:
  %end = add i64 %inside, 1
  call void @blocks(ptr %ctx, ptr %found, i64 %inside, i64 %end)
  %was = atomicrmw add ptr %done, i64 1 release, align 8
  br label %look
exit:
  ret void
}

; Opens a stage, takes part in it, and waits for the blocks that helpers have claimed.
define internal void @together(ptr %ctx, ptr %stage) {
entry:
  %total.at = getelementptr i64, ptr %stage, i64 2
  %total = load i64, ptr %total.at, align 8
  %number.at = getelementptr i64, ptr %stage, i64 3
  %number = load i64, ptr %number.at, align 8
  %done = getelementptr i64, ptr %ctx, i64 8
  store atomic i64 0, ptr %done monotonic, align 8
  %old = load atomic i64, ptr %ctx monotonic, align 8
  %epoch.old = lshr i64 %old, 40
  %epoch = add i64 %epoch.old, 1
  %epoch.high = shl i64 %epoch, 20
  %opened = or i64 %epoch.high, %number
  %word = shl i64 %opened, 20
  store atomic i64 %word, ptr %ctx release, align 8
  %opened.seen = lshr i64 %word, 20
  call void @share(ptr %ctx, ptr %stage, i64 %opened.seen)
  %yield.at = getelementptr i64, ptr %ctx, i64 18
  %yield = load ptr, ptr %yield.at, align 8
  %no.yield = icmp eq ptr %yield, null
  br label %wait
wait:
  %turns = phi i64 [ 0, %entry ], [ %turns.more, %turn ], [ 0, %lend ]
  %finished = load atomic i64, ptr %done acquire, align 8
  %all = icmp sge i64 %finished, %total
  br i1 %all, label %exit, label %turn
turn:
  PAUSE
  %turns.more = add i64 %turns, 1
  %few = icmp slt i64 %turns.more, PATIENT_TURNS
  %stay = or i1 %few, %no.yield
  br i1 %stay, label %wait, label %lend
lend:
  %ignored = call i32 %yield()
  br label %wait
exit:
  ret void
}

define internal void @serial(ptr %ctx, ptr %stage) {
entry:
  %first.word = load i64, ptr %stage, align 8
  %first = getelementptr i64, ptr %ctx, i64 %first.word
  %end.at = getelementptr i64, ptr %stage, i64 1
  %end.word = load i64, ptr %end.at, align 8
  %end = getelementptr i64, ptr %ctx, i64 %end.word
  br label %head
head:
  %task = phi ptr [ %first, %entry ], [ %next, %body ]
  %over = icmp eq ptr %task, %end
  br i1 %over, label %exit, label %body
body:
  %count.at = getelementptr i64, ptr %task, i64 4
  %count = load i64, ptr %count.at, align 8
  call void @blocks(ptr %ctx, ptr %task, i64 0, i64 %count)
  %next = getelementptr i64, ptr %task, i64 8
  br label %head
exit:
  ret void
}

; A kernel like others, whose work is to run tasks in turn: those of one strip of a chain. Its table has the context,
; and then what a serial stage has: the first task and the end of its tasks.
define void @strip(ptr %table, i64 %first, i64 %end, i64 %block) {
entry:
  %ctx = load ptr, ptr %table, align 8
  %stage = getelementptr i64, ptr %table, i64 1
  call void @serial(ptr %ctx, ptr %stage)
  ret void
}

; Sets the pointers of arrays that are other ones in every run, from the list of values.
define internal void @patch(ptr %ctx, ptr %first, ptr %end, ptr %values) {
entry:
  %items.at = getelementptr i8, ptr %values, i64 LIST_ITEMS
  %items = load ptr, ptr %items.at, align 8
  br label %head
head:
  %at = phi ptr [ %first, %entry ], [ %next, %body ]
  %over = icmp eq ptr %at, %end
  br i1 %over, label %exit, label %body
body:
  %word = load i64, ptr %at, align 8
  %slot.at = getelementptr i64, ptr %at, i64 1
  %slot = load i64, ptr %slot.at, align 8
  %bytes.at = getelementptr i64, ptr %at, i64 2
  %bytes = load i64, ptr %bytes.at, align 8
  %item.at = getelementptr ptr, ptr %items, i64 %slot
  %item = load ptr, ptr %item.at, align 8
  %data.at = getelementptr i8, ptr %item, i64 ARRAY_DATA
  %data = load ptr, ptr %data.at, align 8
  %element = getelementptr i8, ptr %data, i64 %bytes
  %in.object = icmp eq i64 %bytes, -1
  %pointer = select i1 %in.object, ptr %data.at, ptr %element
  %place = getelementptr i64, ptr %ctx, i64 %word
  store ptr %pointer, ptr %place, align 8
  %next = getelementptr i64, ptr %at, i64 3
  br label %head
exit:
  ret void
}

; What a run's caller calls: the stages of one segment.
define void @drive(ptr %segment) {
entry:
  %own.at = getelementptr i64, ptr %segment, i64 4
  %own.word = load i64, ptr %own.at, align 8
  %back = sub i64 0, %own.word
  %ctx = getelementptr i64, ptr %segment, i64 %back
  %values.at = getelementptr i64, ptr %ctx, i64 17
  %values = load ptr, ptr %values.at, align 8
  %first.word = load i64, ptr %segment, align 8
  %first = getelementptr i64, ptr %ctx, i64 %first.word
  %end.at = getelementptr i64, ptr %segment, i64 1
  %end.word = load i64, ptr %end.at, align 8
  %end = getelementptr i64, ptr %ctx, i64 %end.word
  %patch.at = getelementptr i64, ptr %segment, i64 2
  %patch.word = load i64, ptr %patch.at, align 8
  %patches = getelementptr i64, ptr %ctx, i64 %patch.word
  %patched.at = getelementptr i64, ptr %segment, i64 3
  %patched.word = load i64, ptr %patched.at, align 8
  %patched = getelementptr i64, ptr %ctx, i64 %patched.word
  call void @patch(ptr %ctx, ptr %patches, ptr %patched, ptr %values)
  br label %head
head:
  %stage = phi ptr [ %first, %entry ], [ %next, %rejoin ]
  %over = icmp eq ptr %stage, %end
  br i1 %over, label %exit, label %body
body:
  %total.at = getelementptr i64, ptr %stage, i64 2
  %total = load i64, ptr %total.at, align 8
  %shared = icmp sgt i64 %total, 0
  br i1 %shared, label %many, label %one
many:
  call void @together(ptr %ctx, ptr %stage)
  br label %rejoin
one:
  call void @serial(ptr %ctx, ptr %stage)
  br label %rejoin
rejoin:
  %next = getelementptr i64, ptr %stage, i64 4
  br label %head
exit:
  ret void
}

; What a helper calls: work on whatever stage is open, until nothing has been in progress for a while. While another
; thread has a block of an open stage, the next stage is near.
define void @help(ptr %ctx) {
entry:
  %done = getelementptr i64, ptr %ctx, i64 8
  %stages.at = getelementptr i64, ptr %ctx, i64 16
  br label %look
look:
  %idle = phi i64 [ 0, %entry ], [ 0, %work ], [ %idle.more, %turn ]
  %word = load atomic i64, ptr %ctx acquire, align 8
  %opened = lshr i64 %word, 20
  %number = and i64 %opened, 1048575
  %block = and i64 %word, 1048575
  %stages.word = load i64, ptr %stages.at, align 8
  %offset = mul i64 %number, 4
  %stage.word = add i64 %stages.word, %offset
  %stage = getelementptr i64, ptr %ctx, i64 %stage.word
  %total.at = getelementptr i64, ptr %stage, i64 2
  %total = load i64, ptr %total.at, align 8
  %left = icmp slt i64 %block, %total
  br i1 %left, label %work, label %turn
work:
  call void @share(ptr %ctx, ptr %stage, i64 %opened)
  br label %look
turn:
  PAUSE
  %finished = load atomic i64, ptr %done acquire, align 8
  %progress = icmp slt i64 %finished, %total
  %begun = icmp ne i64 %block, 1048575
  %busy = and i1 %progress, %begun
  %counted = add i64 %idle, 1
  %idle.more = select i1 %busy, i64 0, i64 %counted
  %long = icmp sgt i64 %idle.more, IDLE_TURNS
  br i1 %long, label %exit, label %look
exit:
  ret void
}
"""
