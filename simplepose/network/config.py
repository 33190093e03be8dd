"""The settings of the network and its presets; imports no torch, so that commands can list the presets quickly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, get_args

from simplepose.checks import brief, check_choice, check_count, check_flag
from simplepose.skeleton.channels import Encoding, map_channels
from simplepose.skeleton.skeleton import COCO, Skeleton

ORDER = 4
"""The number of times that an hourglass halves its maps: strides 4, 8, 16, 32 and 64."""

STRIDES = tuple(4 << k for k in range(ORDER + 1))
"""Image pixels between the centers of two cells, for each supervised scale."""

SQUEEZE = 16
"""Reduction ratio of squeeze-and-excitation: its hidden layer has ``width / SQUEEZE`` units."""


CMU_STRIDE = 8
"""Image pixels between two cells of the maps of "cmu"."""

Kind = Literal["imhn", "mobile", "cmu"]

ADDED = ("kind", "encoder", "up_widths", "up_blocks", "part_channels", "encoding")
"""Settings that checkpoints of older versions lack: they take their defaults there."""


@dataclass(frozen=True)
class ModelConfig:
    """The architecture of a network (docs/design.md, Network); the variants of the paper's Table 1 are values of it.

    The kind "mobile" has one stack, no growth, and ``width`` channels in its heads. The kind "cmu" (`ModelConfig.cmu`)
    has stages as stacks, and neither growth nor attention.
    """

    stacks: int = 4  # number of stacked hourglasses, 1 to 16; of "cmu": of stages
    width: int = 256  # channels at stride 4, a multiple of 16; the stem has width/4 and width/2; of "cmu": of a stage
    growth: int = 128  # channels that each depth of an hourglass adds, an even number
    channels: int = COCO.num_channels  # output maps: L + J + 2 of the skeleton; 2 L + J + 2 with encoding "paf"
    spatial_attention: bool = True  # heads and supervision at all five scales; False: at stride 4 only
    channel_attention: bool = True  # squeeze-and-excitation in the heads
    plain_hourglass: bool = False  # the paper's baseline: plain stem and heads, no convolution after upsampling
    input_size: int = 512  # image height in pixels that the weights are trained for, a multiple of `multiple`
    kind: Kind = "imhn"  # "imhn": the paper's network; "mobile": an image encoder and its heads; "cmu": CMU-Pose's
    encoder: str = "movenet"  # kind="mobile": the name of the encoder (`simplepose.network.encoder`)
    up_widths: tuple[int, ...] = (96, 96, 128, 160)  # kind="mobile": channels at strides 4, 8, 16 and 32, even numbers
    up_blocks: tuple[int, ...] = (2, 2, 1)  # kind="mobile": residual blocks at strides 4, 8 and 16, 0 to 16 each
    part_channels: int = 0  # kind="cmu": maps of the first of two branches of a stage; 0: one branch for all maps
    encoding: Encoding = "parts"  # of the part maps: body-part maps, or part affinity fields ("paf")

    def __post_init__(self) -> None:
        check_count("stacks", self.stacks, 1, 16)
        check_count("width", self.width, SQUEEZE, 2048, SQUEEZE)
        check_count("growth", self.growth, 0, 1024, 2)
        check_count("channels", self.channels, 1, 4096)
        check_choice("kind", self.kind, get_args(Kind))
        check_choice("encoding", self.encoding, get_args(Encoding))
        check_count("input_size", self.input_size, self.multiple, 4096, self.multiple)
        check_count("part_channels", self.part_channels, 0, self.channels - 1)
        for name, count, limits in (("up_widths", 4, (2, 2048, 2)), ("up_blocks", 3, (0, 16))):
            values = getattr(self, name)
            if not isinstance(values, tuple) or len(values) != count:
                raise TypeError(f"{name}: expected a tuple of {count} integers, got {brief(values)}")
            for value in values:
                check_count(name, value, *limits)
        if not isinstance(self.encoder, str):
            raise TypeError(f"encoder: expected a name, got {brief(self.encoder)}")
        if self.kind == "mobile" and (self.stacks != 1 or self.growth or self.plain_hourglass):
            raise ValueError(
                'kind: expected stacks 1, growth 0 and plain_hourglass False with "mobile", '
                f"got {self.stacks}, {self.growth} and {self.plain_hourglass}"
            )
        if self.kind == "cmu" and (
            self.growth or self.plain_hourglass or self.spatial_attention or self.channel_attention
        ):
            raise ValueError(
                'kind: expected growth 0 and no attention or plain_hourglass with "cmu", '
                f"got {self.growth}, {self.spatial_attention}, {self.channel_attention} and {self.plain_hourglass}"
            )
        if self.part_channels and self.kind != "cmu":
            raise ValueError(f'part_channels: expected 0 unless kind is "cmu", got {self.part_channels}')
        for name in ("spatial_attention", "channel_attention", "plain_hourglass"):
            check_flag(name, getattr(self, name))
        if self.plain_hourglass and (self.growth or self.spatial_attention or self.channel_attention):
            raise ValueError(
                "plain_hourglass: expected growth 0, spatial_attention False and channel_attention False with it, "
                f"got {self.growth}, {self.spatial_attention} and {self.channel_attention}"
            )

    @property
    def scale_channels(self) -> tuple[int, ...]:
        """Channels of an hourglass's feature maps at strides 4 to 64."""
        return tuple(self.width + k * self.growth for k in range(ORDER + 1))

    @property
    def stride(self) -> int:
        """Image pixels between two cells of the maps that are decoded: 8 of "cmu", else 4."""
        return CMU_STRIDE if self.kind == "cmu" else STRIDES[0]

    @property
    def multiple(self) -> int:
        """Height and width of the input are multiples of this number of pixels: its coarsest maps fit the image."""
        return CMU_STRIDE if self.kind == "cmu" else STRIDES[-1]

    @property
    def strides(self) -> tuple[int, ...]:
        """The stride of each supervised scale."""
        return tuple(self.stride << k for k in range(self.num_scales))

    @property
    def num_scales(self) -> int:
        """The number of supervised scales of a stack: 5 (of "mobile" 3), or 1 without spatial attention."""
        if not self.spatial_attention:
            return 1
        return len(self.up_blocks) if self.kind == "mobile" else len(STRIDES)

    @classmethod
    def preset(cls, name: str, skeleton: Skeleton = COCO, **changes: Any) -> ModelConfig:
        """The preset ``name`` with the channels of ``skeleton`` and with ``changes``.

        Raises:
            ValueError: unknown preset; the message lists the known ones.
        """
        if name not in PRESETS:
            raise ValueError(f"preset: expected one of {', '.join(PRESETS)}, got {brief(name)}")
        return _for_skeleton(PRESETS[name], skeleton, changes)

    def for_skeleton(self, skeleton: Skeleton) -> ModelConfig:
        """These settings with the channels of ``skeleton`` and of the encoding."""
        layout = map_channels(skeleton, self.encoding)
        part_channels = layout.num_parts if self.part_channels else 0
        return replace(self, channels=layout.num_channels, part_channels=part_channels)

    @classmethod
    def cmu(cls, skeleton: Skeleton = COCO, *, branches: int = 1, **changes: Any) -> ModelConfig:
        """CMU-Net: six stages at stride 8, 368 pixels; ``branches`` 1 for all maps of a stage, or 2 as in CMU-Pose."""
        check_count("branches", branches, 1, 2)
        plain = cls(
            kind="cmu",
            stacks=6,
            width=128,
            growth=0,
            input_size=368,
            spatial_attention=False,
            channel_attention=False,
            part_channels=branches - 1,
        )
        return _for_skeleton(plain, skeleton, changes)

    @classmethod
    def baseline(cls, skeleton: Skeleton = COCO, **changes: Any) -> ModelConfig:
        """The paper's baseline, a plain stacked hourglass: constant width, one scale, no attention."""
        plain = cls(growth=0, spatial_attention=False, channel_attention=False, plain_hourglass=True)
        return _for_skeleton(plain, skeleton, changes)

    def to_dict(self) -> dict[str, Any]:
        """The settings as JSON values by name; ``from_dict`` is the inverse."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ModelConfig:
        """The settings that ``to_dict`` wrote; those that older versions lack (`ADDED`) may be missing.

        Raises:
            ValueError: a field is missing, unknown or invalid.
            TypeError: a value has the wrong type.
        """
        if not isinstance(data, Mapping):
            raise TypeError(f"model settings: expected an object, got {brief(data)}")
        known = {f.name for f in fields(cls)}
        if missing := sorted(known - data.keys() - set(ADDED)):
            raise ValueError(f"model settings: missing {', '.join(missing)}")
        if unknown := sorted(data.keys() - known):
            raise ValueError(f"model settings: unknown {', '.join(unknown)}, known are {', '.join(sorted(known))}")
        lists = {name: tuple(value) for name, value in data.items() if isinstance(value, list)}  # tuples before JSON
        return cls(**{**data, **lists})


def _for_skeleton(config: ModelConfig, skeleton: Skeleton, changes: Mapping[str, Any]) -> ModelConfig:
    """``config`` with the channels of ``skeleton`` in the encoding of ``changes``, and with these changes."""
    encoded = replace(config, encoding=changes.get("encoding", config.encoding))
    return replace(encoded.for_skeleton(skeleton), **changes)


PRESETS = {
    "imhn3-384": ModelConfig(stacks=3, input_size=384),
    "imhn4-384": ModelConfig(stacks=4, input_size=384),
    "imhn4-512": ModelConfig(stacks=4, input_size=512),
    "cmu3-368": ModelConfig.cmu(stacks=3),
    # Trained on a CPU: in a given time one stack reaches the highest AP.
    "tiny": ModelConfig(stacks=1, width=64, growth=32, input_size=256),
    # For photos: an encoder that was trained on people.
    "photo": ModelConfig(kind="mobile", stacks=1, width=96, growth=0, input_size=320),
}
"""The named networks: those of the paper (CMU-Net is its baseline), and two whose weights ship with the package."""
