"""The driver's code for a run: pointers are set, then stages run one after the other."""

from __future__ import annotations

TEXT = """
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
  %running = getelementptr i64, ptr %ctx, i64 22
  store atomic i64 1, ptr %running monotonic, align 8
  call void @invite(ptr %ctx)
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
  store atomic i64 0, ptr %running release, align 8
  ret void
}
"""
