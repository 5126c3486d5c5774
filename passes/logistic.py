"""The logistic function σ(x) = 1 / (1 + exp(−x)), its logarithm and its derivatives, without overflow.

A naive formula overflows, and so does its derivative, where the backward pass has multiplied what it should not have
divided. These rules come before `stabilize`, which would change the quotients they look for.
"""

from __future__ import annotations

from graphc.ir import Graph
from graphc.ops import exp, log, log1p, reciprocal, sigmoid, softplus, square
from graphc.pipeline import graph_pass
from graphc.rewrite import Firings, RuleSet, apply_rules
from graphc.rules import rule
from graphc.samples import call


@rule(kind="stabilizing")
def logistic_by_quotient(x):
    """exp(x) / (exp(x) + 1) = σ(x)"""
    return exp(x) / (exp(x) + 1), sigmoid(x)


@rule(kind="stabilizing")
def logistic_function(x):
    """1 / (exp(−x) + 1) = σ(x)"""
    return reciprocal(exp(-x) + 1), sigmoid(x)


@rule(kind="stabilizing")
def logistic_of_opposite(x):
    """1 / (exp(x) + 1) = σ(−x)"""
    return reciprocal(exp(x) + 1), sigmoid(-x)


@rule(kind="stabilizing")
def over_one_plus_exp_of_negative(y, x):
    """y / (exp(−x) + 1) = y σ(x)"""
    return y / (exp(-x) + 1), y * sigmoid(x)


@rule(kind="stabilizing")
def over_one_plus_exp(y, x):
    """y / (exp(x) + 1) = y σ(−x)"""
    return y / (exp(x) + 1), y * sigmoid(-x)


@rule(kind="stabilizing")
def over_logistic_complement(y, x):
    """y / (1 − σ(x)) = y / σ(−x)"""
    return y / (1 - sigmoid(x)), y / sigmoid(-x)


@rule(kind="stabilizing")
def inverse_logistic_complement(x):
    """(1 − σ(x))⁻¹ = σ(−x)⁻¹"""
    return reciprocal(1 - sigmoid(x)), reciprocal(sigmoid(-x))


@rule(kind="stabilizing")
def log_logistic_complement(x):
    """log(1 − σ(x)) = −softplus(x)"""
    return log(1 - sigmoid(x)), -softplus(x)


@rule(kind="stabilizing")
def log_logistic(x):
    """log(σ(x)) = −softplus(−x)"""
    return log(sigmoid(x)), -softplus(-x)


@rule(kind="stabilizing")
def log_one_plus_exp(x):
    """log(exp(x) + 1) = softplus(x)"""
    return log(exp(x) + 1), softplus(x)


@rule(kind="stabilizing")
def log1p_exp(x):
    """log1p(exp(x)) = softplus(x)"""
    return log1p(exp(x)), softplus(x)


@rule(kind="stabilizing")
def log1p_minus_logistic(x):
    """log1p(−σ(x)) = −softplus(x)"""
    return log1p(-sigmoid(x)), -softplus(x)


# Its derivatives, as the backward pass writes them.


@rule(kind="stabilizing")
def logistic_times_exp(x):
    """σ(−x) exp(x) = σ(x)"""
    return sigmoid(-x) * exp(x), sigmoid(x)


@rule(kind="stabilizing")
def logistic_times_exp_of_negative(x):
    """σ(x) exp(−x) = σ(−x)"""
    return sigmoid(x) * exp(-x), sigmoid(-x)


@rule(kind="stabilizing")
def scaled_logistic_times_exp(g, x):
    """g σ(−x) · exp(x) = g σ(x)"""
    return g * sigmoid(-x) * exp(x), g * sigmoid(x)


@rule(kind="stabilizing")
def scaled_logistic_times_exp_of_negative(g, x):
    """g σ(x) · exp(−x) = g σ(−x)"""
    return g * sigmoid(x) * exp(-x), g * sigmoid(-x)


@rule(kind="stabilizing")
def squared_logistic_times_exp(x):
    """σ(x)² exp(−x) = σ(x) σ(−x)"""
    return square(sigmoid(x)) * exp(-x), sigmoid(x) * sigmoid(-x)


@rule(kind="stabilizing")
def scaled_squared_logistic_times_exp(g, x):
    """g σ(x)² · exp(−x) = g (σ(x) σ(−x))"""
    return g * square(sigmoid(x)) * exp(-x), g * (sigmoid(x) * sigmoid(-x))


@rule(kind="stabilizing")
def slope_of_log_logistic(g, x):
    """g / σ(x) · σ(x) (1 − σ(x)) = g σ(−x)"""
    return g / sigmoid(x) * (sigmoid(x) * (1 - sigmoid(x))), g * sigmoid(-x)


@rule(kind="stabilizing")
def slope_of_log_logistic_alone(x):
    """σ(x)⁻¹ · σ(x) (1 − σ(x)) = σ(−x)"""
    return reciprocal(sigmoid(x)) * (sigmoid(x) * (1 - sigmoid(x))), sigmoid(-x)


