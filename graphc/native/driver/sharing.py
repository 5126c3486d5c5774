"""The driver's code for stages that threads share: they claim blocks, many at first and one by one in the end.

Neighbouring blocks are claimed together so that a thread stays with its memory. They are claimed by raising the claim
word from exactly what was seen, so nobody can claim blocks of a stage that is not open: a worker that comes late, or
stays from one run to the next, does no harm. The caller claims too, until no block is left, and then waits only for
blocks in progress.
"""

from __future__ import annotations

PATIENT_TURNS = 1_000
"""How often who waits for a block looks before it lets other threads run, the one it waits for among them."""

SHARE = 4
"""A thread claims its share of the blocks that are left divided by this, or one: none waits long in the end."""

TEXT = """
; Claims and runs blocks of the stage with this epoch and number until none is left.
define internal void @share(ptr %ctx, ptr %stage, i64 %opened) {
entry:
  %first = target %stage, FIRST_TASK
  %total = field i64, %stage, SHARED_BLOCKS
  %done = place %ctx, DONE
  %wanted = field i64, %ctx, WANTED
  %threads = add i64 %wanted, 1
  %parts = mul i64 %threads, SHARE
  br label %look
look:
  %task = phi ptr [ %first, %entry ], [ %task, %claim ], [ %found, %ran ]
  %word = load atomic i64, ptr %ctx acquire, align 8
  %open.now = lshr i64 %word, COUNT_BITS
  %same = icmp eq i64 %open.now, %opened
  %block = and i64 %word, COUNT_MASK
  %left = sub i64 %total, %block
  %some = icmp sgt i64 %left, 0
  %go = and i1 %same, %some
  br i1 %go, label %claim, label %exit
claim:
  %part = udiv i64 %left, %parts
  %small = icmp eq i64 %part, 0
  %count = select i1 %small, i64 1, i64 %part
  %raised = add i64 %word, %count
  %swap = cmpxchg ptr %ctx, i64 %word, i64 %raised acq_rel monotonic, align 8
  %mine = extractvalue { i64, i1 } %swap, 1
  %end = add i64 %block, %count
  br i1 %mine, label %find, label %look
find:
  %found = phi ptr [ %task, %claim ], [ %after, %skip ], [ %found, %run ]
  %from = phi i64 [ %block, %claim ], [ %from, %skip ], [ %to, %run ]
  %blocks = field i64, %found, BLOCKS
  %start = field i64, %found, FIRST_BLOCK
  %over = add i64 %start, %blocks
  %here = icmp slt i64 %from, %over
  br i1 %here, label %run, label %skip
skip:
  %after = place %found, TASK_WORDS
  br label %find
run:
  %rest = icmp slt i64 %end, %over
  %to = select i1 %rest, i64 %end, i64 %over
  %inside = sub i64 %from, %start
  %until = sub i64 %to, %start
  call void @blocks(ptr %ctx, ptr %found, i64 %inside, i64 %until)
  %more = icmp slt i64 %to, %end
  br i1 %more, label %find, label %ran
ran:
  %was = atomicrmw add ptr %done, i64 %count release, align 8
  br label %look
exit:
  ret void
}

; Opens a stage, takes part in it, and waits for the blocks that helpers have claimed.
define internal void @together(ptr %ctx, ptr %stage) {
entry:
  %total = field i64, %stage, SHARED_BLOCKS
  %number = field i64, %stage, STAGE_NUMBER
  %done = place %ctx, DONE
  call void @invite(ptr %ctx)
  store atomic i64 0, ptr %done monotonic, align 8
  %old = load atomic i64, ptr %ctx monotonic, align 8
  %epoch.old = lshr i64 %old, EPOCH_PLACE
  %epoch = add i64 %epoch.old, 1
  %epoch.high = shl i64 %epoch, COUNT_BITS
  %opened = or i64 %epoch.high, %number
  %word = shl i64 %opened, COUNT_BITS
  store atomic i64 %word, ptr %ctx release, align 8
  %opened.seen = lshr i64 %word, COUNT_BITS
  call void @share(ptr %ctx, ptr %stage, i64 %opened.seen)
  %yield = field ptr, %ctx, YIELD
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
