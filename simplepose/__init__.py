"""Bottom-up multi-person pose estimation after "Simple Pose" (AAAI 2020): heatmaps in, people out."""

from simplepose.config import DecodeConfig, TargetConfig
from simplepose.decode import decode
from simplepose.ops import assign_keypoints, find_peaks, match_parts
from simplepose.poses import Poses
from simplepose.results import CandidateParts, Peaks
from simplepose.skeleton import COCO, Skeleton, load_skeleton
from simplepose.targets import render_targets

__version__ = "0.1.0"

__all__ = [
    "COCO",
    "CandidateParts",
    "DecodeConfig",
    "Peaks",
    "Poses",
    "Skeleton",
    "TargetConfig",
    "__version__",
    "assign_keypoints",
    "decode",
    "find_peaks",
    "load_skeleton",
    "match_parts",
    "render_targets",
]
