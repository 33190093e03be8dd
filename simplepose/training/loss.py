"""The loss: masked focal L2 over stacks and scales (paper, section 3.3, equations 2 and 3; docs/design.md, Loss).

As in the paper, with ``S`` the predicted and ``S*`` the target value of a pixel::

    Sd = S - alpha        where S* >= 0.01 (foreground)
         1 - S - beta     elsewhere (background)                                  (equation 3)
    FL = sum over pixels and channels of  W * w_c * (S - S*)^2 * |1 - Sd|^gamma   (equation 2)

``W`` is the loss mask (0 in unannotated regions) and ``w_c`` the weight of the channel. The factor
``|1 - Sd|^gamma`` gives easy pixels a small weight. The gradient flows through the factor as well.

`_focal_l2` computes these lines literally. `_FusedFocalL2` writes both cases of the factor as one expression:
``1 - Sd`` is ``1 + alpha - S`` in the foreground and ``S + beta`` in the background, so with

    v = S + beta - [S* >= 0.01] (1 + alpha + beta)

``|v| = |1 - Sd|`` in both cases, since ``v = S - 1 - alpha = -(1 - Sd)`` in the foreground and ``v = 1 - Sd`` in the
background. ``dv/dS = 1`` everywhere, which makes the backward pass one expression too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from simplepose.checks import brief, check_choice, check_number
from simplepose.skeleton.channels import Encoding, MapChannels, map_channels
from simplepose.skeleton.skeleton import COCO, Skeleton

FOREGROUND = float(np.float32(0.01))
"""Target values of at least this are foreground (equation 3). Rounded to float32, so that a float32 0.01 qualifies."""

MASK_THRESHOLD = 0.5
"""Values of a resized mask below this become 0; larger ones stay fractional."""

CHUNK_ELEMENTS = {"cpu": 2**18, "cuda": 2**25}
"""Elements that the fused form processes at a time: they fit the cache of a core, or occupy a whole GPU."""

FocalOn = Literal["all", "keypoints"]


@dataclass(frozen=True)
class LossConfig:
    """The parameters of the loss; the defaults are the paper's focal L2 (equations 2 and 3, section 3.3)."""

    gamma: float = 2.0  # exponent of the focal factor; 0 is plain L2
    alpha: float = 0.1  # the factor of a foreground pixel is 0 at S = 1 + alpha
    beta: float = 0.02  # the factor of a background pixel is 0 at S = -beta
    focal_on: FocalOn = "all"  # "keypoints": plain L2 on the other channels (a row of the paper's Table 1)
    part_weight: float = 1.0
    keypoint_weight: float = 3.0  # the paper's lambda
    person_mask_weight: float = 0.1
    envelope_weight: float = 1.0
    scale_weights: tuple[float, ...] = (0.1, 0.2, 0.4, 1.6, 6.4)  # from the finest scale on; normalized to sum 1

    def __post_init__(self) -> None:
        check_number("gamma", self.gamma, least=0, most=100)
        if 0 < self.gamma < 1:
            raise ValueError(f"gamma: expected 0 or at least 1 (else its gradient is infinite), got {self.gamma!r}")
        names = ("alpha", "beta", "part_weight", "keypoint_weight", "person_mask_weight", "envelope_weight")
        for name in names:
            check_number(name, getattr(self, name), least=0, most=1e6)
        check_choice("focal_on", self.focal_on, get_args(FocalOn))
        if not isinstance(self.scale_weights, tuple) or not self.scale_weights:
            raise ValueError(f"scale_weights: expected a list of positive numbers, got {brief(self.scale_weights)}")
        for weight in self.scale_weights:
            check_number("scale_weights", weight, above=0, most=1e6)

    @classmethod
    def released(cls, **changes: Any) -> LossConfig:
        """Focal L2 as in the training of the released weights: gamma 1, alpha = beta = 0."""
        return replace(cls(gamma=1.0, alpha=0.0, beta=0.0), **changes)

    @classmethod
    def l2(cls, **changes: Any) -> LossConfig:
        """Plain L2 with the same weights, for the first part of the schedule."""
        return replace(cls(gamma=0.0), **changes)


