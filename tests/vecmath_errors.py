"""The table of docs/vecmath.md: `python tests/vecmath_errors.py` measures it anew, in some minutes, and writes it.

f32 functions of one operand are measured on every seventh of all 2³² operands, against the same function in f64, whose
own error is 2⁻²⁸ of that unit; everything else on samples, f64 against mpmath. Where long doubles are wider and NumPy
has the function for them, they tell which of many more operands of f64 are worth mpmath's time.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from vecmath_cases import ABSOLUTE, CASES, Case, errors, exact_values, operands
from vector_loops import BINARY, compile_elementwise

from graphc.native import vecmath
from graphc.native.vecmath.formats import F32, F64, Code
from graphc.native.vecmath.reals import Real, where

PAGE = Path(__file__).parent.parent / "docs" / "vecmath.md"
CHUNK, STRIDE = 1 << 22, 7
SAMPLES = {"f4": 20_000_000, "f8": 60_000}
SCREENED, WORST = 4_000_000, 100
ROW = re.compile(r"^\| `(\w+)` \| ([\d.]+) \| ([\d.]+) \|$", re.MULTILINE)


def write_error(builder: Any, name: str, x: Any, *, fma: bool) -> Any:
    """The error of the f32 function in ulps, computed in f64 beside it."""
    wide = Code(builder, x.type, fma).wide()
    exact = Real(wide, vecmath.emit(builder, name, builder.fpext(x, wide.type), fma=fma))
    result = Real(wide, builder.fpext(vecmath.emit(builder, name, x, fma=fma), wide.type))
    unit = (exact.bits & F64.exponent_bits).real.at_least(F32.smallest_normal) * 2.0**-F32.fraction
    overflows = (abs(exact) >= 2.0**128 * (1 - 2.0**-25)) & abs(result).equals(np.inf)
    agrees = result.equals(exact) | overflows | (exact.is_nan() & result.is_nan())
    error = where(agrees, 0.0, abs(result - exact) / unit)
    return where(error.is_nan(), np.inf, error).narrow().ir


def patterns(step: int) -> Iterator[Any]:
    """All f32 numbers, or every so many of them."""
    for start in range(0, 1 << 32, CHUNK * step):
        yield (start + np.arange(0, CHUNK * step, step, dtype="u8")).astype("u4").view("f4")


def largest_f32_error(name: str, step: int) -> float:
    """The largest error of an f32 function of one operand, over every so many operands."""
    loop = compile_elementwise(name, "f4", write=write_error)
    out = np.empty(CHUNK, "f4")
    largest = 0.0
    for x in patterns(step):
        loop.run(out, x)
        largest = max(largest, float(out.max()))
    return largest


def largest_sampled_error(name: str, case: Case, dtype: str, count: int, *, fma: bool | None = None) -> float:
    """The largest error on random operands, f32 against NumPy's f64 and f64 against mpmath."""
    arrays = operands(case, dtype, count)
    result = compile_elementwise(name, dtype, fma=fma)(*arrays)
    if dtype == "f4":
        with np.errstate(all="ignore"):
            high, low = case.in_f64(*(array.astype("f8") for array in arrays)), 0.0
    else:
        high, low = exact_values(case, arrays)
    return float(errors(result, high, low, least=float(name in ABSOLUTE)).max())


def largest_screened_error(name: str, case: Case, count: int) -> float:
    """The largest error in f64 of the operands that look worst next to long doubles; 0 where these cannot tell."""
    if np.finfo(np.longdouble).nmant < 60:
        return 0.0
    arrays = operands(case, "f8", count, seed=1)
    result = compile_elementwise(name, "f8")(*arrays)
    with np.errstate(all="ignore"):
        try:
            wide = case.in_f64(*(array.astype(np.longdouble) for array in arrays))
        except TypeError:
            return 0.0
        looks = np.abs(result - wide) / np.spacing(np.abs(result))
    worst = np.argsort(np.where(np.isfinite(looks), looks, 0.0))[-WORST:]
    high, low = exact_values(case, [array[worst] for array in arrays])
    return float(errors(result[worst], high, low, least=float(name in ABSOLUTE)).max())


def documented() -> dict[str, tuple[float, float]]:
    """The largest errors that the page states, in f32 and f64."""
    return {name: (float(f32), float(f64)) for name, f32, f64 in ROW.findall(PAGE.read_text("utf-8"))}


def measured(name: str, case: Case) -> str:
    """One row of the table."""
    f32 = largest_sampled_error(name, case, "f4", SAMPLES["f4"]) if name in BINARY else largest_f32_error(name, STRIDE)
    f64 = max(largest_sampled_error(name, case, "f8", SAMPLES["f8"]), largest_screened_error(name, case, SCREENED))
    return f"| `{name}` | {np.ceil(f32 * 100) / 100:.2f} | {np.ceil(f64 * 100) / 100:.2f} |"


if __name__ == "__main__":
    text = PAGE.read_text("utf-8")
    for name in sys.argv[1:] or documented():
        row = measured(name, (CASES | ABSOLUTE)[name])
        print(row, flush=True)
        text = re.sub(rf"^\| `{name}` \|.*$", row, text, flags=re.MULTILINE)
    PAGE.write_text(text, "utf-8")
