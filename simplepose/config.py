"""The settings of the ops: frozen dataclasses, checked when they are made."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

Shape = Literal["ellipse", "line"]
PartScore = Literal["product", "weighted_sum"]
Backend = Literal["auto", "native", "reference"]


MAX_PEAKS = 4096
"""Most peaks of a keypoint type; the native ops count their pairs in 32 bits."""

MAX_SAMPLES = 64
"""Most samples along a part."""


@dataclass(frozen=True)
class TargetConfig:
    """How `render_targets` draws. Lengths are image pixels; the defaults are the paper's at 512 x 512 input."""

    keypoint_sigma: float = 9.0  # standard deviation of a keypoint's Gaussian
    part_sigma: float = 7.0  # standard deviation across a part
    threshold: float = 0.015  # values below it are zero; it also sets the width of a part's ellipse
    stride: int = 4  # image pixels between two cells of the maps
    shape: Shape = "ellipse"  # "ellipse": the paper; "line": the released code, to reproduce its training

    def __post_init__(self) -> None:
        _check_number(self, "keypoint_sigma", least=0.01, most=1e5)  # float32 holds the squares and their inverses
        _check_number(self, "part_sigma", least=0.01, most=1e5)
        _check_number(self, "threshold", least=1e-6, below=1.0)
        _check_count(self, "stride", 1)
        _check_choice(self, "shape", get_args(Shape))

    @classmethod
    def for_input(cls, size: int, **changes: Any) -> TargetConfig:
        """The paper's widths for a square network input of ``size`` pixels.

        9 and 7 px at 512 and 7 and 5 px at 384 (section 4.1 of the paper); other sizes scale those of 512.
        """
        known = {512: (9.0, 7.0), 384: (7.0, 5.0)}
        keypoint, part = known.get(size, (9.0 * size / 512, 7.0 * size / 512))
        return replace(cls(keypoint_sigma=keypoint, part_sigma=part), **changes)


@dataclass(frozen=True)
class DecodeConfig:
    """The rules of grouping, by their numbers in docs/decoding.md. Lengths are cells of the maps."""

    peak_threshold: float = 0.1  # rule 1: a peak's least value
    max_peaks: int = 256  # rule 1: most peaks of one keypoint type; more are cut by score
    part_threshold: float = 0.1  # rule 2: what a sample along a part must exceed
    num_samples: int = 10  # rule 2: samples along a part, both ends included
    min_sample_fraction: float = 0.8  # rule 2: the fraction of samples that must exceed the threshold
    part_score: PartScore = (
        "product"  # rule 2: response x both scores, or the paper's 0.5 response + 0.25 (both scores)
    )
    reassign: bool = True  # rule 4: keypoints may move to the pose with the higher part score
    min_single_score: float = 0.2  # rule 5: a keypoint alone needs this score
    join_distance: float = 1.5  # rule 5: fragments join within join_distance x size; 0 skips the rule
    min_join_size: float = 10.0  # rule 5: the least size of a fragment
    min_keypoints: int = 1  # rule 6: the least number of keypoints of a pose
    allow_shared_keypoints: bool = False  # rule 7: a pose may also take a peak that another pose has

    def __post_init__(self) -> None:
        _check_number(self, "peak_threshold", least=1e-6, most=1e30)  # float32 holds these limits
        _check_count(self, "max_peaks", 1, MAX_PEAKS)
        _check_number(self, "part_threshold", least=0.0, most=1e30)
        _check_count(self, "num_samples", 2, MAX_SAMPLES)
        _check_number(self, "min_sample_fraction", above=0.0, most=1.0)
        _check_choice(self, "part_score", get_args(PartScore))
        _check_number(self, "min_single_score", least=0.0, most=1e30)
        _check_number(self, "join_distance", least=0.0, most=1e6)
        _check_number(self, "min_join_size", least=0.0, most=1e6)
        _check_count(self, "min_keypoints", 1)
        for name in ("reassign", "allow_shared_keypoints"):
            if not isinstance(getattr(self, name), bool):
                raise TypeError(f"{name}: expected True or False, got {getattr(self, name)!r}")

    @property
    def min_samples(self) -> int:
        """How many samples must exceed ``part_threshold``."""
        return max(1, math.ceil(self.min_sample_fraction * self.num_samples - 1e-9))

    @classmethod
    def paper(cls, **changes: Any) -> DecodeConfig:
        """The paper's assignment (section 3.4): weighted sum, no reassignment, no joining, two keypoints or more."""
        return replace(cls(part_score="weighted_sum", reassign=False, join_distance=0.0, min_keypoints=2), **changes)


def _check_number(
    config: Any,
    name: str,
    *,
    above: float = -math.inf,
    least: float = -math.inf,
    below: float = math.inf,
    most: float = math.inf,
) -> None:
    value = getattr(config, name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name}: expected a number, got {value!r}")
    if not (math.isfinite(value) and above < value < below and least <= value <= most):
        limits = [f"above {above:g}"] * (above > -math.inf) + [f"at least {least:g}"] * (least > -math.inf)
        limits += [f"below {below:g}"] * (below < math.inf) + [f"at most {most:g}"] * (most < math.inf)
        raise ValueError(f"{name}: expected a finite number {', '.join(limits)}, got {value!r}")


def _check_count(config: Any, name: str, least: int, most: int = 2**20) -> None:
    value = getattr(config, name)
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name}: expected an integer, got {value!r}")
    if not least <= value <= most:
        raise ValueError(f"{name}: expected {least} to {most}, got {value}")


def _check_choice(config: Any, name: str, choices: tuple[str, ...]) -> None:
    value = getattr(config, name)
    if value not in choices:
        raise ValueError(f"{name}: expected one of {', '.join(map(repr, choices))}, got {value!r}")
