"""Optimizers: from a loss (or its gradients) and parameters to the updates of one training step, as ordinary nodes.

    step = gr.compile([x, y], loss, updates=gr.optim.adam(loss, [W, b], lr=1e-3))

An optimizer's own state is variables too, named after the parameter: adam/m/W. Parameters of 16 bits are updated in 32.
Two optimizers of one kind in one graph need a `gr.scope` each, so that their variables have different names.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from graphc import ops
from graphc.errors import DTypeError, GraphcError, GraphError, ShapeError
from graphc.gradients import gradients
from graphc.ir import Node, Variable, origin_here
from graphc.op import composite, lift
from graphc.operators import Operand
from graphc.ops import variable
from graphc.samples import call, cases
from graphc.types import as_dtype, promote, show_shape, unify

__all__ = ["adagrad", "adam", "adamw", "clip_by_global_norm", "cosine_decay", "rmsprop", "sgd"]

LossOrGrads = Node | Sequence[Node]
Rate = float | Node
Updates = dict[Variable, Node]


class Slot(NamedTuple):
    """A parameter, with its value and its gradient in the dtype that it is updated in."""

    param: Variable
    value: Node
    gradient: Node

    def state(self, name: str) -> Variable:
        """A variable of the optimizer's for this parameter, starting at zero."""
        return variable(f"{name}/{self.param.name}", np.zeros(self.param.shape, self.value.dtype))

    def moved(self, direction: Node, rate: Rate) -> Node:
        """The parameter's new value: rate · direction less."""
        return _cast(self.value - direction * _beside(rate, self.value.dtype), self.param.dtype)


def sgd(loss_or_grads: LossOrGrads, params: Sequence[Variable], lr: Rate = 0.01, *, momentum: float = 0.0,
        nesterov: bool = False, weight_decay: float = 0.0) -> Updates:  # fmt: skip
    """Stochastic gradient descent: w ← w - lr g, after g ← g + weight_decay · w.

    With momentum: u ← momentum · u + g and w ← w - lr u, or with Nesterov's w ← w - lr (g + momentum · u).
    (Sutskever et al., 2013, in the form where lr scales u)
    """
    slots = _slots(loss_or_grads, params)
    lr, (momentum, weight_decay) = _rate(lr), _checked(momentum=momentum, weight_decay=weight_decay)
    if nesterov and not momentum:
        raise _error("expected momentum > 0 for nesterov, got 0", "pass momentum=0.9, or leave nesterov out")
    updates: Updates = {}
    for slot in slots:
        direction = g = slot.gradient + slot.value * weight_decay if weight_decay else slot.gradient
        if momentum:
            u = slot.state("sgd/momentum")
            updates[u] = direction = u * momentum + g
        if nesterov:
            direction = g + direction * momentum
        updates[slot.param] = slot.moved(direction, lr)
    return updates


def rmsprop(loss_or_grads: LossOrGrads, params: Sequence[Variable], lr: Rate = 1e-3, *, decay: float = 0.9,
            eps: float = 1e-8) -> Updates:  # fmt: skip
    """v ← decay · v + (1 - decay) g² and w ← w - lr g / (√v + eps). (Tieleman and Hinton, 2012, lecture 6.5)"""
    slots = _slots(loss_or_grads, params)
    lr, (decay, eps) = _rate(lr), _checked(decay=decay, eps=eps)
    updates: Updates = {}
    for slot in slots:
        v, g = slot.state("rmsprop/v"), slot.gradient
        updates[v] = _blend(v, ops.square(g), decay)
        updates[slot.param] = slot.moved(g / (ops.sqrt(updates[v]) + eps), lr)
    return updates


def adagrad(loss_or_grads: LossOrGrads, params: Sequence[Variable], lr: Rate = 0.01, *,
            eps: float = 1e-10) -> Updates:  # fmt: skip
    """s ← s + g² and w ← w - lr g / (√s + eps). (Duchi et al., 2011, the diagonal form)"""
    slots = _slots(loss_or_grads, params)
    lr, (eps,) = _rate(lr), _checked(eps=eps)
    updates: Updates = {}
    for slot in slots:
        s, g = slot.state("adagrad/s"), slot.gradient
        updates[s] = s + ops.square(g)
        updates[slot.param] = slot.moved(g / (ops.sqrt(updates[s]) + eps), lr)
    return updates


