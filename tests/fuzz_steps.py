"""The steps of random programs: each makes a value, or several, of what it picks; with whether it is exact."""

from __future__ import annotations

import string
from collections.abc import Callable
from typing import Any

import numpy as np
from fuzz_picking import Picker, Unfit, fit, kind_of

import graphc as gr

SMOOTH = (
    gr.tanh, gr.sin, gr.cos, gr.sigmoid, gr.softplus, gr.square, gr.erf, gr.arctan, gr.arcsinh, gr.negative, gr.nn.gelu,
    gr.nn.silu, gr.nn.log_sigmoid, gr.nn.elu, lambda x: gr.exp(-x * x), lambda x: gr.log1p(x * x),
    lambda x: gr.sqrt(1 + x * x), lambda x: gr.reciprocal(1 + gr.square(x)), lambda x: x**3 * 0.1, lambda x: x**2,
    lambda x: gr.expm1(gr.tanh(x)), lambda x: gr.log(1 + gr.exp(x)), lambda x: 1 / (1 + gr.exp(-x)),
    lambda x: x * x - x, lambda x: gr.sinh(gr.tanh(x)), lambda x: 1 - x, lambda x: x / 3, lambda x: 2 / (2 + x * x),
    gr.positive,
    lambda x: gr.exp2(gr.sin(x)), lambda x: gr.log2(1.5 + gr.cos(x)), lambda x: (1 + x * x) ** 0.5, gr.nn.gelu,
    lambda x: (1 + x * x) ** -1.5, lambda x: gr.add_n(x, x, x), lambda x: gr.rsqrt(1 + x * x),
    lambda x: gr.arctan(x) * x,
    lambda x: x * gr.sigmoid(x) * (1 - gr.sigmoid(x)), lambda x: gr.cosh(gr.sin(x)),
)  # fmt: skip
PAIRS = (
    gr.add, gr.subtract, gr.multiply, lambda x, y: x / (1 + y * y), lambda x, y: gr.arctan2(x, 1 + y * y),
    gr.logaddexp, lambda x, y: gr.hypot(x, y + 3), lambda x, y: x * y + x, lambda x, y: gr.add_n(x, y, x) if
    x.shape == y.shape else x + y, lambda x, y: (1 + x * x) ** gr.tanh(y), lambda x, y: gr.xlogy(x * x, 1 + y * y),
    lambda x, y: x - y * 0.5, lambda x, y: x * gr.exp(-y * y), lambda x, y: (x + y) * (x - y),
)  # fmt: skip
KINKED = (gr.relu, gr.abs, lambda x: gr.clip(x, -0.5, 0.75), lambda x: gr.maximum(x, 0.1), lambda x: gr.minimum(x, 0),
          lambda x: gr.nn.leaky_relu(x, 0.25), lambda x: gr.where(x > 0, x, 0.5 * x),
          lambda x: gr.maximum(x, -x))  # fmt: skip
JUMPS = (gr.floor, gr.ceil, gr.sign, gr.rint, gr.trunc, gr.signbit, gr.isfinite, lambda x: gr.heaviside(x, 0.5))
INTEGERS = (gr.add, gr.subtract, gr.multiply, gr.maximum, gr.minimum, gr.bitwise_and, gr.bitwise_or, gr.bitwise_xor,
            lambda x, y: x // (y * y + 1), lambda x, y: x % (y * y + 2), gr.gcd,
            lambda x, y: gr.floor_divide(x, 3), lambda x, y: gr.left_shift(x, 2))  # fmt: skip
COMPARISONS = (gr.less, gr.greater_equal, gr.equal, gr.not_equal, gr.greater, gr.less_equal)


def _unary(g: Picker) -> Any:
    return g.one(*SMOOTH)(g.float())


def _stopped(g: Picker) -> Any:
    if g.has_slopes:
        raise Unfit
    return gr.stop_gradient(g.float()) * g.float()


def _binary(g: Picker) -> Any:
    x = g.float()
    return g.one(*PAIRS)(x, g.like(x))


def _scaled(g: Picker) -> Any:
    x, c = g.float(), g.number()
    return g.one(lambda: x * c, lambda: x + c, lambda: c - x, lambda: (x + c) * 0.5, lambda: x * c + c)()


