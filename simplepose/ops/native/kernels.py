"""What every call of a CUDA kernel needs: the module, capsules to lend, the stream, index tables on the device."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor

from simplepose.checks import check_indices
from simplepose.ops.native.module import require_native


def kernels() -> Any:
    """The module with the kernels; RuntimeError where there are none."""
    module = require_native()
    if not module.has_cuda:
        raise RuntimeError("the decoding kernels need a build with CUDA")
    return module


def borrow(tensor: Tensor) -> Any:
    """A capsule to lend for one call."""
    return torch.to_dlpack(tensor.detach())


def stream(device: torch.device) -> int:
    return int(torch.cuda.current_stream(device).cuda_stream)


@cache  # for good: a captured CUDA graph reads it at each replay
def device_table(name: str, values: tuple[int, ...], count: int, device: torch.device) -> Tensor:
    """Indices below ``count`` as int32 on the device, kept there so that a call copies nothing."""
    check_indices(name, values, count)
    return torch.tensor(values, dtype=torch.int32, device=device)
