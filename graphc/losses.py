"""Losses: how far a prediction is from its target, as a scalar.

Each takes `reduction`: "mean" (over all elements, or over the batch where a loss has one value per example), "sum", or
"none" for the values themselves. Prediction and target have one shape, so that no broadcasting hides a mistake.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from graphc import nn, ops
from graphc.errors import DTypeError, GraphError, ShapeError
from graphc.ir import Node
from graphc.op import composite, lift
from graphc.operators import Operand
from graphc.ops.arithmetic import subtract
from graphc.samples import call, cases
from graphc.types import Shape, show_shape, unify

__all__ = [
    "binary_cross_entropy", "binary_cross_entropy_with_logits", "hinge", "huber", "mae", "mse", "softmax_cross_entropy",
]  # fmt: skip

Reduction = Literal["mean", "sum", "none"]
_REDUCTIONS: dict[str, Callable[[Node], Node]] = {"mean": ops.mean, "sum": ops.sum, "none": lambda values: values}

_PAIRS = (
    call("f64[2,3]", "f64[2,3]"), call("f64[4]", "f64[4]", reduction="sum"), call("f32[4]", "f32[4]", reduction="none"),
    call("f64[]", "f64[]"), call("f32[4]", "i64[4]"), call("f16[4]", "bool[4]"),
)  # fmt: skip


def _reduced(values: Node, reduction: Reduction) -> Node:
    if reduction not in _REDUCTIONS:
        raise GraphError(f'expected reduction to be "mean", "sum" or "none", got {reduction!r}',
                         remedy='use "none" for one loss per row, and reduce it yourself')  # fmt: skip
    return _REDUCTIONS[reduction](values)


def _matched(loss: str, prediction: Operand, target: Operand) -> tuple[Node, Node]:
    """Both as floats of one shape, or a sentence; a target of integers or truth values takes the prediction's dtype."""
    given, wanted = subtract.lift((prediction, target))
    _check_float(loss, "a prediction", given)
    if wanted.ndim and not _same(given.shape, wanted.shape):
        raise ShapeError(
            f"{loss} expected a target of the prediction's shape {show_shape(given.shape)}, got {wanted.type}",
            nodes=[given, wanted], remedy=_remedy_for_shapes(given, wanted),
        )  # fmt: skip
    return given, wanted if wanted.type.is_float else wanted.astype(given.dtype)


def _remedy_for_shapes(given: Node, wanted: Node) -> str:
    if wanted.shape == given.shape[:-1] and given.shape[-1:] == (1,):
        return "drop the prediction's last axis of size 1: prediction[..., 0]"
    if given.shape == wanted.shape[:-1] and wanted.shape[-1:] == (1,):
        return "drop the target's last axis of size 1: target[..., 0]"
    return "reshape or gr.broadcast_to one of them, if repeating its elements is what you mean"


def _check_float(loss: str, role: str, node: Node) -> None:
    if not node.type.is_float:
        raise DTypeError(f"{loss} expected {role} of a float dtype, got {node.type}", nodes=[node],
                         remedy='convert it with .astype("float32")')  # fmt: skip


def _same(one: Shape, other: Shape) -> bool:
    if len(one) != len(other):
        return False
    try:
        for a, b in zip(one, other, strict=True):
            unify(a, b)
    except ShapeError:
        return False
    return True


@composite(samples=cases(*_PAIRS))
def mse(prediction: Operand, target: Operand, *, reduction: Reduction = "mean") -> Node:
    """The squared error (prediction - target)²."""
    given, wanted = _matched("mse", prediction, target)
    return _reduced(ops.square(given - wanted), reduction)


@composite(samples=cases(*_PAIRS))
def mae(prediction: Operand, target: Operand, *, reduction: Reduction = "mean") -> Node:
    """The absolute error |prediction - target|; the derivative is 0 where they are equal."""
    given, wanted = _matched("mae", prediction, target)
    return _reduced(ops.abs(given - wanted), reduction)


@composite(samples=cases(*_PAIRS, call("f64[5]", "f64[5]", delta=0.3)))
def huber(prediction: Operand, target: Operand, *, delta: float = 1.0, reduction: Reduction = "mean") -> Node:
    """½ r² for residuals |r| ≤ delta, else delta (|r| - ½ delta). (Huber, 1964)

    Written as c (r - ½ c) with c = r held within ±delta: both branches at once.
    """
    if not delta > 0:
        raise GraphError(f"huber expected a delta > 0, got {delta!r}", remedy="delta is where the loss turns linear")
    given, wanted = _matched("huber", prediction, target)
    residual = given - wanted
    held = ops.clip(residual, -delta, delta)
    return _reduced(held * (residual - held * 0.5), reduction)


@composite(samples=cases(
    call("f64[2,3]", "f64[2,3]"), call("f64[4]", "i64[4](0,2)", reduction="sum"),
    call("f32[4]", "f32[4]", reduction="none")))  # fmt: skip
