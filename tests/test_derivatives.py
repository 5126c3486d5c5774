"""The derivatives of elementwise ops: against SymPy, at singular points, and behind branches not taken."""

import math

import numpy as np
import pytest
import sympy

import graphc as gr
from graphc.evaluate import evaluate
from graphc.ir import topological
from graphc.op import OPS

INF, NAN = math.inf, math.nan
ON_REALS = [pytest.param(op, id=name) for name, op in OPS.items() if op.elementwise and op.vjp and op.samples.ranges]


def derivative(formula, x, order=1, dtype="float64"):
    """d formula / dx at a number, by differentiating the graph `order` times."""
    leaf = gr.placeholder("x", (), dtype)
    y = formula(leaf)
    for _ in range(order):
        (y,) = gr.gradients(y, [leaf], unconnected="zero")
    assert y.dtype == leaf.dtype
    return float(evaluate([y], {leaf: np.asarray(x, dtype)})[0])


# Derivatives, against SymPy

X = sympy.Symbol("x", real=True)
FORMULAS = {
    "arccos": sympy.acos(X), "arccosh": sympy.acosh(X), "arcsin": sympy.asin(X), "arcsinh": sympy.asinh(X),
    "arctan": sympy.atan(X), "arctanh": sympy.atanh(X), "cbrt": X ** sympy.Rational(1, 3), "cos": sympy.cos(X),
    "cosh": sympy.cosh(X), "deg2rad": X * sympy.pi / 180, "digamma": sympy.digamma(X), "erf": sympy.erf(X),
    "erfc": sympy.erfc(X), "erfinv": sympy.erfinv(X), "exp": sympy.exp(X), "exp2": 2**X, "expm1": sympy.exp(X) - 1,
    "lgamma": sympy.loggamma(X), "log": sympy.log(X), "log10": sympy.log(X, 10), "log1p": sympy.log(1 + X),
    "log2": sympy.log(X, 2), "negative": -X, "positive": X, "rad2deg": X * 180 / sympy.pi, "reciprocal": 1 / X,
    "rsqrt": 1 / sympy.sqrt(X), "sigmoid": 1 / (1 + sympy.exp(-X)), "sin": sympy.sin(X),
    "sinc": sympy.sin(sympy.pi * X) / X / sympy.pi, "sinh": sympy.sinh(X), "softplus": sympy.log(1 + sympy.exp(X)),
    "sqrt": sympy.sqrt(X), "square": X**2, "tan": sympy.tan(X), "tanh": sympy.tanh(X),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMULAS)
def test_derivatives_agree_with_sympy(name):
    point = sympy.Rational(7, 5) if name == "arccosh" else sympy.Rational(3, 5)
    for order in (1, 2, 3):
        expected = float(sympy.diff(FORMULAS[name], X, order).subs(X, point).evalf(20))
        assert derivative(getattr(gr, name), float(point), order) == pytest.approx(expected, rel=1e-12, abs=1e-14)


def test_every_smooth_function_of_one_operand_has_a_formula():
    smooth = {name for name, op in OPS.items() if op.vjp and op.arity == 1 and op.samples.ranges and op.elementwise}
    steps = {"abs", "ceil", "floor", "relu", "rint", "sign", "spacing", "trunc"}
    assert smooth - steps - FORMULAS.keys() == set()


# Singular points: formula, x, derivative, second derivative (None where it says nothing)

