"""The driver's code for workers: threads that sleep in native code until a run invites them.

They need no Python to wake, work and sleep again. A worker stays with a context for a while after a run, since in a
loop the next one is near, unless another run invites it.
"""

from __future__ import annotations

IDLE_TURNS = 20_000
"""How often a worker looks for work before it leaves: about a millisecond of `pause`."""

TEXT = """
; Work on whatever stage is open, until nothing has been in progress for a while. While another thread has a block of an
; open stage, the next stage is near.
define void @help(ptr %ctx, ptr %worker) {
entry:
  %done = place %ctx, DONE
  %stages.at = place %ctx, STAGES
  %running.at = place %ctx, RUNNING
  br label %look
look:
  %idle = phi i64 [ 0, %entry ], [ 0, %work ], [ %idle.more, %turn ]
  %word = load atomic i64, ptr %ctx acquire, align 8
  %opened = lshr i64 %word, COUNT_BITS
  %number = and i64 %opened, COUNT_MASK
  %block = and i64 %word, COUNT_MASK
  %stages.word = load i64, ptr %stages.at, align 8
  %offset = mul i64 %number, STAGE_WORDS
  %stage.word = add i64 %stages.word, %offset
  %stage = place %ctx, %stage.word
  %total = field i64, %stage, SHARED_BLOCKS
  %left = icmp slt i64 %block, %total
  br i1 %left, label %work, label %turn
work:
  call void @share(ptr %ctx, ptr %stage, i64 %opened)
  br label %look
turn:
  PAUSE
  %finished = load atomic i64, ptr %done acquire, align 8
  %progress = icmp slt i64 %finished, %total
  %begun = icmp ne i64 %block, CLOSED
  %busy = and i1 %progress, %begun
  %counted = add i64 %idle, 1
  %idle.more = select i1 %busy, i64 0, i64 %counted
  %long = icmp sgt i64 %idle.more, IDLE_TURNS
  %running = load atomic i64, ptr %running.at monotonic, align 8
  %asked = load atomic ptr, ptr %worker monotonic, align 8
  %called = icmp ne ptr %asked, null
  %between = icmp eq i64 %running, 0
  %away = and i1 %called, %between
  %closing = icmp slt i64 %running, 0
  %soon = or i1 %away, %closing
  %leave = or i1 %long, %soon
  br i1 %leave, label %exit, label %look
exit:
  ret void
}

; A worker's whole life. Who invites it has counted it as present. Before it sleeps, the worker says so and looks again:
; whoever takes that word back, and nobody else, decides whether it sleeps. So its lock is let go of just once for each
; time that it is taken: from Python 3.15 on, letting go of an open one ends the process.
define void @serve(ptr %worker) {
entry:
  %at = place %worker, AT
  %sleeps = place %worker, SLEEPS
  %lock = field ptr, %worker, LOCK
  %take = field ptr, %worker, TAKE
  br label %look
look:
  %ctx = load atomic ptr, ptr %worker seq_cst, align 8
  %nobody = icmp eq ptr %ctx, null
  br i1 %nobody, label %tire, label %come
tire:
  store atomic i64 1, ptr %sleeps seq_cst, align 8
  %late = load atomic ptr, ptr %worker seq_cst, align 8
  %still.nobody = icmp eq ptr %late, null
  br i1 %still.nobody, label %sleep, label %rouse
rouse:
  %taken.back = cmpxchg ptr %sleeps, i64 1, i64 0 seq_cst seq_cst, align 8
  %awake = extractvalue { i64, i1 } %taken.back, 1
  br i1 %awake, label %look, label %sleep
sleep:
  %ignored = call i32 %take(ptr %lock, i32 1)
  br label %look
come:
  store atomic ptr %ctx, ptr %at seq_cst, align 8
  %swap = cmpxchg ptr %worker, ptr %ctx, ptr null acq_rel monotonic, align 8
  %mine = extractvalue { ptr, i1 } %swap, 1
  br i1 %mine, label %stay, label %leave
stay:
  call void @help(ptr %ctx, ptr %worker)
  %present = place %ctx, PRESENT
  %was = atomicrmw sub ptr %present, i64 1 acq_rel, align 8
  br label %leave
leave:
  store atomic ptr null, ptr %at seq_cst, align 8
  br label %look
}

; Invites workers until as many are there as wanted: those that sleep, then those that are elsewhere and may be idle.
define internal void @invite(ptr %ctx) {
entry:
  %wanted = field i64, %ctx, WANTED
  %present = place %ctx, PRESENT
  %there = load atomic i64, ptr %present monotonic, align 8
  %few = icmp slt i64 %there, %wanted
  br i1 %few, label %begin, label %exit
begin:
  %pool = field ptr, %ctx, POOL
  %first = place %pool, WORKER_WORDS
  %count = load atomic i64, ptr %pool acquire, align 8
  %words = mul i64 %count, WORKER_WORDS
  %end = place %first, %words
  br label %head
head:
  %any = phi i1 [ false, %begin ], [ %any, %next ], [ true, %again ]
  %worker = phi ptr [ %first, %begin ], [ %after, %next ], [ %first, %again ]
  %over = icmp eq ptr %worker, %end
  br i1 %over, label %round, label %see
round:
  br i1 %any, label %exit, label %again
again:
  br label %head
see:
  %asked = load atomic ptr, ptr %worker monotonic, align 8
  %at.at = place %worker, AT
  %at = load atomic ptr, ptr %at.at monotonic, align 8
  %free = icmp eq ptr %asked, null
  %asleep = icmp eq ptr %at, null
  %elsewhere = icmp ne ptr %at, %ctx
  %moves = and i1 %any, %elsewhere
  %could = or i1 %asleep, %moves
  %can = and i1 %free, %could
  br i1 %can, label %ask, label %next
ask:
  %before = atomicrmw add ptr %present, i64 1 acq_rel, align 8
  %swap = cmpxchg ptr %worker, ptr null, ptr %ctx seq_cst monotonic, align 8
  %won = extractvalue { ptr, i1 } %swap, 1
  br i1 %won, label %call, label %lost
lost:
  %less = atomicrmw sub ptr %present, i64 1 acq_rel, align 8
  br label %next
call:
  %sleeps = place %worker, SLEEPS
  %roused = cmpxchg ptr %sleeps, i64 1, i64 0 seq_cst seq_cst, align 8
  %slept = extractvalue { i64, i1 } %roused, 1
  br i1 %slept, label %wake, label %called
wake:
  %lock = field ptr, %worker, LOCK
  %let.go = field ptr, %worker, LET_GO
  call void %let.go(ptr %lock)
  br label %called
called:
  %missing = sub i64 %wanted, %before
  %enough = icmp sle i64 %missing, 1
  br i1 %enough, label %exit, label %next
next:
  %after = place %worker, WORKER_WORDS
  br label %head
exit:
  ret void
}

; Has all workers leave a context that no run works on any more, and waits until they have.
define void @dismiss(ptr %ctx) {
entry:
  %running = place %ctx, RUNNING
  store atomic i64 -1, ptr %running release, align 8
  %present = place %ctx, PRESENT
  %yield = field ptr, %ctx, YIELD
  %no.yield = icmp eq ptr %yield, null
  %pool = field ptr, %ctx, POOL
  %first = place %pool, WORKER_WORDS
  %count = load atomic i64, ptr %pool acquire, align 8
  %words = mul i64 %count, WORKER_WORDS
  %end = place %first, %words
  br label %head
head:
  %worker = phi ptr [ %first, %entry ], [ %after, %next ]
  %over = icmp eq ptr %worker, %end
  br i1 %over, label %wait, label %revoke
revoke:
  %swap = cmpxchg ptr %worker, ptr %ctx, ptr null acq_rel monotonic, align 8
  %revoked = extractvalue { ptr, i1 } %swap, 1
  br i1 %revoked, label %less, label %next
less:
  %was = atomicrmw sub ptr %present, i64 1 acq_rel, align 8
  br label %next
next:
  %after = place %worker, WORKER_WORDS
  br label %head
wait:
  %there = load atomic i64, ptr %present acquire, align 8
  %gone = icmp sle i64 %there, 0
  br i1 %gone, label %exit, label %turn
turn:
  PAUSE
  br i1 %no.yield, label %wait, label %lend
lend:
  %ignored = call i32 %yield()
  br label %wait
exit:
  ret void
}
"""
