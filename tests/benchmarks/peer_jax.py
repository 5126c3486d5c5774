"""The workloads on jax: one jitted function a step, parameters donated, arrays on the device before the first step.

The variant "scan" writes what repeats as `jax.lax.scan` instead of a Python loop.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from cases import HEADS, PRODUCTS, Arrays, Case
from jax import nn
from jax.scipy.special import erf
from peer import Peer
from programs import PROGRAMS, Program

LR = 0.1


def make(case: Case, arrays: Arrays, variant: str) -> Peer:
    """The step of a workload."""
    jax.config.update("jax_enable_x64", case.dtype == "float64")
    written = (SCANNED if variant == "scan" else WRITTEN).get(case.name)
    if written is None:
        raise LookupError(f"jax has no {variant} form of it")
    feeds = [feed if isinstance(feed, float) else jnp.asarray(feed) for feed in arrays.feeds]
    parameters = [jnp.asarray(value, case.dtype) for value in arrays.taken()]
    if case.trains:
        return training(written, feeds, parameters, ADAM if case.name == "mlp_adam" else SGD)
    step = jax.jit(written)
    return Peer(lambda: jax.block_until_ready(step(*feeds, *parameters)), lambda: ())


def training(loss: Callable[..., Any], feeds: list[Any], parameters: list[Any], rule: Any) -> Peer:
    """A step that changes the parameters: it donates the old ones, and keeps what it returns."""
    start, update = rule

    def step(state: Any, *feeds: Any) -> Any:
        value, gradients = jax.value_and_grad(lambda parameters: loss(*feeds, *parameters))(state[0])
        return value, update(state, gradients)

    compiled, kept = jax.jit(step, donate_argnums=0), [start(parameters)]

    def call() -> Any:
        value, kept[0] = jax.block_until_ready(compiled(kept[0], *feeds))
        return value

    return Peer(call, lambda: kept[0][0])


def sgd(state: Any, gradients: Any) -> Any:
    """w ← w - LR g."""
    return ([w - LR * g for w, g in zip(state[0], gradients, strict=True)],)


def adam(state: Any, gradients: Any) -> Any:
    """Kingma and Ba's algorithm 1, with their constants."""
    parameters, ms, vs, t = state
    t = t + 1
    ms = [0.9 * m + 0.1 * g for m, g in zip(ms, gradients, strict=True)]
    vs = [0.999 * v + 0.001 * g * g for v, g in zip(vs, gradients, strict=True)]
    a, b = 1e-3 / (1 - 0.9**t), 1 / (1 - 0.999**t)
    moved = [w - a * m / (jnp.sqrt(v * b) + 1e-8) for w, m, v in zip(parameters, ms, vs, strict=True)]
    return moved, ms, vs, t


SGD = (lambda parameters: (parameters,), sgd)
ADAM = (
    lambda parameters: (parameters, *([jnp.zeros_like(w) for w in parameters] for _ in range(2)), jnp.float32(0)),
    adam,
)


def differentiated(f: Callable[..., Any], by: slice) -> Callable[..., Any]:
    """What f returns beside its value, and the gradients of the value by some of the arguments."""

    def both(*arguments: Any) -> Any:
        numbers = tuple(range(len(arguments))[by])
        (_, shown), gradients = jax.value_and_grad(f, numbers, has_aux=True)(*arguments)
        return shown, *gradients

    return both


# The computations: each returns a scalar to differentiate, and what to show; those that train return their loss.


def rosenbrock(x: Any, y: Any) -> Any:
    value = (1 - x) ** 2 + 100 * (y - x**2) ** 2
    return value, value


def logistic(x: Any, y: Any, w: Any, b: Any) -> Any:
    z = x @ w + b
    return jnp.mean(nn.softplus(z) - y * z)


def mlp(x: Any, y: Any, *parameters: Any) -> Any:
    *inner, (w, b) = zip(parameters[::2], parameters[1::2], strict=True)
    for weight, bias in inner:
        x = nn.relu(x @ weight + bias)
    chances = nn.log_softmax(x @ w + b)
    return -jnp.mean(jnp.take_along_axis(chances, y[:, None], 1))


def fused(x: Any, w: Any, b: Any) -> Any:
    left = jnp.tanh(x * w + b) * jnp.exp(-(x**2)) / (1 + x**2)
    value = jnp.mean(left + jnp.log1p(x**2) * nn.sigmoid(w * x))
    return value, value


def black_scholes(s: Any, k: Any, t: Any, r: Any, v: Any) -> Any:
    def normal(z: Any) -> Any:
        return 0.5 * (1 + erf(z * 0.5**0.5))

    spread = v * jnp.sqrt(t)
    d1 = (jnp.log(s / k) + (r + v**2 / 2) * t) / spread
    price = s * normal(d1) - k * jnp.exp(-r * t) * normal(d1 - spread)
    return jnp.sum(price), price


