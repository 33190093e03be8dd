"""The settings of the page: what its controls offer, and the checked values of what a browser sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from simplepose.checks import brief, check_choice, check_count, check_flag, check_number
from simplepose.ops.config import DecodeConfig

Layer = Literal["people", "keypoint maps", "part maps", "candidate parts"]
LAYERS: tuple[Layer, ...] = get_args(Layer)

SCALES = (0.4, 0.7, 1.0, 1.5)
"""The input scales that the page offers."""

LEAST_SIZE, MOST_SIZE, SIZE_STEP = 128, 1024, 16
"""The input sizes that the page offers, in pixels."""


@dataclass(frozen=True)
class Control:
    """A setting of `DecodeConfig` that the page offers: a slider, or a box to check where ``most`` is None."""

    name: str
    label: str
    least: float = 0.0
    most: float | None = None
    step: float = 0.01


CONTROLS = (
    Control("peak_threshold", "minimum peak (rule 1)", 0.01, 1.0),
    Control("part_threshold", "minimum sample of a part (rule 2)", 0.0, 1.0),
    Control("min_sample_fraction", "minimum fraction of such samples (rule 2)", 0.05, 1.0, 0.05),
    Control("min_single_score", "minimum score of a single keypoint (rule 5)", 0.0, 1.0),
    Control("join_distance", "distance to join fragments, 0 is off (rule 5)", 0.0, 5.0, 0.1),
    Control("max_part_ratio", "longest part x median part, 0 is off (rule 8)", 0.0, 20.0, 0.5),
    Control("reassign", "keypoints may move to a better pose (rule 4)"),
    Control("allow_shared_keypoints", "poses may share a keypoint (rule 7)"),
)
"""The settings of decoding on the page, in its order. docs/decoding.md has the rules."""


@dataclass(frozen=True)
class NetworkSettings:
    """The settings of the network's run. An invalid value raises TypeError or ValueError."""

    checkpoint: str  # one of the names that the page offers
    size: int  # pixels
    scales: tuple[float, ...] = (1.0,)
    flip: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.checkpoint, str):
            raise TypeError(f"checkpoint: expected a name, got {brief(self.checkpoint)}")
        size = check_number("input size", self.size, least=LEAST_SIZE, most=MOST_SIZE)
        object.__setattr__(self, "size", round(size))
        if not isinstance(self.scales, list | tuple) or not self.scales:
            raise ValueError(f"input scales: expected one or more, got {brief(self.scales)}")
        scales = {check_number("input scales", scale) for scale in self.scales}
        if not scales <= set(SCALES):
            raise ValueError(f"input scales: expected some of {', '.join(map(str, SCALES))}, got {brief(self.scales)}")
        object.__setattr__(self, "scales", tuple(sorted(scales)))
        check_flag("flip testing", self.flip)


@dataclass(frozen=True)
class Example:
    """A picture that the page offers, with its settings."""

    path: Path  # in the folder of the page's files
    settings: NetworkSettings


@dataclass(frozen=True)
class View:
    """What the page shows of a picture. An invalid value raises TypeError or ValueError."""

    layer: Layer = "people"
    index: int = 0  # 0: all maps of the layer; otherwise the number of one
    blend: float = 0.75  # opacity of what is drawn
    min_keypoints: int = 3  # people with fewer are neither drawn nor listed
    people: bool = False  # whether people are drawn over maps and candidate parts
    boxes: bool = False
    names: bool = False

    def __post_init__(self) -> None:
        check_choice("view", self.layer, LAYERS)
        for name, field in (("map", "index"), ("keypoints of a person", "min_keypoints")):
            number = check_number(name, getattr(self, field), least=0, most=10_000)
            object.__setattr__(self, field, check_count(name, round(number), 0))
        check_number("blend", self.blend, least=0, most=1)
        for name in ("people", "boxes", "names"):
            check_flag(name, getattr(self, name))


def decode_config(base: DecodeConfig, values: Mapping[str, Any]) -> DecodeConfig:
    """``base`` with the values of `CONTROLS` by name.

    Raises:
        TypeError, ValueError: a value is not as `DecodeConfig` expects it; the message names it.
        KeyError: a value is missing.
    """
    return replace(base, **{control.name: values[control.name] for control in CONTROLS})
