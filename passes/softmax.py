"""The derivatives of softmax, as the backward pass writes them, become what one would write by hand.

Let e = exp(x), s = Σ e along some axes, p = e / s. The derivative rules of quotient and exponential meet as
(g / s − Σ g p / s) e, which divides where p (g − Σ g p) need not. Under a logarithm of p they divide by p, which
may have underflowed. These rules come before `stabilize`, which changes e itself.
"""

from __future__ import annotations

from graphc.facts import is_shifted
from graphc.ir import Graph, Node
from graphc.ops import exp, reciprocal, reshape, sum
from graphc.pipeline import graph_pass
from graphc.rewrite import Firings, RuleSet, apply_rules
from graphc.rules import rule
from graphc.samples import call

_ROWS = (call("f64[3,4]", "f64[3,4](-3,3)", axis=(1,)), call("f32[3,4]", "f32[3,4](-3,3)", axis=(0, 1)),
         call("f64[2,3,2]", "f64[2,3,2](-3,3)", axis=(0,)))  # fmt: skip


@rule(kind="stabilizing", samples=_ROWS)
def slope_of_softmax(g, x, *, axis):
    """(g / s − Σ (g / s) p) e = p (g − Σ g p)"""
    e = exp(x)
    s = sum(e, axis=axis, keepdims=True)
    p, h = e / s, g / s
    return (h - sum(h * p, axis=axis, keepdims=True)) * e, p * (g - sum(g * p, axis=axis, keepdims=True))


@rule(kind="stabilizing", samples=_ROWS)
def slope_of_log_softmax_through_sum(g, x, *, axis):
    """(g / p) / s · p = g / s"""
    e = exp(x)
    s = sum(e, axis=axis, keepdims=True)
    p = e / s
    return g / p / s * p, g / s


@rule(kind="stabilizing", samples=_ROWS)
def slope_of_log_softmax_through_exp(g, x, *, axis):
    """(g / p) / s · e = g"""
    e = exp(x)
    s = sum(e, axis=axis, keepdims=True)
    return g / (e / s) / s * e, g


@rule(kind="stabilizing", samples=[call(*c.operands, "f64[4]", axis=c.attributes["axis"]) for c in _ROWS[:1]])
def slope_of_log_softmax_through_both(g, x, t, *, axis):
    """((g / p) / s − t) e = g − t e"""
    e = exp(x)
    s = sum(e, axis=axis, keepdims=True)
    return (g / (e / s) / s - t) * e, g - t * e


@rule(kind="stabilizing", samples=_ROWS)
def slope_of_log_sum(g, x, *, axis):
    """Σ (g / s) · e = (Σ g) p"""
    e = exp(x)
    s = sum(e, axis=axis, keepdims=True)
    return sum(g / s, axis=axis, keepdims=True) * e, sum(g, axis=axis, keepdims=True) * (e / s)


@rule(kind="stabilizing", samples=_ROWS)
def slope_of_negative_log_sum(g, x, *, axis):
    """−Σ (g / s) · e = −(Σ g) p"""
    e = exp(x)
    s = sum(e, axis=axis, keepdims=True)
    return -sum(g / s, axis=axis, keepdims=True) * e, -(sum(g, axis=axis, keepdims=True) * (e / s))


def _may_overflow(x: Node, axis: tuple[int, ...], **binding: object) -> bool:
    return not is_shifted(x, axis)


_SUMS = [call(*c.operands[1:], axis=c.attributes["axis"], keepdims=True) for c in _ROWS]


@rule(kind="stabilizing", when=_may_overflow, samples=[
    call("f64[3,1]", *c.operands, **c.attributes) for c in _SUMS[:1]])  # fmt: skip
def slope_of_log_sum_exp(g, x, *, axis, keepdims):
    """(g / s) e = g p"""
    e = exp(x)
    return g / sum(e, axis=axis, keepdims=keepdims) * e, lambda: g * _p(x, axis)


@rule(kind="stabilizing", when=_may_overflow, samples=_SUMS)
def slope_of_log_sum_exp_alone(x, *, axis, keepdims):
    """s⁻¹ e = p"""
    e = exp(x)
    return reciprocal(sum(e, axis=axis, keepdims=keepdims)) * e, lambda: _p(x, axis)


@rule(kind="stabilizing", when=_may_overflow, samples=[
    call("f64[3]", "f64[3,4](-3,3)", axis=(1,), shape=(3, 1))])  # fmt: skip
def slope_of_log_sum_exp_reshaped(g, x, *, axis, shape):
    """(g / s) e = g p, with axes that the sum dropped put back"""
    e = exp(x)
    s = sum(e, axis=axis, keepdims=False)
    return reshape(g / s, shape=shape) * e, lambda: reshape(g, shape=shape) * _p(x, axis)


@rule(kind="stabilizing", when=_may_overflow, samples=[call("f64[3,4](-3,3)", axis=(1,), shape=(3, 1))])
def slope_of_log_sum_exp_alone_reshaped(x, *, axis, shape):
    """s⁻¹ e = p, with axes that the sum dropped put back"""
    e = exp(x)
    return reshape(reciprocal(sum(e, axis=axis, keepdims=False)), shape=shape) * e, lambda: _p(x, axis)


def _p(x: Node, axis: tuple[int, ...]) -> Node:
    e = exp(x)
    return e / sum(e, axis=axis, keepdims=True)


RULES = RuleSet.of(globals())


@graph_pass(kind="stabilizing")
def softmax(graph: Graph, *, firings: Firings | None = None) -> Graph:
    """Write derivatives of softmax and log-softmax without the quotients that they do not need."""
    return apply_rules(graph, RULES, firings)
