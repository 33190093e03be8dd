"""The network's settings and its presets; imports no torch, so that commands can list the presets at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from simplepose.checks import check_count
from simplepose.skeleton.skeleton import COCO, Skeleton

ORDER = 4
"""How often an hourglass halves its maps: feature maps at strides 4, 8, 16, 32 and 64."""

STRIDES = tuple(4 << k for k in range(ORDER + 1))
"""Image pixels between two cells, for each supervised scale."""

SQUEEZE = 16
"""Squeeze-and-excitation has ``width / SQUEEZE`` hidden values."""


@dataclass(frozen=True)
class ModelConfig:
    """What an IMHN is made of (DESIGN section 5); the variants of the paper's Table 1 are values, not classes."""

    stacks: int = 4  # hourglasses one after the other, 1 to 16
    width: int = 256  # channels at stride 4, a multiple of 16; the stem has width/4 and width/2
    growth: int = 128  # channels that each depth of an hourglass adds, an even number
    channels: int = COCO.num_channels  # maps: L + J + 2 of the skeleton
    spatial_attention: bool = True  # heads, and so supervision, at all five scales, not at stride 4 alone
    channel_attention: bool = True  # squeeze-and-excitation in the heads
    plain_hourglass: bool = False  # the baseline: plain stem and heads, no convolution after upsampling
    input_size: int = 512  # image height in pixels the weights are made for, a multiple of 64

    def __post_init__(self) -> None:
        check_count("stacks", self.stacks, 1, 16)
        check_count("width", self.width, SQUEEZE, 2048, SQUEEZE)
        check_count("growth", self.growth, 0, 1024, 2)
        check_count("channels", self.channels, 1, 4096)
        check_count("input_size", self.input_size, STRIDES[-1], 4096, STRIDES[-1])
        for name in ("spatial_attention", "channel_attention", "plain_hourglass"):
            if not isinstance(getattr(self, name), bool):
                raise TypeError(f"{name}: expected True or False, got {getattr(self, name)!r}")
        if self.plain_hourglass and (self.growth or self.spatial_attention or self.channel_attention):
            raise ValueError(
                "plain_hourglass: expected growth 0, spatial_attention False and channel_attention False beside it, "
                f"got {self.growth}, {self.spatial_attention} and {self.channel_attention}"
            )

    @property
    def scale_channels(self) -> tuple[int, ...]:
        """Channels of an hourglass's feature maps at strides 4 to 64."""
        return tuple(self.width + k * self.growth for k in range(ORDER + 1))

    @property
    def num_scales(self) -> int:
        """How many scales of each stack have a head: 5, or 1 without spatial attention."""
        return len(STRIDES) if self.spatial_attention else 1

    @classmethod
    def preset(cls, name: str, skeleton: Skeleton = COCO, **changes: Any) -> ModelConfig:
        """The settings of that name with the channels of ``skeleton``.

        Raises:
            ValueError: there is no such preset; the message lists those there are.
        """
        if name not in PRESETS:
            raise ValueError(f"preset: expected one of {', '.join(PRESETS)}, got {name!r}")
        return replace(PRESETS[name], **{"channels": skeleton.num_channels, **changes})

    @classmethod
    def baseline(cls, skeleton: Skeleton = COCO, **changes: Any) -> ModelConfig:
        """The plain stacked hourglass the paper starts from: constant width, one scale, no attention."""
        plain = cls(growth=0, spatial_attention=False, channel_attention=False, plain_hourglass=True)
        return replace(plain, **{"channels": skeleton.num_channels, **changes})

    def to_dict(self) -> dict[str, Any]:
        """Plain values by name, as JSON holds them; ``from_dict`` reads it back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ModelConfig:
        """The settings that ``to_dict`` wrote; every field must be there and no other."""
        known = {f.name for f in fields(cls)}
        if missing := sorted(known - data.keys()):
            raise ValueError(f"model settings: missing {', '.join(missing)}")
        if unknown := sorted(data.keys() - known):
            raise ValueError(f"model settings: unknown {', '.join(unknown)}, known are {', '.join(sorted(known))}")
        return cls(**data)


PRESETS = {
    "imhn3-384": ModelConfig(stacks=3, input_size=384),
    "imhn4-384": ModelConfig(stacks=4, input_size=384),
    "imhn4-512": ModelConfig(stacks=4, input_size=512),
    # One stack learns most in a given time on a CPU, where it has to be trained.
    "tiny": ModelConfig(stacks=1, width=64, growth=32, input_size=256),
}
"""The networks that have a name: those of the paper, and a small one that ships with its weights."""