@rule(kind="stabilizing")
def slope_of_log_complement(g, x):
    """g / σ(−x) · σ(x) (1 − σ(x)) = g σ(x)"""
    return g / sigmoid(-x) * (sigmoid(x) * (1 - sigmoid(x))), g * sigmoid(x)


@rule(kind="stabilizing")
def slope_of_log_complement_alone(x):
    """σ(−x)⁻¹ · σ(x) (1 − σ(x)) = σ(x)"""
    return reciprocal(sigmoid(-x)) * (sigmoid(x) * (1 - sigmoid(x))), sigmoid(x)


@rule(kind="stabilizing")
def inverse_logistic_times_logistic(x, y):
    """σ(x)⁻¹ · σ(x) y = y"""
    return reciprocal(sigmoid(x)) * (sigmoid(x) * y), y


@rule(kind="stabilizing")
def over_logistic_times_logistic(g, x, y):
    """g / σ(x) · σ(x) y = g y"""
    return g / sigmoid(x) * (sigmoid(x) * y), g * y


@rule(kind="stabilizing")
def over_logistic_times_itself(g, x):
    """g / σ(x) · σ(x) = g"""
    return g / sigmoid(x) * sigmoid(x), g


@rule(kind="stabilizing")
def over_logistic_times_other_and_itself(g, x, y):
    """g / σ(x) · y · σ(x) = g y"""
    return g / sigmoid(x) * y * sigmoid(x), g * y


@rule(kind="stabilizing")
def over_logistic_times_square(g, x):
    """g / σ(x) · σ(x)² = g σ(x)"""
    return g / sigmoid(x) * square(sigmoid(x)), g * sigmoid(x)


# The derivative of a cross-entropy: a / p and b / q meet with p q, where p = σ(x) and q = σ(y), or 1 − p for y = −x.

_APART = (call("f32[9](0.5,1)", "f32[9](-1,-0.5)", "f32[9]", "f32[9]"),)
_TOGETHER = (call("f32[9](0.5,1)", "f32[9](0.5,1)", "f32[9]", "f32[9]"),)


@rule(kind="stabilizing", samples=[call(*_APART[0].operands[:3])])
def slope_of_cross_entropy(a, b, x):
    """(a / p − b / q) p (1 − p) = a (1 − p) − b p"""
    p, q = sigmoid(x), sigmoid(-x)
    return (a / p - b / q) * (p * (1 - p)), a * (1 - p) - b * p


@rule(kind="stabilizing", samples=[call(*_APART[0].operands[:3])])
def slope_of_cross_entropy_reversed(a, b, x):
    """(b / q − a / p) p (1 − p) = b p − a (1 − p)"""
    p, q = sigmoid(x), sigmoid(-x)
    return (b / q - a / p) * (p * (1 - p)), b * p - a * (1 - p)


@rule(kind="stabilizing", samples=[call(*_TOGETHER[0].operands[:3])])
def slope_of_cross_entropy_sum(a, b, x):
    """(a / p + b / q) p (1 − p) = a (1 − p) + b p"""
    p, q = sigmoid(x), sigmoid(-x)
    return (a / p + b / q) * (p * (1 - p)), a * (1 - p) + b * p


@rule(kind="stabilizing", samples=_APART)
def difference_over_logistics(a, b, x, y):
    """(a / p − b / q) (p q) = a q − b p"""
    p, q = sigmoid(x), sigmoid(y)
    return (a / p - b / q) * (p * q), a * q - b * p


@rule(kind="stabilizing", samples=_APART)
def difference_over_logistics_one_by_one(a, b, x, y):
    """(a / p − b / q) p · q = a q − b p"""
    p, q = sigmoid(x), sigmoid(y)
    return (a / p - b / q) * p * q, a * q - b * p


@rule(kind="stabilizing", samples=_APART)
def difference_over_logistics_last_first(a, b, x, y):
    """(a / p − b / q) q · p = a q − b p"""
    p, q = sigmoid(x), sigmoid(y)
    return (a / p - b / q) * q * p, a * q - b * p


@rule(kind="stabilizing", samples=_TOGETHER)
def sum_over_logistics(a, b, x, y):
    """(a / p + b / q) (p q) = a q + b p"""
    p, q = sigmoid(x), sigmoid(y)
    return (a / p + b / q) * (p * q), a * q + b * p


@rule(kind="stabilizing", samples=_TOGETHER)
def sum_over_logistics_one_by_one(a, b, x, y):
    """(a / p + b / q) p · q = a q + b p"""
    p, q = sigmoid(x), sigmoid(y)
    return (a / p + b / q) * p * q, a * q + b * p


RULES = RuleSet.of(globals())


@graph_pass(kind="stabilizing")
def logistic(graph: Graph, *, firings: Firings | None = None) -> Graph:
    """Write logistic functions, their logarithms and their derivatives so that nothing overflows."""
    return apply_rules(graph, RULES, firings)
