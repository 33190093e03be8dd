"""render_targets in C++ for arrays, and on CUDA devices for tensors."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from simplepose.checks import check_indices
from simplepose.exit_gate import compiled_call
from simplepose.ops.config import TargetConfig
from simplepose.ops.native.module import require_native
from simplepose.ops.reference.render_targets import TargetRules, map_shapes

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def render_cpp(
    keypoints: NDArray[np.float32],
    size: tuple[int, int],
    parts: NDArray[np.int32],
    config: TargetConfig,
    scales: int,
    envelope: bool,
    threads: int | None = None,
) -> list[NDArray[np.float32]]:
    """One array ``[B, L + J (+ 1), H, W]`` for each scale; 2 L with encoding "paf".

    Args:
        keypoints: ``[B, P, J, 3]`` float32, C-contiguous.
        size: height and width of the image in pixels.
        parts: ``[L, 2]`` keypoint types.
        config: widths, threshold, stride and shape.
        scales: number of levels of the pyramid.
        envelope: whether to add the maximum over the keypoint channels.
        threads: maximum number of threads; None: all processors.
    """
    shapes = map_shapes(keypoints.shape, size, len(parts), config, scales, envelope)
    maps = [np.empty(shape, np.float32) for shape in shapes]
    with compiled_call:
        require_native().render_targets(keypoints, parts, TargetRules.of(config), maps, envelope, threads or 0)
    return maps


def render_cuda(
    keypoints: Tensor,
    size: tuple[int, int],
    parts: tuple[int, ...],
    config: TargetConfig,
    scales: int,
    envelope: bool,
    dtype: torch.dtype,
) -> list[Tensor]:
    """`render_cpp` on the device of contiguous float32 keypoints; ``parts`` is the flat list of 2 L keypoint types."""
    from simplepose.ops.native.kernels import borrow, stream

    shapes = map_shapes(keypoints.shape, size, len(parts) // 2, config, scales, envelope)
    maps = [keypoints.new_empty(shape, dtype=dtype) for shape in shapes]
    require_native().render_targets_cuda(
        borrow(keypoints),
        borrow(_device_parts(parts, keypoints.shape[2], keypoints.device)),
        TargetRules.of(config),
        [borrow(scale) for scale in maps],
        envelope,
        stream(keypoints.device),
    )
    return maps


@cache  # never freed: a captured CUDA graph reads the table at each replay
def _device_parts(parts: tuple[int, ...], types: int, device: torch.device) -> Tensor:
    """``[L, 2]`` int32 keypoint types on the device; later calls reuse the tensor."""
    import torch

    check_indices("parts", parts, types)
    return torch.tensor(parts, dtype=torch.int32, device=device).reshape(-1, 2)
