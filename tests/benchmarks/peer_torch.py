"""The workloads on torch: eager with autograd and in-place updates, or one compiled function a step.

Compiled steps take their gradients with `torch.func`, so that forward, backward and update are one graph.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from cases import HEADS, PRODUCTS, Arrays, Case
from peer import Peer
from torch.func import grad, grad_and_value, jvp
from torch.nn import functional

LR = 0.1
Tensor = torch.Tensor


def make(case: Case, arrays: Arrays, variant: str) -> Peer:
    """The step of a workload."""
    feeds = [feed if isinstance(feed, float) else torch.from_numpy(feed) for feed in arrays.feeds]
    parameters = [torch.as_tensor(value, dtype=getattr(torch, case.dtype)) for value in arrays.taken()]
    compiled = variant == "compile"
    if case.trains:
        loss = (UNROLLED if compiled else {}).get(case.name) or LOSSES[case.name]
        kind = (train_compiled if compiled else train_eager) if case.name != "mlp_adam" else ADAM[compiled]
        step = kind(loss, feeds, parameters)
    elif case.name in PLAIN:
        f = torch.compile(COMPILED[case.name]) if compiled else PLAIN[case.name]
        step = partial(f, *feeds)
    else:
        f, parts = VALUES[case.name]
        step = (value_compiled if compiled else value_eager)(f, parts, [*feeds, *parameters])
    return Peer(step, lambda: [parameter.detach() for parameter in parameters] if case.trains else ())


# Steps.


def value_eager(f: Callable[..., Any], by: slice, arguments: Sequence[Any]) -> Callable[[], Any]:
    """What f shows, and the gradients of its value by some of the arguments."""

    def step() -> Any:
        fed = [torch.tensor(one, dtype=torch.float64) if isinstance(one, float) else one for one in arguments]
        wanted = [one.requires_grad_() for one in fed[by]]
        value, shown = f(*fed)
        return shown.detach(), *torch.autograd.grad(value, wanted)

    return step


def value_compiled(f: Callable[..., Any], by: slice, arguments: Sequence[Any]) -> Callable[[], Any]:
    """The same as one compiled function; numbers become tensors before they enter it."""
    numbers = tuple(range(len(arguments))[by])

    def both(*arguments: Any) -> Any:
        gradients, (_, shown) = grad_and_value(f, numbers, has_aux=True)(*arguments)
        return shown, *gradients

    compiled = torch.compile(both)
    if isinstance(arguments[0], float):
        return lambda: compiled(*(torch.tensor(one, dtype=torch.float64) for one in arguments))
    return partial(compiled, *arguments)


def train_eager(loss: Callable[..., Any], feeds: Sequence[Any], parameters: Sequence[Any]) -> Callable[[], Any]:
    """A step of SGD on all parameters at once."""
    wanted = [parameter.requires_grad_() for parameter in parameters]

    def step() -> Any:
        value = loss(*feeds, *wanted)
        gradients = torch.autograd.grad(value, wanted)
        with torch.no_grad():
            torch._foreach_add_(wanted, gradients, alpha=-LR)
        return value.detach()

    return step


def train_compiled(loss: Callable[..., Any], feeds: Sequence[Any], parameters: Sequence[Any]) -> Callable[[], Any]:
    """The same as one compiled function that writes the parameters in place."""

    @torch.compile
    def step(feeds: Any, parameters: Any) -> Any:
        gradients, value = grad_and_value(lambda parameters: loss(*feeds, *parameters))(parameters)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.sub_(LR * gradient)
        return value

    return partial(torch.no_grad()(step), tuple(feeds), tuple(parameters))


def adam_eager(loss: Callable[..., Any], feeds: Sequence[Any], parameters: Sequence[Any]) -> Callable[[], Any]:
    """A step of torch's fused Adam."""
    wanted = [parameter.requires_grad_() for parameter in parameters]
    optimizer = torch.optim.Adam(wanted, lr=1e-3, fused=True)

    def step() -> Any:
        optimizer.zero_grad()
        value = loss(*feeds, *wanted)
        value.backward()
        optimizer.step()
        return value.detach()

    return step


def adam_compiled(loss: Callable[..., Any], feeds: Sequence[Any], parameters: Sequence[Any]) -> Callable[[], Any]:
    """Kingma and Ba's algorithm 1 in one compiled function with the loss and its gradients."""
    ms, vs = (tuple(torch.zeros_like(parameter) for parameter in parameters) for _ in range(2))

    @torch.compile
    def step(feeds: Any, parameters: Any, ms: Any, vs: Any, t: Any) -> Any:
        gradients, value = grad_and_value(lambda parameters: loss(*feeds, *parameters))(parameters)
        t.add_(1)
        a, b = 1e-3 / (1 - 0.9**t), 1 / (1 - 0.999**t)
        for w, m, v, g in zip(parameters, ms, vs, gradients, strict=True):
            m.mul_(0.9).add_(0.1 * g)
            v.mul_(0.999).add_(0.001 * g * g)
            w.sub_(a * m / ((v * b).sqrt() + 1e-8))
        return value

    return partial(torch.no_grad()(step), tuple(feeds), tuple(parameters), ms, vs, torch.zeros(()))


ADAM = {False: adam_eager, True: adam_compiled}


