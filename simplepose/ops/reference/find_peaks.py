"""Reference implementation of find_peaks (rule 1 of docs/decoding.md; paper, section 3.4).

Non-maximum suppression: a cell is a peak if its value is at least the threshold and it precedes its 8 neighbors in the
total order (value descending, raster index ascending). Because the order is strict, two neighbors are
never both peaks.

Sub-pixel position, along each axis: the logarithm of a Gaussian ``p exp(-(x - m)^2 / (2 sigma^2))`` is a parabola with
its vertex at ``m``. From the logarithms a, b, c at x - 1, x and x + 1 it follows as ::

    m = x + (a - c) / (2 (a - 2 b + c))
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from simplepose.ops.candidates import Peaks
from simplepose.ops.config import DecodeConfig
from simplepose.ops.reference.maths import f32, finite, log32

MIN_LOG_SAMPLE = f32(1e-3)
"""Lower bound applied to the samples before the logarithm."""

EARLIER = [(-1, -1), (-1, 0), (-1, 1), (0, -1)]
"""(dy, dx) of the 4 neighbors that precede a cell in raster order; the other 4 are their negatives."""


def find_peaks(maps: NDArray[np.float32], config: DecodeConfig) -> Peaks:
    """The peaks of the keypoint maps of one image.

    Args:
        maps: ``[J, H, W]`` float32 keypoint heatmaps; non-finite values count as 0.
        config: ``peak_threshold`` and ``max_peaks`` are used.

    Returns:
        The peaks by type, then score descending, then raster index; positions in grid cells.
    """
    maps = finite(np.asarray(maps, f32))
    types, positions, scores, truncated = [], [], [], False
    for type_index, heatmap in enumerate(maps):
        ys, xs = np.nonzero(is_peak(heatmap, f32(config.peak_threshold)))  # raster order
        values = heatmap[ys, xs]
        order = np.argsort(-values, kind="stable")
        truncated |= len(order) > config.max_peaks
        order = order[: config.max_peaks]
        ys, xs = ys[order], xs[order]
        dx, dy = subpixel(heatmap, ys, xs, axis=1), subpixel(heatmap, ys, xs, axis=0)
        types.append(np.full(len(order), type_index, np.int32))
        positions.append(np.stack([xs.astype(f32) + dx, ys.astype(f32) + dy], 1))
        scores.append(values[order])
    return Peaks(
        np.concatenate([np.empty(0, np.int32), *types]),
        np.concatenate([np.empty((0, 2), f32), *positions]),
        np.concatenate([np.empty(0, f32), *scores]),
        truncated,
    )


def is_peak(heatmap: NDArray[np.float32], threshold: np.float32) -> NDArray[np.bool_]:
    """``[H, W]`` bool: value >= threshold, greater than earlier neighbors and at least equal to later ones.

    "Earlier" is in raster order: among equal neighbors the one with the lower raster index is the peak. Cells outside
    of the map are minus infinity.
    """
    height, width = heatmap.shape
    padded = np.pad(heatmap, 1, constant_values=-np.inf)

    def neighbor(dy: int, dx: int) -> NDArray[np.float32]:
        return padded[1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width]

    peak = heatmap >= threshold
    for dy, dx in EARLIER:
        peak &= heatmap > neighbor(dy, dx)
        peak &= heatmap >= neighbor(-dy, -dx)
    return peak


def subpixel(
    heatmap: NDArray[np.float32], ys: NDArray[np.intp], xs: NDArray[np.intp], axis: int
) -> NDArray[np.float32]:
    """``[N]`` offsets in cells along ``axis`` from the cells (ys, xs) to the vertex of the log-parabola.

    The offset (a - c) / (2 (a - 2 b + c)) is exact for a single Gaussian. It is 0 at the border of the axis and where
    the second difference a - 2 b + c is not negative; it is clamped to [-1/2, 1/2] and rounded to 1/256 (half to even).
    """
    last = heatmap.shape[axis] - 1
    at = xs if axis else ys
    inside = (at > 0) & (at < last)
    before, after = np.maximum(at - 1, 0), np.minimum(at + 1, last)
    lower = heatmap[ys, before] if axis else heatmap[before, xs]
    upper = heatmap[ys, after] if axis else heatmap[after, xs]
    a, b, c = (log32(np.maximum(v, MIN_LOG_SAMPLE)) for v in (lower, heatmap[ys, xs], upper))
    curvature = (a - b) + (c - b)  # a - 2 b + c
    curved = inside & (curvature < 0)
    offset = (f32(0.5) * (a - c)) / np.where(curved, curvature, f32(-1))
    offset = np.clip(offset, f32(-0.5), f32(0.5))
    return np.where(curved, np.rint(offset * f32(256)) * f32(1 / 256), f32(0)).astype(f32)