def adam(loss_or_grads: LossOrGrads, params: Sequence[Variable], lr: Rate = 1e-3, *, beta1: float = 0.9,
         beta2: float = 0.999, eps: float = 1e-8) -> Updates:  # fmt: skip
    """m ← β₁ m + (1 - β₁) g, v ← β₂ v + (1 - β₂) g² and w ← w - lr m̂ / (√v̂ + eps).

    m̂ = m / (1 - β₁ᵗ) and v̂ = v / (1 - β₂ᵗ) at step t = 1, 2, … (Kingma and Ba, 2015, algorithm 1)
    """
    return _adam("adam", _slots(loss_or_grads, params), lr, beta1, beta2, eps, weight_decay=0.0)


def adamw(loss_or_grads: LossOrGrads, params: Sequence[Variable], lr: Rate = 1e-3, *, beta1: float = 0.9,
          beta2: float = 0.999, eps: float = 1e-8, weight_decay: float = 0.01) -> Updates:  # fmt: skip
    """Adam's step and, beside it, w ← w - lr · weight_decay · w.

    (Loshchilov and Hutter, 2019, algorithm 2, with lr for η α and lr · weight_decay for η λ)
    """
    return _adam("adamw", _slots(loss_or_grads, params), lr, beta1, beta2, eps, weight_decay)


def _adam(name: str, slots: Sequence[Slot], lr: Rate, beta1: float, beta2: float, eps: float,
          weight_decay: float) -> Updates:  # fmt: skip
    """Both corrections act on scalars: m̂ / (√v̂ + eps) = root / (1 - β₁ᵗ) · m / (√v + eps · root), root = √(1 - β₂ᵗ)."""
    lr, (beta1, beta2) = _rate(lr), _checked(beta1=beta1, beta2=beta2)
    eps, weight_decay = _checked(eps=eps, weight_decay=weight_decay)
    step = variable(f"{name}/step", 0)
    updates: Updates = {step: step + 1}
    root = ops.sqrt(1 - beta2 ** updates[step])
    rate = lr * root / (1 - beta1 ** updates[step])
    for slot in slots:
        m, v, g = slot.state(f"{name}/m"), slot.state(f"{name}/v"), slot.gradient
        updates[m], updates[v] = _blend(m, g, beta1), _blend(v, ops.square(g), beta2)
        direction = updates[m] / (ops.sqrt(updates[v]) + _cast(root * eps, slot.value.dtype))
        if weight_decay:
            slot = slot._replace(value=slot.value * _beside(1 - lr * weight_decay, slot.value.dtype))
        updates[slot.param] = slot.moved(direction, rate)
    return updates


def _blend(old: Node, new: Node, decay: float) -> Node:
    """The moving average decay · old + (1 - decay) · new."""
    return old * decay + new * (1 - decay)


def _cast(x: Node, dtype: np.dtype[Any]) -> Node:
    return x if x.dtype == dtype else x.astype(dtype)


def _beside(x: Rate, dtype: np.dtype[Any]) -> Rate:
    """A factor for arrays of a dtype: a node in that dtype, or a number, which takes it by itself."""
    return _cast(x, dtype) if isinstance(x, Node) else x


# What is asked, checked.


def _slots(loss_or_grads: LossOrGrads, params: Sequence[Variable]) -> list[Slot]:
    _check_params(params)
    slots = []
    for param, gradient in zip(params, _gradients(loss_or_grads, params), strict=True):
        _check_gradient(param, gradient)
        dtype = promote(param.dtype, as_dtype("float32"))
        slots.append(Slot(param, _cast(param, dtype), _cast(gradient, dtype)))
    return slots


def _check_params(params: Sequence[Variable]) -> None:
    if isinstance(params, Node) or not params:
        got = "a node" if isinstance(params, Node) else "none"
        raise _error(f"expected a list of variables as parameters, got {got}",
                     "pass [W, b], the variables that the step should change")  # fmt: skip
    for param in params:
        if not isinstance(param, Variable):
            raise _error(f"expected a variable as a parameter, got {param!r}", "make it with gr.variable", param)
        if not param.type.is_float:
            raise _error(f"expected parameters of a float dtype, got {param.type}",
                         "leave it out of the parameters, or make it a float", param, kind=DTypeError)  # fmt: skip
        if sum(other is param for other in params) > 1:
            raise _error(f"expected each parameter once, got {param.name} twice", "list each variable once", param)


def _gradients(loss_or_grads: LossOrGrads, params: Sequence[Variable]) -> Sequence[Node]:
    if isinstance(loss_or_grads, Node):
        if loss_or_grads.shape != ():
            raise _error(f"expected a scalar loss, got {loss_or_grads.type}",
                         "reduce it (.sum(), .mean()), or pass a list of gradients", loss_or_grads, kind=ShapeError)
        return gradients(loss_or_grads, params)
    grads = list(loss_or_grads)
    if len(grads) != len(params):
        raise _error(f"expected a gradient for each of {len(params)} parameters, got {len(grads)}",
                     "pass gr.gradients(loss, params), or the loss itself")  # fmt: skip
    return grads


