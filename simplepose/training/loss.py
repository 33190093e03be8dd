"""The loss: focal L2 and L2 between predicted and target maps, over stacks and scales, masked (DESIGN section 6)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from simplepose.checks import check_choice, check_number
from simplepose.skeleton.skeleton import COCO, Skeleton

FOREGROUND = float(np.float32(0.01))
"""Target values from here on are foreground. A float32 number: a target of 0.01 must pass in every precision."""

MASK_CUT = 0.5
"""A mask that is resized to a smaller scale is 0 below this value and keeps its fraction above."""

CHUNK_ELEMENTS = {"cpu": 2**18, "cuda": 2**25}
"""How many elements the fused form works on at a time: what fits the cache of a core, or what fills a GPU."""

FocalOn = Literal["all", "keypoints"]


@dataclass(frozen=True)
class LossConfig:
    """The numbers of the loss; the defaults are the paper's focal L2 (its equations 2 and 3, section 3.3)."""

    gamma: float = 2.0  # exponent of the focal factor; 0 is plain L2
    alpha: float = 0.1  # foreground is easy from 1 + alpha on
    beta: float = 0.02  # background is easy at -beta
    focal_on: FocalOn = "all"  # "keypoints": the other channels have plain L2 (a row of the paper's Table 1)
    part_weight: float = 1.0
    keypoint_weight: float = 3.0  # the paper's lambda
    person_mask_weight: float = 0.1
    envelope_weight: float = 1.0
    scale_weights: tuple[float, ...] = (0.1, 0.2, 0.4, 1.6, 6.4)  # from stride 4 to 64; divided by their sum

    def __post_init__(self) -> None:
        if not (self.gamma == 0 or 1 <= self.gamma < math.inf):
            raise ValueError(f"gamma: expected 0 or at least 1 (else its gradient is infinite), got {self.gamma!r}")
        names = ("alpha", "beta", "part_weight", "keypoint_weight", "person_mask_weight", "envelope_weight")
        for name in names:
            check_number(name, getattr(self, name), least=0)
        check_choice("focal_on", self.focal_on, get_args(FocalOn))
        if not self.scale_weights or not all(0 < w < math.inf for w in self.scale_weights):
            raise ValueError(f"scale_weights: expected positive numbers, got {self.scale_weights!r}")

    @classmethod
    def paper(cls, **changes: Any) -> LossConfig:
        """Focal L2 with the paper's gamma 2, alpha 0.1, beta 0.02."""
        return replace(cls(), **changes)

    @classmethod
    def released(cls, **changes: Any) -> LossConfig:
        """Focal L2 as the released weights were trained: gamma 1, alpha = beta = 0."""
        return replace(cls(gamma=1.0, alpha=0.0, beta=0.0), **changes)

    @classmethod
    def l2(cls, **changes: Any) -> LossConfig:
        """Plain L2 with the same weights, for the first part of the schedule."""
        return replace(cls(gamma=0.0), **changes)


class PoseLoss(NamedTuple):
    """What `pose_loss` returns."""

    total: Tensor  # scalar, float32 (float64 for float64 predictions); call backward() on it
    scales: Tensor  # [S] the loss of each scale before scale weights and divisor, detached: for logs


