"""The driver's code for stages that threads share: blocks are claimed one by one.

A block is claimed by raising the claim word from exactly what was seen, so nobody can claim a block of a stage that is
not open: a worker that comes late, or stays from one run to the next, does no harm. The caller claims too, until no
block is left, and then waits only for blocks in progress.
"""

from __future__ import annotations

PATIENT_TURNS = 1_000
"""How often who waits for a block looks before it lets other threads run, the one it waits for among them."""

TEXT = """
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
  call void @invite(ptr %ctx)
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
"""
