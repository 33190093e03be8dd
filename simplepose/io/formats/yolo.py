"""YOLO pose labels: ``labels/STEM.txt`` for each image, with a line for each person, and ``data.yaml``.

A line is ``0 x y w h`` and ``x y v`` for each keypoint: class, center and size of the box, then the keypoints in the
order of the data set (Ultralytics' documentation, Pose Estimation Datasets Overview). Lengths are fractions of the
image's width and height; v is 2 for a detected keypoint and 0 for a missing one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from simplepose.io.atomic import atomic_write
from simplepose.io.formats.image_files import INDEX, image_file_writer, image_files
from simplepose.io.formats.source import Content, Inputs, Source, Write
from simplepose.poses import Poses
from simplepose.skeleton.skeleton import Skeleton

LABELS, DATA, ENDING = "labels", "data.yaml", ".txt"


def files(folder: Path, inputs: Inputs) -> dict[Path, list[str]]:
    """The names of the files by folder."""
    return {folder: [DATA, INDEX], folder / LABELS: image_files(folder / LABELS, inputs, ENDING)}


@contextmanager
def writer(folder: Path, inputs: Inputs, content: Content) -> Iterator[Write]:
    """Writes the labels of all images, and ``data.yaml`` at the end."""
    with image_file_writer(folder / LABELS, folder / INDEX, inputs, ENDING, text) as write:
        yield write
    with atomic_write(folder / DATA) as temporary:
        temporary.write_text(data_text(content.skeleton), encoding="utf-8")


def text(source: Source, poses: Poses) -> str:
    """The labels of one image.

    Positions are clipped to the image, since readers refuse labels outside of it. A person without any keypoint of the
    data set, for example with only a neck, is left out.
    """
    height, width = source.size
    lines = []
    for person in poses.keypoints[:, poses.skeleton.dataset_index].astype(float):
        found = person[:, 2] > 0
        if not found.any():
            continue
        xy = np.zeros((len(person), 2))
        xy[found] = np.clip(person[found, :2] / [width, height], 0, 1)
        low, high = xy[found].min(0), xy[found].max(0)
        box = " ".join(f"{v:.6f}" for v in (*(low + high) / 2, *high - low))
        keypoints = " ".join(f"{x:.6f} {y:.6f} {2 * int(f)}" for (x, y), f in zip(xy, found, strict=True))
        lines.append(f"0 {box} {keypoints}\n")
    return "".join(lines)


def data_text(skeleton: Skeleton) -> str:
    """The fields of ``data.yaml`` that describe the keypoints; the user adds ``path``, ``train`` and ``val``."""
    names = skeleton.dataset_keypoints
    mirrored = (skeleton.keypoints[skeleton.keypoint_flip[j]] for j in skeleton.dataset_index)
    flip = [names.index(other if other in names else name) for name, other in zip(names, mirrored, strict=True)]
    return (
        f"kpt_shape: [{len(names)}, 3]\n"
        f"flip_idx: {flip}\n"
        "names:\n  0: person\n"
        f"kpt_names:\n  0: {json.dumps(list(names))}\n"
    )