def pose_loss(
    predictions: Sequence[Sequence[Tensor]],
    targets: Tensor | Sequence[Tensor],
    mask: Tensor,
    *,
    skeleton: Skeleton = COCO,
    config: LossConfig | None = None,
    stack_weights: Sequence[float] | None = None,
    divisor: float | None = None,
    fused: bool = True,
) -> PoseLoss:
    """``mask w_c (S - S*)^2 |1 - Sd|^gamma``, summed over pixels and channels, averaged over stacks and batch.

    ``Sd`` is ``S - alpha`` where the target is foreground and ``1 - S - beta`` elsewhere (the paper's equation 3);
    the gradient flows through it. Half-precision predictions are computed with in float32.

    Args:
        predictions: ``[stack][scale]`` maps ``[B, L + J + 2, h, w]``, scales from the largest on. Scale weights are
            those of the first scales, divided by their sum.
        targets: ``[B, L + J + 2, H, W]`` float, pooled (adaptive average) to each scale; or one target each scale.
        mask: ``[B, 1, H, W]``, 0 where no truth is known, 1 elsewhere, fractions between.
        skeleton: tells part channels from keypoint channels.
        config: the numbers; default `LossConfig()`, the paper's focal L2.
        stack_weights: one a stack, divided by their sum; default: equal.
        divisor: what the sum is divided by; default: ``B``.
        fused: no temporaries as large as the maps and nothing saved for the backward pass (no double backward);
            False: plain autograd, to judge the fused form by.

    Raises:
        ValueError: shapes or counts do not fit together.
    """
    config = config or LossConfig()
    first = _check_predictions(predictions, skeleton, config)
    if mask.shape != (first.shape[0], 1, *mask.shape[-2:]):
        raise ValueError(f"mask: expected [{first.shape[0]}, 1, H, W], got {list(mask.shape)}")
    sizes = [(int(p.shape[-2]), int(p.shape[-1])) for p in predictions[0]]
    dtype = torch.float64 if first.dtype == torch.float64 else torch.float32
    pyramid = [target.to(dtype) for target in target_pyramid(targets, sizes)]
    for stack in predictions:
        for index, (prediction, target) in enumerate(zip(stack, pyramid, strict=True)):
            if prediction.shape != target.shape:
                raise ValueError(
                    f"targets: expected {list(prediction.shape)} at scale {index}, as predicted, "
                    f"got {list(target.shape)}"
                )
    masks = [resize_mask(mask.to(dtype), size) for size in sizes]
    stack_shares = _shares(stack_weights or [1.0] * len(predictions), len(predictions), "stack_weights")
    scale_shares = _shares(config.scale_weights[: len(sizes)], len(sizes), "scale_weights")
    weights = _channel_weights(skeleton, config, first.device, dtype)
    runs = _gamma_runs(skeleton, config)
    one_map = _FusedFocalL2.apply if fused else _plain_focal_l2
    scales = torch.stack(
        [
            torch.stack(
                [
                    share * one_map(stack[scale], pyramid[scale], masks[scale], weights, runs, config)
                    for stack, share in zip(predictions, stack_shares, strict=True)
                ]
            ).sum()
            for scale in range(len(sizes))
        ]
    )
    total = (scales * scales.new_tensor(scale_shares)).sum() / (first.shape[0] if divisor is None else divisor)
    return PoseLoss(total, scales.detach())


def target_pyramid(targets: Tensor | Sequence[Tensor], sizes: Sequence[tuple[int, int]]) -> list[Tensor]:
    """Targets at each of ``sizes`` (rows, columns): adaptive average pools of a full-size tensor, or those given."""
    if isinstance(targets, Tensor):
        return [F.adaptive_avg_pool2d(targets, size) if targets.shape[-2:] != size else targets for size in sizes]
    if len(targets) != len(sizes):
        raise ValueError(f"targets: expected {len(sizes)} scales, as predicted, got {len(targets)}")
    return list(targets)


def resize_mask(mask: Tensor, size: tuple[int, int]) -> Tensor:
    """``[B, 1, H, W]`` to ``[B, 1, *size]``: bilinear between pixel centers, then 0 below `MASK_CUT`."""
    resized = F.interpolate(mask, size, mode="bilinear", align_corners=False)
    return torch.where(resized < MASK_CUT, 0.0, resized)


def _check_predictions(predictions: Sequence[Sequence[Tensor]], skeleton: Skeleton, config: LossConfig) -> Tensor:
    if len(predictions) == 0 or len(predictions[0]) == 0:
        raise ValueError("predictions: expected [stack][scale] maps, got none")
    scales = len(predictions[0])
    if scales > len(config.scale_weights):
        raise ValueError(f"predictions: expected at most {len(config.scale_weights)} scales, got {scales}")
    for index, stack in enumerate(predictions):
        if len(stack) != scales:
            raise ValueError(f"predictions: expected {scales} scales in stack {index}, got {len(stack)}")
        for prediction in stack:
            if prediction.dim() != 4 or prediction.shape[1] != skeleton.num_channels:
                raise ValueError(
                    f"predictions: expected maps [B, {skeleton.num_channels}, h, w] for skeleton {skeleton.name!r}, "
                    f"got {list(prediction.shape)}"
                )
    return predictions[0][0]


def _shares(weights: Sequence[float], count: int, name: str) -> list[float]:
    if len(weights) != count or not all(w >= 0 for w in weights) or not sum(weights) > 0:
        raise ValueError(f"{name}: expected {count} numbers, none negative and not all zero, got {list(weights)}")
    return [w / sum(weights) for w in weights]


def _channel_weights(skeleton: Skeleton, config: LossConfig, device: torch.device, dtype: torch.dtype) -> Tensor:
    """``[L + J + 2]``: part channels, keypoint channels, person mask, envelope."""
    weights = [config.part_weight] * skeleton.num_parts + [config.keypoint_weight] * skeleton.num_keypoints
    return torch.tensor([*weights, config.person_mask_weight, config.envelope_weight], device=device, dtype=dtype)


GammaRuns = tuple[tuple[int, int, float], ...]