def _check_gradient(param: Variable, gradient: Node) -> None:
    if not isinstance(gradient, Node):
        raise _error(f"expected a node as the gradient of {param.name}, got {gradient!r}",
                     "pass gr.gradients(loss, params), or the loss itself", param)  # fmt: skip
    if not gradient.type.is_float:
        raise _error(f"expected a gradient of a float dtype for {param.name}, got {gradient.type}",
                     'convert it with .astype("float32")', param, gradient, kind=DTypeError)  # fmt: skip
    try:
        for have, want in zip(gradient.shape, param.shape, strict=True):
            unify(have, want)
    except (ShapeError, ValueError):
        raise _error(f"expected a gradient of shape {show_shape(param.shape)} for {param.name}, got {gradient.type}",
                     "list gradients in the order of the parameters", param, gradient, kind=ShapeError) from None


def _rate(lr: Rate) -> Rate:
    """A learning rate: a scalar node, or a number > 0 as a Python float, which takes any parameter's dtype."""
    if isinstance(lr, Node):
        if lr.shape != () or not lr.type.is_float:
            raise _error(f"expected lr to be a scalar of a float dtype, got {lr.type}", "reduce or convert it", lr)
        return lr
    return _checked(lr=lr)[0]


_BOUNDS = {"lr": math.inf, "eps": math.inf, "weight_decay": math.inf}


def _checked(**numbers: float) -> list[float]:
    """Numbers as Python floats; raises unless each is at least 0 (lr: more) and less than its bound, by default 1."""
    for name, value in numbers.items():
        bound = _BOUNDS.get(name, 1)
        start = "(0" if name == "lr" else "[0"
        number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
        if not number or not 0 <= value < bound or (value == 0 and start == "(0"):
            raise _error(f"expected {name} to be a number in {start}, {bound}), got {value!r}", "choose one there")
    return [float(value) for value in numbers.values()]


def _error(problem: str, remedy: str, *involved: object, kind: type[GraphcError] = GraphError) -> GraphcError:
    nodes = [node for node in involved if isinstance(node, Node)]
    return kind(problem, remedy=remedy, nodes=nodes).about((), origin_here().where())


# Formulas for gradients and rates.


@composite(samples=cases(
    call(["f64[2,3]", "f64[4]"], 1.0), call(["f64[3]", "f32[2]"], 100.0), call(["f16[3]"], 0.5)))  # fmt: skip
def clip_by_global_norm(grads: Sequence[Operand], max_norm: float) -> tuple[Node, ...]:
    """All gradients times max_norm / norm, where their common norm √Σ g² over all elements is larger than max_norm.

    A NaN anywhere makes all of them NaN. (Pascanu et al., 2013)
    """
    nodes = [lift(grad) for grad in grads]
    if not nodes or not max_norm > 0:
        raise GraphError(f"expected gradients and a norm > 0, got {len(nodes)} gradients and {max_norm!r}",
                         remedy="pass the gradients of a loss and the largest norm to allow")  # fmt: skip
    dtype = promote(*(node.dtype for node in nodes), as_dtype("float32"))
    norm = ops.sqrt(ops.add_n(*(ops.sum(ops.square(_cast(node, dtype))) for node in nodes)))
    scale = max_norm / ops.maximum(norm, max_norm)
    return tuple(node * _cast(scale, node.dtype) for node in nodes)


@composite(samples=cases(
    call("i64[](0,9)", 0.1, 10), call("i64[](0,9)", 0.1, 10, warmup=4), call("f64[](0,9)", 1.0, 5)))  # fmt: skip
def cosine_decay(step: Operand, peak: float, steps: int, *, warmup: int = 0) -> Node:
    """A learning rate that rises evenly to `peak` in `warmup` steps, then falls to 0 at `steps` along half a cosine.

    `step` counts from 0; a variable of the user's, it goes among the updates: {step: step + 1}.
    (Loshchilov and Hutter, 2017, without restarts)
    """
    if not 0 <= warmup < steps:
        raise GraphError(f"expected 0 ≤ warmup < steps, got warmup={warmup!r} and steps={steps!r}",
                         remedy="count the warmup among the steps")  # fmt: skip
    node = lift(step)
    time = node if node.type.is_float else node.astype("float32")
    done = ops.clip((time - warmup) / (steps - warmup), 0, 1)
    rate = (ops.cos(done * math.pi) + 1) * (peak / 2)
    return ops.where(time < warmup, (time + 1) * (peak / warmup), rate) if warmup else rate
