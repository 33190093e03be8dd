"""Filling of polygons, in a time that is bounded for any polygon."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

POLYGON_BITS = 4
"""Fractional bits of polygon coordinates: polygons are filled with a precision of 1/16 pixel."""

SMALL_POLYGON = 500
"""Number of corners up to which any polygon is filled by OpenCV: this takes at most a few milliseconds."""

MAX_CROSSINGS = 2e7
"""OpenCV sorts the edges that cross a row by insertion. It fills a polygon if the sum over all rows of the squared
number of crossing edges is below this value."""


def fill_polygon(canvas: NDArray[np.uint8], points: NDArray[np.float64]) -> None:
    """Set the inside of a polygon to 255 (even-odd rule).

    OpenCV fills it and its border. If its edges cross the rows too often, which needs thousands of long edges, the
    pixels whose center is inside are set instead.

    Args:
        canvas: ``[size, size]`` uint8.
        points: ``[V, 2]`` corners x, y in pixels of the canvas.
    """
    size = len(canvas)
    points = np.clip(points, -16 * size, 17 * size)
    if len(points) <= SMALL_POLYGON or _crossings(points[:, 1], size) < MAX_CROSSINGS:
        corners = np.rint(points * (1 << POLYGON_BITS)).astype(np.int32)
        cv2.fillPoly(canvas, [corners], 255, shift=POLYGON_BITS)
        return
    x0, y0 = points.T
    x1, y1 = np.roll(points, -1, axis=0).T
    for row in range(size):
        crossing = np.flatnonzero((y0 <= row) != (y1 <= row))
        share = (row - y0[crossing]) / (y1[crossing] - y0[crossing])
        x = x0[crossing] + share * (x1[crossing] - x0[crossing])
        columns = np.clip(np.ceil(x), 0, size).astype(np.int64)
        canvas[row, np.cumsum(np.bincount(columns, minlength=size + 1))[:size] % 2 == 1] = 255


def _crossings(y: NDArray[np.float64], size: int) -> float:
    """The sum over the rows of the squared number of edges that cross a row."""
    rows = np.clip(np.rint(y), 0, size).astype(np.int64)
    following = np.roll(rows, -1)
    starts = np.bincount(np.minimum(rows, following), minlength=size + 1)
    ends = np.bincount(np.maximum(rows, following), minlength=size + 1)
    return float(np.square(np.cumsum(starts - ends, dtype=np.float64)).sum())
