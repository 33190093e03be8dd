"""log32, finite, sqrt and division of the reference implementation in PyTorch, with the same float32 bits.

This holds on any device with IEEE arithmetic. find_peaks and match_parts keep two rules for it:

- They divide a tensor by a tensor, never by a plain number: CUDA would multiply by the rounded reciprocal.
- They call no function that may fuse a multiplication with an addition (addcmul, lerp) or that sums in an unspecified
  order (sum, mean).
"""

from __future__ import annotations

import torch
from torch import Tensor

from simplepose.ops.reference.maths import LN2, LOG_POLYNOMIAL


def log32(x: Tensor) -> Tensor:
    """Natural logarithm of positive normal float32 numbers, by the operations of the reference implementation."""
    bits = x.view(torch.int32)
    exponent = (bits - 0x3F3504F3) >> 23
    f = (bits - (exponent << 23)).view(torch.float32) - 1
    p = torch.full_like(f, float(LOG_POLYNOMIAL[-1]))
    for coefficient in LOG_POLYNOMIAL[-2::-1]:
        p = p * f + float(coefficient)
    f2 = f * f
    return exponent.float() * float(LN2) + ((f - 0.5 * f2) + (f2 * f) * p)


def finite(values: Tensor) -> Tensor:
    """The values with 0 in place of those that are not finite, as every op reads a map."""
    return values.nan_to_num(0, 0, 0)


def sqrt32(x: Tensor) -> Tensor:
    """The correctly rounded square root of float32 numbers; PyTorch's own is not, on CPUs.

    The root of a float32 number lies at least 2^-51 (relative) from the middle between two float32 numbers, so the
    float64 root rounds to the right one.
    """
    return x.double().sqrt().float()


def divide(values: Tensor, number: int) -> Tensor:
    """``values / number``, correctly rounded on every device because the divisor is a tensor."""
    return values / values.new_full((), number)
