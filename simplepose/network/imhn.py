"""IMHN, the identity mapping hourglass network: image to keypoint and part heatmaps (docs/design.md, Network)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from torch import Tensor, nn

from simplepose.network.base import PoseNetwork, check_input
from simplepose.network.config import PRESETS, STRIDES, ModelConfig
from simplepose.network.layers import MAP_STD, SLOPE, Head, Hourglass, Merge, PlainStem, Residual, Stem

__all__ = ["IMHN", "PRESETS", "STRIDES", "ModelConfig"]


class Stack(nn.Module):
    """One hourglass with one head per scale and, unless it is the last stack, one merge per scale."""

    def __init__(self, config: ModelConfig, *, last: bool) -> None:
        super().__init__()
        widths = config.scale_channels[: config.num_scales]
        self.hourglass = Hourglass(config)
        self.heads = cast(Sequence[Head], nn.ModuleList(Head(width, config) for width in widths))
        self.merges = cast(Sequence[Merge], nn.ModuleList(Merge(width, config) for width in widths if not last))


class IMHN(PoseNetwork):
    """The network: a stem, then stacks that each predict all maps and pass features and maps on to the next stack.

    Attributes:
        config: the `ModelConfig` of the architecture.
    """

    def __init__(self, config: ModelConfig) -> None:
        if config.kind != "imhn":
            raise ValueError(f'config: expected kind "imhn", got {config.kind!r}; build_model takes every kind')
        super().__init__(config)
        self.stem = PlainStem(config) if config.plain_hourglass else Stem(config)
        stacks = nn.ModuleList(Stack(config, last=i == config.stacks - 1) for i in range(config.stacks))
        self.stacks = cast(Sequence[Stack], stacks)  # nn.ModuleList is not generic
        self._initialize()

    def forward(self, x: Tensor, all_outputs: bool = False) -> Tensor | list[list[Tensor]]:
        """The maps of a batch of images.

        Args:
            x: ``[B, 3, H, W]`` in [0, 1], BGR, H and W multiples of 64.
            all_outputs: return the maps of every stack and supervised scale, for training. Otherwise only the heads and
                merges of stride 4 are computed, because those of the other strides do not influence them.

        Returns:
            The last stack's ``[B, channels, H/4, W/4]``, or ``[stack][scale]`` of
            ``[B, channels, H/stride, W/stride]`` for strides 4 to 64.

        Raises:
            ValueError: the shape of ``x`` is not as above.
        """
        check_input(x, self.config.multiple)
        scales = self.config.num_scales if all_outputs else 1
        outputs: list[list[Tensor]] = []
        merged: list[Tensor] = []  # merges of the previous stack, one per scale: [B, width + k * growth, h/2^k, w/2^k]
        x = self.stem(x)  # [B, width, h, w] with h = H/4
        for stack in self.stacks:
            features = stack.hourglass(x)[:scales]  # shapes as merged
            if merged:
                features = [f + m for f, m in zip(features, merged, strict=True)]
            heads = [head(f) for head, f in zip(stack.heads, features, strict=False)]  # one per requested scale
            outputs.append([maps for _, maps in heads])
            merged = [merge(*head) for merge, head in zip(stack.merges, heads, strict=False)]
            if merged:
                x = x + merged[0]
        return outputs if all_outputs else outputs[-1][0]

    def _initialize(self) -> None:
        """Initialize convolutions by Kaiming normal, and the last BatchNorm of each Residual and the output maps to 0.

        A Residual then starts as its shortcut, so that a deep network passes the signal on unchanged at first.
        """
        if next(self.parameters()).is_meta:
            return  # no values yet: those of a checkpoint follow
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, a=SLOPE, mode="fan_out", nonlinearity="leaky_relu")
        for module in self.modules():
            if isinstance(module, Residual):
                nn.init.zeros_(module.expand.norm.get_parameter("weight"))
            elif isinstance(module, Head):
                nn.init.normal_(module.predict.weight, std=MAP_STD)
                nn.init.zeros_(module.predict.get_parameter("bias"))