def _chain(g: Picker) -> Any:
    x = g.float()
    for _ in range(int(g.rng.integers(2, 9))):
        x = g.one(*SMOOTH)(x) if g.rng.random() < 0.6 else g.one(*PAIRS)(x, g.like(x))
    return gr.tanh(x)


def _kink(g: Picker) -> Any:
    x = g.kinked()
    if g.rng.random() < 0.3:
        y = g.last(lambda other: other.type.is_float and fit(x.shape, other.shape) and (g.kinks or g.exact[other]))
        return g.moved(g.one(gr.maximum, gr.minimum, gr.fmax, gr.fmin)(x, y), x, y)
    return g.moved(g.one(*KINKED)(x), x)


def _jump(g: Picker) -> Any:
    x = g.sure("f")
    return g.moved(g.one(*JUMPS)(x), x)


def _compared(g: Picker) -> Any:
    x = g.sure("fi")
    y = g.of(x, lambda other: g.exact[other] and fit(x.shape, other.shape))
    found = g.one(*COMPARISONS)(x, g.one(y, 0))
    return g.one((found, True), (gr.logical_not(found), True))


def _logic(g: Picker) -> Any:
    a = g.sure("b")
    b = g.last(lambda other: other.dtype.kind == "b" and g.exact[other] and fit(a.shape, other.shape))
    return g.one(gr.logical_and, gr.logical_or, gr.logical_xor)(a, b), True


def _chosen(g: Picker) -> Any:
    mask = g.sure("b")
    x = g.last(lambda other: other.type.is_float and fit(mask.shape, other.shape))
    y = g.like(x)
    return g.moved(g.one(lambda: gr.where(mask, x, y), lambda: gr.where(mask, x, 0), lambda: gr.where(mask, 0.5, x),
                         lambda: gr.where(mask, gr.where(mask, y, x), x))(), x, y)  # fmt: skip


def _guarded(g: Picker) -> Any:
    """Where one branch is NaN or infinite outside of its half."""
    x = g.sure("f")
    inside = x > 0.1
    return g.one(lambda: gr.where(inside, gr.log(gr.where(inside, x, 1)), 0), lambda: gr.where(inside, gr.sqrt(x), x),
                 lambda: gr.where(inside, 1 / x, 0) * 0.1, lambda: gr.where(inside, gr.log(x), x))()  # fmt: skip


