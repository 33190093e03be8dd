"""The float32 power of two and logarithm of every backend, operation by operation.

The ``exp`` and ``log`` of NumPy, C++ and CUDA libraries round differently, and one bit can change a decision. The two
functions here use only correctly rounded basic operations in a fixed order; csrc/common/float_maths.h performs the same
operations and returns the same bits. Errors: at most 2e-7 relative (power of two) and 3e-7 absolute (logarithm).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

f32 = np.float32

EXP2_POLYNOMIAL = tuple(map(f32, (1, 0.693147, 0.24022242, 0.055507336, 0.009671513, 0.0013264727)))
"""2^f on [-1/2, 1/2]: the minimax polynomial (relative error) with 2^0 = 1 exactly, lowest power first."""

_LOG_COEFFICIENTS = (0.3333333, -0.2499999, 0.20000716, -0.16668478, 0.14249754, -0.12411018)
LOG_POLYNOMIAL = tuple(map(f32, (*_LOG_COEFFICIENTS, 0.116629444, -0.115717955, 0.071469784)))
"""(ln(1 + f) - f + f^2 / 2) / f^3 on [sqrt(1/2) - 1, sqrt(2) - 1]: minimax polynomial, lowest power first."""

LN2 = f32(0.6931472)
ROUNDER = f32(12582912)
"""1.5 * 2^23: adding it rounds a small number to an integer, half to even, which the lowest mantissa bits then hold."""


def exp2_minus(e: NDArray[np.float32]) -> NDArray[np.float32]:
    """``2^-e`` for e >= 0, float32; e above 126 and NaN are treated as 126."""
    e = np.where(e < f32(126), e, f32(126))
    rounded = ROUNDER - e
    f = (ROUNDER - rounded) - e  # in [-1/2, 1/2]
    p = _horner(EXP2_POLYNOMIAL, f)
    return (p.view(np.int32) + (rounded.view(np.int32) << 23)).view(f32)  # adds to the exponent


def log32(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Natural logarithm of positive normal float32 numbers."""
    bits = np.ascontiguousarray(x, f32).view(np.int32)
    exponent = (bits - np.int32(0x3F3504F3)) >> 23  # x = m 2^exponent with m in [sqrt(1/2), sqrt(2))
    f = (bits - (exponent << 23)).view(f32) - f32(1)
    p = _horner(LOG_POLYNOMIAL, f)
    f2 = f * f
    return exponent.astype(f32) * LN2 + ((f - f32(0.5) * f2) + (f2 * f) * p)


def finite(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """The values with non-finite ones replaced by 0; every op reads its maps this way."""
    return np.where(np.isfinite(values), values, f32(0))


def _horner(coefficients: tuple[np.float32, ...], x: NDArray[np.float32]) -> NDArray[np.float32]:
    p = np.full_like(x, coefficients[-1])
    for c in coefficients[-2::-1]:
        p = p * x + c
    return p