# The computations: each returns a scalar to differentiate, and what to show; those that train return their loss.


def rosenbrock(x: Tensor, y: Tensor) -> Any:
    value = (1 - x) ** 2 + 100 * (y - x**2) ** 2
    return value, value


def logistic(x: Tensor, y: Tensor, w: Tensor, b: Tensor) -> Tensor:
    return functional.binary_cross_entropy_with_logits(x @ w + b, y)


def mlp(x: Tensor, y: Tensor, *parameters: Tensor) -> Tensor:
    *inner, (w, b) = zip(parameters[::2], parameters[1::2], strict=True)
    for weight, bias in inner:
        x = functional.relu(torch.addmm(bias, x, weight))
    return functional.cross_entropy(torch.addmm(b, x, w), y)


def fused(x: Tensor, w: Tensor, b: Tensor) -> Any:
    left = torch.tanh(x * w + b) * torch.exp(-(x**2)) / (1 + x**2)
    value = torch.mean(left + torch.log1p(x**2) * torch.sigmoid(w * x))
    return value, value


def black_scholes(s: Tensor, k: Tensor, t: Tensor, r: Tensor, v: Tensor) -> Any:
    def normal(z: Tensor) -> Tensor:
        return 0.5 * (1 + torch.erf(z * 0.5**0.5))

    spread = v * torch.sqrt(t)
    d1 = (torch.log(s / k) + (r + v**2 / 2) * t) / spread
    price = s * normal(d1) - k * torch.exp(-r * t) * normal(d1 - spread)
    return price.sum(), price


def transformer(x: Tensor, y: Tensor, *parameters: Tensor) -> Tensor:
    g1, b1, wqkv, bqkv, wo, bo, g2, b2, w1, c1, w2, c2 = parameters
    width = x.shape[-1:]
    qkv = functional.linear(functional.layer_norm(x, width, g1, b1), wqkv.T, bqkv)
    q, k, v = qkv.reshape(*x.shape[:2], 3, HEADS, -1).permute(2, 0, 3, 1, 4)
    attended = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(x.shape)
    x = x + functional.linear(attended, wo.T, bo)
    h = functional.gelu(functional.linear(functional.layer_norm(x, width, g2, b2), w1.T, c1))
    return functional.mse_loss(x + functional.linear(h, w2.T, c2), y)


def lstm(x: Tensor, y: Tensor, w: Tensor, u: Tensor, b: Tensor) -> Tensor:
    start = torch.zeros(1, *y.shape), torch.zeros(1, *y.shape)
    weights = [w.T, u.T, b, torch.zeros_like(b)]
    _, h, _ = torch.lstm(x, start, weights, True, 1, 0.0, True, False, False)
    return functional.mse_loss(h[0], y)


def lstm_unrolled(x: Tensor, y: Tensor, w: Tensor, u: Tensor, b: Tensor) -> Tensor:
    h, c = torch.zeros_like(y), torch.zeros_like(y)
    for inputs in (x @ w + b).unbind():
        i, f, g, o = (inputs + h @ u).chunk(4, 1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
    return functional.mse_loss(h, y)


def chain(x: Tensor, *, steps: int) -> Any:
    for _ in range(steps):
        x = x + 0.001 * torch.sin(x) * x
    return x.sum(), x.sum()


def branches(x: Tensor, *weights: Tensor) -> Any:
    value = sum(torch.tanh(x @ w).sum() for w in weights)
    return value, value


def curved(x: Tensor) -> Tensor:
    return torch.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def hvp(x: Tensor, v: Tensor) -> Tensor:
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(curved(x), x, create_graph=True)
    return torch.autograd.grad(gradient, x, v)[0]


def hvp_forward(x: Tensor, v: Tensor) -> Tensor:
    return jvp(grad(curved), (x,), (v,))[1]


def layers(x: Tensor, *weights: Tensor) -> Any:
    for w in weights:
        x = torch.tanh(x @ w)
    return x.sum(), x.sum()


def attention(q: Tensor, k: Tensor, v: Tensor) -> Any:
    value = functional.scaled_dot_product_attention(q[None], k[None], v[None], is_causal=True).square().mean()
    return value, value


ALL, PARAMETERS = slice(None), slice(1, None)
LOSSES: dict[str, Callable[..., Tensor]] = {
    "logistic": logistic, "mlp_small": mlp, "mlp_adam": mlp, "transformer": transformer, "lstm": lstm,
}  # fmt: skip
UNROLLED: dict[str, Callable[..., Tensor]] = {"lstm": lstm_unrolled}
VALUES: dict[str, tuple[Callable[..., Any], slice]] = {
    "rosenbrock": (rosenbrock, ALL), "fused": (fused, ALL), "black_scholes": (black_scholes, ALL),
    "chain200": (partial(chain, steps=200), ALL), "chain2000": (partial(chain, steps=2000), ALL),
    "branches": (branches, PARAMETERS), "layers24": (layers, PARAMETERS), "attention": (attention, ALL),
}  # fmt: skip
PLAIN: dict[str, Callable[..., Tensor]] = {**dict.fromkeys(PRODUCTS, torch.matmul), "hvp": hvp}
COMPILED: dict[str, Callable[..., Tensor]] = {**dict.fromkeys(PRODUCTS, torch.matmul), "hvp": hvp_forward}