class PoseLoss(NamedTuple):
    """The result of `pose_loss`."""

    total: Tensor  # scalar, float32 (float64 for float64 predictions); call backward() on it
    scales: Tensor  # [S] loss of each scale before scale weights and divisor, detached, for logs


def pose_loss(
    predictions: Sequence[Sequence[Tensor]],
    targets: Tensor | Sequence[Tensor],
    mask: Tensor,
    *,
    skeleton: Skeleton = COCO,
    config: LossConfig | None = None,
    encoding: Encoding = "parts",
    stack_weights: Sequence[float] | None = None,
    divisor: float | None = None,
    fused: bool = True,
) -> PoseLoss:
    """Focal L2 (equations 2 and 3 of the paper, in the module's docstring), weighted over scales and stacks.

    The loss is summed over pixels and channels, then averaged over scales and stacks by their weights and divided by
    the batch size. Half-precision predictions are converted to float32 first.

    Args:
        predictions: ``[stack][scale]`` maps ``[B, L + J + 2, h, w]``, from the largest scale to the smallest. With
            fewer scales than ``config.scale_weights`` the first weights are used, normalized to sum 1.
        targets: ``[B, L + J + 2, H, W]`` float, which is average-pooled to each scale; or one tensor per scale.
        mask: ``[B, 1, H, W]``: 0 where there is no ground truth, 1 elsewhere; fractions are allowed.
        skeleton: defines which channels are parts and which are keypoints.
        config: the parameters; default `LossConfig()`, the paper's focal L2.
        encoding: of the part maps. The loss of part affinity fields, whose values have a sign, is always plain L2.
        stack_weights: one per stack, normalized to sum 1; default: equal weights.
        divisor: the sum is divided by it; default: ``B``.
        fused: whether to use the fused form. It needs no temporary tensors of the size of the maps and saves only its
            inputs for the backward pass; it does not support double backward. False: plain autograd, the reference of
            the tests.

    Raises:
        ValueError: shapes or counts do not fit together.
    """
    config = config or LossConfig()
    channels = map_channels(skeleton, encoding)
    first = _check_predictions(predictions, channels, config)
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
    stack_factors = _normalized(stack_weights or [1.0] * len(predictions), len(predictions), "stack_weights")
    scale_factors = _normalized(config.scale_weights[: len(sizes)], len(sizes), "scale_weights")
    weights = _channel_weights(channels, config, first.device, dtype)
    runs = _gamma_runs(channels, config)
    focal_l2 = _FusedFocalL2.apply if fused else _focal_l2
    scales = torch.stack(
        [
            torch.stack(
                [
                    factor * focal_l2(stack[scale], pyramid[scale], masks[scale], weights, runs, config)
                    for stack, factor in zip(predictions, stack_factors, strict=True)
                ]
            ).sum()
            for scale in range(len(sizes))
        ]
    )
    total = (scales * scales.new_tensor(scale_factors)).sum() / (first.shape[0] if divisor is None else divisor)
    return PoseLoss(total, scales.detach())


def target_pyramid(targets: Tensor | Sequence[Tensor], sizes: Sequence[tuple[int, int]]) -> list[Tensor]:
    """Targets at each of ``sizes`` (rows, columns): average pools of a tensor; a list is returned as it is."""
    if isinstance(targets, Tensor):
        return [F.adaptive_avg_pool2d(targets, size) if targets.shape[-2:] != size else targets for size in sizes]
    if len(targets) != len(sizes):
        raise ValueError(f"targets: expected {len(sizes)} scales, as predicted, got {len(targets)}")
    return list(targets)


def resize_mask(mask: Tensor, size: tuple[int, int]) -> Tensor:
    """``[B, 1, H, W]`` to ``[B, 1, *size]``: bilinear (align_corners false), then 0 below `MASK_THRESHOLD`."""
    resized = F.interpolate(mask, size, mode="bilinear", align_corners=False)
    return torch.where(resized < MASK_THRESHOLD, 0.0, resized)


