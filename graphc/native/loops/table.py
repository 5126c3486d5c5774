"""Which op is computed by which loops: a table from ops to what they are done by, one piece after the other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import numpy as np

from graphc import ops
from graphc.ir import Node
from graphc.native.code.elementwise import is_known
from graphc.native.kernel.phases import reduction_of
from graphc.native.loops.folds import Extremum, Fold
from graphc.native.loops.lookups import LOOKUPS
from graphc.native.loops.maps import Map, Power, Search, filling
from graphc.native.loops.movement import MOVEMENT, copied_view
from graphc.native.loops.nests import Array, merged
from graphc.native.loops.pieces import Describer, Loop, NotNative, Pieces, in_turn, operand
from graphc.native.loops.randoms import Draw, words
from graphc.native.loops.scans import scan
from graphc.native.storage import Home, Storage
from graphc.native.strides import Steps, broadcast, c_order, own_steps
from graphc.op import OPS, Op, Reduction
from graphc.ops.fused import kernel
from graphc.ops.random import FOLDING, SAMPLING, SPLITTING
from graphc.types import promote


def pieces_of(node: Node, storage: Storage) -> Pieces | None:
    """What a node is done by, one after the other; None where no code is known, NotNative where these operands have
    none. An empty result takes nothing but a look at positions."""
    empty = all(storage.home[result] is not Home.OWN and not result.type.nbytes for result in storage.results(node))
    if empty and node.op.name not in LOOKUPS:
        return ()
    if node.op.view and storage.root(node.inputs[0]) is node:  # it was written that way
        return ()
    if node in storage.copies:
        return copied_view(node, storage)
    describe = LOOPS.get(node.op.name)
    return None if describe is None else describe(node, storage)


def has_loops(node: Node) -> bool:
    """Whether a node may be computed by loops: then its results lie where the program wants them."""
    return node.op.name in LOOPS


# Reductions and products.


def _folded(node: Node, sources: Sequence[Node], steps: Sequence[Steps], shape: Sequence[int], inner: Sequence[int],
            reduction: Reduction) -> Pieces:  # fmt: skip
    """A reduction over the last axes of an index space, of which the others are the result's."""
    lies = [*steps, (*c_order(shape), *(0,) * len(inner))]
    sizes, merged_steps, kinds = merged([*shape, *inner], lies, [False] * len(shape) + [True] * len(inner))
    count = kinds.count(False)
    arrays = tuple(Array(source.dtype, each) for source, each in zip(sources, merged_steps, strict=False))
    result = Array(node.dtype, merged_steps[-1][:count])
    fold = Fold(arrays, (result,), sizes[:count], sizes[count:], reduction)
    along = count + (fold.longest or 0)
    apart = [array.steps[along] * array.dtype.itemsize if sizes[count:] else 0 for array in arrays]
    return in_turn(Loop(each, tuple(sources), tuple(each.start * step for step in apart)) for each in fold.stretches)


def _reduction(node: Node, storage: Storage) -> Pieces:
    (x,) = node.inputs
    shape, steps = x.array_type.static_shape, storage.steps(x)
    over = node.attrs["axis"]
    kept = [axis for axis in range(x.ndim) if axis not in over]
    order = [*kept, *over]
    return _folded(node, [x], [tuple(steps[axis] for axis in order)], [shape[axis] for axis in kept],
                   [shape[axis] for axis in over], reduction_of(node))  # fmt: skip


def _matmul(node: Node, storage: Storage) -> Pieces:
    a, b, *_ = node.inputs
    lie_a, lie_b = storage.steps(a), storage.steps(b)
    size_a, size_b = a.array_type.static_shape, b.array_type.static_shape
    rows, columns = size_a[-2:-1], size_b[-1:] if b.ndim > 1 else ()
    shape = node.array_type.static_shape
    rank = len(shape) - len(rows) - len(columns)
    in_a = (*broadcast(size_a[:-2], lie_a[:-2], rank), *lie_a[-2:-1], *(0,) * len(columns), lie_a[-1])
    in_b = (*broadcast(size_b[:-2], lie_b[:-2], rank), *(0,) * len(rows), *lie_b[-1:] * len(columns), lie_b[-2:][0])
    return _folded(node, [a, b], [in_a, in_b], shape, size_a[-1:], _summing(node))


def _summing(node: Node) -> Reduction:
    op = ops.any if node.dtype.kind == "b" else ops.sum
    assert op.reduction is not None
    return op.reduction


