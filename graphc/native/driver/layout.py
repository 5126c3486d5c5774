"""The words that the driver works on, and where each stands.

A context is an array of 64-bit words; places in it are given in words. Its header:

    0   the claim word: epoch << 40 | stage << 20 | next block
    8   how many blocks of the open stage are done
    16  where the stages begin
    17  the address of the run's list of values
    18  the address of the system's function that lets other threads run, or 0
    19  how many workers a run wants
    20  the address of the pool that they come from
    21  how many have been invited and have not left
    22  1 during a run, and -1 when all workers are to leave

and then a status word for each task that reads at positions.

A stage is 4 words (first task, end of its tasks, blocks to share or 0 for a serial stage, its number), a task is 8
(address of its code, its table of pointers, rows, rows per block, blocks, first block within the stage, blocks of the
same kernel that other tasks have before), a patch is 3
(the word to set, the slot of an array in the list of values, bytes to add, or -1 where a number object stands there,
which has its value where an array has its pointer), a segment is 5 (first stage, end of stages, first patch, end of
patches, its own place).

A pool is 8 words, of which the first tells how many workers it has, and then 8 for each: the context that it is
invited to, the context that it is at, its lock (0 stands for none in all three), and the addresses of two functions,
to take that lock and to let go of it.
"""

from __future__ import annotations

WORD, DONE, STAGES, VALUES, YIELD, WANTED, POOL, PRESENT, RUNNING, HEADER = 0, 8, 16, 17, 18, 19, 20, 21, 22, 24
STAGE_WORDS, TASK_WORDS, PATCH_WORDS, SEGMENT_WORDS = 4, 8, 3, 5
WORKER_WORDS = 8
LOCK, TAKE, LET_GO = 2, 3, 4
"""Words of a worker that Python code sets."""
WORD_BYTES = 8
IN_OBJECT = -1
"""The bytes of a patch whose pointer is into the object itself."""
MOST_BLOCKS = 1 << 20
"""What the claim word can count in a stage, and among stages."""
CLOSED = MOST_BLOCKS - 1
"""The claim word of a context that no run has opened: no stage has so many blocks."""