def _check_predictions(predictions: Sequence[Sequence[Tensor]], channels: MapChannels, config: LossConfig) -> Tensor:
    if len(predictions) == 0 or len(predictions[0]) == 0:
        raise ValueError("predictions: expected [stack][scale] maps, got none")
    scales = len(predictions[0])
    if scales > len(config.scale_weights):
        raise ValueError(f"predictions: expected at most {len(config.scale_weights)} scales, got {scales}")
    for index, stack in enumerate(predictions):
        if len(stack) != scales:
            raise ValueError(f"predictions: expected {scales} scales in stack {index}, got {len(stack)}")
        for prediction in stack:
            if prediction.dim() != 4 or prediction.shape[1] != channels.num_channels:
                raise ValueError(
                    f"predictions: expected maps [B, {channels.num_channels}, h, w] for skeleton "
                    f"{channels.skeleton.name!r}, "
                    f"got {list(prediction.shape)}"
                )
    return predictions[0][0]


def _normalized(weights: Sequence[float], count: int, name: str) -> list[float]:
    """The weights divided by their sum."""
    if len(weights) != count or not all(w >= 0 for w in weights) or not sum(weights) > 0:
        raise ValueError(f"{name}: expected {count} numbers, none negative and not all zero, got {list(weights)}")
    return [w / sum(weights) for w in weights]


def _channel_weights(channels: MapChannels, config: LossConfig, device: torch.device, dtype: torch.dtype) -> Tensor:
    """``[L + J + 2]``: part channels, keypoint channels, person mask, envelope."""
    keypoints = channels.skeleton.num_keypoints
    weights = [config.part_weight] * channels.num_parts + [config.keypoint_weight] * keypoints
    return torch.tensor([*weights, config.person_mask_weight, config.envelope_weight], device=device, dtype=dtype)


GammaRuns = tuple[tuple[int, int, float], ...]


def _gamma_runs(channels: MapChannels, config: LossConfig) -> GammaRuns:
    """(first channel, end, gamma) of the runs of channels that share an exponent."""
    first, last, end = channels.num_parts, channels.num_maps, channels.num_channels
    everywhere = config.focal_on == "all"
    if config.gamma == 0 or (everywhere and channels.encoding == "parts"):
        return ((0, end, config.gamma),)
    runs = ((0, first, 0.0), (first, last, config.gamma), (last, end, config.gamma if everywhere else 0.0))
    return tuple(run for run in runs if run[0] < run[1])


def _focal_l2(
    prediction: Tensor, target: Tensor, mask: Tensor, weights: Tensor, runs: GammaRuns, config: LossConfig
) -> Tensor:
    """The loss of one stack and scale, literally as in equations 2 and 3."""
    total = target.new_zeros(())
    for start, end, gamma in runs:
        s, s_target = prediction[:, start:end].to(target.dtype), target[:, start:end]
        loss = (s - s_target) ** 2
        if gamma:
            s_d = torch.where(s_target >= FOREGROUND, s - config.alpha, 1 - s - config.beta)
            loss = loss * (1 - s_d).abs() ** gamma
        total = total + (mask * weights[start:end, None, None] * loss).sum()
    return total


class _FusedFocalL2(torch.autograd.Function):
    """`_focal_l2` computed in place, chunk by chunk; the backward pass recomputes the terms.

    It saves only the prediction, the target and the mask, which exist anyway. See the module's docstring for ``v``.
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
    """Slices of samples and runs of channels of at most `CHUNK_ELEMENTS` elements."""
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
    """New tensors ``S - S*`` and ``v`` (None for plain L2), in the precision of the target."""
    s = prediction.to(target.dtype)
    error = s - target
    if not gamma:
        return error, None
    v = s + config.beta
    return error, v.add_(target >= FOREGROUND, alpha=-(1 + config.alpha + config.beta))


def _power(value: Tensor, exponent: float) -> Tensor:
    """``value ** exponent`` in place; exponents 1 and 2 avoid the general power function."""
    if exponent == 1:
        return value
    return value.square_() if exponent == 2 else value.pow_(exponent)
