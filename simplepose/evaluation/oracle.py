"""Oracle AP: the AP of the decoder on maps rendered from annotations, without a network.

See docs/design.md, Inference and evaluation. The result depends on the decoder alone: the people are those of real
images, and the maps are perfect or have synthetic errors.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simplepose.checks import describe
from simplepose.data.annotations import Annotations
from simplepose.evaluation.coco import Result, check_people, evaluate_keypoints
from simplepose.io.arrays import as_maps, load_arrays
from simplepose.ops.assign_keypoints import assign_keypoints
from simplepose.ops.config import DecodeConfig, TargetConfig
from simplepose.ops.find_peaks import find_peaks
from simplepose.ops.match_parts import match_parts
from simplepose.ops.render_targets import render_targets
from simplepose.poses import Poses
from simplepose.skeleton.channels import PER_PART, map_channels
from simplepose.skeleton.skeleton import COCO, Skeleton

SHIFT = (0.137, 0.291)
"""Shift of annotated keypoints in pixels. Annotated coordinates are integers; the shift avoids ties between cells."""

PADDING = 64
"""Image sizes are padded to a multiple of this, as before the network."""

NOISE = {"least_response": 0.3, "dropped_keypoints": 0.04, "dropped_parts": 0.10, "blur": 2.0, "std": 0.03}


@dataclass
class OracleReport:
    """The result of an oracle evaluation."""

    metrics: dict[str, float]
    images: int
    people_found: int
    people_annotated: int
    milliseconds: dict[str, float] = field(default_factory=dict)  # mean per image, by operation


def image_keypoints(annotations: Annotations, image_id: int) -> NDArray[np.float32]:
    """``[P, J, 3]``: the annotated people of an image, moved by `SHIFT`."""
    keypoints = annotations.keypoints(image_id)
    keypoints[..., :2] += np.array(SHIFT, np.float32)
    return keypoints


def oracle_maps(
    keypoints: NDArray[np.float32],
    image_size: tuple[int, int],
    *,
    noise_seed: int | None = None,
    skeleton: Skeleton = COCO,
    config: TargetConfig | None = None,
) -> NDArray[np.float32]:
    """``[L + J, H, W]``: the maps of a perfect network, or maps with synthetic errors.

    Args:
        keypoints: ``[P, J, 3]`` in image pixels.
        image_size: height and width in pixels; padded to multiples of 64.
        noise_seed: None: perfect maps. With a seed, the maps of each person are multiplied by a factor from U(0.3, 1),
            4% of the keypoints and 10% of the parts of each person are missing, and blurred normal noise is added.
        skeleton: defines the channels.
        config: how parts and keypoints are rendered.
    """
    config = config or TargetConfig()
    height, width = (-(-side // PADDING) * PADDING for side in image_size)
    if noise_seed is None:
        return render_targets(keypoints, (height, width), skeleton, config)
    rng = np.random.default_rng(noise_seed)
    people, layout = len(keypoints), map_channels(skeleton, config.encoding)
    response = rng.uniform(NOISE["least_response"], 1, (people, 1)).astype(np.float32)
    dropped_parts = rng.random((people, skeleton.num_parts)) < NOISE["dropped_parts"]
    dropped = np.concatenate(
        [
            np.repeat(dropped_parts, PER_PART[config.encoding], axis=1),
            rng.random((people, skeleton.num_keypoints)) < NOISE["dropped_keypoints"],
        ],
        axis=1,
    )
    factor = np.where(dropped, np.float32(0), response)
    maps = np.zeros((layout.num_maps, height // config.stride, width // config.stride), np.float32)
    fields = np.zeros_like(maps[layout.parts])
    covered = np.zeros_like(fields)  # people that cover a cell of a field
    for person, weight in zip(keypoints, factor, strict=True):
        clean = render_targets(person[None], (height, width), skeleton, config)
        maps = np.maximum(maps, clean * weight[:, None, None])
        if config.encoding == "paf":
            field = clean[layout.parts]
            fields += field * weight[layout.parts, None, None]
            covered += np.repeat((field != 0).reshape(-1, 2, *field.shape[1:]).any(1), 2, axis=0)
    if config.encoding == "paf":  # as in targets, the mean over people
        maps[layout.parts] = fields / np.maximum(covered, 1)
    return maps + _blurred_noise(rng, maps.shape)


def _blurred_noise(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:
    import cv2

    noise = rng.standard_normal(shape, np.float32)
    blurred = np.stack([cv2.GaussianBlur(channel, (0, 0), NOISE["blur"]) for channel in noise])
    return blurred * np.float32(NOISE["std"] / blurred.std())


MapSource = Callable[[int], NDArray[np.float32]]
"""Returns the maps of an image by its id."""


def annotation_maps(annotations: Annotations, noisy: bool, config: TargetConfig | None = None) -> MapSource:
    """Maps rendered from annotations with ``config``; the id of an image is the seed of its noise.

    The source raises ValueError for an image whose height and width are not annotated.
    """

    def maps(image_id: int) -> NDArray[np.float32]:
        image = annotations.images[image_id]
        if not image.height or not image.width:
            raise ValueError(f"{annotations.path}: image {image_id}: expected 'height' and 'width', got nothing")
        seed = image_id % 2**63 if noisy else None  # seeds are not negative
        size = (image.height, image.width)
        keypoints = image_keypoints(annotations, image_id)
        return oracle_maps(keypoints, size, noise_seed=seed, skeleton=annotations.skeleton, config=config)

    return maps


def stored_maps(path: str) -> tuple[list[int], MapSource]:
    """The image ids and maps of an NPZ file with ``maps [N, C, H, W]`` (int16 in 1/1024, or float) and ``image_ids``.

    Raises:
        ValueError: the file is not such an NPZ; the message names it.
    """
    arrays = load_arrays(path)
    if not {"maps", "image_ids"} <= arrays.keys():
        raise ValueError(f"{path}: expected arrays 'maps' and 'image_ids', got {', '.join(arrays) or 'none'}")
    stored, ids = arrays["maps"], arrays["image_ids"]
    if ids.ndim != 1 or ids.dtype.kind not in "iu":
        raise ValueError(f"{path}: image_ids: expected integers [N], got {describe(ids)}")
    if stored.ndim != 4 or len(stored) != len(ids):
        raise ValueError(f"{path}: maps: expected [{len(ids)}, C, H, W], one for each image id, got {describe(stored)}")
    index = {int(image_id): row for row, image_id in enumerate(ids)}
    if len(index) != len(ids):
        raise ValueError(f"{path}: image_ids: expected each id once, got {len(ids)} ids of {len(index)} images")
    as_maps(path, stored[:0])  # the dtype
    return list(index), lambda image_id: as_maps(path, stored[index[image_id]])


def run_oracle(
    annotations: Annotations,
    maps: MapSource,
    image_ids: Iterable[int],
    *,
    config: DecodeConfig | None = None,
    stride: int = 4,
    backend: str = "auto",
    progress: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> OracleReport:
    """Decode the maps of all images and evaluate the poses against the annotations.

    Args:
        annotations: the ground truth.
        maps: the source of the maps.
        image_ids: the images.
        config: the settings of the decoder.
        stride: image pixels between two cells of the maps.
        backend: as in `decode`.
        progress: wraps the iterable of images, for example with a progress bar.

    Raises:
        ValueError: there is no person to evaluate.
    """
    ids = list(image_ids)
    check_people(annotations, ids)
    results: list[Result] = []
    times = {"find_peaks": 0.0, "match_parts": 0.0, "assign_keypoints": 0.0}
    for image_id in progress(ids):
        settings = {"skeleton": annotations.skeleton, "config": config or DecodeConfig(), "backend": backend}
        poses = _timed_decode(maps(image_id), settings, stride, times)
        results += poses.to_coco(image_id, annotations.category)
    metrics = evaluate_keypoints(annotations, results, ids)
    annotated = sum(not person.ignored for i in ids for person in annotations.images[i].people)
    return OracleReport(
        metrics, len(ids), len(results), annotated, {k: 1000 * v / max(len(ids), 1) for k, v in times.items()}
    )


def _timed_decode(maps: NDArray[np.float32], settings: dict[str, Any], stride: int, times: dict[str, float]) -> Poses:
    def timed(stage: str, call: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        start = time.perf_counter()
        value = call(*arguments, **settings, **options)
        times[stage] += time.perf_counter() - start
        return value

    peaks = timed("find_peaks", find_peaks, maps)
    parts = timed("match_parts", match_parts, maps, peaks)
    poses: list[Poses] = timed("assign_keypoints", assign_keypoints, peaks, parts, stride=stride)
    return poses[0]


def progress_bar(description: str) -> Callable[[Iterable[int]], Iterator[int]]:
    """A progress bar for `run_oracle`; it is shown on a terminal only."""
    from tqdm import tqdm

    return lambda items: iter(tqdm(items, description, unit="image", disable=None))
