"""Bottom-up multi-person pose estimation after "Simple Pose" (AAAI 2020): heatmaps in, people out."""

from typing import TYPE_CHECKING, Any

from simplepose.ops.config import DecodeConfig, TargetConfig
from simplepose.ops.decode import decode
from simplepose.info import info
from simplepose.ops.assign_keypoints import assign_keypoints, find_peaks, match_parts
from simplepose.poses import Poses
from simplepose.ops.candidates import CandidateParts, Peaks
from simplepose.skeleton.skeleton import COCO, Skeleton, load_skeleton
from simplepose.ops.render_targets import render_targets

if TYPE_CHECKING:
    from simplepose.network.checkpoint import load_model as load_model
    from simplepose.inference.predictor import Predictor as Predictor

__version__ = "0.1.0"

__all__ = [
    "COCO",
    "CandidateParts",
    "DecodeConfig",
    "Peaks",
    "Poses",
    "Predictor",
    "Skeleton",
    "TargetConfig",
    "__version__",
    "assign_keypoints",
    "decode",
    "find_peaks",
    "info",
    "load_model",
    "load_skeleton",
    "match_parts",
    "render_targets",
]

_LAZY = {"Predictor": "simplepose.predict", "load_model": "simplepose.network.checkpoint"}
"""Names that need torch, imported when they are used: decoding NumPy maps must not wait for it."""


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'simplepose' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_LAZY])