def _einsum(node: Node, storage: Storage) -> Pieces:
    terms, _, y = node.attrs["subscripts"].partition("->")
    labels = terms.split(",")
    sizes: dict[str, int] = {}
    lies: list[dict[str, int]] = []
    for term, source in zip(labels, node.inputs, strict=True):
        sizes.update(zip(term, source.array_type.static_shape, strict=True))
        lies.append(dict(zip(term, storage.steps(source), strict=True)))
    inner = [label for label in sizes if label not in y]
    steps = [tuple(lie.get(label, 0) for label in (*y, *inner)) for lie in lies]
    return _folded(node, node.inputs, steps, [sizes[label] for label in y], [sizes[label] for label in inner],
                   _summing(node))  # fmt: skip


def _extremum(node: Node, storage: Storage) -> Pieces:
    (x,) = node.inputs
    shape, steps, axis = x.array_type.static_shape, storage.steps(x), node.attrs["axis"]
    over = list(range(x.ndim)) if axis is None else [axis]
    kept = [each for each in range(x.ndim) if each not in over]
    inner, (along,), _ = merged([shape[each] for each in over], [tuple(steps[each] for each in over)])
    if len(inner) > 1:
        raise NotNative(f"{node.op.name} of all elements, where these do not lie evenly")
    sizes = [shape[each] for each in kept]
    left, (source, to), _ = merged(sizes, [tuple(steps[each] for each in kept), c_order(sizes)])
    arrays = Array(x.dtype, (*source, *(along or (0,)))), Array(node.dtype, to)
    nest = Extremum((arrays[0],), (arrays[1],), left, inner or (1,), node.op.name)
    return in_turn(Loop(each, (x,)) for each in nest.stretches)


# Walks along an axis.


def _running(node: Node, storage: Storage) -> Pieces:
    (x,) = node.inputs
    attrs, own = node.attrs, own_steps(node)
    axis, length = attrs["axis"], node.array_type.static_shape[attrs["axis"]]
    if not attrs["exclusive"]:
        return _scan(node, [x], length, storage)
    other = [size for at, size in enumerate(node.array_type.static_shape) if at != axis]
    steps = tuple(step for at, step in enumerate(own) if at != axis)
    last = (length - 1) * own[axis] * node.array_type.dtype.itemsize if attrs["reverse"] else 0
    sizes, (to,), _ = merged(other, [steps])
    fill = Loop(filling(Array(node.dtype, to), sizes, 0 if node.op.name == "cumsum" else 1), offset=last)
    return [fill, *(_scan(node, [x], length - 1, storage, 1) if length > 1 else [])]


def _scan(node: Node, sources: Sequence[Node], length: int, storage: Storage, shift: int = 0) -> list[Loop]:
    """A walk along the first so many elements of an axis, or the last if reversed; results go `shift` further."""
    axis, reverse, shape = node.attrs["axis"], node.attrs["reverse"], node.array_type.static_shape
    lies = [*(storage.steps(source) for source in sources), own_steps(node)]
    widths = [array.array_type.dtype.itemsize for array in (*sources, node)]
    ends = [(shape[axis] - 1) * lie[axis] * width if reverse else 0 for lie, width in zip(lies, widths, strict=True)]
    sign = -1 if reverse else 1
    others = [size for at, size in enumerate(shape) if at != axis]
    sizes, steps, _ = merged(others, [tuple(step for at, step in enumerate(lie) if at != axis) for lie in lies])
    arrays = [Array(array.dtype, (*some, sign * lie[axis]))
              for array, some, lie in zip((*sources, node), steps, lies, strict=True)]  # fmt: skip
    nest = scan(tuple(arrays[:-1]), arrays[-1], sizes, length, node.op.name)
    offset = ends[-1] + shift * sign * lies[-1][axis] * widths[-1]
    return in_turn(Loop(each, tuple(sources), tuple(ends[:-1]), offset) for each in nest.stretches)


def _recurrence(node: Node, storage: Storage) -> Pieces:
    return _scan(node, node.inputs, node.array_type.static_shape[node.attrs["axis"]], storage)


# Element by element.


def _mapped(node: Node, storage: Storage) -> Pieces:
    (x,) = node.inputs
    shape = x.array_type.static_shape
    sizes, (source, to), _ = merged(shape, [storage.steps(x), c_order(shape)])
    results = tuple(Array(part.dtype, to) for part in storage.results(node))
    return [Loop(Map((Array(x.dtype, source),), results, sizes, node.op.name), (x,))]


