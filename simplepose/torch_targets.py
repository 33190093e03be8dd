"""render_targets for torch tensors: the custom op ``simplepose::render_targets``, registered by importing this."""

from __future__ import annotations

from functools import cache
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, library

from simplepose import baseline
from simplepose.arguments import check_table
from simplepose.config import Shape, TargetConfig
from simplepose.native import cuda_index, load_native, require_native, why_no_cuda
from simplepose.reference.render_targets import TargetRules
from simplepose.skeleton import Skeleton
from simplepose.targets import Drawing, map_shapes, render_arrays, render_native

TYPES = (torch.float32, torch.float16, torch.bfloat16)
"""What maps can be."""

MAX_FUSED_SCALES = 7
"""Up to so many scales the CUDA op rounds to half precision itself."""


def render(keypoints: Tensor, drawing: Drawing, backend: str, dtype: torch.dtype | None = None) -> list[Tensor]:
    """One tensor of `TYPES` a scale on the device of ``keypoints [B, P, J, 3]``, float32 or float64."""
    dtype = torch.float32 if dtype is None else dtype
    if dtype not in TYPES:
        raise TypeError(f"dtype: expected None or one of {', '.join(map(str, TYPES))}, got {dtype!r}")
    keypoints = keypoints.detach().to(torch.float32)
    if backend == "reference":
        maps = render_arrays(keypoints.cpu().contiguous().numpy(), drawing, backend)
        return [torch.from_numpy(scale).to(keypoints.device, dtype) for scale in maps]
    config = drawing.config
    return _render_op(
        keypoints,
        drawing.size[0],
        drawing.size[1],
        _part_list(drawing.skeleton),
        config.keypoint_sigma,
        config.part_sigma,
        config.threshold,
        config.stride,
        config.shape,
        drawing.scales,
        drawing.envelope,
        backend == "native",
        drawing.threads or 0,
        dtype,
    )


def render_baseline(keypoints: NDArray[np.float32], drawing: Drawing) -> list[Tensor]:
    """The baseline on the CPU for ``[B, P, J, 3]`` float32 keypoints."""
    size, skeleton, config, _, scales, envelope = drawing
    parts = skeleton.part_index.tolist()
    return baseline.render_targets(torch.tensor(keypoints), size, parts, config, scales, envelope)


@library.custom_op("simplepose::render_targets", mutates_args=())
def _render_op(
    keypoints: Tensor,
    height: int,
    width: int,
    parts: list[int],
    keypoint_sigma: float,
    part_sigma: float,
    threshold: float,
    stride: int,
    shape: str,
    scales: int,
    envelope: bool,
    native: bool,
    threads: int,
    dtype: torch.dtype,
) -> list[Tensor]:
    """``keypoints [B, P, J, 3]``, ``parts`` 2 L keypoint types; ``native`` refuses the baseline, 0 threads are all."""
    config = TargetConfig(keypoint_sigma, part_sigma, threshold, stride, cast(Shape, shape))
    size = (height, width)
    keypoints = keypoints.contiguous()
    reason = _why_not_native(keypoints.device)
    if reason:
        if native:
            raise RuntimeError(f"backend 'native': {reason}")
        pairs = list(zip(parts[::2], parts[1::2], strict=True))
        return _rounded(baseline.render_targets(keypoints, size, pairs, config, scales, envelope), dtype)
    if keypoints.is_cuda:
        drawn = dtype if scales <= MAX_FUSED_SCALES else torch.float32
        return _rounded(_render_cuda(keypoints, size, tuple(parts), config, scales, envelope, drawn), dtype)
    index = np.array(parts, np.int32).reshape(-1, 2)
    maps = render_native(keypoints.numpy(), size, index, config, threads or None, scales, envelope)
    return _rounded([torch.from_numpy(scale) for scale in maps], dtype)


@_render_op.register_fake
def _render_fake(
    keypoints: Tensor,
    height: int,
    width: int,
    parts: list[int],
    keypoint_sigma: float,
    part_sigma: float,
    threshold: float,
    stride: int,
    shape: str,
    scales: int,
    envelope: bool,
    native: bool,
    threads: int,
    dtype: torch.dtype,
) -> list[Tensor]:
    shapes = map_shapes(keypoints.shape, (height, width), len(parts) // 2, stride, scales, envelope)
    return [keypoints.new_empty(scale, dtype=dtype) for scale in shapes]


def _rounded(maps: list[Tensor], dtype: torch.dtype) -> list[Tensor]:
    return [scale.to(dtype) for scale in maps]


def _render_cuda(
    keypoints: Tensor,
    size: tuple[int, int],
    parts: tuple[int, ...],
    config: TargetConfig,
    scales: int,
    envelope: bool,
    dtype: torch.dtype,
) -> list[Tensor]:
    shapes = map_shapes(keypoints.shape, size, len(parts) // 2, config.stride, scales, envelope)
    maps = [keypoints.new_empty(shape, dtype=dtype) for shape in shapes]
    require_native().render_targets_cuda(
        torch.to_dlpack(keypoints),
        torch.to_dlpack(_device_parts(parts, keypoints.shape[2], keypoints.device)),
        TargetRules.of(config),
        [torch.to_dlpack(scale) for scale in maps],
        envelope,
        torch.cuda.current_stream(keypoints.device).cuda_stream,
    )
    return maps


def _why_not_native(device: torch.device) -> str:
    """Why the native op cannot run on a device; empty if it can."""
    if device.type == "cuda":
        return why_no_cuda(cuda_index(device))
    return load_native()[1] if device.type == "cpu" else f"it runs on cpu and cuda, not on {device}"


@cache  # for good: a captured CUDA graph reads it at each replay
def _device_parts(parts: tuple[int, ...], types: int, device: torch.device) -> Tensor:
    """``[L, 2]`` int32 keypoint types on the device, kept there so that a call copies nothing."""
    check_table("parts", parts, types)
    return torch.tensor(parts, dtype=torch.int32, device=device).reshape(-1, 2)


def _part_list(skeleton: Skeleton) -> list[int]:
    """The 2 L keypoint types of the parts, from names alone: torch.compile cannot trace through a NumPy table."""
    return [skeleton.keypoints.index(name) for part in skeleton.parts for name in part]
