"""Augmentation: one random affine (and color) transform a sample, for image, masks and keypoints alike."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from simplepose.checks import check_choice, check_number
from simplepose.data.annotations import Person

Frame = Literal["person", "image"]

GRAY = np.array([0.114, 0.587, 0.299])
"""The weights of blue, green and red in the luma of ITU-R BT.601."""

POLYGON_BITS = 4
"""Polygons are drawn at 1/16 pixel."""


@dataclass(frozen=True)
class AugmentConfig:
    """How samples are chosen and transformed; the defaults are the paper's training (DESIGN section 7)."""

    frame: Frame = "person"  # "person": a sample for each main person; "image": for each image, all of it in view
    person_size: float = 0.6  # frame="person": the longer side of the main person's box, as a share of the input
    scale: tuple[float, float] = (0.7, 1.3)  # random factor, uniform
    rotation: float = 40.0  # degrees either way, uniform
    shift: float = 50.0  # input pixels either way on each axis, uniform
    flip: float = 0.5  # probability
    jitter: float = 0.2  # brightness, contrast and saturation each times 1 - jitter to 1 + jitter, uniform
    border: tuple[int, int, int] = (124, 127, 127)  # BGR outside the image
    min_keypoints: int = 5  # a main person has as many labeled, or half of what a small skeleton has
    min_area: float = 32.0 * 32.0  # and this area, in image pixels
    min_distance: float = 0.3  # and a box center further than this x the longer box side from each earlier one's

    def __post_init__(self) -> None:
        check_choice("frame", self.frame, get_args(Frame))
        if not (len(self.scale) == 2 and 0 < self.scale[0] <= self.scale[1] < math.inf):
            raise ValueError(f"scale: expected two positive numbers, the lower first, got {self.scale!r}")
        limits = {"person_size": 10.0, "rotation": 180.0, "shift": 1e4, "flip": 1.0, "jitter": 1.0}
        for name, most in {**limits, "min_keypoints": 1e4, "min_area": 1e12, "min_distance": 1e4}.items():
            least = 0.01 if name == "person_size" else 0
            check_number(name, getattr(self, name), least=least, most=most)
        if len(self.border) != 3 or not all(0 <= c <= 255 for c in self.border):
            raise ValueError(f"border: expected three values from 0 to 255, got {self.border!r}")

    @classmethod
    def none(cls, frame: Frame = "image", **changes: Any) -> AugmentConfig:
        """Nothing random: whole images (or main persons, for ``frame="person"``), upright and in their colors."""
        plain = cls(frame=frame, scale=(1.0, 1.0), rotation=0.0, shift=0.0, flip=0.0, jitter=0.0)
        return replace(plain, **changes)


class Transform(NamedTuple):
    """What is done to one sample."""

    matrix: NDArray[np.float64]  # [2, 3] image pixels to input pixels, centers at integers
    flipped: bool  # left and right change their names
    color: NDArray[np.float64] | None  # [3, 4] BGR1 to BGR, None: as it is


def draw_transform(
    config: AugmentConfig,
    rng: np.random.Generator,
    box: Sequence[float],
    size: int,
    side: float,
    corner: bool = False,
) -> Transform:
    """Draw one transform; the same number of random values whatever the settings.

    Args:
        config: the ranges.
        rng: the sample's own generator.
        box: x, y, width, height (COCO's convention) of what comes to the center of the input, or to its corner.
        size: the input's width and height, pixels.
        side: how long the longer side of ``box`` becomes at scale 1, input pixels.
        corner: at scale 1 without shift and rotation the box comes to the upper left corner, as `Frame` places images.
    """
    factor, turn, shift_x, shift_y, flip, *color = rng.random(8)
    x, y, width, height = box
    unscaled = side / max(width, height, 1.0)
    scale = unscaled * (config.scale[0] + factor * (config.scale[1] - config.scale[0]))
    angle = math.radians(config.rotation * (2 * turn - 1))
    flipped = bool(flip < config.flip)
    cos, sin = scale * math.cos(angle), scale * math.sin(angle)
    linear = np.array([[cos, -sin], [sin, cos]])
    if flipped:
        linear[0] *= -1  # x to width - 1 - x about the center below
    source = np.array([x + width / 2 - 0.5, y + height / 2 - 0.5])
    middle = (np.array([width, height]) * unscaled - 1) / 2 if corner else np.full(2, (size - 1) / 2)
    target = middle + config.shift * (2 * np.array([shift_x, shift_y]) - 1)
    matrix = np.hstack([linear, (target - linear @ source)[:, None]])
    return Transform(matrix, flipped, _color_matrix(1 + config.jitter * (2 * np.array(color) - 1)))


