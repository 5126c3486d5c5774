"""Every op of the registry in native code against its NumPy body, both on one thread: the slowest first.

    python tests/benchmarks/bench_ops.py [--only floor_divide,round] [--elements 300000] [--below 1.0]

The calls are those of the ops' samples, enlarged, in every dtype that the op takes. The body gets an array for its
result where it takes one, and views are copied, for a result of graphc's is an array of its own. The two take turns,
and the best times count. Ratios are NumPy's time to graphc's.
"""

from __future__ import annotations

import argparse
import itertools
import math
import re
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

import graphc as gr
from graphc.compiler import is_native
from graphc.op import OPS, Op
from graphc.samples import Call, generator
from graphc.types import TupleType

DTYPES = ("f64", "f32", "f16", "i64", "i32", "i8", "u8", "bool")
LEAST_TURNS = 7
SPEC = re.compile(r"(\w+)\[([\d, ]*)\](.*)$")


class Turn(NamedTuple):
    """What one call took."""

    ratio: float
    numpy: float
    native: float
    op: str
    call: str


def shape_of(spec: str) -> tuple[int, ...]:
    """The shape in a sample's type."""
    return tuple(int(dim) for dim in SPEC.match(spec)[2].split(",") if dim.strip())  # type: ignore[index]


def specs(call: Call) -> list[str]:
    """The operands of a call that are types to draw from."""
    return [operand for operand in call.operands if isinstance(operand, str) and SPEC.match(operand)]


def factor_of(op: Op, call: Call, elements: int) -> int | None:
    """By what sizes are multiplied, so that no operand or result has more elements; None where nothing can grow."""
    operands = [gr.placeholder("x", array.shape, array.dtype) if isinstance(array, np.ndarray) else array
                for array in call.draw(generator(op.name))[0]]  # fmt: skip
    kind = op(*operands, **call.attributes).type
    types = [*(x.type for x in operands if isinstance(x, gr.Node)), *getattr(kind, "elements", [kind])]
    if not specs(call) or any(0 in each.shape for each in types):
        return None
    grown = [(math.prod(each.shape), sum(size > 1 for size in each.shape)) for each in types]
    factors = [round((elements / size) ** (1 / axes)) for size, axes in grown if axes]
    return min(factors, default=None)


def enlarged(op: Op, call: Call, elements: int, dtype: str) -> Iterator[Call]:
    """A call with all sizes but 1 multiplied, and its floats or integers of the first operand's kind in a dtype.

    Sizes among the attributes grow as well, or do not: the op takes one of the two.
    """
    factor = factor_of(op, call, elements)
    if factor is None:
        return
    first = SPEC.match(specs(call)[0])[1]  # type: ignore[index]

    def grow(operand: Any) -> Any:
        if not (isinstance(operand, str) and SPEC.match(operand)):
            return operand
        own, _, bounds = SPEC.match(operand).groups()  # type: ignore[union-attr]
        shape = ",".join(str(size * factor if size > 1 else size) for size in shape_of(operand))
        return f"{dtype if own == first else own}[{shape}]{bounds}"

    operands = tuple(map(grow, call.operands))
    yield Call(operands, {name: _scaled(value, factor) for name, value in call.attributes.items()})
    yield Call(operands, call.attributes)


def _scaled(value: Any, factor: int) -> Any:
    if isinstance(value, tuple) and value and all(isinstance(each, int) for each in value):
        return tuple(each * factor if each > 1 else each for each in value)
    return value


def calls(op: Op) -> Iterator[Call]:
    """The calls of an op's samples whose operands differ in more than their numbers; elementwise, of equal shapes."""
    seen = set()
    for call in op.samples.for_arity(op.arity or 0):  # type: ignore[union-attr]
        if op.elementwise and len({shape_of(spec) for spec in specs(call)}) > 1:
            continue
        kinds = tuple(SPEC.match(spec).group(2) for spec in specs(call)), repr(call.attributes)  # type: ignore[union-attr]
        if kinds not in seen:
            seen.add(kinds)
            yield call


def runs(op: Op, call: Call) -> tuple[Callable[[], Any], Callable[[], Any]] | None:
    """The call by the op's body and by graphc, or None where the op does not take it, or converts its operands."""
    try:
        arguments, attributes = call.draw(generator(op.name))
        if not all(isinstance(argument, np.ndarray) for argument in arguments):
            return None
        inputs = [gr.placeholder(f"x{i}", array.shape, array.dtype) for i, array in enumerate(arguments)]
        node = op(*inputs, **attributes)
        expected = op.body(*arguments, **node.attrs)
        step = gr.compile(inputs, list(node) if isinstance(node.type, TupleType) else node, threads=1)
        step(*arguments)
    except (gr.GraphcError, ValueError, TypeError, IndexError, OverflowError):
        return None
    if list(node.inputs) != inputs:
        return None
    attributes = dict(node.attrs)
    if op.writes_out and isinstance(expected, np.ndarray):
        attributes["out"] = np.empty_like(expected)
    if op.view:
        return lambda: _copied(op.body(*arguments, **attributes)), lambda: step(*arguments)
    return lambda: op.body(*arguments, **attributes), lambda: step(*arguments)


def measured(op: Op, call: Call, seconds: float) -> Turn | None:
    """The times of a call, or None where the op does not take it."""
    both = runs(op, call)
    if both is None:
        return None
    best = [math.inf, math.inf]
    deadline, left = time.perf_counter() + seconds, LEAST_TURNS
    while left > 0 or time.perf_counter() < deadline:
        left -= 1
        for i, run in enumerate(both):
            started = time.perf_counter()
            run()
            best[i] = min(best[i], time.perf_counter() - started)
    written = ", ".join([*map(str, call.operands), *(f"{name}={value}" for name, value in call.attributes.items())])
    return Turn(best[0] / best[1], *best, op.name, written)


def _copied(result: Any) -> Any:
    return [np.array(part, order="C") for part in (result if isinstance(result, (list, tuple)) else [result])]


def turns(names: list[str], elements: int, seconds: float) -> Iterator[Turn]:
    """Every call of these ops in every dtype."""
    for name in names:
        op = OPS[name]
        for call, dtype in itertools.product(calls(op), DTYPES):
            found = (measured(op, larger, seconds) for larger in enlarged(op, call, elements, dtype))
            turn = next((each for each in found if each is not None), None)
            if turn is not None:
                yield turn


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="ops, by name")
    parser.add_argument("--elements", type=int, default=300_000, help="of the largest operand")
    parser.add_argument("--seconds", type=float, default=0.02, help="of a call")
    parser.add_argument("--below", type=float, default=math.inf, help="the largest ratio to print")
    given = parser.parse_args()
    computed = [name for name, op in OPS.items() if op.samples is not None and not op.leaf and is_native(op)]
    names = given.only.split(",") if given.only else computed
    warnings.simplefilter("ignore")
    with threadpool_limits(1), np.errstate(all="ignore"):
        found = sorted(turns(names, given.elements, given.seconds))
    print(f"{'ratio':>7s} {'NumPy µs':>10s} {'graphc µs':>10s}  call")
    for turn in found:
        if turn.ratio <= given.below:
            print(f"{turn.ratio:7.2f} {turn.numpy * 1e6:10.1f} {turn.native * 1e6:10.1f}  {turn.op}({turn.call})")
    print(f"{len(found)} calls of {len({turn.op for turn in found})} ops; {sum(t.ratio < 1 for t in found)} below 1")


if __name__ == "__main__":
    main()
