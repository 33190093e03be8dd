"""The settings of the ops: frozen dataclasses whose values are checked at construction."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from simplepose.checks import check_choice, check_count, check_flag, check_number
from simplepose.skeleton.channels import Encoding

Shape = Literal["ellipse", "line"]
PartScore = Literal["product", "weighted_sum"]
Backend = Literal["auto", "native", "torch", "reference"]
Alignment = Literal["center", "corner"]
"""Where cell ``i`` of a map of stride ``s`` lies: at pixel ``i * s + s / 2 - 0.5``, in the center of the pixels that it
covers, or at pixel ``i * s``, their corner."""


MAX_PEAKS = 4096
"""Upper limit of ``DecodeConfig.max_peaks``: the native ops count pairs of peaks in 32 bits."""

MAX_SAMPLES = 64
"""Upper limit of ``DecodeConfig.num_samples``."""


@dataclass(frozen=True)
class TargetConfig:
    """Settings of `render_targets`. Lengths are image pixels; the defaults are the paper's for 512 x 512 input."""

    keypoint_sigma: float = 9.0  # standard deviation of a keypoint's Gaussian
    part_sigma: float = 7.0  # standard deviation across a part
    threshold: float = 0.015  # smaller values become 0; it also sets the width of a part's ellipse
    stride: int = 4  # image pixels between two cells of the maps
    shape: Shape = "ellipse"  # of a part: "ellipse" as in the paper, "line" as in the released code
    encoding: Encoding = "parts"  # of the parts: body-part maps, or part affinity fields ("paf")
    paf_width: float = 11.0  # encoding="paf": distance from a part's line up to which its cells have its vector

    def __post_init__(self) -> None:
        # Within these limits float32 holds the squares of the widths and their inverses.
        check_number("keypoint_sigma", self.keypoint_sigma, least=0.01, most=1e5)
        check_number("part_sigma", self.part_sigma, least=0.01, most=1e5)
        check_number("threshold", self.threshold, least=1e-6, below=1.0)
        check_count("stride", self.stride, 1)
        check_choice("shape", self.shape, get_args(Shape))
        check_choice("encoding", self.encoding, get_args(Encoding))
        check_number("paf_width", self.paf_width, least=0.01, most=1e5)
        if self.encoding == "paf" and self.shape != "ellipse":
            raise ValueError(f'shape: expected "ellipse" with encoding "paf", got {self.shape!r}')

    @classmethod
    def for_input(cls, size: int, **changes: Any) -> TargetConfig:
        """The configuration with the paper's widths for a square network input of ``size`` pixels.

        ``keypoint_sigma`` and ``part_sigma`` are 9 and 7 px at 512, and 7 and 5 px at 384 (paper, section 4.1). For
        other sizes the widths at 512 are scaled. ``paf_width`` is 8 px, one cell of CMU-Pose, at 368.

        Args:
            size: height and width of the network's input in pixels.
            changes: fields that replace those of the result.
        """
        paper_widths = {512: (9.0, 7.0), 384: (7.0, 5.0)}
        keypoint, part = paper_widths.get(size, (9.0 * size / 512, 7.0 * size / 512))
        return replace(cls(keypoint_sigma=keypoint, part_sigma=part, paf_width=11.0 * size / 512), **changes)


