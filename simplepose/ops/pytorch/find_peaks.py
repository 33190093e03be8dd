"""find_peaks in vectorized PyTorch, for any device: max-pooling, then exact tests of the cells that remain."""

from __future__ import annotations

import torch
import torch.nn.functional as functional
from torch import Tensor

from simplepose.ops.candidates import Peaks
from simplepose.ops.config import DecodeConfig
from simplepose.ops.pytorch.maths import finite, log32
from simplepose.ops.reference.find_peaks import EARLIER, MIN_LOG_SAMPLE
from simplepose.ops.reference.maths import f32


def find_peaks(maps: Tensor, config: DecodeConfig) -> list[Peaks]:
    """Candidate keypoints of a batch, bit for bit those of the reference implementation.

    Args:
        maps: ``[B, J, H, W]`` float32, float16 or bfloat16 keypoint maps.
        config: ``peak_threshold`` and ``max_peaks`` are used.

    Returns:
        One `Peaks` for each image, on the host.
    """
    if not len(maps):
        return []
    maps = finite(maps.float())
    highest = functional.max_pool2d(maps, 3, stride=1, padding=1)
    high_enough = maps >= float(f32(config.peak_threshold))
    at = ((maps == highest) & high_enough).nonzero()  # raster order within image and type
    at = at[_wins_ties(maps, at)]
    image, kind, y, x = at.unbind(1)
    score = maps[image, kind, y, x]
    dx, dy = _offset(maps, at, axis=3), _offset(maps, at, axis=2)
    group = image * maps.shape[1] + kind
    order = torch.argsort(score, descending=True, stable=True)
    order = order[torch.argsort(group[order], stable=True)]
    group, image = group[order], image[order]
    sizes = torch.bincount(group, minlength=maps.shape[0] * maps.shape[1])
    rank = torch.arange(len(group), device=maps.device) - (sizes.cumsum(0) - sizes)[group]
    cut = (sizes.view(maps.shape[:2]) > config.max_peaks).any(1).tolist()
    kept = rank < config.max_peaks
    order, image = order[kept], image[kept]
    xy = torch.stack([x.float() + dx, y.float() + dy], 1)[order].cpu()
    types, scores = kind[order].int().cpu(), score[order].cpu()
    counts = torch.bincount(image, minlength=len(maps)).tolist()
    rows = [[part.numpy() for part in torch.split(column, counts)] for column in (types, xy, scores)]
    return [Peaks(rows[0][i], rows[1][i], rows[2][i], truncated) for i, truncated in enumerate(cut)]


def _wins_ties(maps: Tensor, at: Tensor) -> Tensor:
    """``[N]``: whether the cells ``at`` win ties, which means that no neighbor of lower raster index is equal."""
    image, kind, y, x = at.unbind(1)
    value = maps[image, kind, y, x]
    wins = torch.ones_like(value, dtype=torch.bool)
    for dy, dx in EARLIER:
        inside = (y + dy >= 0) & (x + dx >= 0) & (x + dx < maps.shape[3])
        neighbor = maps[image, kind, (y + dy).clamp(min=0), (x + dx).clamp(0, maps.shape[3] - 1)]
        wins &= ~(inside & (neighbor == value))
    return wins


def _offset(maps: Tensor, at: Tensor, axis: int) -> Tensor:
    """``[N]``: the sub-pixel offset along an axis, as simplepose/ops/reference/find_peaks.py defines it."""
    index = list(at.unbind(1))
    position, last = index[axis], maps.shape[axis] - 1
    inside = (position > 0) & (position < last)
    logs = []
    for step in (-1, 0, 1):
        index[axis] = (position + step).clamp(0, last)
        logs.append(log32(maps[tuple(index)].clamp(min=float(MIN_LOG_SAMPLE))))
    curvature = (logs[0] - logs[1]) + (logs[2] - logs[1])
    curved = inside & (curvature < 0)
    offset = 0.5 * (logs[0] - logs[2]) / torch.where(curved, curvature, -1)
    return torch.where(curved, (offset.clamp(-0.5, 0.5) * 256).round() * (1 / 256), 0)
