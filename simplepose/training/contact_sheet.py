"""A contact sheet of training samples: the keypoints, masks and targets that the network is trained with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from simplepose.data.dataset import COCODataset, Sample, collate
from simplepose.data.images import write_image
from simplepose.data.targets import make_targets
from simplepose.drawing.heatmaps import part_strength
from simplepose.drawing.people import DrawConfig, draw_poses
from simplepose.ops.config import TargetConfig
from simplepose.poses import Poses
from simplepose.skeleton.channels import MapChannels, map_channels
from simplepose.skeleton.skeleton import Skeleton

Image = NDArray[np.uint8]

PANELS = ("keypoints", "masks", "keypoint maps", "part maps")
MASKED_OUT = (0, 0, 255)  # BGR tint where the loss mask is 0
PERSON = (0, 200, 0)  # BGR tint of the person mask

HIDDEN_SCORE = 0.1
"""The score, and so the opacity, with which hidden keypoints are drawn; visible ones have score 1."""


def inspect_data(
    dataset: COCODataset,
    out: str | Path,
    *,
    count: int = 8,
    first: int = 0,
    config: TargetConfig | None = None,
    panel: int = 320,
    program: str = "",
) -> Path:
    """Write a picture of training samples, one sample per row.

    The columns show the ground-truth poses (hidden keypoints fainter), the person mask (green) with the regions that
    the loss ignores (red), the maximum over the keypoint maps and the maximum over the part maps.

    Args:
        dataset: the samples, augmented with the random numbers of its current epoch.
        out: the path of the picture; its extension selects the format.
        count: the number of samples; fewer if the data set has fewer samples from ``first`` on.
        first: index of the first sample.
        config: how targets are rendered; default: the paper's settings for the dataset's input size.
        panel: side of one panel in pixels.
        program: see `write_image`.

    Returns:
        The path of the picture.

    Raises:
        ValueError: there is no sample ``first``.
        OSError: a sample cannot be read, or the picture cannot be written.
    """
    samples = [dataset[i] for i in range(first, min(first + count, len(dataset)))]
    if not samples:
        raise ValueError(f"first: expected an index below the {len(dataset)} samples, got {first}")
    skeleton = dataset.skeleton
    targets = config or TargetConfig.for_input(dataset.size, stride=dataset.stride)
    maps = make_targets(collate(samples), skeleton, targets, scales=1).targets[0].numpy()
    channels = map_channels(skeleton, targets.encoding)
    rows = [np.hstack([_fit(p, panel) for p in _panels(s, m, channels)]) for s, m in zip(samples, maps, strict=True)]
    path = Path(out)
    write_image(path, np.vstack([_header(panel), *rows]), program)
    return path


def draw_ground_truth(image: Image, keypoints: NDArray[np.float32], skeleton: Skeleton) -> Image:
    """A copy of an image with its annotated people; hidden keypoints, and parts that end in one, are fainter.

    Args:
        image: ``[H, W, 3]`` uint8 BGR.
        keypoints: ``[P, J, 3]`` x, y in pixels of ``image`` and COCO visibility.
        skeleton: the skeleton of the keypoints.
    """
    labeled = keypoints.astype(np.float32)
    labeled[labeled[..., 2] == 0] = (np.nan, np.nan, 0)
    labeled[..., 2] = np.select([labeled[..., 2] == 2, labeled[..., 2] == 1], [1.0, HIDDEN_SCORE], 0.0)
    poses = Poses(labeled, np.ones(len(labeled), np.float32), skeleton)
    return draw_poses(image, poses, DrawConfig(min_keypoints=1))


def _panels(sample: Sample, maps: NDArray[np.float32], channels: MapChannels) -> list[Image]:
    faint = sample.image // 2 + 64
    masked = _tint(_tint(faint, sample.person_mask / 255, PERSON), 1 - sample.loss_mask / 255, MASKED_OUT)
    return [
        draw_ground_truth(sample.image, sample.keypoints, channels.skeleton),
        masked,
        _heat(sample.image, maps[channels.keypoints].max(0)),
        _heat(sample.image, part_strength(maps[channels.parts], channels.encoding).max(0)),
    ]


def _heat(image: Image, values: NDArray[np.float32]) -> Image:
    """A map as colors over the darkened image; each cell keeps its own color (nearest-neighbor resampling)."""
    side = image.shape[0]
    grown = cv2.resize(np.clip(values, 0, 1), (side, side), interpolation=cv2.INTER_NEAREST)
    colors = cv2.applyColorMap(np.rint(grown * 255).astype(np.uint8), cv2.COLORMAP_TURBO)
    alpha = np.clip(grown * 4, 0, 0.8)[..., None]
    return np.asarray(image // 2 * (1 - alpha) + colors * alpha, np.uint8)


def _tint(image: Image, mask: NDArray[Any], color: tuple[int, int, int]) -> Image:
    """Blend ``color`` over the image with opacity 0.5 x ``mask [h, w]`` (0 to 1), a fraction of the image's size."""
    alpha = 0.5 * np.kron(mask, np.ones((image.shape[0] // mask.shape[0],) * 2))[..., None]
    return np.asarray(image * (1 - alpha) + np.array(color) * alpha, np.uint8)


def _header(panel: int) -> Image:
    canvas: Any = np.full((24, panel * len(PANELS), 3), 255, np.uint8)
    for column, name in enumerate(PANELS):
        cv2.putText(canvas, name, (column * panel + 6, 17), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1, cv2.LINE_AA)
    return np.asarray(canvas, np.uint8)


def _fit(image: Image, panel: int) -> Image:
    return np.asarray(cv2.resize(image, (panel, panel), interpolation=cv2.INTER_AREA), np.uint8)
