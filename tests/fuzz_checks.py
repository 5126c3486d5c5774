"""What a random program is held to on the native backend."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from fuzz_errors import with_errors
from fuzz_programs import Made, Program
from guarded import guarded

import graphc as gr
from graphc.evaluate import evaluate
from graphc.ir import topological
from graphc.native import memory, overwriting, products, schedule
from graphc.native.kernel import combining, facts
from graphc.native.program import NativeProgram
from graphc.types import TupleType

Arrays = Sequence[Any]
STEPS = 64
"""How many rounding errors of the largest value a result may be off, ..."""
SUMS = 1e-12
"""... or so much of that value, for sums of many float64, ..."""
NOISE = 4
"""... or so many times what errors in every step make of it, or rounding ones in NumPy."""
RUNS = 3
"""So many times errors are drawn for every step."""
DERIVED = 1e-5
"""How far a derivative may be off differences, relative to the slope's size."""


@contextmanager
def everything_parallel() -> Iterator[None]:
    """Blocks of a few rows, every level shared among threads, however little it gains, and small variables updated
    where they lie, too."""
    changes = {(facts, "BLOCK_NS"): 40.0, (facts, "WHOLE"): 16, (schedule, "MEETING_NS"): 0.0,
               (schedule, "WAKING_NS"): 0.0, (schedule, "LOOP_NS"): 0.0, (memory, "LENT_BYTES"): 64,
               (overwriting, "LEAST_BYTES"): 1}  # fmt: skip
    before = {key: getattr(*key) for key in changes}
    try:
        _set(changes)
        yield
    finally:
        _set(before)


def _set(numbers: dict[tuple[Any, str], Any]) -> None:
    for (module, name), number in numbers.items():
        setattr(module, name, number)
    for cached in (facts.copying, combining.combining, products.compiled):
        cached.cache_clear()


def misaligned(array: Any) -> Any:
    """A copy that begins at an odd byte."""
    return np.frombuffer(b"\0" + array.tobytes(), "u1")[1:].view(array.dtype).reshape(array.shape)


def read_only(array: Any) -> Any:
    copy = np.array(array)
    copy.flags.writeable = False
    return copy


def strided(array: Any) -> Any:
    """Every second element of each axis of a larger array."""
    spread = np.zeros([2 * n for n in array.shape], array.dtype)
    spread[(slice(None, None, 2),) * array.ndim] = array
    return spread[(slice(None, None, 2),) * array.ndim]


LAYOUTS: dict[str, Callable[[Any], Any]] = {
    "plain": np.array, "guarded": guarded, "guarded before": lambda array: guarded(array, before=True),
    "misaligned": misaligned, "read-only": read_only, "swapped": lambda array: array.astype(array.dtype.newbyteorder()),
    "strided": strided, "fortran": np.asfortranarray, "reversed": lambda array: np.flip(np.flip(array).copy()),
    "lists": lambda array: array.tolist() if array.size and array.dtype.kind != "f" else array,
}  # fmt: skip


def check(program: Program) -> None:
    """Values against NumPy and a float64 twin, bits across calls, layouts and threads, derivatives against slopes."""
    made = program.made()
    layouts = np.random.default_rng([program.seed, 9]).permutation(list(LAYOUTS))[:2]
    f = _compiled(made, "native", 1 + program.seed % 3)
    sizes = [program.rows, program.other_rows, program.rows] if program.symbolic else [program.rows]
    for rows in sizes:
        feeds = program.feeds(rows=rows)
        start = [variable.value for variable in made.variables]
        try:
            expected = _evaluated(made, feeds)
            first = _called(f, made, feeds, start)
        except (gr.ShapeError, gr.ExecutionError):
            if not program.symbolic:
                raise
            _check_fails(f, made, feeds)
            continue  # a size for which the shapes do not fit, or without elements where there must be some
        _check_types(made, expected, first)
        _check_values(program, made, rows, feeds, expected, first)
        for layout in ("plain", "plain", *layouts, "plain"):
            laid_out = [LAYOUTS[layout](feed) if feed.ndim else feed for feed in feeds]
            same_bits(first, _called(f, made, laid_out, start), layout)
        for threads in (1, 2, 3, 4):
            same_bits(first, _run(f, threads, feeds, start, made), f"{threads} threads")
        same_bits(_numpy(made, feeds, start), expected, "NumPy backend", exact=False)
    if program.has_slopes and made.loss is not None and not program.symbolic:
        _check_slopes(program, made)


def _compiled(made: Made, backend: str, threads: int) -> Any:
    return gr.compile(made.inputs, made.outputs, updates=made.updates, backend=backend, threads=threads)


def _called(f: Any, made: Made, feeds: Arrays, start: Arrays) -> list[Any]:
    """Outputs and then the new values of variables, which are set back."""
    try:
        results = [np.array(value) for value in f(*feeds)]
        return results + [np.array(variable.value) for variable in made.updates]
    finally:
        for variable, value in zip(made.variables, start, strict=True):
            variable.value = value


def _run(f: Any, threads: int, feeds: Arrays, start: Arrays, made: Made) -> list[Any]:
    """The same graph planned for other threads, and run twice in the same memory."""
    program = NativeProgram(f.plan.graph, threads, tuple(made.updates))
    state = {variable: variable.value for variable in program.graph.variables}
    for _ in range(2):
        targets = [None] * len(made.outputs) + [np.full_like(variable.value, np.nan) for variable in made.updates]
        results = program.run(feeds, state, targets)
    return [np.array(value) for value in results]