def _constant_mask(g: Picker) -> Any:
    x = g.float(2)
    shape = x.shape[-2:]
    if not all(isinstance(dim, int) for dim in shape):
        raise Unfit
    kinds = (np.tri(*shape, dtype=bool), g.rng.random(shape) < 0.5, np.arange(shape[1]) < shape[1] // 2)
    mask = gr.constant(g.one(*kinds))
    return g.one(lambda: gr.where(mask, x, -1e9 if g.dtype != "float16" else -1e3) * 1e-3, lambda: gr.where(mask, x, 0),
                 lambda: gr.nn.softmax(gr.where(mask, x, -30)), lambda: x * mask.astype(x.dtype))()  # fmt: skip


def _integer(g: Picker) -> Any:
    x = g.sure("i")
    y = g.last(lambda other: g.exact[other] and other.dtype.kind == "i" and fit(x.shape, other.shape))
    return g.one(*INTEGERS)(x, y), True


def _cast(g: Picker) -> Any:
    x = g.any()
    if x.dtype.kind == "f":
        kinds = ("float32", "float64") if not g.exact[x] else ("float32", "float64", "int32", "bool")
        kind = g.one(*kinds) if g.own_dtype != "float64" or g.exact[x] else "float64"
        made = x.astype(kind)
        return g.moved(made.astype("float64") if made.type.is_float and g.dtype != g.own_dtype else made, x)
    return g.moved(x.astype(g.one(g.dtype, g.dtype, "int64", "int32", "int16", "bool", "uint8")), x)


def _view(g: Picker) -> Any:
    x = g.any(1)
    axis = g.axis(x)
    views = (
        lambda: gr.transpose(x, tuple(int(i) for i in g.rng.permutation(x.ndim))), lambda: x.T,
        lambda: x.reshape(x.size), lambda: gr.expand_dims(x, axis), lambda: gr.flip(x, axis), lambda: gr.flip(x),
        lambda: gr.moveaxis(x, axis, 0), lambda: gr.swapaxes(x, axis, -1), lambda: gr.broadcast_to(x, (2, *x.shape)),
        lambda: gr.broadcast_to(x[None], (3, *x.shape)), lambda: gr.roll(x, int(g.rng.integers(-3, 6)), axis),
        lambda: gr.roll(x, int(g.rng.integers(-3, 6))), lambda: x[..., ::-1], lambda: gr.squeeze(x),
        lambda: x[..., None],
        lambda: gr.ravel(x), lambda: _regrouped(g, x), lambda: gr.diagonal(x), lambda: gr.diagonal(x, 1, -1, 0),
        lambda: gr.broadcast_to(x[..., None], (*x.shape, 3)), lambda: gr.expand_dims(x, (0, -1)),
    )  # fmt: skip
    return g.moved(g.one(*views)(), x)


def _regrouped(g: Picker, x: gr.Node) -> gr.Node:
    """The same elements with two axes merged, or one split."""
    dims, axis = list(x.shape), g.below(x.ndim)
    if x.ndim > 1 and g.rng.random() < 0.5:
        axis = g.below(x.ndim - 1)
        return x.reshape((*dims[:axis], dims[axis] * dims[axis + 1], *dims[axis + 2 :]))
    if not isinstance(dims[axis], int):
        raise Unfit
    factors = [d for d in range(1, dims[axis] + 1) if dims[axis] % d == 0] or [1]
    factor = g.one(*factors)
    return x.reshape((*dims[:axis], factor, dims[axis] // factor, *dims[axis + 1 :]))


def _slice(g: Picker, size: Any) -> Any:
    """A part of an axis."""
    if not isinstance(size, int):
        return g.one(slice(None), slice(None, None, -1), slice(1, None), slice(None, None, 2), slice(0, 1))
    bounds = sorted(int(i) for i in g.rng.integers(0, size + 1, 2))
    return g.one(slice(None), slice(*bounds), slice(*bounds, 2), slice(None, None, -1), slice(bounds[1], None),
                 slice(bounds[1] - 1 if bounds[1] else None, None, -2), slice(-1, None), slice(None, bounds[1]),
                 *([bounds[0]] if bounds[0] < size else []))  # fmt: skip


def _index(g: Picker, x: gr.Node) -> tuple[Any, ...]:
    index = [_slice(g, dim) for dim in x.shape[: int(g.rng.integers(1, x.ndim + 1))]]
    return tuple([..., *index] if g.rng.random() < 0.15 and len(index) < x.ndim and all(
        isinstance(part, slice) for part in index) and _square(x) else index)  # fmt: skip


def _square(x: gr.Node) -> bool:
    return len(set(x.shape)) == 1


def _part(g: Picker) -> Any:
    x = g.any(1)
    return g.moved(x[_index(g, x)], x)


def _joined(g: Picker) -> Any:
    x = g.any(1)
    axis = g.below(x.ndim)
    fits = lambda o: (o.ndim == x.ndim and  # noqa: E731
                      all(a == b for at, (a, b) in enumerate(zip(o.shape, x.shape, strict=True)) if at != axis))
    pieces = [g.of(x, fits) for _ in range(int(g.rng.integers(1, 4)))]
    cut = [piece[(*[slice(None)] * axis, _range(g, piece.shape[axis]))] if g.rng.random() < 0.5 else piece
           for piece in pieces]  # fmt: skip
    return g.moved(gr.concatenate([x, *cut] if g.rng.random() < 0.8 else cut, axis), x, *pieces)


def _range(g: Picker, size: Any) -> slice:
    part = _slice(g, size)
    return part if isinstance(part, slice) else slice(part, part + 1)


def _fresh_join(g: Picker) -> Any:
    """Pieces that are computed for a concatenation."""
    x = g.float(1)
    axis = g.below(x.ndim)
    y = g.same(x)
    pieces = [g.one(*SMOOTH)(g.one(x, y)) for _ in range(int(g.rng.integers(2, 6)))]
    joined = gr.concatenate(pieces, axis)
    return g.one([joined], [joined, joined[(*[slice(None)] * axis, _range(g, x.shape[axis]))]], [*pieces, joined])


def _stacked(g: Picker) -> Any:
    x = g.any()
    y = g.same(x)
    return g.moved(gr.stack([x, y, x][: int(g.rng.integers(1, 4))], g.below(x.ndim + 1)), x, y)


def _split(g: Picker) -> Any:
    x = g.any(1)
    axis = g.known(x)
    cuts = sorted(int(i) for i in g.rng.integers(0, x.shape[axis] + 1, int(g.rng.integers(1, 4))))
    parts = list(gr.split(x, cuts, axis))
    if g.rng.random() < 0.5 and x.dtype.kind == "f":
        parts[g.below(len(parts))] = gr.tanh(parts[0]) if parts[0].shape == parts[0].shape else parts[0]
        return [(part, False) for part in parts[:3]]
    return [g.moved(part, x) for part in parts[:3]]


def _rejoined(g: Picker) -> Any:
    x = g.float(1)
    axis = g.known(x)
    cuts = sorted(int(i) for i in g.rng.integers(0, x.shape[axis] + 1, 2))
    parts = list(gr.split(x, cuts, axis))
    order = [int(i) for i in g.rng.permutation(len(parts))]
    return gr.concatenate([g.one(gr.positive, gr.tanh, gr.square)(parts[i]) for i in order], axis)


def _lengthened(g: Picker) -> Any:
    x = g.any(1)
    widths = [tuple(int(i) for i in g.rng.integers(0, 4, 2)) for _ in x.shape]
    value = g.one(0, 0, 1)
    return g.moved(g.one(lambda: gr.pad(x, widths, constant_values=value), lambda: gr.tile(x, (2,) * x.ndim),
                         lambda: gr.repeat(x, 2, g.axis(x)), lambda: gr.tile(x, 3),
                         lambda: gr.pad(x, [(0, 0)] * (x.ndim - 1) + [(1, 2)]))(), x)  # fmt: skip


def _replaced(g: Picker) -> Any:
    x = g.any(1)
    index = _index(g, x)
    part = x[index]
    fits = [node for node in g.nodes if kind_of(node) == kind_of(x) and fit(part.shape, node.shape)
            and node.ndim <= part.ndim]  # fmt: skip
    value = g.one(*fits[-6:], 0) if fits else 0
    change = g.one(gr.set_at, gr.add_at) if x.dtype.kind != "b" else gr.set_at
    if isinstance(value, gr.Node) and value.dtype != x.dtype:
        value = g.converted(value, x.dtype)
    if isinstance(value, int) and x.dtype.kind == "f":
        value = g.number()
    sources = [x] if not isinstance(value, gr.Node) else [x, value]
    made, exact = g.moved(change(x, index, value), *sources)
    return made, exact and change is gr.set_at


def _places(g: Picker, size: Any, shape: tuple[int, ...]) -> Any:
    """Positions along an axis: constants, or fed ones where the axis has an element or more."""
    if not isinstance(size, int) or size == 0:
        if size == 0 and 0 in shape:
            return np.zeros(shape, "int64")
        raise Unfit
    return g.rng.integers(-size, size, shape)


def _positions(g: Picker, size: Any) -> Any:
    """A node or a constant of positions; values in [-1, 0) are inside of any axis that has elements."""
    fed = g.inputs[8]
    shape = g.one((3,), (2, 4), (), (1,), (7,))
    if g.rng.random() < 0.3 and isinstance(size, int) and size > 0:
        return fed
    places = _places(g, size, shape)
    return places if g.rng.random() < 0.6 else gr.constant(places.astype(g.one("int64", "int32")))


def _gathered(g: Picker) -> Any:
    x = g.any(1)
    axis = g.known(x)
    size = x.shape[axis]
    return g.moved(g.one(
        lambda: gr.take(x, _positions(g, size), axis), lambda: x[(*[slice(None)] * axis, _positions(g, size))],
        lambda: gr.take_along_axis(x, _places(g, size, tuple(d if a != axis else 3 for a, d in enumerate(
            _static(x)))), axis),
        lambda: x[tuple(_places(g, d, (4,)) for d in _static(x)[:2])],
    )(), x)  # fmt: skip


def _static(x: gr.Node) -> tuple[int, ...]:
    if not all(isinstance(dim, int) for dim in x.shape):
        raise Unfit
    return tuple(x.shape)


def _scattered(g: Picker) -> Any:
    x = g.float(1)
    axis = g.known(x)
    where = (*[slice(None)] * axis, _places(g, x.shape[axis], g.one((3,), (2, 2), (6,))))
    part = x[where]
    value = g.of(x, lambda o: fit(part.shape, o.shape) and o.ndim <= part.ndim)
    return g.one(gr.set_at, gr.add_at)(x, where, value)


def _scattered_along(g: Picker) -> Any:
    x = g.float(1)
    axis = g.known(x)
    shape = tuple(d if a != axis else 3 for a, d in enumerate(_static(x)))
    places = _places(g, x.shape[axis], shape)
    value = gr.broadcast_to(g.of(x, lambda o: o.ndim == 0), shape)
    return g.one(gr.put_along_axis, lambda x, i, v, a: gr.add_along_axis(x, v, i, a))(x, places, value, axis)


def _by_input(g: Picker) -> Any:
    """Rows at fed positions, and the reverse."""
    table = g.inputs[4]
    j = gr.mod(g.inputs[8], max(1, g.columns))
    rows = table[j]
    return g.one(lambda: rows, lambda: gr.add_at(table, j, rows * 0.5), lambda: gr.one_hot(
        j, max(1, g.columns), dtype=g.dtype) @ table)()  # fmt: skip


def _axes(g: Picker, x: gr.Node) -> Any:
    if x.ndim > 1 and g.rng.random() < 0.25:
        return tuple(int(i) for i in g.rng.choice(x.ndim, 2, replace=False))
    return g.one(None, g.axis(x), g.axis(x))


def _reduced(g: Picker) -> Any:
    x = g.float(1)
    axis, keep = _axes(g, x), bool(g.rng.integers(2))
    reduce = g.one(gr.sum, gr.mean, gr.sum, gr.mean, gr.logsumexp, gr.var, lambda x, a, keepdims: gr.prod(
        gr.tanh(x) + 0.5, a, keepdims=keepdims),
        lambda x, a, keepdims: gr.sqrt(1 + gr.sum(x * x, a, keepdims=keepdims)),
        lambda x, a, keepdims: gr.sum(gr.square(x), a, keepdims=keepdims) * 0.1,
        lambda x, a, keepdims: gr.std(gr.concatenate([x, x + 1], 0), a, keepdims=keepdims),
        lambda x, a, keepdims: gr.mean(gr.exp(-x * x) * x, a, keepdims=keepdims))  # fmt: skip
    y = reduce(x, axis, keepdims=keep)
    return g.one(y, y, gr.tanh(y))


def _centered(g: Picker) -> Any:
    """A reduction used again on what was reduced."""
    x, keep = g.float(1), True
    axis = _axes(g, x)
    mean = gr.mean(x, axis, keepdims=keep)
    return g.one(lambda: x - mean, lambda: (x - mean) / gr.sqrt(gr.var(x, axis, keepdims=True) + 0.1),
                 lambda: x * gr.sum(x * x, axis, keepdims=True) * 0.1, lambda: gr.nn.layer_norm(x),
                 lambda: x / (1 + gr.sum(gr.abs(x) if g.kinks else x * x, axis, keepdims=True)),
                 lambda: gr.tanh(x - mean) + gr.sum(x))()  # fmt: skip


def _softmax(g: Picker) -> Any:
    x = g.float(1)
    axis = g.axis(x)
    e = gr.exp(x) if g.rng.random() < 0.5 else gr.exp(x - gr.max(x, axis, keepdims=True))
    return g.one(lambda: gr.nn.softmax(x, axis), lambda: gr.nn.log_softmax(x, axis), lambda: e / gr.sum(
        e, axis, keepdims=True), lambda: gr.log(e / gr.sum(e, axis, keepdims=True)),
        lambda: gr.log(gr.sum(gr.exp(x), axis)),
        lambda: gr.logsumexp(x, axis), lambda: gr.log(gr.nn.softmax(x, axis)), lambda: x - gr.logsumexp(
        x, axis, keepdims=True), lambda: gr.sum(gr.nn.softmax(x) * gr.nn.log_softmax(x), -1))()  # fmt: skip


def _extreme(g: Picker) -> Any:
    x = g.kinked() if not g.kinks else g.float()
    if not x.ndim:
        raise Unfit
    axis, keep = _axes(g, x), bool(g.rng.integers(2))
    return g.moved(g.one(gr.max, gr.min, gr.ptp)(x, axis, keepdims=keep), x)


def _counted(g: Picker) -> Any:
    x = g.sure("fib", 1)
    axis = g.one(None, g.axis(x))
    return g.one(lambda: gr.argmax(x, axis), lambda: gr.argmin(x, axis), lambda: gr.any(x, axis),
                 lambda: gr.all(x, axis), lambda: gr.count_nonzero(x, axis))(), True  # fmt: skip


def _whole_sum(g: Picker) -> Any:
    x = g.sure("ib", 1)
    return g.one(gr.sum, gr.cumsum, gr.max if x.dtype.kind != "b" else gr.sum)(x, g.axis(x)), True


def _running(g: Picker) -> Any:
    x = g.float(1)
    axis = g.axis(x)
    flags = {"exclusive": bool(g.rng.integers(2)), "reverse": bool(g.rng.integers(2))}
    return g.one(lambda: gr.cumsum(x, axis, **flags) * 0.3, lambda: gr.cumprod(gr.tanh(x) + 0.3, axis, **flags),
                 lambda: gr.diff(x, axis=axis), lambda: gr.cumsum(gr.tanh(x), axis, **flags) / 5,
                 lambda: gr.linear_recurrence(gr.tanh(x), gr.tanh(g.same(x)), axis=axis))()  # fmt: skip


def _sorted(g: Picker) -> Any:
    x = g.sure("f", 1) if not g.kinks else g.float(1)
    axis = g.known(x)
    if g.rng.random() < 0.3:
        x = g.sure("fi", 1)
        return gr.argsort(x, g.axis(x)), True
    if g.rng.random() < 0.4 and x.shape[axis] > 1:
        values, _ = gr.top_k(x, 2, axis)
        return g.moved(values, x)
    return g.moved(gr.sort(x, axis), x)


def _triangle(g: Picker) -> Any:
    x = g.float(2)
    k = int(g.rng.integers(-2, 3))
    return g.one(lambda: gr.triu(x, k), lambda: gr.tril(x, k), lambda: gr.trace(x), lambda: gr.diag(gr.ravel(x)[:9]),
                 lambda: gr.triu(x, k) @ gr.swapaxes(x, -1, -2) * 0.2)()  # fmt: skip


def _norm(dim: Any) -> float:
    return float(1 / np.sqrt(dim)) if isinstance(dim, int) and dim > 0 else 0.3


def _product(g: Picker) -> Any:
    """a @ b of what fits, as it lies or turned."""
    a = g.float(1)
    turned = lambda x: gr.swapaxes(x, -1, -2) if x.ndim > 1 else x  # noqa: E731
    if a.ndim > 1 and g.rng.random() < 0.4:
        a = turned(a)
    deep = a.shape[-1]
    if g.rng.random() < 0.25:
        b = turned(a) if a.ndim > 1 else a
    else:
        fits = lambda o: o.ndim > 0 and deep in ((o.shape[0],) if o.ndim == 1 else o.shape[-2:])  # noqa: E731
        b = g.of(a, fits)
        if b.ndim > 1 and b.shape[-2] != deep:
            b = turned(b)
    y = (a @ b) * _norm(deep)
    return g.one(y, y, gr.tanh(y), y + g.number(), turned(y), turned(a @ b) * 0.3)


def _with_epilogue(g: Picker) -> Any:
    """A product and what its users make of it."""
    a = g.float(2)
    b = g.of(a, lambda o: o.ndim == 2 and o.shape[0] == a.shape[-1])
    y = a @ b * _norm(a.shape[-1])
    z = g.like(y)
    return g.one(lambda: gr.tanh(y + z), lambda: gr.sum(y * z, g.axis(y)), lambda: [gr.sigmoid(y), gr.tanh(y)],
                 lambda: gr.nn.softmax(y + z) if z.ndim <= y.ndim else y, lambda: gr.square(y - z) * 0.1,
                 lambda: [y, gr.max(y, -1, keepdims=True) - y] if g.kinks else y,
                 lambda: y * gr.sigmoid(z) + z)()  # fmt: skip


def _einsum(g: Picker) -> Any:
    a = g.float(1)
    b = g.of(a, lambda o: o.ndim and o.ndim <= 4)
    letters: dict[Any, list[str]] = {}
    free = iter(string.ascii_lowercase)

    def label(node: gr.Node) -> str:
        text = ""
        for dim in node.shape:
            known = [letter for letter in letters.get(dim, []) if letter not in text]
            if known and g.rng.random() < 0.6:
                text += g.one(*known)
            else:
                letters.setdefault(dim, []).append(new := next(free))
                text += new
        return text

    left, right = label(a), label(b)
    kept = [letter for letter in dict.fromkeys(left + right) if g.rng.random() < (0.35 if letter in left and letter in
            right else 0.7)]  # fmt: skip
    order = [kept[int(i)] for i in g.rng.permutation(len(kept))]
    return gr.einsum(f"{left},{right}->{''.join(order)}", gr.tanh(a), gr.tanh(b)) * 0.1


def _outer(g: Picker) -> Any:
    a = g.float(1)
    b = g.of(a, lambda o: o.ndim >= 1)
    return g.one(lambda: gr.outer(a, b) * 0.5, lambda: gr.inner(a, b) * 0.1, lambda: gr.tensordot(a, b, 1) * 0.1,
                 lambda: gr.dot(a, b) * 0.1, lambda: gr.tensordot(a, b, 0) * 0.5)()  # fmt: skip


def _random(g: Picker) -> Any:
    key = gr.random.key(int(g.rng.integers(9)))
    x = g.float()
    shape = tuple(x.shape)
    return g.one(lambda: (gr.random.normal(key, shape, dtype="float32").astype(x.dtype) * x, False),
                 lambda: (gr.nn.dropout(x, 0.3, key), False),
                 lambda: (gr.random.uniform(key, shape).astype(x.dtype) + x, False))()  # fmt: skip


def _gate(g: Picker) -> Any:
    """A step of a recurrent network: parts of one product."""
    x, w = g.float(2), g.variables[1]
    w = w.astype(x.dtype) if x.dtype != w.dtype else w
    if x.shape[-1] != w.shape[0] or w.shape[0] < 3:
        raise Unfit
    z = x @ w * _norm(w.shape[0])
    cut = w.shape[0] // 3
    i, f, o = z[..., :cut], z[..., cut : 2 * cut], z[..., 2 * cut : 3 * cut]
    c = gr.sigmoid(i) * gr.tanh(f)
    return [c, gr.sigmoid(o) * gr.tanh(c), gr.concatenate([c, x], -1)]


def _derivative(g: Picker) -> Any:
    """A gradient as a value among others."""
    y, x = g.float(), g.one(*g.inputs[:5], *g.variables)
    if not x.type.is_float:
        raise Unfit
    return gr.gradients(g._total(y), [x], unconnected="zero")[0]


def _repeated(g: Picker) -> Any:
    """The same function of several parts, side by side: rounds of a loop."""
    x = g.float(1)
    axis = g.known(x)
    count = min(x.shape[axis], 5)
    f = g.one(*SMOOTH)
    total: Any = 0.0
    found = []
    for at in range(count):
        part = x[(*[slice(None)] * axis, at)]
        total = gr.tanh(f(part) + total)
        found.append(total)
    return gr.stack(found, 0) if found else x


KINDS: tuple[Callable[[Picker], Any], ...] = (
    _unary, _unary, _stopped, _binary, _binary, _binary, _scaled, _chain, _kink, _jump, _compared, _logic, _chosen,
    _chosen, _guarded, _constant_mask, _integer, _cast, _view, _view, _view, _part, _part, _joined, _joined,
    _fresh_join, _stacked, _split, _rejoined, _lengthened, _replaced, _replaced, _gathered, _scattered,
    _scattered_along, _by_input, _reduced, _reduced, _reduced, _centered, _centered, _softmax, _extreme, _counted,
    _whole_sum, _running, _sorted, _triangle, _product, _product, _product, _with_epilogue, _with_epilogue, _einsum,
    _outer, _random, _gate, _derivative, _repeated,
)  # fmt: skip