def _color_matrix(factors: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """``[3, 4]``: saturation, then contrast about the middle gray, then brightness, in one linear map."""
    brightness, contrast, saturation = factors
    if (factors == 1).all():
        return None
    mix = saturation * np.eye(3) + (1 - saturation) * np.tile(GRAY, (3, 1))
    offset = np.full((3, 1), 128 * (1 - contrast))
    return brightness * np.hstack([contrast * mix, offset])


def warp_image(
    image: NDArray[np.uint8], transform: Transform, size: int, border: Sequence[int], reduced: int = 1
) -> NDArray[np.uint8]:
    """The input image ``[size, size, 3]`` of an image ``[H, W, 3]``, bilinear.

    Args:
        image: BGR, decoded at ``1 / reduced`` of its size.
        transform: maps pixels of the image at full size.
        size: the output's side.
        border: BGR outside the image.
        reduced: pixel ``i`` of ``image`` is the mean of pixels ``reduced * i`` to ``reduced * (i + 1) - 1``.
    """
    matrix = transform.matrix.copy()
    matrix[:, 2] += matrix[:, :2].sum(1) * (reduced - 1) / 2
    matrix[:, :2] *= reduced
    x0, y0, x1, y1 = _source_window(matrix, size, image.shape[1], image.shape[0])
    if x0 >= x1 or y0 >= y1:
        return np.full((size, size, 3), border, np.uint8)
    window: Any = image[y0:y1, x0:x1]
    matrix[:, 2] += matrix[:, :2] @ (x0, y0)
    if transform.color is not None:
        window = cv2.transform(window, transform.color)
    # OpenCV warps four channels more than twice as fast as three
    window = cv2.cvtColor(window, cv2.COLOR_BGR2BGRA)
    warped = cv2.warpAffine(
        window, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=(*border, 0)
    )
    return np.asarray(cv2.cvtColor(warped, cv2.COLOR_BGRA2BGR), np.uint8)


def _source_window(matrix: NDArray[np.float64], size: int, width: int, height: int) -> tuple[int, int, int, int]:
    """x0, y0, x1, y1 of the image's pixels that the output needs."""
    corners = np.array([[-1, -1], [size, -1], [-1, size], [size, size]], np.float64)
    points = (corners - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T
    low, high = np.floor(points.min(0)) - 1, np.ceil(points.max(0)) + 2
    limit = (width, height)
    x0, y0 = (int(min(max(value, 0), most)) for value, most in zip(low, limit, strict=True))
    x1, y1 = (int(min(max(value, 0), most)) for value, most in zip(high, limit, strict=True))
    return x0, y0, x1, y1


def transform_keypoints(
    keypoints: NDArray[np.float32], transform: Transform, flip: NDArray[np.int32]
) -> NDArray[np.float32]:
    """``[P, J, 3]`` in image pixels to input pixels; ``flip [J]`` renames them in a mirrored sample."""
    moved = keypoints.copy()
    moved[..., :2] = keypoints[..., :2] @ transform.matrix[:, :2].T + transform.matrix[:, 2]
    moved = np.where(moved[..., 2:] > 0, moved, 0).astype(np.float32)
    return moved[:, flip] if transform.flipped else moved


def draw_outlines(
    people: Iterable[Person], matrix: NDArray[np.float64], size: int, image_size: tuple[int, int]
) -> NDArray[np.uint8]:
    """The union of the people's outlines in the input, ``[size, size]``, 255 inside and 0 outside.

    Polygons are moved and then drawn; run-length masks are united and warped, to the nearest pixel.

    Args:
        people: who to draw.
        matrix: ``[2, 3]`` image pixels to input pixels.
        size: the input's side.
        image_size: height and width of the image.
    """
    people = list(people)
    canvas = np.zeros((size, size), np.uint8)
    polygons = [polygon for person in people for polygon in person.polygons]
    if polygons:
        # COCO's polygons count from a pixel's corner, the matrix from its center
        points = (np.concatenate(polygons) - 0.5) @ matrix[:, :2].T + matrix[:, 2]
        points = np.rint(np.clip(points, -16 * size, 17 * size) * (1 << POLYGON_BITS)).astype(np.int32)
        start = 0
        for polygon in polygons:  # one at a time: drawn together, they would cut holes where they overlap
            cv2.fillPoly(canvas, [points[start : start + len(polygon)]], 255, shift=POLYGON_BITS)
            start += len(polygon)
    encoded = [person.rle for person in people if person.rle is not None]
    if encoded:
        # the mask comes column by column: warped as its transpose it needs no copy
        transposed = decode_masks(encoded, image_size).T
        warped = cv2.warpAffine(transposed, matrix[:, [1, 0, 2]], (size, size), flags=cv2.INTER_NEAREST)
        canvas[warped > 0] = 255
    return canvas


def decode_masks(encoded: Sequence[dict[str, Any]], image_size: tuple[int, int]) -> NDArray[np.uint8]:
    """The union ``[H, W]`` (0 and 1, columns contiguous) of COCO run-length masks, compressed or as counts."""
    from pycocotools import mask as coco_mask

    compressed = [
        coco_mask.frPyObjects(rle, *rle["size"]) if isinstance(rle["counts"], list) else rle for rle in encoded
    ]
    for rle in compressed:
        if tuple(rle["size"]) != tuple(image_size):
            raise ValueError(f"segmentation: expected a mask of the image's size {image_size}, got {rle['size']}")
    return np.asarray(coco_mask.decode(coco_mask.merge(compressed)), np.uint8)
