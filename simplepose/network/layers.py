"""The building blocks of the network, from one convolution to an hourglass (docs/design.md, Network)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from simplepose.network.config import ORDER, SQUEEZE, ModelConfig

SLOPE = 0.01
"""The negative slope of every LeakyReLU."""

MAP_STD = 1e-3
"""Standard deviation of the initial weights of the output convolutions: the initial maps are near 0."""

DILATIONS = (3, 3, 4, 4, 5, 5)
"""The dilations of the stem's chain of 3x3 convolutions."""


def activate(x: Tensor) -> Tensor:
    """LeakyReLU; in place, except under torch.compile and export, which optimize out-of-place operations better."""
    return functional.leaky_relu(x, SLOPE, inplace=not torch.compiler.is_compiling())


class ConvBlock(nn.Module):
    """Convolution without bias, BatchNorm and, if ``activate`` is set, LeakyReLU; stride 1 keeps the map size."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 3,
        *,
        stride: int = 1,
        dilation: int = 1,
        activate: bool = True,
    ) -> None:
        super().__init__()
        padding = dilation * (kernel // 2)
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(outputs)
        self.activate = activate

    def forward(self, x: Tensor) -> Tensor:  # [B, inputs, H, W] -> [B, outputs, H/stride, W/stride]
        x = self.norm(self.conv(x))
        return activate(x) if self.activate else x


class Residual(nn.Module):
    """Bottleneck block: 1x1 to half the outputs, 3x3, 1x1; plus the input, through a 1x1 if the channels differ."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        half = outputs // 2
        self.reduce = ConvBlock(inputs, half, 1)
        self.spatial = ConvBlock(half, half)
        self.expand = ConvBlock(half, outputs, 1, activate=False)
        self.shortcut = ConvBlock(inputs, outputs, 1, activate=False) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:  # [B, inputs, H, W] -> [B, outputs, H, W]
        return activate(self.expand(self.spatial(self.reduce(x))) + self.shortcut(x))


class Stem(nn.Module):
    """The image to stride 4; a chain of dilated convolutions is concatenated with its own input."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        quarter, half = config.width // 4, config.width // 2
        self.conv = ConvBlock(3, quarter, 7, stride=2)
        self.widen = Residual(quarter, half)
        self.refine = Residual(half, half)
        self.dilated = nn.Sequential(*(ConvBlock(half, half, dilation=d) for d in DILATIONS))

    def forward(self, image: Tensor) -> Tensor:  # [B, 3, H, W] -> [B, width, H/4, W/4]
        x = self.widen(self.conv(image))  # [B, width/2, H/2, W/2]
        x = self.refine(functional.max_pool2d(x, 2))  # [B, width/2, H/4, W/4]
        return torch.cat([x, self.dilated(x)], 1)


class PlainStem(nn.Module):
    """The stem of the baseline: a third Residual instead of the dilated convolutions."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        quarter, half = config.width // 4, config.width // 2
        self.conv = ConvBlock(3, quarter, 7, stride=2)
        self.widen = Residual(quarter, half)
        self.refine = nn.Sequential(Residual(half, half), Residual(half, config.width))

    def forward(self, image: Tensor) -> Tensor:  # [B, 3, H, W] -> [B, width, H/4, W/4]
        return self.refine(functional.max_pool2d(self.widen(self.conv(image)), 2))


class Upsample(nn.Module):
    """Nearest-neighbor 2x upsampling, followed by a 3x3 block except in the baseline."""

    def __init__(self, channels: int, *, plain: bool) -> None:
        super().__init__()
        self.block = nn.Identity() if plain else ConvBlock(channels, channels)

    def forward(self, x: Tensor) -> Tensor:  # [B, channels, H, W] -> [B, channels, 2H, 2W]
        return self.block(functional.interpolate(x, scale_factor=2.0, mode="nearest"))


class Depth(nn.Module):
    """The layers of an hourglass at one depth: the skip branch, and both ends of the lower branch."""

    def __init__(self, outer: int, inner: int, *, plain: bool) -> None:
        super().__init__()
        self.skip = Residual(outer, outer)
        self.widen = Residual(outer, inner)
        self.narrow = Residual(inner, outer)
        self.upsample: nn.Module = Upsample(outer, plain=plain)


class Hourglass(nn.Module):
    """An hourglass: down to stride 64 and up again; each depth adds ``growth`` channels."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        widths = config.scale_channels
        plain = config.plain_hourglass
        depths = nn.ModuleList(Depth(widths[k], widths[k + 1], plain=plain) for k in range(ORDER))
        self.depths = cast(Sequence[Depth], depths)  # nn.ModuleList is not generic
        self.deepest = Residual(widths[-1], widths[-1])

    def forward(self, x: Tensor) -> list[Tensor]:
        """``[B, width, h, w]`` to the feature maps at strides 4 to 64, ``[B, width + k * growth, h/2^k, w/2^k]``."""
        skips = []
        for depth in self.depths:
            skips.append(depth.skip(x))
            x = depth.widen(functional.max_pool2d(x, 2))
        x = self.deepest(x)
        features = [x]
        for depth, skip in zip(reversed(self.depths), reversed(skips), strict=True):
            x = skip + depth.upsample(depth.narrow(x))
            features.append(x)
        return features[::-1]


class SqueezeExcitation(nn.Module):
    """Channel attention: each channel is scaled by a factor in (0, 1) computed from the means of all channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.squeeze = nn.Linear(channels, channels // SQUEEZE)
        self.excite = nn.Linear(channels // SQUEEZE, channels)

    def forward(self, x: Tensor) -> Tensor:  # [B, channels, H, W], the same out
        hidden = activate(self.squeeze(x.mean((2, 3))))  # [B, channels / SQUEEZE]
        return x * self.excite(hidden).sigmoid()[:, :, None, None]


class Head(nn.Module):
    """The head of one scale of one stack: refined features, and the maps predicted from them."""

    def __init__(self, inputs: int, config: ModelConfig) -> None:
        super().__init__()
        width = config.width
        if config.plain_hourglass:
            self.refine = nn.Sequential(Residual(inputs, width), ConvBlock(width, width, 1))
        else:
            self.refine = nn.Sequential(ConvBlock(inputs, width), ConvBlock(width, width))
        self.attention = SqueezeExcitation(width) if config.channel_attention else nn.Identity()
        self.predict = nn.Conv2d(width, config.channels, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """``[B, inputs, h, w]`` to features ``[B, width, h, w]`` and maps ``[B, channels, h, w]``."""
        features = self.attention(self.refine(x))
        return features, self.predict(features)


class Merge(nn.Module):
    """The input of the next stack at one scale: the sum of 1x1 convolutions of the head's features and of its maps."""

    def __init__(self, outputs: int, config: ModelConfig) -> None:
        super().__init__()
        self.features = ConvBlock(config.width, outputs, 1, activate=False)
        self.maps = ConvBlock(config.channels, outputs, 1, activate=False)

    def forward(self, features: Tensor, maps: Tensor) -> Tensor:  # -> [B, outputs, h, w]
        return self.features(features) + self.maps(maps)
