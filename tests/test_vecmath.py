"""Vector mathematics: errors within bounds, special values, exact functions as NumPy's, and loops that do vectorize."""

import importlib
import re

import numpy as np
import pytest

pytest.importorskip("llvmlite")

import minimax
import vecmath_errors
from llvmlite import ir
from vecmath_cases import ABSOLUTE, CASES, EXACT, SPECIAL, errors, exact_values, operands
from vector_loops import BINARY, compile_elementwise, loop_text, optimized, target

from graphc.native import vecmath
from graphc.native.code.host import machine
from graphc.native.vecmath import exponential
from graphc.native.vecmath.formats import F32, F64

MEASURED = CASES | ABSOLUTE
DTYPES = {"f4": F32, "f8": F64}
STORES_VECTORS = re.compile(r"store <\d+ x \w+>")
BOTH = pytest.mark.parametrize("dtype", DTYPES)
WITH_OR_WITHOUT_FMA = pytest.mark.parametrize("fma", [True, False], ids=["fma", "no_fma"])
pytestmark = pytest.mark.filterwarnings("ignore:.*encountered:RuntimeWarning")


def same(result, expected):
    """Whether arrays are equal bit for bit, all NaNs being alike."""
    bits = f"u{expected.itemsize}"
    return (result.view(bits) == expected.view(bits)) | (np.isnan(result) & np.isnan(expected))


def special_operands(dtype, count):
    """All combinations of special values, among them the largest, smallest and subnormal numbers."""
    limits = np.finfo(dtype)
    values = [*SPECIAL, limits.max, limits.tiny, limits.smallest_subnormal, 1 - limits.epsneg, limits.max / 2]
    signed = np.array([*values, *(-value for value in values)], dtype)
    return [np.ascontiguousarray(grid.ravel()) for grid in np.meshgrid(*[signed] * count)]


def any_operands(dtype, count, size=20_000):
    """Special values, numbers of all sizes, small numbers, and halves of integers."""
    rng, width = np.random.default_rng(0), np.dtype(dtype).itemsize
    patterns = [rng.integers(0, 2 ** (8 * width), size, f"u{width}").view(dtype) for _ in range(count)]
    small = [rng.uniform(-9, 9, size).astype(dtype) for _ in range(count)]
    halves = [(rng.integers(-9, 9, size) / 2).astype(dtype) for _ in range(count)]
    kinds = zip(special_operands(dtype, count), patterns, small, halves, strict=True)
    return [np.concatenate(parts) for parts in kinds]


def test_every_function_is_measured_or_exact():
    assert set(MEASURED) | set(EXACT) == set(vecmath.FUNCTIONS)


# Errors


@WITH_OR_WITHOUT_FMA
@BOTH
@pytest.mark.parametrize("name", MEASURED)
def test_error_is_within_its_bound(name, dtype, fma):
    case = MEASURED[name]
    count = 100_000 if dtype == "f4" else 1000
    assert vecmath_errors.largest_sampled_error(name, case, dtype, count, fma=fma) <= case.bound


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in MEASURED if name not in BINARY])
def test_error_of_every_97th_f32_is_within_its_bound(name):
    assert vecmath_errors.largest_f32_error(name, 97) <= MEASURED[name].bound


@pytest.mark.slow
@WITH_OR_WITHOUT_FMA
@pytest.mark.parametrize("name", MEASURED)
def test_error_of_many_f64_is_within_its_bound(name, fma):
    case = MEASURED[name]
    assert vecmath_errors.largest_sampled_error(name, case, "f8", 60_000, fma=fma) <= case.bound


def test_a_coefficient_that_is_off_is_noticed(monkeypatch):
    first, *others = exponential.EXPM1[F64]
    monkeypatch.setitem(exponential.EXPM1, F64, (first * (1 + 1e-13), *others))
    wrong = compile_elementwise.__wrapped__("exp", "f8")
    arrays = operands(CASES["exp"], "f8", 1000)
    assert errors(wrong(*arrays), *exact_values(CASES["exp"], arrays)).max() > CASES["exp"].bound


def test_the_page_states_the_largest_errors():
    documented = vecmath_errors.documented()
    assert set(documented) == set(MEASURED)
    for name, stated in documented.items():
        assert max(stated) <= MEASURED[name].bound, name
        assert vecmath_errors.largest_sampled_error(name, MEASURED[name], "f8", 200) <= stated[1], name
        assert vecmath_errors.largest_screened_error(name, MEASURED[name], 100_000) <= stated[1], name


def test_long_doubles_find_the_operands_with_the_largest_errors():
    if np.finfo(np.longdouble).nmant < 60:
        pytest.skip("long doubles are no wider here")
    case = CASES["log1p"]
    few = vecmath_errors.largest_sampled_error("log1p", case, "f8", 1000)
    assert few < vecmath_errors.largest_screened_error("log1p", case, 200_000) <= case.bound
    assert vecmath_errors.largest_screened_error("erf", CASES["erf"], 1000) == 0  # NumPy has none