SINGULAR = [
    ("abs at 0", gr.abs, 0.0, 0.0, 0.0),
    ("relu at 0", gr.relu, 0.0, 0.0, 0.0),
    ("sign at 0", gr.sign, 0.0, 0.0, 0.0),
    ("x sign(x) at 0", lambda x: x * gr.sign(x), 0.0, 0.0, 0.0),
    ("copysign at 0", lambda x: gr.copysign(x, -1.0), 0.0, 0.0, 0.0),
    ("hypot at the origin", lambda x: gr.hypot(x, 0.0), 0.0, 0.0, 0.0),
    ("hypot of both at the origin", lambda x: gr.hypot(x, x), 0.0, 0.0, 0.0),
    ("maximum at a tie", lambda x: gr.maximum(x, 2.0), 2.0, 0.5, 0.0),
    ("minimum at a tie", lambda x: gr.minimum(2.0, x), 2.0, 0.5, 0.0),
    ("maximum of itself", lambda x: gr.maximum(x, x), 2.0, 1.0, 0.0),
    ("fmax at a tie", lambda x: gr.fmax(x, 2.0), 2.0, 0.5, 0.0),
    ("fmax beside NaN", lambda x: gr.fmax(x, NAN), 2.0, 1.0, 0.0),
    ("fmin of NaN", lambda x: gr.fmin(x, 2.0), NAN, 0.0, 0.0),
    ("clip inside", lambda x: gr.clip(x, 0, 1), 0.5, 1.0, 0.0),
    ("clip at the lower bound", lambda x: gr.clip(x, 0, 1), 0.0, 1.0, 0.0),
    ("clip at the upper bound", lambda x: gr.clip(x, 0, 1), 1.0, 1.0, 0.0),
    ("clip outside", lambda x: gr.clip(x, 0, 1), 1.5, 0.0, 0.0),
    ("lower bound of clip, below", lambda low: gr.clip(-2.0, low, 1), 0.5, 1.0, 0.0),
    ("upper bound of clip, above", lambda high: gr.clip(3.0, 0, high), 0.5, 1.0, 0.0),
    ("upper bound of clip, below the lower", lambda high: gr.clip(0.0, 1, high), 0.5, 1.0, 0.0),
    ("lower bound of clip, above the upper", lambda low: gr.clip(0.0, low, 0.2), 0.5, 0.0, 0.0),
    ("x**0 at 0", lambda x: x**0, 0.0, 0.0, 0.0),
    ("x**1 at 0", lambda x: x**1, 0.0, 1.0, 0.0),
    ("x**2 at 0", lambda x: x**2, 0.0, 0.0, 2.0),
    ("x**3 at 0", lambda x: x**3, 0.0, 0.0, 0.0),
    ("x**1.5 at 0", lambda x: x**1.5, 0.0, 0.0, INF),
    ("x**0.5 at 0", lambda x: x**0.5, 0.0, INF, -INF),
    ("x**2 at -3", lambda x: x**2, -3.0, -6.0, 2.0),
    ("x**3 at -3", lambda x: x**3, -3.0, 27.0, -18.0),
    ("x**-1 at -2", lambda x: x**-1, -2.0, -0.25, -0.25),
    ("0**p at 2", lambda p: gr.power(0.0, p), 2.0, 0.0, 0.0),
    ("0**p at 0", lambda p: gr.power(0.0, p), 0.0, 0.0, 0.0),
    ("sqrt at 0", gr.sqrt, 0.0, INF, None),
    ("cbrt at 0", gr.cbrt, 0.0, INF, None),
    ("log at 0", gr.log, 0.0, INF, -INF),
    ("arcsin at 1", gr.arcsin, 1.0, INF, None),
    ("arcsin at -1", gr.arcsin, -1.0, INF, None),
    ("arccos at 1", gr.arccos, 1.0, -INF, None),
    ("arctanh at 1", gr.arctanh, 1.0, INF, None),
    ("arccosh at 1", gr.arccosh, 1.0, INF, None),
    ("erfinv at 1", gr.erfinv, 1.0, INF, None),
    ("sinc at 0", gr.sinc, 0.0, 0.0, -math.pi**2 / 3),
    ("floor", gr.floor, 1.5, 0.0, 0.0),
    ("x - floor(x)", lambda x: x - gr.floor(x), 1.5, 1.0, 0.0),
    ("x % 2", lambda x: x % 2, 5.5, 1.0, 0.0),
    ("5 % x", lambda x: 5.5 % x, 2.0, -2.0, 0.0),
    ("fmod(-5, x)", lambda x: gr.fmod(-5.5, x), 2.0, 2.0, 0.0),
    ("nan_to_num of NaN", gr.nan_to_num, NAN, 0.0, 0.0),
    ("nan_to_num of a number", gr.nan_to_num, 2.0, 1.0, 0.0),
    ("heaviside's height at 0", lambda h: gr.heaviside(0.0, h), 0.5, 1.0, 0.0),
    ("xlogy at 0", lambda x: gr.xlogy(x, 0.5), 0.0, math.log(0.5), 0.0),
    ("0 log(x) at 0", lambda x: gr.xlogy(0.0, x), 0.0, 0.0, 0.0),
    ("logaddexp at -inf", lambda x: gr.logaddexp(x, 1.0), -INF, 0.0, 0.0),
    ("logaddexp beside -inf", lambda x: gr.logaddexp(x, -INF), 1.0, 1.0, 0.0),
    ("logaddexp of two -inf", lambda x: gr.logaddexp(x, -INF), -INF, 0.0, 0.0),
    ("logaddexp at inf", lambda x: gr.logaddexp(x, 1.0), INF, 1.0, 0.0),
    ("logaddexp2 of two -inf", lambda x: gr.logaddexp2(x, -INF), -INF, 0.0, 0.0),
    ("sigmoid at inf", gr.sigmoid, INF, 0.0, 0.0),
    ("sigmoid at -1000", gr.sigmoid, -1000.0, 0.0, 0.0),
    ("tanh at inf", gr.tanh, INF, 0.0, 0.0),
]  # fmt: skip


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("case", SINGULAR, ids=[case[0] for case in SINGULAR])
def test_singular_point(case, dtype):
    _, formula, x, first, second = case
    assert derivative(formula, x, 1, dtype) == pytest.approx(first, rel=1e-6)
    if second is not None:
        assert derivative(formula, x, 2, dtype) == pytest.approx(second, rel=1e-6)


