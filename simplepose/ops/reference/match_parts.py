"""Reference implementation of match_parts: the candidate parts (rule 2 of docs/decoding.md; paper, section 3.4).

For every part type and every pair of its peaks ``i`` and ``j``, the part map ``M`` is sampled at ``n`` points from the
position ``x_i`` to ``x_j``, both ends included::

    response = (1 / n) sum over k of M(x_i + k / (n - 1) (x_j - x_i)),   k = 0 .. n - 1

The pair is a candidate if at least ``min_samples`` samples exceed the threshold. Its part score is::

    part_score="product"         response * score_i * score_j
    part_score="weighted_sum"    0.5 response + 0.25 (score_i + score_j)           (equation 6 of the paper)

Part maps of another stride than the keypoint maps are sampled at the same places of the image: `to_part_grid` converts
the positions ``x_i`` and ``x_j`` first.

With encoding="paf" the map is a field of vectors, and a sample is the vector's component along the pair, as in CMU-Pose
(CVPR 2017, equations 10 and 11)::

    M(x) = v(x) . (x_j - x_i) / |x_j - x_i|

``length_penalty`` adds ``min(0, H / 2 / |x_j - x_i| - 1)`` to the response, with the maps' height ``H``; the result
must exceed 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simplepose.ops.candidates import CandidateParts, Peaks
from simplepose.ops.config import DecodeConfig
from simplepose.ops.reference.maths import f32, finite
from simplepose.skeleton.skeleton import Skeleton


def match_parts(maps: NDArray[np.float32], peaks: Peaks, skeleton: Skeleton, config: DecodeConfig) -> CandidateParts:
    """The candidate parts of one image.

    Args:
        maps: ``[L, H, W]`` float32 part heatmaps, or ``[2 L, H, W]`` with encoding "paf"; non-finite values count as 0.
        peaks: the peaks of the image.
        skeleton: defines the keypoint types of the L parts.
        config: the settings of rule 2 are used.

    Returns:
        The candidates by part type, then part score descending, then indices of the from and to peaks.
    """
    maps = finite(np.asarray(maps, f32))
    candidates = []
    for part, (from_type, to_type) in enumerate(skeleton.part_index):
        a, b = all_pairs(np.nonzero(peaks.type == from_type)[0], np.nonzero(peaks.type == to_type)[0])
        start, end = peaks.xy[a], peaks.xy[b]
        if config.encoding == "paf":
            direction, length = directions(start, end)
            samples = sample_field(maps[2 * part : 2 * part + 2], start, end, direction, config.num_samples)
            response = mean_in_order(samples)
            if config.length_penalty:
                response = penalize_length(response, length, maps.shape[1])
        else:
            samples = sample_lines(maps[part], start, end, config.num_samples)
            response = mean_in_order(samples)
        score = part_score(response, peaks.score[a], peaks.score[b], config)
        enough = (samples > f32(config.part_threshold)).sum(1) >= config.min_samples
        if config.length_penalty:
            enough &= response > 0
        accepted = np.nonzero(enough & np.isfinite(score))[0]
        order = accepted[np.lexsort((b[accepted], a[accepted], -score[accepted]))]
        candidates.append((np.full(len(order), part), a[order], b[order], response[order], score[order]))
    types, from_peaks, to_peaks, responses, scores = zip(*candidates, strict=True) if candidates else ((),) * 5
    return CandidateParts(
        _join(types, np.int32),
        _join(from_peaks, np.int32),
        _join(to_peaks, np.int32),
        _join(responses, f32),
        _join(scores, f32),
    )


def to_part_grid(peaks: Peaks, scale: float, shift: float) -> Peaks:
    """The peaks at their positions in part maps of another stride: ``scale * x + shift``, rounded after each operation.

    `match_parts` of these peaks samples the part maps between the positions of the peaks in the image.
    """
    return peaks._replace(xy=peaks.xy * f32(scale) + f32(shift))


def all_pairs(a: NDArray[np.intp], b: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The Cartesian product of ``a`` and ``b``, ordered by ``a``, then ``b``."""
    return np.repeat(a, len(b)), np.tile(b, len(a))


