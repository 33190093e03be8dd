"""CMU-Net, the network of CMU-Pose ("Realtime Multi-Person 2D Pose Estimation using Part Affinity Fields", CVPR 2017).

    image -> VGG-19 to stride 8 -> features
    stage 1: features -> maps; later stages: features and the maps of the stage before -> maps

It is the baseline of the paper's Table 1. The stages are the ``[stack]`` outputs of the other networks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from simplepose.network.base import PoseNetwork, check_input
from simplepose.network.config import ModelConfig
from simplepose.network.layers import MAP_STD

IMAGE_CENTER = 0.5
"""Subtracted from the image: the network has no normalization layers."""


class ConvReLU(nn.Conv2d):
    """Convolution of odd kernel with bias, then ReLU; the map keeps its size."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3) -> None:
        super().__init__(inputs, outputs, kernel, padding=kernel // 2)

    def forward(self, x: Tensor) -> Tensor:  # [B, inputs, H, W] -> [B, outputs, H, W]
        return functional.relu(super().forward(x))


class Front(nn.Sequential):
    """The image to features at stride 8: the first ten convolutions of VGG-19, then two to ``width`` channels."""

    def __init__(self, width: int) -> None:
        half, double, most = width // 2, 2 * width, 4 * width  # of CMU-Pose: 64, 256 and 512 channels
        super().__init__(
            *(ConvReLU(3, half), ConvReLU(half, half), nn.MaxPool2d(2)),
            *(ConvReLU(half, width), ConvReLU(width, width), nn.MaxPool2d(2)),
            *(ConvReLU(width, double), ConvReLU(double, double), ConvReLU(double, double), ConvReLU(double, double)),
            nn.MaxPool2d(2),
            *(ConvReLU(double, most), ConvReLU(most, most)),
            *(ConvReLU(most, double), ConvReLU(double, width)),
        )


class Branch(nn.Module):
    """The layers of one stage that predict ``outputs`` maps; ``joined``: channels of the maps that it also reads."""

    def __init__(self, width: int, joined: int, outputs: int) -> None:
        super().__init__()
        if not joined:  # stage 1
            hidden = 4 * width
            layers = [
                ConvReLU(width, width),
                ConvReLU(width, width),
                ConvReLU(width, width),
                ConvReLU(width, hidden, 1),
            ]
            self.join: nn.Module = nn.Identity()
        else:
            hidden = width
            layers = [*(ConvReLU(width, width, 7) for _ in range(4)), ConvReLU(width, width, 1)]
            self.join = ConvReLU(width + joined, width, 7)
        self.layers = nn.Sequential(*layers)
        self.predict = nn.Conv2d(hidden, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:  # [B, width + joined, h, w] -> [B, outputs, h, w]
        return cast(Tensor, self.predict(self.layers(self.join(x))))


class Stage(nn.Module):
    """One stage: one branch for all maps, or one for the parts and one for the other maps."""

    def __init__(self, config: ModelConfig, *, first: bool) -> None:
        super().__init__()
        parts = config.part_channels
        outputs = [parts, config.channels - parts] if parts else [config.channels]
        joined = 0 if first else config.channels
        branches = nn.ModuleList(Branch(config.width, joined, channels) for channels in outputs)
        self.branches = cast(Sequence[Branch], branches)  # nn.ModuleList is not generic

    def forward(self, x: Tensor) -> Tensor:  # [B, width + joined, h, w] -> [B, channels, h, w]
        return torch.cat([branch(x) for branch in self.branches], 1)


class CMUNet(PoseNetwork):
    """The network: VGG-19 to stride 8, then stages that each predict all maps from the features and the maps before."""

    def __init__(self, config: ModelConfig) -> None:
        if config.kind != "cmu":
            raise ValueError(f'config: expected kind "cmu", got {config.kind!r}; build_model takes every kind')
        super().__init__(config)
        self.front = Front(config.width)
        stages = nn.ModuleList(Stage(config, first=i == 0) for i in range(config.stacks))
        self.stages = cast(Sequence[Stage], stages)
        self._initialize()

    def forward(self, x: Tensor, all_outputs: bool = False) -> Tensor | list[list[Tensor]]:
        """See `PoseNetwork.forward`: the last stage's maps at stride 8, or those of every stage, one scale each."""
        check_input(x, self.config.multiple)
        features = self.front(x - IMAGE_CENTER)  # [B, width, H/8, W/8]
        maps = self.stages[0](features)  # [B, channels, H/8, W/8]
        outputs = [[maps]]
        for stage in self.stages[1:]:
            maps = stage(torch.cat([features, maps], 1))
            outputs.append([maps])
        return outputs if all_outputs else maps

    def _initialize(self) -> None:
        """Kaiming normal for layers with ReLU; the output maps start near 0."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                nn.init.zeros_(module.get_parameter("bias"))
        for module in self.modules():
            if isinstance(module, Branch):
                nn.init.normal_(module.predict.weight, std=MAP_STD)
