"""What a batch is trained toward: target maps at every scale and the loss mask, made on the batch's device."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from simplepose.data.dataset import Batch
from simplepose.ops.config import Backend, TargetConfig
from simplepose.ops.render_targets import render_targets
from simplepose.skeleton.skeleton import Skeleton

EROSION = 3
"""The side of the window, in cells, that the person mask is eroded by."""


class Supervision(NamedTuple):
    """What `simplepose.training.loss.pose_loss` takes."""

    targets: list[Tensor]  # [B, L + J + 2, h, w] float32 each, from stride 4 on
    mask: Tensor  # [B, 1, H, W] float32, 0 where no truth is known


def make_targets(
    batch: Batch, skeleton: Skeleton, config: TargetConfig, *, scales: int = 5, backend: Backend = "auto"
) -> Supervision:
    """Render the target maps of a batch and put the person mask between them (DESIGN sections 3 and 4).

    Args:
        batch: on the device where the targets are wanted.
        skeleton: the one the batch's dataset has.
        config: how keypoints and parts are drawn; its stride is that of the batch's masks.
        scales: how many scales, each half the one before: the adaptive average pools of the full-size maps.
        backend: which implementation renders.
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
    extra = skeleton.num_parts + skeleton.num_keypoints
    targets = []
    for maps in rendered if isinstance(rendered, tuple) else (rendered,):
        channel = F.adaptive_avg_pool2d(person, (maps.shape[-2], maps.shape[-1]))
        targets.append(torch.cat([maps[:, :extra], channel, maps[:, extra:]], 1))
    return Supervision(targets, batch.loss_mask[:, None].float() / 255)


def erode(mask: Tensor) -> Tensor:
    """``[B, 1, H, W]``: the least value within `EROSION` cells square; what lies outside the map does not count."""
    return -F.max_pool2d(-mask, EROSION, stride=1, padding=EROSION // 2)