def _join(arrays: Sequence[NDArray[Any]], dtype: type) -> NDArray[Any]:
    return np.concatenate([np.empty(0, dtype), *arrays]).astype(dtype)


def part_score(
    response: NDArray[np.float32], score_from: NDArray[np.float32], score_to: NDArray[np.float32], config: DecodeConfig
) -> NDArray[np.float32]:
    """``[N]`` part scores: the order of the candidates and the weights of the grouping.

    "product" is near 0 if the response or one of the peak scores is; "weighted_sum" is equation 6 of the paper.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        if config.part_score == "product":
            return response * score_from * score_to
        return f32(0.5) * response + f32(0.25) * (score_from + score_to)


def sample_lines(
    heatmap: NDArray[np.float32], start: NDArray[np.float32], end: NDArray[np.float32], count: int
) -> NDArray[np.float32]:
    """``[N, count]`` bilinear samples at evenly spaced points from ``start`` to ``end``, ``[N, 2]``, both included."""
    t = np.arange(count, dtype=f32) / f32(count - 1)
    x = start[:, :1] + t * (end[:, :1] - start[:, :1])
    y = start[:, 1:] + t * (end[:, 1:] - start[:, 1:])
    return bilinear(heatmap, x, y)


def directions(start: NDArray[np.float32], end: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """``[N, 2]`` unit vectors from ``start`` to ``end`` ((0, 0) where these coincide), ``[N]`` distances in cells."""
    delta = end - start
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        length = np.sqrt(delta[:, 0] * delta[:, 0] + delta[:, 1] * delta[:, 1])
        unit = delta / length[:, None]
    return np.where(length[:, None] > 0, unit, f32(0)), length


def sample_field(
    field: NDArray[np.float32],
    start: NDArray[np.float32],
    end: NDArray[np.float32],
    direction: NDArray[np.float32],
    count: int,
) -> NDArray[np.float32]:
    """``[N, count]`` samples of ``field [2, H, W]`` along lines: their component in ``direction [N, 2]``."""
    x, y = (sample_lines(component, start, end, count) for component in field)
    with np.errstate(over="ignore", invalid="ignore"):
        return x * direction[:, :1] + y * direction[:, 1:]


def penalize_length(response: NDArray[np.float32], length: NDArray[np.float32], height: int) -> NDArray[np.float32]:
    """``[N]`` responses, lower where the pair is longer than half the height of the maps."""
    with np.errstate(divide="ignore", invalid="ignore"):
        penalty = f32(0.5) * f32(height) / length - f32(1)
    return response + np.where(penalty < 0, penalty, f32(0))


def bilinear(heatmap: NDArray[np.float32], x: NDArray[np.float32], y: NDArray[np.float32]) -> NDArray[np.float32]:
    """The map at ``x, y`` (cells, clamped to the map): two interpolations along x, then one along y."""
    height, width = heatmap.shape
    x, y = np.clip(x, f32(0), f32(width - 1)), np.clip(y, f32(0), f32(height - 1))
    x0, y0 = np.clip(x.astype(np.int32), 0, max(width - 2, 0)), np.clip(y.astype(np.int32), 0, max(height - 2, 0))
    x1, y1 = np.minimum(x0 + 1, width - 1), np.minimum(y0 + 1, height - 1)
    fx, fy = x - x0.astype(f32), y - y0.astype(f32)
    with np.errstate(over="ignore", invalid="ignore"):
        top = heatmap[y0, x0] + fx * (heatmap[y0, x1] - heatmap[y0, x0])
        bottom = heatmap[y1, x0] + fx * (heatmap[y1, x1] - heatmap[y1, x0])
        return top + fy * (bottom - top)


def mean_in_order(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """``[N]`` means over axis 1, summed from the first sample to the last; every backend uses this order."""
    total = np.zeros(len(samples), f32)
    with np.errstate(over="ignore", invalid="ignore"):
        for column in samples.T:
            total = total + column
    return total / f32(samples.shape[1])
