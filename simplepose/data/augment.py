"""Augmentation: one random affine and color transform per sample, applied to image, masks and keypoints."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from simplepose.checks import brief, check_choice, check_count, check_number, check_range
from simplepose.data.annotations import Person
from simplepose.data.polygons import fill_polygon
from simplepose.data.run_lengths import RunLengths

Frame = Literal["person", "image"]

GRAY = np.array([0.114, 0.587, 0.299])
"""The weights of blue, green and red in the luma of ITU-R BT.601."""


@dataclass(frozen=True)
class AugmentConfig:
    """The selection and transform of samples; the defaults are the paper's (docs/design.md, Training)."""

    frame: Frame = "person"  # "person": one sample per main person; "image": one sample per image, showing all of it
    person_size: float = 0.6  # frame="person": longer side of the main person's box, as a fraction of the input
    scale: tuple[float, float] = (0.7, 1.3)  # range of the scale factor, uniform
    rotation: float = 40.0  # maximum rotation in degrees in both directions, uniform
    shift: float = 50.0  # maximum shift in input pixels along each axis, uniform
    flip: float = 0.5  # probability of mirroring
    jitter: float = 0.2  # brightness, contrast and saturation are multiplied by 1 - jitter to 1 + jitter, uniform
    border: tuple[int, int, int] = (124, 127, 127)  # BGR outside of the image
    min_keypoints: int = 5  # labeled keypoints of a main person (at most half of the skeleton's)
    min_area: float = 32.0 * 32.0  # area of a main person, in image pixels
    min_distance: float = 0.3  # distance of a main person's box center from earlier ones, in longer box sides

    def __post_init__(self) -> None:
        check_choice("frame", self.frame, get_args(Frame))
        check_range("scale", self.scale, float, 0.01, 100)
        limits = {"person_size": 10.0, "rotation": 180.0, "shift": 1e4, "flip": 1.0, "jitter": 1.0}
        check_count("min_keypoints", self.min_keypoints, 0, 10**4)
        for name, most in {**limits, "min_area": 1e12, "min_distance": 1e4}.items():
            least = 0.01 if name == "person_size" else 0
            check_number(name, getattr(self, name), least=least, most=most)
        if not isinstance(self.border, tuple) or len(self.border) != 3:
            raise TypeError(f"border: expected three integers from 0 to 255, got {brief(self.border)}")
        for value in self.border:
            check_count("border", value, 0, 255)

    @classmethod
    def none(cls, frame: Frame = "image", **changes: Any) -> AugmentConfig:
        """No random transform: whole images, or main persons with ``frame="person"``, upright and unflipped."""
        plain = cls(frame=frame, scale=(1.0, 1.0), rotation=0.0, shift=0.0, flip=0.0, jitter=0.0)
        return replace(plain, **changes)


class Transform(NamedTuple):
    """The transform of one sample."""

    matrix: NDArray[np.float64]  # [2, 3] image pixels to input pixels, pixel centers at integers
    flipped: bool  # whether left and right keypoints are swapped
    color: NDArray[np.float64] | None  # [3, 4] matrix from (B, G, R, 1) to BGR; None: colors unchanged


