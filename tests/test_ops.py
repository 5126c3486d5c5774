"""Every op against its own declaration, and its values against NumPy and mpmath."""

import itertools
import math

import mpmath
import numpy as np
import pytest
from values import value

import graphc as gr
from graphc.op import COMPOSITES, OPS
from graphc.testing import check_composite, check_op
from graphc.types import DTYPES, TupleType

INF, NAN = math.inf, math.nan


# Every declaration


@pytest.mark.parametrize("op", [pytest.param(op, id=name) for name, op in OPS.items() if not op.leaf])
def test_declaration(op):
    check_op(op)


@pytest.mark.parametrize("formula", [pytest.param(f, id=name) for name, f in COMPOSITES.items() if f.samples])
def test_formula(formula):
    check_composite(formula)


# NumPy's dtypes and values

# No op: complex numbers, dates, and products of whole axes.
NOT_ELEMENTWISE_ON_REALS = {"conj", "conjugate", "isnat", "matmul", "matvec", "vecdot", "vecmat"}
UFUNCS = sorted(name for name in dir(np) if isinstance(getattr(np, name), np.ufunc))
SPECIAL = [1.5, -2.25, 0.0, -0.0, INF, -INF, NAN, 1e-3, 3.0, 0.5]


def arrays(dtype, count):
    """An array of that dtype for each operand: special values first, small positive numbers after."""
    if dtype.kind == "f":
        first = np.array(SPECIAL, dtype)
        return [first, np.roll(first, 3)][:count]
    return [np.arange(10).astype(dtype), np.arange(10)[::-1].astype(dtype) % dtype.type(7) if dtype.kind != "b" else
            np.arange(10) % 3 == 0][:count]  # fmt: skip


def assert_same(ours, theirs):
    if isinstance(theirs, tuple):
        for pair in zip(ours, theirs, strict=True):
            assert_same(*pair)
        return
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.dtype == theirs.dtype
    np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(np.signbit(ours), np.signbit(theirs))


def parts(result):
    """The arrays of a result, which may be a node of several."""
    several = isinstance(result, tuple) or (isinstance(result, gr.Node) and isinstance(result.type, TupleType))
    return list(result) if several else [result]


def test_every_elementwise_function_of_numpy_is_an_op():
    assert set(UFUNCS) - set(gr.ops.__all__) - NOT_ELEMENTWISE_ON_REALS == set()


@pytest.mark.parametrize("name", [name for name in UFUNCS if name not in NOT_ELEMENTWISE_ON_REALS])
def test_agrees_with_numpy_for_all_dtypes(name):
    ours, theirs = getattr(gr, name), getattr(np, name)
    for dtypes in itertools.product(DTYPES.values(), repeat=theirs.nin):
        operands = [arrays(dtype, theirs.nin)[i] for i, dtype in enumerate(dtypes)]
        try:
            with np.errstate(all="ignore"):
                expected = theirs(*operands)
        except TypeError:
            with pytest.raises(gr.DTypeError, match="Remedy"):
                ours(*operands)
            continue
        result = ours(*operands)
        found = tuple(map(value, result)) if isinstance(result, tuple) else value(result)
        assert_same(found, expected)
        assert [node.dtype for node in parts(result)] == [one.dtype for one in parts(found)]


FUNCTIONS = {
    "around": [{}, {"decimals": 1}, {"decimals": -1}],
    "clip": [{"min": -1}, {"max": 2}, {"min": 0, "max": 1}],
    "fix": [{}],
    "isneginf": [{}],
    "isposinf": [{}],
    "nan_to_num": [{}, {"nan": 1.0, "posinf": 2.0, "neginf": -3.0}, {"posinf": INF}],
    "round": [{}, {"decimals": 2}],
}  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_agrees_with_numpy_for_all_dtypes(name):
    theirs = getattr(np, "trunc" if name == "fix" else name)  # np.fix is deprecated
    for dtype, options in itertools.product(DTYPES.values(), FUNCTIONS[name]):
        if dtype.kind == "b" and name in ("around", "round"):
            continue
        if dtype.kind == "u" and any(bound < 0 for bound in options.values()) and name == "clip":
            continue
        (x,) = arrays(dtype, 1)
        with np.errstate(all="ignore"):
            assert_same(value(getattr(gr, name)(x, **options)), theirs(x, **options))


def test_one_bound_of_any_dtype_clips_as_numpys():
    for dtypes, name in itertools.product(itertools.product(DTYPES.values(), repeat=2), ("min", "max")):
        x, bound = (arrays(dtype, 2)[i] for i, dtype in enumerate(dtypes))
        assert_same(value(gr.clip(x, **{name: bound})), np.clip(x, **{name: bound}))


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=str)
def test_sinc_agrees_with_numpy(dtype):
    x = arrays(dtype, 1)[0]
    ours, theirs = value(gr.sinc(x)), np.sinc(x)
    assert ours.dtype == theirs.dtype
    np.testing.assert_allclose(ours[np.isfinite(x)], theirs[np.isfinite(x)], atol=2 * np.finfo(theirs.dtype).eps)