def hinge(prediction: Operand, target: Operand, *, reduction: Reduction = "mean") -> Node:
    """max(0, 1 - target · prediction) for targets -1 and 1. (Cortes and Vapnik, 1995)"""
    given, wanted = subtract.lift((prediction, target))
    if wanted.dtype.kind in "bu":
        raise DTypeError(f"hinge expected targets -1 and 1, got {wanted.type}", nodes=[wanted],
                         remedy='map 0 and 1 with 2 * target.astype("float32") - 1')  # fmt: skip
    given, wanted = _matched("hinge", given, wanted)
    return _reduced(ops.relu(1 - wanted * given), reduction)


# Cross-entropies.


@composite(samples=cases(
    call("f64[2,3](0.1,0.9)", "f64[2,3](0.1,0.9)"), call("f64[4](0.1,0.9)", "i64[4](0,2)", reduction="sum"),
    call("f32[4](0.1,0.9)", "bool[4]", reduction="none")))  # fmt: skip
def binary_cross_entropy(probability: Operand, target: Operand, *, reduction: Reduction = "mean") -> Node:
    """-(t log(p) + (1 - t) log(1 - p)) for probabilities p and targets t in [0, 1]; a factor of 0 makes its term 0.

    Where p comes from a sigmoid, `binary_cross_entropy_with_logits` is more accurate.
    """
    p, t = _matched("binary_cross_entropy", probability, target)
    return _reduced(-(_weighted(t, ops.log(p)) + _weighted(1 - t, ops.log1p(-p))), reduction)


def _weighted(weight: Node, value: Node) -> Node:
    """A product that is 0 where the weight is, even beside an infinite value."""
    return ops.where(ops.not_equal(weight, 0), weight * value, 0)


@composite(samples=cases(
    call("f64[2,3]", "f64[2,3](0,1)"), call("f64[4]", "i64[4](0,2)", reduction="sum"),
    call("f32[4]", "bool[4]", reduction="none")))  # fmt: skip
def binary_cross_entropy_with_logits(logits: Operand, target: Operand, *, reduction: Reduction = "mean") -> Node:
    """binary_cross_entropy(σ(z), t) = softplus(z) - t z, finite for every finite z; its derivative is σ(z) - t."""
    z, t = _matched("binary_cross_entropy_with_logits", logits, target)
    return _reduced(ops.softplus(z) - t * z, reduction)


@composite(samples=cases(
    call("f64[4,3]", "i64[4](0,3)"), call("f64[4,3]", "f64[4,3](0,1)"), call("f64[3]", "i64[](0,3)"),
    call("f64[2,4,3]", "u8[2,4](0,3)", reduction="sum"), call("f32[4,3]", "i32[4](0,3)", reduction="none"),
    call("f32[4,3]", "bool[4,3]")))  # fmt: skip
def softmax_cross_entropy(logits: Operand, labels: Operand, *, reduction: Reduction = "mean") -> Node:
    """-Σ p log(softmax(logits)) along the last axis, p from the labels; its derivative is softmax(logits) - p.

    Logits (..., classes) with labels (...) of integer classes, or with labels (..., classes) of probabilities (one-hot
    ones, too). The loss is log(Σ exp(z)) - z[label] for z = logits - max(logits): finite for finite logits. Raises
    ShapeError or DTypeError for other labels; a class ≥ classes raises IndexError when the graph runs.
    """
    given, classes = lift(logits), lift(labels)
    _check_float("softmax_cross_entropy", "logits", given)
    _check_labels(given, classes)
    z = nn.shifted(given, -1)
    total = ops.log(ops.sum(ops.exp(z), -1))
    if classes.ndim < given.ndim:
        chosen = ops.take_along_axis(z, ops.expand_dims(classes, -1), -1)
        return _reduced(total - ops.squeeze(chosen, -1), reduction)
    p = classes if classes.type.is_float else classes.astype(given.dtype)
    return _reduced(total * ops.sum(p, -1) - ops.sum(_weighted(p, z), -1), reduction)


def _check_labels(logits: Node, labels: Node) -> None:
    rows = show_shape(logits.shape[:-1])
    if logits.ndim and _same(labels.shape, logits.shape[:-1]):
        if labels.dtype.kind not in "iu":
            raise DTypeError(
                f"softmax_cross_entropy expected labels of shape {rows} to be integer classes, got {labels.type}",
                nodes=[logits, labels],
                remedy='convert classes with .astype("int64"); give probabilities the shape of the logits',
            )  # fmt: skip
    elif not logits.ndim or not _same(labels.shape, logits.shape):
        column = labels.ndim == logits.ndim and labels.shape[-1:] == (1,)
        raise ShapeError(
            f"softmax_cross_entropy expected labels of shape {rows} (classes) or {show_shape(logits.shape)} "
            f"(probabilities), got {labels.type}", nodes=[logits, labels],
            remedy="drop their last axis: labels[..., 0]" if column else "give each row of logits one label",
        )  # fmt: skip
