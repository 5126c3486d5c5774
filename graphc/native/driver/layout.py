"""The words that the driver works on, and where each stands.

A context is an array of 64-bit words. Places in it are given in words, and whatever lies there is a record: words whose
numbers are the constants here.
"""

from __future__ import annotations

WORD_BYTES = 8

# The header of a context, and then a status word for each task that reads at positions.

FINE = -(2**63)
"""What a status word holds while nothing was wrong."""

WORD, DONE, STAGES, VALUES, YIELD, WANTED, POOL, PRESENT, RUNNING, HEADER = 0, 8, 16, 17, 18, 19, 20, 21, 22, 24
"""The claim word, epoch << 40 | stage << 20 | next block; how many blocks of the open stage are done; where the stages
begin; the address of the run's list of values; the address of the system's function that lets other threads run, or 0;
how many workers a run wants; the address of the pool that they come from; how many have been invited and have not left;
1 during a run, and -1 when all workers are to leave."""
COUNT_BITS = 20
MOST_BLOCKS = 1 << COUNT_BITS
"""What the claim word can count in a stage, and among stages."""
CLOSED = COUNT_MASK = MOST_BLOCKS - 1
"""The claim word of a context that no run has opened: no stage has so many blocks."""
EPOCH_PLACE = 2 * COUNT_BITS

# A stage.

FIRST_TASK, END_OF_TASKS, SHARED_BLOCKS, STAGE_NUMBER, STAGE_WORDS = range(5)
"""Blocks to share, or 0 for a serial stage, or what tells that a run ends here if a position was outside."""
GUARD = -1

# A task.

CODE, TABLE, ROWS, PER_BLOCK, BLOCKS, FIRST_BLOCK, BLOCKS_BEFORE = range(7)
"""The address of its code, its table of pointers, rows, rows per block, blocks, its first block within the stage,
and how many blocks of the same kernel other tasks have before."""
TASK_WORDS = 8

# A patch: a pointer that is another one in every run.

PATCHED, SLOT, OFFSET, PATCH_WORDS = range(4)
"""The word to set, the slot of an array in the list of values, bytes to add."""
IN_OBJECT = -1
"""The bytes of a patch where a number object stands in the list, which has its value where an array has its pointer."""

# A segment.

FIRST_STAGE, END_OF_STAGES, FIRST_PATCH, END_OF_PATCHES, OWN_PLACE, SEGMENT_WORDS = range(6)

# A pool is as long as a worker, and its first word says how many workers it has, which follow.

INVITED, AT, LOCK, TAKE, LET_GO, SLEEPS = range(6)
"""The context that a worker is invited to, the one that it is at, its lock (0 stands for none in all three), the
addresses of two functions, to take that lock and to let go of it, and whether the worker waits for that."""
WORKER_WORDS = 8