@pytest.mark.parametrize("options", [{}, {"rtol": 0.5}, {"atol": 2.0}, {"equal_nan": True}], ids=str)
def test_isclose_agrees_with_numpy(options):
    for dtypes in itertools.product(DTYPES.values(), repeat=2):
        a, b = (arrays(dtype, 2)[i] for i, dtype in enumerate(dtypes))
        for pair in ((a, b), (a, a.astype(dtypes[1]))):
            with np.errstate(all="ignore"):
                assert_same(value(gr.isclose(*pair, **options)), np.isclose(*pair, **options))


def test_where_agrees_with_numpy_for_all_dtypes():
    for dtypes in itertools.product(DTYPES.values(), repeat=2):
        a, b = (arrays(dtype, 2)[i] for i, dtype in enumerate(dtypes))
        for condition in (a > b, a, b):
            assert_same(value(gr.where(condition, a, b)), np.where(condition, a, b))


OPERATORS = {
    "+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b, "/": lambda a, b: a / b,
    "//": lambda a, b: a // b, "%": lambda a, b: a % b, "**": lambda a, b: a**b, "<": lambda a, b: a < b,
    ">=": lambda a, b: a >= b, "&": lambda a, b: a & b, "|": lambda a, b: a | b, "^": lambda a, b: a ^ b,
    "<<": lambda a, b: a << b, ">>": lambda a, b: a >> b,
    "reversed -": lambda a, b: b - a, "reversed /": lambda a, b: b / a, "reversed //": lambda a, b: b // a,
    "reversed %": lambda a, b: b % a, "reversed **": lambda a, b: b**a,
}  # fmt: skip


@pytest.mark.parametrize("operator", OPERATORS)
def test_python_numbers_are_weak_as_in_numpy(operator):
    apply = OPERATORS[operator]
    for dtype, number in itertools.product(DTYPES.values(), (True, 3, 2.5)):
        x = arrays(dtype, 2)[1]
        try:
            with np.errstate(all="ignore"):
                expected = apply(x, number)
        except TypeError:
            with pytest.raises(gr.DTypeError, match="Remedy"):
                apply(gr.constant(x), number)
            continue
        assert_same(value(apply(gr.constant(x), number)), expected)


def test_condition_has_no_say_in_the_dtype_of_where():
    count = gr.placeholder("count", (3,), "int64")
    assert gr.where(count, gr.placeholder("x", (3,)), 0).dtype == np.float32


def test_negative_powers_of_integers_raise_as_in_numpy():
    with pytest.raises(gr.ExecutionError, match="negative integer powers"):
        value(gr.power(np.array([2, 3]), -1))


# Special functions, against mpmath

POINTS = {"wide": [-30.1, -3.5, -0.3, 1e-9, 0.7, 2.5, 30.1], "positive": [1e-9, 0.3, 1.0, 1.46, 7.5, 1e5],
          "unit": [-0.999, -0.3, 1e-9, 0.9]}  # fmt: skip


def spherical_bessel(n, x):
    size = mpmath.sqrt(mpmath.pi / (2 * abs(x))) * mpmath.besselj(n + 0.5, abs(x))
    return size if x > 0 else size * (-1) ** n


ORACLES = [
    ("erf", {}, "wide", mpmath.erf), ("erfc", {}, "wide", mpmath.erfc), ("erfinv", {}, "unit", mpmath.erfinv),
    ("lgamma", {}, "positive", mpmath.loggamma), ("digamma", {}, "positive", mpmath.digamma),
    *[("polygamma", {"order": n}, "positive", lambda x, n=n: mpmath.psi(n, x)) for n in range(4)],
    *[("spherical_jn", {"order": n}, "wide", lambda x, n=n: spherical_bessel(n, x)) for n in range(4)],
    ("sinc", {}, "wide", mpmath.sincpi), ("sigmoid", {}, "wide", lambda x: 1 / (1 + mpmath.exp(-x))),
    ("expm1", {}, "wide", mpmath.expm1), ("log1p", {}, "positive", mpmath.log1p), ("cbrt", {}, "positive", mpmath.cbrt),
]  # fmt: skip


@pytest.mark.parametrize(("name", "options", "points", "oracle"), ORACLES)
def test_agrees_with_mpmath(name, options, points, oracle):
    x = np.array(POINTS[points])
    with mpmath.workdps(40):
        expected = np.array([float(mpmath.re(oracle(mpmath.mpf(point)))) for point in x])
    np.testing.assert_allclose(value(getattr(gr, name)(x, **options)), expected, rtol=2e-13, atol=1e-17)
    single = value(getattr(gr, name)(x.astype("f4"), **options))
    assert single.dtype == np.float32


def test_sigmoid_keeps_its_digits_where_exp_overflows():
    x = np.array([-745.0, -720.0, 720.0])
    np.testing.assert_allclose(value(gr.sigmoid(x)), [math.exp(-745), math.exp(-720), 1.0], rtol=1e-2)