@BOTH
@pytest.mark.parametrize("multiple", [1, 2, 355 / 113, 5e4 / np.pi])
def test_sine_next_to_multiples_of_pi(dtype, multiple):
    x = np.rint(np.arange(1, 2000) * multiple) * np.pi
    high, low = exact_values(CASES["sin"], [x.astype(dtype)])
    assert errors(compile_elementwise("sin", dtype)(x), high, low).max() <= 2


# Special values


@WITH_OR_WITHOUT_FMA
@BOTH
@pytest.mark.parametrize("name", [name for name in MEASURED if name not in ("lgamma", "erfinv", "digamma")])
def test_special_values_are_numpys(name, dtype, fma):
    arrays = special_operands(dtype, 2 if name in BINARY else 1)
    wide = [array.astype("f8" if name in ("erf", "erfc", "xlogy") else np.longdouble) for array in arrays]
    result = compile_elementwise(name, dtype, fma=fma)(*arrays)
    exact = np.asarray(CASES[name].in_f64(*wide))
    expected = exact.astype(dtype)
    decided = np.isnan(expected) | np.isinf(expected) | (expected == 0)
    assert same(result, expected)[decided].all()
    cancels = name.startswith("logaddexp") & (np.minimum(*arrays[-2:]) < 0 if len(arrays) > 1 else False)
    near = ~(decided | cancels) & (np.abs(exact) < np.finfo(dtype).max)
    assert errors(result[near], exact[near].astype("f8")).max(initial=0) <= CASES[name].bound


@BOTH
def test_poles_and_limits_of_the_gamma_function(dtype):
    x = [0.0, -0.0, -1.0, -2.0, -3e15, 1.0, 2.0, np.inf, -np.inf, np.nan]
    lgamma = compile_elementwise("lgamma", dtype)(x)
    assert same(lgamma, np.array([*[np.inf] * 5, 0.0, 0.0, np.inf, np.inf, np.nan], dtype)).all()
    digamma = compile_elementwise("digamma", dtype)([0.0, -0.0, -1.0, -2.0, np.inf, -np.inf, np.nan])
    assert same(digamma, np.array([-np.inf, np.inf, np.nan, np.nan, np.inf, np.nan, np.nan], dtype)).all()


@BOTH
def test_lgamma_of_negative_numbers(dtype):
    x = np.random.default_rng(0).uniform(-30, 0, 500).astype(dtype)
    high, low = exact_values(CASES["lgamma"]._replace(exact=lambda x: minimax.mp.re(minimax.mp.loggamma(x))), [x])
    assert errors(compile_elementwise("lgamma", dtype)(x), high, low, least=1.0).max() <= 4


@BOTH
def test_ends_of_erfinv(dtype):
    result = compile_elementwise("erfinv", dtype)([0.0, -0.0, 1.0, -1.0, 1.5, -2.0, np.nan])
    assert same(result, np.array([0.0, -0.0, np.inf, -np.inf, np.nan, np.nan, np.nan], dtype)).all()


@WITH_OR_WITHOUT_FMA
@BOTH
def test_ends_and_middle_of_erfc(dtype, fma):
    largest, smallest = np.finfo(dtype).max, np.finfo(dtype).smallest_subnormal
    result = compile_elementwise("erfc", dtype, fma=fma)([0.0, -0.0, smallest, largest, np.inf, -largest, -np.inf])
    assert same(result, np.array([1.0, 1.0, 1.0, 0.0, 0.0, 2.0, 2.0], dtype)).all()


@WITH_OR_WITHOUT_FMA
@BOTH
@pytest.mark.parametrize("name", EXACT)
def test_exact_functions_are_numpys_bit_for_bit(name, dtype, fma):
    arrays = any_operands(dtype, 2 if name in BINARY else 1)
    result, expected = compile_elementwise(name, dtype, fma=fma)(*arrays), EXACT[name](*arrays)
    either_zero = (result == 0) & (expected == 0) & (name in ("fmax", "fmin"))  # NumPy's is the processor's choice
    wrong = np.flatnonzero(~same(result, expected) & ~either_zero)
    assert not wrong.size, [(*(array[i] for array in arrays), result[i], expected[i]) for i in wrong[:5]]


@pytest.mark.parametrize("name", ["tanh", "lgamma", "fmod"])
def test_f16_is_computed_in_f32(name):
    arrays = any_operands("f2", 2 if name in BINARY else 1, 3000)
    expected = compile_elementwise(name, "f4")(*arrays).astype("f2")
    assert same(compile_elementwise(name, "f2")(*arrays), expected).all()


# The short forms


def write_short(builder, name, *values, fma):
    """The short form where it is right, and 123 where it says that it is not."""
    outside = []
    result = vecmath.emit(builder, name, *values, fma=fma, outside=outside)
    (condition,) = outside
    return builder.select(condition, ir.Constant(result.type, 123.0), result)


