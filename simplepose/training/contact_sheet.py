"""A contact sheet of training samples: keypoints, masks and targets as the network gets them, to look at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from simplepose.data.dataset import COCODataset, Sample, collate
from simplepose.data.images import write_image
from simplepose.data.targets import make_targets
from simplepose.ops.config import TargetConfig
from simplepose.skeleton.skeleton import Skeleton

Image = NDArray[np.uint8]

PANELS = ("keypoints", "masks", "keypoint maps", "part maps")
HIDDEN = (0, 0, 255)  # BGR over what the loss does not see
PERSON = (0, 200, 0)  # BGR over the person mask


def inspect_data(
    dataset: COCODataset,
    out: str | Path,
    *,
    count: int = 8,
    first: int = 0,
    config: TargetConfig | None = None,
    panel: int = 320,
) -> Path:
    """Draw ``count`` samples, one a row, into a picture.

    The columns are the keypoints and parts on the image (hidden keypoints hollow), the person mask (green) and what
    the loss does not see (red), the largest keypoint map and the largest part map of each cell.

    Args:
        dataset: where the samples come from, in its present epoch.
        out: the picture's path; its ending chooses the format.
        count: how many samples; fewer if there are not as many.
        first: index of the first.
        config: how targets are drawn; default: the paper's for the dataset's size.
        panel: side of one panel in pixels.

    Raises:
        OSError, ValueError: a sample cannot be read, or the picture not written.
    """
    samples = [dataset[i] for i in range(first, min(first + count, len(dataset)))]
    if not samples:
        raise ValueError(f"first: expected less than {len(dataset)} samples, got {first}")
    skeleton = dataset.skeleton
    targets = config or TargetConfig.for_input(dataset.size, stride=dataset.stride)
    maps = make_targets(collate(samples), skeleton, targets, scales=1).targets[0].numpy()
    rows = [np.hstack([_fit(p, panel) for p in _panels(s, m, skeleton)]) for s, m in zip(samples, maps, strict=True)]
    path = Path(out)
    write_image(path, np.vstack([_header(panel), *rows]))
    return path


def draw_people(image: Image, keypoints: NDArray[np.float32], skeleton: Skeleton) -> Image:
    """A copy of ``image [H, W, 3]`` with ``keypoints [P, J, 3]``: visible ones filled, hidden ones hollow."""
    canvas: Any = image.copy()
    radius = max(2, image.shape[0] // 96)
    for person in keypoints:
        for start, end in skeleton.drawn_index:
            if person[start, 2] > 0 and person[end, 2] > 0:
                cv2.line(
                    canvas, _pixel(person[start]), _pixel(person[end]), _bgr(skeleton, end), radius // 2, cv2.LINE_AA
                )
        for kind, keypoint in enumerate(person):
            if keypoint[2] > 0:
                filled = cv2.FILLED if keypoint[2] == 2 else 1
                cv2.circle(canvas, _pixel(keypoint), radius, _bgr(skeleton, kind), filled, cv2.LINE_AA)
    return np.asarray(canvas, np.uint8)


def _panels(sample: Sample, maps: NDArray[np.float32], skeleton: Skeleton) -> list[Image]:
    parts, keypoints = skeleton.num_parts, skeleton.num_keypoints
    faint = sample.image // 2 + 64
    masked = _tint(_tint(faint, sample.person_mask / 255, PERSON), 1 - sample.loss_mask / 255, HIDDEN)
    return [
        draw_people(sample.image, sample.keypoints, skeleton),
        masked,
        _heat(sample.image, maps[parts : parts + keypoints].max(0)),
        _heat(sample.image, maps[:parts].max(0)),
    ]


def _heat(image: Image, values: NDArray[np.float32]) -> Image:
    """The map's values as colors over a faint image."""
    side = image.shape[0]
    # nearest, or the cells that the network sees would be smoothed away
    grown = cv2.resize(np.clip(values, 0, 1), (side, side), interpolation=cv2.INTER_NEAREST)
    colors = cv2.applyColorMap(np.rint(grown * 255).astype(np.uint8), cv2.COLORMAP_TURBO)
    share = np.clip(grown * 4, 0, 0.8)[..., None]
    return np.asarray(image // 2 * (1 - share) + colors * share, np.uint8)


def _tint(image: Image, share: NDArray[Any], color: tuple[int, int, int]) -> Image:
    weight = 0.5 * np.kron(share, np.ones((image.shape[0] // share.shape[0],) * 2))[..., None]
    return np.asarray(image * (1 - weight) + np.array(color) * weight, np.uint8)


def _header(panel: int) -> Image:
    canvas: Any = np.full((24, panel * len(PANELS), 3), 255, np.uint8)
    for column, name in enumerate(PANELS):
        cv2.putText(canvas, name, (column * panel + 6, 17), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1, cv2.LINE_AA)
    return np.asarray(canvas, np.uint8)


def _fit(image: Image, panel: int) -> Image:
    return np.asarray(cv2.resize(image, (panel, panel), interpolation=cv2.INTER_AREA), np.uint8)


def _pixel(keypoint: NDArray[np.float32]) -> tuple[int, int]:
    x, y = np.rint(np.clip(keypoint[:2], -1e4, 1e4)).astype(int)
    return int(x), int(y)


def _bgr(skeleton: Skeleton, kind: int) -> tuple[int, int, int]:
    red, green, blue = skeleton.colors[kind]
    return blue, green, red