def _evaluated(made: Made, feeds: Arrays) -> list[Any]:
    nodes = [*made.outputs, *made.updates.values()]
    return [np.asarray(value) for value in evaluate(nodes, dict(zip(made.inputs, feeds, strict=True)))]


def _numpy(made: Made, feeds: Arrays, start: Arrays) -> list[Any]:
    return _called(_compiled(made, "numpy", 1), made, feeds, start)


def _check_fails(f: Any, made: Made, feeds: Arrays) -> None:
    """A size that the program cannot have is one for both backends, and leaves the variables as they were."""
    start = [variable.value for variable in made.variables]
    errors = [_error_of(one, feeds) for one in (f, _compiled(made, "numpy", 1))]
    assert errors[0] == errors[1], f"native raised {errors[0]}, NumPy {errors[1]}"
    if errors[0] is not None:
        same_bits(start, [variable.value for variable in made.variables], "after an error")
    for variable, value in zip(made.variables, start, strict=True):
        variable.value = value


def _error_of(f: Any, feeds: Arrays) -> type[Exception] | None:
    try:
        f(*feeds)
    except gr.GraphcError as error:
        return type(error)
    return None


def _check_types(made: Made, expected: Arrays, found: Arrays) -> None:
    for number, (one, other) in enumerate(zip(expected, found, strict=True)):
        assert one.shape == other.shape, f"output {number}: {one.shape} {other.shape}"
        assert one.dtype == other.dtype, f"output {number}: {one.dtype} {other.dtype}"


def same_bits(one: Arrays, other: Arrays, what: str, *, exact: bool = True) -> None:
    """Compare values, bit for bit, or only their types."""
    for number, (a, b) in enumerate(zip(one, other, strict=True)):
        if exact:
            assert _bits(a) == _bits(b), f"{what}: output {number} has other bits\n{a}\n{b}"
        else:
            assert (a.shape, a.dtype) == (b.shape, b.dtype), f"{what}: output {number}: {a.dtype}, {b.dtype}"


def _bits(array: Any) -> bytes:
    """What an array holds, one NaN for all."""
    array = np.array(array)
    if array.dtype.kind == "f":
        array[np.isnan(array)] = np.nan
    return array.tobytes()


def _check_values(program: Program, made: Made, rows: int, feeds: Arrays, expected: Arrays, found: Arrays) -> None:
    """Each output against what float64 makes of the same formulas, as near as rounding errors allow."""
    exact, shift = _true_values(program, rows)
    coarse = max((float(np.finfo(node.dtype).eps) for node in topological([*made.outputs, *made.updates.values()])
                  if not isinstance(node.type, TupleType) and node.type.is_float), default=0.0)  # fmt: skip
    sure = [*made.exact, *[False] * len(made.updates)]
    for number, (true, reference, value) in enumerate(zip(exact, expected, found, strict=True)):
        if true.dtype.kind != "f" or sure[number]:
            np.testing.assert_array_equal(value, reference, f"output {number}")
            continue
        if not np.all(np.isfinite(true)) or not np.all(np.isfinite(reference)):
            continue
        assert np.all(np.isfinite(value)), f"output {number}: {value}, expected {true}"
        error = _distance(true, value)
        size = max(float(np.abs(true).max(initial=0)), 1)
        allowed = max(STEPS * coarse, SUMS) * size + NOISE * (shift[number] + _distance(true, reference))
        assert error <= allowed, f"output {number} is off by {error}, allowed {allowed}:\n{value}\nexpected\n{true}"


def _true_values(program: Program, rows: int) -> tuple[list[Any], list[float]]:
    """What float64 makes of a program, and how far errors in every step move each result."""
    twin, feeds = program.made("float64"), program.feeds("float64", rows)
    exact, rng = _evaluated(twin, feeds), np.random.default_rng(program.seed)
    drawn = [with_errors(twin, feeds, program.dtype, rng) for _ in range(RUNS)]
    return exact, [max(map(_distance, [true] * RUNS, moved)) for true, *moved in zip(exact, *drawn, strict=True)]


def _distance(one: Any, other: Any) -> float:
    with np.errstate(all="ignore"):
        return float(np.abs(one.astype("f8") - other.astype("f8")).max(initial=0)) if one.dtype.kind == "f" else 0.0


def _check_slopes(program: Program, made: Made) -> None:
    """The first derivatives against differences of the loss along one direction."""
    feeds = program.feeds()
    places = [i for i, node in enumerate(made.inputs) if node.type.is_float]
    rng = np.random.default_rng([program.seed, 3])
    way = {i: rng.standard_normal(feeds[i].shape) for i in places}
    at = made.outputs.index(made.loss)
    gradients = _evaluated(made, feeds)[at + 1 : at + 1 + len(places)]
    slope = sum(float((g * way[i]).sum()) for g, i in zip(gradients, places, strict=True))
    found = [_slope(made, feeds, way, step) for step in (1e-4, 1e-5, 1e-6)]
    size = max(1.0, abs(slope), *(float(np.abs(g).max(initial=0)) for g in gradients))
    if np.isfinite([slope, *found]).all() and abs(found[0] - found[1]) < DERIVED * size:
        error = min(abs(slope - one) for one in found)
        assert error <= 10 * DERIVED * size, f"slope {slope}, differences {found}"


def _slope(made: Made, feeds: Arrays, way: dict[int, Any], step: float) -> float:
    values = []
    for sign in (1, -1):
        moved = [feed + sign * step * way[i] if i in way else feed for i, feed in enumerate(feeds)]
        values.append(float(evaluate([made.loss], dict(zip(made.inputs, moved, strict=True)))[0]))
    return (values[0] - values[1]) / (2 * step)
