"""Bottom-up multi-person pose estimation after "Simple Pose" (AAAI 2020): heatmaps in, people out."""

from simplepose.config import DecodeConfig, TargetConfig
from simplepose.skeleton import COCO, Skeleton, load_skeleton
from simplepose.targets import render_targets

__version__ = "0.1.0"

__all__ = ["COCO", "DecodeConfig", "Skeleton", "TargetConfig", "__version__", "load_skeleton", "render_targets"]
