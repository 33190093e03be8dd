"""The layouts of OpenPose's networks COCO-18 and BODY_25.

Sources: the OpenPose documents "Output" (keypoint order of BODY_25) and "Heatmap Output" (order of the maps, pairs and
map indices of BODY_25; the channels 19 and 20 of COCO-18 as an example), doc/02_output.md and
doc/advanced/heatmap_output.md of https://github.com/CMU-Perceptual-Computing-Lab/openpose; an earlier version of the
first (doc/output.md) prints the keypoints, pairs and map indices of COCO-18.

- **Channels:** keypoints, background, then the fields. ``getPoseMapIndex`` gives the channels of x and y of each part.
  The output of BODY_25 has 78 channels, that of COCO-18 has 57. OpenPose can leave the background out.
- **Stride:** 8 for the output of the network: its features are those of VGG-19 after three poolings (CVPR 2017), so a
  cell covers 8 x 8 pixels. OpenPose enlarges the maps to the size of its network's input before it hands them out or
  writes them: pass ``stride=1`` for those.
- **Values:** those of the network (``--heatmaps_scale 3``), not the integers that OpenPose writes by default.
"""

from __future__ import annotations

from typing import NamedTuple

from simplepose.adapters.paf import PafLayout
from simplepose.skeleton.names import NamePair
from simplepose.skeleton.skeleton import COCO, Skeleton

STRIDE = 8

FEET = ("left_big_toe", "left_small_toe", "left_heel", "right_big_toe", "right_small_toe", "right_heel")
FOOT_SIGMAS = (0.068, 0.066, 0.066, 0.092, 0.094, 0.094)
"""The keypoints of the feet in the order of COCO-WholeBody, and its OKS constants for them (ECCV 2020)."""


class _Numbers(NamedTuple):
    """What OpenPose's documents print: its pairs of keypoints, and for each the channel of x; y follows."""

    keypoints: tuple[str, ...]
    pairs: tuple[int, ...]
    x_channels: tuple[int, ...]  # counted from the first field


_COCO18 = _Numbers(
    (
        *("nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist"),
        *("right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle"),
        *("right_eye", "left_eye", "right_ear", "left_ear"),
    ),
    (
        *(1, 2, 1, 5, 2, 3, 3, 4, 5, 6, 6, 7, 1, 8, 8, 9, 9, 10, 1, 11, 11, 12, 12, 13),
        *(1, 0, 0, 14, 14, 16, 0, 15, 15, 17, 2, 16, 5, 17),
    ),
    (12, 20, 14, 16, 22, 24, 0, 2, 4, 6, 8, 10, 28, 30, 34, 32, 36, 18, 26),
)

_BODY_25 = _Numbers(
    (
        *("nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist"),
        *("mid_hip", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle"),
        *("right_eye", "left_eye", "right_ear", "left_ear", *FEET),
    ),
    (
        *(1, 8, 1, 2, 1, 5, 2, 3, 3, 4, 5, 6, 6, 7, 8, 9, 9, 10, 10, 11, 8, 12, 12, 13, 13, 14),
        *(1, 0, 0, 15, 15, 17, 0, 16, 16, 18, 2, 17, 5, 18, 14, 19, 19, 20, 14, 21, 11, 22, 22, 23, 11, 24),
    ),
    (0, 14, 22, 16, 18, 24, 26, 6, 2, 4, 8, 10, 12, 30, 32, 36, 34, 38, 20, 28, 40, 42, 44, 46, 48, 50),
)


def _layout(name: str, numbers: _Numbers, feet: tuple[str, ...], derived: dict[str, tuple[str, ...]]) -> PafLayout:
    names = numbers.keypoints
    parts: tuple[NamePair, ...] = tuple(
        (names[a], names[b]) for a, b in zip(numbers.pairs[::2], numbers.pairs[1::2], strict=True)
    )
    sides = tuple((side, side.replace("left_", "right_")) for side in names if side.startswith("left_"))
    skeleton = Skeleton(
        name,
        names,
        parts,
        left_right=sides,
        dataset_keypoints=COCO.dataset_keypoints + feet,
        derived=tuple(derived.items()),
        sigmas=COCO.sigmas + FOOT_SIGMAS[: len(feet)],
    )
    fields = tuple((x, x + 1) for x in numbers.x_channels)
    return PafLayout(skeleton, tuple(range(len(names))), fields, STRIDE, STRIDE, background=1)


COCO18 = _layout("openpose-coco18", _COCO18, (), {"neck": ("left_shoulder", "right_shoulder")})
"""COCO-18: COCO's 17 keypoints and the neck, 19 parts, 57 channels. ``COCO18.decode(output)`` gives the people."""

BODY_25 = _layout(
    "openpose-body25",
    _BODY_25,
    FEET,
    {"neck": ("left_shoulder", "right_shoulder"), "mid_hip": ("left_hip", "right_hip")},
)
"""BODY_25: COCO's 17 keypoints, the neck, the middle of the hips and 6 of the feet, 26 parts, 78 channels."""
