"""The workloads that graphc is measured by, declared as a user would declare them.

from workloads import WORKLOADS
step = WORKLOADS["chain200"].graphc()      # declared now; compiled at the first call
step()                                     # one step on the same arguments; results on the host
step.func.report()                         # the executable behind it; step.args are its arguments
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from cases import CASES, HEADS, PRODUCTS, Arrays, Case, Spec
from programs import PROGRAMS, Program

import graphc as gr

Declared = tuple[Any, dict[gr.Variable, gr.Node] | None]
"""Outputs, and the updates of a training step."""


def rosenbrock(x: gr.Node, y: gr.Node) -> Declared:
    """(1 - x)² + 100 (y - x²)² and both gradients."""
    value = (1 - x) ** 2 + 100 * (y - x**2) ** 2
    return (value, *gr.gradients(value, [x, y])), None


def logistic(x: gr.Node, y: gr.Node, w: gr.Variable, b: gr.Variable) -> Declared:
    """A step of logistic regression."""
    loss = gr.losses.binary_cross_entropy_with_logits(x @ w + b, y)
    return loss, gr.optim.sgd(loss, [w, b], lr=0.1)


def mlp(x: gr.Node, y: gr.Node, *parameters: gr.Variable) -> gr.Node:
    """The loss of a classifier with a ReLU between its layers; parameters are weights and biases in turn."""
    *inner, (w, b) = zip(parameters[::2], parameters[1::2], strict=True)
    h = x
    for weight, bias in inner:
        h = gr.nn.relu(gr.nn.linear(h, weight, bias))
    return gr.losses.softmax_cross_entropy(gr.nn.linear(h, w, b), y)


def mlp_small(x: gr.Node, y: gr.Node, *parameters: gr.Variable) -> Declared:
    """A step of a small classifier with SGD."""
    loss = mlp(x, y, *parameters)
    return loss, gr.optim.sgd(loss, parameters, lr=0.1)


def mlp_adam(x: gr.Node, y: gr.Node, *parameters: gr.Variable) -> Declared:
    """A step of a classifier of digits with Adam."""
    loss = mlp(x, y, *parameters)
    return loss, gr.optim.adam(loss, parameters, lr=1e-3)


def fused(x: gr.Node, w: gr.Node, b: gr.Node) -> Declared:
    """An elementwise function with its three gradients."""
    left = gr.tanh(x * w + b) * gr.exp(-(x**2)) / (1 + x**2)
    value = gr.mean(left + gr.log1p(x**2) * gr.sigmoid(w * x))
    return (value, *gr.gradients(value, [x, w, b])), None


def black_scholes(s: gr.Node, k: gr.Node, t: gr.Node, r: gr.Node, v: gr.Node) -> Declared:
    """Prices of calls, and their derivatives by each of the five inputs: delta, by strike, theta, rho and vega."""

    def normal(z: gr.Node) -> gr.Node:
        return 0.5 * (1 + gr.erf(z * 0.5**0.5))

    spread = v * gr.sqrt(t)
    d1 = (gr.log(s / k) + (r + v**2 / 2) * t) / spread
    price = s * normal(d1) - k * gr.exp(-r * t) * normal(d1 - spread)
    return (price, *gr.gradients(gr.sum(price), [s, k, t, r, v])), None


def transformer(x: gr.Node, y: gr.Node, *parameters: gr.Variable) -> Declared:
    """A step of one pre-LN transformer block: attention of 4 heads, then a layer of 4 times the width."""
    g1, b1, wqkv, bqkv, wo, bo, g2, b2, w1, c1, w2, c2 = parameters
    batch, length, width = x.shape
    heads = (batch, length, 3, HEADS, width // HEADS)
    qkv = gr.nn.linear(gr.nn.layer_norm(x, g1, b1), wqkv, bqkv).reshape(heads)
    q, k, v = (gr.swapaxes(qkv[:, :, i], 1, 2) for i in range(3))
    weights = gr.nn.softmax(q @ gr.swapaxes(k, -1, -2) * (width // HEADS) ** -0.5)
    attended = gr.swapaxes(weights @ v, 1, 2).reshape(x.shape)
    x = x + gr.nn.linear(attended, wo, bo)
    h = gr.nn.gelu(gr.nn.linear(gr.nn.layer_norm(x, g2, b2), w1, c1))
    loss = gr.losses.mse(x + gr.nn.linear(h, w2, c2), y)
    return loss, gr.optim.sgd(loss, parameters, lr=0.1)


def lstm(x: gr.Node, y: gr.Node, w: gr.Variable, u: gr.Variable, b: gr.Variable) -> Declared:
    """A step of an LSTM, unrolled over time; the target is its last output."""
    size = u.shape[0]
    h, c = gr.zeros(y.shape, x.dtype), gr.zeros(y.shape, x.dtype)
    for t in range(x.shape[0]):
        gates = x[t] @ w + h @ u + b
        i, f, g, o = (gates[:, at * size : (at + 1) * size] for at in range(4))
        c = gr.sigmoid(f) * c + gr.sigmoid(i) * gr.tanh(g)
        h = gr.sigmoid(o) * gr.tanh(c)
    loss = gr.losses.mse(h, y)
    return loss, gr.optim.sgd(loss, [w, u, b], lr=0.1)


def chain(x: gr.Node, *, steps: int) -> Declared:
    """x ← x + 0.001 sin(x) x so many times, its sum and the gradient."""
    y = x
    for _ in range(steps):
        y = y + 0.001 * gr.sin(y) * y
    value = gr.sum(y)
    return (value, gr.grad(value, x)), None


def branches(x: gr.Node, *weights: gr.Variable) -> Declared:
    """The sum of many tanh(x · w), and the gradients of all w."""
    value = gr.add_n(*(gr.sum(gr.tanh(x @ w)) for w in weights))
    return (value, *gr.gradients(value, weights)), None


def hvp(x: gr.Node, v: gr.Node) -> Declared:
    """The Hessian of the chained Rosenbrock function times a direction."""
    value = gr.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)
    return gr.hvp(value, x, v), None


def product(a: gr.Node, b: gr.Node) -> Declared:
    """A matrix product."""
    return a @ b, None


def layers(x: gr.Node, *weights: gr.Variable) -> Declared:
    """Layers tanh(x · w) in a row, their sum and the gradients of all w."""
    h = x
    for w in weights:
        h = gr.tanh(h @ w)
    value = gr.sum(h)
    return (value, *gr.gradients(value, weights)), None


def attention(q: gr.Node, k: gr.Node, v: gr.Node) -> Declared:
    """Causal attention written out, its mean square and three gradients."""
    length, width = q.shape[-2:]
    scores = q @ gr.swapaxes(k, -1, -2) * width**-0.5
    seen = np.tri(length, dtype=bool)
    value = gr.mean(gr.square(gr.nn.softmax(gr.where(seen, scores, -np.inf)) @ v))
    return (value, *gr.gradients(value, [q, k, v])), None


def program(written: Program, *arrays: gr.Node) -> Declared:
    """A program of the survey, and its gradients if they are wanted."""
    value = written.function(gr, *arrays)
    return (value, *gr.gradients(value, arrays)) if written.differentiated else value, None


# Steps.

DECLARED: dict[str, Callable[..., Declared]] = {
    "rosenbrock": rosenbrock, "logistic": logistic, "mlp_small": mlp_small, "mlp_adam": mlp_adam, "fused": fused,
    "black_scholes": black_scholes, "transformer": transformer, "lstm": lstm, "chain200": partial(chain, steps=200),
    "chain2000": partial(chain, steps=2000), "branches": branches, "hvp": hvp, "layers24": layers,
    "attention": attention, **dict.fromkeys(PRODUCTS, product),
}  # fmt: skip


class Workload(NamedTuple):
    """A case with its declaration."""

    case: Case
    declare: Callable[..., Declared]

    def graphc(self, backend: str = "native", dtype: str = "", threads: int | None = None,
               arrays: Arrays | None = None) -> partial[Any]:  # fmt: skip
        """The step on graphc: an executable and its arguments. Compiles at the first call."""
        case, dtype, arrays = self.case, dtype or self.case.dtype, arrays or self.case.arrays()
        inputs = [_placeholder(name, spec, dtype) for name, spec in case.inputs.items()]
        made = zip(case.parameters, arrays.taken(), strict=True)
        outputs, updates = self.declare(*inputs, *[gr.variable(name, value, dtype) for name, value in made])
        step = gr.compile(inputs, outputs, updates=updates, backend=backend, threads=threads, name=case.name)
        return partial(step, *(_as(value, dtype) for value in arrays.feeds))

    def reference(self, steps: int) -> Iterator[Any]:
        """The results of so many steps in float64 on the NumPy executor; after them the parameters it trained."""
        step = self.graphc("numpy", "float64")
        for _ in range(steps):
            yield from flat(step())
        if self.case.trains:
            yield from trained(step)


def flat(results: Any) -> Iterator[Any]:
    """The results of a step one by one."""
    yield from results if isinstance(results, (tuple, list)) else [results]


def trained(step: partial[Any]) -> Iterator[Any]:
    """The parameters of a step on graphc, in the order of the table, without the optimizer's own."""
    named = {variable.name: variable for variable in step.func.source.variables}  # type: ignore[attr-defined]
    return (named[name].value for name in CASES[step.func.source.name].parameters)  # type: ignore[attr-defined]


def _placeholder(name: str, spec: Spec, dtype: str) -> gr.Node:
    return gr.placeholder(name, spec.shape, "int64" if spec.classes else dtype)


def _as(value: Any, dtype: str) -> Any:
    floats = isinstance(value, np.ndarray) and value.dtype.kind == "f"
    return value.astype(dtype, copy=False) if floats else value


WORKLOADS = {name: Workload(CASES[name], declare) for name, declare in DECLARED.items()} | {
    name: Workload(written.case(), partial(program, written)) for name, written in PROGRAMS.items()
}
