"""Bottom-up multi-person pose estimation after "Simple Pose" (AAAI 2020): heatmaps in, people out."""

from typing import TYPE_CHECKING, Any

from simplepose.info import info
from simplepose.ops.assign_keypoints import assign_keypoints
from simplepose.ops.candidates import CandidateParts, Peaks
from simplepose.ops.config import DecodeConfig, TargetConfig
from simplepose.ops.decode import decode
from simplepose.ops.find_peaks import find_peaks
from simplepose.ops.match_parts import match_parts
from simplepose.ops.render_targets import render_targets
from simplepose.poses import Poses
from simplepose.skeleton.skeleton import COCO, Skeleton, load_skeleton

if TYPE_CHECKING:
    from simplepose.drawing.people import DrawConfig as DrawConfig
    from simplepose.drawing.people import draw_poses as draw_poses
    from simplepose.inference.predictor import Predictor as Predictor
    from simplepose.network.checkpoint import load_model as load_model

__version__ = "0.1.0"

__all__ = [
    "COCO",
    "CandidateParts",
    "DecodeConfig",
    "DrawConfig",
    "Peaks",
    "Poses",
    "Predictor",
    "Skeleton",
    "TargetConfig",
    "__version__",
    "assign_keypoints",
    "decode",
    "draw_poses",
    "find_peaks",
    "info",
    "load_model",
    "load_skeleton",
    "match_parts",
    "render_targets",
]

_LAZY = {
    "DrawConfig": "simplepose.drawing.people",
    "Predictor": "simplepose.inference.predictor",
    "draw_poses": "simplepose.drawing.people",
    "load_model": "simplepose.network.checkpoint",
}
"""Names that need torch or OpenCV; their modules are imported when they are used."""


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'simplepose' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_LAZY])