def _power(node: Node, storage: Storage) -> Pieces:
    shape = node.array_type.static_shape
    arrays = [operand(source, storage, len(shape)) for source in node.inputs]
    sizes, (*steps, to), _ = merged(shape, [*(array.steps for array in arrays), c_order(shape)])
    operands = tuple(Array(array.dtype, lie) for array, lie in zip(arrays, steps, strict=True))
    return [Loop(Power(operands, (Array(node.dtype, to),), sizes), node.inputs, problems=(_negative_power,))]


def _negative_power(power: int) -> Exception:
    return ValueError("Integers to negative integer powers are not allowed.")


def _search(node: Node, storage: Storage) -> Pieces:
    known, values = node.inputs
    shape = values.array_type.static_shape
    sizes, (source, to), _ = merged(shape, [storage.steps(values), c_order(shape)])
    operands = Array(known.dtype, storage.steps(known)), Array(values.dtype, source)
    nest = Search(operands, (Array(node.dtype, to),), sizes, known.array_type.static_shape[0],
                  node.attrs["side"] == "right", promote(known.dtype, values.dtype))  # fmt: skip
    return [Loop(nest, node.inputs)]


def _arange(node: Node, storage: Storage) -> Pieces:
    """NumPy computes the first two numbers in double precision, and the others from those."""
    first, step = node.attrs["start"], node.attrs["step"]
    start, second = np.array([first, first + step]).astype(node.dtype)
    with np.errstate(over="ignore"):
        wide = np.float32 if node.dtype == np.float16 else node.dtype.type
        details = (("first", start.item()), ("step", (wide(second) - wide(start)).item()))
    return [Loop(Map((), (Array(node.dtype, (1,)),), node.array_type.static_shape, "range", details))]


def _diagonal(node: Node, storage: Storage, *, below: bool) -> Pieces:
    details = (("below", below), ("k", node.attrs["k"]))
    return [Loop(Map((), (Array(node.dtype, own_steps(node)),), node.array_type.static_shape, "diagonal", details))]


def _dim_size(node: Node, storage: Storage) -> Pieces:
    size = node.inputs[0].array_type.static_shape[node.attrs["axis"]]
    return [Loop(filling(Array(node.dtype, ()), (), size))]


# Random numbers.


def _key(node: Node, storage: Storage) -> Array:
    return Array(node.dtype, storage.steps(node))


def _drawn(node: Node, storage: Storage) -> Pieces:
    (key,) = node.inputs
    kind = f"{node.op.name} of {node.array_type.dtype.itemsize}"
    result = Array(node.dtype, (1,))
    nest = Draw((_key(key, storage),), (result,), math.prod(node.array_type.static_shape), SAMPLING, kind)
    return [Loop(nest, (key,))]


def _split(node: Node, storage: Storage) -> Pieces:
    (key,) = node.inputs
    return [Loop(words(_key(key, storage), node.dtype, math.prod(node.array_type.static_shape), SPLITTING), (key,))]


def _folded_in(node: Node, storage: Storage) -> Pieces:
    key, number = node.inputs
    return [Loop(words(_key(key, storage), node.dtype, 2, FOLDING, Array(number.dtype, ())), (key, number))]


LOOPS: dict[str, Describer] = {
    **MOVEMENT, **LOOKUPS, **{op.name: _reduction for op in OPS.values() if op.reduction},
    "argmax": _extremum, "argmin": _extremum, "cumsum": _running, "cumprod": _running,
    "linear_recurrence": _recurrence, "matmul": _matmul, "einsum": _einsum,
    "matmul_within": _matmul,
    "frexp": _mapped, "modf": _mapped, "power": _power, "searchsorted": _search, "arange": _arange,
    "eye": partial(_diagonal, below=False), "tri": partial(_diagonal, below=True), "dim_size": _dim_size,
    "random_uniform": _drawn, "random_normal": _drawn, "random_split": _split, "random_fold_in": _folded_in,
}  # fmt: skip


def has_code(op: Op) -> bool:
    """Whether an op is computed without NumPy: in a kernel, by loops, as a view, or before any run."""
    return op is kernel or is_known(op.name) or op.name in LOOPS or op.view or op.leaf or op.arity == 0
