"""The network "mobile": an encoder's pyramid of features, an up-way to stride 4, and the paper's heads.

It has the shape of one IMHN stack (docs/design.md, Network) whose down-way is an image encoder:

    image -> encoder -> features at strides 4, 8, 16, 32
    stride 32 -> bottom (and a block at stride 64) -> up to 16 -> up to 8 -> up to 4
    heads at strides 4, 8, 16: maps, as the hourglass's scales (the last two for training)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from simplepose.network.base import PoseNetwork, check_input
from simplepose.network.config import ModelConfig
from simplepose.network.depthwise import depthwise
from simplepose.network.encoder import Encoder, build_encoder, register_encoder
from simplepose.network.layers import MAP_STD, SLOPE, ConvBlock, Residual, SqueezeExcitation, activate
from simplepose.network.movenet import MoveNetEncoder

register_encoder("movenet", MoveNetEncoder)


class Depthwise(nn.Conv2d):
    """A convolution of each channel by itself, without bias; the map keeps its size."""

    def __init__(self, channels: int, kernel: int = 3) -> None:
        super().__init__(channels, channels, kernel, padding=kernel // 2, groups=channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:  # [B, channels, H, W], the same out
        return depthwise(self, x)


class SeparableBlock(nn.Sequential):
    """Depthwise 3x3, then a 1x1 block: `ConvBlock` with a ninth of the products, for stride 4."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(Depthwise(inputs), ConvBlock(inputs, outputs, 1))


class Up(nn.Module):
    """One step of the up-way: the deeper features enlarged, plus the encoder's features, then blocks."""

    def __init__(self, deeper: int, encoded: int, outputs: int, blocks: int, *, separable: bool) -> None:
        super().__init__()
        self.narrow = ConvBlock(deeper, outputs, 1, activate=False)
        self.lateral = ConvBlock(encoded, outputs, 1, activate=False)
        first = SeparableBlock(outputs, outputs) if separable else ConvBlock(outputs, outputs)
        self.mix = nn.Sequential(first, *(Residual(outputs, outputs) for _ in range(blocks)))

    def forward(self, deeper: Tensor, encoded: Tensor) -> Tensor:
        """``[B, deeper, h/2, w/2]`` and ``[B, encoded, h, w]`` to ``[B, outputs, h, w]``."""
        return cast(Tensor, self.mix(activate(enlarge(self.narrow(deeper)) + self.lateral(encoded))))


class MobileHead(nn.Module):
    """The head of one scale: refined features, channel attention, maps. At stride 4 the encoder's maps join them."""

    def __init__(self, inputs: int, config: ModelConfig, *, num_maps: int = 0, separable: bool = False) -> None:
        super().__init__()
        width = config.width
        blocks = (
            [SeparableBlock(inputs, width), SeparableBlock(width, width)] if separable else [ConvBlock(inputs, width)]
        )
        self.refine = nn.Sequential(*blocks)
        self.attention = SqueezeExcitation(width) if config.channel_attention else nn.Identity()
        self.blur = Depthwise(num_maps, 5) if num_maps else None
        self.predict = nn.Conv2d(width + 2 * num_maps, config.channels, 1)

    def forward(self, x: Tensor, maps: Tensor | None = None) -> Tensor:
        """Features ``[B, inputs, h, w]`` and the encoder's maps ``[B, num_maps, h, w]`` to ``[B, channels, h, w]``."""
        x = self.attention(self.refine(x))
        if self.blur is not None and maps is not None:
            x = torch.cat([x, maps, self.blur(maps)], 1)
        return cast(Tensor, self.predict(x))


class MobilePose(PoseNetwork):
    """The network: encoder, up-way, and one head per scale.

    Args:
        config: a configuration of kind "mobile"; its ``encoder`` names the encoder.
        encoder: an encoder to use instead of a new one of that name.
    """

    def __init__(self, config: ModelConfig, encoder: Encoder | None = None) -> None:
        if config.kind != "mobile":
            raise ValueError(f'config: expected kind "mobile", got {config.kind!r}; build_model takes every kind')
        super().__init__(config)
        encoder = build_encoder(config.encoder) if encoder is None else encoder
        widths, encoded, scales = config.up_widths, encoder.channels, range(len(config.up_blocks))
        self.bottom = nn.Sequential(ConvBlock(encoded[3], widths[3], 1), Residual(widths[3], widths[3]))
        self.deepest = Residual(widths[3], widths[3])
        ups = (Up(widths[k + 1], encoded[k], widths[k], config.up_blocks[k], separable=k == 0) for k in scales)
        self.ups = cast(Sequence[Up], nn.ModuleList(ups))
        heads = (
            MobileHead(widths[k], config, num_maps=encoder.num_maps if k == 0 else 0, separable=k == 0)
            for k in range(config.num_scales)
        )
        self.heads = cast(Sequence[MobileHead], nn.ModuleList(heads))
        self._initialize()
        self.encoder = encoder  # keeps its own initial weights

    def forward(self, x: Tensor, all_outputs: bool = False) -> Tensor | list[list[Tensor]]:
        """See `PoseNetwork.forward`: the maps at stride 4, or one stack of maps at strides 4, 8 and 16."""
        check_input(x, self.config.multiple)
        encoded, maps = self.encoder(x)
        deep = self.bottom(encoded[3])  # [B, up_widths[3], H/32, W/32]
        deep = deep + enlarge(self.deepest(functional.max_pool2d(deep, 2)))
        features: list[Tensor] = []  # from stride 4 on: [B, up_widths[k], H/s, W/s]
        for up, lateral in zip(reversed(self.ups), reversed(encoded[:3]), strict=True):
            deep = up(deep, lateral)
            features.insert(0, deep)
        finest = self.heads[0](features[0], maps)
        if not all_outputs:
            return finest
        coarser = [head(f) for head, f in zip(self.heads[1:], features[1:], strict=False)]
        return [[finest, *coarser]]

    def _initialize(self) -> None:
        """As in IMHN: Kaiming normal; the last BatchNorm of each Residual and the output maps start at 0."""
        if next(self.parameters()).is_meta:
            return  # no values yet: those of a checkpoint follow
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                mode: Literal["fan_in", "fan_out"] = "fan_out" if module.groups == 1 else "fan_in"
                nn.init.kaiming_normal_(module.weight, a=SLOPE, mode=mode, nonlinearity="leaky_relu")
        for module in self.modules():
            if isinstance(module, Residual):
                nn.init.zeros_(module.expand.norm.get_parameter("weight"))
            elif isinstance(module, MobileHead):
                nn.init.normal_(module.predict.weight, std=MAP_STD)
                nn.init.zeros_(module.predict.get_parameter("bias"))


def enlarge(x: Tensor) -> Tensor:
    """``[B, C, h, w]`` to ``[B, C, 2h, 2w]`` by nearest neighbors."""
    return functional.interpolate(x, scale_factor=2.0, mode="nearest")