def _gamma_runs(skeleton: Skeleton, config: LossConfig) -> GammaRuns:
    """(first channel, end, gamma) of the runs of channels that share an exponent."""
    first, last = skeleton.num_parts, skeleton.num_parts + skeleton.num_keypoints
    if config.focal_on == "all" or config.gamma == 0:
        return ((0, skeleton.num_channels, config.gamma),)
    runs = ((0, first, 0.0), (first, last, config.gamma), (last, skeleton.num_channels, 0.0))
    return tuple(run for run in runs if run[0] < run[1])


def _plain_focal_l2(
    prediction: Tensor, target: Tensor, mask: Tensor, weights: Tensor, runs: GammaRuns, config: LossConfig
) -> Tensor:
    """One map's loss, written as the equation stands."""
    total = target.new_zeros(())
    for start, end, gamma in runs:
        s, truth = prediction[:, start:end].to(target.dtype), target[:, start:end]
        loss = (s - truth) ** 2
        if gamma:
            easy = torch.where(truth >= FOREGROUND, s - config.alpha, 1 - s - config.beta)
            loss = loss * (1 - easy).abs() ** gamma
        total = total + (mask * weights[start:end, None, None] * loss).sum()
    return total


class _FusedFocalL2(torch.autograd.Function):
    """The same in chunks of samples that are worked on in place; the backward pass computes the terms again.

    It keeps references to the prediction, the target and the mask, which live anyway, and no temporaries of its own.

    Both cases of the focal factor are one expression: ``1 - Sd`` is ``S + beta`` in the background and
    ``1 + alpha - S`` in the foreground, so ``|1 - Sd| = |v|`` with ``v = S + beta - [foreground] (1 + alpha + beta)``,
    and ``dv/dS = 1``.
    """

    @staticmethod
    def forward(
        ctx: Any, prediction: Tensor, target: Tensor, mask: Tensor, weights: Tensor, runs: GammaRuns, config: LossConfig
    ) -> Tensor:
        ctx.save_for_backward(prediction, target, mask, weights)
        ctx.runs, ctx.config = runs, config
        sums = torch.zeros_like(weights)
        for rows, (start, end, gamma) in _chunks(prediction, runs):
            error, v = _error_and_factor(prediction[rows, start:end], target[rows, start:end], gamma, config)
            error.square_()
            if v is not None:
                error.mul_(_power(v.abs_(), gamma))
            sums[start:end] += error.mul_(mask[rows]).sum((0, 2, 3))
        return (sums * weights).sum()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        prediction, target, mask, weights = ctx.saved_tensors
        gradient = torch.empty_like(prediction)
        scaled = (weights * grads[0])[:, None, None]
        for rows, (start, end, gamma) in _chunks(prediction, ctx.runs):
            error, v = _error_and_factor(prediction[rows, start:end], target[rows, start:end], gamma, ctx.config)
            if v is None:
                error.mul_(2)
            else:  # d(e^2 |v|^g) = e |v|^(g-1) (2 |v| + g e sign v)
                inner = v.sign().mul_(error).mul_(gamma)
                inner.add_(v.abs_(), alpha=2)
                error.mul_(inner)
                if gamma != 1:
                    error.mul_(_power(v, gamma - 1))
            gradient[rows, start:end] = error.mul_(mask[rows]).mul_(scaled[start:end])
        return gradient, None, None, None, None, None


def _chunks(prediction: Tensor, runs: GammaRuns) -> Iterator[tuple[slice, tuple[int, int, float]]]:
    """Slices of samples, each with every run of channels cut to what `CHUNK_ELEMENTS` allows."""
    limit = CHUNK_ELEMENTS.get(prediction.device.type, CHUNK_ELEMENTS["cuda"])
    batch, _, height, width = prediction.shape
    area = max(height * width, 1)
    for start, end, gamma in runs:
        channels = min(end - start, max(limit // area, 1))
        samples = max(limit // (area * (end - start)), 1)
        for sample in range(0, batch, samples):
            for channel in range(start, end, channels):
                yield slice(sample, sample + samples), (channel, min(channel + channels, end), gamma)


def _error_and_factor(
    prediction: Tensor, target: Tensor, gamma: float, config: LossConfig
) -> tuple[Tensor, Tensor | None]:
    """New tensors ``S - S*`` and ``v``, in the target's precision."""
    s = prediction.to(target.dtype)
    error = s - target
    if not gamma:
        return error, None
    v = s + config.beta
    return error, v.add_(target >= FOREGROUND, alpha=-(1 + config.alpha + config.beta))


def _power(value: Tensor, exponent: float) -> Tensor:
    """``value ** exponent`` in place, without the cost of a general power where there is none."""
    if exponent == 1:
        return value
    return value.square_() if exponent == 2 else value.pow_(exponent)
