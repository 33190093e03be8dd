"""Reference of find_peaks: heatmap NMS under a total order, with log-parabola sub-pixel positions (rule 1)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from simplepose.ops.candidates import Peaks
from simplepose.ops.config import DecodeConfig
from simplepose.ops.reference.maths import f32, finite, log32

LOG_FLOOR = f32(1e-3)
"""Samples below it count as it before their logarithm is taken."""

EARLIER = [(-1, -1), (-1, 0), (-1, 1), (0, -1)]
"""(dy, dx) of the neighbors that come first in raster order; the other four are their opposites."""


def find_peaks(maps: NDArray[np.float32], config: DecodeConfig) -> Peaks:
    """Peaks of the keypoint maps of one image.

    Args:
        maps: ``[J, H, W]`` float32 keypoint heatmaps.
        config: ``peak_threshold`` and ``max_peaks`` are used.
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
    """``[H, W]``: whether a cell reaches the threshold and beats its neighbors under (value, lower raster index).

    An earlier neighbor wins a tie, so it must be smaller; a later one may be equal. Cells outside do not count.
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
    """``[N]``: the offset along ``axis`` of the vertex of the parabola through three logarithms, in cells.

    It is exact for one Gaussian. 0 at the border of the axis and where the second difference is not negative;
    clamped to half a cell; rounded to 1/256 cell (half to even).
    """
    last = heatmap.shape[axis] - 1
    at = xs if axis else ys
    inside = (at > 0) & (at < last)
    before, after = np.maximum(at - 1, 0), np.minimum(at + 1, last)
    lower = heatmap[ys, before] if axis else heatmap[before, xs]
    upper = heatmap[ys, after] if axis else heatmap[after, xs]
    a, b, c = (log32(np.maximum(v, LOG_FLOOR)) for v in (lower, heatmap[ys, xs], upper))
    curvature = (a - b) + (c - b)
    curved = inside & (curvature < 0)
    offset = (f32(0.5) * (a - c)) / np.where(curved, curvature, f32(-1))
    offset = np.clip(offset, f32(-0.5), f32(0.5))
    return np.where(curved, np.rint(offset * f32(256)) * f32(1 / 256), f32(0)).astype(f32)
