"""Vector mathematics: NumPy's functions as LLVM IR without calls and, but for one loop, without branches.

`emit(builder, "tanh", x)` writes the instructions for one element where the builder stands; LLVM's loop vectorizer
turns a loop around them into code for the widest vectors of the target. The functions are within 2 units in the last
place (power and lgamma 4, erfinv 6, digamma 10) for all operands, zeros, infinities, NaN and subnormals included:
docs/vecmath.md has the measured errors. f16 is computed in f32. No flag relaxes IEEE semantics: the formulas depend on
them.
"""

from __future__ import annotations

from collections.abc import Callable, MutableSequence
from functools import cache
from typing import Any

from llvmlite import ir

from graphc.native.code.host import features, processor
from graphc.native.vecmath.arithmetic import (
    ceil,
    floor,
    fmax,
    fmin,
    heaviside,
    nextafter,
    rint,
    spacing,
    trunc,
)
from graphc.native.vecmath.division import floor_divide, fmod, remainder
from graphc.native.vecmath.error_function import erf, erfc
from graphc.native.vecmath.exponential import (
    cosh,
    exp,
    exp2,
    expm1,
    logaddexp,
    logaddexp2,
    sigmoid,
    sinh,
    softplus,
    tanh,
)
from graphc.native.vecmath.formats import Code
from graphc.native.vecmath.gamma import digamma, lgamma
from graphc.native.vecmath.inverse import arccos, arccosh, arcsin, arcsinh, arctan, arctan2, arctanh
from graphc.native.vecmath.logarithmic import log, log1p, log2, log10, xlogy
from graphc.native.vecmath.powers import cbrt, hypot, power
from graphc.native.vecmath.quantiles import erfinv
from graphc.native.vecmath.reals import Real, Truth
from graphc.native.vecmath.trigonometric import cos, sin, tan

__all__ = ["FUNCTIONS", "LIMITED", "emit", "host_has_fma"]

LIMITED: dict[str, Callable[..., Real]] = {
    function.__name__: function for function in (cos, floor_divide, fmod, remainder, sin, tan)
}
"""Functions that have a shorter form for most operands."""

FUNCTIONS: dict[str, Callable[..., Real]] = {
    **{function.__name__: function for function in (
        arccos, arccosh, arcsin, arcsinh, arctan, arctan2, arctanh, cbrt, cosh, digamma, erf, erfc, erfinv, exp, exp2,
        expm1, fmax, fmin, heaviside, hypot, lgamma, log, log10, log1p, log2, logaddexp, logaddexp2, nextafter, power,
        sigmoid, sinh, softplus, spacing, tanh, xlogy)},
    **LIMITED,
    "ceil": ceil, "floor": floor, "rint": rint, "rsqrt": lambda x: 1.0 / x.sqrt(), "trunc": trunc,
}  # fmt: skip
"""What writes each function, by op name."""


def emit(
    builder: ir.IRBuilder, name: str, *values: Any, fma: bool | None = None, outside: MutableSequence[Any] | None = None
) -> Any:
    """Write the function of that op name on floats, or vectors of them, of one type.

    `fma` says whether the target has fused multiply-add; without it, the host does or not. fmod, remainder and
    floor_divide leave the builder in another block, for they hold a loop.

    With a list `outside`, a shorter form is written for the functions in LIMITED, and the condition (i1, or a vector
    of them) under which it is wrong is added to the list: |x| > 65,536 (f32) or 2³⁰ (f64) for sin, cos and tan (2¹⁰
    and 2²⁰ without fma); |x/y| ≥ 2²³ or 2⁵² for divisions. A kernel can OR these over a block and, if one held, run
    the block again in the long form.
    """
    kind = values[0].type
    half = ir.HalfType()
    if kind == half or (isinstance(kind, ir.VectorType) and kind.element == half):
        wide = ir.VectorType(ir.FloatType(), kind.count) if kind != half else ir.FloatType()
        result = emit(builder, name, *(builder.fpext(v, wide) for v in values), fma=fma, outside=outside)
        return builder.fptrunc(result, kind)
    code = Code(builder, kind, host_has_fma() if fma is None else fma)
    operands = [Real(code, value) for value in values]
    if outside is None or name not in LIMITED:
        return FUNCTIONS[name](*operands).ir
    conditions: list[Truth] = []
    result = LIMITED[name](*operands, conditions).ir
    outside.extend(condition.ir for condition in conditions)
    return result


@cache
def host_has_fma() -> bool:
    """Whether this machine multiplies and adds in one rounding: every 64-bit ARM does."""
    if processor() in ("aarch64", "arm64"):
        return True
    return "+fma" in features().split(",")
