"""render_targets for torch tensors: the custom op ``simplepose::render_targets``, registered on import.

`torch.compile` treats it as one opaque op for every implementation.
"""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from torch import Tensor, library

from simplepose.ops.backend import resolve
from simplepose.ops.config import Shape, TargetConfig
from simplepose.ops.native.render_targets import render_cpp, render_cuda
from simplepose.ops.pytorch import render_targets as pytorch
from simplepose.ops.reference.render_targets import map_shapes, render_batch
from simplepose.skeleton.channels import Encoding
from simplepose.skeleton.skeleton import Skeleton

MAP_TYPES = (torch.float32, torch.float16, torch.bfloat16)
"""The dtypes that maps can have."""

MAX_FUSED_SCALES = 7
"""Up to this number of scales the CUDA kernel itself rounds to half precision; beyond it the op rounds."""


def check_map_type(dtype: object) -> torch.dtype:
    """``dtype``, or float32 for None; TypeError unless it is one of `MAP_TYPES`."""
    if dtype is None:
        return torch.float32
    if not isinstance(dtype, torch.dtype) or dtype not in MAP_TYPES:
        raise TypeError(f"dtype: expected None or one of {', '.join(map(str, MAP_TYPES))}, got {dtype!r}")
    return dtype


def part_list(skeleton: Skeleton) -> list[int]:
    """The 2 L keypoint types of the parts, derived from names: torch.compile cannot trace through a NumPy table."""
    return [skeleton.keypoints.index(name) for part in skeleton.parts for name in part]


@library.custom_op("simplepose::render_targets", mutates_args=())
def render_targets_op(
    keypoints: Tensor,
    height: int,
    width: int,
    parts: list[int],
    keypoint_sigma: float,
    part_sigma: float,
    threshold: float,
    stride: int,
    shape: str,
    encoding: str,
    paf_width: float,
    scales: int,
    envelope: bool,
    backend: str,
    threads: int,
    dtype: torch.dtype,
) -> list[Tensor]:
    """One tensor of type ``dtype`` a scale, on the device of the keypoints.

    Args:
        keypoints: ``[B, P, J, 3]`` float32, detached.
        height, width: of the image in pixels.
        parts: the 2 L keypoint types of the parts, in a row.
        keypoint_sigma, part_sigma, threshold, stride, shape, encoding, paf_width: the fields of `TargetConfig`.
        scales, envelope, backend, dtype: as `simplepose.render_targets` takes them.
        threads: most threads on the CPU; 0: all processors.
    """
    kinds = (cast(Shape, shape), cast(Encoding, encoding))
    config = TargetConfig(keypoint_sigma, part_sigma, threshold, stride, *kinds, paf_width)
    size, keypoints = (height, width), keypoints.contiguous()
    implementation = resolve("render_targets", backend, keypoints, config.encoding)
    if implementation == "cuda":
        kernel_dtype = dtype if scales <= MAX_FUSED_SCALES else torch.float32
        maps = render_cuda(keypoints, size, tuple(parts), config, scales, envelope, kernel_dtype)
    elif implementation == "torch":
        pairs = list(zip(parts[::2], parts[1::2], strict=True))
        maps = pytorch.render_targets(keypoints, size, pairs, config, scales, envelope)
    else:
        run = render_cpp if implementation == "cpp" else render_batch
        index = np.array(parts, np.int32).reshape(-1, 2)
        arrays = run(keypoints.cpu().numpy(), size, index, config, scales, envelope, threads or None)
        maps = [torch.from_numpy(scale).to(keypoints.device) for scale in arrays]
    return [scale.to(dtype) for scale in maps]


@render_targets_op.register_fake
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
    encoding: str,
    paf_width: float,
    scales: int,
    envelope: bool,
    backend: str,
    threads: int,
    dtype: torch.dtype,
) -> list[Tensor]:
    config = TargetConfig(stride=stride, encoding=cast(Encoding, encoding))
    shapes = map_shapes(keypoints.shape, (height, width), len(parts) // 2, config, scales, envelope)
    return [keypoints.new_empty(scale, dtype=dtype) for scale in shapes]
