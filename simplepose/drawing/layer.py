"""A transparent layer: anti-aliased lines and dots at sub-pixel positions, blended onto an image in one step."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from simplepose.checks import check_readable, describe

SUBPIXEL_BITS = 4
"""Fractional bits of the fixed-point coordinates passed to OpenCV: 1/16 pixel."""

CAP_ANGLES = np.linspace(-math.pi / 2, math.pi / 2, 9)
"""Angles of the polygon that approximates the half circle at the end of a line."""

ANTIALIASING_MARGIN = 0.5
"""Pixels by which OpenCV's anti-aliased polygons extend beyond their outline."""

FONT = cv2.FONT_HERSHEY_SIMPLEX

OUTLINE_COLOR = (18, 16, 24)
"""RGB of the outlines of parts, dots and text, which keep them visible on any background."""

Point = NDArray[np.float64]
Image = NDArray[np.uint8]


class Layer:
    """A BGRA canvas with premultiplied alpha over a rectangle of an image.

    A new shape replaces the pixels below it, so that overlapping translucent shapes of one layer do not add up.
    """

    def __init__(self, left: int, top: int, width: int, height: int) -> None:
        self.left, self.top = left, top
        self._bgra = np.zeros((height, width, 4), np.uint8)

    @classmethod
    def around(cls, points: Point, margin: float, shape: tuple[int, ...]) -> Layer | None:
        """A layer that covers the points ``[N, 2]`` with a margin, clipped to the image; None if it would be empty."""
        height, width = shape[:2]
        limits = np.array([width, height])
        low = np.floor(np.clip(points.min(0) - margin, 0, limits)).astype(int)
        high = np.ceil(np.clip(points.max(0) + margin + 1, 0, limits)).astype(int)
        if (high <= low).any():
            return None
        return cls(int(low[0]), int(low[1]), int(high[0] - low[0]), int(high[1] - low[1]))

    def line(self, a: Point, b: Point, width: float, color: tuple[int, int, int], opacity: float) -> None:
        """Draw a line of ``width`` pixels with round ends from ``a`` to ``b``; ``color`` is RGB."""
        radius = max(width / 2 - ANTIALIASING_MARGIN, 0.05)
        angle = math.atan2(b[1] - a[1], b[0] - a[0])
        cap = radius * np.stack([np.cos(CAP_ANGLES + angle), np.sin(CAP_ANGLES + angle)], 1)
        outline = np.concatenate([b + cap, a - cap]) - [self.left, self.top]
        fixed_point = np.round(outline * (1 << SUBPIXEL_BITS)).astype(np.int32)
        cv2.fillConvexPoly(self._bgra, fixed_point, _premultiplied(color, opacity), cv2.LINE_AA, SUBPIXEL_BITS)

    def dot(self, center: Point, radius: float, color: tuple[int, int, int], opacity: float) -> None:
        """Draw a disk; ``color`` is RGB."""
        self.line(center, center, 2 * radius, color, opacity)

    def loop(self, points: Point, width: float, color: tuple[int, int, int], opacity: float) -> None:
        """Draw the closed outline through ``points [K, 2]``, ``width`` rounded to whole pixels; ``color`` is RGB."""
        fixed_point = np.round((points - [self.left, self.top]) * (1 << SUBPIXEL_BITS)).astype(np.int32)
        thickness, paint = max(1, round(width)), _premultiplied(color, opacity)
        cv2.polylines(self._bgra, [fixed_point], True, paint, thickness, cv2.LINE_AA, SUBPIXEL_BITS)

    def blend_onto(self, image: NDArray[np.uint8]) -> None:
        """Blend the layer over ``image`` ``[H, W, 3]`` BGR, in place."""
        height, width = self._bgra.shape[:2]
        target = image[self.top : self.top + height, self.left : self.left + width]
        transmittance = cv2.cvtColor(255 - self._bgra[..., 3], cv2.COLOR_GRAY2BGR)
        target[:] = cv2.add(cv2.multiply(target, transmittance, scale=1 / 255), self._bgra[..., :3])


def clip_segment(a: Point, b: Point, shape: tuple[int, ...], margin: float) -> tuple[Point, Point] | None:
    """The segment clipped to the image plus ``margin`` pixels, None if it lies outside (Liang and Barsky, 1984)."""
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


def _premultiplied(color: tuple[int, int, int], opacity: float) -> tuple[float, float, float, float]:
    red, green, blue = color
    return (blue * opacity, green * opacity, red * opacity, 255 * opacity)


def check_image(name: str, image: object) -> None:
    """TypeError unless ``image`` is a non-empty uint8 array ``[H, W, 3]``."""
    check_readable(name, image)
    valid = isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3
    if not (valid and isinstance(image, np.ndarray) and image.size):
        raise TypeError(f"{name}: expected a uint8 array [H, W, 3] (BGR), got {describe(image)}")
