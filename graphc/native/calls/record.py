"""The record of a program: what native code reads to run a call, as words and tables of words.

Tables lie in memory as rows of 64-bit words, told by the addresses where they begin and end.
"""

from __future__ import annotations

CALL = ("code", "count", "names", "pool", "run")
"""What native code reads first: the function for the call; how many inputs, and their names, interned; the list of
workspaces of a long program, each with a record of its own, of which it takes one for the time of a run; the address of
the one record that a short program runs by."""

RUN = (
    "arguments", "arguments_end", "kept", "kept_end", "arrays", "arrays_end", "reads", "reads_end", "writes",
    "writes_end", "overwrites", "overwrites_end", "counted", "counted_end", "numbers", "numbers_end", "statuses",
    "statuses_end", "segments", "segments_end", "drive", "container", "size", "finish", "context", "wanted", "lazy",
    "help",
)  # fmt: skip
"""Tables; the container of results (ALONE, LIST, TUPLE) and how many they are; a function of the list that makes what
was asked for, or 0; how many workers a run wants, whether Python code is to say if they are worth waking, and that."""
ALONE, LIST, TUPLE = range(3)

ARGUMENT = (
    "type", "subtype", "converted", "whole", "least", "most", "form", "cell", "kind", "rank", "dims", "dims_end",
    "patches", "patches_end",
)  # fmt: skip
"""Two types of numbers that are read in place, or one of floats converted to f32 in a cell, or one of integers, from
the least to the most, which are written there in a form; or else an array."""
WHOLE, DOUBLE, SINGLE = range(3)
"""The forms: the low bytes of an integer, or a float."""
KEPT = ("item", "cell", "array", "given", "patches", "patches_end")
"""A result in memory of earlier ones: which, a place for it, and the functions that fetch it and give it back."""
ARRAY = ("item", "dtype", "rank", "dims", "patches", "patches_end")
"""A result: which, and the array to make for it."""
STATE = ("state", "patches", "patches_end")
OVERWRITE = (*STATE, "target")
"""A variable that is updated where it lies, and a place for the buffer that this run writes to."""
COUNTED = ("state", "cell")
"""A variable that is only read, and a place for its buffer."""
NUMBER = ("item", "dtype", "address")
SEGMENT = ("segment",)
"""The address of a stretch of native code."""
PATCH = ("word", "bytes")
"""The address of a word, and what to add to the pointer that it is to hold."""

PLACES = (
    "entry", "record", "own", "gate", "current", "spare", "claimed", "overwritten", "wanted", "array", "readers",
    "runs",
)  # fmt: skip
"""What is read of an executable, an entry, a workspace, the gate, a state and a buffer: slots."""
MOST_KEPT = 8
"""So many workspaces a program keeps."""