def in_two_branches(x, root):
    return gr.where(x > 1, root * gr.tanh(root), gr.where(x > 0, root * root, x))


BRANCHES = {
    "log": (lambda x: gr.where(x > 0, gr.log(x), x), [-1.0, 0.0]),
    "sqrt": (lambda x: gr.where(x > 0, gr.sqrt(x), x), [-1.0, 0.0]),
    "division": (lambda x: gr.where(gr.equal(x, 0), x, gr.sin(x) / x), [0.0]),
    "exp": (lambda x: gr.where(x < 100, gr.exp(x), x), [1000.0, INF]),
    "power": (lambda x: gr.where(x > 0, x**0.5 + x**x, x), [-1.0, 0.0]),
    "arcsin": (lambda x: gr.where(gr.abs(x) < 1, gr.arcsin(x), x), [1.0, -1.0, 2.0]),
    "a chain": (lambda x: gr.where(x > 0, gr.log(gr.sqrt(x) / x), x), [-1.0, 0.0]),
    "nested": (lambda x: gr.where(x > 0, gr.where(x < 1, gr.log(x), gr.sqrt(1 - x)), x), [-1.0, 0.0]),
    "a product of square roots": (lambda x: gr.where(x > 0, gr.sqrt(x) * gr.sqrt(x), x), [-1.0, 0.0]),
    "a square of a square root": (lambda x: gr.where(x > 0, gr.square(gr.sqrt(x)), x), [-1.0, 0.0]),
    "one root in two branches": (lambda x: in_two_branches(x, gr.sqrt(x)), [-1.0, 0.0]),
    "a square root of relu": (lambda x: gr.where(x > 0, gr.sqrt(gr.relu(x)), x), [-1.0, 0.0]),
}


@pytest.mark.parametrize("name", BRANCHES)
def test_nothing_leaks_from_a_branch_not_taken(name):
    formula, points = BRANCHES[name]
    for x in points:
        assert derivative(formula, x, 1) == 1.0
        assert derivative(formula, x, 2) == 0.0


@pytest.mark.parametrize("op", ON_REALS)
def test_nothing_leaks_from_any_op(op):
    def hidden(x):
        terms = [op(*place) for other in (0.0, 2.0) for place in ((x, other), (other, x))] if op.arity == 2 else [op(x)]
        return gr.where(np.array(False), gr.add_n(*terms), x)

    for x in (0.0, 1.0, -1.0, INF, -INF, NAN):
        assert derivative(hidden, x, 1) == 1.0
        assert derivative(hidden, x, 2) == 0.0


def test_shares_of_logaddexp_keep_their_digits_far_from_zero():
    x, y = 1e4, 1e4 + 0.1
    assert derivative(lambda a: gr.logaddexp(a, y), x) == pytest.approx(1 / (1 + math.exp(y - x)), rel=1e-15)


def test_gradient_reaches_each_operand_in_its_own_dtype():
    a, b = gr.placeholder("a", (3,), "float32"), gr.placeholder("b", (2, 1), "float64")
    for op in (gr.add, gr.multiply, gr.divide, gr.power, gr.arctan2, gr.maximum, gr.where):
        y = op(a > b, a, b) if op is gr.where else op(a, b)
        assert [(node.dtype, node.shape) for node in gr.gradients(gr.sum(y), [a, b])] == [("f4", (3,)), ("f8", (2, 1))]


# Dtypes

@pytest.mark.parametrize("short", ["int8", "float16", "float32"])
@pytest.mark.parametrize("op", [param for param in ON_REALS if param.values[0].arity == 2])
def test_derivatives_have_the_digits_of_the_wider_operand(op, short):
    feed = {"wide": np.array([0.7, 1.3, 2.1]), "short": np.array([1, 3, 117])}

    def slopes(dtype):
        wide, other = gr.placeholder("wide", (3,), "float64"), gr.placeholder("short", (3,), dtype)
        totals = [gr.sum(op(*both)) for both in ((wide, other), (other, wide))]
        found = [slope for total in totals for slope in gr.gradients(total, [wide], unconnected="zero")]
        return evaluate(found, {wide: feed["wide"], other: feed["short"].astype(dtype)})

    np.testing.assert_allclose(slopes(short), slopes("float64"), rtol=1e-14)


@pytest.mark.parametrize("op", ON_REALS)
def test_derivatives_stay_in_single_precision(op):
    operands = [gr.placeholder(f"x{i}", (3,)) for i in range(op.arity)]
    total = gr.sum(op(*operands))
    for _ in range(2):
        slopes = gr.gradients(total, operands, unconnected="zero")
        assert [node for node in topological(slopes) if node.dtype == np.float64] == []
        total = gr.sum(gr.add_n(*slopes))
