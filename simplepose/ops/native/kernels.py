"""Helpers of all CUDA kernel calls: the module, DLPack capsules, the stream, index tables on the device."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor

from simplepose.checks import check_indices
from simplepose.ops.native.module import require_native


def kernels() -> Any:
    """The compiled module; RuntimeError if it has no CUDA kernels."""
    module = require_native()
    if not module.has_cuda:
        raise RuntimeError("the decoding kernels need a build with CUDA")
    return module


def borrow(tensor: Tensor) -> Any:
    """A DLPack capsule that lends the tensor's memory for one call."""
    return torch.to_dlpack(tensor.detach())


def stream(device: torch.device) -> int:
    """The handle of the device's current stream."""
    return int(torch.cuda.current_stream(device).cuda_stream)


@cache  # never freed: a captured CUDA graph reads the table at each replay
def device_table(name: str, values: tuple[int, ...], count: int, device: torch.device) -> Tensor:
    """Indices below ``count`` as an int32 tensor on the device; later calls reuse the tensor."""
    check_indices(name, values, count)
    return torch.tensor(values, dtype=torch.int32, device=device)
