"""The driver's code for a run: pointers are set, then stages run one after the other."""

from __future__ import annotations

TEXT = """
; Runs some blocks of a task, one after the other.
define internal void @blocks(ptr %ctx, ptr %task, i64 %first, i64 %end) {
entry:
  %code = field ptr, %task, CODE
  %table = target %task, TABLE
  %rows = field i64, %task, ROWS
  %step = field i64, %task, PER_BLOCK
  %before = field i64, %task, BLOCKS_BEFORE
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

define internal void @serial(ptr %ctx, ptr %stage) {
entry:
  %first = target %stage, FIRST_TASK
  %end = target %stage, END_OF_TASKS
  br label %head
head:
  %task = phi ptr [ %first, %entry ], [ %next, %body ]
  %over = icmp eq ptr %task, %end
  br i1 %over, label %exit, label %body
body:
  %count = field i64, %task, BLOCKS
  call void @blocks(ptr %ctx, ptr %task, i64 0, i64 %count)
  %next = place %task, TASK_WORDS
  br label %head
exit:
  ret void
}

; A kernel like others, whose work is to run tasks in turn: those of one strip of a chain. Its table has the context,
; and then what a serial stage has: the first task and the end of its tasks.
define void @strip(ptr %table, i64 %first, i64 %end, i64 %block) {
entry:
  %ctx = load ptr, ptr %table, align 8
  %stage = place %table, 1
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
  %word = field i64, %at, PATCHED
  %slot = field i64, %at, SLOT
  %bytes = field i64, %at, OFFSET
  %item.at = getelementptr ptr, ptr %items, i64 %slot
  %item = load ptr, ptr %item.at, align 8
  %data.at = getelementptr i8, ptr %item, i64 ARRAY_DATA
  %data = load ptr, ptr %data.at, align 8
  %element = getelementptr i8, ptr %data, i64 %bytes
  %in.object = icmp eq i64 %bytes, IN_OBJECT
  %pointer = select i1 %in.object, ptr %data.at, ptr %element
  %place = place %ctx, %word
  store ptr %pointer, ptr %place, align 8
  %next = place %at, PATCH_WORDS
  br label %head
exit:
  ret void
}

; Whether all positions so far were inside their axes: the status words stand before the stages.
define internal i1 @fine(ptr %ctx) {
entry:
  %first = place %ctx, HEADER
  %end = target %ctx, STAGES
  br label %head
head:
  %at = phi ptr [ %first, %entry ], [ %next, %body ]
  %over = icmp eq ptr %at, %end
  br i1 %over, label %exit, label %body
body:
  %status = load i64, ptr %at, align 8
  %next = place %at, 1
  %good = icmp eq i64 %status, FINE
  br i1 %good, label %head, label %exit
exit:
  %fine = phi i1 [ true, %head ], [ false, %body ]
  ret i1 %fine
}

; What a run's caller calls: the stages of one segment.
define void @drive(ptr %segment) {
entry:
  %own = field i64, %segment, OWN_PLACE
  %back = sub i64 0, %own
  %ctx = place %segment, %back
  %values = field ptr, %ctx, VALUES
  %first = target %segment, FIRST_STAGE
  %end = target %segment, END_OF_STAGES
  %patches = target %segment, FIRST_PATCH
  %patched = target %segment, END_OF_PATCHES
  %running = place %ctx, RUNNING
  store atomic i64 1, ptr %running monotonic, align 8
  call void @invite(ptr %ctx)
  call void @patch(ptr %ctx, ptr %patches, ptr %patched, ptr %values)
  br label %head
head:
  %stage = phi ptr [ %first, %entry ], [ %next, %rejoin ]
  %over = icmp eq ptr %stage, %end
  br i1 %over, label %exit, label %body
body:
  %total = field i64, %stage, SHARED_BLOCKS
  switch i64 %total, label %many [ i64 0, label %one
                                   i64 GUARD, label %guard ]
guard:
  %fine = call i1 @fine(ptr %ctx)
  br i1 %fine, label %rejoin, label %exit
many:
  call void @together(ptr %ctx, ptr %stage)
  br label %rejoin
one:
  call void @serial(ptr %ctx, ptr %stage)
  br label %rejoin
rejoin:
  %next = place %stage, STAGE_WORDS
  br label %head
exit:
  store atomic i64 0, ptr %running release, align 8
  ret void
}
"""