@WITH_OR_WITHOUT_FMA
@BOTH
@pytest.mark.parametrize("name", vecmath.LIMITED)
def test_short_form_is_right_but_where_it_says_not(name, dtype, fma):
    arrays = any_operands(dtype, 2 if name in BINARY else 1)
    short = compile_elementwise(name, dtype, fma=fma, write=write_short)(*arrays)
    whole = compile_elementwise(name, dtype, fma=fma)(*arrays)
    told = short == 123.0
    ordinary = np.abs(arrays[0]) < 1000
    if name in BINARY:
        ordinary &= (np.abs(arrays[1]) > 0.1) & np.isfinite(arrays[1])
    assert not told[ordinary].any()
    assert told.any()
    if name in EXACT:
        assert same(short, whole)[~told].all()
    else:
        assert errors(short[~told], whole[~told].astype("f8")).max() <= 2 + 2


def test_functions_without_a_short_form_report_nothing():
    outside = []
    loop_text(["exp"], "f4", fma=True, write=lambda *args, **kw: vecmath.emit(*args, **kw, outside=outside))
    assert outside == []


# The code


@BOTH
@pytest.mark.parametrize("name", vecmath.FUNCTIONS)
def test_loop_vectorizes_and_calls_nothing(name, dtype):
    loop = compile_elementwise(name, dtype)
    assert not calls(loop.assembly)
    if name not in ("fmod", "remainder", "floor_divide"):  # their long form loops
        assert STORES_VECTORS.search(loop.ir)


@BOTH
@pytest.mark.parametrize("name", ["fmod", "remainder", "floor_divide"])
def test_short_division_vectorizes(name, dtype):
    loop = compile_elementwise(name, dtype, write=write_short)
    assert STORES_VECTORS.search(loop.ir)


def calls(assembly):
    """The instructions of an assembly text that call or jump to functions elsewhere, but for Windows' stack probe."""
    pattern = r"^\s+(?:callq?\b(?!\s+\*%r11)|blr?\b|br\b|(?:(?:rex64 )?jmpq?|b)\s+(?!\.?LBB)).*$"
    return re.findall(pattern, assembly, re.MULTILINE)


def test_calls_are_found():
    text = "define double @f(double %x) {\n %y = call double @llvm.sin.f64(double %x)\n ret double %y\n}"
    assert calls(machine().emit_assembly(optimized("declare double @llvm.sin.f64(double)\n" + text, machine())))


@pytest.mark.parametrize(
    ("triple", "cpu", "fma"),
    [("x86_64-unknown-linux-gnu", "x86-64", False), ("x86_64-unknown-linux-gnu", "haswell", True),
     ("x86_64-pc-windows-msvc", "x86-64", False), ("aarch64-unknown-linux-gnu", "generic", True),
     ("arm64-apple-macosx", "apple-m1", True)])  # fmt: skip
def test_other_processors_need_no_library(triple, cpu, fma):
    """A few functions that use every kind of operation, and with them all the helpers."""
    names = ["exp", "log", "sin", "tan", "power", "erfc", "cbrt", "fmod", "floor", "lgamma", "rsqrt"]
    try:
        other = target(triple, cpu)
    except RuntimeError:
        pytest.skip("this LLVM was built without that target")
    for dtype in DTYPES:
        module = optimized(loop_text(names, dtype, fma=fma), other)
        assert not calls(other.emit_assembly(module))
        assert STORES_VECTORS.search(str(module))


@pytest.mark.parametrize(("dtype", "lanes"), [("f4", 16), ("f8", 4)])
@pytest.mark.parametrize("name", ["sin", "fmod", "power", "erfc", "nextafter", "lgamma"])
def test_vectors_of_elements_give_what_elements_give(name, dtype, lanes):
    def write(builder, name, *values, fma):
        vectors = [builder.insert_element(ir.Constant(ir.VectorType(v.type, lanes), [1.0] * lanes), v, lane(lanes - 1))
                   for v in values]  # fmt: skip
        return builder.extract_element(vecmath.emit(builder, name, *vectors, fma=fma), lane(lanes - 1))

    def lane(i):
        return ir.Constant(ir.IntType(32), i)

    arrays = any_operands(dtype, 2 if name in BINARY else 1, 500)
    assert same(compile_elementwise(name, dtype, write=write)(*arrays), compile_elementwise(name, dtype)(*arrays)).all()


# The tables


def stored(name, dtype):
    """The table of that name, as numbers of its format."""
    module, _, attribute = name.rpartition(".")
    table = getattr(importlib.import_module(f"graphc.native.vecmath.{module}"), attribute)
    return np.array(table[DTYPES[dtype]] if isinstance(table, dict) else table, dtype)


@pytest.mark.parametrize(("name", "dtype"), [
    pytest.param(*key, marks=[] if key in (("exponential.EXPM1", "f4"), ("powers.LOG", "f8")) else pytest.mark.slow)
    for key in minimax.FITS])  # fmt: skip
def test_coefficients_are_those_of_the_best_polynomial(name, dtype):
    assert np.array_equal(stored(name, dtype), np.array(minimax.table(name, dtype), dtype))
