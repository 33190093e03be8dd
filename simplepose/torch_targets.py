"""render_targets for torch tensors: the custom op ``simplepose::render_targets``, registered by importing this."""

from __future__ import annotations

from functools import lru_cache
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from simplepose import baseline
from simplepose.config import Shape, TargetConfig
from simplepose.native import load_native, require_native, why_no_cuda
from simplepose.reference.render_targets import TargetRules
from simplepose.skeleton import Skeleton
from simplepose.targets import Drawing, map_shapes, render_arrays, render_native


def render(keypoints: Tensor, drawing: Drawing, backend: str) -> list[Tensor]:
    """One tensor a scale on the device of ``keypoints [B, P, J, 3]``, float32 or float64."""
    keypoints = keypoints.detach().to(torch.float32)
    if backend == "reference":
        maps = render_arrays(keypoints.cpu().contiguous().numpy(), drawing, backend)
        return [torch.from_numpy(scale).to(keypoints.device) for scale in maps]
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
    )


def render_baseline(keypoints: NDArray[np.float32], drawing: Drawing) -> list[Tensor]:
    """The baseline on the CPU for ``[B, P, J, 3]`` float32 keypoints."""
    size, skeleton, config, _, scales, envelope = drawing
    parts = skeleton.part_index.tolist()
    return baseline.render_targets(torch.tensor(keypoints), size, parts, config, scales, envelope)


@torch.library.custom_op("simplepose::render_targets", mutates_args=())
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
) -> list[Tensor]:
    """``keypoints [B, P, J, 3]``, ``parts`` 2 L keypoint types; ``native`` refuses the baseline, 0 threads are all."""
    config = TargetConfig(keypoint_sigma, part_sigma, threshold, stride, cast(Shape, shape))
    size = (height, width)
    keypoints = keypoints.contiguous()
    reason = _why_not_native(keypoints.device)
    if reason:
        if native:
            raise RuntimeError(f"backend 'native': {reason}")
        return baseline.render_targets(
            keypoints, size, [(a, b) for a, b in zip(parts[::2], parts[1::2], strict=True)], config, scales, envelope
        )
    if keypoints.is_cuda:
        return _render_cuda(keypoints, size, tuple(parts), config, scales, envelope)
    index = np.array(parts, np.int32).reshape(-1, 2)
    maps = render_native(keypoints.numpy(), size, index, config, threads or None, scales, envelope)
    return [torch.from_numpy(scale) for scale in maps]


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
) -> list[Tensor]:
    shapes = map_shapes(keypoints.shape, (height, width), len(parts) // 2, stride, scales, envelope)
    return [keypoints.new_empty(scale) for scale in shapes]


def _render_cuda(
    keypoints: Tensor, size: tuple[int, int], parts: tuple[int, ...], config: TargetConfig, scales: int, envelope: bool
) -> list[Tensor]:
    shapes = map_shapes(keypoints.shape, size, len(parts) // 2, config.stride, scales, envelope)
    maps = [keypoints.new_empty(shape) for shape in shapes]
    require_native().render_targets_cuda(
        torch.to_dlpack(keypoints),
        torch.to_dlpack(_device_parts(parts, keypoints.device)),
        TargetRules.of(config),
        [torch.to_dlpack(scale) for scale in maps],
        envelope,
        torch.cuda.current_stream(keypoints.device).cuda_stream,
    )
    return maps


def _why_not_native(device: torch.device) -> str:
    """Why the native op cannot run on a device; empty if it can."""
    if device.type == "cuda":
        return why_no_cuda(device.index or 0)
    return load_native()[1] if device.type == "cpu" else f"it runs on cpu and cuda, not on {device}"


@lru_cache(maxsize=64)
def _device_parts(parts: tuple[int, ...], device: torch.device) -> Tensor:
    """``[L, 2]`` int32 on the device, kept there so that a call copies nothing."""
    return torch.tensor(parts, dtype=torch.int32, device=device).reshape(-1, 2)


def _part_list(skeleton: Skeleton) -> list[int]:
    """The 2 L keypoint types of the parts, from names alone: torch.compile cannot trace through a NumPy table."""
    return [skeleton.keypoints.index(name) for part in skeleton.parts for name in part]
