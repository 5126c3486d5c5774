"""Small programs of the kind that people write, for a survey of where graphc is slower than jax.

Each is a function of a namespace, which has NumPy's names (graphc's or jax's), and of arrays: written once for both.
Most are differentiated by all their arrays. `bench_survey.py` measures them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial, reduce
from typing import Any, NamedTuple

import formulas
from cases import CASES, Case, Spec, between
from formulas import log_softmax, normalized, softmax, squares

F64 = "float64"


class Program(NamedTuple):
    """What it is called and computes, of arrays of which shapes, or made how; whether with their gradients."""

    name: str
    function: Callable[..., Any]
    arrays: Mapping[str, Any]
    dtype: str = "float32"
    differentiated: bool = True

    def case(self) -> Case:
        """The program as a workload: no peer should be faster."""
        specs = {name: spec if isinstance(spec, Spec) else Spec(spec) for name, spec in self.arrays.items()}
        return Case(self.name, self.name, 1.0, self.dtype, specs, {})


def integers(n: int, shape: tuple[int, ...], name: str) -> Any:
    """Constant numbers below n, as a program holds them."""
    return Spec(shape, classes=n).make(name, "int64")


MATRIX = (1000, 1000)
ROWS = integers(1000, (5000,), "rows")
COLUMNS = integers(200, (1000, 1), "columns")
LABELS = integers(1000, (512, 1), "labels")
WORDS = integers(5000, (4096,), "words")


def plain(name: str, function: Callable[..., Any], arrays: Mapping[str, Any], dtype: str = "float32") -> Program:
    """A program that is not differentiated."""
    return Program(name, function, arrays, dtype, differentiated=False)


ELEMENTWISE = (
    Program("tanh", lambda xp, x: xp.sum(xp.tanh(x)), {"x": MATRIX}),
    Program("exp times sin", lambda xp, x: xp.sum(xp.exp(x) * xp.sin(x)), {"x": MATRIX}),
    Program("polynomial", lambda xp, x: xp.sum(1 + x * (2 + x * (3 + x * (4 + x * (5 + x))))), {"x": MATRIX}),
    Program("power 2.5", lambda xp, x: xp.sum((x * x + 1) ** 2.5), {"x": MATRIX}),
    Program("where", lambda xp, x, y: xp.sum(xp.where(x > y, x * y, x - y)), {"x": MATRIX, "y": MATRIX}),
    Program("huber", formulas.huber, {"x": MATRIX, "y": MATRIX}),
    Program("gelu", formulas.gelu, {"x": MATRIX}),
    Program("square root", lambda xp, x, y: xp.sum(xp.sqrt(x * x + y * y + 1)), {"x": MATRIX, "y": MATRIX}),
    Program("weights", lambda xp, x, m: xp.sum(x * m / 0.9), {"x": MATRIX, "m": MATRIX}),
    Program("kl of gaussians", lambda xp, m, s: 0.5 * xp.sum(xp.exp(s) + m * m - 1 - s),
            {"m": (1000, 64), "s": (1000, 64)}),
    Program("outer", lambda xp, x, y: xp.sum(xp.tanh(x[:, None] * y[None, :])), {"x": (1000,), "y": (1000,)}),
    Program("three-way sum", lambda xp, x, b, c: xp.sum(xp.tanh(x + b[:, None, :] + c[None, :, :])),
            {"x": (32, 64, 128), "b": (32, 128), "c": (64, 128)}),
    Program("gaussian likelihood", lambda xp, x, m, s: xp.sum(-0.5 * ((x - m) / xp.exp(s)) ** 2 - s),
            {"x": (10000, 20), "m": (20,), "s": (20,)}, F64),
    Program("arctan2", lambda xp, x, y: xp.sum(xp.arctan2(xp.sin(x), xp.cos(y))),
            {"x": (100000,), "y": (100000,)}, F64),
    Program("log1p and expm1", lambda xp, x: xp.sum(xp.log1p(xp.exp(x)) + xp.expm1(x * 0.1)), {"x": (200000,)}, F64),
    Program("100 sines", lambda xp, x: xp.sum(reduce(lambda s, _: xp.sin(s) * 1.1, range(100), x)), {"x": (100,)}, F64),
    Program("logistic map", lambda xp, x: xp.sum(reduce(lambda x, _: 3.2 * x * (1 - x), range(50), x)),
            {"x": between(100000, 0, 1)}, F64),
    Program("two scalars", lambda xp, x, y: xp.sin(x) * y + x * x, {"x": (), "y": ()}, F64),
    Program("1000 numbers", lambda xp, x: xp.sum(xp.tanh(x) * x), {"x": (1000,)}, F64),
    plain("integers", lambda xp, x: xp.sum((x * 3 + 7) % 11), {"x": Spec(MATRIX, classes=1000)}, F64),
    plain("count", lambda xp, x: xp.sum((x > 0) & (x < 1)), {"x": MATRIX}),
    plain("floor and mod", lambda xp, x: xp.sum(xp.floor(x * 10) % 3), {"x": MATRIX}),
    plain("mandelbrot", formulas.mandelbrot, {"x": (500, 500), "y": (500, 500)}),
    plain("life", formulas.life, {"x": Spec((500, 500), classes=2)}, F64),
)  # fmt: skip

REDUCTIONS = (
    Program("sum down", lambda xp, x: squares(xp, xp.sum(x * x, axis=0)), {"x": (2000, 500)}),
    Program("sum along", lambda xp, x: squares(xp, xp.sum(x * x, axis=1)), {"x": (2000, 500)}),
    Program("mean of middle", lambda xp, x: squares(xp, xp.mean(x, axis=1)), {"x": (64, 100, 128)}),
    Program("mean of moved", lambda xp, x: squares(xp, xp.mean(xp.moveaxis(x, 1, -1), axis=-1)), {"x": (32, 64, 256)}),
    Program("max along", lambda xp, x: xp.sum(xp.max(x, axis=1)), {"x": (2000, 500)}),
    Program("max down", lambda xp, x: xp.sum(xp.max(x, axis=0)), {"x": (2000, 500)}),
    Program("standard deviation", lambda xp, x: xp.sum(xp.std(x, axis=0)), {"x": (2000, 100)}, F64),
    Program("product along", lambda xp, x: xp.sum(xp.prod(x, axis=1)), {"x": between((5000, 20), 0.97, 1.03)}, F64),
    Program("logsumexp", lambda xp, x: xp.sum(xp.log(xp.sum(xp.exp(x), axis=1))), {"x": (2000, 300)}),
    Program("batch norm", formulas.batch_norm, {"x": (2000, 300)}),
    Program("layer norm, short rows", formulas.layer_norm, {"x": (4096, 256), "g": (256,), "b": (256,)}),
    Program("layer norm, long rows", formulas.layer_norm, {"x": (64, 4096), "g": (4096,), "b": (4096,)}),
    Program("rms norm", formulas.rms_norm, {"x": (2000, 512), "g": (512,)}),
    Program("norms of rows", lambda xp, x: xp.sum(normalized(xp, x)), {"x": (2000, 300)}),
    Program("softmax, short rows", lambda xp, x, y: xp.sum(softmax(xp, x) * y), {"x": (4096, 128), "y": (4096, 128)}),
    Program("softmax, long rows", lambda xp, x, y: xp.sum(softmax(xp, x) * y), {"x": (32, 30000), "y": (32, 30000)}),
    Program("softmax down", lambda xp, x, y: xp.sum(softmax(xp, x.T).T * y), {"x": (1000, 256), "y": (1000, 256)}),
    Program("cross entropy of labels", lambda xp, x: -xp.mean(xp.take_along_axis(log_softmax(xp, x), LABELS, axis=1)),
            {"x": (512, 1000)}),
    Program("cross entropy", lambda xp, x, t: -xp.mean(xp.sum(log_softmax(xp, x) * t, axis=1)),
            {"x": (512, 1000), "t": between((512, 1000), 0, 1)}),
    Program("soft histogram",
            lambda xp, x, c: squares(xp, xp.sum(xp.exp(-100 * (x[:, None] - c[None, :]) ** 2), axis=0)),
            {"x": (10000,), "c": between(32, -2, 2)}),
    Program("sums of blocks", lambda xp, x: squares(xp, xp.sum(xp.reshape(x, (100, 10, 100, 10)), axis=(1, 3))),
            {"x": MATRIX}),
    Program("average pooling", lambda xp, x: squares(xp, xp.mean(xp.reshape(x, (32, 64, 2, 64, 2)), axis=(2, 4))),
            {"x": (32, 128, 128)}),
    Program("max pooling", lambda xp, x: xp.sum(xp.max(xp.reshape(x, (32, 64, 2, 64, 2)), axis=(2, 4))),
            {"x": (32, 128, 128)}),
    Program("cumsum along", lambda xp, x: squares(xp, xp.cumsum(x, axis=1)), {"x": (1000, 500)}),
    Program("cumsum down", lambda xp, x: squares(xp, xp.cumsum(x, axis=0)), {"x": (1000, 500)}),
    Program("cumsum backwards", lambda xp, x: squares(xp, xp.flip(xp.cumsum(xp.flip(x, 1), axis=1), 1)),
            {"x": (500, 1000)}),
    Program("cumprod along", lambda xp, x: xp.sum(xp.cumprod(x, axis=1)), {"x": between((500, 100), 0.9, 1.1)}),
    Program("asian option", formulas.asian_option, {"z": (5000, 50), "s": ()}, F64),
    plain("argmax along", lambda xp, x: xp.argmax(x, axis=1), {"x": (2000, 500)}),
    plain("argmax down", lambda xp, x: xp.argmax(x, axis=0), {"x": (2000, 500)}),
    plain("sort", lambda xp, x: xp.sum(xp.sort(x, axis=1) * x), {"x": (500, 500)}),
    Program("smallest of columns", lambda xp, x: xp.sum(xp.sort(x, axis=0)[:10]), {"x": (1000, 50)}),
)  # fmt: skip

MOVEMENT = (
    Program("add transposed", lambda xp, x: squares(xp, x + x.T), {"x": MATRIX}),
    plain("transpose", lambda xp, x: x.T * 2, {"x": MATRIX}),
    plain("permute", lambda xp, x: xp.transpose(x, (0, 2, 1, 3)) * 2, {"x": (8, 64, 8, 64)}),
    Program("differences along", lambda xp, x: squares(xp, x[:, 1:] - x[:, :-1]), {"x": MATRIX}),
    Program("differences down", lambda xp, x: squares(xp, x[1:] - x[:-1]), {"x": MATRIX}),
    Program("laplace", formulas.laplace, {"x": MATRIX}),
    Program("heat", formulas.heat, {"x": (500, 500)}),
    Program("wave", formulas.wave, {"u": (200, 200), "v": (200, 200)}, F64),
    Program("total variation", formulas.total_variation, {"x": MATRIX}),
    Program("convolution by parts", lambda xp, x, w: xp.sum(xp.tanh(sum(x[:, i : i + 992] * w[i] for i in range(9)))),
            {"x": (500, 1000), "w": (9,)}),
    Program("even times odd", lambda xp, x: xp.sum(x[:, ::2] * x[:, 1::2]), {"x": MATRIX}),
    Program("colours to gray",
            lambda xp, x: squares(xp, 0.299 * x[..., 0] + 0.587 * x[..., 1] + 0.114 * x[..., 2]), {"x": (512, 512, 3)}),
    Program("concatenate", lambda xp, x, y: squares(xp, xp.concatenate([xp.tanh(x), y * 2], axis=1)),
            {"x": (1000, 500), "y": (1000, 500)}),
    Program("stack", lambda xp, x, y: xp.sum(xp.stack([x, y, x * y], axis=-1) ** 3),
            {"x": (500, 1000), "y": (500, 1000)}),
    Program("pad", lambda xp, x: squares(xp, xp.pad(x, ((1, 1), (1, 1)))), {"x": MATRIX}),
    Program("flip", lambda xp, x: xp.sum(xp.flip(x, 1) * x), {"x": MATRIX}),
    Program("tile", lambda xp, x: squares(xp, xp.tile(x, (4, 2))), {"x": (250, 300)}),
    Program("repeat", lambda xp, x: squares(xp, xp.repeat(xp.repeat(x, 2, axis=0), 2, axis=1)), {"x": (300, 300)}),
    Program("upper triangle", lambda xp, x: squares(xp, xp.triu(x)), {"x": MATRIX}),
    Program("take rows", lambda xp, x: squares(xp, xp.take(x, ROWS, axis=0)), {"x": (1000, 64)}),
    Program("take along", lambda xp, x: squares(xp, xp.take_along_axis(x, COLUMNS, axis=1)), {"x": (1000, 200)}),
    Program("word vectors", partial(formulas.word_vectors, words=WORDS), {"e": (5000, 64), "f": (5000, 64)}),
    Program("rosenbrock 1000", formulas.rosenbrock, {"x": (1000,)}, F64),
    Program("rosenbrock 1000000", formulas.rosenbrock, {"x": (1000000,)}, F64),
    Program("lstm gates", formulas.gates, {"g": (256, 512), "c": (256, 128)}),
    Program("rotary embedding", formulas.rotary, {"x": (8, 128, 4, 64), "c": (128, 1, 32), "s": (128, 1, 32)}),
)  # fmt: skip

PRODUCTS = (
    Program("matrix times vector", lambda xp, a, x: squares(xp, a @ x), {"a": (2000, 1000), "x": (1000,)}),
    Program("vector times matrix", lambda xp, a, x: squares(xp, x @ a), {"a": (1000, 2000), "x": (1000,)}),
    Program("dot", lambda xp, x, y: x @ y, {"x": (1000000,), "y": (1000000,)}),
    Program("trace", lambda xp, x: xp.trace(x @ x), {"x": (300, 300)}),
    Program("batch of 64x64", lambda xp, a, b: squares(xp, xp.matmul(a, b)), {"a": (64, 64, 64), "b": (64, 64, 64)}),
    Program("batch of 8x8", lambda xp, a, b: squares(xp, xp.matmul(a, b)), {"a": (2000, 8, 8), "b": (2000, 8, 8)}),
    Program("batch of 4x4", lambda xp, a, b: squares(xp, xp.matmul(a, b)), {"a": (5000, 4, 4), "b": (5000, 4, 4)}, F64),
    Program("batch of vectors", lambda xp, a, b: squares(xp, xp.matmul(a, b[:, :, None])),
            {"a": (256, 64, 64), "b": (256, 64)}),
    Program("einsum bqhd,bkhd->bhqk", lambda xp, a, b: squares(xp, xp.einsum("bqhd,bkhd->bhqk", a, b)),
            {"a": (4, 128, 4, 32), "b": (4, 128, 4, 32)}),
    Program("einsum ijk,kl->ijl", lambda xp, a, b: squares(xp, xp.einsum("ijk,kl->ijl", a, b)),
            {"a": (32, 64, 64), "b": (64, 64)}),
    Program("einsum bi,bj->ij", lambda xp, a, b: squares(xp, xp.einsum("bi,bj->ij", a, b)),
            {"a": (512, 128), "b": (512, 128)}),
    Program("einsum bi,bj->bij", lambda xp, a, b: squares(xp, xp.einsum("bi,bj->bij", a, b)),
            {"a": (500, 40), "b": (500, 40)}),
    Program("einsum ij,ij->i", lambda xp, a, b: squares(xp, xp.einsum("ij,ij->i", a, b)),
            {"a": (3000, 300), "b": (3000, 300)}),
    Program("einsum abcd,cdef->abef", lambda xp, a, b: squares(xp, xp.einsum("abcd,cdef->abef", a, b)),
            {"a": (8, 8, 16, 16), "b": (16, 16, 8, 8)}),
    Program("einsum bi,ij,bj->b", lambda xp, x, w, y: squares(xp, xp.einsum("bi,ij,bj->b", x, w, y)),
            {"x": (1000, 64), "w": (64, 64), "y": (1000, 64)}),
    Program("einsum bi,bj,ijk->bk", lambda xp, a, b, c: squares(xp, xp.einsum("bi,bj,ijk->bk", a, b, c)),
            {"a": (128, 32), "b": (128, 32), "c": (32, 32, 16)}),
    Program("quadratic form", lambda xp, x, a: xp.sum(x * (x @ a)), {"x": (2000, 100), "a": (100, 100)}, F64),
    Program("low rank", lambda xp, u, v, a: squares(xp, u @ v.T - a),
            {"u": (1000, 8), "v": (500, 8), "a": (1000, 500)}),
    Program("covariance", formulas.covariance, {"x": (2000, 100)}),
    Program("pairwise distances", formulas.pairwise, {"x": (300, 8), "y": (300, 8)}),
    Program("pairwise exponentials", formulas.gram, {"x": (300, 5)}, F64),
    Program("potential of bodies", formulas.potential, {"q": (200, 3)}, F64),
    Program("rbf kernel", formulas.rbf, {"x": Spec((500, 64), 0.1), "y": Spec((500, 64), 0.1)}),
    Program("cosines", lambda xp, x, y: xp.sum(normalized(xp, x) @ normalized(xp, y).T),
            {"x": (500, 128), "y": (500, 128)}),
    plain("product of integers", lambda xp, a, b: a @ b,
          {"a": Spec((200, 200), classes=10), "b": Spec((200, 200), classes=10)}, F64),
)  # fmt: skip

MODELS = (
    Program("one row", lambda xp, x, w, v: xp.sum(xp.tanh(x @ w) @ v), {"x": (1, 64), "w": (64, 64), "v": (64, 10)}),
    Program("three layers", formulas.deep,
            {"x": (256, 256), "a": Spec((256, 512), 0.1), "b": Spec((512, 512), 0.1), "c": (512, 1)}),
    Program("autoencoder", lambda xp, x, a, b: xp.mean((xp.tanh(x @ a) @ b - x) ** 2),
            {"x": (1000, 784), "a": Spec((784, 16), 0.1), "b": (16, 784)}),
    Program("gated unit", formulas.gated, {"x": (256, 128), "a": Spec((128, 256), 0.1), "b": Spec((128, 256), 0.1)}),
    Program("embedding", lambda xp, e, w: squares(xp, xp.tanh(xp.take(e, WORDS, axis=0) @ w)),
            {"e": (5000, 64), "w": Spec((64, 64), 0.1)}),
    Program("attention of 16", formulas.attention, {"q": (16, 64, 64), "k": (16, 64, 64), "v": (16, 64, 64)}),
    Program("attention of 4 heads", formulas.heads,
            {"x": (8, 64, 128), **{name: Spec((128, 128), 0.1) for name in ("wq", "wk", "wv")}}),
    Program("convolution by columns", formulas.convolution_by_columns, {"x": (16, 28, 28, 8), "w": (72, 16)}),
    Program("convolution by products", formulas.convolution_by_products, {"x": (16, 28, 28, 8), "w": (9, 8, 16)}),
    Program("gated recurrence", formulas.recurrence,
            {"x": (10, 32, 32), "h": (32, 64), **{name: Spec((32, 64), 0.1) for name in ("wz", "wr", "wh")},
             **{name: Spec((64, 64), 0.1) for name in ("uz", "ur", "uh")}}),
    Program("50 steps of an ode",
            lambda xp, x, w: xp.sum(reduce(lambda s, _: s + 0.1 * xp.tanh(s @ w), range(50), x)),
            {"x": (32, 32), "w": Spec((32, 32), 0.1)}),
    Program("kalman filter", formulas.kalman, {"x": (4,), "p": (4, 4), "a": Spec((4, 4), 0.5), "h": (1, 4)}, F64),
    Program("page rank", formulas.page_rank, {"m": between((300, 300), 0, 2 / 300), "v": (300,)}),
    Program("linear regression", lambda xp, x, w, y: xp.mean((x @ w - y) ** 2),
            {"x": (10000, 100), "w": (100,), "y": (10000,)}, F64),
    Program("polynomial features", formulas.polynomial_features, {"x": (20000,), "w": (6,)}, F64),
    Program("poisson regression", lambda xp, x, b: xp.sum(xp.exp(x @ b) - x @ b),
            {"x": (5000, 20), "b": Spec((20,), 0.1)}, F64),
    Program("hinge", lambda xp, x, b: xp.mean(xp.maximum(0, 1 - x @ b)) + xp.sum(b * b), {"x": (5000, 50), "b": (50,)}),
    Program("k-means", formulas.k_means, {"x": (5000, 16), "c": (32, 16)}),
    Program("gaussian mixture", formulas.mixture, {"x": (2000, 4), "m": (16, 4), "s": Spec((16, 4), 0.1)}, F64),
)  # fmt: skip

PROGRAMS = {program.name: program for program in (*ELEMENTWISE, *REDUCTIONS, *MOVEMENT, *PRODUCTS, *MODELS)}
EVERY_CASE = CASES | {name: program.case() for name, program in PROGRAMS.items()}
"""The workloads, and the programs as such."""