@dataclass(frozen=True)
class DecodeConfig:
    """Settings of decoding, with the numbers of the rules in docs/decoding.md. Lengths are cells of the maps."""

    peak_threshold: float = 0.1  # rule 1: minimum value of a peak
    max_peaks: int = 256  # rule 1: maximum number of peaks of a keypoint type; those of highest score are kept
    part_threshold: float = 0.1  # rule 2: threshold of the samples along a part
    num_samples: int = 10  # rule 2: number of samples along a part, both ends included
    min_sample_fraction: float = 0.8  # rule 2: minimum fraction of samples that exceed the threshold
    part_score: PartScore = "product"  # rule 2: response x both peak scores, or the paper's "weighted_sum"
    reassign: bool = True  # rule 4: keypoints may move to the pose with the higher part score
    max_part_ratio: float = 6.0  # rule 8: parts longer than this x the pose's median part are cut; 0 skips the rule
    min_cut_length: float = 15.0  # rule 8: shorter parts are never cut
    min_single_score: float = 0.2  # rule 5: minimum score of a single keypoint
    join_distance: float = 1.5  # rule 5: fragments join within join_distance x size; 0 skips the rule
    min_join_size: float = 10.0  # rule 5: minimum size of a fragment
    min_keypoints: int = 1  # rule 6: minimum number of keypoints of a pose
    allow_shared_keypoints: bool = False  # rule 7: poses may share a peak
    encoding: Encoding = "parts"  # of the part maps: body-part maps, or part affinity fields ("paf")
    length_penalty: bool = False  # rule 2 with "paf": lower the response of parts longer than half the maps' height

    def __post_init__(self) -> None:
        check_number("peak_threshold", self.peak_threshold, least=1e-6, most=1e30)  # float32 holds these limits
        check_count("max_peaks", self.max_peaks, 1, MAX_PEAKS)
        check_number("part_threshold", self.part_threshold, least=0.0, most=1e30)
        check_count("num_samples", self.num_samples, 2, MAX_SAMPLES)
        check_number("min_sample_fraction", self.min_sample_fraction, above=0.0, most=1.0)
        check_choice("part_score", self.part_score, get_args(PartScore))
        check_number("max_part_ratio", self.max_part_ratio, least=0.0, most=1e6)
        check_number("min_cut_length", self.min_cut_length, least=0.0, most=1e6)
        check_number("min_single_score", self.min_single_score, least=0.0, most=1e30)
        check_number("join_distance", self.join_distance, least=0.0, most=1e6)
        check_number("min_join_size", self.min_join_size, least=0.0, most=1e6)
        check_count("min_keypoints", self.min_keypoints, 1)
        check_flag("reassign", self.reassign)
        check_flag("allow_shared_keypoints", self.allow_shared_keypoints)
        check_choice("encoding", self.encoding, get_args(Encoding))
        check_flag("length_penalty", self.length_penalty)
        if self.length_penalty and self.encoding != "paf":
            raise ValueError(f'length_penalty: expected encoding "paf" with it, got {self.encoding!r}')

    @property
    def min_samples(self) -> int:
        """The minimum number of samples that exceed ``part_threshold``."""
        return max(1, math.ceil(self.min_sample_fraction * self.num_samples - 1e-9))

    @classmethod
    def paper(cls, **changes: Any) -> DecodeConfig:
        """The paper's assignment (section 3.4): weighted sum, rules 4, 5 and 8 off, at least two keypoints.

        Args:
            changes: fields that replace those of the result.
        """
        paper = cls(part_score="weighted_sum", reassign=False, max_part_ratio=0.0, join_distance=0.0, min_keypoints=2)
        return replace(paper, **changes)

    @classmethod
    def cmu_pose(cls, **changes: Any) -> DecodeConfig:
        """The rules of CMU-Pose (CVPR 2017) for part affinity fields; use it with a spanning tree of parts.

        A sample counts if its vector exceeds 0.05 along the pair, 80% of 10 samples must count (section 2.3, equation
        11, which samples the integral of equation 10), long parts are penalized, and a pair needs a response above 0
        after that. Parts are assigned greedily (section 2.4), nothing is reassigned or joined, and a pose has at least
        two keypoints. The part score is `paper`'s weighted sum; CMU-Pose ranks by the response.

        Args:
            changes: fields that replace those of the result.
        """
        values = {"encoding": "paf", "part_threshold": 0.05, "length_penalty": True}
        return cls.paper(**{**values, **changes})


DEFAULT_TARGETS = TargetConfig()
DEFAULT_DECODE = DecodeConfig()
