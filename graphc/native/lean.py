"""The short way into a program: a call whose arguments are just what it takes, and which never leaves native code.

Anything else (other types, arguments to convert, bad ones) goes the long way, which does the same or raises.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from graphc.ir import Node
from graphc.native.driver import WORD_BYTES
from graphc.native.image import Segment
from graphc.native.kernels import LIBRARY
from graphc.native.program import FIT, NativeProgram
from graphc.state import Exchange, State

QUICK_NS = 20_000.0
"""A program predicted to be shorter keeps Python's interpreter lock: letting go of it would take longer."""

Call = Callable[[tuple[Any, ...]], Any]


def quick_call(program: NativeProgram, states: Sequence[State], updated: Sequence[State],
               rebuild: Callable[[Iterator[Any]], Any], slow: Call) -> Call | None:  # fmt: skip
    """A function of the arguments, or None where a run calls NumPy. The graph's inputs are in the order of `args`."""
    emitted = program.emitted
    segments = [step for step in emitted.steps.listed if isinstance(step, Segment)]
    if len(segments) != len(emitted.steps.listed) or not set(emitted.outputs) <= _made(program):
        return None
    exchange = Exchange(states, updated) if states or updated else None
    kind = ctypes.PYFUNCTYPE if sum(s.ns for s in segments) < QUICK_NS else ctypes.CFUNCTYPE
    drive = kind(None, ctypes.c_void_p)(LIBRARY.driver.addresses[0])
    starts = [WORD_BYTES * segment.word for segment in segments]
    wanted = [_wanted(node, slot, is_object=i in emitted.objects)
              for i, (node, slot) in enumerate(zip(program.graph.inputs, emitted.inputs, strict=True))]  # fmt: skip
    variables = [slot for slot, _ in emitted.variables]
    first_target = len(emitted.outputs) - len(updated)
    fresh = [(slot, shape, dtype) for index, slot, shape, dtype in emitted.given if index < first_target]
    targets = [(slot, index - first_target) for index, slot, _, _ in emitted.given if index >= first_target]
    results = emitted.outputs[:first_target]
    numbers = [index for index in emitted.numbers if index < first_target]
    give_back, workspaces, helpers = program.give_back, program.workspaces, program.helpers
    check, checked = program.check, bool(program.positions)
    count, ndarray, empty = len(wanted), np.ndarray, np.empty

    def call(args: tuple[Any, ...]) -> Any:
        if len(args) != count:
            return slow(args)
        try:
            workspace = workspaces.pop()
        except IndexError:
            workspace = program.new_workspace()
        values, context = workspace.values, workspace.context
        for (slot, dtype, shape, number), arg in zip(wanted, args, strict=True):
            if type(arg) is not number and (
                number is not None or type(arg) is not ndarray or arg.dtype is not dtype or arg.shape != shape
                or arg.flags.num & FIT != FIT
            ):  # fmt: skip
                give_back(workspace)
                return slow(args)
            values[slot] = arg
        for slot, shape, dtype in fresh:
            values[slot] = empty(shape, dtype)
        if helpers is not None:
            helpers.call(workspace)
        if exchange is None:
            for start in starts:
                drive(context + start)
            if checked:
                check(workspace)
        else:
            held, spares = exchange.begin()
            succeeded = False
            try:
                for slot, buffer in zip(variables, held, strict=True):
                    values[slot] = buffer.array
                for slot, index in targets:
                    values[slot] = spares[index].array
                for start in starts:
                    drive(context + start)
                if checked:
                    check(workspace)
                succeeded = True
            finally:
                exchange.end(held, spares, succeeded=succeeded)
        made = [values[slot] for slot in results]
        for index in numbers:
            made[index] = made[index][()]
        give_back(workspace)
        return rebuild(iter(made))

    return call


def _wanted(node: Node, slot: int, *, is_object: bool) -> tuple[int, np.dtype[Any], tuple[int, ...], type | None]:
    """The slot, dtype and shape of an argument; for a number object its type (None stands for no number)."""
    kind = node.array_type
    number = (float if kind.dtype == np.float64 else kind.dtype.type) if is_object else None
    return slot, np.dtype(kind.dtype.char), kind.static_shape, number  # the one object that NumPy's own arrays have


def _made(program: NativeProgram) -> set[int]:
    """The slots of outputs that stand there after a run."""
    emitted = program.emitted
    return {given.slot for given in emitted.given} | {emitted.outputs[index] for index in emitted.numbers}
