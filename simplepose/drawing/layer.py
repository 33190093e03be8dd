"""A transparent layer for anti-aliased lines and dots at sub-pixel positions, blended onto an image as a whole."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from simplepose.checks import describe

SHIFT = 4
"""OpenCV takes positions as integers with so many binary digits after the point: sixteenths of a pixel."""

CAP = np.linspace(-math.pi / 2, math.pi / 2, 9)
"""Angles of the half circle that ends a line."""

EDGE = 0.5
"""OpenCV's anti-aliased edges lie about so many pixels outside of the outline it is given."""

FONT = cv2.FONT_HERSHEY_SIMPLEX

RIM = (18, 16, 24)
"""RGB of what surrounds parts, dots and letters, so that they stand out from any background."""

Point = NDArray[np.float64]
Image = NDArray[np.uint8]


class Layer:
    """A cut-out of an image's frame that holds color times opacity, and opacity: a new shape replaces what it covers.

    Shapes of one layer thus do not show through one another, whatever their opacity.
    """

    def __init__(self, left: int, top: int, width: int, height: int) -> None:
        self.left, self.top = left, top
        self._bgra = np.zeros((height, width, 4), np.uint8)

    @classmethod
    def around(cls, points: Point, margin: float, shape: tuple[int, ...]) -> Layer | None:
        """The layer of the points ``[N, 2]`` and ``margin`` around them, cut to an image; None if nothing is left."""
        height, width = shape[:2]
        limits = np.array([width, height])
        low = np.floor(np.clip(points.min(0) - margin, 0, limits)).astype(int)
        high = np.ceil(np.clip(points.max(0) + margin + 1, 0, limits)).astype(int)
        if (high <= low).any():
            return None
        return cls(int(low[0]), int(low[1]), int(high[0] - low[0]), int(high[1] - low[1]))

    def line(self, a: Point, b: Point, width: float, color: tuple[int, int, int], opacity: float) -> None:
        """A line of ``width`` pixels with round ends from ``a`` to ``b``; color as RGB."""
        radius = max(width / 2 - EDGE, 0.05)
        angle = math.atan2(b[1] - a[1], b[0] - a[0])
        cap = radius * np.stack([np.cos(CAP + angle), np.sin(CAP + angle)], 1)
        outline = np.concatenate([b + cap, a - cap]) - [self.left, self.top]
        fixed = np.round(outline * (1 << SHIFT)).astype(np.int32)
        cv2.fillConvexPoly(self._bgra, fixed, _paint(color, opacity), cv2.LINE_AA, SHIFT)

    def dot(self, center: Point, radius: float, color: tuple[int, int, int], opacity: float) -> None:
        """A disk; color as RGB."""
        self.line(center, center, 2 * radius, color, opacity)

    def blend_onto(self, image: NDArray[np.uint8]) -> None:
        """Put the layer over ``image`` ``[H, W, 3]``, in place."""
        height, width = self._bgra.shape[:2]
        target = image[self.top : self.top + height, self.left : self.left + width]
        through = cv2.cvtColor(255 - self._bgra[..., 3], cv2.COLOR_GRAY2BGR)
        target[:] = cv2.add(cv2.multiply(target, through, scale=1 / 255), self._bgra[..., :3])


def clip_segment(a: Point, b: Point, shape: tuple[int, ...], margin: float) -> tuple[Point, Point] | None:
    """The piece of the segment in the image and ``margin`` around it, None if there is none (Liang and Barsky 1984)."""
    direction = b - a
    low, high = np.full(2, -margin), np.array([shape[1], shape[0]]) - 1 + margin
    first, last = 0.0, 1.0
    for axis in range(2):
        if direction[axis] == 0:
            if not low[axis] <= a[axis] <= high[axis]:
                return None
            continue
        enter, leave = sorted(((low[axis] - a[axis]) / direction[axis], (high[axis] - a[axis]) / direction[axis]))
        first, last = max(first, float(enter)), min(last, float(leave))
    return (a + first * direction, a + last * direction) if first <= last else None


def _paint(color: tuple[int, int, int], opacity: float) -> tuple[float, float, float, float]:
    red, green, blue = color
    return (blue * opacity, green * opacity, red * opacity, 255 * opacity)


def check_image(name: str, image: object) -> None:
    """TypeError unless ``image`` is a uint8 array ``[H, W, 3]``."""
    good = isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3
    if not (good and isinstance(image, np.ndarray) and image.size):
        raise TypeError(f"{name}: expected a uint8 array [H, W, 3] (BGR), got {describe(image)}")
