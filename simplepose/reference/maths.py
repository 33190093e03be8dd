"""The float32 exponential and logarithm of every backend, operation by operation.

NumPy, C++ and CUDA libraries round ``exp`` and ``log`` differently, and a last bit can move a decision. These two
consist of correctly rounded basic operations in a stated order, so that ``csrc/hd.h``, which holds the same
lines, gives the same bits. They agree with the exact functions to 8e-8 (exp, relative) and 3e-7 (log, absolute).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

f32 = np.float32

EXP_POLYNOMIAL = tuple(map(f32, (0.5, 0.16666667, 0.041666463, 0.0083332984, 0.0013933732, 0.0001989939)))
"""(e^r - 1 - r) / r^2 on [-ln(2)/2, ln(2)/2], fitted at Chebyshev nodes, lowest power first."""

_LOG_COEFFICIENTS = (0.3333333, -0.2499999, 0.20000716, -0.16668478, 0.14249754, -0.12411018)
LOG_POLYNOMIAL = tuple(map(f32, (*_LOG_COEFFICIENTS, 0.116629444, -0.115717955, 0.071469784)))
"""(ln(1 + f) - f + f^2 / 2) / f^3 on [sqrt(1/2) - 1, sqrt(2) - 1], likewise."""

LOG2_E = f32(1.442695)
LN2 = f32(0.6931472)
LN2_HIGH = f32(0.693359375)  # few bits, so that its product with a small integer is exact
LN2_LOW = f32(-2.1219444e-4)


def exp32(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """``e^x`` for x <= 0, float32; arguments below -87 count as -87."""
    x = np.maximum(x, f32(-87))
    n = np.rint(x * LOG2_E)
    r = (x - n * LN2_HIGH) - n * LN2_LOW
    p = _horner(EXP_POLYNOMIAL, r)
    y = f32(1) + (r + (r * r) * p)
    return y * ((n.astype(np.int32) + 127) << 23).view(f32)


def log32(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Natural logarithm of positive normal float32 numbers."""
    bits = np.ascontiguousarray(x, f32).view(np.int32)
    exponent = (bits - np.int32(0x3F3504F3)) >> 23  # x = m 2^exponent with m in [sqrt(1/2), sqrt(2))
    f = (bits - (exponent << 23)).view(f32) - f32(1)
    p = _horner(LOG_POLYNOMIAL, f)
    f2 = f * f
    return exponent.astype(f32) * LN2 + ((f - f32(0.5) * f2) + (f2 * f) * p)


def finite(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """The same values with 0 for what is not finite: how every op reads a map."""
    return np.where(np.isfinite(values), values, f32(0))


def _horner(coefficients: tuple[np.float32, ...], x: NDArray[np.float32]) -> NDArray[np.float32]:
    p = np.full_like(x, coefficients[-1])
    for c in coefficients[-2::-1]:
        p = p * x + c
    return p
