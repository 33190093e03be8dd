"""Reference of match_parts: scores every pair of peaks that a body part could connect (rule 2)."""

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
    """Candidate parts of one image.

    Args:
        maps: ``[L, H, W]`` float32 part heatmaps.
        peaks: the image's peaks.
    """
    maps = finite(np.asarray(maps, f32))
    found = []
    for part, (from_type, to_type) in enumerate(skeleton.part_index):
        a, b = all_pairs(np.nonzero(peaks.type == from_type)[0], np.nonzero(peaks.type == to_type)[0])
        samples = sample_lines(maps[part], peaks.xy[a], peaks.xy[b], config.num_samples)
        response = mean_in_order(samples)
        score = part_score(response, peaks.score[a], peaks.score[b], config)
        enough = (samples > f32(config.part_threshold)).sum(1) >= config.min_samples
        accepted = np.nonzero(enough & np.isfinite(score))[0]
        order = accepted[np.lexsort((b[accepted], a[accepted], -score[accepted]))]
        found.append((np.full(len(order), part), a[order], b[order], response[order], score[order]))
    types, from_peaks, to_peaks, responses, scores = zip(*found, strict=True) if found else ((),) * 5
    return CandidateParts(
        _join(types, np.int32),
        _join(from_peaks, np.int32),
        _join(to_peaks, np.int32),
        _join(responses, f32),
        _join(scores, f32),
    )


def all_pairs(a: NDArray[np.intp], b: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Every element of ``a`` with every element of ``b``, by ``a``, then ``b``."""
    return np.repeat(a, len(b)), np.tile(b, len(a))


def _join(arrays: Sequence[NDArray[Any]], dtype: type) -> NDArray[Any]:
    return np.concatenate([np.empty(0, dtype), *arrays]).astype(dtype)


def part_score(
    response: NDArray[np.float32], score_from: NDArray[np.float32], score_to: NDArray[np.float32], config: DecodeConfig
) -> NDArray[np.float32]:
    """``[N]``: the part score of a pair, by which candidates are ordered and poses are weighed.

    "product" lets a weak response or a weak peak veto; "weighted_sum" is the paper's score (its equation 6).
    """
    with np.errstate(over="ignore", invalid="ignore"):
        if config.part_score == "product":
            return response * score_from * score_to
        return f32(0.5) * response + f32(0.25) * (score_from + score_to)


def sample_lines(
    heatmap: NDArray[np.float32], start: NDArray[np.float32], end: NDArray[np.float32], count: int
) -> NDArray[np.float32]:
    """``[N, count]``: bilinear samples, evenly spaced from ``start`` to ``end`` (``[N, 2]``), both included."""
    t = np.arange(count, dtype=f32) / f32(count - 1)
    x = start[:, :1] + t * (end[:, :1] - start[:, :1])
    y = start[:, 1:] + t * (end[:, 1:] - start[:, 1:])
    return bilinear(heatmap, x, y)


def bilinear(heatmap: NDArray[np.float32], x: NDArray[np.float32], y: NDArray[np.float32]) -> NDArray[np.float32]:
    """The map at ``x, y`` in cells, clamped to it: two interpolations along x, one along y."""
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
    """``[N]``: the mean over axis 1, added from first to last, as every backend does."""
    total = np.zeros(len(samples), f32)
    with np.errstate(over="ignore", invalid="ignore"):
        for column in samples.T:
            total = total + column
    return total / f32(samples.shape[1])
