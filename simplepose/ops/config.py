"""The settings of the ops: frozen dataclasses, checked when they are made."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from simplepose.checks import check_choice, check_count, check_flag, check_number

Shape = Literal["ellipse", "line"]
PartScore = Literal["product", "weighted_sum"]
Backend = Literal["auto", "native", "torch", "reference"]


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
        check_number(
            "keypoint_sigma", self.keypoint_sigma, least=0.01, most=1e5
        )  # float32 holds the squares and their inverses
        check_number("part_sigma", self.part_sigma, least=0.01, most=1e5)
        check_number("threshold", self.threshold, least=1e-6, below=1.0)
        check_count("stride", self.stride, 1)
        check_choice("shape", self.shape, get_args(Shape))

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
        check_number("peak_threshold", self.peak_threshold, least=1e-6, most=1e30)  # float32 holds these limits
        check_count("max_peaks", self.max_peaks, 1, MAX_PEAKS)
        check_number("part_threshold", self.part_threshold, least=0.0, most=1e30)
        check_count("num_samples", self.num_samples, 2, MAX_SAMPLES)
        check_number("min_sample_fraction", self.min_sample_fraction, above=0.0, most=1.0)
        check_choice("part_score", self.part_score, get_args(PartScore))
        check_number("min_single_score", self.min_single_score, least=0.0, most=1e30)
        check_number("join_distance", self.join_distance, least=0.0, most=1e6)
        check_number("min_join_size", self.min_join_size, least=0.0, most=1e6)
        check_count("min_keypoints", self.min_keypoints, 1)
        check_flag("reassign", self.reassign)
        check_flag("allow_shared_keypoints", self.allow_shared_keypoints)

    @property
    def min_samples(self) -> int:
        """How many samples must exceed ``part_threshold``."""
        return max(1, math.ceil(self.min_sample_fraction * self.num_samples - 1e-9))

    @classmethod
    def paper(cls, **changes: Any) -> DecodeConfig:
        """The paper's assignment (section 3.4): weighted sum, no reassignment, no joining, two keypoints or more."""
        return replace(cls(part_score="weighted_sum", reassign=False, join_distance=0.0, min_keypoints=2), **changes)


DEFAULT_TARGETS = TargetConfig()
DEFAULT_DECODE = DecodeConfig()
