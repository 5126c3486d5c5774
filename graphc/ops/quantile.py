"""The quantile function of the normal distribution, equal bit for bit on every machine.

Wichura: "Algorithm AS 241: The percentage points of the normal distribution", Applied Statistics 37 (1988), routine
PPND16, accurate to about 1 part in 10¹⁶. The logarithm is that of FreeBSD's msun (e_log.c), written in operations that
IEEE 754 rounds correctly, because NumPy's own differs in the last bit between processors.
"""

from __future__ import annotations

from typing import Any

import numpy as np

CENTRE = (
    (3.3871328727963666080e0, 1.3314166789178437745e2, 1.9715909503065514427e3, 1.3731693765509461125e4,
     4.5921953931549871457e4, 6.7265770927008700853e4, 3.3430575583588128105e4, 2.5090809287301226727e3),
    (1.0, 4.2313330701600911252e1, 6.8718700749205790830e2, 5.3941960214247511077e3,
     2.1213794301586595867e4, 3.9307895800092710610e4, 2.8729085735721942674e4, 5.2264952788528545610e3),
)  # fmt: skip
TAIL = (
    (1.42343711074968357734e0, 4.63033784615654529590e0, 5.76949722146069140550e0, 3.64784832476320460504e0,
     1.27045825245236838258e0, 2.41780725177450611770e-1, 2.27238449892691845833e-2, 7.74545014278341407640e-4),
    (1.0, 2.05319162663775882187e0, 1.67638483018380384940e0, 6.89767334985100004550e-1,
     1.48103976427480074590e-1, 1.51986665636164571966e-2, 5.47593808499534494600e-4, 1.05075007164441684324e-9),
)  # fmt: skip
FAR_TAIL = (
    (6.65790464350110377720e0, 5.46378491116411436990e0, 1.78482653991729133580e0, 2.96560571828504891230e-1,
     2.65321895265761230930e-2, 1.24266094738807843860e-3, 2.71155556874348757815e-5, 2.01033439929228813265e-7),
    (1.0, 5.99832206555887937690e-1, 1.36929880922735805310e-1, 1.48753612908506148525e-2,
     7.86869131145613259100e-4, 1.84631831751005468180e-5, 1.42151175831644588870e-7, 2.04426310338993978564e-15),
)  # fmt: skip
LOG = (6.666666666666735130e-01, 3.999999999940941908e-01, 2.857142874366239149e-01, 2.222219843214978396e-01,
       1.818357216161805012e-01, 1.531383769920937332e-01, 1.479819860511658591e-01)  # fmt: skip
LN2_HIGH, LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10

Array = np.ndarray[Any, np.dtype[np.float64]]


def normal_quantile(p: Array) -> Array:
    """The number that a standard normal variable stays below with probability p; 0 < p < 1, a vector of float64."""
    q = p - 0.5
    result = q * _ratio(CENTRE, 0.180625 - q * q)
    outer = np.flatnonzero(np.abs(q) > 0.425)
    chance = np.take(p, outer)
    above = chance > 0.5
    root = np.sqrt(-log(np.where(above, 1.0 - chance, chance)))
    tail, far = _ratio(TAIL, root - 1.6), np.flatnonzero(root > 5.0)
    if far.size:  # one number in 10¹¹
        tail[far] = _ratio(FAR_TAIL, root[far] - 5.0)
    result[outer] = np.where(above, tail, -tail)
    return result


def _ratio(coefficients: tuple[tuple[float, ...], tuple[float, ...]], x: Array) -> Array:
    above, below = coefficients
    return _polynomial(above, x) / _polynomial(below, x)


def _polynomial(coefficients: tuple[float, ...], x: Array) -> Array:
    """The polynomial whose coefficients are given from the constant upwards, by Horner's rule."""
    result = x * coefficients[-1]
    for coefficient in coefficients[-2:0:-1]:
        result += coefficient
        result *= x
    result += coefficients[0]
    return result


def log(x: Array) -> Array:
    """The logarithm of positive normal numbers: log(2ᵏ(1 + f)) = k·log 2 + log(1 + f), √½ ≤ 1 + f < √2."""
    mantissa, exponent = np.frexp(x)
    small = mantissa < np.sqrt(0.5)
    f = np.where(small, mantissa + mantissa, mantissa) - 1.0
    k = (exponent - small).astype(np.float64)
    s = f / (2.0 + f)
    z = s * s
    half = 0.5 * f * f
    series = s * (half + z * _polynomial(LOG, z))
    return k * LN2_HIGH - ((half - (series + k * LN2_LOW)) - f)  # type: ignore[no-any-return]