def draw_transform(
    config: AugmentConfig,
    rng: np.random.Generator,
    box: Sequence[float],
    size: int,
    side: float,
    corner: bool = False,
) -> Transform:
    """Sample one transform. It uses 8 random numbers with any settings.

    Args:
        config: the ranges.
        rng: the generator of this sample.
        box: x, y, width, height (COCO's convention) of the region that is moved to the center of the input.
        size: width and height of the input in pixels.
        side: length in input pixels of the longer side of ``box`` at scale 1.
        corner: move the box to the upper left corner of the input instead (at scale 1 without shift and rotation), as
            `simplepose.inference.frame.Frame` does.
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
    """``[3, 4]`` matrix of saturation, then contrast around gray level 128, then brightness; None if all are 1."""
    brightness, contrast, saturation = factors
    if (factors == 1).all():
        return None
    mix = saturation * np.eye(3) + (1 - saturation) * np.tile(GRAY, (3, 1))
    offset = np.full((3, 1), 128 * (1 - contrast))
    return brightness * np.hstack([contrast * mix, offset])


def warp_image(
    image: NDArray[np.uint8], transform: Transform, size: int, border: Sequence[int], reduced: int = 1
) -> NDArray[np.uint8]:
    """The network input ``[size, size, 3]`` from an image ``[H, W, 3]``, bilinear; uint8 BGR.

    Args:
        image: BGR, decoded at ``1 / reduced`` of its size.
        transform: from pixels of the image at full size to pixels of the input.
        size: width and height of the input in pixels.
        border: BGR outside of the image.
        reduced: pixel ``i`` of ``image`` averages the pixels ``reduced * i`` to ``reduced * (i + 1) - 1`` at full size.
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
    # OpenCV warps four channels more than twice as fast as three.
    window = cv2.cvtColor(window, cv2.COLOR_BGR2BGRA)
    warped = cv2.warpAffine(
        window, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=(*border, 0)
    )
    return np.asarray(cv2.cvtColor(warped, cv2.COLOR_BGRA2BGR), np.uint8)


def _source_window(matrix: NDArray[np.float64], size: int, width: int, height: int) -> tuple[int, int, int, int]:
    """x0, y0, x1, y1 of the image region that the output depends on."""
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
    """Move keypoints ``[P, J, 3]`` from image pixels to input pixels; mirrored ones are permuted by ``flip [J]``."""
    moved = keypoints.copy()
    moved[..., :2] = keypoints[..., :2] @ transform.matrix[:, :2].T + transform.matrix[:, 2]
    moved = np.where(moved[..., 2:] > 0, moved, 0).astype(np.float32)
    return moved[:, flip] if transform.flipped else moved


def draw_outlines(
    people: Iterable[Person], matrix: NDArray[np.float64], size: int, image_size: tuple[int, int]
) -> NDArray[np.uint8]:
    """The union of the people's segmentation masks in the input: ``[size, size]`` uint8, 255 inside and 0 outside.

    Polygons are transformed, then filled. Run-length masks are merged, then warped with nearest-neighbor resampling.

    Args:
        people: the annotated people.
        matrix: ``[2, 3]`` image pixels to input pixels.
        size: width and height of the input in pixels.
        image_size: height and width of the image in pixels.
    """
    people = list(people)
    canvas = np.zeros((size, size), np.uint8)
    polygons = [polygon for person in people for polygon in person.polygons]
    if polygons:
        # The origin of COCO's polygons is the corner of the first pixel; that of the matrix is its center.
        points = (np.concatenate(polygons) - 0.5) @ matrix[:, :2].T + matrix[:, 2]
        start = 0
        for polygon in polygons:  # one at a time: overlapping polygons filled together would have holes
            fill_polygon(canvas, points[start : start + len(polygon)])
            start += len(polygon)
    encoded = [person.rle for person in people if person.rle is not None]
    if encoded:
        # The decoded mask is stored by columns; warping its transpose avoids a copy.
        transposed = decode_masks(encoded, image_size).T
        warped = cv2.warpAffine(transposed, matrix[:, [1, 0, 2]], (size, size), flags=cv2.INTER_NEAREST)
        canvas[warped > 0] = 255
    return canvas


def decode_masks(encoded: Sequence[RunLengths], image_size: tuple[int, int]) -> NDArray[np.uint8]:
    """The union ``[H, W]`` uint8 (0 and 1, stored by columns) of COCO run-length masks, compressed or uncompressed.

    Raises:
        ValueError: a mask has another size than the image.
    """
    from pycocotools import mask as coco_mask

    compressed = [
        coco_mask.frPyObjects(rle, *rle["size"]) if isinstance(rle["counts"], list) else rle for rle in encoded
    ]
    for rle in compressed:
        if tuple(rle["size"]) != tuple(image_size):
            raise ValueError(f"segmentation: expected a mask of the image's size {image_size}, got {rle['size']}")
    return np.asarray(coco_mask.decode(coco_mask.merge(compressed)), np.uint8)
