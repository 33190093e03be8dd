"""OpenPose's JSON output: one file ``keypoints/STEM_keypoints.json`` for each image.

Keys and values are those of OpenPose's documentation (doc/02_output.md, version 1.3): ``people`` with ``person_id`` and
``pose_keypoints_2d`` ``[x, y, score, ...]`` in pixels; a missing keypoint is ``0, 0, 0``. The lists of face, hands and
3-D keypoints are empty.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np

from simplepose.io.formats.image_files import INDEX, image_file_writer, image_files
from simplepose.io.formats.source import Content, Inputs, Write
from simplepose.io.json_text import to_json
from simplepose.poses import Poses
from simplepose.skeleton.skeleton import Skeleton

FOLDER, ENDING = "keypoints", "_keypoints.json"
VERSION = 1.3

KEYPOINTS = (
    "nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist",
    "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle", "right_eye", "left_eye",
    "right_ear", "left_ear",
)  # fmt: skip
"""The order of OpenPose's model COCO with 18 keypoints, by the names of the skeleton "coco"."""

EMPTY = (
    "face_keypoints_2d", "hand_left_keypoints_2d", "hand_right_keypoints_2d",
    "pose_keypoints_3d", "face_keypoints_3d", "hand_left_keypoints_3d", "hand_right_keypoints_3d",
)  # fmt: skip
"""Keys whose lists are empty."""


def keypoint_order(skeleton: Skeleton) -> list[int]:
    """The keypoint types in the order of the file: `KEYPOINTS` if the skeleton has these names, else its own order."""
    if set(skeleton.keypoints) != set(KEYPOINTS):
        return list(range(skeleton.num_keypoints))
    return [skeleton.keypoints.index(name) for name in KEYPOINTS]


def files(folder: Path, inputs: Inputs) -> dict[Path, list[str]]:
    """The names of the files by folder."""
    return {folder: [INDEX], folder / FOLDER: image_files(folder / FOLDER, inputs, ENDING)}


def writer(folder: Path, inputs: Inputs, content: Content) -> AbstractContextManager[Write]:
    """Writes the files of all images."""
    return image_file_writer(folder / FOLDER, folder / INDEX, inputs, ENDING, lambda source, poses: text(poses))


def text(poses: Poses) -> str:
    """The content of the file of one image. ``person_id`` is the identity of a tracked person, otherwise -1."""
    keypoints = poses.keypoints[:, keypoint_order(poses.skeleton)].astype(float)
    keypoints[keypoints[..., 2] <= 0] = 0
    ids = np.full(len(poses), -1) if poses.track_ids is None else poses.track_ids
    people = [
        {
            "person_id": [number],
            "pose_keypoints_2d": [round(v, 3) for v in person.ravel().tolist()],
            **{key: [] for key in EMPTY},
        }
        for number, person in zip(ids.tolist(), keypoints, strict=True)
    ]
    return to_json({"version": VERSION, "people": people}) + "\n"