def layer_norm(x: Any, weight: Any, bias: Any) -> Any:
    centered = x - jnp.mean(x, -1, keepdims=True)
    return centered * jax.lax.rsqrt(jnp.mean(centered**2, -1, keepdims=True) + 1e-5) * weight + bias


def transformer(x: Any, y: Any, *parameters: Any) -> Any:
    g1, b1, wqkv, bqkv, wo, bo, g2, b2, w1, c1, w2, c2 = parameters
    qkv = (layer_norm(x, g1, b1) @ wqkv + bqkv).reshape(*x.shape[:2], 3, HEADS, -1)
    q, k, v = (qkv[:, :, i].swapaxes(1, 2) for i in range(3))
    weights = nn.softmax(q @ k.swapaxes(-1, -2) * q.shape[-1] ** -0.5)
    x = x + (weights @ v).swapaxes(1, 2).reshape(x.shape) @ wo + bo
    h = nn.gelu(layer_norm(x, g2, b2) @ w1 + c1, approximate=False)
    return jnp.mean((x + h @ w2 + c2 - y) ** 2)


def cell(before: Any, inputs: Any, u: Any) -> Any:
    h, c = before
    i, f, g, o = jnp.split(inputs + h @ u, 4, axis=1)
    c = nn.sigmoid(f) * c + nn.sigmoid(i) * jnp.tanh(g)
    return nn.sigmoid(o) * jnp.tanh(c), c


def lstm(x: Any, y: Any, w: Any, u: Any, b: Any) -> Any:
    before = jnp.zeros_like(y), jnp.zeros_like(y)
    for inputs in x @ w + b:
        before = cell(before, inputs, u)
    return jnp.mean((before[0] - y) ** 2)


def lstm_scan(x: Any, y: Any, w: Any, u: Any, b: Any) -> Any:
    start = jnp.zeros_like(y), jnp.zeros_like(y)
    (h, _), _ = jax.lax.scan(lambda before, inputs: (cell(before, inputs, u), None), start, x @ w + b)
    return jnp.mean((h - y) ** 2)


def chain(x: Any, *, steps: int) -> Any:
    for _ in range(steps):
        x = x + 0.001 * jnp.sin(x) * x
    return jnp.sum(x), jnp.sum(x)


def chain_scan(x: Any, *, steps: int) -> Any:
    x, _ = jax.lax.scan(lambda x, _: (x + 0.001 * jnp.sin(x) * x, None), x, length=steps)
    return jnp.sum(x), jnp.sum(x)


def branches(x: Any, *weights: Any) -> Any:
    value = sum(jnp.sum(jnp.tanh(x @ w)) for w in weights)
    return value, value


def hvp(x: Any, v: Any) -> Any:
    def value(x: Any) -> Any:
        return jnp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)

    return jax.jvp(jax.grad(value), (x,), (v,))[1]


def layers(x: Any, *weights: Any) -> Any:
    for w in weights:
        x = jnp.tanh(x @ w)
    return jnp.sum(x), jnp.sum(x)


def attention(q: Any, k: Any, v: Any) -> Any:
    scores = q @ k.swapaxes(-1, -2) * q.shape[-1] ** -0.5
    seen = np.tri(q.shape[-2], dtype=bool)
    value = jnp.mean((nn.softmax(jnp.where(seen, scores, -jnp.inf)) @ v) ** 2)
    return value, value


ALL, PARAMETERS = slice(None), slice(1, None)


def program(written: Program) -> Callable[..., Any]:
    """A program of the survey, and its gradients if they are wanted."""
    value = partial(written.function, jnp)
    return differentiated(lambda *arrays: (value(*arrays),) * 2, ALL) if written.differentiated else value


WRITTEN: dict[str, Callable[..., Any]] = {
    "rosenbrock": differentiated(rosenbrock, ALL), "logistic": logistic, "mlp_small": mlp, "mlp_adam": mlp,
    "fused": differentiated(fused, ALL), "black_scholes": differentiated(black_scholes, ALL),
    "transformer": transformer, "lstm": lstm, "chain200": differentiated(partial(chain, steps=200), ALL),
    "chain2000": differentiated(partial(chain, steps=2000), ALL), "branches": differentiated(branches, PARAMETERS),
    "hvp": hvp, **dict.fromkeys(PRODUCTS, jnp.matmul), "layers24": differentiated(layers, PARAMETERS),
    "attention": differentiated(attention, ALL), **{name: program(written) for name, written in PROGRAMS.items()},
}  # fmt: skip
SCANNED: dict[str, Callable[..., Any]] = {
    "lstm": lstm_scan, "chain200": differentiated(partial(chain_scan, steps=200), ALL),
    "chain2000": differentiated(partial(chain_scan, steps=2000), ALL),
}  # fmt: skip
