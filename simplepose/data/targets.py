"""The training targets of a batch: target maps at every scale and the loss mask, on the device of the batch."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from simplepose.data.dataset import Batch
from simplepose.ops.config import Backend, TargetConfig
from simplepose.ops.render_targets import render_targets
from simplepose.skeleton.channels import map_channels
from simplepose.skeleton.skeleton import Skeleton

EROSION = 3
"""Side in cells of the square window that erodes the person mask."""


class Supervision(NamedTuple):
    """The targets and the mask for `simplepose.training.loss.pose_loss`."""

    targets: list[Tensor]  # [B, L + J + 2, h, w] (2 L with encoding "paf") float32 each, from the finest scale on
    mask: Tensor  # [B, 1, H, W] float32, 0 where there is no ground truth


def make_targets(
    batch: Batch, skeleton: Skeleton, config: TargetConfig, *, scales: int = 5, backend: Backend = "auto"
) -> Supervision:
    """Render the target maps of a batch (docs/design.md, Skeleton and Operations).

    The channels are parts, keypoints, the eroded person mask, and the envelope of the keypoint maps.

    Args:
        batch: the samples; the targets are created on its device.
        skeleton: the skeleton of the data set.
        config: how the targets are rendered; its stride must be that of the batch's masks.
        scales: number of scales; each one is the 2x2 average pool of the previous one.
        backend: the implementation that renders.

    Returns:
        One target tensor per scale, and the loss mask.
    """
    height, width = batch.images.shape[1:3]
    rendered = render_targets(
        batch.keypoints,
        size=(height, width),
        skeleton=skeleton,
        config=config,
        backend=backend,
        scales=scales,
        envelope=True,
    )
    person = erode(batch.person_mask[:, None].float() / 255)
    num_rendered = map_channels(skeleton, config.encoding).num_maps
    targets = []
    for maps in rendered if isinstance(rendered, tuple) else (rendered,):
        person_map = F.adaptive_avg_pool2d(person, (maps.shape[-2], maps.shape[-1]))
        targets.append(torch.cat([maps[:, :num_rendered], person_map, maps[:, num_rendered:]], 1))
    return Supervision(targets, batch.loss_mask[:, None].float() / 255)


def erode(mask: Tensor) -> Tensor:
    """``[B, 1, H, W]``: the minimum over a window of `EROSION` x `EROSION` cells, clipped to the map."""
    return -F.max_pool2d(-mask, EROSION, stride=1, padding=EROSION // 2)
